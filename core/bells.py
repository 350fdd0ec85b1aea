"""What leaves after a commit: jobs for the workers, hints for the subscribers. Best effort: the rows are the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from arq.connections import ArqRedis

from core.db import Bell, Job, Ring
from core.queue import enqueue

log = structlog.get_logger()

Publish = Callable[[str, str], Awaitable[None]]

# With Redis gone a mutation still answers; it waits no longer than this for its bells.
PATIENCE = 2.0


def make_ring(redis: ArqRedis, publish: Publish) -> Ring:
    """The function that a `Database` calls with the bells of each committed transaction."""

    async def ring_one(bell: Bell) -> None:
        try:
            if isinstance(bell, Job):
                await enqueue(redis, bell)
            else:
                await publish(bell.topic, bell.position)
        except Exception as fault:
            # Whatever it was, the commit stands and the upkeep makes up for it.
            log.warning("bell.missed", bell=type(bell).__name__, error=type(fault).__name__)

    async def ring(bells: list[Bell]) -> None:
        if not bells:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(ring_one(bell) for bell in dict.fromkeys(bells)))
        except TimeoutError:
            log.warning("bell.missed", bell=f"{len(bells)} together", error="TimeoutError")

    return ring
