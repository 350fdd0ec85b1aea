"""The worker's composition root: `arq jobs.worker.WorkerSettings`.

Run as many as you like, on as many machines: the rows in PostgreSQL keep them from doing anything twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
from arq.connections import ArqRedis, RedisSettings
from redis.exceptions import RedisError

from auth.keys import derive_key
from auth.media import media_url
from core.bells import make_ring
from core.clock import system_clock
from core.datadir import SIGNING_KEY, CannotStart, secret_in
from core.db import Database, connect_database
from core.ids import new_id
from core.log import configure_logs
from core.migrations import DatabaseIsBehind, require_newest
from core.pool import WorkPool
from core.queue import QUEUE_NAME, connect_redis, decode_job, encode_job, report_alive, report_gone
from core.roles import RoleIsNotBound, bound_role
from core.settings import Settings, SettingsRefused, read_settings
from core.topics import Topics
from jobs.context import WorkerContext
from jobs.functions import CRON_JOBS, FUNCTIONS
from providers.opening import open_providers
from providers.storage import open_storage

AT_ONCE = 50  # jobs of one worker: most of them wait for a provider; rendering and encoding are bounded by the pool
POLL_SECONDS = 0.1  # how long a job waits to be picked up, at most; a look at an empty queue costs 0.1 ms of Redis
MOST_PROCESSES = 4  # a render of eight minutes takes 700 MB; whoever has more cores runs more workers
REPORT_SECONDS = 3.0  # how often a worker says that it lives


def worker_settings(environ: dict[str, str] | Any) -> Settings:
    """Settings with both engines named. A worker on its own has nothing to embed them in."""
    try:
        settings = read_settings(environ)
    except SettingsRefused as refused:
        raise SystemExit(str(refused)) from None
    if settings.embeds_engines:
        raise SystemExit(
            "A worker on its own needs DATABASE_URL and REDIS_URL, the same as the API has; "
            "`make run` starts one by itself."
        )
    return replace(settings, secret_key=settings.secret_key or secret_in(settings.data_dir, SIGNING_KEY))


async def start(ctx: dict[Any, Any]) -> None:
    """Build what jobs use. Nothing is asked of PostgreSQL but who we are."""
    settings: Settings = ctx["settings"]
    configure_logs(json=settings.production)
    assert settings.database_url
    assert settings.redis_url
    assert settings.secret_key
    try:
        await require_newest(settings.database_url)
        role = await bound_role(settings.database_url, production=settings.production)
    except (CannotStart, DatabaseIsBehind, RoleIsNotBound, OSError, asyncpg.PostgresError) as reason:
        raise SystemExit(f"The worker cannot start: {reason}") from None
    engine = connect_database(settings.database_url, name="antiphon-worker", role=role, pool_size=20)
    redis = connect_redis(settings.redis_url)
    topics = Topics(settings.redis_url)
    scratch = settings.data_dir / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    pool = WorkPool(min(os.cpu_count() or 1, MOST_PROCESSES))
    pool.warm("providers.synth_render", "providers.preparing")
    secret = derive_key(settings.secret_key, "media")
    ctx["topics"], ctx["worker"] = (
        topics,
        WorkerContext(
            db=Database(engine, make_ring(redis, topics.publish)),
            redis=redis,
            storage=open_storage(settings.media_store),
            providers=open_providers(settings, pool, scratch),
            pool=pool,
            scratch=scratch,
            media_url=lambda key: media_url(settings.public_url, key, secret=secret, now=system_clock()),
            clock=system_clock,
            new_id=new_id,
            rng=random.Random(),  # noqa: S311 -- jitter, not a secret
        ),
    )
    await topics.start()
    name = f"{socket.gethostname()}:{os.getpid()}"
    ctx["reporting"] = asyncio.create_task(_report(redis, name), name=name)


async def _report(redis: ArqRedis, name: str) -> None:
    """Say again and again that this worker lives; nobody hears it while Redis is away."""
    while True:
        with suppress(RedisError):
            await report_alive(redis, name)
        await asyncio.sleep(REPORT_SECONDS)


async def stop(ctx: dict[Any, Any]) -> None:
    worker: WorkerContext = ctx["worker"]
    ctx["reporting"].cancel()
    with suppress(RedisError):
        await report_gone(worker.redis, ctx["reporting"].get_name())
    for provider in worker.providers.values():
        await provider.aclose()
    await ctx["topics"].stop()
    await worker.pool.aclose()
    await worker.redis.aclose()
    await worker.db.close()


class WorkerSettings:
    """What `arq` reads. It takes no inherited attributes, so all stand here."""

    _settings = worker_settings(os.environ)
    ctx = {"settings": _settings}  # noqa: RUF012 -- arq's form
    redis_settings = RedisSettings.from_dsn(_settings.redis_url or "")
    queue_name = QUEUE_NAME
    functions = FUNCTIONS
    cron_jobs = CRON_JOBS
    on_startup = start
    on_shutdown = stop
    max_jobs = AT_ONCE
    job_timeout = 120
    keep_result = 0
    poll_delay = POLL_SECONDS
    job_serializer = encode_job
    job_deserializer = decode_job
    log_results = False
