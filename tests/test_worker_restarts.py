"""The worker as it is really run, with its synthesizer: killed alone, with everything else, and left without Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from core.children import Child, Program, Supervisor, spawn
from core.migrations import migrate
from core.pool import WorkPool
from tests.engines import arguments, directory_for, instance, running
from tests.invariants import check_all
from tests.lives import all_over
from tests.steps import Case, begin
from tests.studio import SECRET, Studio, open_studio

SYNTH_STEMS = 4


async def test_everything_killed_in_the_middle_and_started_again_completes_once(pool: WorkPool, tmp_path: Path) -> None:
    user = os.geteuid()
    with directory_for(user) as directory:
        async with AsyncExitStack() as stack:
            with instance(directory, user) as it:
                told = await asyncio.to_thread(it.told)
                studio = await studio_on(stack, told, pool, tmp_path)
                cases = await some(studio)
                worker = await start_worker(studio)
                await some_submitted(studio)
                it.process.send_signal(signal.SIGSTOP)  # so that nothing is stopped in order
                for pid in (worker.pid, *told["pids"]):
                    os.kill(pid, signal.SIGKILL)
                await worker.wait()
                it.end(signal.SIGKILL)
            with instance(directory, user) as again:
                assert (await asyncio.to_thread(again.told))["database_url"] == told["database_url"]
                assert {(await case.row())["status"] for case in cases} <= {"PENDING", "PROCESSING"}
                worker = await start_worker(studio)
                await all_over(studio)
                await worker.stop()
                await completed_once(studio, cases)
                await stack.aclose()
                again.end()


async def test_a_worker_killed_in_the_middle_is_started_again_and_completes_once(studio: Studio) -> None:
    cases = await some(studio)
    async with supervised(studio) as supervisor:
        await some_submitted(studio)
        first = supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await all_over(studio)
        assert supervisor.pid not in (None, first)
    await completed_once(studio, cases)


async def test_a_worker_told_to_stop_leaves_its_work_to_the_next_at_once(studio: Studio) -> None:
    cases = await some(studio)
    worker = await start_worker(studio)
    await some_submitted(studio)
    await worker.stop()
    rows = await studio.sql("select leased_until, strikes from generations where step is not null")
    assert rows
    assert {tuple(row) for row in rows} == {(None, 0)}
    worker = await start_worker(studio)
    await all_over(studio)
    await worker.stop()
    await completed_once(studio, cases)


async def test_redis_flushed_and_killed_in_the_middle_costs_nothing(pool: WorkPool, tmp_path: Path) -> None:
    with directory_for(os.geteuid()) as directory:
        async with running(directory) as engines, AsyncExitStack() as stack:
            urls = {"database_url": engines.database_url, "redis_url": engines.redis_url}
            studio = await studio_on(stack, urls, pool, tmp_path)
            cases = await some(studio)
            # A worker that meets a dead Redis ends, and is started again; one that meets a new Redis just goes on.
            async with supervised(studio):
                await some_submitted(studio)
                await studio.worker.redis.flushall()
                (valkey,) = [pid for pid in engines.pids if "valkey" in arguments(pid)]
                os.kill(valkey, signal.SIGKILL)
                cases.append(await begin(studio, by=cases[0].owner))
                await all_over(studio)
            await completed_once(studio, cases)


async def studio_on(stack: AsyncExitStack, told: dict[str, Any], pool: WorkPool, folder: Path) -> Studio:
    await migrate(told["database_url"])
    return await open_studio(stack, told["database_url"], told["redis_url"], pool=pool, folder=folder)


async def some(studio: Studio) -> list[Case]:
    """More than the pool can render at once."""
    first = await begin(studio, durationSeconds=30)
    return [first, *[await begin(studio, by=first.owner, durationSeconds=30) for _ in range(3)]]


async def start_worker(studio: Studio) -> Child:
    """`arq jobs.worker.WorkerSettings`, as `server.py` starts it."""
    folder = studio.worker.scratch.parent
    environment = {
        **os.environ,
        "DATABASE_URL": studio.database_url,
        "REDIS_URL": studio.redis_url,
        "ANTIPHON_SECRET_KEY": SECRET,
        "ANTIPHON_DATA_DIR": str(folder),
        "PUBLIC_URL": "http://studio.test",
    }
    argv = (sys.executable, "-m", "arq", "jobs.worker.WorkerSettings")
    with (folder / "worker.log").open("ab") as log:
        return spawn(Program(argv=argv, environment=environment, output=log.fileno()))


@asynccontextmanager
async def supervised(studio: Studio) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor("worker", lambda: start_worker(studio))
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def some_submitted(studio: Studio) -> None:
    """The provider is at work, and nothing is finished."""
    async with asyncio.timeout(240):
        while not await studio.sql("select id from generation_attempts where state = 'SUBMITTED'"):
            await asyncio.sleep(0.02)
    assert not await studio.sql("select id from versions")


async def completed_once(studio: Studio, cases: list[Case]) -> None:
    rows: list[asyncpg.Record] = [await case.row() for case in cases]
    assert {(row["status"], row["attempts"]) for row in rows} == {("COMPLETED", 1)}
    await check_all(studio, accepted=[], stems=SYNTH_STEMS)
