"""Runs the migrations against DATABASE_URL, or against the URL that the caller hands over in `attributes`."""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from core.db import driver_connection
from core.settings import SettingsRefused, read_settings
from models import Row

# Two processes that migrate at once take turns. Any number will do, as long as nobody else uses it.
MIGRATION_LOCK = 7_230_114


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Row.metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()


async def run_with(url: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=driver_connection(url, name="antiphon-migrations"),
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


def database_url() -> str:
    try:
        url = context.config.attributes.get("url") or read_settings(os.environ).database_url
    except SettingsRefused as refused:
        raise SystemExit(str(refused)) from None
    if url is None:
        raise SystemExit("Set DATABASE_URL to the database to migrate; `make run` migrates the embedded one by itself.")
    return str(url)


asyncio.run(run_with(database_url()))
