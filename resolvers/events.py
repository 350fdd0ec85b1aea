"""Live updates: reading the event log from a place on, woken by hints, without a gap.

READY is sent once the hints are really subscribed to. Everything that the log settles after the subscriber's place is
delivered in order, however it is learnt of: by a hint, by a reconnect of Redis, or by the timer when all else fails.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson
from sqlalchemy import select, tuple_

from core.db import ReadSession
from core.topics import Subscription
from domain.errors import RequestCode, RequestFailed
from domain.events import RETENTION
from models.events import HORIZON, Cursor, Event, EventKind, topic_of_track, topic_of_user
from models.tracks import Track
from resolvers.context import Context

CURSOR_VERSION = 1
BATCH = 200  # events read at once; a subscriber that was away for days catches up in steps
READY_PATIENCE = 5.0  # seconds to wait for Redis; without it READY still comes, and the timer does the work
TIMER = 2.0  # seconds: what a lost hint costs at most
# Seconds before looking again for an event that an older, still open transaction holds back. Doubled up to TIMER, since
# a transaction that has not ended within the first few looks may stay open for a minute.
UNSETTLED_PAUSE = 0.02
LAST_ID = 2**63 - 1


@dataclass(frozen=True)
class Update:
    """What a subscriber gets. READY has no track; DELETED has only its id."""

    cursor: str
    kind: str
    track: Track | None = None
    track_id: UUID | None = None


async def track_updates(
    ctx: Context, track_ids: Sequence[UUID] | None, after: str | None
) -> AsyncGenerator[Update, None]:
    """The viewer's whole feed, or the events of the named tracks that the viewer may see, from `after` on."""
    if track_ids is None and ctx.viewer.user_id is not None:
        topics = [topic_of_user(ctx.viewer.user_id)]
    else:
        topics = [topic_of_track(id) for id in dict.fromkeys(track_ids or ())]
    async with ctx.topics.subscribe(*topics) as subscription:
        await subscription.ready(READY_PATIENCE)
        place, cursor = await _join(ctx, after)
        yield Update(cursor, "READY")
        hints = _Hints(subscription)
        while True:
            await _still_signed_in(ctx)
            batch = await _read(ctx, track_ids, place)
            for update in batch.updates:
                yield update
            place = batch.place
            if not batch.full:
                await hints.wait(batch.settled)


@dataclass
class _Hints:
    """When to read again: at a hint, and until what it hinted at is settled; without any, by the timer."""

    subscription: Subscription
    newest: int = 0  # the highest position hinted at
    pause: float = UNSETTLED_PAUSE

    async def wait(self, settled: int) -> None:
        """Return when there is a reason to read on from `settled`."""
        if self.newest < settled:
            self.pause = UNSETTLED_PAUSE
            hint = await self.subscription.wait(TIMER)
        else:
            hint = await self.subscription.wait(self.pause)
            self.pause = min(2 * self.pause, TIMER)
        if hint is not None and hint.position is not None:
            self.newest = max(self.newest, int(hint.position))


async def _join(ctx: Context, after: str | None) -> tuple[Cursor, str]:
    """The place to read from, and the cursor that READY carries."""
    async with ctx.db.read(ctx.viewer) as session:
        present = Cursor((await session.scalars(select(HORIZON))).one() - 1, LAST_ID)
    if after is None:
        return present, _write_cursor(present, ctx.clock())
    resume = _read_cursor(after, ctx.clock())
    if resume > present:  # no cursor of this log: of one that was since restored from a backup, say
        raise _resume_expired()
    # The cursor as it was sent: the same place with the present time would outlive the events that follow it.
    return resume, after


@dataclass(frozen=True)
class _Batch:
    """What one reading gave: the updates, the place behind them, how far the log is settled, whether there is more."""

    updates: list[Update]
    place: Cursor
    settled: int
    full: bool


async def _read(ctx: Context, track_ids: Sequence[UUID] | None, place: Cursor) -> _Batch:
    """The next events after `place`, with their tracks as they stand now."""
    feed = Event.track_id.in_(track_ids) if track_ids is not None else Event.user_id == ctx.viewer.user_id
    async with ctx.db.read(ctx.viewer) as session:
        # First the horizon, then the rows below it: whatever is settled at the first statement is seen by the second.
        settled = (await session.scalars(select(HORIZON))).one()
        events = (
            await session.scalars(
                select(Event)
                .where(feed, Event.position < settled)
                .where(tuple_(Event.position, Event.id) > (place.position, place.id))
                .order_by(Event.position, Event.id)
                .limit(BATCH)
            )
        ).all()
        tracks = await _tracks(session, {event.track_id for event in events})
    shown = [_shown(event, tracks.get(event.track_id)) for event in events]
    return _Batch(
        updates=[update for update in shown if update is not None],
        place=Cursor(events[-1].position, events[-1].id) if events else place,
        settled=settled,
        full=len(events) == BATCH,
    )


async def _tracks(session: ReadSession, ids: set[UUID]) -> dict[UUID, Track]:
    if not ids:
        return {}
    rows = await session.scalars(select(Track).where(Track.id.in_(ids), Track.deleted_at.is_(None)))
    return {track.id: track for track in rows}


def _shown(event: Event, track: Track | None) -> Update | None:
    """The update that tells of an event; None for news of a track that is gone by now, which DELETED tells of."""
    cursor = _write_cursor(Cursor(event.position, event.id), event.created_at)
    if event.kind == EventKind.DELETED:
        return Update(cursor, event.kind, None, event.track_id)
    return Update(cursor, event.kind, track, event.track_id) if track is not None else None


async def _still_signed_in(ctx: Context) -> None:
    session_id = ctx.viewer.session_id
    if session_id is not None and await ctx.sessions.roles(session_id) is None:
        raise RequestFailed(RequestCode.UNAUTHENTICATED, "This session has ended; sign in again.")


def _write_cursor(place: Cursor, at: datetime) -> str:
    raw = orjson.dumps([CURSOR_VERSION, place.position, place.id, int(at.timestamp())])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(cursor: str, now: datetime) -> Cursor:
    """The place a cursor names. Raises RESUME_EXPIRED when events after it may have been pruned."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        version, position, id, at = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        written = datetime.fromtimestamp(at, UTC)
        sound = version == CURSOR_VERSION and 0 <= position <= LAST_ID and 0 <= id <= LAST_ID
        if not sound or not isinstance(position, int) or not isinstance(id, int):
            raise ValueError
    except (ValueError, TypeError, OverflowError, OSError):
        raise RequestFailed(
            RequestCode.BAD_USER_INPUT,
            "`after` is malformed; use a cursor that this subscription gave, unchanged.",
        ) from None
    if written < now - RETENTION:
        raise _resume_expired()
    return Cursor(position, id)


def _resume_expired() -> RequestFailed:
    return RequestFailed(
        RequestCode.RESUME_EXPIRED,
        f"Events are kept for {RETENTION.days} days; fetch the tracks anew and subscribe without `after`.",
    )
