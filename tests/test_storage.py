from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.media import content_key
from providers.storage import BLOCK_BYTES, PART_BYTES, ObjectMissing, StorageFull, StorageUnavailable, open_storage

NEVER = datetime(2000, 1, 1, tzinfo=UTC)
# moto accepts any credentials, but obstore asks for some before it signs.
CREDENTIALS = {"access_key_id": "test", "secret_access_key": "test"}
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the test closes its end or dies
"""


def soon():
    return datetime.now(UTC) + timedelta(minutes=1)


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server, a bucket `tracks` in it."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        address = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(urllib.request.Request(f"{address}/tracks", method="PUT")):
            yield address
        server.stdin.close()


@pytest.fixture(params=["file", "s3"])
def storage(request, tmp_path):
    if request.param == "file":
        return open_storage((tmp_path / "store").as_uri())
    address = request.getfixturevalue("s3")
    return open_storage(
        f"s3://tracks/{tmp_path.name.rstrip('0123456789')}?endpoint={address}&region=us-east-1",
        credentials=CREDENTIALS,
    )


def make(tmp_path, size: int) -> tuple[Path, str, bytes]:
    """A file of `size` bytes and its key."""
    content = os.urandom(size)
    path = tmp_path / "source.part"
    path.write_bytes(content)
    return path, content_key(hashlib.sha256(content).hexdigest(), "audio/mpeg"), content


async def read(storage, key, *bounds) -> bytes:
    return b"".join([block async for block in storage.read(key, *bounds)])


async def keys(storage, older_than) -> list[str]:
    return [stored.key async for stored in storage.list(older_than)]


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * PART_BYTES + 5])
def test_what_is_put_is_read_back_whole_and_in_parts(storage, tmp_path, size):
    async def play():
        path, key, content = make(tmp_path, size)
        await storage.put_file(path, key, "audio/mpeg")
        stored = await storage.stat(key)
        assert (stored.key, stored.size) == (key, size)
        assert abs(datetime.now(UTC) - stored.modified) < timedelta(minutes=1)
        assert await read(storage, key) == content
        assert await read(storage, key, size // 2) == content[size // 2 :]
        assert await read(storage, key, size // 3, size // 2) == content[size // 3 : size // 2]
        assert all([len(block) <= BLOCK_BYTES async for block in storage.read(key)])

    asyncio.run(play())


def test_putting_the_same_again_is_harmless_and_makes_it_young(storage, tmp_path):
    async def play():
        path, key, content = make(tmp_path, 1000)
        await storage.put_file(path, key, "audio/mpeg")
        first = await storage.stat(key)
        await asyncio.sleep(1.1)  # S3 tells time in whole seconds
        await asyncio.gather(*(storage.put_file(path, key, "audio/mpeg") for _ in range(4)))
        assert (await storage.stat(key)).modified > first.modified
        assert await read(storage, key) == content
        assert await keys(storage, soon()) == [key]

    asyncio.run(play())


def test_listing_gives_only_what_is_older(storage, tmp_path):
    async def play():
        made = set()
        for _ in range(3):
            path, key, _ = make(tmp_path, 10)
            await storage.put_file(path, key, "audio/mpeg")
            made.add(key)
        await storage.check()  # its probe is not an object
        assert set(await keys(storage, soon())) == made
        assert await keys(storage, NEVER) == []

    asyncio.run(play())


def test_a_deleted_object_is_gone_and_may_be_deleted_again(storage, tmp_path):
    async def play():
        path, key, _ = make(tmp_path, 10)
        await storage.put_file(path, key, "audio/mpeg")
        await storage.delete(key)
        await storage.delete(key)
        assert await storage.stat(key) is None
        with pytest.raises(ObjectMissing):
            await read(storage, key)
        with pytest.raises(ObjectMissing):
            await read(storage, key, 0, 5)

    asyncio.run(play())


@pytest.mark.parametrize("key", ["../../etc/passwd", "a.mp3", "", f"{'a' * 64}.svg", f"x/{'a' * 64}.mp3"])
def test_no_other_key_reaches_the_store(storage, tmp_path, key):
    async def play():
        path, _, _ = make(tmp_path, 10)
        for attempt in (storage.stat(key), storage.delete(key), storage.put_file(path, key, "audio/mpeg")):
            with pytest.raises(ValueError, match="a key is"):
                await attempt
        with pytest.raises(ValueError, match="a key is"):
            await read(storage, key)

    asyncio.run(play())


def test_a_missing_source_is_the_callers_fault(storage, tmp_path):
    async def play():
        _, key, _ = make(tmp_path, 10)
        with pytest.raises(FileNotFoundError):
            await storage.put_file(tmp_path / "nowhere", key, "audio/mpeg")

    asyncio.run(play())


def test_an_object_that_is_shorter_than_promised_is_not_passed_off_as_whole(storage, tmp_path):
    async def play():
        path, key, _ = make(tmp_path, 1000)
        await storage.put_file(path, key, "audio/mpeg")
        with pytest.raises(StorageUnavailable, match="ends at byte 1000, before 2000"):
            await read(storage, key, 0, 2000)

    asyncio.run(play())


def test_a_bucket_tells_the_content_type(s3, tmp_path):
    async def play():
        storage = open_storage(f"s3://tracks/typed?endpoint={s3}&region=us-east-1", credentials=CREDENTIALS)
        path, key, _ = make(tmp_path, 10)
        await storage.put_file(path, key, "audio/mpeg")
        place = f"{s3}/tracks/typed/{key[:2]}/{key[2:4]}/{key}"
        signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=0"
        request = urllib.request.Request(place, headers={"Authorization": signed})
        with urllib.request.urlopen(request) as response:  # noqa: ASYNC210
            assert response.headers["Content-Type"] == "audio/mpeg"

    asyncio.run(play())


def test_a_bucket_that_does_not_exist_is_unavailable(s3):
    storage = open_storage(f"s3://nowhere?endpoint={s3}&region=us-east-1", credentials=CREDENTIALS)
    with pytest.raises(StorageUnavailable, match=r"NoSuchBucket|not found"):
        asyncio.run(storage.check())


def test_a_store_that_is_down_is_unavailable_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = taken.getsockname()[1]
        storage = open_storage(f"s3://tracks?endpoint=http://127.0.0.1:{port}&region=x", credentials=CREDENTIALS)
        with pytest.raises(StorageUnavailable) as caught:
            asyncio.run(storage.check())
    assert "\n" not in str(caught.value)
    assert "test" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        open_storage((tmp_path / "file" / "store").as_uri())


def test_a_malformed_url_is_told_what_to_write():
    with pytest.raises(ValueError, match=r"must be file:///folder or s3://bucket"):
        open_storage("https://bucket.example")


@contextmanager
def file_size_limit(megabytes: int):
    """Make this process unable to write larger files: the nearest to a full disk without being root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_put_that_runs_out_of_space_leaves_nothing(tmp_path):
    async def play():
        storage = open_storage((tmp_path / "store").as_uri())
        path, key, _ = make(tmp_path, 3 << 20)
        with file_size_limit(1), pytest.raises(StorageFull):
            await storage.put_file(path, key, "audio/mpeg")
        assert await storage.stat(key) is None
        assert [found for found in (tmp_path / "store").rglob("*") if found.is_file()] == []
        await storage.put_file(path, key, "audio/mpeg")

    asyncio.run(play())


def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path):
    async def play():
        storage = open_storage((tmp_path / "store").as_uri())
        path, key, content = make(tmp_path, 10)
        await storage.put_file(path, key, "audio/mpeg")
        place = tmp_path / "store" / key[:2] / key[2:4]
        (place / f"{key}#1").write_bytes(b"half")
        assert await keys(storage, soon()) == [key]
        assert await storage.remove_unfinished(NEVER) == 0
        assert await storage.remove_unfinished(soon()) == 1
        assert [found.name for found in place.iterdir()] == [key]
        assert await read(storage, key) == content

    asyncio.run(play())
