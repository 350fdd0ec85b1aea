"""The embedded engines, for whoever has none of their own: PostgreSQL and Valkey, supervised.

`core/children.py` says how they die with us, `core/engine_files.py` how the next instance knows that they
have.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from core import postgres as pg
from core import valkey as vk
from core.binaries import postgres_programs
from core.children import Account, Child, Supervisor
from core.datadir import CannotStart, DataDirectory
from core.engine_files import EngineLog
from core.ports import PortIsTaken, candidates

# How often the engines' logs are looked at; at its fastest an engine writes some hundred bytes a second.
TRIM_SECONDS = 60.0


class NoUnprivilegedUser(CannotStart):
    """We are root, and there is no other user that the engines could run under."""

    def __init__(self) -> None:
        super().__init__(
            "The embedded engines do not run as root, and this system has no user `nobody` to run them as: "
            "start Antiphon as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own."
        )


class Engines:
    """The running engines. A URL is None where that engine was not asked for."""

    def __init__(self, data: DataDirectory, *, log: Any = None) -> None:
        self.database_url: str | None = None
        self.redis_url: str | None = None
        self._data = data
        self._log = log or structlog.get_logger()
        self._running: list[Supervisor] = []
        self._logs: list[EngineLog] = []
        self._cleanup = ExitStack()
        self._trim: asyncio.Task[None] | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The engines' processes, without those that are being started again at this moment."""
        return tuple(supervisor.pid for supervisor in self._running if supervisor.pid)

    async def stop(self) -> None:
        """End them in order, PostgreSQL with a checkpoint. Call it last, when nobody uses them any more."""
        if self._trim:
            self._trim.cancel()
        await asyncio.gather(*(supervisor.stop() for supervisor in self._running))
        self._cleanup.close()

    async def start_postgres(self, account: Account | None, *, createdb: bool) -> None:
        programs = postgres_programs(self._data, account, self._cleanup)
        cluster = pg.cluster_in(self._data, account, programs=programs, createdb=createdb)
        await pg.prepare(cluster)
        self._logs.append(cluster.log)
        port = await self._run("postgres", partial(pg.start, cluster), "database-url")
        self.database_url = cluster.url(port)
        self._data.write("database-url", self.database_url)

    async def start_valkey(self, account: Account | None) -> None:
        bell = vk.bell_in(self._data, account)
        vk.prepare(bell)
        self._logs.append(bell.log)
        port = await self._run("valkey", partial(vk.start, bell), "redis-url")
        self.redis_url = bell.url(port)
        self._data.write("redis-url", self.redis_url)

    async def _run(self, name: str, start: Callable[[int], Awaitable[Child]], note: str) -> int:
        """Start it on the port of last time, or else on another, and keep it running there."""
        for port in candidates(_noted_port(self._data, note)):
            supervisor = Supervisor(name, partial(start, port), log=self._log)
            try:
                await supervisor.start()
            except PortIsTaken:
                continue
            self._running.append(supervisor)
            self._log.info("engine.started", engine=name, port=port, pid=supervisor.pid)
            return port
        raise CannotStart(f"No free port was found on 127.0.0.1 for {name}: look at what listens there (`ss -ltnp`).")

    def keep_logs_small(self) -> None:
        async def trim() -> None:
            while True:
                await asyncio.sleep(TRIM_SECONDS)
                for log in self._logs:
                    log.trim()

        self._trim = asyncio.create_task(trim(), name="trim engine logs")


async def start_engines(
    data: DataDirectory, *, postgres: bool, valkey: bool, createdb: bool = False, log: Any = None
) -> Engines:
    """Start what is asked for, both at once, each supervised from then on. Call it from the main thread.

    `createdb` lets the application's role make databases, as the tests do. Raises `CannotStart`, with nothing
    running.
    """
    engines = Engines(data, log=log)
    try:
        account = engine_account(data)
        starts = [engines.start_postgres(account, createdb=createdb)] if postgres else []
        starts += [engines.start_valkey(account)] if valkey else []
        await _all(starts)
        engines.keep_logs_small()
    except BaseException as error:
        await engines.stop()
        if isinstance(error, OSError):
            raise CannotStart(
                f"The embedded engines cannot be started ({error}): "
                "set DATABASE_URL and REDIS_URL to servers of your own."
            ) from error
        raise
    return engines


async def _all(starts: Sequence[Awaitable[None]]) -> None:
    """Wait for all of them, also where one fails: what has started completely can be stopped completely."""
    for outcome in await asyncio.gather(*starts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def engine_account(data: DataDirectory) -> Account | None:
    """Whom the engines run as: ourselves (None), or when we are root, the directory's owner or else `nobody`.

    PostgreSQL refuses to run as root. No account is made for it: `nobody` is on every system, and what it
    owns here lies below a folder that only root can list.
    """
    if os.geteuid() != 0:
        return None
    owner = data.path.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NoUnprivilegedUser from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def _noted_port(data: DataDirectory, note: str) -> int | None:
    """The port of last time, so that addresses written down elsewhere stay true."""
    try:
        return urlsplit((data.path / note).read_text().strip()).port
    except (OSError, ValueError):
        return None
