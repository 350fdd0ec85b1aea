"""Redis pub/sub as a backend for `broadcaster.Broadcast`, made to hold.

The one that comes with broadcaster dies silently when Redis restarts, and loses concurrent first subscribers.
This one records wishes without ever suspending; a supervised task connects, asks for what is wanted, listens,
beats its heart on a channel of its own, and starts over when the connection breaks or falls silent.

Each confirmed subscription, after a reconnect as at first, is reported as a message `WAKE` on its channel:
something may have been missed before it. Messages are hints (`core.hints`): they are merged, never queued.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from broadcaster import BroadcastBackend, Event
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.clock import Clock, system_clock
from core.hints import WAKE, HintWasNotPublished, Mailbox
from core.ids import new_id
from core.redis_clients import listening_client, speaking_client
from core.redis_wishes import Wishes

log = structlog.get_logger()

BATCH = 500  # channels in one SUBSCRIBE, about 30 kB: Redis answers others in between
# What is buffered is parsed without suspending, at 7 µs a message; after so many (0.5 ms) others get a turn.
MESSAGES_A_TURN = 64


class RedisFellSilent(Exception):
    """The connection stands, but not even our own heartbeat comes back: Redis or the way to it is frozen."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Redis sent nothing for {seconds:g} s, not even our own heartbeat")
        self.seconds = seconds


@dataclass(frozen=True)
class Pace:
    """How quickly the backend notices and recovers. All in seconds."""

    heartbeat: float = 5.0  # one small message in 5 s; a frozen Redis is noticed after 12.5 s (`silence`)
    connect_timeout: float = 2.0  # a healthy Redis takes milliseconds, one in another zone some tens of them
    publish_timeout: float = 1.0  # a caller waits no longer for a mere hint
    first_pause: float = 0.05  # a restarted Redis is back within a tenth of a second
    longest_pause: float = 2.0  # keeps recovery within seconds however long Redis was away

    @property
    def silence(self) -> float:
        """Two missed heartbeats; the half is the time that the second one may be late."""
        return 2.5 * self.heartbeat

    def pause(self, failures: int, chance: float) -> float:
        """Seconds before the next attempt, after `failures` in a row; `chance` (0 to 1) spreads processes."""
        return min(self.longest_pause, self.first_pause * 2.0 ** min(failures, 30)) * (0.5 + chance / 2)


@dataclass(frozen=True)
class Health:
    """`healthy` since `since`, or not; `reason` says why not (None: the first attempt is still under way)."""

    healthy: bool
    since: datetime
    reason: str | None = None


class RedisBackend(BroadcastBackend):
    """Counters for metrics: successful `connections`, `received` and `dropped` (merged or unwanted) hints."""

    def __init__(
        self,
        url: str,
        *,
        pace: Pace | None = None,
        clock: Clock = system_clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pace = pace or Pace()
        self._clock = clock
        self._chance = chance
        self._heartbeat = f"antiphon:heartbeat:{new_id()}"
        self._wishes = Wishes(last=self._heartbeat)
        self._mailbox = Mailbox()
        self._supervisor: asyncio.Task[None] | None = None
        self._leaving = False
        self._listening = listening_client(url, connect_timeout=self._pace.connect_timeout)
        self._speaking = speaking_client(url, timeout=self._pace.publish_timeout)
        self.health = Health(healthy=False, since=clock())
        self.connections = 0
        self.received = 0
        self.dropped = 0

    async def connect(self) -> None:
        """Begin to connect. Neither fails nor waits when Redis is away."""
        self._supervisor = asyncio.create_task(self._supervise(), name="topics.supervisor")

    async def disconnect(self) -> None:
        self._leaving = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        for client in (self._listening, self._speaking):
            with suppress(RedisError, OSError):  # a frozen peer: the sockets are closed all the same
                await client.aclose()

    async def subscribe(self, group: str) -> None:
        """Record the wish, never suspending: `Broadcast` forgets those who come while it awaits this."""
        self._wishes.want(group)
        if self._wishes.confirmed(group):  # left a moment ago, and Redis has not been told: it goes on
            self._deliver(group, WAKE)

    async def unsubscribe(self, group: str) -> None:
        """Withdraw the wish. Never suspends."""
        self._wishes.drop(group)

    def confirms(self, channel: str) -> bool:
        """Whether Redis, on the connection that lives now, has confirmed the subscription."""
        return self._wishes.confirmed(channel)

    async def publish(self, channel: str, message: Any) -> None:
        """Publish in time or raise HintWasNotPublished; at once when Redis is known to be away."""
        if self.health.reason is not None:
            raise HintWasNotPublished(channel, self.health.reason)
        try:
            await self._speak(channel, message)
        except (RedisError, OSError) as failure:
            raise HintWasNotPublished(channel, reason_of(failure)) from failure

    async def next_published(self) -> Event:
        # One a turn of the loop: after a reconnect thousands are due, and `Broadcast` takes them in one go.
        await asyncio.sleep(0)
        channel, position = await self._mailbox.take()
        return Event(channel, position)

    async def _supervise(self) -> None:
        failures = 0
        while True:
            try:
                await self._live()
            except Exception as failure:  # whatever it was, the hints must come back
                if self._leaving:  # until Python 3.13 a failing task group forgets that it is cancelled as well
                    return
                failures = 0 if self.health.healthy else failures + 1
                self._lost(reason_of(failure))
            await asyncio.sleep(self._pace.pause(failures, self._chance()))

    async def _live(self) -> None:
        """The life of one connection; ends by an exception."""
        pubsub = self._listening.pubsub()
        try:
            async with asyncio.timeout(self._pace.connect_timeout):
                await pubsub.connect()  # type: ignore[no-untyped-call]
            self._wishes.connected()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(pubsub), name="topics.ask")
                tasks.create_task(self._beat(), name="topics.beat")
                tasks.create_task(self._listen(pubsub), name="topics.listen")
        finally:
            self._wishes.disconnected()
            with suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _ask(self, pubsub: PubSub) -> None:
        while True:
            subscribe, unsubscribe = await self._wishes.due()
            for start in range(0, len(subscribe), BATCH):
                await pubsub.subscribe(*subscribe[start : start + BATCH])
            for start in range(0, len(unsubscribe), BATCH):
                await pubsub.unsubscribe(*unsubscribe[start : start + BATCH])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            # A beat that fails is a beat that is not heard: after the second one the listener concludes.
            with suppress(RedisConnectionError, RedisTimeoutError, TimeoutError):
                await self._speak(self._heartbeat, WAKE)

    async def _listen(self, pubsub: PubSub) -> None:
        taken = 0
        while True:
            message = await pubsub.get_message(timeout=self._pace.silence)
            if message is None:
                raise RedisFellSilent(self._pace.silence)
            self._take(message["type"], decoded(message["channel"]), message["data"])
            taken += 1
            if taken % MESSAGES_A_TURN == 0:
                await asyncio.sleep(0)

    def _take(self, kind: str, channel: str, data: Any) -> None:
        if kind == "message":
            if channel != self._heartbeat:
                self.received += 1
                self._deliver(channel, decoded(data))
        elif self._wishes.answered(channel):
            if channel == self._heartbeat:
                self._found()
            else:
                self._deliver(channel, WAKE)

    def _deliver(self, channel: str, position: str) -> None:
        if not self._wishes.wants(channel) or self._mailbox.put(channel, position):
            self.dropped += 1

    async def _speak(self, channel: str, message: str) -> None:
        async with asyncio.timeout(self._pace.publish_timeout):
            await self._speaking.publish(channel, message)

    def _found(self) -> None:
        self.connections += 1
        self.health = Health(healthy=True, since=self._clock())
        log.info("topics.connected", connections=self.connections)

    def _lost(self, reason: str) -> None:
        if self.health.healthy or self.health.reason is None:
            log.warning("topics.disconnected", reason=reason)
        since = self._clock() if self.health.healthy else self.health.since
        self.health = Health(healthy=False, since=since, reason=reason)


def reason_of(failure: BaseException) -> str:
    """One line for people: the first of a group of failures; its type where it has no text (timeouts)."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return str(failure) or type(failure).__name__


def decoded(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
