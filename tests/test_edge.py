"""What every answer of `/graphql` carries whatever becomes of it, and bodies that are not there at once."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from tests.openings import PRODUCTION, opened
from tests.studio import Studio
from tests.transports import transports
from web.app import build_app
from web.bodies import parse_json, read_body
from web.graphql import graphql_routes
from web.metrics import Metrics
from web.negotiation import PLAIN_JSON, REMEMBERED, RESPONSE_JSON, read_accept
from web.observed import request_ids

JSON = {"content-type": "application/json"}
QUERY = b'{"query": "{ hello }"}'
FAR = "https://studio.example"


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://studio.test")


def whole_app() -> Any:
    """The onion around the small studio."""
    return build_app(graphql_routes(transports().door), Metrics(), structlog.get_logger(), origins=(FAR,))


# --- every answer


@pytest.mark.parametrize(
    ("status", "method", "request_"),
    [
        (200, "POST", {"content": QUERY, "headers": JSON}),
        (200, "GET", {"params": {"query": "{ hello }"}}),
        (400, "POST", {"content": b"{", "headers": JSON}),
        (401, "POST", {"content": QUERY, "headers": {**JSON, "authorization": "Bearer forged"}}),
        (403, "POST", {"content": QUERY, "headers": {**JSON, "authorization": "Bearer suspended"}}),
        (405, "PUT", {}),
        (405, "HEAD", {}),
        (406, "POST", {"content": QUERY, "headers": {**JSON, "accept": "text/html"}}),
        (413, "POST", {"content": b" " * 1_000_001, "headers": JSON}),
        (415, "POST", {"content": QUERY, "headers": {"content-type": "text/plain"}}),
        (429, "POST", {"content": QUERY, "headers": {**JSON, "authorization": "Bearer hasty"}}),
        (503, "POST", {"content": QUERY, "headers": {**JSON, "authorization": "Bearer unlucky"}}),
    ],
)
async def test_every_answer_has_an_id_is_not_stored_and_tells_caches_and_origins(
    status: int, method: str, request_: dict[str, Any]
) -> None:
    headers = {**request_.get("headers", {}), "X-Request-Id": "from-outside"}
    request_ = {name: value for name, value in request_.items() if name != "headers"}
    async with client(whole_app()) as http:
        near = await http.request(method, "/graphql", headers=headers, **request_)
        far = await http.request(method, "/graphql", headers={**headers, "Origin": FAR}, **request_)
        headers["Origin"] = "https://evil.example"
        foreign = await http.request(method, "/graphql", headers=headers, **request_)
    for answer in (near, far, foreign):
        assert answer.status_code == status
        assert answer.headers.get_list("x-request-id") == ["from-outside"]
        assert answer.headers.get_list("vary") == ["Origin"]
        assert answer.headers["cache-control"] == "no-store"
        assert method == "HEAD" or answer.headers["content-length"] == str(len(answer.content))
        assert answer.content == near.content
    assert far.headers["access-control-allow-origin"] == FAR
    for answer in (near, foreign):
        assert "access-control-allow-origin" not in answer.headers


async def test_the_path_itself_is_served_and_paths_like_it_are_not() -> None:
    async with client(whole_app()) as http:
        assert (await http.post("/graphql", json={"query": "{ hello }"})).status_code == 200
        assert (await http.post("/graphql/", json={"query": "{ hello }"})).status_code == 307
        for path in ("/graphq", "/graphql/more", "//graphql"):
            assert (await http.post(path, json={"query": "{ hello }"})).status_code in (404, 405), path


async def test_an_application_with_a_path_of_its_own_is_observed_like_any_other() -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 418})
        await send({"type": "http.response.body", "body": b"tea"})

    class Teapot:
        __call__ = staticmethod(bare)

    told: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **facts: Any) -> None:
            told.append({"event": event, **facts})

    async with client(build_app([Route("/tea", Teapot())], Metrics(), Log(), origins=())) as http:
        answer = await http.get("/tea")
    assert (answer.status_code, answer.text, len(answer.headers["x-request-id"])) == (418, "tea", 32)
    (line,) = told
    assert (line["event"], line["method"], line["route"], line["status"]) == ("request.served", "GET", "/tea", 418)


def test_ids_of_requests_differ_within_a_process_and_between_processes() -> None:
    here, there = (list(islice(request_ids(), 1000)) for _ in range(2))
    assert len({*here, *there}) == 2000
    assert all(re.fullmatch(r"[0-9a-f]{32}", name) for name in here)


async def test_production_tells_of_a_request_with_the_same_facts(
    studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = await studio.register("owner")
    async with opened(studio, tmp_path, **PRODUCTION) as (_, http):
        headers = {"Authorization": f"Bearer {owner.token}", "X-Request-Id": "in-production"}
        await http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
        await http.get("/nowhere")
    text = io.StringIO(capfd.readouterr().err)
    lines = [json.loads(line) for line in text if line.startswith('{"event":"request.served"')]
    known, unknown = lines
    shared = {"event", "level", "timestamp", "request_id", "method", "route", "status", "ms"}
    assert (set(known), set(unknown)) == (shared | {"viewer", "as_admin"}, shared)
    assert (known["request_id"], known["status"], known["as_admin"]) == ("in-production", 200, False)
    assert (unknown["route"], unknown["status"]) == ("unknown", 404)


# --- bodies that are not there at once


async def arriving(*pieces: bytes) -> AsyncIterator[Message]:
    for number, piece in enumerate(pieces, start=1):
        await asyncio.sleep(0.001)
        yield {"type": "http.request", "body": piece, "more_body": number < len(pieces)}


@pytest.mark.parametrize("pieces", [[QUERY], [QUERY[:9], QUERY[9:]], [b"", QUERY[:1], b"", QUERY[1:], b""]])
async def test_a_body_that_is_waited_for_is_read_whole(pieces: list[bytes]) -> None:
    messages = arriving(*pieces)
    headers = {b"content-type": b"application/json"}
    assert parse_json(headers, await read_body(headers, messages.__anext__)) == {"query": "{ hello }"}


async def test_who_is_canceled_while_a_body_arrives_leaves_nothing_waiting() -> None:
    left = asyncio.Event()

    async def never() -> Message:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return {}

    reading = asyncio.create_task(read_body({b"content-type": b"application/json"}, never))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert left.is_set()


# --- what is remembered of headers


def test_however_many_kinds_of_accept_there_are_each_is_judged_by_itself() -> None:
    for number in range(2 * REMEMBERED):
        assert read_accept(f"application/x-{number}, application/json".encode()).json == PLAIN_JSON
        assert read_accept(f"application/x-{number}, {RESPONSE_JSON}".encode()).json == RESPONSE_JSON
    assert read_accept(b" " * 100_000 + RESPONSE_JSON.encode()).json == RESPONSE_JSON
