"""Where media live: a folder or a bucket behind one small door. Only content-addressed keys pass through it.

A key is one path segment (`domain.media.content_key`); the store spreads keys over two levels of folders,
because a folder with a million files is slow to list.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from domain.media import is_key
from domain.storage import Bucket, Folder, parse_storage_url

# A slow listener holds one block. 300 MB in blocks of this size took 0.12 s from a local disk (256 KiB:
# 0.20 s, 1 MiB: 0.07 s); a three-minute MP3 costs six requests to S3.
BLOCK_BYTES = 512 * 1024
# Two parts of this size in flight bound an upload's memory to 16 MiB; S3 allows 10,000 parts, so 78 GiB.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 2
# An outage is told within about 15 s; a part of 8 MiB has a minute, which is 1.1 Mbit/s.
S3_RETRIES = 3
S3_RETRY_FOR = timedelta(seconds=15)
S3_CONNECT_TIMEOUT = timedelta(seconds=5)
S3_REQUEST_TIMEOUT = timedelta(seconds=60)
# EFBIG (the process's limit), ENOSPC and EDQUOT in the words of obstore, which keeps no errno.
_FULL = ("os error 27)", "os error 28)", "os error 122)")
# Overwritten by each check and never listed: its name is no key.
_PROBE = "storage-check"


class StorageUnavailable(Exception):
    """The store cannot be reached or refuses to work. The text is for the log, never for a client."""


class StorageFull(StorageUnavailable):
    """The disk or the quota behind the store is used up."""


class ObjectMissing(StorageUnavailable):
    """A key that should be in the store is not there."""


@dataclass(frozen=True)
class StoredObject:
    """One object: `size` in bytes, `modified` in UTC (the last time it was put)."""

    key: str
    size: int
    modified: datetime


class Storage:
    """The store, made by `open_storage`. Each method raises `StorageUnavailable` when it does not work."""

    def __init__(self, store: LocalStore | S3Store, *, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    async def put_file(self, path: Path, key: str, content_type: str) -> None:
        """Store the file at `path` under `key`, streamed and all or nothing; on disk when this returns.

        Again with the same key: the object is replaced by its equal and its time is fresh, so that a sweep of
        orphans that runs at the same moment leaves it alone. Raises `StorageFull` too.
        """
        place = _place(key)
        await asyncio.to_thread(path.stat)  # a missing source is the caller's FileNotFoundError
        # A folder cannot keep attributes; there the type follows from the key.
        attributes = None if self._folder else {"Content-Type": content_type}
        with _translated():
            await obstore.put_async(
                self._store,
                place,
                path,
                attributes=attributes,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
            )
            if self._folder:
                await asyncio.to_thread(_sync, self._folder / place)

    async def stat(self, key: str) -> StoredObject | None:
        """Size and time of an object, None when there is none."""
        try:
            with _translated():
                meta = await obstore.head_async(self._store, _place(key))
        except ObjectMissing:
            return None
        return StoredObject(key, meta["size"], meta["last_modified"])

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` (exclusive; None: to the last), in blocks of at most `BLOCK_BYTES`.

        Each block is a request of its own, so a listener may take as long as it likes and holds nothing open.
        Raises `ObjectMissing`, and `StorageUnavailable` when the object is shorter than `end`.
        """
        place = _place(key)
        if end is None:
            stored = await self.stat(key)
            if stored is None:
                raise ObjectMissing(f"{key} is not in the store.")
            end = stored.size
        for first in range(start, end, BLOCK_BYTES):
            last = min(first + BLOCK_BYTES, end)
            with _translated():
                block = bytes(await obstore.get_range_async(self._store, place, start=first, end=last))
            if len(block) != last - first:
                raise StorageUnavailable(f"{key} ends at byte {first + len(block)}, before {end}.")
            yield block

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is as good."""
        try:
            with _translated():
                await obstore.delete_async(self._store, _place(key))
        except ObjectMissing:
            return

    async def list(self, older_than: datetime) -> AsyncIterator[StoredObject]:
        """All objects last put before `older_than`, in no order. What is not named by a key is left out."""
        with _translated():
            async for page in obstore.list(self._store, chunk_size=1000):
                for meta in page:
                    key = meta["path"].rpartition("/")[2]
                    if is_key(key) and meta["last_modified"] < older_than:
                        yield StoredObject(key, meta["size"], meta["last_modified"])

    async def check(self) -> None:
        """Write a few bytes, which proves address, credentials, permission and space."""
        with _translated():
            await obstore.put_async(self._store, _PROBE, b"writable\n")

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Remove what killed writers left in a folder before `older_than`; returns how many files that was.

        In a bucket such leftovers are unfinished multipart uploads; its lifecycle rule ends those.
        """
        if self._folder is None:
            return 0
        return await asyncio.to_thread(_remove_staged, self._folder, older_than)


def open_storage(url: str, *, credentials: Mapping[str, str] | None = None) -> Storage:
    """The store that `url` names (`domain.storage` has the forms).

    `credentials` may hold `access_key_id`, `secret_access_key` and `session_token`; without them the
    standard AWS chain decides. Raises `ValueError` for a malformed URL, `StorageUnavailable` when a folder
    cannot be made.
    """
    place = parse_storage_url(url)
    with _translated():
        if isinstance(place, Folder):
            folder = Path(place.path)
            return Storage(LocalStore(folder, mkdir=True), folder=folder)
        return Storage(_open_bucket(place, credentials or {}), folder=None)


def _open_bucket(place: Bucket, credentials: Mapping[str, str]) -> S3Store:
    named = {"endpoint": place.endpoint, "region": place.region, **credentials}
    return S3Store(
        place.name,
        prefix=place.prefix or None,
        config={name: value for name, value in named.items() if value},  # type: ignore[arg-type]
        client_options={
            "allow_http": (place.endpoint or "").startswith("http://"),
            "connect_timeout": S3_CONNECT_TIMEOUT,
            "timeout": S3_REQUEST_TIMEOUT,
        },
        retry_config={"max_retries": S3_RETRIES, "retry_timeout": S3_RETRY_FOR},
    )


def _place(key: str) -> str:
    if not is_key(key):
        raise ValueError("a key is 64 hexadecimal digits and the extension of a kept type")
    return f"{key[:2]}/{key[2:4]}/{key}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StorageUnavailable:
        raise
    except FileNotFoundError as error:
        raise ObjectMissing(_sentence(error)) from error
    except (BaseError, OSError) as error:
        sentence = _sentence(error)
        full = any(code in sentence for code in _FULL)
        raise (StorageFull if full else StorageUnavailable)(sentence) from error


def _sentence(error: Exception) -> str:
    """obstore's first line; the rest is a dump of the library's insides."""
    return str(error).partition("\n")[0]


def _sync(path: Path) -> None:
    """Make a file and its name survive a power cut: the row that refers to it is committed next."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_staged(folder: Path, older_than: datetime) -> int:
    """obstore writes to `<name>#<n>` and renames; a killed process leaves that file behind."""
    removed = 0
    for path in folder.rglob("*#*"):
        try:
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < older_than:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue  # its writer has just finished
    return removed
