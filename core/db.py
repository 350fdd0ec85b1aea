"""The database's two doors.

`db.read(viewer)` yields a session to read with; `db.begin(viewer)` yields a transaction that commits on leaving and
only *then* lets its bells ring (`tx.enqueue`, `tx.publish`); an exception rolls back and drops them. Nobody else
commits. Row-level security reads the viewer from settings that are local to the transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NewType, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session as SyncSession

COMMAND_TIMEOUT = 10.0  # seconds; the slowest legitimate statement takes well under one, a frozen server for ever
CONNECT_TIMEOUT = 5.0
POOL_TIMEOUT = 5.0  # seconds a request waits for a free connection before it is told UNAVAILABLE

# serialization_failure, deadlock_detected, lock_not_available, cannot_connect_now, admin_shutdown, crash_shutdown,
# too_many_connections, read_only_sql_transaction, disk_full: an outage or a collision, not a bug.
PASSING_STATES = {"40001", "40P01", "55P03", "57P03", "57P01", "57P02", "53300", "25006", "53100"}

# What the driver raises when the database cannot be reached.
DRIVER_OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, or somebody ended the connection
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

ReadSession = NewType("ReadSession", AsyncSession)


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot serve just now; the same request may succeed a little later."""


class DatabaseRefused(Exception):
    """A statement that cannot be: a bug. `state` is the SQLSTATE, `constraint` the name of what it ran against."""

    def __init__(self, state: str | None, constraint: str | None) -> None:
        super().__init__(f"SQLSTATE {state}" + (f", constraint {constraint}" if constraint else ""))
        self.state = state
        self.constraint = constraint


class Actor(Protocol):
    """On whose behalf a transaction runs: `kind` is anonymous, user, admin or system."""

    @property
    def kind(self) -> str: ...
    @property
    def user_id(self) -> UUID | None: ...


@dataclass(frozen=True)
class Job:
    """A bell for a worker: `name` is a function of the worker, `key` makes ringing twice the same as once."""

    name: str
    id: str
    key: str
    after_seconds: float = 0.0


@dataclass(frozen=True)
class Announcement:
    """A bell for subscribers: something under `topic` has happened at `position`."""

    topic: str
    position: str


Bell = Job | Announcement
Ring = Callable[[list[Bell]], Awaitable[None]]


class Transaction(AsyncSession):
    """A unit of work whose side effects wait for the commit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bells: list[Bell] = []

    def enqueue(self, name: str, id: UUID, *, key: str, after_seconds: float = 0.0) -> None:
        self.bells.append(Job(name, str(id), key, after_seconds))

    def publish(self, topic: str, position: str) -> None:
        self.bells.append(Announcement(topic, position))


@event.listens_for(SyncSession, "after_begin")
def _tell_who_asks(session: SyncSession, _transaction: Any, connection: Connection) -> None:
    """Local to the transaction (`true`): a session-wide setting would leak to the connection's next user."""
    actor: Actor | None = session.info.get("actor")
    if actor is not None:
        connection.exec_driver_sql(
            "select set_config('app.actor', $1, true), set_config('app.user_id', $2, true)",
            (actor.kind, str(actor.user_id or "")),
        )


@contextmanager
def failures_named() -> Iterator[None]:
    """Say `DatabaseUnavailable` for every way in which a database can be away, and `DatabaseRefused` for the rest.

    The driver's own words stay behind: they quote rows, and errors are logged.
    """
    try:
        yield
    except (PoolTimeout, *DRIVER_OUTAGES) as fault:
        raise DatabaseUnavailable(type(fault).__name__).with_traceback(fault.__traceback__) from None
    except DBAPIError as fault:
        cause = fault.orig.__cause__ if fault.orig else None
        state, constraint = getattr(cause, "sqlstate", None), getattr(cause, "constraint_name", None)
        outage = isinstance(fault, OperationalError | InterfaceError) or fault.connection_invalidated
        named: Exception = DatabaseRefused(state, constraint)
        if outage or state in PASSING_STATES:
            named = DatabaseUnavailable(state or type(fault).__name__)
        raise named.with_traceback(fault.__traceback__) from None
    except asyncpg.PostgresError as fault:
        refused = DatabaseRefused(fault.sqlstate, getattr(fault, "constraint_name", None))
        passing = fault.sqlstate in PASSING_STATES
        raise (DatabaseUnavailable(fault.sqlstate) if passing else refused).with_traceback(
            fault.__traceback__
        ) from None


class Database:
    """The engine and its doors. `ring` is called with a transaction's bells after its commit."""

    def __init__(self, engine: AsyncEngine, ring: Ring) -> None:
        self.engine = engine
        self._ring = ring

    @asynccontextmanager
    async def read(self, actor: Actor) -> AsyncIterator[ReadSession]:
        with failures_named():
            async with AsyncSession(self.engine, info={"actor": actor}, expire_on_commit=False) as session:
                yield ReadSession(session)

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Transaction]:
        with failures_named():
            async with Transaction(self.engine, info={"actor": actor}, expire_on_commit=False) as tx, tx.begin():
                try:
                    yield tx
                except BaseException:
                    tx.expunge_all()  # a refusal may carry rows to show; a rollback would empty them
                    raise
        await self._ring(tx.bells)

    async def close(self) -> None:
        await self.engine.dispose()


def plain_dsn(url: str) -> str:
    """The URL as the driver takes it, without SQLAlchemy's name for the driver."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def driver_connection(
    url: str,
    *,
    name: str,
    role: str | None = None,
    settings: Mapping[str, str] | None = None,
    kind: type[asyncpg.Connection[Any]] | None = None,
) -> Callable[[], Awaitable[Any]]:
    """Makes driver connections to `postgresql://…`, with libpq's own reading of the URL (`sslmode`, sockets, hosts).

    `name` shows in pg_stat_activity. `role` is taken on at once by every connection: see `core/roles.py`. `settings`
    are further ones of PostgreSQL, `kind` is a class of connections in place of the driver's.
    """
    settings = {
        "application_name": name,
        "jit": "off",
        "idle_in_transaction_session_timeout": "60s",
        **(settings or {}),
    }
    if role is not None:
        settings["role"] = role
    dsn = plain_dsn(url)

    async def connect() -> asyncpg.Connection[Any]:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings=settings,
            connection_class=kind or asyncpg.Connection,
        )

    return connect


def connect_database(url: str, *, name: str, role: str | None = None, pool_size: int = 10) -> AsyncEngine:
    """The engine of one process. It connects when it is first used."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=driver_connection(url, name=name, role=role),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged, and parameters hold addresses, hashes and prompts
    )
