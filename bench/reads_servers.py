"""The servers that are measured: pinned to a core, started, watched, and stopped with all they started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.reads_contenders import Contender
from bench.serving import REPOSITORY, MeasurementFailed, processes
from core.children import Child, Program, spawn

START_SECONDS = 60.0  # the slowest start seen took 9 s, with the machine busy otherwise


@dataclass(frozen=True)
class Running:
    """A contender that answers, and where it writes what it has to say."""

    contender: Contender
    child: Child
    log: Path

    @property
    def name(self) -> str:
        return self.contender.name


def pin() -> int:
    """Move this process, and what it will start, to one core; the answer is the one that servers get."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise MeasurementFailed("Two cores are needed: one for the server, one for the database and the load.")
    os.sched_setaffinity(0, {cores[1]})
    return cores[0]


@asynccontextmanager
async def running(contender: Contender, folder: Path, core: int) -> AsyncIterator[Running]:
    """The contender, answering, on `core`. Raises `MeasurementFailed`."""
    if await listens(contender.port):  # it would be measured instead
        raise MeasurementFailed(f"Port {contender.port} was taken by somebody else meanwhile: start again.")
    log = folder / f"{contender.port}.log"
    with log.open("ab") as output:
        program = Program(
            argv=contender.argv,
            folder=REPOSITORY,
            environment=contender.environment,
            output=output.fileno(),
            before_exec=lambda: os.sched_setaffinity(0, {core}),
        )
        child = spawn(program)
    try:
        try:
            await child.until(lambda: listens(contender.port), seconds=START_SECONDS)
        except Exception as fault:
            said = log.read_text(errors="replace")[-1000:]
            raise MeasurementFailed(f"{contender.name} did not come up ({fault!r}). It said last:\n{said}") from fault
        yield Running(contender, child, log)
    finally:
        await child.stop()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def spent(root: int) -> float:
    """Seconds of the processors that `root` and everything below it have used, what has ended among it: a pool that is
    too small for its requests opens and closes connections all the time, and each is a process of PostgreSQL's."""
    ticks = 0
    for process in processes(root):
        with suppress(OSError):  # it has just ended
            words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, words[11:15]))  # utime, stime, and those of children waited for: proc_pid_stat(5)
    return ticks / os.sysconf("SC_CLK_TCK")
