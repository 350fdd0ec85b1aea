"""A throwaway PostgreSQL 15 of Debian's, the oldest that the product supports.

Import the fixture `postgres15` and mark the test with `@pytest.mark.postgres15`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534  # who PostgreSQL runs as when the tests run as root, which it refuses to be
PASSWORD = "only-for-tests"
START_SECONDS = 30
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Server:
    """`url` signs in as an ordinary role that may make databases, `superuser_url` as one that may do anything."""

    url: str
    superuser_url: str


@pytest.fixture(scope="session")
def postgres15() -> Iterator[Server]:
    missing = [name for name in ("initdb", "postgres", "pg_isready") if not (PROGRAMS / name).exists()]
    assert not missing, f"{PROGRAMS} lacks {', '.join(missing)}: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="antiphon-postgres15-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        with _running(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path) -> Iterator[Server]:
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    initdb = _start(folder, "initdb", "-D", "data", "-U", "postgres", "--pwfile=password", "-A", "scram-sha-256", "-N")
    assert initdb.wait() == 0, (folder / "log").read_text()
    port = _free_port()
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": str(port)}
    server = _start(folder, "postgres", "-D", "data", *(f"--{name}={value}" for name, value in options.items()))
    try:
        _wait_for(server, port, folder / "log")
        superuser_url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
        asyncio.run(_make_ordinary_role(superuser_url))
        yield Server(superuser_url.replace("//postgres:", "//ordinary:"), superuser_url)
    finally:
        server.send_signal(signal.SIGINT)  # "fast": without waiting for clients
        server.wait(timeout=30)


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The program in `folder`, as its owner, ending when we do."""
    owner = NOBODY if os.geteuid() == 0 else None
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [PROGRAMS / program, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0),
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
        )


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    asked = [str(PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asked).returncode != 0:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _make_ordinary_role(superuser_url: str) -> None:
    connection = await asyncpg.connect(superuser_url)
    await connection.execute(f"create role ordinary login createdb password '{PASSWORD}'")
    await connection.close()
