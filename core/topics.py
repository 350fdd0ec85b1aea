"""Topics: what one process says on one, the others hear. Redis pub/sub through `broadcaster`.

    async with topics.subscribe("tracks:42") as subscription:
        await subscription.ready(timeout=2)      # False: Redis is away, go on and poll
        ... read the database ...
        hint = await subscription.wait(timeout=2)  # None: nothing heard, read anyway

However many subscribe to a topic in this process, Redis and `broadcaster` see one. Its queue has no bound,
so it is drained at once into slots of ours that hold one hint each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from broadcaster import Broadcast

from core.clock import Clock, system_clock
from core.hints import WAKE, Hint, merged
from core.redis_backend import Health, Pace, RedisBackend

# Channels are common to all databases of a Redis server, and the server may be shared with other programs.
PREFIX = "antiphon:topic:"


class TopicsHaveStopped(Exception):
    """Somebody subscribes while the process is shutting down."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"No subscription to {topic!r}: the process is shutting down")
        self.topic = topic


@dataclass(frozen=True)
class TopicsStats:
    """Gauges (`subscriptions`, and the distinct `topics` they are on) and counters since the start."""

    subscriptions: int
    topics: int
    reconnects: int
    hints_received: int
    hints_dropped: int  # merged into a newer one before anybody took them, or no longer wanted


class Subscription:
    """One subscriber's slot, for one topic or several. For one reader at a time."""

    def __init__(self, topics: Sequence[str], *, confirmed: Iterable[str]) -> None:
        self.topics = tuple(dict.fromkeys(topics))
        self._unconfirmed = set(self.topics) - set(confirmed)
        self._waiting: Hint | None = None
        self._arrived = asyncio.Event()
        self._confirmed = asyncio.Event()
        if not self._unconfirmed:
            self._confirmed.set()

    async def ready(self, timeout: float) -> bool:
        """True as soon as Redis has confirmed the subscription, False if it has not within `timeout` seconds.

        Read the database *after* this: hints from before it are forgotten, your reading covers them. After False
        go on with polling; a confirmation that comes later is a hint without position.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._confirmed.wait()
            self._take()
        return self._confirmed.is_set()

    async def wait(self, timeout: float) -> Hint | None:
        """The newest hint since the last call, waiting up to `timeout` seconds for one; None if there is none."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        return self._take()

    def offer(self, topic: str, position: str, *, confirmed: bool) -> bool:
        """Put a hint into the slot; True when it was merged with one that nobody has taken yet."""
        if confirmed:
            self._unconfirmed.discard(topic)
            if not self._unconfirmed:
                self._confirmed.set()
        waiting = self._waiting
        newest = merged((waiting.position or WAKE) if waiting else None, position)
        self._waiting = Hint(topic, newest or None)
        self._arrived.set()
        return waiting is not None

    def _take(self) -> Hint | None:
        hint, self._waiting = self._waiting, None
        self._arrived.clear()
        return hint


class Topics:
    """Publish and subscribe to hints. One a process; `start` it, `stop` it."""

    def __init__(self, redis_url: str, *, pace: Pace | None = None, clock: Clock = system_clock) -> None:
        self._backend = RedisBackend(redis_url, pace=pace, clock=clock)
        self._broadcast = Broadcast(backend=self._backend)
        self._members: dict[str, set[Subscription]] = {}
        self._fans: dict[str, asyncio.Task[None]] = {}
        self._started = False
        self._stopped = False
        self._dropped = 0

    async def start(self) -> None:
        """Begin to connect. Neither fails nor waits when Redis is away: it is connected to when it can be."""
        await self._broadcast.connect()
        self._started = True

    async def stop(self) -> None:
        """Leave Redis and end all tasks. Subscriptions that are still open hear nothing more."""
        self._stopped = True
        fans = list(self._fans.values())
        self._fans.clear()
        for fan in fans:
            fan.cancel()
        await asyncio.gather(*fans, return_exceptions=True)
        started, self._started = self._started, False
        # Broadcast cannot disconnect twice, nor when it was never connected.
        await (self._broadcast if started else self._backend).disconnect()

    async def publish(self, topic: str, position: str) -> None:
        """Hint that `topic` has news up to `position` ("" is a hint without position).

        Takes a second at most. Raises HintWasNotPublished, which callers may ignore: readers poll.
        """
        await self._broadcast.publish(PREFIX + topic, position)

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Subscription]:
        """Hear of all `topics` until the block is left. Does not wait for Redis (`Subscription.ready` does).

        Raises TopicsHaveStopped.
        """
        if self._stopped:
            raise TopicsHaveStopped(", ".join(topics))
        confirmed = [topic for topic in topics if self._backend.confirms(PREFIX + topic)]
        subscription = Subscription(topics, confirmed=confirmed)
        self._join(subscription)
        try:
            yield subscription
        finally:
            self._leave(subscription)

    @property
    def health(self) -> Health:
        return self._backend.health

    @property
    def stats(self) -> TopicsStats:
        return TopicsStats(
            subscriptions=sum(map(len, self._members.values())),
            topics=len(self._members),
            reconnects=max(0, self._backend.connections - 1),
            hints_received=self._backend.received,
            hints_dropped=self._backend.dropped + self._dropped,
        )

    def _join(self, subscription: Subscription) -> None:
        for topic in subscription.topics:
            members = self._members.setdefault(topic, set())
            members.add(subscription)
            if topic not in self._fans:
                fan = asyncio.create_task(self._fan_out(topic, members), name=f"topics.fan:{topic}")
                self._fans[topic] = fan

    def _leave(self, subscription: Subscription) -> None:
        for topic in subscription.topics:
            members = self._members[topic]
            members.remove(subscription)
            if not members:
                del self._members[topic]
                if fan := self._fans.pop(topic, None):
                    fan.cancel()

    async def _fan_out(self, topic: str, members: set[Subscription]) -> None:
        channel = PREFIX + topic
        async with self._broadcast.subscribe(channel) as subscriber:
            while True:
                event = await subscriber.get()
                confirmed = self._backend.confirms(channel)
                for subscription in members:
                    self._dropped += subscription.offer(topic, event.message, confirmed=confirmed)
