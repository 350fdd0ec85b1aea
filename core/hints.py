"""Hints: a topic and a small position, never a payload. They are the bell, the rows are the truth.

A lost hint costs latency and never data, because whoever hears one (or has waited long enough without) reads
the database again. So hints may be merged freely, and everything that holds them holds at most one a topic.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

# The empty position: "something may have been missed, read again from where you are".
WAKE = ""


class HintWasNotPublished(Exception):
    """Redis did not take the hint in time. Callers may ignore it: readers find the news when they read."""

    def __init__(self, channel: str, reason: str) -> None:
        super().__init__(f"The hint on {channel!r} was not published: {reason}")
        self.channel = channel
        self.reason = reason


@dataclass(frozen=True)
class Hint:
    """Something happened on `topic`, up to `position`; None means that nobody knows how far: read it all."""

    topic: str
    position: str | None


def merged(waiting: str | None, arrived: str) -> str:
    """The one position that stands for both: the newest, unless a wake is waiting, which already covers any.

    The newest alone would not do there: a reader that is past it might not read, and miss what was missed.
    """
    return WAKE if waiting == WAKE else arrived


class Mailbox:
    """At most one waiting position a channel, handed out in the order in which the channels first had one."""

    def __init__(self) -> None:
        # Not a dict: taking its first again and again is quadratic, it leaves holes to be stepped over.
        self._waiting: OrderedDict[str, str] = OrderedDict()
        self._arrived = asyncio.Event()

    def put(self, channel: str, position: str) -> bool:
        """Keep `position`; True when it was merged with one that nobody has taken yet."""
        waiting = self._waiting.get(channel)
        self._waiting[channel] = merged(waiting, position)
        self._arrived.set()
        return waiting is not None

    async def take(self) -> tuple[str, str]:
        """The next channel and its position, waiting for one if need be."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popitem(last=False)
