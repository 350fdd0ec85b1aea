"""The database role that the product works as: whoever DATABASE_URL signs in as, row-level security binds it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy import func, select, text

from auth.viewer import SYSTEM, Viewer
from core.db import Bell, Database, connect_database
from core.ids import new_id
from core.migrations import migrate
from core.roles import BOUND_ROLE, RoleIsNotBound, bound_role
from models.accounts import User
from tests.engines import directory_for, instance
from tests.postgres15 import Server, postgres15

__all__ = ["postgres15"]  # a fixture


@pytest.fixture(scope="module")
def embedded() -> Iterator[Server]:
    """Engines of its own, for the superuser's password lies in their data directory."""
    with directory_for(os.geteuid()) as directory, instance(directory, os.geteuid()) as running:
        url = running.told()["database_url"]
        password = (directory / "secrets" / "postgres-superuser").read_text().strip()
        host = urlsplit(url).netloc.rpartition("@")[2]
        yield Server(url, f"postgresql://postgres:{password}@{host}/postgres")
        running.end()


@pytest.fixture(params=["embedded", pytest.param("postgres15", marks=pytest.mark.postgres15)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    found: Server = request.getfixturevalue(request.param)
    yield found
    asyncio.run(drop_databases(found.superuser_url))


async def database(server: Server, *, owner: str) -> str:
    """A new database that belongs to this role, as its superuser reaches it."""
    name = f"roles_{new_id().hex}"
    await execute(server.superuser_url, f"create database {name} owner {owner}")
    return signed_in_as(server.superuser_url, database=name)


async def drop_databases(url: str) -> None:
    """Those that a test has made: what is left of them would be written to disk when the server stops."""
    connection = await asyncpg.connect(url)
    for row in await connection.fetch("select datname from pg_database where datname like 'roles\\_%'"):
        await connection.execute(f"drop database {row['datname']} with (force)")
    await connection.close()


def signed_in_as(url: str, *, database: str | None = None, role: str | None = None, password: str = "") -> str:
    parts = urlsplit(url)
    netloc = parts.netloc if role is None else f"{role}:{password}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def no_bells(bells: list[Bell]) -> None:
    assert bells == []


@asynccontextmanager
async def opened(url: str, role: str | None) -> Any:
    """The product's door to this database."""
    db = Database(connect_database(url, name="antiphon-test", role=role), no_bells)
    try:
        yield db
    finally:
        await db.close()


async def fill(url: str) -> None:
    await execute(
        url,
        "begin; select set_config('app.actor', 'system', true);"
        f"insert into users (id, email, password_hash) values ('{new_id()}', 'owner@example.com', ''); commit",
    )


async def test_an_ordinary_role_is_kept(server: Server) -> None:
    for production in (True, False):
        assert await bound_role(server.url, production=production) is None


async def test_a_superuser_steps_down_in_development_and_is_bound(server: Server) -> None:
    url = await database(server, owner="postgres")
    await migrate(url)
    await fill(url)
    role = await bound_role(url, production=False)
    assert role == BOUND_ROLE
    everyone = select(func.count()).select_from(User)
    async with opened(url, None) as db, db.read(Viewer("user", new_id())) as session:
        assert await session.scalar(everyone) == 1  # a superuser sees strangers, whatever the policies say
    async with opened(url, role) as db:
        async with db.read(Viewer("user", new_id())) as session:
            assert await session.scalar(everyone) == 0
        async with db.read(SYSTEM) as session:
            assert await session.scalar(everyone) == 1


async def test_the_role_stepped_down_to_works_and_has_no_power_beyond_the_rows(server: Server) -> None:
    url = await database(server, owner="postgres")
    await migrate(url)
    role = await bound_role(url, production=False)
    async with opened(url, role) as db:
        async with db.begin(SYSTEM) as tx:
            tx.add(User(id=new_id(), email="new@example.com", password_hash=""))
        async with db.read(SYSTEM) as session:
            assert await session.scalar(text("select current_user")) == BOUND_ROLE
            powers = text(
                "select rolsuper or rolbypassrls or rolcanlogin or rolcreaterole from pg_roles where rolname = :r"
            )
            assert await session.scalar(powers, {"r": BOUND_ROLE}) is False
            assert await session.scalar(text("select has_schema_privilege('public', 'create')")) is False


async def test_production_refuses_a_superuser_by_name_with_the_remedy(server: Server) -> None:
    url = await database(server, owner="postgres")
    await migrate(url)
    with pytest.raises(RoleIsNotBound, match=r"'postgres'.*create an ordinary role"):
        await bound_role(url, production=True)


async def test_a_role_that_bypasses_the_policies_is_no_better_than_a_superuser(server: Server) -> None:
    name = f"exempt_{new_id().hex}"
    await execute(server.superuser_url, f"create role {name} login bypassrls password 'exempt'")
    url = signed_in_as(await database(server, owner=name), role=name, password="exempt")
    await migrate(url)
    with pytest.raises(RoleIsNotBound, match=name):
        await bound_role(url, production=True)


async def test_who_may_not_make_the_role_to_step_down_to_is_told_so(server: Server) -> None:
    name = f"exempt_{new_id().hex}"
    await execute(server.superuser_url, f"create role {name} login bypassrls password 'exempt'")
    url = signed_in_as(await database(server, owner=name), role=name, password="exempt")
    await migrate(url)
    with pytest.raises(RoleIsNotBound, match="use an ordinary role"):
        await bound_role(url, production=False)


async def test_processes_that_start_at_once_all_step_down(server: Server) -> None:
    url = await database(server, owner="postgres")
    await migrate(url)
    roles = await asyncio.gather(*(bound_role(url, production=False) for _ in range(10)))
    assert set(roles) == {BOUND_ROLE}
