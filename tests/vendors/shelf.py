"""The files of a vendor: served by signed URLs that can expire, whole or by Range, and flawed on command."""

from __future__ import annotations

import asyncio
import io
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from zlib import crc32

import soundfile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from tests.scripted import cover, sound
from tests.vendors.serving import break_off

# The first boxes of an MP4 file, and no picture: enough to be told from sound and from HTML.
VIDEO = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x00\x00\x08free" + b"\x00\x00\x00\x08mdat"
SUFFIXES = {"audio/wav": ".wav", "audio/mpeg": ".mp3", "image/png": ".png", "video/mp4": ".mp4"}
CHUNK = 16384  # bytes


@dataclass(frozen=True)
class Flaw:
    """What is wrong with an answer. Flaws are met once each; the next fetch is well."""

    cut_after: int | None = None  # bytes, then the connection breaks
    empty: bool = False
    content_type: str | None = None  # says so, whatever the bytes are
    status: int | None = None  # this instead of the file, with HTML
    redirect: str | None = None  # to this address instead
    seconds_per_chunk: float = 0.0  # of 16 KiB
    no_ranges: bool = False  # answers the whole for a part


@dataclass
class File:
    body: bytes
    content_type: str
    edition: int = 1  # URLs of an older one have expired
    flaws: list[Flaw] = field(default_factory=list)


class Shelf:
    """`base_url` is known once the server listens. Files are put with the task, and their URLs made when it is read."""

    def __init__(self) -> None:
        self.base_url = ""
        self.files: dict[str, File] = {}
        self.fetched: Counter[str] = Counter()

    def put(self, key: str, content_type: str, body: bytes, flaw: Flaw | None = None) -> str:
        """Keep a file; its URL."""
        self.files[key] = File(body, content_type, flaws=[flaw] if flaw else [])
        return self.url(key)

    def url(self, key: str) -> str:
        """A URL that is valid until the file expires: read the task again then."""
        return f"{self.base_url}/files/{key}?edition={self.files[key].edition}"

    def key(self, url: str) -> str:
        return url.removeprefix(f"{self.base_url}/files/").split("?")[0]

    def fresh(self, url: str) -> str:
        """The URL that is valid now, for one that was valid once; the same one for a file that is gone."""
        key = self.key(url)
        return self.url(key) if key in self.files else url

    def expire(self, part: str = "") -> None:
        """All URLs given so far for files whose key has this part answer 403."""
        for key, file in self.files.items():
            if part in key:
                file.edition += 1

    def remove(self, part: str = "") -> None:
        """The files whose key has this part are gone: 404, also by fresh URLs."""
        self.files = {key: file for key, file in self.files.items() if part not in key}

    def flaw(self, part: str, *flaws: Flaw) -> None:
        """The next fetches of the files whose key has this part meet these flaws."""
        for key, file in self.files.items():
            if part in key:
                file.flaws.extend(flaws)

    async def serve(self, request: Request) -> Response:
        key = request.path_params["key"]
        self.fetched[key] += 1
        file = self.files.get(key)
        if file is None:
            return page(404)
        if request.query_params.get("edition") != str(file.edition):
            return page(403)
        flaw = file.flaws.pop(0) if file.flaws else Flaw()
        if flaw.status is not None:
            return page(flaw.status)
        if flaw.redirect is not None:
            return RedirectResponse(flaw.redirect, 302)
        return _answer(request, file, flaw)


def _answer(request: Request, file: File, flaw: Flaw) -> Response:
    body = b"" if flaw.empty else file.body
    headers = {"Content-Type": flaw.content_type or file.content_type, "ETag": f'"{crc32(file.body):08x}"'}
    status, start, end = 200, 0, len(body)
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    same = request.headers.get("if-range") in (None, headers["ETag"])
    if not flaw.no_ranges:
        headers["Accept-Ranges"] = "bytes"
    if asked and same and not flaw.no_ranges:
        start, end = int(asked[1]), min(int(asked[2]) + 1, end) if asked[2] else end
        if start >= len(body):
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(body)}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(_chunks(request, body[start:end], flaw), status, headers)


async def _chunks(request: Request, body: bytes, flaw: Flaw) -> AsyncIterator[bytes]:
    given = body if flaw.cut_after is None else body[: flaw.cut_after]
    for start in range(0, len(given), CHUNK):
        if flaw.seconds_per_chunk:
            await asyncio.sleep(flaw.seconds_per_chunk)
        yield given[start : start + CHUNK]
    if flaw.cut_after is not None:
        break_off(request)
        # What follows is not sent any more; without it Starlette would end the answer as if it were whole.
        yield body[len(given) :]


def page(status: int) -> Response:
    """What stands before a vendor answers in HTML."""
    return Response(
        f"<html><head><title>{status}</title></head><body><center>nginx</center></body></html>",
        status,
        media_type="text/html",
    )


def default_bytes(key: str, content_type: str) -> bytes:
    """Another key is another sound; images and videos are all alike."""
    if content_type == "audio/mpeg":
        return compressed(crc32(key.encode()) % 1000)
    if content_type.startswith("audio/"):
        return sound(crc32(key.encode()) % 1000)
    return cover() if content_type.startswith("image/") else VIDEO


@cache
def compressed(seed: int) -> bytes:
    """`sound` as MP3."""
    samples, rate = soundfile.read(io.BytesIO(sound(seed)))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3")
    return file.getvalue()
