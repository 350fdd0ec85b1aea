"""Reading a JSON body without trusting it: not its length, not its speed, not its depth."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

MAX_BODY_BYTES = 1_000_000  # uploads have a door of their own; a GraphQL request is text
BODY_SECONDS = 15.0  # 1 MB at 0.5 Mbit/s; a body that drips in slower holds a connection for nothing


class BodyRefused(Exception):
    """The body was not taken; `status` is the HTTP status that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


async def read_json(request: Request, *, max_bytes: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS) -> Any:
    """The decoded body of a POST. Raises `BodyRefused`: 415 for what is no plain JSON in UTF-8, 413 when
    longer than `max_bytes` (counted as it arrives, whatever `Content-Length` says), 408 when slower than
    `seconds`, 400 when it does not parse. Of equal keys the last one counts, as in JavaScript."""
    _check_type(request)
    try:
        async with asyncio.timeout(seconds):
            body = await _read(request, max_bytes)
    except TimeoutError:
        raise BodyRefused(408, f"The body did not arrive within {seconds:g} s.") from None
    except ClientDisconnect:
        raise BodyRefused(400, "The body ended early.") from None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyRefused(400, f"The body is not valid JSON: {error}.") from None


def _check_type(request: Request) -> None:
    kind, *parameters = request.headers.get("content-type", "").lower().split(";")
    if kind.strip() != "application/json":
        # Also what keeps other sites out: a form on one of them cannot send this type without asking (CORS).
        raise BodyRefused(415, "Send the request with Content-Type: application/json.")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            raise BodyRefused(415, "Send the JSON in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BodyRefused(415, "Send the body uncompressed.")


async def _read(request: Request, max_bytes: int) -> bytes:
    too_long = BodyRefused(413, f"The body is longer than {max_bytes:,} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 15 or int(declared) > max_bytes):
        raise too_long
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_long
        chunks.append(chunk)
    return b"".join(chunks)
