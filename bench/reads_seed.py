"""The database that reads are measured on: the product's own, migrated, with many tracks, and 50 people signed in.

The tracks of the thousand users lie among each other, as they do where everybody makes some every day: a library page
is twenty rows of twenty places.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.first_light import Studio
from bench.serving import MeasurementFailed
from core.datadir import DataDirectory, open_data_dir
from core.engines import Engines, start_engines
from core.migrations import migrate
from core.postgres import SUPERUSER

TRACKS, USERS, VERSIONS = 200_000, 1_000, 2
VIEWERS = 50  # who are signed in and ask; each has a library of TRACKS / USERS tracks
SIGN_UPS = 4  # at a time: a password takes 64 MiB and 50 ms to hash

REGISTER = """mutation ($email: String!) { register(input: {email: $email, password: "a long enough secret"}) {
  session { accessToken user { id } } errors { code message } } }"""

# For those who read without row-level security. Their statements are prepared, and planned once.
PEER = "bench_peer"
PEER_ROLE = f"""
create role {PEER} login superuser password '{{password}}';
alter role {PEER} set plan_cache_mode = force_generic_plan;
alter role {PEER} set jit = off;
"""

VOCABULARY = f"""
create function pg_temp.made(n bigint) returns timestamptz language sql immutable
  return timestamptz '2026-01-01 00:00:00Z' + n * interval '97.531 seconds';

create function pg_temp.id_of(kind text, n bigint) returns uuid language sql immutable return (
  lpad(to_hex(floor(extract(epoch from pg_temp.made(n)) * 1000)::bigint), 12, '0')
  || '7' || substr(md5(kind || n), 1, 3) || '8' || substr(md5(kind || n), 4, 15))::uuid;

create temporary table silent as
  select pg_temp.id_of('user', n) as id, 'seed-' || n as name from generate_series(1, {USERS - VIEWERS}) n;
insert into users (id, email, password_hash) select id, name || '@bench.example', 'none' from silent;
insert into profiles (id, username, display_name) select id, name, 'The silent ' || name from silent;
create temporary table players as
  select row_number() over (order by id) - 1 as number, id from users;
"""

# What is checked or sorted row by row is taken off meanwhile and comes back all at once: foreign keys, and indexes that
# keep nothing out. Triggers stay.
KEYS = """select format('alter table %s drop constraint %I', conrelid::regclass, conname),
    format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace"""
INDEXES = """select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
  from pg_index join pg_class on pg_class.oid = indexrelid
  where not indisunique and relnamespace = 'public'::regnamespace"""

LIBRARY = f"""
with numbered as (
  select n, players.id as user_id, pg_temp.made(n) as at,
    pg_temp.id_of('track', n) as track_id, pg_temp.id_of('generation', n) as generation_id
  from generate_series(0, {TRACKS - 1}) n join players on players.number = n % {USERS}
), takes as (
  select numbered.*, variant, n * {VERSIONS} + variant as take,
    pg_temp.id_of('version', n * {VERSIONS} + variant) as version_id,
    pg_temp.id_of('media', n * {VERSIONS} + variant) as media_id
  from numbered, generate_series(1, {VERSIONS}) variant
), made_tracks as (
  insert into tracks (id, user_id, title, prompt, lyrics, tags, instrumental, status, visibility, provider, model,
    primary_version_id, like_count, play_count, created_at, updated_at)
  select track_id, user_id, 'Evening No. ' || n, 'rainy lo-fi evening, warm piano, take ' || n || ', “slowly”',
    case when n % 2 = 0 then repeat('la la la, the rain again; ', 12) end, array['lo-fi', 'calm', 'piano'], n % 2 = 1,
    'COMPLETED', (array['PRIVATE', 'UNLISTED', 'PUBLIC'])[1 + n % 3], 'synth', case when n % 4 = 0 then 'studio-1' end,
    pg_temp.id_of('version', n * {VERSIONS} + 1), n % 97, n % 1009, at, at
  from numbered
), made_generations as (
  insert into generations (id, user_id, track_id, kind, status, provider, params, step, retries_left, created_at,
    completed_at)
  select generation_id, user_id, track_id, 'GENERATE', 'COMPLETED', 'synth', '{{}}', null, 0, at, at from numbered
), made_media as (
  insert into media_objects (id, user_id, track_id, key, purpose, content_type, size_bytes, sha256, duration_ms,
    created_at)
  select media_id, user_id, track_id, md5(take::text) || '.mp3', 'AUDIO', 'audio/mpeg', 480000 + n,
    md5(take::text) || md5(take::text), 30000 + take % 90000, at
  from takes
)
insert into versions (id, user_id, track_id, generation_id, number, variant, kind, media_id, duration_ms, output_key,
  created_at)
select version_id, user_id, track_id, generation_id, 1, variant, 'ORIGINAL', media_id, 30000 + take % 90000,
  'take-' || variant, at
from takes
"""


@dataclass(frozen=True)
class Viewer:
    """Somebody signed in with the product. `user_id` is the row's id."""

    user_id: str
    token: str


@dataclass(frozen=True)
class Ground:
    """Running engines. `database_url` is the product's, under row-level security; `peer_url` is a superuser's."""

    postgres: int
    database_url: str
    redis_url: str
    peer_url: str


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """The product's engines on `folder`, migrated and empty."""
    with open_data_dir(folder) as data:
        engines = await start_engines(data, postgres=True, valkey=True)
        try:
            assert engines.database_url is not None
            assert engines.redis_url is not None
            await migrate(engines.database_url)
            yield Ground(
                int((folder / "postgres" / "postmaster.pid").read_text().split()[0]),
                engines.database_url,
                engines.redis_url,
                await _make_peer(data, engines),
            )
        finally:
            await engines.stop()


async def _make_peer(data: DataDirectory, engines: Engines) -> str:
    """The address of a role that row-level security does not bind."""
    password = data.secret("bench-peer")
    connection = await asyncpg.connect(_as(engines.database_url, SUPERUSER, data.secret("postgres-superuser")))
    try:
        await connection.execute(PEER_ROLE.format(password=password))
    finally:
        await connection.close()
    return _as(engines.database_url, PEER, password)


def _as(url: str | None, user: str, password: str) -> str:
    parts = urlsplit(url or "")
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


async def sign_up(url: str) -> list[Viewer]:
    """Register the viewers with the product at `url`, which is told nothing else."""
    gate = asyncio.Semaphore(SIGN_UPS)

    async def one(number: int) -> Viewer:
        async with gate:
            account = {"email": f"viewer-{number}@bench.example"}
            session = (await Studio(url).ask(REGISTER, account, "register"))["session"]
        return Viewer(raw_id(session["user"]["id"]), session["accessToken"])

    return await asyncio.gather(*(one(number) for number in range(VIEWERS)))


def raw_id(id: str) -> str:
    """The row's id in one of the product's."""
    return id.rpartition("_")[2]


def node_id(type_name: str, id: str) -> str:
    """The product's id of a row."""
    return f"{type_name}_{id}"


async def seed(url: str) -> None:
    """Fill the database that `url` opens as a superuser, around those who have signed up. It takes half a minute."""
    connection = await asyncpg.connect(url, command_timeout=None)
    try:
        taken_off = [*await connection.fetch(KEYS), *await connection.fetch(INDEXES)]
        for drop, _ in taken_off:
            await connection.execute(drop)
        await connection.execute(VOCABULARY)
        await connection.execute(LIBRARY)
        for _, make in reversed(taken_off):
            await connection.execute(make)
        await connection.execute("vacuum analyze")
        counts = await connection.fetchrow("select (select count(*) from tracks), (select count(*) from versions)")
        if tuple(counts) != (TRACKS, TRACKS * VERSIONS):
            raise MeasurementFailed(f"The database was filled with {tuple(counts)} tracks and versions.")
    finally:
        await connection.close()


async def pick_tracks(url: str, viewers: list[Viewer], count: int) -> list[tuple[Viewer, str]]:
    """`count` tracks of the viewers with whose they are, here and there in the table and the same in every run."""
    connection = await asyncpg.connect(url)
    try:
        of = {viewer.user_id: viewer for viewer in viewers}
        rows = await connection.fetch(
            "select user_id::text, id::text from tracks where user_id = any($1::uuid[]) order by id", list(of)
        )
    finally:
        await connection.close()
    return [(of[user_id], id) for user_id, id in Random(1).sample(rows, count)]
