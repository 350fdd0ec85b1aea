"""The embedded PostgreSQL: a cluster in the data directory, and its server as our direct child.

The server runs in its data directory and knows it only as `/proc/self/cwd`: we enter the directory before
giving up root, so that its parents may be closed to the user id it runs under (a checkout in root's home).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg

from core.children import Account, Child, Program, spawn
from core.datadir import CannotStart, DataDirectory, sync_folder, told_plainly
from core.engine_files import ENVIRONMENT, EngineLog, predecessor_gone, until_it_answers

HERE = "/proc/self/cwd"
SUPERUSER = "postgres"
ROLE = DATABASE = "antiphon"

# Crash recovery replays at most `max_wal_size`: seconds on an SSD, and far below this on anything.
START_SECONDS = 60.0
# The shutdown checkpoint writes at most 128 MB of dirty buffers.
STOP_SECONDS = 10.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # paths are limited to 107 bytes, and one address is enough
    "max_connections": "200",  # the pools of API and workers, and a psql or two; an idle one takes 2 MB
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",  # half of the default: small disks, short recovery
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "antiphon",
    # Errors and their details quote what people wrote; the application logs its own. This keeps the server's
    # life only (the level `log` lies above `error`).
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}

INITDB = (
    f"--pgdata={HERE}",
    f"--username={SUPERUSER}",
    "--pwfile=../password",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
    "--no-clean",
)

# From <sched.h>, <linux/prctl.h> and Debian's base-passwd.
CLONE_NEWUSER, PR_SET_DUMPABLE, NOBODY = 0x10000000, 4, 65534

_libc = ctypes.CDLL(None, use_errno=True)


class MadeByAnotherVersion(CannotStart):
    """The cluster is of another major version, which this server cannot read."""

    def __init__(self, folder: Path, made_by: str, ours: str) -> None:
        super().__init__(
            f"{folder} was made by PostgreSQL {made_by}, and this is {ours}: "
            "dump it with the release of Antiphon that made it (pg_dump), move the directory away, "
            "start again and restore; or set DATABASE_URL to a server of your own."
        )
        self.made_by = made_by
        self.ours = ours


@dataclass(frozen=True)
class Cluster:
    """A cluster and what it takes to run it.

    `createdb`: whether the application's role may make databases, as the tests do.
    """

    data: DataDirectory
    programs: Path
    account: Account | None
    createdb: bool
    log: EngineLog
    password: str = field(repr=False)
    superuser_password: str = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.data.path / "postgres"

    def url(self, port: int) -> str:
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{port}/{DATABASE}"


def cluster_in(data: DataDirectory, account: Account | None, *, programs: Path, createdb: bool) -> Cluster:
    """The cluster of this data directory, made or not."""
    return Cluster(
        data=data,
        programs=programs,
        account=account,
        createdb=createdb,
        log=EngineLog(data, "postgres"),
        password=data.secret("postgres-antiphon"),
        superuser_password=data.secret("postgres-superuser"),
    )


async def prepare(cluster: Cluster) -> None:
    """Make the cluster where it is missing: whole or not at all, whenever we are killed.

    Raises `CannotStart`.
    """
    if cluster.folder.exists():
        _check_version(cluster)
        return
    new = cluster.data.path / "postgres.new"
    async with predecessor_gone(cluster.data, "postgres") as lock:
        with told_plainly(new):
            _lay_out(new, cluster)
        with cluster.log.open() as log:
            child = spawn(_initdb(cluster, new / "cluster", lock=lock, log=log))
        try:
            status = await child.wait()
        finally:
            await child.stop()
        if status != 0:
            raise cluster.log.failure()
        with told_plainly(new):
            os.rename(new / "cluster", cluster.folder)
            sync_folder(cluster.data.path)
            shutil.rmtree(new)


async def start(cluster: Cluster, port: int) -> Child:
    """Start the server and wait until the role and the database are there.

    Raises `PortIsTaken` or `CannotStart`.
    """
    async with predecessor_gone(cluster.data, "postgres") as lock:
        # Nobody works on these files (we hold the lock), so the number in this file is of a dead process, or
        # by now of somebody else's, which would keep the server from starting.
        (cluster.folder / "postmaster.pid").unlink(missing_ok=True)
        with cluster.log.open() as log:
            child = spawn(_server(cluster, port, lock=lock, log=log))
    answers = partial(_answers, cluster, port)
    return await until_it_answers(child, answers, port=port, log=cluster.log, seconds=START_SECONDS)


def _check_version(cluster: Cluster) -> None:
    """The first line of `postgres.bki` is what initdb itself goes by: `# PostgreSQL 18`."""
    with (cluster.programs.parent / "share" / "postgres.bki").open() as bki:
        ours = bki.readline().split()[-1]
    try:
        made_by = (cluster.folder / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise CannotStart(
            f"{cluster.folder} is not a PostgreSQL data directory ({error.strerror}): "
            "restore it from a backup, or move it away to begin empty."
        ) from None
    if made_by != ours:
        raise MadeByAnotherVersion(cluster.folder, made_by, ours)


def _lay_out(new: Path, cluster: Cluster) -> None:
    """An empty folder for initdb, and beside it the superuser's password, both for the account alone."""
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    (new / "cluster").mkdir(mode=0o700)
    password = new / "password"
    password.touch(mode=0o600)
    password.write_text(cluster.superuser_password + "\n")
    if cluster.account:
        for path in (password, new / "cluster", new):
            os.chown(path, cluster.account.uid, cluster.account.gid)


def _initdb(cluster: Cluster, folder: Path, *, lock: int, log: int) -> Program:
    return Program(
        argv=(str(cluster.programs / "initdb"), *INITDB),
        account=cluster.account,
        folder=folder,
        environment=ENVIRONMENT,
        output=log,
        keep_open=(lock,),
        stop_signal=signal.SIGKILL,  # what it made is thrown away
        before_exec=_name_for(cluster.account.uid if cluster.account else os.geteuid()),
    )


def _server(cluster: Cluster, port: int, *, lock: int, log: int) -> Program:
    settings = {**SETTINGS, "port": str(port)}
    return Program(
        argv=(
            str(cluster.programs / "postgres"),
            f"-D{HERE}",
            *(f"--{name}={value}" for name, value in settings.items()),
        ),
        account=cluster.account,
        folder=cluster.folder,
        environment=ENVIRONMENT,
        output=log,
        keep_open=(lock,),
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        stop_seconds=STOP_SECONDS,
    )


def _name_for(uid: int) -> Callable[[], None] | None:
    """initdb looks up its user's name, and an arbitrary user id (`docker run --user`) has none.

    For such a one, initdb runs in a user namespace in which it is called `nobody`; outside, its files are
    `uid`'s. Where namespaces are forbidden it runs without, and says itself what it misses.
    """
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return partial(_be_nobody, uid)
    return None


def _be_nobody(uid: int) -> None:
    if _libc.unshare(CLONE_NEWUSER) == 0:
        # After a change of user the files in /proc/self belong to root.
        _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        with contextlib.suppress(OSError), open("/proc/self/uid_map", "w") as uid_map:
            uid_map.write(f"{NOBODY} {uid} 1\n")


async def _answers(cluster: Cluster, port: int) -> bool:
    """Whether the server lets us in; once it does, the role and the database are made what they should be."""
    try:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=port,
            user=SUPERUSER,
            password=cluster.superuser_password,
            database=SUPERUSER,
            ssl=False,
        )
    except asyncpg.InvalidPasswordError:
        raise CannotStart(
            f"PostgreSQL refuses the password in {cluster.data.path / 'secrets' / 'postgres-superuser'}: "
            "restore that file; it was made together with the data."
        ) from None
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
        return False
    try:
        await _make_role_and_database(connection, cluster)
    finally:
        await connection.close()
    return True


async def _make_role_and_database(connection: asyncpg.Connection, cluster: Cluster) -> None:
    """Idempotent, and run at each start: the password file and `createdb` are always what counts."""
    if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", ROLE):
        await connection.execute(f"create role {ROLE}")
    # The password is URL-safe text of our own making: nothing in it needs quoting.
    await connection.execute(
        f"alter role {ROLE} login nosuperuser nobypassrls nocreaterole noreplication "
        f"{'createdb' if cluster.createdb else 'nocreatedb'} password '{cluster.password}'"
    )
    if not await connection.fetchval("select exists (select from pg_database where datname = $1)", DATABASE):
        await connection.execute(f"create database {DATABASE} owner {ROLE}")
