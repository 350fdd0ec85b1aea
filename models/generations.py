"""Generations: what was asked of a provider, where it stands, and every attempt at it.

The row is the truth and the queue only a bell. A worker *claims* the row for one step (`claim`), works with no
connection held, and *finishes* the step (`move`) — both compare-and-set on `fence`, which every claim and every outside
change raises. Whoever comes late with an old fence changes nothing. A claim is a lease of `LEASE`; its holder renews
it, and when the holder dies the next one takes the step up again. `strikes` counts claims that nobody finished.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Transaction
from domain.generations import ACTIVE, AttemptState, FailureCode, GenerationKind, GenerationStatus, Step
from models.base import Created, Id, Owner, Row, Updated, one_of, owned_by_the_owner_of
from models.events import EventKind, announce
from models.tracks import Track, touch

# Long enough for a loaded machine to renew (it tries every third of it), short enough that a killed worker's step is
# taken up again well within a minute.
LEASE = timedelta(seconds=15)

RELEASED: dict[str, Any] = {"leased_until": None, "strikes": 0}  # what ending a step changes, however it ended


class Generation(Row):
    """One request to a provider. `params` is the whole request; `step` is what happens next, from `due_at` on."""

    __tablename__ = "generations"
    __table_args__ = (
        one_of("kind", GenerationKind),
        one_of("status", GenerationStatus),
        one_of("step", Step),
        one_of("error_code", FailureCode),
        owned_by_the_owner_of("track_id", "tracks"),
        UniqueConstraint("id", "user_id"),
        UniqueConstraint("track_id", "id"),
        UniqueConstraint("user_id", "idempotency_key"),
        CheckConstraint("progress between 0 and 1", name="progress_is_a_share"),
        CheckConstraint("(status in ('PENDING', 'PROCESSING')) = (step is not null)", name="active_has_step"),
        CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="failed_has_reason"),
        CheckConstraint(
            "(status in ('COMPLETED', 'FAILED', 'CANCELED')) = (completed_at is not null)",
            name="ended_has_time",
        ),
        CheckConstraint("(idempotency_key is null) = (request_hash is null)", name="key_has_request"),
        Index("ix_generations_track_id", "track_id", "id"),
        Index("ix_generations_user_id", "user_id", "id"),
        Index("ix_generations_source_version_id", "source_version_id"),
        # The upkeep's question: what is due and in nobody's hands?
        Index("ix_generations_due", "due_at", postgresql_where=text("step is not null")),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    track_id: Mapped[UUID]
    source_version_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("versions.id", ondelete="SET NULL", name="fk_generations_source_version", use_alter=True)
    )
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=GenerationStatus.PENDING)
    provider: Mapped[str]
    model: Mapped[str | None]
    params: Mapped[dict[str, Any]]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[bytes | None]
    progress: Mapped[float] = mapped_column(server_default=text("0"))
    queue_position: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    retries_left: Mapped[int] = mapped_column(SmallInteger)
    step: Mapped[str | None] = mapped_column(server_default=Step.SUBMIT)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    fence: Mapped[int] = mapped_column(server_default=text("0"))
    strikes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    leased_until: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    error_retryable: Mapped[bool | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class Attempt(Row):
    """One call to a provider's create endpoint, written *before* the call, so that no charge can go unseen.

    IN_DOUBT means that the call may or may not have been accepted; it is cleared up before another is made.
    """

    __tablename__ = "generation_attempts"
    __table_args__ = (
        one_of("state", AttemptState),
        owned_by_the_owner_of("generation_id", "generations"),
        UniqueConstraint("generation_id", "number"),
        # A generation has one live attempt at most: nothing is charged twice.
        Index(
            "uq_generation_attempts_live",
            "generation_id",
            unique=True,
            postgresql_where=text("state in ('SUBMITTING', 'SUBMITTED', 'IN_DOUBT')"),
        ),
        Index("ix_generation_attempts_task", "provider", "task_id", postgresql_where=text("task_id is not null")),
        Index("ix_generation_attempts_user_id", "user_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    generation_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(SmallInteger)
    provider: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=AttemptState.SUBMITTING)
    task_id: Mapped[str | None]
    task_state: Mapped[dict[str, Any] | None]
    outputs: Mapped[dict[str, Any] | None]
    provider_status: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[Created]
    submitted_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ProviderEvent(Row):
    """A provider's callback as it came in, stored before it is judged. `user_id` is None until it is matched."""

    __tablename__ = "provider_events"
    __table_args__ = (
        Index("ix_provider_events_generation_id", "generation_id"),
        Index("ix_provider_events_user_id", "user_id"),
        Index("ix_provider_events_unjudged", "received_at", postgresql_where=text("judged_at is null")),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner | None]
    generation_id: Mapped[UUID | None] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"))
    provider: Mapped[str]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[Created]
    judged_at: Mapped[datetime | None]
    verdict: Mapped[str | None]


async def claim(tx: AsyncSession, generation_id: UUID, step: Step) -> Generation | None:
    """Take the generation for `step`; None when it is not its turn, not due, or in another's hands.

    Database time only: `updated_at` of the answer is the moment of the claim.
    """
    return (
        await tx.scalars(
            update(Generation)
            .where(
                Generation.id == generation_id,
                Generation.step == step,
                Generation.due_at <= func.now(),
                or_(Generation.leased_until.is_(None), Generation.leased_until < func.now()),
            )
            .values(fence=Generation.fence + 1, leased_until=func.now() + LEASE, strikes=Generation.strikes + 1)
            .returning(Generation)
        )
    ).one_or_none()


async def renew(tx: AsyncSession, generation_id: UUID, fence: int) -> bool:
    """Keep the lease; False when it was lost, and whatever is under way will count for nothing.

    One that was let go of stays so: a renewal that comes just after would block the next step for a whole `LEASE`.
    """
    renewed = await tx.scalar(
        update(Generation)
        .where(Generation.id == generation_id, Generation.fence == fence, Generation.leased_until.is_not(None))
        .values(leased_until=func.now() + LEASE)
        .returning(Generation.id)
    )
    return renewed is not None


async def move(tx: AsyncSession, generation_id: UUID, fence: int, **changes: Any) -> Generation | None:
    """Apply `changes` if the fence is still ours, else None. `RELEASED` among them lets go of the lease."""
    return (
        await tx.scalars(
            update(Generation)
            .where(Generation.id == generation_id, Generation.fence == fence)
            .values(**changes)
            .returning(Generation),
            execution_options={"populate_existing": True},
        )
    ).one_or_none()


async def cancel(tx: AsyncSession, generation_id: UUID) -> Generation | None:
    """End an active generation at its owner's wish; None when it had ended. The fence rises, so workers lose it."""
    return (
        await tx.scalars(
            update(Generation)
            .where(Generation.id == generation_id, Generation.status.in_(ACTIVE))
            .values(
                status=GenerationStatus.CANCELED,
                step=None,
                strikes=0,
                completed_at=func.now(),
                leased_until=None,
                queue_position=None,
                fence=Generation.fence + 1,
            )
            .returning(Generation)
        )
    ).one_or_none()


async def start_again(tx: AsyncSession, generation_id: UUID, *, retries: int) -> Generation | None:
    """Open a new attempt series on a generation that failed or was canceled; None when it did not."""
    return (
        await tx.scalars(
            update(Generation)
            .where(
                Generation.id == generation_id,
                Generation.status.in_([GenerationStatus.FAILED, GenerationStatus.CANCELED]),
            )
            .values(
                status=GenerationStatus.PENDING,
                step=Step.SUBMIT,
                due_at=func.now(),
                fence=Generation.fence + 1,
                leased_until=None,
                strikes=0,
                retries_left=retries,
                progress=0,
                queue_position=None,
                deadline_at=None,
                started_at=None,
                completed_at=None,
                error_code=None,
                error_message=None,
                error_retryable=None,
            )
            .returning(Generation)
        )
    ).one_or_none()


def ring_for(tx: Transaction, generation: Generation, *, after_seconds: float = 0.0) -> None:
    """After the commit, call a worker to the generation's next step. Ringing twice for the same fence is once."""
    if generation.step is not None:
        name = f"generations.{generation.step.lower()}"
        tx.enqueue(name, generation.id, key=f"{generation.id}:{generation.fence}", after_seconds=after_seconds)


def ring_to_stop(tx: Transaction, generation: Generation) -> None:
    """After the commit, have the provider told that the generation has ended."""
    tx.enqueue("generations.stop", generation.id, key=f"{generation.id}:{generation.fence}:stop")


async def follow(tx: Transaction, generation: Generation) -> Track:
    """Let the track's status follow its generation — unless it has a version to play — and tell the subscribers."""
    track = (await tx.scalars(select(Track).where(Track.id == generation.track_id))).one()
    if track.primary_version_id is None and track.status != generation.status:
        track = await touch(tx, track.id, status=generation.status) or track
    await announce(tx, EventKind.UPDATED, user_id=generation.user_id, track_id=generation.track_id)
    return track


async def live_attempt(tx: AsyncSession, generation_id: UUID) -> Attempt | None:
    """The attempt that a provider may be working on."""
    return (
        await tx.scalars(
            select(Attempt).where(Attempt.generation_id == generation_id, Attempt.state.in_(AttemptState.live()))
        )
    ).one_or_none()
