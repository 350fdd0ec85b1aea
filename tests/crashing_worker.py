"""Workers that are killed: `python -m tests.crashing_worker DATABASE_URL REDIS_URL FOLDER`.

Each line of JSON on stdin is a life: a fork of this process (which has imported everything, so that a life begins in
milliseconds) that works as an arq worker with the product's own functions until its queue is empty, or it is killed.
Two lines of JSON come back: its number at the start, and its end.

The product knows nothing of this. What a worker is given is wrapped: each call of the database, the provider and the
store passes `points`, and a life may be told at which of them the kernel shall kill it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import structlog
from arq import Worker

import jobs.run
import jobs.upkeep
import models.generations
from auth.media import media_url
from core.bells import make_ring
from core.clock import system_clock
from core.db import Actor, Bell, Database, Ring, Transaction, connect_database
from core.ids import new_id
from core.pool import WorkPool
from core.queue import QUEUE_NAME, connect_redis, decode_job, encode_job
from jobs.context import WorkerContext
from jobs.functions import CRON_JOBS, FUNCTIONS
from providers.storage import Storage, open_storage
from tests.vendor import Vendor


@dataclass(frozen=True)
class Life:
    """How a worker lives. `generation` is rung for at its beginning; without it, everything that was missed is.

    `crash_at` is the number (from 1) of the point at which it is killed; `poison` kills it whenever it polls a task
    with that prompt. `lasting` lives go on when the queue is empty, and have the upkeep's clockwork.
    Lives of one `name` share a queue.
    """

    name: str
    generation: str | None = None
    crash_at: int | None = None
    poison: str | None = None
    lasting: bool = False
    lease_seconds: float | None = None


class Points:
    """Counts, writes down, and kills."""

    def __init__(self, life: Life, folder: Path) -> None:
        self.crash_at = life.crash_at
        self.passed = 0
        self.file = os.open(folder / f"points-{life.name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, name: str) -> None:
        self.passed += 1
        os.write(self.file, f"{name}\n".encode())
        if self.passed == self.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)


class WatchedDatabase(Database):
    points: Points

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Transaction]:
        async with super().begin(actor) as tx:
            yield tx
            self.points("before a commit")
        self.points("after the bells")


def watched_ring(ring: Ring, points: Points) -> Ring:
    async def ring_all(bells: list[Bell]) -> None:
        points("after a commit")
        await ring(bells)

    return ring_all


class WatchedStorage(Storage):
    points: Points

    async def put_file(self, path: Path, key: str, content_type: str) -> None:
        self.points("before storing")
        await super().put_file(path, key, content_type)
        self.points("after storing")


class InThreads(WorkPool):
    """The pool's work in this process: a pool of processes takes a second to start, and has its own tests."""

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(fn, *args, **kwargs)


def shorten(lease_seconds: float) -> None:
    lease = timedelta(seconds=lease_seconds)
    models.generations.LEASE = jobs.run.LEASE = lease  # type: ignore[attr-defined]
    jobs.upkeep.MISSED = timedelta(0)
    jobs.upkeep.RING_AGAIN_SECONDS = 1


async def live(life: Life, database_url: str, redis_url: str, folder: Path) -> None:
    """Work until there is nothing to do, or for ever."""
    points = Points(life, folder)
    redis = connect_redis(redis_url)
    queue = f"{QUEUE_NAME}:{life.name}"
    redis.default_queue_name = queue

    async def publish(topic: str, position: str) -> None:
        await redis.publish(topic, position)

    engine = connect_database(database_url, name="antiphon-test-life")
    db = WatchedDatabase(engine, watched_ring(make_ring(redis, publish), points))
    storage = open_storage((folder / "media").as_uri())
    storage.__class__ = WatchedStorage
    db.points = cast("WatchedStorage", storage).points = points
    provider = Vendor(folder / "vendor", points, poison=life.poison)
    context = WorkerContext(
        db=db,
        redis=redis,
        storage=storage,
        providers={"synth": provider},
        pool=InThreads(1),
        scratch=folder / "scratch",
        media_url=lambda key: media_url("http://studio.test", key, secret=b"", now=system_clock()),
        clock=system_clock,
        new_id=new_id,
        rng=random.Random(1),
    )
    if life.generation is None:
        await jobs.upkeep.ring_for_missed(context)
    else:
        await redis.enqueue_job("generations.submit", life.generation)
    await work(life, context, queue)
    await redis.aclose()
    await engine.dispose()


async def work(life: Life, context: WorkerContext, queue: str) -> None:
    worker = Worker(
        functions=FUNCTIONS,
        cron_jobs=CRON_JOBS if life.lasting else None,
        queue_name=queue,
        redis_pool=context.redis,
        burst=not life.lasting,
        poll_delay=0.01,
        max_jobs=50,
        keep_result=0,
        handle_signals=False,
        job_serializer=encode_job,
        job_deserializer=decode_job,
        ctx={"worker": context},
    )
    await worker.async_run()


def fork(life: Life, database_url: str, redis_url: str, folder: Path) -> int:
    """Start a life; the number of its process."""
    number = os.fork()
    if number:
        return number
    try:
        if life.lease_seconds is not None:
            shorten(life.lease_seconds)
        asyncio.run(live(life, database_url, redis_url, folder))
    except BaseException:
        structlog.get_logger().exception("life.failed")
        os._exit(1)
    os._exit(0)


def main(database_url: str, redis_url: str, folder: str) -> None:
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for line in sys.stdin:
        number = fork(Life(**json.loads(line)), database_url, redis_url, Path(folder))
        tell({"pid": number})
        _, status = os.waitpid(number, 0)
        tell({"ended": os.waitstatus_to_exitcode(status)})


def tell(facts: dict[str, int]) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
