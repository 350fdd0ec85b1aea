"""The process pool: what it gives back, what kills it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.pool import NICENESS, PoolClosed, WorkerDiedTwice, WorkPool

PARENT = """
import asyncio, os, sys, time
from core.pool import WorkPool

async def main():
    pool = WorkPool(2)
    first = await asyncio.gather(*(pool.run(os.getpid) for _ in range(8)))
    print(*(child.pid for child in __import__("multiprocessing").active_children()), flush=True)
    await pool.run(time.sleep, 60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def with_pool(scene: Callable[[WorkPool], Coroutine[Any, Any, None]], processes: int = 1) -> None:
    async def play() -> None:
        pool = WorkPool(processes)
        try:
            await scene(pool)
        finally:
            await pool.aclose()

    asyncio.run(play())


def die_once(marker: str) -> str:
    """Killed the first time, well the second: a child that the kernel took for its memory."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(text: str) -> None:
    raise ValueError(text)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids: list[int], within_seconds: float = 10.0) -> bool:
    end = time.monotonic() + within_seconds
    while time.monotonic() < end:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_work_is_done_in_another_process_that_steps_back() -> None:
    async def scene(pool: WorkPool) -> None:
        assert await pool.run(os.getpid) != os.getpid()
        assert await pool.run(os.nice, 0) == min(19, os.nice(0) + NICENESS)

    with_pool(scene)


def test_an_exception_of_the_work_is_raised_here() -> None:
    async def scene(pool: WorkPool) -> None:
        with pytest.raises(ValueError, match="like this"):
            await pool.run(fail, "like this")

    with_pool(scene)


def test_a_killed_child_costs_one_retry_and_not_the_pool(tmp_path: Path) -> None:
    async def scene(pool: WorkPool) -> None:
        assert await pool.run(die_once, str(tmp_path / "died")) == "alive"
        assert await pool.run(os.getpid) != os.getpid()

    with_pool(scene)


def test_all_jobs_survive_the_death_of_one_childs_neighbour(tmp_path: Path) -> None:
    async def scene(pool: WorkPool) -> None:
        jobs = [pool.run(die_once, str(tmp_path / "died")), *(pool.run(abs, -n) for n in range(6))]
        assert await asyncio.gather(*jobs) == ["alive", *range(6)]

    with_pool(scene, processes=2)


def test_work_that_kills_every_child_is_given_up() -> None:
    async def scene(pool: WorkPool) -> None:
        with pytest.raises(WorkerDiedTwice):
            await pool.run(die)
        assert await pool.run(abs, -1) == 1

    with_pool(scene)


def test_the_event_loop_runs_on_while_a_child_works() -> None:
    async def scene(pool: WorkPool) -> None:
        await pool.run(abs, 1)
        longest, last = 0.0, time.monotonic()
        job = asyncio.ensure_future(pool.run(spin, 1.0))
        while not job.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest < 0.5  # half of what the work takes; it would be all of it on the loop

    with_pool(scene)


def test_ctrl_c_is_left_to_the_parent() -> None:
    async def scene(pool: WorkPool) -> None:
        child = await pool.run(os.getpid)
        os.kill(child, signal.SIGINT)
        assert await pool.run(os.getpid) == child

    with_pool(scene)


def test_closing_ends_children_in_the_middle_of_their_work() -> None:
    async def scene(pool: WorkPool) -> None:
        child = await pool.run(os.getpid)
        job = asyncio.ensure_future(pool.run(time.sleep, 60))
        await asyncio.sleep(0.1)
        await pool.aclose()
        assert gone([child])
        with pytest.raises(PoolClosed):
            await job

    with_pool(scene)


def test_a_killed_parent_leaves_no_orphans(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(alive(child) for child in children)
        parent.kill()
        assert gone(children)
