"""The product as a test uses it: GraphQL text in, answers out; real PostgreSQL and Redis, a queue drained here."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from arq import Worker

from core.bells import make_ring
from core.clock import system_clock
from core.db import Database, connect_database
from core.ids import new_id
from core.pool import WorkPool
from core.queue import QUEUE_NAME, connect_redis, decode_job, encode_job
from core.settings import read_settings
from jobs.context import WorkerContext
from jobs.functions import FUNCTIONS
from providers.listings import list_providers
from providers.music import MusicProvider
from providers.storage import open_storage
from tests.scripted import ScriptedProvider
from web.api import Addresses, Api, open_api
from web.serving import Server, listen

SECRET = "a secret of the tests, forty characters!"
PASSWORD = "correct horse"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """Somebody with an account; `token` is None for a stranger without one."""

    token: str | None = None
    email: str = ""
    user_id: str = ""
    refresh_token: str = ""


ANONYMOUS = Person()


@dataclass
class Studio:
    """`worker.providers["synth"]` is scripted (`tests/scripted.py`): instant, tiny, and told what goes wrong."""

    api: Api
    worker: WorkerContext
    provider: ScriptedProvider
    http: httpx.AsyncClient
    database_url: str
    redis_url: str
    stack: AsyncExitStack = field(repr=False)

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, by: Person = ANONYMOUS
    ) -> dict[str, Any]:
        """The whole response."""
        headers = {"Authorization": f"Bearer {by.token}"} if by.token else {}
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables or {}}, headers=headers)
        body: dict[str, Any] = answer.json()
        return body

    async def get(self, query: str, variables: Mapping[str, Any] | None = None, *, by: Person = ANONYMOUS) -> Any:
        """The only top-level field's value; fails on top-level errors."""
        body = await self.ask(query, variables, by=by)
        assert "errors" not in body, body["errors"]
        (value,) = body["data"].values()
        return value

    async def register(self, name: str | None = None) -> Person:
        email = f"{name or 'somebody'}-{next(_numbers)}@example.com"
        made = await self.get(REGISTER, {"input": {"email": email, "password": PASSWORD}})
        session = made["session"]
        return Person(session["accessToken"], email, session["user"]["id"], session["refreshToken"])

    async def generate(self, by: Person, **input: Any) -> dict[str, Any]:
        """`generateTrack`; the payload."""
        payload: dict[str, Any] = await self.get(
            GENERATE, {"input": {"prompt": "a quiet song", "durationSeconds": 5, **input}}, by=by
        )
        return payload

    async def completed_track(self, by: Person, **input: Any) -> dict[str, Any]:
        """A track with its versions, made from asking to storing."""
        made = await self.generate(by, **input)
        await self.drain()
        track: dict[str, Any] = await self.get(TRACK, {"id": made["track"]["id"]}, by=by)
        assert track["status"] == "COMPLETED"
        return track

    async def drain(self) -> None:
        """Let a worker do all that is queued, and what follows from it, then stop."""
        worker = Worker(
            functions=FUNCTIONS,
            queue_name=QUEUE_NAME,
            redis_pool=self.worker.redis,
            burst=True,
            poll_delay=0.01,
            max_jobs=20,
            keep_result=0,
            handle_signals=False,
            job_serializer=encode_job,
            job_deserializer=decode_job,
            ctx={"worker": self.worker},
        )
        async with asyncio.timeout(60):
            await worker.async_run()

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Straight into the database, as the system."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute("select set_config('app.actor', 'system', false)")
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """A real server in this loop, for clients that need sockets: its `host:port`."""
        listener = listen("127.0.0.1", 0)
        server = Server(self.api.app, self.api.streams, self.api.quick)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            await serving


async def open_studio(
    stack: AsyncExitStack,
    database_url: str,
    redis_url: str,
    *,
    pool: WorkPool,
    folder: Path,
    providers: Mapping[str, MusicProvider] | None = None,
    compiled_reads: bool = True,
) -> Studio:
    """Everything on empty tables and an empty queue. `providers` replaces the scripted one."""
    await _empty(database_url)
    settings = read_settings(
        {
            "ANTIPHON_SECRET_KEY": SECRET,
            "ANTIPHON_DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PUBLIC_URL": "http://studio.test",
            "ANTIPHON_COMPILED_READS": "on" if compiled_reads else "off",
        }
    )
    redis = connect_redis(redis_url)
    await redis.flushdb()
    api = await open_api(stack, settings, Addresses(database_url, redis_url), catalog=list_providers(settings))
    provider = ScriptedProvider(settings.variants)
    engine = connect_database(database_url, name="antiphon-test-worker")
    scratch = folder / "scratch"
    scratch.mkdir()
    worker = WorkerContext(
        db=Database(engine, make_ring(redis, api.context.topics.publish)),
        redis=redis,
        storage=open_storage(settings.media_store),
        providers=providers or {"synth": provider},
        pool=pool,
        scratch=scratch,
        media_url=api.context.media_url,
        clock=system_clock,
        new_id=new_id,
        rng=random.Random(7),
    )
    stack.push_async_callback(worker.db.close)
    stack.push_async_callback(redis.aclose)
    transport = httpx.ASGITransport(api.app, raise_app_exceptions=True)
    http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://studio.test"))
    return Studio(api, worker, provider, http, database_url, redis_url, stack)


async def _empty(database_url: str) -> None:
    """All rows hang on users, but for callbacks that were never matched: 2 ms, where truncating takes 25."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "select set_config('app.actor', 'system', false); delete from users; delete from provider_events"
    )
    await connection.close()


def with_provider(studio: Studio, provider: MusicProvider) -> WorkerContext:
    """The same worker with another provider behind the name `synth`."""
    return replace(studio.worker, providers={"synth": provider})


REGISTER = """
mutation ($input: RegisterInput!) {
  register(input: $input) {
    session { accessToken refreshToken expiresAt user { id email } }
    errors { __typename code message path }
  }
}
"""

GENERATE = """
mutation ($input: GenerateTrackInput!) {
  generateTrack(input: $input) {
    track { id title prompt tags status revision provider model visibility }
    generation { id status progress attempts provider model seed kind }
    errors { __typename code message path ... on Conflict { current { __typename id } } }
  }
}
"""

TRACK = """
query ($id: ID!) {
  track(id: $id) {
    id title status visibility revision audioUrl coverUrl durationSeconds waveform(points: 8) deletedAt
    owner { username }
    primaryVersion { id number variant }
    versions { totalCount nodes { id number variant kind audioUrl losslessUrl contentType sizeBytes sha256
      durationSeconds stems { id kind audioUrl durationSeconds } } }
    generations { nodes { id kind status progress attempts error { code message retryable } } }
  }
}
"""
