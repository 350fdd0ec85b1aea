"""One PostgreSQL and one Valkey for the whole run, a database for each xdist worker, a clean one for each test.

The template database is built by the *migrations*, then cloned. TEST_DATABASE_URL and TEST_REDIS_URL name servers to
use instead of the embedded ones; the role needs CREATEDB.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from core.migrations import migrate
from core.pool import WorkPool
from tests.studio import Studio, open_studio

NEEDS = {"node": "node", "chromium": "chromium", "postgres15": "/usr/lib/postgresql/15/bin/initdb"}
TEMPLATE = "antiphon_template"
ENGINES = pytest.StashKey[subprocess.Popen[str]]()
FOLDER = pytest.StashKey[str]()


# The pretty tracebacks that structlog prints where `rich` is installed take seconds each.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    """In the first process alone: engines and template. Workers inherit the addresses by the environment."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    if "TEST_DATABASE_URL" not in os.environ:
        folder = tempfile.mkdtemp(prefix="antiphon-tests-")
        os.chmod(folder, 0o711)
        engines = subprocess.Popen(
            [sys.executable, "-m", "tests.engine_instance", folder, str(os.geteuid()), "createdb"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert engines.stdout is not None
        told = json.loads(engines.stdout.readline())
        os.environ["TEST_DATABASE_URL"], os.environ["TEST_REDIS_URL"] = told["database_url"], told["redis_url"]
        config.stash[ENGINES] = engines
        config.stash[FOLDER] = folder
    asyncio.run(_make_template())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--everything", action="store_true", help="fail, rather than leave out, what needs programs that are not here"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A bare machine has neither Node nor Debian's PostgreSQL; what needs them is left out there, and said so."""
    if config.getoption("everything"):
        return
    missing = {mark for mark, program in NEEDS.items() if shutil.which(program) is None}
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> list[str]:
    return [f"left out: tests marked {m}, {p} is not here" for m, p in NEEDS.items() if shutil.which(p) is None]


def pytest_unconfigure(config: pytest.Config) -> None:
    engines = config.stash.get(ENGINES, None)
    if engines is not None and engines.stdin is not None and engines.stdout is not None:
        engines.stdin.close()
        engines.wait(timeout=30)
        engines.stdout.close()
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


async def _make_template() -> None:
    await recreate(TEMPLATE)
    await migrate(named_database(TEMPLATE))


async def recreate(name: str, template: str | None = None) -> None:
    connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    await connection.execute(f'drop database if exists "{name}" with (force)')
    await connection.execute(f'create database "{name}"' + (f' template "{template}"' if template else ""))
    await connection.close()


def named_database(name: str) -> str:
    """The URL of a database of this name on the test server."""
    return urlunsplit(urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_url(worker_id: str) -> str:
    """This xdist worker's own database, cloned from the template."""
    name = f"antiphon_{worker_id}"
    asyncio.run(recreate(name, TEMPLATE))
    return named_database(name)


@pytest.fixture(scope="session")
def redis_url(worker_id: str) -> str:
    """This xdist worker's own numbered Redis database."""
    number = int(worker_id.removeprefix("gw") or 0) + 1 if worker_id != "master" else 0
    return urlunsplit(urlsplit(os.environ["TEST_REDIS_URL"])._replace(path=f"/{number}"))


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkPool]:
    """Child processes are dear to start, and what they do has no memory."""
    pool = WorkPool(2)
    yield pool
    asyncio.run(pool.aclose())


@pytest.fixture
async def studio(database_url: str, redis_url: str, pool: WorkPool, tmp_path: Path) -> AsyncIterator[Studio]:
    """The product in this process, on empty tables: the API, and a worker whose queue is drained on demand."""
    async with AsyncExitStack() as stack:
        yield await open_studio(stack, database_url, redis_url, pool=pool, folder=tmp_path)


@pytest.fixture
async def executing_studio(database_url: str, redis_url: str, pool: WorkPool, tmp_path: Path) -> AsyncIterator[Studio]:
    """The same, with every query executed field by field."""
    async with AsyncExitStack() as stack:
        yield await open_studio(stack, database_url, redis_url, pool=pool, folder=tmp_path, compiled_reads=False)
