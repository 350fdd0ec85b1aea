"""`/media/{key}`: bytes of a stored object, for whoever holds a signed URL or when its row is public.

The row decides: without one, or not for this viewer, the object does not exist, whatever lies in the store.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from auth.media import SignatureState, verify_media
from core.clock import Clock
from domain.media import MediaRecord, is_key
from providers.storage import Storage, StorageUnavailable

# Given a key and whether its URL was validly signed: the row, or None for what this caller may not see.
FindMedia = Callable[[str, bool], Awaitable[MediaRecord | None]]

# A row that turns private leaves shared caches within the hour that a signed URL lives, too.
PUBLIC_MAX_AGE_SECONDS = 3600
# About the time that a failed-over store needs; players ask again by themselves.
RETRY_AFTER_SECONDS = 5
# A file name that every system takes, extension included.
MAX_NAME_CHARACTERS = 100

# 18 digits are an exabyte and keep `int` quick; anything longer is no range that a player means.
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)

log = structlog.get_logger()


def media_route(storage: Storage, *, secret: bytes, find_media: FindMedia, clock: Clock) -> Route:
    """The route. `secret` is the one that `auth.media.sign_media` signs with."""

    async def serve(request: Request) -> Response:
        key = request.path_params["key"]
        if not is_key(key):
            return _refusal(404, "There is no such file.")
        expires, signature = (
            request.query_params.get("expires", ""),
            request.query_params.get("signature", ""),
        )
        now = clock()
        state = verify_media(key, expires, signature, secret=secret, now=now)
        signed = state is SignatureState.VALID
        record = await find_media(key, signed)
        if record is None:
            if state is SignatureState.EXPIRED:
                return _refusal(403, "This URL has expired: ask for the track again to get a fresh one.")
            return _refusal(404, "There is no such file.")
        lasts = int(expires) - int(now.timestamp()) if signed else None
        return await _answer(request, storage, record, _headers(request, record, lasts))

    return Route("/media/{key}", serve, methods=["GET", "HEAD"])


async def _answer(request: Request, storage: Storage, record: MediaRecord, headers: dict[str, str]) -> Response:
    if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    size = record.size_bytes
    wanted = _wanted_range(request, headers["ETag"], size)
    start, end = wanted or (0, size)
    if start >= end:
        return _refusal(416, "The file has no such bytes.", {"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Type": record.content_type, "Content-Length": str(end - start)}
    if request.method == "HEAD":
        return Response(headers=headers)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    blocks = storage.read(record.key, start, end)
    try:
        # Before the status line is out, a store that is down can still be answered for.
        first = await anext(blocks)
    except StorageUnavailable as error:
        log.error("media.unavailable", key=record.key, reason=str(error))
        return _refusal(503, "The media store does not answer; try again.", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return StreamingResponse(_chained(first, blocks), 206 if wanted else 200, headers)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


def _headers(request: Request, record: MediaRecord, lasts: int | None) -> dict[str, str]:
    """What every answer about an object carries; `lasts` are the seconds that its signed URL still holds."""
    cache = f"public, max-age={PUBLIC_MAX_AGE_SECONDS}" if lasts is None else f"private, max-age={lasts}, immutable"
    return {
        "ETag": f'"{record.key.partition(".")[0]}"',
        "Cache-Control": cache,
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(request.query_params.get("download"), record.key),
        "X-Content-Type-Options": "nosniff",
        # Studios embed media from other origins; the signature, not the origin, is the permission.
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _disposition(name: str | None, key: str) -> str:
    """`inline`, or with `?download=<name>` an attachment of that name with the object's own extension."""
    if name is None:
        return f'inline; filename="{key}"'
    extension = key.rpartition(".")[2]
    stem = re.sub(r"[\x00-\x1f\x7f/\\]", "", name.removesuffix(f".{extension}"))[:MAX_NAME_CHARACTERS] or "media"
    return f"attachment; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='', errors='replace')}"


def _matches(if_none_match: str, etag: str) -> bool:
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (etag, "*") for tag in tags)


def _wanted_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The one range asked for as (start, end), end exclusive and empty when unsatisfiable; None: the whole.

    As RFC 9110 has it, a range counts on GET only; malformed or several ranges get the whole, and so does a
    range guarded by an If-Range that does not match.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if request.method != "GET" or match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{sentence}\n", status, {"Cache-Control": "no-store", **(headers or {})})
