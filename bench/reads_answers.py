"""Whether everybody answers the same: every request is made once of everybody before anything is measured.

Ids, cursors, times and providers may differ in their text. An id is compared by the row that it names, a time by the
moment, a cursor by the place of its edge; a provider's name is stored in small letters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.reads_seed import raw_id
from bench.serving import MeasurementFailed

AT_ONCE = 8  # connections; the server has one core
LENGTH = b"content-length:"


async def answers(url: str, requests: Sequence[bytes]) -> list[bytes]:
    """The bodies that answer the requests. Raises `MeasurementFailed` for what is no plain success."""
    found: list[bytes] = [b""] * len(requests)
    waiting = iter(enumerate(requests))

    async def ask() -> None:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            for index, request in waiting:
                writer.write(request)
                found[index] = await _body(reader)
        finally:
            writer.close()

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return found


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.find(LENGTH) + len(LENGTH)
    if at < len(LENGTH):
        raise MeasurementFailed(f"An answer does not say how long it is: {head!r}")
    body = await reader.readexactly(int(head[at : head.find(b"\r", at)]))
    if not head.startswith(b"http/1.1 200 "):
        raise MeasurementFailed(f"A request was refused: {head[:100]!r} {body[:500]!r}")
    return body


def normal(body: bytes) -> bytes:
    """The answer in the form that all share. Raises `MeasurementFailed` when there are errors in it."""
    answer = orjson.loads(body)
    if set(answer) != {"data"} or not all(answer["data"].values()):
        raise MeasurementFailed(f"A request was not answered with data alone: {body[:500]!r}")
    return orjson.dumps(_normal(answer["data"]))


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "edges" in value:
        value = _with_places(value)
    return dict(_field(name, item) for name, item in value.items())


def _field(name: str, value: Any) -> tuple[str, Any]:
    if name == "id":
        return name, value if len(value) == 36 else raw_id(value)
    if name == "createdAt":
        return name, datetime.fromisoformat(value).astimezone(UTC).isoformat()
    if name == "provider":
        return name, value and value.upper()
    if name == "durationMs":
        return "durationSeconds", value / 1000
    if name == "durationSeconds":
        return name, float(value)  # JavaScript writes 70, Python 70.0
    return name, _normal(value)


def _with_places(connection: dict[str, Any]) -> dict[str, Any]:
    """The connection with the places of edges instead of their cursors."""
    cursors = [edge["cursor"] for edge in connection["edges"]]
    if len({*cursors}) != len(cursors):
        raise MeasurementFailed(f"Two edges have the same cursor: {cursors}")
    page = connection["pageInfo"]
    places = {name: cursors.index(page[name]) for name in ("startCursor", "endCursor")}
    edges = [{**edge, "cursor": place} for place, edge in enumerate(connection["edges"])]
    return {**connection, "edges": edges, "pageInfo": {**page, **places}}


def require_same(query: str, found: dict[str, list[bytes]]) -> None:
    """Raises `MeasurementFailed` unless all contenders answered each request alike; `found` is by their names."""
    first, *rest = found
    for number, bodies in enumerate(zip(*found.values(), strict=True)):
        expected = normal(bodies[0])
        for name, body in zip(rest, bodies[1:], strict=True):
            if normal(body) != expected:
                at = next((at for at, (a, b) in enumerate(zip(expected, normal(body), strict=False)) if a != b), 0)
                raise MeasurementFailed(
                    f"{name} answers {query} number {number} otherwise than {first}: "
                    f"{_around(normal(body), at)}\ninstead of {_around(expected, at)}"
                )


def _around(text: bytes, at: int) -> str:
    return text[max(0, at - 100) : at + 100].decode(errors="replace")
