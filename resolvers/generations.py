"""Generations: asking for music, calling it off, trying again.

Each is one transaction: the rows say what shall happen, the worker is rung after the commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from core.db import ReadSession, Transaction
from domain.errors import Refused, conflict, invalid, not_found
from domain.generations import RETRIES, GenerationKind, GenerationStatus, StemMode
from domain.requests import Ask, Once, check_ask, check_derivation, check_key, request_params
from domain.tracks import title_from
from models import generations
from models.events import EventKind, announce
from models.generations import Generation, follow, ring_for, ring_to_stop
from models.tracks import Track
from models.versions import Version
from resolvers.context import Context
from resolvers.tracks import own_track


@dataclass(frozen=True)
class Asked:
    """A generation and the track that it is for."""

    track: Track
    generation: Generation


@dataclass(frozen=True)
class Source:
    """What to start from: a version of the viewer's own track, the primary one when none is named."""

    track_id: UUID
    version_id: UUID | None = None


@dataclass(frozen=True)
class Wish:
    """What shall be different. None means: as in the source. Times in seconds."""

    kind: GenerationKind
    prompt: str | None = None
    tags: tuple[str, ...] | None = None
    lyrics: str | None = None
    continue_at_seconds: float | None = None
    strength: float | None = None
    stem_mode: StemMode | None = None


class _KeyTaken(Exception):
    """Another request with the same idempotency key committed first; roll back and answer with its result."""


async def generate_track(ctx: Context, ask: Ask, once: Once | None = None) -> Asked:
    """A new track and the generation that makes it. The same key and request again answer with the first result."""

    async def new_track(tx: Transaction) -> Track:
        track = _new_track(ctx, ask)
        tx.add(track)
        await tx.flush()
        await announce(tx, EventKind.CREATED, user_id=track.user_id, track_id=track.id)
        return track

    return await _answered_once(ctx, once, partial(_ask, ctx, ask, once, new_track))


async def derive_version(ctx: Context, source: Source, wish: Wish, once: Once | None = None) -> Asked:
    """An extension, cover, remix or separation of a version of the viewer's own track, by whoever made that version."""
    return await _answered_once(ctx, once, partial(_derive, ctx, source, wish, once))


async def _derive(ctx: Context, source: Source, wish: Wish, once: Once | None) -> Asked:
    async with ctx.db.read(ctx.viewer) as session:
        track, version, made_by = await _find_source(ctx, session, source)
    ask = Ask(
        kind=wish.kind,
        provider=made_by.provider,
        model=made_by.model,
        prompt=wish.prompt or track.prompt,
        lyrics=wish.lyrics,
        tags=tuple(track.tags) if wish.tags is None else wish.tags,
        instrumental=track.instrumental,
        source_version_id=str(version.id),
        continue_at_seconds=wish.continue_at_seconds,
        strength=wish.strength,
        stem_mode=wish.stem_mode,
    )
    if problems := check_derivation(ask, ctx.catalog, version.duration_ms / 1000):
        raise Refused(problems)

    async def same_track(tx: Transaction) -> Track:
        await announce(tx, EventKind.UPDATED, user_id=track.user_id, track_id=track.id)
        return await own_track(ctx, tx, track.id)

    return await _ask(ctx, ask, once, same_track)


async def _ask(
    ctx: Context, ask: Ask, once: Once | None, find_track: Callable[[Transaction], Awaitable[Track]]
) -> Asked:
    if problems := check_ask(ask, ctx.catalog):
        raise Refused(problems)
    async with ctx.db.begin(ctx.viewer) as tx:
        track = await find_track(tx)
        generation = await _insert_generation(ctx, tx, track, ask=ask, once=once)
        ring_for(tx, generation)
        return Asked(track, generation)


async def _answered_once(ctx: Context, once: Once | None, ask: Callable[[], Awaitable[Asked]]) -> Asked:
    """What `ask` makes, or what its key was first answered with: also when the same request would be refused today."""
    if problems := check_key(once.key if once else None):
        raise Refused(problems)
    try:
        return await ask()
    except (Refused, _KeyTaken) as refused:
        before = await _asked_before(ctx, once) if once else None
        if before is not None:
            return before
        if isinstance(refused, Refused):
            raise
        raise conflict("Another request with this idempotency key is under way; ask again.", None) from None


async def _find_source(ctx: Context, session: ReadSession, source: Source) -> tuple[Track, Version, Generation]:
    track = await own_track(ctx, session, source.track_id, lock=False)
    version_id = source.version_id or track.primary_version_id
    if version_id is None:
        raise Refused([invalid("The track has no version yet; wait until it is completed.", "trackId")])
    found = (
        await session.execute(
            select(Version, Generation)
            .join(Generation, Generation.id == Version.generation_id)
            .where(Version.id == version_id, Version.track_id == track.id)
        )
    ).one_or_none()
    if found is None:
        raise not_found("version of this track", "versionId")
    return track, found[0], found[1]


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


async def _insert_generation(ctx: Context, tx: Transaction, track: Track, *, ask: Ask, once: Once | None) -> Generation:
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
            idempotency_key=once.key if once else None,
            request_hash=once.request_hash if once else None,
            retries_left=RETRIES,
        )
        .on_conflict_do_nothing(index_elements=[Generation.user_id, Generation.idempotency_key])
        .returning(Generation)
    )
    if made is None:
        raise _KeyTaken
    return made


async def _asked_before(ctx: Context, once: Once) -> Asked | None:
    """What this key was first used for. Raises Conflict when that was something else."""
    async with ctx.db.read(ctx.viewer) as session:
        generation = await session.scalar(
            select(Generation).where(Generation.user_id == ctx.viewer.user_id, Generation.idempotency_key == once.key)
        )
        if generation is None:
            return None
        track = await _track_of(session, generation)
    if generation.request_hash != once.request_hash:
        raise conflict(
            "This idempotency key was used for a different request; use a new key.", generation, "idempotencyKey"
        )
    return Asked(track, generation)


async def cancel_generation(ctx: Context, generation_id: UUID) -> Asked:
    """End a generation that has not ended. Again on a canceled one: the same answer. Refused once it is over."""
    async with ctx.db.begin(ctx.viewer) as tx:
        canceled = await generations.cancel(tx, generation_id)
        if canceled is None:
            generation = await _find(ctx, tx, generation_id)
            if generation.status != GenerationStatus.CANCELED:
                raise conflict(
                    "This generation has ended already; there is nothing to cancel.",
                    generation,
                    "generationId",
                )
            return Asked(await _track_of(tx, generation), generation)
        track = await follow(tx, canceled)
        ring_to_stop(tx, canceled)
        return Asked(track, canceled)


async def retry_generation(ctx: Context, generation_id: UUID) -> Asked:
    """Open a new series of attempts on a generation that failed or was canceled, unless its track is in the bin."""
    async with ctx.db.begin(ctx.viewer) as tx:
        again = await generations.start_again(tx, generation_id, retries=RETRIES)
        if again is None:
            generation = await _find(ctx, tx, generation_id)
            raise conflict("Only a failed or canceled generation can be retried.", generation, "generationId")
        track = await follow(tx, again)
        if track.deleted_at is not None:
            raise not_found("generation", "generationId")
        ring_for(tx, again)
        return Asked(track, again)


async def _find(ctx: Context, tx: Transaction, generation_id: UUID) -> Generation:
    """The viewer's own: an admin reads those of others, and changes none."""
    own = select(Generation).where(Generation.id == generation_id, Generation.user_id == ctx.viewer.user_id)
    generation = await tx.scalar(own)
    if generation is None:
        raise not_found("generation", "generationId")
    return generation


async def _track_of(tx: Transaction | ReadSession, generation: Generation) -> Track:
    return (await tx.scalars(select(Track).where(Track.id == generation.track_id))).one()
