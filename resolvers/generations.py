"""Generations: asking for music, calling it off, trying again.

Each is one transaction: the rows say what shall happen, the worker is rung after the commit.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from core.db import ReadSession, Transaction
from domain.errors import Refused, conflict, not_found
from domain.generations import RETRIES, AttemptState, GenerationStatus
from domain.requests import Ask, check_ask, request_params
from domain.tracks import title_from
from models import generations
from models.events import EventKind, announce
from models.generations import Attempt, Generation, follow, ring_for
from models.tracks import Track
from resolvers.context import Context


@dataclass(frozen=True)
class Asked:
    """A generation and the track that it is for."""

    track: Track
    generation: Generation


class _KeyTaken(Exception):
    """Another request with the same idempotency key committed first; roll back and answer with its result."""


async def generate_track(ctx: Context, ask: Ask, *, idempotency_key: str | None = None) -> Asked:
    """A new track and the generation that makes it. The same key and request again answer with the first result."""
    if problems := check_ask(ask, ctx.catalog, idempotency_key):
        raise Refused(problems)
    if (before := await _asked_before(ctx, ask, idempotency_key)) is not None:
        return before
    try:
        async with ctx.db.begin(ctx.viewer) as tx:
            track = _new_track(ctx, ask)
            tx.add(track)
            await tx.flush()
            generation = await _insert_generation(ctx, tx, track, ask=ask, idempotency_key=idempotency_key)
            await announce(tx, EventKind.CREATED, user_id=track.user_id, track_id=track.id)
            ring_for(tx, generation)
            return Asked(track, generation)
    except _KeyTaken:
        before = await _asked_before(ctx, ask, idempotency_key)
        if before is None:
            raise conflict("Another request with this idempotency key is under way; ask again.", None) from None
        return before


def _new_track(ctx: Context, ask: Ask) -> Track:
    return Track(
        id=ctx.new_id(),
        user_id=ctx.viewer.user_id,
        title=ask.title or title_from(ask.prompt),
        prompt=ask.prompt,
        lyrics=ask.lyrics,
        tags=list(ask.tags),
        instrumental=ask.instrumental,
        status=GenerationStatus.PENDING,
        provider=ask.provider,
        model=ask.model or ctx.catalog[ask.provider].capabilities.default_model,
    )


async def _insert_generation(
    ctx: Context, tx: Transaction, track: Track, *, ask: Ask, idempotency_key: str | None
) -> Generation:
    """The generation's row. `on conflict` waits for a rival with the same key to commit, then raises `_KeyTaken`."""
    made: Generation | None = await tx.scalar(
        insert(Generation)
        .values(
            id=ctx.new_id(),
            user_id=track.user_id,
            track_id=track.id,
            source_version_id=UUID(ask.source_version_id) if ask.source_version_id else None,
            kind=ask.kind,
            provider=ask.provider,
            model=ask.model or ctx.catalog[ask.provider].capabilities.default_model,
            params=request_params(ask, seed=secrets.randbelow(2**31), variants=ctx.variants),
            idempotency_key=idempotency_key,
            request_hash=ask.request_hash if idempotency_key else None,
            retries_left=RETRIES,
        )
        .on_conflict_do_nothing(index_elements=[Generation.user_id, Generation.idempotency_key])
        .returning(Generation)
    )
    if made is None:
        raise _KeyTaken
    return made


async def _asked_before(ctx: Context, ask: Ask, idempotency_key: str | None) -> Asked | None:
    """What this key was first used for. Raises Conflict when that was something else."""
    if idempotency_key is None:
        return None
    async with ctx.db.read(ctx.viewer) as session:
        generation = await session.scalar(
            select(Generation).where(
                Generation.user_id == ctx.viewer.user_id, Generation.idempotency_key == idempotency_key
            )
        )
        if generation is None:
            return None
        track = (await session.scalars(select(Track).where(Track.id == generation.track_id))).one()
    if generation.request_hash != ask.request_hash:
        raise conflict(
            "This idempotency key was used for a different request; use a new key.",
            generation,
            "idempotencyKey",
        )
    return Asked(track, generation)


async def cancel_generation(ctx: Context, generation_id: UUID) -> Asked:
    """End a generation that has not ended. Again on a canceled one: the same answer. Refused once it is over."""
    async with ctx.db.begin(ctx.viewer) as tx:
        canceled = await generations.cancel(tx, generation_id)
        if canceled is None:
            generation = await _find(tx, generation_id)
            if generation.status != GenerationStatus.CANCELED:
                raise conflict(
                    "This generation has ended already; there is nothing to cancel.",
                    generation,
                    "generationId",
                )
            return Asked(await _track_of(tx, generation), generation)
        await tx.execute(
            update(Attempt)
            .where(Attempt.generation_id == generation_id, Attempt.state.in_(AttemptState.live()))
            .values(state=AttemptState.CANCELED, finished_at=ctx.clock())
        )
        track = await follow(tx, canceled)
        tx.enqueue("generations.stop", canceled.id, key=f"{canceled.id}:{canceled.fence}:stop")
        return Asked(track, canceled)


async def retry_generation(ctx: Context, generation_id: UUID) -> Asked:
    """Open a new series of attempts on a generation that failed or was canceled."""
    async with ctx.db.begin(ctx.viewer) as tx:
        again = await generations.start_again(tx, generation_id, retries=RETRIES)
        if again is None:
            generation = await _find(tx, generation_id)
            raise conflict("Only a failed or canceled generation can be retried.", generation, "generationId")
        track = await follow(tx, again)
        ring_for(tx, again)
        return Asked(track, again)


async def _find(tx: Transaction | ReadSession, generation_id: UUID) -> Generation:
    generation = await tx.scalar(select(Generation).where(Generation.id == generation_id))
    if generation is None:
        raise not_found("generation", "generationId")
    return generation


async def _track_of(tx: Transaction | ReadSession, generation: Generation) -> Track:
    return (await tx.scalars(select(Track).where(Track.id == generation.track_id))).one()
