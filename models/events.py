"""The event log (outbox): what subscribers hear of, written in the transaction of the change.

The order a reader can trust. A plain sequence is not: a transaction that took a lower number may commit later, and a
reader that has passed it never comes back. So an event's `position` is the id of the transaction that wrote it, and
readers stop below the oldest transaction still running (`HORIZON`): everything under it is settled for good. Within a
transaction `id` gives the order. A cursor is (position, id).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, insert, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Transaction
from models.base import Created, Owner, Row, one_of

# Events below this are settled: no transaction that may still add one among them is running.
HORIZON = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", BigInteger)


class EventKind(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


class Event(Row):
    """Something happened to a track. The row says *that*; the reader looks up how the track stands now."""

    __tablename__ = "events"
    __table_args__ = (
        one_of("kind", EventKind),
        Index("ix_events_user_feed", "user_id", "position", "id"),
        Index("ix_events_track_feed", "track_id", "position", "id"),
        Index("ix_events_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("pg_current_xact_id()::text::bigint"))
    user_id: Mapped[Owner]
    track_id: Mapped[UUID]
    kind: Mapped[str]
    created_at: Mapped[Created]


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the event log: everything up to and with it has been seen."""

    position: int
    id: int


def topic_of_user(user_id: UUID) -> str:
    return f"tracks:user:{user_id}"


def topic_of_track(track_id: UUID) -> str:
    return f"tracks:track:{track_id}"


async def announce(tx: Transaction, kind: EventKind, *, user_id: UUID, track_id: UUID) -> None:
    """Log an event in this transaction; after the commit the bell rings for its listeners."""
    position = await tx.scalar(
        insert(Event).values(kind=kind, user_id=user_id, track_id=track_id).returning(Event.position)
    )
    tx.publish(topic_of_user(user_id), str(position))
    tx.publish(topic_of_track(track_id), str(position))
