"""What the tests of the embedded engines share: engines in this process, and in others that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import asyncpg

from core.datadir import open_data_dir
from core.engines import Engines, start_engines

# Run by root, the tests try root, an ordinary user, and a user id without a name; else the user who runs them.
ROOT = os.geteuid() == 0
NAMELESS = 12345
DAEMON = pwd.getpwnam("daemon").pw_uid
USERS = [0, DAEMON, NAMELESS] if ROOT else [os.geteuid()]
REPOSITORY = Path(__file__).parent.parent

Log = list[MutableMapping[str, Any]]


@contextlib.asynccontextmanager
async def running(path: Path, *, createdb: bool = False) -> AsyncIterator[Engines]:
    with open_data_dir(path) as data:
        engines = await start_engines(data, postgres=True, valkey=True, createdb=createdb)
        try:
            yield engines
        finally:
            await engines.stop()


async def sql(url: str, statement: str) -> Any:
    """The value that one statement answers with, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


class Instance:
    """Another process with engines in `directory`, as user `uid`."""

    def __init__(self, directory: Path, uid: int) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine_instance", str(directory), str(uid)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def told(self) -> dict[str, Any]:
        assert self.process.stdout
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def ended(self) -> int:
        """Its exit status, once it has ended."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=30)

    def end(self, how: signal.Signals | None = None) -> None:
        """Kill it, or without a signal let it stop in order, and wait until nothing of it is left."""
        if how is not None:
            self.process.send_signal(how)
        self.ended()
        eventually(lambda: not processes_in(self.directory), f"processes left in {self.directory}")


def processes_in(directory: Path) -> list[int]:
    """The processes that work in the directory: by that, engines are known for certain, whatever their number."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith(f"{directory}/"):
                found.append(int(link.parent.name))
    return found


def arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def exists(pid: int) -> bool:
    """Whether the process still does anything: one that ended, but was not yet asked how, has no arguments."""
    try:
        return bool(arguments(pid))
    except OSError:
        return False


def eventually(holds: Callable[[], bool], complaint: str, *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


@contextlib.contextmanager
def directory_for(uid: int) -> Iterator[Path]:
    """A directory for `uid`, in a folder of its own that only it can enter."""
    place = Path(tempfile.mkdtemp(prefix="antiphon-test-"))
    try:
        if uid != os.geteuid():
            os.chown(place, uid, uid)
        yield place / "data"
    finally:
        shutil.rmtree(place)


@contextlib.contextmanager
def instance(directory: Path, uid: int) -> Iterator[Instance]:
    started = Instance(directory, uid)
    try:
        yield started
    finally:
        if started.process.returncode is None:
            started.end(signal.SIGKILL)


async def logged(log: Log, event: str, times: int) -> None:
    async with asyncio.timeout(30):
        while sum(entry["event"] == event for entry in log) < times:
            await asyncio.sleep(0.02)
