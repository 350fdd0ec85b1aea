"""Tracks: the library, and what an owner may change about a track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from core.db import ReadSession, Transaction
from domain.errors import Refusal, Refused, conflict, invalid, not_found
from domain.generations import ACTIVE
from domain.tracks import UNDELETE, Visibility, check_tags, check_title
from models.events import EventKind, announce
from models.generations import Generation, cancel, follow, ring_to_stop
from models.tracks import Track, touch
from models.versions import Version
from resolvers.context import Context


@dataclass(frozen=True)
class TrackChanges:
    """What an owner changes: only the fields present in `values` (keys: title, tags, visibility)."""

    values: dict[str, Any]
    expected_revision: int | None = None


async def update_track(ctx: Context, track_id: UUID, changes: TrackChanges) -> Track:
    """Change a track, if it still stands at the revision that the caller saw. What is so already is no change."""
    if problems := _check_changes(changes.values):
        raise Refused(problems)
    async with ctx.db.begin(ctx.viewer) as tx:
        track = await own_track(ctx, tx, track_id)
        expected = changes.expected_revision
        if expected is not None and expected != track.revision:
            raise conflict(
                f"The track is at revision {track.revision}, not {expected}; look at it and try again.",
                track,
                "expectedRevision",
            )
        changed = {name: value for name, value in changes.values.items() if getattr(track, name) != value}
        return await _changed(tx, track, **changed) if changed else track


async def set_primary_version(ctx: Context, track_id: UUID, version_id: UUID) -> Track:
    """Choose which version stands for the track."""
    async with ctx.db.begin(ctx.viewer) as tx:
        track = await own_track(ctx, tx, track_id)
        belongs = select(Version.id).where(Version.id == version_id, Version.track_id == track_id)
        if await tx.scalar(belongs) is None:
            raise not_found("version of this track", "versionId")
        if track.primary_version_id == version_id:
            return track
        return await _changed(tx, track, primary_version_id=version_id)


async def delete_track(ctx: Context, track_id: UUID) -> Track:
    """Put a track, and with it all that belongs to it, into the bin; nothing more is made for it. Twice is once."""
    async with ctx.db.begin(ctx.viewer) as tx:
        await _call_off(tx, track_id)
        track = await own_track(ctx, tx, track_id, deleted=True)
        if track.deleted_at is not None:
            return track
        await announce(tx, EventKind.DELETED, user_id=track.user_id, track_id=track.id)
        return await touch(tx, track.id, deleted_at=func.now()) or track


async def _call_off(tx: Transaction, track_id: UUID) -> None:
    """Cancel what is being made for the track. To be done before its row is locked, since workers lock a generation
    first and its track second."""
    active = select(Generation.id).where(Generation.track_id == track_id, Generation.status.in_(ACTIVE))
    for generation_id in (await tx.scalars(active.order_by(Generation.id))).all():
        canceled = await cancel(tx, generation_id)
        if canceled is not None:
            await follow(tx, canceled)
            ring_to_stop(tx, canceled)


async def restore_track(ctx: Context, track_id: UUID) -> Track:
    """Take a track out of the bin, as long as it is kept there. Twice is once."""
    async with ctx.db.begin(ctx.viewer) as tx:
        track = await own_track(ctx, tx, track_id, deleted=True)
        if track.deleted_at is None:
            return track
        if track.deleted_at + UNDELETE < ctx.clock():
            raise not_found("track", "trackId")
        await announce(tx, EventKind.CREATED, user_id=track.user_id, track_id=track.id)
        return await touch(tx, track.id, deleted_at=None) or track


async def _changed(tx: Transaction, track: Track, **values: Any) -> Track:
    await announce(tx, EventKind.UPDATED, user_id=track.user_id, track_id=track.id)
    return await touch(tx, track.id, **values) or track


async def own_track(
    ctx: Context, tx: Transaction | ReadSession, track_id: UUID, *, deleted: bool = False, lock: bool = True
) -> Track:
    """The viewer's own track, locked for a change. Public tracks of others can be read, so ownership is asked here."""
    statement = select(Track).where(Track.id == track_id, Track.user_id == ctx.viewer.user_id)
    if not deleted:
        statement = statement.where(Track.deleted_at.is_(None))
    track = await tx.scalar(statement.with_for_update() if lock else statement)
    if track is None:
        raise not_found("track", "trackId")
    return track


def _check_changes(values: dict[str, Any]) -> list[Refusal]:
    problems: list[Refusal] = []
    if "title" in values:
        if values["title"] is None:
            problems.append(invalid("A track always has a title; leave it out to keep the present one.", "title"))
        problems += check_title(values["title"])
    if "tags" in values:
        problems += check_tags(tuple(values["tags"]))
    if values.get("visibility", Visibility.PRIVATE) is None:
        problems.append(invalid("A track always has a visibility; leave it out to keep the present one.", "visibility"))
    return problems
