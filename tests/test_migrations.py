"""The migrations, on the embedded PostgreSQL and on 15: up and down, no drift, and whose the rows are."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from core.datadir import CannotStart
from core.db import driver_connection
from core.ids import new_id
from core.migrations import DatabaseIsBehind, migrate, require_newest
from core.pool import WorkPool
from models import Row
from tests.postgres15 import Server, postgres15
from tests.studio import Studio, open_studio

__all__ = ["postgres15"]  # a fixture

ROOT = Path(__file__).parent.parent

# Whom a row belongs to, where the column has another name than `user_id`.
OWNER = {"users": "id", "profiles": "id"}
TABLES = {table.name for table in Row.metadata.sorted_tables}

SERVERS = ["embedded", pytest.param("postgres15", marks=pytest.mark.postgres15)]


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> str:
    """A server of each version, signed in to by an ordinary role that may make databases."""
    if request.param == "embedded":
        return os.environ["TEST_DATABASE_URL"]
    server: Server = request.getfixturevalue("postgres15")
    return server.url


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{new_id().hex}"
    asyncio.run(execute(server_url, f'create database "{name}"'))
    yield named(server_url, name)
    asyncio.run(execute(server_url, f'drop database "{name}" with (force)'))


def named(server_url: str, database: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def alembic(url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    return config


COLUMNS = """
select table_name::text, column_name::text, data_type::text, udt_name::text, is_nullable::text,
  column_default::text, identity_generation::text
from information_schema.columns where table_schema = 'public' and table_name <> 'alembic_version'
"""
CONSTRAINTS = """
select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) from pg_constraint
where connamespace = 'public'::regnamespace and conrelid <> 0 and conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = """
select tablename::text, indexname::text, indexdef from pg_indexes
where schemaname = 'public' and tablename <> 'alembic_version'
"""
ALL_THERE_IS = """
select 'relation', relname::text from pg_class where relnamespace = 'public'::regnamespace
  and relname not in ('alembic_version', 'alembic_version_pkc')
union all select 'type', typname::text from pg_type where typnamespace = 'public'::regnamespace
  and typname not in ('alembic_version', '_alembic_version')
union all select 'function', proname::text from pg_proc where pronamespace = 'public'::regnamespace
union all select 'policy', polname::text from pg_policy
"""


def catalogue(url: str) -> dict[str, set[tuple[Any, ...]]]:
    """All columns, constraints and indexes of a database, as PostgreSQL spells them."""
    queries = {"columns": COLUMNS, "constraints": CONSTRAINTS, "indexes": INDEXES}
    return {name: set(asyncio.run(fetch(url, query))) for name, query in queries.items()}


async def create_from_models(url: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=driver_connection(url, name="antiphon-test"))
    async with engine.begin() as connection:
        await connection.run_sync(Row.metadata.create_all)
    await engine.dispose()


# Up and down


def test_up_down_and_up_again_is_clean_and_free_of_drift(empty_url: str) -> None:
    config = alembic(empty_url)
    command.upgrade(config, "head")
    command.check(config)
    first = catalogue(empty_url)
    command.downgrade(config, "base")
    assert asyncio.run(fetch(empty_url, ALL_THERE_IS)) == []
    command.upgrade(config, "head")
    assert catalogue(empty_url) == first


def test_the_migrations_make_what_the_models_say_to_the_letter(server_url: str, empty_url: str) -> None:
    """Alembic's own check looks past check constraints, expressions in indexes and what happens on delete."""
    name = f"models_{new_id().hex}"
    asyncio.run(execute(server_url, f'create database "{name}"'))
    try:
        asyncio.run(create_from_models(named(server_url, name)))
        wanted = catalogue(named(server_url, name))
    finally:
        asyncio.run(execute(server_url, f'drop database "{name}" with (force)'))
    command.upgrade(alembic(empty_url), "head")
    assert catalogue(empty_url) == wanted


def test_processes_that_migrate_at_once_take_turns(empty_url: str) -> None:
    at_once = [start_alembic("upgrade", "head", environment={"DATABASE_URL": empty_url}) for _ in range(3)]
    told = [process.communicate(timeout=60)[1] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0, 0], told
    asyncio.run(require_newest(empty_url))


async def test_a_database_that_is_behind_is_named_with_the_remedy(empty_url: str) -> None:
    with pytest.raises(DatabaseIsBehind, match="run `alembic upgrade head` first"):
        await require_newest(empty_url)


async def test_a_database_of_a_newer_release_is_left_alone(empty_url: str) -> None:
    await migrate(empty_url)
    await execute(empty_url, "update alembic_version set version_num = '9999'")
    with pytest.raises(CannotStart, match="9999"):
        await migrate(empty_url)


def test_the_newest_revision_is_the_one_that_alembic_finds(empty_url: str) -> None:
    asyncio.run(migrate(empty_url))
    heads = ScriptDirectory.from_config(alembic(empty_url)).get_heads()
    assert asyncio.run(fetch(empty_url, "select version_num from alembic_version")) == [(head,) for head in heads]


@pytest.mark.parametrize("server_url", ["embedded"], indirect=True)
def test_the_command_line_migrates_what_the_environment_names(empty_url: str) -> None:
    migrating = start_alembic("upgrade", "head", environment={"DATABASE_URL": empty_url})
    told = migrating.communicate(timeout=60)[1]
    assert migrating.returncode == 0, told
    asyncio.run(require_newest(empty_url))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "Set DATABASE_URL to the database to migrate; `make run` migrates the embedded one by itself."),
        ({"DATABASE_URL": "mysql://x/y", "ANTIPHON_PORT": "x"}, "DATABASE_URL must be a URL like"),
    ],
)
def test_the_command_line_says_what_is_missing_and_no_more(environment: dict[str, str], told: str) -> None:
    refused = start_alembic("upgrade", "head", environment=environment)
    heard = refused.communicate(timeout=60)[1]
    assert refused.returncode == 1
    assert told in heard
    assert "Traceback" not in heard


def start_alembic(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    """The command line's own program, as a person starts it from the root."""
    program = Path(sys.executable).with_name("alembic")
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.Popen(
        [program, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.postgres15
async def test_the_product_works_on_postgresql_15(
    postgres15: Server, redis_url: str, pool: WorkPool, tmp_path: Path
) -> None:
    await execute(postgres15.url, "create database product")
    url = named(postgres15.url, "product")
    assert (await fetch(url, "show server_version_num"))[0][0].startswith("15")
    await migrate(url)
    async with AsyncExitStack() as stack:
        studio = await open_studio(stack, url, redis_url, pool=pool, folder=tmp_path)
        owner, stranger = await studio.register("owner"), await studio.register("stranger")
        track = await studio.completed_track(owner)
        assert len(track["versions"]["nodes"]) == 2
        ask = "query ($id: ID!) { track(id: $id) { id } }"
        assert await studio.get(ask, {"id": track["id"]}, by=stranger) is None
    await execute(postgres15.url, "drop database product with (force)")


# Whose the rows are


async def test_every_table_is_secured_and_the_owner_is_not_exempt(database_url: str) -> None:
    secured = await fetch(
        database_url,
        """select relname::text, relrowsecurity, relforcerowsecurity,
             (select array_agg(polname::text order by polname) from pg_policy where polrelid = pg_class.oid)
           from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')
             and relname <> 'alembic_version'""",
    )
    assert {name for name, *_ in secured} == TABLES
    for name, enabled, forced, policies in secured:
        assert (enabled, forced) == (True, True), name
        assert {f"{name}_{may}" for may in ("reads", "inserts", "updates", "deletes")} <= set(policies), name


async def test_every_table_says_whose_its_rows_are(database_url: str) -> None:
    columns = {
        (table, column): (type_, nullable)
        for table, column, type_, _, nullable, *_ in await fetch(database_url, COLUMNS)
    }
    for table in TABLES:
        owner = (table, OWNER.get(table, "user_id"))
        # A callback is stored before it is known whose it is.
        assert columns[owner] == ("uuid", "YES" if table == "provider_events" else "NO")


async def test_every_moment_is_stored_with_its_zone_and_no_state_as_a_type(database_url: str) -> None:
    types = {type_ for _, _, type_, *_ in await fetch(database_url, COLUMNS)}
    assert "timestamp with time zone" in types
    assert not types & {"timestamp without time zone", "date", "USER-DEFINED", "json", "character varying"}


async def test_whoever_has_not_said_who_they_are_sees_no_rows_at_all(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    publish = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { errors { message } } }"
    await studio.get(publish, {"input": {"trackId": track["id"], "visibility": "PUBLIC"}}, by=owner)
    await studio.sql(
        "insert into provider_events (id, provider, headers, body) values ($1, 'synth', '{}', '')", new_id()
    )
    everything = {table: (await studio.sql(f"select count(*) from {table}"))[0][0] for table in TABLES}
    assert all(everything.values()), everything
    connection = await asyncpg.connect(studio.database_url)
    try:
        assert await counted(connection) == dict.fromkeys(TABLES, 0)
        await connection.execute("select set_config('app.actor', '', false), set_config('app.user_id', '', false)")
        assert await counted(connection) == dict.fromkeys(TABLES, 0)
        # The contrast: an anonymous visitor sees what is public, and a stranger no more than that.
        for actor, user in (("anonymous", ""), ("user", str(new_id()))):
            await connection.execute(
                f"select set_config('app.actor', '{actor}', false), set_config('app.user_id', '{user}', false)"
            )
            seen = {table for table, rows in (await counted(connection)).items() if rows}
            assert seen == {"tracks", "track_documents", "versions", "stems", "media_objects", "profiles", "events"}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "insert into events (user_id, track_id, kind) select id, id, 'CREATED' from profiles"
            )
    finally:
        await connection.close()


async def counted(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    return {table: cast(int, await connection.fetchval(f"select count(*) from {table}")) for table in TABLES}


async def test_a_stranger_sees_none_of_the_rows_of_a_private_track_and_changes_none(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    await studio.completed_track(owner)
    users = {row["email"]: row["id"] for row in await studio.sql("select id, email from users")}
    connection = await asyncpg.connect(studio.database_url)
    try:
        await connection.execute("select set_config('app.actor', 'user', false)")
        await connection.execute(f"select set_config('app.user_id', '{users[stranger.email]}', false)")
        for table in TABLES:
            column = OWNER.get(table, "user_id")
            for statement in (f"delete from {table}", f"update {table} set {column} = {column}"):
                touched = await connection.fetch(f"{statement} where {column} = $1 returning 1", users[owner.email])
                assert touched == [], table
        seen = {table for table, rows in (await counted(connection)).items() if rows}
        assert seen == {"users", "profiles", "user_roles", "sessions"}
        assert await connection.fetchval("select count(*) from users") == 1
    finally:
        await connection.close()
