"""The queue: arq, used as a bell. What has to happen is a row; a job only says that somebody should look at it.

Losing every job costs latency, never work: the upkeep rings again for what is due.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.db import Job
from core.redis_clients import tls

QUEUE_NAME = "antiphon:jobs"
ALIVE = "antiphon:workers"  # a sorted set: each worker by the time until which its word is good
ALIVE_SECONDS = 10.0  # the clocks of machines differ by less, and three reports fit into it

# A local Redis answers within a millisecond; one that is frozen must not hold a mutation for longer than this.
COMMAND_TIMEOUT = 1.0


def encode_job(job: dict[str, Any]) -> bytes:
    """JSON instead of arq's pickle: what stands in Redis cannot run code."""
    return orjson.dumps(job, default=str)


def decode_job(raw: bytes) -> dict[str, Any]:
    job: dict[str, Any] = orjson.loads(raw)
    return job


def connect_redis(url: str) -> ArqRedis:
    """A client that connects when it is first used. After a restart each idle connection fails once: so one retry."""
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=COMMAND_TIMEOUT,
        socket_connect_timeout=COMMAND_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        **tls(url),
    )
    client = ArqRedis(pool, job_serializer=encode_job, job_deserializer=decode_job, default_queue_name=QUEUE_NAME)
    client.auto_close_connection_pool = True  # the pool is nobody else's, so `aclose` ends its connections
    return client


async def report_alive(redis: ArqRedis, name: str) -> None:
    """A worker lives, and will be taken for dead unless it says so again within `ALIVE_SECONDS`."""
    await redis.zadd(ALIVE, {name: time.time() + ALIVE_SECONDS})


async def report_gone(redis: ArqRedis, name: str) -> None:
    await redis.zrem(ALIVE, name)


async def any_alive(redis: ArqRedis) -> bool:
    """Whether some worker lives."""
    return bool(await redis.zcount(ALIVE, time.time(), "+inf"))


async def forget_workers(redis: ArqRedis) -> None:
    """Whoever lives will say so again."""
    await redis.delete(ALIVE)


async def enqueue(redis: ArqRedis, job: Job) -> None:
    """Ring for a worker. The same key twice is one job."""
    await redis.enqueue_job(job.name, job.id, _job_id=job.key, _defer_by=job.after_seconds or None)
