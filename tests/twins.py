"""One database, read by two applications: one compiles what it can, the other executes everything.

`compare` fails unless both answer the same bytes. Import the fixture `twins` and those that it takes: it is on
PostgreSQL 18 and on 15.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema
from starlette.types import ASGIApp, Message

from auth.media import media_url
from core.clock import system_clock
from core.migrations import migrate
from core.settings import read_settings
from planner.reads import CompiledReads
from providers.listings import list_providers
from schema.build import build_schema
from tests import reads_world
from tests.conftest import TEMPLATE, named_database, recreate
from tests.postgres15 import postgres15
from tests.studio import SECRET
from tests.test_migrations import execute, named
from web.api import Addresses, Api, open_api

__all__ = ["postgres15"]  # a fixture

REQUEST = b"compared-once"  # the request's id stands in errors
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
CURSORS = """
{ newest: tracks(first: 100) { edges { cursor } } oldest: tracks(first: 9, orderBy: OLDEST) { edges { cursor } }
  updated: tracks(first: 30, orderBy: RECENTLY_UPDATED) { edges { cursor } }
  nested: tracks(first: 3) { nodes { versions { edges { cursor } } generations { edges { cursor } } } } }
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Twins:
    """`ids` are those of the world by their types' names, `cursors` those that the owner was given, by their lists'."""

    compiled: ASGIApp
    executed: ASGIApp
    reads: CompiledReads
    schema: GraphQLSchema
    tokens: Mapping[str, str]
    ids: Mapping[str, list[str]]
    cursors: Mapping[str, list[str]]

    async def compare(
        self, query: str, variables: Any = None, *, by: str = "owner", operation: str | None = None
    ) -> Answer:
        """What both answered."""
        request = {"query": query, "variables": variables, "operationName": operation}
        expected = await ask(self.executed, request, self.tokens.get(by))
        found = await ask(self.compiled, request, self.tokens.get(by))
        assert found == expected, difference(request, by, found, expected)
        assert found.status == 200, found  # the request was no request, or came from nobody that is known
        return found

    async def compare_all(self, query: str, variables: Any = None, *, operation: str | None = None) -> list[Answer]:
        """As anybody, in the order of ANYBODY."""
        return [await self.compare(query, variables, by=by, operation=operation) for by in reads_world.ANYBODY]


async def ask(app: ASGIApp, request: Mapping[str, Any], token: str | None) -> Answer:
    """By the application's own interface: httpx takes as long as a compiled read."""
    headers = [(b"content-type", b"application/json"), (b"x-request-id", REQUEST)]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(request).encode()}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Answer(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]))


def difference(request: Mapping[str, Any], by: str, found: Answer, expected: Answer) -> str:
    """All that is needed to ask again, and where the answers part."""
    same = next((n for n, (one, other) in enumerate(zip(found.body, expected.body, strict=False)) if one != other), 0)
    near = slice(max(0, same - 200), same + 200)
    return (
        f"\nas {by}:\n{request['query']}\n"
        f"variables {json.dumps(request['variables'])}, operation {request['operationName']}\n"
        f"compiled {found.status}: …{found.body[near]!r}\nexecuted {expected.status}: …{expected.body[near]!r}"
    )


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres15", marks=pytest.mark.postgres15)])
def server(request: pytest.FixtureRequest) -> str:
    """The newest PostgreSQL, and the oldest."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def world_url(request: pytest.FixtureRequest, server: str, worker_id: str) -> str:
    """A database of this worker's own that nobody empties."""
    name = f"antiphon_reads_{worker_id}"
    if server == "embedded":
        asyncio.run(recreate(name, TEMPLATE))
        return named_database(name)
    url = request.getfixturevalue("postgres15").url
    asyncio.run(_on_15(url, name))
    return named(url, name)


async def _on_15(server: str, name: str) -> None:
    await execute(server, f'drop database if exists "{name}" with (force)')
    await execute(server, f'create database "{name}"')
    await migrate(named(server, name))


@pytest.fixture(scope="module")
async def twins(world_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twins]:
    ids = await reads_world.fill(world_url)
    async with AsyncExitStack() as stack:
        addresses = Addresses(world_url, redis_url)
        compiled, executed = [
            await _opened(stack, addresses, tmp_path_factory.mktemp("studio"), compiled=compiled)
            for compiled in (True, False)
        ]
        assert compiled.reads is not None
        assert executed.reads is None
        now = system_clock()
        tokens = {
            name: compiled.context.tokens.issue(id, reads_world.SESSIONS[name], now)[0]
            for name, id in reads_world.USERS.items()
        }
        cursors = await _cursors(executed.app, tokens["owner"])
        yield Twins(compiled.app, executed.app, compiled.reads, build_schema(), tokens, ids, cursors)


async def _opened(stack: AsyncExitStack, addresses: Addresses, folder: Path, *, compiled: bool) -> Api:
    settings = replace(
        read_settings({"ANTIPHON_SECRET_KEY": SECRET, "ANTIPHON_DATA_DIR": str(folder)}), compiled_reads=compiled
    )
    api = await open_api(stack, settings, addresses, catalog=list_providers(settings))
    # At the turn of an hour signed URLs change.
    signed = partial(_signed, now=NOON)
    object.__setattr__(api.context, "media_url", signed)
    return api


def _signed(key: str, *, now: datetime) -> str:
    return media_url("http://studio.test", key, secret=b"media", now=now)


async def _cursors(app: ASGIApp, token: str) -> dict[str, list[str]]:
    data = (await ask(app, {"query": CURSORS}, token)).json["data"]
    nested = data.pop("nested")["nodes"]
    lists = {name: [found] for name, found in data.items()}
    lists |= {name: [node[name] for node in nested] for name in ("versions", "generations")}
    return {name: [edge["cursor"] for one in found for edge in one["edges"]] for name, found in lists.items()}
