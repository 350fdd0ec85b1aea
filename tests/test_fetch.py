from __future__ import annotations

import asyncio
import gzip
import hashlib
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from domain.addresses import parse_fetch_allow
from providers.fetch import (
    OutputEmpty,
    OutputGone,
    OutputNotMedia,
    OutputTimedOut,
    OutputTooLarge,
    OutputTruncated,
    OutputUnreachable,
    Saved,
    UrlRefused,
    http_chunks,
    open_client,
    save,
)
from providers.storage import StorageFull
from tests.test_storage import file_size_limit

SONG = b"ID3\x04\x00\x00\x00\x00\x00\x00" + Random(7).randbytes(200_000)
LOOPBACK = parse_fetch_allow("127.0.0.0/8, ::1")


def answer(body: bytes, *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    said = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {said}\r\n{headers}\r\n".encode() + body


@asynccontextmanager
async def vendor(script):
    """A server on loopback that sends what `script(request head)` gives: bytes, or an async iterator of them."""
    heads: list[str] = []

    async def serve(reader, writer):
        try:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            reply = script(heads[-1])
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                async for piece in reply:
                    writer.write(piece)
                    await writer.drain()
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone: some tests want just that
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


def download(tmp_path, script, *, path="/song.mp3", url=None, allow=LOOPBACK, idle_seconds=5.0, resolve=None, **limits):
    """Fetch from a vendor that plays `script`; returns what landed and the request heads that the vendor saw."""

    async def play():
        client = open_client(allow, resolve=resolve, idle_seconds=idle_seconds)
        try:
            async with vendor(script) as (base, heads):
                place = (url or "{base}" + path).format(base=base, port=base.rpartition(":")[2])
                limits.setdefault("max_bytes", 1_000_000)
                limits.setdefault("timeout_seconds", 20)
                return await save(http_chunks(client, place), tmp_path / "output", **limits), heads
        finally:
            await client.aclose()

    try:
        return asyncio.run(play())
    except Exception:
        assert list(tmp_path.iterdir()) == [], "a failed download must leave nothing behind"
        raise


def test_a_download_lands_whole_with_its_hash_and_true_type(tmp_path):
    script = lambda head: answer(SONG, headers="Content-Type: application/octet-stream\r\n")  # noqa: E731
    saved, heads = download(tmp_path, script)
    assert saved == Saved(len(SONG), hashlib.sha256(SONG).hexdigest(), "audio/mpeg")
    assert [found.name for found in tmp_path.iterdir()] == ["output"]
    assert (tmp_path / "output").read_bytes() == SONG
    assert "accept-encoding: identity\r\n" in heads[0].lower()


def test_the_name_stays_in_the_host_header_although_the_address_is_pinned(tmp_path):
    async def resolve(host, port):
        return [ip_address("127.0.0.1")]

    _, heads = download(tmp_path, lambda head: answer(SONG), url="http://cdn.example:{port}/a", resolve=resolve)
    assert "host: cdn.example:" in heads[0].lower()


def test_a_second_address_is_tried_when_the_first_is_dead(tmp_path):
    async def resolve(host, port):
        return [ip_address("::1"), ip_address("127.0.0.1")]  # the vendor listens on the second only

    saved, _ = download(tmp_path, lambda head: answer(SONG), url="http://cdn.example:{port}/a", resolve=resolve)
    assert saved.size == len(SONG)


@pytest.mark.parametrize("body", [b"", b"tiny"])
def test_an_output_without_sound_is_refused(tmp_path, body):
    with pytest.raises((OutputEmpty, OutputNotMedia)) as caught:
        download(tmp_path, lambda head: answer(body))
    assert caught.type is (OutputNotMedia if body else OutputEmpty)


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Sign in</title>" + bytes(5000),
        b'{"error":"expired"}',
        gzip.compress(SONG),
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
        b"<svg xmlns='http://www.w3.org/2000/svg'>" + bytes(5000),
    ],
    ids=["html", "json", "gzip", "png", "svg"],
)
def test_what_is_named_mp3_but_is_not_is_refused(tmp_path, body):
    with pytest.raises(OutputNotMedia):
        download(tmp_path, lambda head: answer(body, headers="Content-Type: audio/mpeg\r\n"))


def test_a_cover_is_accepted_where_a_picture_is_wanted(tmp_path):
    saved, _ = download(tmp_path, lambda head: answer(b"\x89PNG\r\n\x1a\n" + bytes(900)), accept="image/")
    assert saved.content_type == "image/png"


def test_compressed_data_is_not_expanded(tmp_path):
    bomb = gzip.compress(b"ID3\x04" + bytes(50_000_000))
    with pytest.raises(OutputNotMedia):
        download(tmp_path, lambda head: answer(bomb, headers="Content-Encoding: gzip\r\n"))


def test_an_endless_body_is_cut_at_the_cap(tmp_path):
    sent = 0

    async def endless():
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\n\r\nID3\x04"
        while True:
            sent += 65536
            yield bytes(65536)

    with pytest.raises(OutputTooLarge, match="larger than 1000000 bytes"):
        download(tmp_path, lambda head: endless())
    assert sent < 30_000_000


def test_exactly_the_cap_is_allowed(tmp_path):
    saved, _ = download(tmp_path, lambda head: answer(SONG), max_bytes=len(SONG))
    assert saved.size == len(SONG)


@pytest.mark.parametrize(
    "reply",
    [
        answer(SONG[:5000], length=len(SONG)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + SONG[:4096] + b"\r\n",
        b"",
    ],
    ids=["short", "chunked", "nothing"],
)
def test_a_truncated_body_is_noticed(tmp_path, reply):
    with pytest.raises(OutputTruncated):
        download(tmp_path, lambda head: reply)


async def _drip():
    yield b"HTTP/1.1 200 OK\r\n\r\nID3\x04"
    while True:
        await asyncio.sleep(0.02)
        yield b"\0"


async def _silence():
    yield b"HTTP/1.1 200 OK\r\n\r\nID3\x04"
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("script", "limits"),
    [(_drip, {"timeout_seconds": 0.3}), (_silence, {"idle_seconds": 0.2}), (_silence, {"timeout_seconds": 0.2})],
)
def test_a_slow_or_silent_server_is_left(tmp_path, script, limits):
    with pytest.raises(OutputTimedOut):
        download(tmp_path, lambda head: script(), **limits)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"])
def test_an_expired_url_asks_for_a_fresh_one(tmp_path, status):
    with pytest.raises(OutputGone) as caught:
        download(tmp_path, lambda head: answer(b"<Error/>", status=status), path="/a.mp3?signature=secret")
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Slow Down", "206 Partial Content", "204 No Content"])
def test_any_other_status_is_no_output(tmp_path, status):
    with pytest.raises(OutputUnreachable):
        download(tmp_path, lambda head: answer(SONG, status=status))


def test_a_closed_port_is_unreachable(tmp_path):
    with pytest.raises(OutputUnreachable):
        download(tmp_path, lambda head: b"", url="http://127.0.0.1:1/song.mp3")


def test_an_unknown_name_is_unreachable(tmp_path):
    with pytest.raises(OutputUnreachable, match="no address"):
        download(tmp_path, lambda head: b"", url="http://nowhere.invalid/song.mp3")


def redirect(place: str) -> bytes:
    return answer(b"", status="302 Found", headers=f"Location: {place}\r\n")


def test_redirects_are_followed(tmp_path):
    script = lambda head: redirect("/next?a=b") if "GET /song.mp3" in head else answer(SONG)  # noqa: E731
    saved, heads = download(tmp_path, script)
    assert saved.size == len(SONG)
    assert [head.split()[1] for head in heads] == ["/song.mp3", "/next?a=b"]


def test_a_redirect_loop_ends_after_five(tmp_path):
    seen = []

    def script(head):
        seen.append(head)
        return redirect("/song.mp3")

    with pytest.raises(OutputUnreachable, match="more than 5 times"):
        download(tmp_path, script)
    assert len(seen) == 6


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//10.0.0.1/a",
    ],
)
def test_no_redirect_leads_into_the_private_network(tmp_path, place):
    allow = parse_fetch_allow("127.0.0.1")
    with pytest.raises(UrlRefused) as caught:
        download(tmp_path, lambda head: redirect(place), allow=allow)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "url",
    [
        "{base}/song.mp3",
        "http://localhost:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://0:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "file:///etc/passwd",
        "song.mp3",
        "",
        "http://",
        "http://93.184.215.14:99999/",
    ],
)
def test_no_spelling_of_a_private_address_is_reached(tmp_path, url):
    seen = []

    def script(head):
        seen.append(head)
        return answer(SONG)

    with pytest.raises(UrlRefused):
        download(tmp_path, script, url=url or " ", allow=parse_fetch_allow(""))
    assert seen == []


def test_a_name_that_changes_its_address_gains_nothing(tmp_path):
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    saved, _ = download(tmp_path, lambda head: answer(SONG), url="http://rebind.example:{port}/", resolve=resolve)
    assert saved.size == len(SONG)
    assert asked == ["rebind.example"]  # once, so what was checked is what was connected to


def certificate_for(name: str, folder) -> ssl.SSLContext:
    """A server's context with a self-made certificate for `name`, which is written to `folder` as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(("name", "fits"), [("cdn.example", True), ("other.example", False), ("127.0.0.1", False)])
def test_the_certificate_is_checked_against_the_name_not_the_address(tmp_path, name, fits):
    names = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(SONG))
        await writer.drain()
        writer.close()

    async def resolve(host, port):
        return [ip_address("127.0.0.1")]

    async def play():
        context = certificate_for("cdn.example", tmp_path)
        context.sni_callback = lambda connection, asked, context: names.append(asked)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        client = open_client(LOOPBACK, resolve=resolve, verify=trusting)
        url = f"https://{name}:{server.sockets[0].getsockname()[1]}/song.mp3"
        async with server:
            try:
                return await save(http_chunks(client, url), tmp_path / "a", max_bytes=10**6, timeout_seconds=20)
            finally:
                await client.aclose()

    if fits:
        assert asyncio.run(play()).size == len(SONG)
        assert names == ["cdn.example"]
    else:
        with pytest.raises(OutputUnreachable, match=r"(?i)certificate"):
            asyncio.run(play())


def test_a_private_address_beside_a_public_one_is_not_tried(tmp_path):
    async def resolve(host, port):
        return [ip_address("10.0.0.1"), ip_address("127.0.0.1")]

    allow = parse_fetch_allow("127.0.0.1")
    saved, _ = download(
        tmp_path, lambda head: answer(SONG), url="http://cdn.example:{port}/a", resolve=resolve, allow=allow
    )
    assert saved.size == len(SONG)


def test_the_environments_proxy_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert download(tmp_path, lambda head: answer(SONG))[0].size == len(SONG)


def test_a_cancelled_download_leaves_nothing_and_lets_go(tmp_path):
    closed = []

    async def chunks():
        try:
            yield SONG
            await asyncio.sleep(30)
        finally:
            closed.append(True)

    async def play():
        task = asyncio.create_task(save(chunks(), tmp_path / "a", max_bytes=10**6, timeout_seconds=30))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
    assert closed == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    async def chunks():
        yield SONG
        yield bytes(3 << 20)

    with file_size_limit(1), pytest.raises(StorageFull):
        asyncio.run(save(chunks(), tmp_path / "a", max_bytes=10**7, timeout_seconds=30))
    assert list(tmp_path.iterdir()) == []
