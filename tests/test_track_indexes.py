"""Lists of tracks among 200,000: which indexes PostgreSQL reads them by, as the role that the product works as, with
row-level security on. A quarter of the tracks is one person's, so that neither the list nor the rest is small.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Select, func, literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import Uuid

from core.db import driver_connection
from core.migrations import migrate
from core.roles import bound_role
from models.track_lists import TYPES, Scope, bin_of, library, listed, public
from models.tracks import Track
from tests.postgres15 import postgres15
from tests.test_migrations import named

__all__ = ["postgres15"]  # a fixture

TRACKS, PEOPLE = 200_000, 1_500
FULL = "antiphon_full"
OWNER = UUID(int=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ID = "lpad(to_hex({}), 32, '0')::uuid"

# A track a minute. Most have the same status, provider and tag; of the rest each is rare. Every thousandth has a
# version. Words come as in speech: `w0` is in every second track, `w1999` in few.
SEED = f"""
select set_config('app.actor', 'system', true), setseed(0.5);
insert into users (id, email, password_hash)
  select {ID.format("n")}, n || '@example.com', '' from generate_series(1, {PEOPLE}) n;
insert into tracks (id, user_id, title, prompt, tags, instrumental, status, visibility, provider, created_at,
    updated_at, deleted_at)
  select {ID.format("n")}, {ID.format(f"case when n % 4 = 0 then 1 else 2 + n % {PEOPLE - 1} end")},
    'Évening No. ' || n,
    (select string_agg('w' || (power(random(), 3) * 2000)::int, ' ') from generate_series(1, 8 + n % 2)),
    array['tag ' || n % 400, 'calm'], false,
    case when n % 1000 < 5 then 'PENDING' when n % 10 = 0 then 'FAILED' else 'CANCELED' end,
    case when n % 5 = 0 then 'PUBLIC' else 'PRIVATE' end,
    case when n % 1000 < 5 then 'suno' when n % 10 = 0 then 'fal' else 'synth' end,
    timestamptz '{START}' + n * interval '1 minute', timestamptz '{START}' - n * interval '1 minute',
    case when n % 100 = 44 then now() end
  from generate_series(1, {TRACKS}) n;
create temporary table made on commit drop as
  select id, user_id from tracks where id in (select {ID.format("n * 1000")} from generate_series(1, 200) n);
insert into generations (id, user_id, track_id, kind, provider, params, retries_left)
  select id, user_id, id, 'GENERATE', 'synth', '{{}}', 3 from made;
insert into media_objects (id, user_id, track_id, key, purpose, content_type, size_bytes, sha256)
  select id, user_id, id, 'k', 'AUDIO', 'audio/mpeg', 1, 's' from made;
insert into versions (id, user_id, track_id, generation_id, number, variant, kind, media_id, duration_ms, output_key)
  select id, user_id, id, id, 1, 1, 'REMIX', id, 1, 'o' from made;
update tracks set status = 'COMPLETED', primary_version_id = id where id in (select id from made);
insert into track_documents select id, user_id, track_document(tracks) from tracks;
"""
# What no constraint needs comes back when the rows are there: so it takes 10 s instead of 50.
INDEXES = """
select indexname::text, indexdef from pg_indexes
where tablename in ('tracks', 'track_documents') and indexname like 'ix\\_%'
"""

OWN, BIN = library(literal(OWNER, Uuid())), bin_of(literal(OWNER, Uuid()))
PUBLIC = public()
RANGE = {"created_after": START + timedelta(days=90), "created_before": START + timedelta(days=90, hours=1)}

# The scope and what is asked of it; the index that its rows come by.
FILTERED: list[tuple[Scope, dict[str, Any], str]] = [
    (OWN, {}, "ix_tracks_library"),
    (BIN, {}, "ix_tracks_bin"),
    (PUBLIC, {}, "ix_tracks_public"),
    (OWN, RANGE, "ix_tracks_library"),
    (BIN, RANGE, "ix_tracks_bin"),
    (PUBLIC, RANGE, "ix_tracks_public"),
    (OWN, {"status": ["PENDING"]}, "ix_tracks_status"),
    (OWN, {"status": ["PENDING", "COMPLETED"]}, "ix_tracks_status"),
    (PUBLIC, {"status": ["COMPLETED"]}, "ix_tracks_public_status"),
    (OWN, {"provider": ["suno"]}, "ix_tracks_provider"),
    (PUBLIC, {"provider": ["suno", "replicate"]}, "ix_tracks_public_provider"),
    # What most of them have is met soon enough on the way through the list.
    (OWN, {"status": ["CANCELED"]}, "ix_tracks_library"),
    (PUBLIC, {"provider": ["synth"]}, "ix_tracks_public"),
]
SEARCHED: list[dict[str, Any]] = [
    {"kind": ["REMIX"]},
    {"tags": ["tag 200"]},
    {"tags": ["TAG 200", "calm"]},
    {"search": "w1999"},
    {"search": "w0 w19"},
    {"search": "évening", "tags": ["tag 200"], "kind": ["REMIX", "COVER"], "status": ["COMPLETED"]},
]
ORDERED: list[tuple[Scope, InstrumentedAttribute[Any], str]] = [
    (OWN, Track.created_at, "ix_tracks_library"),
    (BIN, Track.created_at, "ix_tracks_bin"),
    (PUBLIC, Track.created_at, "ix_tracks_public"),
    (OWN, Track.updated_at, "ix_tracks_library_updated"),
    (BIN, Track.updated_at, "ix_tracks_bin_updated"),
    (PUBLIC, Track.updated_at, "ix_tracks_public_updated"),
]


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres15", marks=pytest.mark.postgres15)])
def full_url(request: pytest.FixtureRequest, testrun_uid: str) -> str:
    """A database with so many tracks, on a server of each version."""
    server = os.environ["TEST_DATABASE_URL"]
    if request.param == "postgres15":
        server = request.getfixturevalue("postgres15").url
    asyncio.run(make(server, testrun_uid))
    return named(server, FULL)


async def make(server: str, run: str) -> None:
    """The workers of a run share the database: whoever needs it first makes it, the others wait. Like the template, it
    stays until the next run."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"select pg_advisory_lock(hashtext('{FULL}'))")
        made_by = "select shobj_description(oid, 'pg_database') from pg_database where datname = $1"
        if await connection.fetchval(made_by, FULL) != run:
            await connection.execute(f"drop database if exists {FULL} with (force)")
            await connection.execute(f"create database {FULL}")
            await fill(named(server, FULL))
            await connection.execute(f"comment on database {FULL} is '{run}'")
    finally:
        await connection.close()


async def fill(url: str) -> None:
    await migrate(url)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            indexes = await connection.fetch(INDEXES)
            await connection.execute("alter table tracks disable trigger user")
            for name, _ in indexes:
                await connection.execute(f"drop index {name}")
            await connection.execute(SEED)
            await connection.execute("alter table tracks enable trigger user")
            for _, definition in indexes:
                await connection.execute(definition)
        for table in ("tracks", "track_documents", "versions"):
            await connection.execute(f"vacuum analyze {table}")
    finally:
        await connection.close()


class Reader:
    """A connection as the product's are, on which the tracks' owner asks."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    async def rows(self, statement: Select[Any], before: str = "") -> list[Any]:
        compiled = statement.compile(dialect=postgresql.asyncpg.dialect())
        values = [compiled.params[name] for name in compiled.positiontup or ()]
        return list(await self.connection.fetch(before + str(compiled), *values))

    async def plan(self, statement: Select[Any]) -> list[dict[str, Any]]:
        """All nodes of its plan."""
        (row,) = await self.rows(statement, "explain (format json) ")
        return list(nodes(json.loads(row[0])[0]["Plan"]))

    async def scans(self, of: str) -> int:
        """How often this index, or this table from end to end, was read since the transaction began."""
        count: int = await self.connection.fetchval("select pg_stat_get_xact_numscans($1::text::regclass)", of)
        return count


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.fixture
async def reader(full_url: str) -> AsyncIterator[Reader]:
    async with reading(full_url) as reader:
        yield reader


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reader]:
    role = await bound_role(url, production=True)
    connection = await driver_connection(url, name="antiphon-test", role=role)()
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(
                f"select set_config('app.actor', 'user', true), set_config('app.user_id', '{OWNER}', true)"
            )
            yield Reader(connection)
    finally:
        await connection.close()


def tracks(scope: Scope, given: Mapping[str, Any]) -> Select[Any]:
    return select(Track).where(*listed(scope, {name: literal(value, TYPES[name]) for name, value in given.items()}))


def newest(scope: Scope, given: Mapping[str, Any]) -> Select[Any]:
    return tracks(scope, given).order_by(Track.created_at.desc(), Track.id.desc()).limit(21)


def counted(scope: Scope, given: Mapping[str, Any]) -> Select[Any]:
    return select(func.count()).select_from(tracks(scope, given).subquery())


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    """The indexes that a plan reads; not one table is read from end to end."""
    assert "Seq Scan" not in {node["Node Type"] for node in plan}
    return {node["Index Name"] for node in plan if "Index Name" in node}


async def test_each_filter_of_a_column_is_read_by_its_index(reader: Reader) -> None:
    for scope, given, index in FILTERED:
        assert indexes(await reader.plan(newest(scope, given))) == {index}, given
        assert await reader.rows(newest(scope, given)), given


async def test_each_filter_by_words_reads_the_index_on_documents_once(reader: Reader) -> None:
    for scope in (OWN, PUBLIC):
        for given in SEARCHED:
            for statement in (newest(scope, given), counted(scope, given)):
                before = await reader.scans("ix_track_documents_document")
                found = await reader.rows(statement)
                assert found[0][0], given
                assert await reader.scans("ix_track_documents_document") == before + 1, given
                assert indexes(await reader.plan(statement)) == {"pk_tracks"}, given
    assert await reader.scans("track_documents") == 0


async def test_a_plan_made_without_the_values_reads_the_same_index(reader: Reader) -> None:
    await reader.connection.execute("set local plan_cache_mode = force_generic_plan")
    for given in SEARCHED:
        before = await reader.scans("tracks"), await reader.scans("ix_track_documents_document")
        await reader.rows(newest(OWN, given))
        after = await reader.scans("tracks"), await reader.scans("ix_track_documents_document")
        assert after == (before[0], before[1] + 1), given


async def test_a_search_may_use_the_index_before_the_owner_is_compared(reader: Reader) -> None:
    """This is what the restrictive policy is for; a plain condition is looked at last, and by no index."""
    plain = "explain (format json) select track_id from track_documents"
    await reader.connection.execute("select set_config('app.search', '''w1999'' & ''w0''', true)")
    (scan,) = [node for node in await explained(reader, plain) if "Index Name" in node]
    assert scan["Index Name"] == "ix_track_documents_document"
    assert "app.search" in scan["Index Cond"]
    assert "Filter" not in scan
    await reader.connection.execute("select set_config('app.search', '', true)")
    (filter,) = [
        node["Filter"] for node in await explained(reader, f"{plain} where document @@ 'w1999'") if "Filter" in node
    ]
    assert "w1999" in filter


async def explained(reader: Reader, statement: str) -> list[dict[str, Any]]:
    return list(nodes(json.loads(await reader.connection.fetchval(statement))[0]["Plan"]))


@pytest.mark.parametrize("downward", [True, False])
async def test_each_order_walks_along_its_index_from_any_place(reader: Reader, downward: bool) -> None:
    for scope, column, index in ORDERED:
        ordered = [c.desc() if downward else c.asc() for c in (column, Track.id)]
        first = tracks(scope, {}).order_by(*ordered).limit(21)
        last = (await reader.rows(first))[-1]
        moment, id = last[column.key], last["id"]
        beyond = (column < moment) if downward else (column > moment)
        further = (Track.id < id) if downward else (Track.id > id)
        for page in (first, first.where(beyond | ((column == moment) & further))):
            plan = await reader.plan(page)
            assert indexes(plan) == {index}
            assert not {node["Node Type"] for node in plan} & {"Sort", "Incremental Sort"}
            assert len(await reader.rows(page)) == 21


async def test_counting_reads_indexes_alone(reader: Reader) -> None:
    for scope, given, _ in FILTERED:
        assert indexes(await reader.plan(counted(scope, given))), given
