"""Bringing the database to the newest schema, or making sure that it is there."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path

import asyncpg

from core.datadir import CannotStart
from core.db import plain_dsn

ROOT = Path(__file__).parent.parent


class DatabaseIsBehind(Exception):
    """The database's schema is not the one that this program was written for."""


def _upgrade(url: str) -> None:
    # Imported here: a production API never needs it, and it costs 0.2 s of the start.
    from alembic import command
    from alembic.config import Config

    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    command.upgrade(config, "head")


async def migrate(url: str) -> None:
    """Upgrade to the newest revision. In a thread: alembic runs an event loop of its own.

    Raises `CannotStart` when a newer release has been at work.
    """
    found = await _revision(url)
    if found is not None and found not in _revisions():
        raise CannotStart(
            f"The database is at revision {found}, which this program does not know: a newer release has migrated it. "
            "Start that release, or restore a backup from before it."
        )
    if found != _newest():
        await asyncio.to_thread(_upgrade, url)


async def require_newest(url: str) -> None:
    """Raises `DatabaseIsBehind` where a person has to run the migrations first."""
    if (found := await _revision(url)) != _newest():
        raise DatabaseIsBehind(
            f"The database is at revision {found or 'nothing'}, this program needs {_newest()}: "
            "run `alembic upgrade head` first."
        )


async def _revision(url: str) -> str | None:
    connection = await asyncpg.connect(plain_dsn(url), timeout=5)
    try:
        if await connection.fetchval("select to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("select version_num from alembic_version")
        return revision
    finally:
        await connection.close()


def _newest() -> str:
    """The head: the revision that no other one revises."""
    revisions = _revisions()
    (head,) = set(revisions) - set(revisions.values())
    return head


def _revisions() -> dict[str, str | None]:
    """Our revisions, each with the one that it revises, read from the files without alembic."""
    found = {}
    for file in (ROOT / "alembic" / "versions").glob("*.py"):
        said = dict(re.findall(r"^(revision|down_revision) = (.+)$", file.read_text(), re.MULTILINE))
        found[ast.literal_eval(said["revision"])] = ast.literal_eval(said["down_revision"])
    return found
