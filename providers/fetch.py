"""Downloads from elsewhere: `http_chunks` opens one safely, `save` lands any stream of bytes in a file.

A vendor's URL is a stranger's text. Each hop's name is resolved here, its addresses are checked, and the
connection goes to a checked address: no redirect, no second DNS answer leads into the private network.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from socket import SOCK_STREAM, gaierror
from ssl import SSLContext
from typing import ClassVar, NewType

import httpx

from domain.addresses import MAX_PORT, Address, FetchAllow
from domain.media import SNIFFED_BYTES, sniff
from providers.storage import StorageFull

# A client that was built by `open_client`; mypy refuses any other to `http_chunks`.
GuardedClient = NewType("GuardedClient", httpx.AsyncClient)
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
# A server that says nothing for this long has gone; a slow but living one is ended by `save`'s own timeout.
IDLE_SECONDS = 30.0
# A name with an unreachable IPv6 address first gets another chance, one with a hundred addresses does not.
ADDRESSES_TRIED = 3
# Bytes are hashed and written in a thread, in shares that are worth the 0.1 ms of getting there.
WRITE_BYTES = 1024 * 1024
# Signed URLs that ran out, or outputs that were removed: the vendor may hand out a fresh URL.
_GONE = frozenset({401, 403, 404, 410})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FULL = frozenset({errno.EFBIG, errno.ENOSPC, errno.EDQUOT})


class OutputNotSaved(Exception):
    """The output could not be fetched. The text is a sentence for the log, without the URL's secrets.

    `retryable`: another attempt, with a fresh URL where there is one, may do better.
    """

    retryable: ClassVar[bool] = True


class OutputTooLarge(OutputNotSaved):
    """More bytes than allowed."""

    retryable = False


class OutputEmpty(OutputNotSaved):
    """Not one byte."""


class OutputNotMedia(OutputNotSaved):
    """Bytes of another kind than asked for: an error page, a document, compressed data."""


class OutputTruncated(OutputNotSaved):
    """The connection ended before the promised length."""


class OutputTimedOut(OutputNotSaved):
    """Too slow, or silent."""


class OutputUnreachable(OutputNotSaved):
    """No connection, a server's error, or redirects without end."""


class OutputGone(OutputNotSaved):
    """The URL is not, or no longer, valid: ask the vendor for a fresh one."""


class UrlRefused(OutputNotSaved):
    """Not ours to fetch: another scheme, or a private address that `ANTIPHON_FETCH_ALLOW` does not name."""

    retryable = False


@dataclass(frozen=True)
class Saved:
    """A file that landed whole: `size` in bytes, `sha256` in hex, `content_type` by its first bytes."""

    size: int
    sha256: str
    content_type: str


async def save(
    chunks: AsyncIterator[bytes],
    target: Path,
    *,
    max_bytes: int,
    timeout_seconds: float,
    accept: str = "audio/",
) -> Saved:
    """Land `chunks` in `target`, all or nothing, and tell what landed.

    `accept` is how the content type must begin. Raises a named `OutputNotSaved`, or `StorageFull` when this
    machine's disk is; `<target>.part` is removed whatever happens (a killed process leaves it behind).
    """
    part = target.with_name(f"{target.name}.part")
    try:
        async with asyncio.timeout(timeout_seconds):
            saved = await _land(chunks, part, max_bytes, accept)
        await asyncio.to_thread(part.replace, target)
        return saved
    except TimeoutError as error:
        raise OutputTimedOut(f"The output was not there after {timeout_seconds:g} s.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The disk for downloads is full.") from error
        raise
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()  # lets go of the connection now, not at the next garbage collection


async def _land(chunks: AsyncIterator[bytes], part: Path, max_bytes: int, accept: str) -> Saved:
    digest, size, pending, content_type = hashlib.sha256(), 0, bytearray(), None
    file = part.open("wb")

    def write(block: bytes) -> None:
        digest.update(block)
        file.write(block)

    with file:
        async for chunk in chunks:
            size += len(chunk)
            pending += chunk
            if size > max_bytes:
                raise OutputTooLarge(f"The output is larger than {max_bytes} bytes.")
            if content_type is None and size >= SNIFFED_BYTES:
                content_type = _accepted(pending, accept)
            if len(pending) >= WRITE_BYTES:
                await asyncio.to_thread(write, bytes(pending))
                pending.clear()
        if not size:
            raise OutputEmpty("The output is empty.")
        content_type = content_type or _accepted(pending, accept)
        await asyncio.to_thread(write, bytes(pending))
    return Saved(size, digest.hexdigest(), content_type)


def _accepted(head: bytearray, accept: str) -> str:
    content_type = sniff(bytes(head[:SNIFFED_BYTES]))
    if content_type is None or not content_type.startswith(accept):
        raise OutputNotMedia(f"The output is {content_type or 'of no kept type'}, not {accept}….")
    return content_type


async def http_chunks(client: GuardedClient, url: str) -> AsyncIterator[bytes]:
    """The bytes behind an http(s) URL, as sent: never decompressed, at most `MAX_REDIRECTS` hops on.

    Raises a named `OutputNotSaved`.
    """
    place = _place(url)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            async with client.stream("GET", place, follow_redirects=False) as response:
                if response.status_code in _REDIRECTS:
                    place = _place(response.headers.get("Location", ""), base=place)
                    continue
                _expect_ok(response)
                async for chunk in response.aiter_raw():
                    yield chunk
                return
        except httpx.TimeoutException as error:
            raise OutputTimedOut(f"{place.host} was silent for too long.") from error
        except httpx.RemoteProtocolError as error:
            raise OutputTruncated(f"{place.host} broke off: {error}") from error
        except httpx.TransportError as error:
            raise OutputUnreachable(f"{place.host} cannot be reached: {error}") from error
    raise OutputUnreachable(f"{place.host} redirects more than {MAX_REDIRECTS} times.")


def open_client(
    allow: FetchAllow,
    *,
    resolve: Resolve | None = None,
    idle_seconds: float = IDLE_SECONDS,
    verify: SSLContext | bool = True,
) -> GuardedClient:
    """The HTTP client for downloads; close it with `aclose`. `resolve` turns host and port into addresses.

    Proxies of the environment are not used: they would resolve names in our place, unchecked.
    """
    # Without keep-alive no request rides on a connection whose certificate was checked for another name.
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
    inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)
    return GuardedClient(
        httpx.AsyncClient(
            transport=_PinnedTransport(inner, allow, resolve or resolve_host),
            timeout=httpx.Timeout(idle_seconds, connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity", "User-Agent": "antiphon"},
            trust_env=False,
        )
    )


async def resolve_host(host: str, port: int) -> list[Address]:
    """The addresses of `host` by the system's resolver, which also reads 127.1, 0x7f000001 and 2130706433."""
    loop = asyncio.get_running_loop()
    return [ip_address(info[4][0]) for info in await loop.getaddrinfo(host, port, type=SOCK_STREAM)]


class _PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to an address that was checked, while Host header, SNI and certificate keep the name."""

    def __init__(self, inner: httpx.AsyncHTTPTransport, allow: FetchAllow, resolve: Resolve) -> None:
        self._inner = inner
        self._allow = allow
        self._resolve = resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or _DEFAULT_PORTS[request.url.scheme]
        failure: Exception = httpx.ConnectError("no address")
        for address in (await self._addresses(host, port))[:ADDRESSES_TRIED]:
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            found = await self._resolve(host, port)
        except (gaierror, UnicodeError) as error:
            raise httpx.ConnectError(f"no address is known ({error})") from error
        permitted = [address for address in found if self._allow.permits(host, port, address)]
        if found and not permitted:
            raise UrlRefused(f"{host}:{port} is at {found[0]}, a private address; see ANTIPHON_FETCH_ALLOW.")
        return permitted

    async def aclose(self) -> None:
        await self._inner.aclose()


def _place(url: str, *, base: httpx.URL | None = None) -> httpx.URL:
    try:
        place = base.join(url) if base else httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UrlRefused("The output's URL is malformed.") from error
    if place.scheme not in _DEFAULT_PORTS or not place.host:
        raise UrlRefused(f"The output's URL is {place.scheme or 'relative'}, not http or https.")
    if (place.port or 0) > MAX_PORT:  # httpx lets it through, and the socket would raise OverflowError
        raise UrlRefused(f"The output's URL has the port {place.port}, which does not exist.")
    return place


def _expect_ok(response: httpx.Response) -> None:
    status, host = response.status_code, response.url.host
    if status in _GONE:
        raise OutputGone(f"{host} answered {status}: the URL is not valid any more.")
    if status != httpx.codes.OK:
        raise OutputUnreachable(f"{host} answered {status}.")
