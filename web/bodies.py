"""Reading a JSON body without trusting it: not its length, not its speed, not its depth."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from types import coroutine
from typing import Any

import orjson
from starlette.types import Receive

MAX_BODY_BYTES = 1_000_000  # uploads have a door of their own; a GraphQL request is text
BODY_SECONDS = 15.0  # 1 MB at 0.5 Mbit/s; a body that drips in slower holds a connection for nothing
JSON = b"application/json"

Headers = Mapping[bytes, bytes]
Reading = Coroutine[Any, Any, bytearray]


class BodyRefused(Exception):
    """The body was not taken; `status` is the HTTP status that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


async def read_body(
    headers: Headers, receive: Receive, *, max_bytes: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS
) -> bytes | bytearray:
    """The body of a POST. Raises `BodyRefused`: 415 for what is no plain JSON in UTF-8, 413 when longer than
    `max_bytes` (counted as it arrives, whatever `Content-Length` says), 408 when slower than `seconds`."""
    _check_encoding(headers)
    try:
        return await _in_time(_read(headers, receive, max_bytes), seconds)
    except TimeoutError:
        raise BodyRefused(408, f"The body did not arrive within {seconds:g} s.") from None


def parse_json(headers: Headers, body: bytes | bytearray, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The body decoded. Raises `BodyRefused`: 415 and 413 as above, 400 when it does not parse. Of equal keys the last
    one counts, as in JavaScript."""
    _check_encoding(headers)
    if len(body) > max_bytes:
        raise _too_long(max_bytes)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyRefused(400, f"The body is not valid JSON: {error}.") from None


def _too_long(max_bytes: int) -> BodyRefused:
    return BodyRefused(413, f"The body is longer than {max_bytes:,} bytes.")


def _check_encoding(headers: Headers) -> None:
    if (kind := headers.get(b"content-type", b"")) != JSON:  # as nearly everybody sends it
        _check_type(kind)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BodyRefused(415, "Send the body uncompressed.")


def _check_type(header: bytes) -> None:
    kind, *parameters = header.lower().split(b";")
    if kind.strip() != JSON:
        # Also what keeps other sites out: a form on one of them cannot send this type without asking (CORS).
        raise BodyRefused(415, "Send the request with Content-Type: application/json.")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') not in (b"utf-8", b"utf8"):
            raise BodyRefused(415, "Send the JSON in UTF-8.")


async def _read(headers: Headers, receive: Receive, max_bytes: int) -> bytearray:
    declared = headers.get(b"content-length", b"")
    too_long = declared.isdigit() and (len(declared) > 15 or int(declared) > max_bytes)
    body, more = bytearray(), True
    while more and not too_long:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyRefused(400, "The body ended early.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        too_long = len(body) > max_bytes
    if too_long:
        raise _too_long(max_bytes)
    return body


async def _in_time(reading: Reading, seconds: float) -> bytearray:
    """What `reading` gives. Raises `TimeoutError`. Nearly every body is there, whole, before it is asked for: so the
    timer, at 9 µs, is set only once there is something to wait for."""
    try:
        awaited = reading.send(None)
    except StopIteration as done:
        body: bytearray = done.value
        return body
    async with asyncio.timeout(seconds):
        return await _resumed(reading, awaited)


@coroutine
def _resumed(reading: Reading, awaited: Any) -> Generator[Any, Any, bytearray]:
    """`reading`, which has come to wait for `awaited`, to its end."""
    try:
        yield awaited
        body: bytearray = yield from reading
        return body
    finally:
        reading.close()
