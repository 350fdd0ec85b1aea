"""The open streams of this process, WebSockets and SSE alike: how many there may be, and how they all end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.errors import RequestCode, RequestFailed

MAX_STREAMS = 10_000  # 20 to 50 KiB each, so at most half a gigabyte; Linux lets a process open more files


class Streams:
    """Each transport registers what ends its stream; whoever stops the server calls `close_all` first."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._enders: set[Callable[[], None]] = set()
        self._drained = asyncio.Event()
        self._drained.set()
        self.closing = False

    def __len__(self) -> int:
        return len(self._enders)

    def admit(self) -> None:
        """Raises `RequestFailed(UNAVAILABLE)` when the server is stopping or full."""
        if self.closing:
            raise RequestFailed(RequestCode.UNAVAILABLE, "The server is restarting.", retry_after_seconds=1)
        if len(self._enders) >= self._limit:
            raise RequestFailed(RequestCode.UNAVAILABLE, "Too many streams are open.", retry_after_seconds=5)

    @contextmanager
    def opened(self, end: Callable[[], None]) -> Iterator[None]:
        """Count an admitted stream in for as long as the block lasts. `end()` makes it end soon."""
        self._enders.add(end)
        self._drained.clear()
        try:
            yield
        finally:
            self._enders.discard(end)
            if not self._enders:
                self._drained.set()

    async def close_all(self, within_seconds: float = 5.0) -> None:
        """Refuse new streams and end the open ones: WebSockets close with 1012, SSE answers just end;
        clients come back by themselves. Returns once they are gone, or after `within_seconds`."""
        self.closing = True
        for end in list(self._enders):
            end()
        try:
            async with asyncio.timeout(within_seconds):
                await self._drained.wait()
        except TimeoutError:
            return
