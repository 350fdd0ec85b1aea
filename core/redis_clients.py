"""How hints reach Redis: one connection that listens for ever, a few that publish in time."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

# A PUBLISH takes well under 1 ms, so a few suffice; the bound is for a Redis that has stopped answering.
PUBLISHING_CONNECTIONS = 8


def listening_client(url: str, *, connect_timeout: float) -> Redis:
    """A client for pub/sub that waits without end: its user watches it by a heartbeat. In seconds."""
    client: Redis = Redis.from_url(url, socket_connect_timeout=connect_timeout, **tls(url))
    return client


def speaking_client(url: str, *, timeout: float) -> Redis:
    """A client for short commands: they fail when connection or answer take more than `timeout` s."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=PUBLISHING_CONNECTIONS,
        socket_timeout=timeout,
        # Once more, at once: after a restart of Redis every connection of the pool is stale and fails once.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        **tls(url),
    )
    return Redis.from_pool(pool)


def tls(url: str) -> dict[str, bool]:
    """Options to check the server's name too: redis-py 5 takes any that a trusted authority signed.

    `?ssl_check_hostname=false` in the URL overrides it.
    """
    return {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
