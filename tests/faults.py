"""A small TCP proxy that makes the way to a real server fail on command.

    async with FaultProxy(server_port) as proxy:
        ... connect to 127.0.0.1:proxy.port ...
        await proxy.set(Mode.FREEZE)

It lives in the event loop it was started in.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from enum import StrEnum

CHUNK = 65536  # bytes
# l_onoff, l_linger = 0: closing sends RST instead of FIN.
RESET = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    PASS = "pass"  # bytes go through
    FREEZE = "freeze"  # connections stand and are accepted, nothing moves; after PASS what was held does
    RESET = "reset"  # every connection, present and new, is answered by RST
    REFUSE = "refuse"  # present connections are reset, new ones are refused: nobody listens
    LATENCY = "latency"  # everything arrives later by `seconds`, in order


class FaultProxy:
    """Listens on a free port before `host:port`. With `tls` it ends TLS: the server sees plain TCP."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.mode = Mode.PASS
        self._upstream = (host, port)
        self._tls = tls
        self._seconds = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> FaultProxy:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._serving)

    async def set(self, mode: Mode, *, seconds: float = 0.0) -> None:
        """Change what happens to present and new connections; `seconds` is for LATENCY."""
        self.mode, self._seconds = mode, seconds
        if mode is Mode.FREEZE:
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode in (Mode.RESET, Mode.REFUSE):
            for writer in self._writers:
                reset(writer)
        if mode is Mode.REFUSE:
            await self._close()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        # The same port again after REFUSE: clients keep their address.
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio 3.11 logs an error for each of its own that is cancelled.
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.mode is not Mode.RESET:
                await self._flowing.wait()
                await self._connect_through(reader, writer)
        except* OSError:  # one side broke: so does the other
            pass
        finally:
            reset(writer)
            self._writers.discard(writer)

    async def _connect_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._upstream)
        self._writers.add(there_writer)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._carry(reader, there_writer))
                directions.create_task(self._carry(there_reader, writer))
            for ended in (writer, there_writer):
                ended.close()
                await ended.wait_closed()
        finally:
            reset(there_writer)
            self._writers.discard(there_writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction up to its end. A queue lies between, lest latency be a bottleneck as well."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)

        async def take() -> None:
            while data := await reader.read(CHUNK):
                await under_way.put((loop.time() + self._seconds, data))
            await under_way.put((loop.time() + self._seconds, b""))

        async def give() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time())
                await self._flowing.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if writer.is_closing() or not writer.can_write_eof():  # the latter: TLS
                writer.close()
            else:
                writer.write_eof()

        async with asyncio.TaskGroup() as ends:
            ends.create_task(take())
            ends.create_task(give())


def reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with RST if the connection is still open."""
    if not writer.is_closing():
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
