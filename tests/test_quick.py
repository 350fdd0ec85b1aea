"""The short way for plain requests: taken where it may be, and telling nothing apart from uvicorn's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tests.studio import Studio
from web.quick import QuickProtocol, QuickRequest

QUERY = orjson.dumps({"query": "{ viewer { email } }"})
Answer = tuple[int, dict[str, str], bytes]


def request(body: bytes = QUERY, *lines: str, version: str = "1.1", path: str = "/graphql") -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: studio.test", "Content-Type: application/json", *lines]
    if not any(line.startswith("Transfer") for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    status = int((await reader.readline()).split()[1])
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip().decode():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return status, headers, await reader.readexactly(int(headers["content-length"]))


async def ask(place: str, *parts: bytes, answers: int = 1, pause: float = 0.02) -> list[Answer]:
    """What comes back on one connection when these parts are sent, a moment apart."""
    host, port = place.split(":")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, int(port))
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        found = [await read_answer(reader) for _ in range(answers)]
        writer.close()
        return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies of the requests that took the short way."""
    taken: list[bytes] = []
    respond = QuickProtocol._respond

    async def noted(self: Any, request: QuickRequest, headers: dict[bytes, bytes], body: bytes) -> None:
        taken.append(body)
        await respond(self, request, headers, body)

    monkeypatch.setattr(QuickProtocol, "_respond", noted)
    return taken


def told(answer: Answer) -> Any:
    """An answer without what differs from request to request."""
    status, headers, body = answer
    same = {name: value for name, value in headers.items() if name not in ("date", "x-request-id")}
    return status, same, re.sub(rb'"requestId":"[^"]+"', b"", body)


async def test_a_whole_post_takes_the_short_way_and_the_same_connection_again(
    studio: Studio, quick: list[bytes]
) -> None:
    async with studio.served() as place:
        first, second = await ask(place, request(), request(), answers=2)
    assert quick == [QUERY, QUERY]
    assert told(first) == told(second)
    assert first[0] == 200
    assert first[2] == b'{"data":{"viewer":null}}'
    assert first[1]["content-type"] == "application/json; charset=utf-8"
    assert first[1]["x-request-id"] != second[1]["x-request-id"]


LONG_WAYS = {
    "the body comes later": [request()[: -len(QUERY)], QUERY],
    "the body comes in two": [request()[:-5], request()[-5:]],
    "in chunks": [request(b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUERY), QUERY), "Transfer-Encoding: chunked")],
    "once and no more": [request(QUERY, "Connection: close")],
    "in an old version": [request(version="1.0")],
    "with parameters in the URL": [request(path="/graphql?x=1")],
}


@pytest.mark.parametrize("parts", LONG_WAYS.values(), ids=LONG_WAYS)
async def test_a_request_that_is_not_plain_is_answered_alike(
    studio: Studio, quick: list[bytes], parts: Sequence[bytes]
) -> None:
    async with studio.served() as place:
        [long] = await ask(place, *parts)
        assert quick == []
        [short] = await ask(place, request())
    assert quick == [QUERY]
    long[1].pop("connection", None)
    assert told(long) == told(short)


REFUSED = {
    "no JSON": (400, request(b"{")),
    "another type": (415, request().replace(b"application/json", b"text/plain")),
    "compressed": (415, request(QUERY, "Content-Encoding: gzip")),
    "no query": (400, request(b"{}")),
    "a syntax error": (200, request(orjson.dumps({"query": "{"}))),
    "nothing acceptable": (406, request(QUERY, "Accept: text/html")),
    "a forged token": (401, request(QUERY, "Authorization: Bearer nonsense")),
    "too long": (413, request(orjson.dumps({"query": "{ viewer { email } }" + " " * 1_000_001}))),
}


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_refused_alike_on_both_ways(studio: Studio, status: int, sent: bytes) -> None:
    async with studio.served() as place:
        [short] = await ask(place, sent)
        [long] = await ask(place, sent.replace(b"POST /graphql ", b"POST /graphql? ", 1))
    assert short[0] == status
    assert told(short) == told(long)


async def test_requests_that_do_not_wait_for_each_other_are_answered_in_their_order(
    studio: Studio, quick: list[bytes]
) -> None:
    bodies = [orjson.dumps({"query": f"{{ a{number}: __typename }}"}) for number in range(5)]
    async with studio.served() as place:
        found = await ask(place, b"".join(request(body) for body in bodies), answers=5)
    assert [orjson.loads(body)["data"] for _, _, body in found] == [{f"a{number}": "Query"} for number in range(5)]
    assert quick == bodies[:1]


async def test_a_page_of_a_browser_goes_by_the_layer_that_knows_origins(studio: Studio, quick: list[bytes]) -> None:
    async with studio.served() as place:
        [answer] = await ask(place, request(QUERY, "Origin: http://localhost:3000"))
    assert quick == []
    assert answer[1]["access-control-allow-origin"] == "http://localhost:3000"


async def test_the_callers_request_id_and_the_reason_of_a_401_are_told(studio: Studio, quick: list[bytes]) -> None:
    async with studio.served() as place:
        [answer] = await ask(place, request(QUERY, "X-Request-Id: a-word-of-mine", "Authorization: Basic x"))
    assert len(quick) == 1
    assert answer[0] == 401
    assert answer[1]["x-request-id"] == "a-word-of-mine"
    assert answer[1]["www-authenticate"] == "Bearer"
    assert orjson.loads(answer[2])["errors"][0]["extensions"]["requestId"] == "a-word-of-mine"


async def test_a_caller_who_leaves_early_harms_nobody(studio: Studio) -> None:
    async with studio.served() as place:
        host, port = place.split(":")
        for _ in range(20):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(request())
            writer.transport.abort()
        [answer] = await ask(place, request())
    assert answer[0] == 200


async def test_a_fault_of_the_edge_is_a_500_that_ends_the_connection(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("a secret")

    object.__setattr__(studio.api, "quick", broken)
    async with studio.served() as place:
        [answer] = await ask(place, request())
    assert answer[0] == 500
    assert answer[1]["connection"] == "close"
    assert answer[2] == b""


async def test_a_stopping_server_answers_what_it_has_begun(studio: Studio) -> None:
    slow = orjson.dumps({"query": "{ tracks { nodes { id } } }"})
    async with studio.served() as place:
        asked = asyncio.create_task(ask(place, request(slow), pause=0))
        await asyncio.sleep(0.01)
    [answer] = await asked
    assert answer[0] == 200
