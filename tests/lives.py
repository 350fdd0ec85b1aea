"""Worker processes as a test starts and kills them: see `tests/crashing_worker.py`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.engines import REPOSITORY
from tests.studio import Studio


class Lives:
    """One worker at a time, each the fork of a process that stays."""

    def __init__(self, studio: Studio) -> None:
        self.folder: Path = studio.worker.scratch.parent
        self.log = (self.folder / f"lives-{id(self)}.log").open("wb")
        self.pid = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crashing_worker", studio.database_url, studio.redis_url, str(self.folder)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    async def start(self, **life: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(life)}\n")
        self._process.stdin.flush()
        self.pid = (await self._told())["pid"]

    async def ended(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        status = (await self._told())["ended"]
        self.pid = 0
        return status

    async def live(self, **life: Any) -> int:
        await self.start(**life)
        return await self.ended()

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    async def _told(self) -> dict[str, int]:
        assert self._process.stdout
        async with asyncio.timeout(120):
            told: dict[str, int] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
        return told

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self.log.close()


@asynccontextmanager
async def lives_of(studio: Studio, count: int = 1) -> AsyncIterator[list[Lives]]:
    started = [Lives(studio) for _ in range(count)]
    try:
        yield started
    finally:
        for lives in started:
            lives.close()


async def all_over(studio: Studio, *, seconds: float = 240) -> None:
    """Wait until nothing is left to do, for anybody."""
    async with asyncio.timeout(seconds):
        while (await studio.sql(LEFT))[0]["left"]:
            await asyncio.sleep(0.1)


LEFT = """
select (select count(*) from generations where step is not null)
  + (select count(*) from generation_attempts where state in ('SUBMITTING', 'SUBMITTED', 'IN_DOUBT')) as left"""
