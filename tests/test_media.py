from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import socket
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from auth.media import LIFE_SECONDS, SignatureState, media_url, sign_media, verify_media
from domain.media import MediaRecord, content_key
from providers.storage import open_storage
from web.media import media_route

SECRET = b"a secret of the tests, 32 bytes."
NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
SONG = Random(7).randbytes(1_200_000)
SHA256 = hashlib.sha256(SONG).hexdigest()
KEY = content_key(SHA256, "audio/mpeg")
ETAG = f'"{SHA256}"'
PRIVATE, PUBLIC = (MediaRecord(KEY, "audio/mpeg", len(SONG)), False), (MediaRecord(KEY, "audio/mpeg", len(SONG)), True)


def parts(query: str) -> tuple[str, str]:
    found = parse_qs(query, strict_parsing=True)
    return found["expires"][0], found["signature"][0]


def state(query: str, *, key=KEY, secret=SECRET, now=NOW) -> SignatureState:
    return verify_media(key, *parts(query), secret=secret, now=now)


# --- signatures


@given(st.integers(0, 4_000_000_000))
def test_a_url_lives_between_one_and_two_hours(moment):
    now = datetime.fromtimestamp(moment, UTC)
    query = sign_media(KEY, secret=SECRET, now=now)
    lasts = int(parts(query)[0]) - moment
    assert LIFE_SECONDS < lasts <= 2 * LIFE_SECONDS
    assert state(query, now=now) is SignatureState.VALID
    assert state(query, now=now + timedelta(seconds=lasts)) is SignatureState.EXPIRED


def test_a_url_stays_the_same_within_the_hour():
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    urls = {media_url("https://a.example", KEY, secret=SECRET, now=start + timedelta(minutes=m)) for m in range(60)}
    assert len(urls) == 1
    assert re.fullmatch(r"https://a\.example/media/[\w.]+\?expires=\d+&signature=[\w-]{43}", urls.pop())


@pytest.mark.parametrize("change", ["key", "expires", "signature", "secret"])
def test_whatever_is_changed_makes_it_forged(change):
    expires, signature = parts(sign_media(KEY, secret=SECRET, now=NOW))
    key, secret = KEY, SECRET
    if change == "key":
        key = content_key("0" * 64, "audio/mpeg")
    elif change == "expires":
        expires = str(int(expires) + 1)
    elif change == "signature":
        signature = ("B" if signature[0] == "A" else "A") + signature[1:]
    else:
        secret = b"another"
    assert verify_media(key, expires, signature, secret=secret, now=NOW) is SignatureState.FORGED


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_no_text_of_a_stranger_is_valid_or_an_error(key, expires, signature):
    assert verify_media(key, expires, signature, secret=SECRET, now=NOW) is SignatureState.FORGED


# --- the route


@pytest.fixture
def storage(tmp_path):
    """A store with the song in it."""
    storage = open_storage((tmp_path / "store").as_uri())
    (tmp_path / "song").write_bytes(SONG)
    asyncio.run(storage.put_file(tmp_path / "song", KEY, "audio/mpeg"))
    return storage


@pytest.fixture
def get(storage):
    """Ask the route: `get(row, query, method=…, **headers)`, where `row` is (record, whether it is public)."""

    def ask(row, query="", *, key=KEY, method="GET", **headers):
        app = Starlette(routes=[media_route(storage, secret=SECRET, find_media=finder(row), clock=lambda: NOW)])

        async def play():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, f"/media/{key}?{query}", headers=named)

        return asyncio.run(play())

    return ask


def finder(row):
    async def find(key, signed):
        if row is None or key != row[0].key:
            return None
        return row[0] if signed or row[1] else None

    return find


def signed(now=NOW) -> str:
    return sign_media(KEY, secret=SECRET, now=now)


def test_a_signed_url_serves_the_whole_and_may_be_cached_until_it_expires(get):
    response = get(PRIVATE, signed())
    assert (response.status_code, response.content) == (200, SONG)
    lasts = int(parts(signed())[0]) - int(NOW.timestamp())
    assert dict(response.headers) == {
        "content-type": "audio/mpeg",
        "content-length": str(len(SONG)),
        "etag": ETAG,
        "cache-control": f"private, max-age={lasts}, immutable",
        "accept-ranges": "bytes",
        "content-disposition": f'inline; filename="{KEY}"',
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "cross-origin",
    }


def test_a_public_row_needs_no_signature(get):
    response = get(PUBLIC)
    assert (response.status_code, response.content) == (200, SONG)
    assert response.headers["cache-control"] == "public, max-age=3600"


def test_a_public_row_is_served_in_spite_of_an_expired_or_forged_signature(get):
    for query in (signed(NOW - timedelta(hours=3)), "expires=1&signature=x"):
        assert get(PUBLIC, query).headers["cache-control"] == "public, max-age=3600"


@pytest.mark.parametrize("query", ["", "expires=9999999999&signature=" + "A" * 43, "expires=x&signature=é"])
def test_to_a_stranger_a_private_file_does_not_exist(get, query):
    response = get(PRIVATE, query)
    assert (response.status_code, response.text) == (404, "There is no such file.\n")
    assert response.headers["cache-control"] == "no-store"
    assert response.text == get(None, query, key=content_key("0" * 64, "audio/mpeg")).text


def test_an_expired_url_says_what_to_do(get):
    response = get(PRIVATE, signed(NOW - timedelta(hours=3)))
    assert response.status_code == 403
    assert "expired" in response.text
    assert "fresh" in response.text


def test_a_file_without_a_row_is_not_served(get):
    assert get(None, signed()).status_code == 404


def test_a_signature_for_one_object_opens_no_other(get):
    other = content_key("0" * 64, "audio/mpeg")
    assert get((MediaRecord(other, "audio/mpeg", 5), False), signed(), key=other).status_code == 404


@pytest.mark.parametrize("key", ["x.mp3", SHA256, f"{SHA256}.svg", "..%2F..%2Fetc%2Fpasswd", f"{SHA256}.mp3%00"])
def test_what_is_no_key_is_not_found(get, key):
    assert get(PUBLIC, signed(), key=key).status_code == 404


def test_head_tells_the_same_without_the_bytes(get):
    whole, head = get(PRIVATE, signed()), get(PRIVATE, signed(), method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == whole.headers
    assert get(PRIVATE, signed(), method="HEAD", range="bytes=0-9").headers == whole.headers


def test_nothing_but_get_and_head_is_allowed(get):
    assert get(PRIVATE, signed(), method="POST").status_code == 405


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-499", 0, 500),
        ("BYTES=500-", 500, len(SONG)),
        ("bytes=-500", len(SONG) - 500, len(SONG)),
        ("bytes=-99999999", 0, len(SONG)),
        ("bytes=1199999-5000000", 1_199_999, len(SONG)),
        ("bytes= 600000-1100000 ", 600_000, 1_100_001),
    ],
)
def test_one_range_is_served_as_a_part(get, asked, start, end):
    response = get(PRIVATE, signed(), range=asked)
    assert (response.status_code, response.content) == (206, SONG[start:end])
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{len(SONG)}"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=1200000-", "bytes=5000000-6000000", "bytes=-0"])
def test_a_range_outside_is_not_satisfiable(get, asked):
    response = get(PRIVATE, signed(), range=asked)
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(SONG)}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6",
        "bytes=5-1",
        "bytes=-",
        "bytes=a-b",
        "bytes",
        "seconds=0-5",
        "bytes=٣-٥",
        f"bytes=0-{'9' * 5000}",
    ],
)
def test_a_malformed_or_multiple_range_gets_the_whole(get, asked):
    response = get(PRIVATE, signed(), range=asked.encode())
    assert (response.status_code, len(response.content)) == (200, len(SONG))


def test_a_range_holds_only_for_the_same_bytes(get):
    assert get(PRIVATE, signed(), range="bytes=0-9", if_range=ETAG).status_code == 206
    for other in ('"other"', f"W/{ETAG}", "Sun, 01 Mar 2026 12:00:00 GMT"):
        assert get(PRIVATE, signed(), range="bytes=0-9", if_range=other).status_code == 200


@pytest.mark.parametrize("tags", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(get, tags, method):
    response = get(PRIVATE, signed(), method=method, if_none_match=tags, range="bytes=0-9")
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == ETAG
    assert "immutable" in response.headers["cache-control"]
    assert get(PRIVATE, signed(), method=method, if_none_match='"other"').status_code == 200


def test_knowing_the_hash_is_no_permission(get):
    assert get(PRIVATE, if_none_match=ETAG).status_code == 404


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("Night Drive", "attachment; filename*=UTF-8''Night%20Drive.mp3"),
        ("Night.mp3", "attachment; filename*=UTF-8''Night.mp3"),
        (
            "Über%20%22x%22%0d%0aSet-Cookie:%20a",
            "attachment; filename*=UTF-8''%C3%9Cber%20%22x%22Set-Cookie%3A%20a.mp3",
        ),
        ("../../a", "attachment; filename*=UTF-8''....a.mp3"),
        ("", "attachment; filename*=UTF-8''media.mp3"),
    ],
)
def test_a_download_has_a_name_and_our_extension(get, name, disposition):
    response = get(PRIVATE, f"{signed()}&download={name}")
    assert response.headers["content-disposition"] == disposition


def test_a_lost_object_is_an_outage_without_internals(get, storage):
    asyncio.run(storage.delete(KEY))
    response = get(PRIVATE, signed())
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.text == "The media store does not answer; try again.\n"
    assert response.headers["cache-control"] == "no-store"
    assert get(PRIVATE, signed(), if_none_match=ETAG).status_code == 304


def test_a_store_that_is_down_is_an_outage_without_internals():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        storage = open_storage(
            f"s3://tracks?endpoint=http://127.0.0.1:{taken.getsockname()[1]}&region=x",
            credentials={"access_key_id": "a", "secret_access_key": "b"},
        )
        app = Starlette(routes=[media_route(storage, secret=SECRET, find_media=finder(PUBLIC), clock=lambda: NOW)])

        async def play():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://s") as client:
                return await client.get(f"/media/{KEY}")

        response = asyncio.run(play())
    assert response.status_code == 503
    assert "127.0.0.1" not in response.text


def test_listeners_who_leave_in_the_middle_leave_no_trace(tmp_path, caplog, monkeypatch):
    size = 40 << 20
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(size)
    key = content_key(hashlib.sha256(big.read_bytes()).hexdigest(), "audio/wav")
    row = (MediaRecord(key, "audio/wav", size), True)
    storage = open_storage((tmp_path / "store").as_uri())
    read = 0
    whole_read = storage.read

    async def counted(*bounds):
        nonlocal read
        async for block in whole_read(*bounds):
            read += len(block)
            yield block

    monkeypatch.setattr(storage, "read", counted)

    async def play():
        await storage.put_file(big, key, "audio/wav")
        app = Starlette(routes=[media_route(storage, secret=SECRET, find_media=finder(row), clock=lambda: NOW)])
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /media/{key} HTTP/1.1\r\nHost: studio\r\n\r\n".encode())
            await reader.readexactly(200_000)
            writer.transport.abort()
        await asyncio.sleep(0.3)
        server.should_exit = True
        await serving

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    assert caplog.records == []
    assert 0 < read < 3 * size // 2


def test_the_url_that_is_given_out_is_the_one_that_is_served(get):
    url = urlsplit(media_url("https://studio.example", KEY, secret=SECRET, now=NOW))
    assert url.path == f"/media/{KEY}"
    assert get(PRIVATE, url.query).status_code == 200
