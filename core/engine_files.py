"""What each embedded engine has beside its data: a lock that tells when its predecessor is gone; a log."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from core.children import Child, ChildEnded
from core.datadir import CannotStart, DataDirectory, DiskIsFull, told_plainly
from core.ports import PortIsTaken, is_free

# The kernel tells the engine of a killed instance, which needs 10 ms to some seconds to save its state.
PREDECESSOR_SECONDS = 30.0
LOOK_SECONDS = 0.01

# Two files of this size a log: months of an engine that only says when it starts, stops and fails.
LOG_BYTES = 5 * 1024 * 1024

# Appended to, so that it can be emptied under its writer; never through a link, which in a directory that is
# not root's own could lead root anywhere.
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW

# Nothing of the user's environment, as PGDATA or LC_ALL there would reach into the engines.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"}

# How PostgreSQL, initdb and Valkey mark a line that tells why they end.
COMPLAINTS = ("FATAL", "PANIC", "error:", " # ")


class EngineStillStopping(CannotStart):
    """The engine of an earlier instance holds `lock` and does not end."""

    def __init__(self, engine: str, lock: Path) -> None:
        super().__init__(
            f"The {engine} of an earlier instance is still running after {PREDECESSOR_SECONDS:.0f} s: "
            f"end the process that `fuser {lock}` names, then start again."
        )
        self.engine = engine


class EngineFailed(CannotStart):
    """The engine ended, or did not answer, instead of starting; `complaint` is its own last word."""

    def __init__(self, engine: str, complaint: str, log: Path) -> None:
        super().__init__(f"{engine} did not start: {complaint.rstrip('.')}. Its log is {log}.")
        self.engine = engine
        self.complaint = complaint


@contextlib.asynccontextmanager
async def predecessor_gone(data: DataDirectory, engine: str) -> AsyncIterator[int]:
    """A descriptor holding the engine's lock, for the new engine to inherit. Raises `EngineStillStopping`.

    The engine and all its processes hold the lock by inheritance until the last of them has ended. Whoever
    has it therefore knows, without trusting any process number, that nobody works on these files.
    """
    path = data.path / f"{engine}.lock"
    with told_plainly(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        await _wait_for(lock, engine, path)
        yield lock
    finally:
        os.close(lock)


async def _wait_for(lock: int, engine: str, path: Path) -> None:
    try:
        async with asyncio.timeout(PREDECESSOR_SECONDS):
            while not _take(lock):  # noqa: ASYNC110  another process holds it, and sends no event
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise EngineStillStopping(engine, path) from None


async def until_it_answers(
    child: Child, answers: Callable[[], Awaitable[bool]], *, port: int, log: EngineLog, seconds: float
) -> Child:
    """`child` once it answers; else it is stopped, and `PortIsTaken` or `CannotStart` tells why."""
    try:
        await child.until(answers, seconds=seconds)
    except BaseException as error:
        await child.stop()
        if isinstance(error, ChildEnded):
            raise log.failure() if is_free(port) else PortIsTaken(port) from None
        if isinstance(error, TimeoutError):
            raise EngineFailed(log.engine, f"no answer in {seconds:.0f} s", log.path) from None
        raise
    return child


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class EngineLog:
    """An engine's output, `<engine>.log` in the data directory. We open it: the engine need not reach it."""

    def __init__(self, data: DataDirectory, engine: str) -> None:
        self.path = data.path / f"{engine}.log"
        self.engine = engine
        self._started_at = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        """A descriptor to append to. What is written from here on is what `failure` looks at."""
        self.trim()
        with told_plainly(self.path):
            log = os.open(self.path, LOG_FLAGS, 0o600)
        try:
            self._started_at = os.fstat(log).st_size
            yield log
        finally:
            os.close(log)

    def since_start(self) -> str:
        with self.path.open("rb") as log:
            log.seek(self._started_at)
            return log.read(LOG_BYTES).decode(errors="replace")

    def failure(self) -> CannotStart:
        """Why it did not start, from the last line of its own that complains."""
        text = self.since_start()
        if "No space left on device" in text:
            return DiskIsFull(self.path.parent, shutil.disk_usage(self.path.parent).free)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        complaints = [line for line in lines if any(mark in line for mark in COMPLAINTS)]
        return EngineFailed(self.engine, (complaints or lines or ["it said nothing"])[-1], self.path)

    def trim(self) -> None:
        """Keep the log below its size: a full one becomes `.log.1`."""
        with contextlib.suppress(OSError):  # a log that cannot be trimmed stops nothing
            if self.path.stat().st_size > LOG_BYTES:
                kept = self.path.with_suffix(".log.1")
                kept.unlink(missing_ok=True)
                shutil.copyfile(self.path, kept)
                os.truncate(self.path, 0)
