"""Which channels a process wants to hear, and which of them Redis has really confirmed on this connection."""

from __future__ import annotations

import asyncio
from collections import Counter


class Wishes:
    """The books between those who want channels (never suspended) and the task that talks to Redis about it.

    `last` is a channel that is always wanted and asked for after all others: as Redis answers in order, its
    confirmation says that everything wanted at the time of connecting is confirmed.
    """

    def __init__(self, last: str) -> None:
        self._last = last
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._confirmed: set[str] = set()
        self._unanswered: Counter[str] = Counter()
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def want(self, channel: str) -> None:
        self._wanted.add(channel)
        self._note(channel)

    def drop(self, channel: str) -> None:
        self._wanted.discard(channel)
        if channel in self._asked:
            self._note(channel)
        else:  # never asked for, nothing to take back: comings and goings during an outage leave no trace
            self._changed.pop(channel, None)

    def wants(self, channel: str) -> bool:
        return channel in self._wanted or channel == self._last

    def confirmed(self, channel: str) -> bool:
        """Whether Redis, on the connection that lives now, has said that it will send us this channel."""
        return channel in self._confirmed and self.wants(channel)

    def connected(self) -> None:
        """A new connection knows nothing: everything wanted is to be asked for."""
        self.disconnected()
        self._changed = dict.fromkeys([*self._wanted, self._last])
        self._news.set()

    def disconnected(self) -> None:
        """Nothing is confirmed any more."""
        self._asked.clear()
        self._confirmed.clear()
        self._unanswered.clear()

    async def due(self) -> tuple[list[str], list[str]]:
        """Wait for a change: the channels to subscribe to, those to unsubscribe from. The caller sends it."""
        await self._news.wait()
        self._news.clear()
        changed, self._changed = self._changed, {}
        subscribe = [c for c in changed if self.wants(c) and c not in self._asked]
        unsubscribe = [c for c in changed if not self.wants(c) and c in self._asked]
        self._asked.update(subscribe)
        self._asked.difference_update(unsubscribe)
        self._confirmed.difference_update(unsubscribe)
        self._unanswered.update(subscribe)
        self._unanswered.update(unsubscribe)
        return subscribe, unsubscribe

    def answered(self, channel: str) -> bool:
        """Redis has answered one (un)subscription of `channel`. True when the channel is confirmed by this.

        Answers are counted: after a quick leave and return three are under way, and the first of them, to the
        first "subscribe", comes before the "unsubscribe" has been carried out.
        """
        self._unanswered[channel] -= 1
        if self._unanswered[channel] > 0:
            return False
        del self._unanswered[channel]
        if channel not in self._asked:
            return False
        self._confirmed.add(channel)
        return True

    def _note(self, channel: str) -> None:
        self._changed[channel] = None
        self._news.set()
