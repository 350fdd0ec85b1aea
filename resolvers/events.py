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
UNSETTLED_PAUSE = 0.02  # seconds before looking again for an event that an older, still open transaction holds back
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
    resume = _read_cursor(after, ctx.clock()) if after is not None else None
    if track_ids is None and ctx.viewer.user_id is not None:
        topics = [topic_of_user(ctx.viewer.user_id)]
    else:
        topics = [topic_of_track(id) for id in dict.fromkeys(track_ids or ())]
    async with ctx.topics.subscribe(*topics) as subscription:
        await subscription.ready(READY_PATIENCE)
        place = resume or await _present(ctx)
        yield Update(_write_cursor(place, ctx.clock()), "READY")
        awaited = 0
        while True:
            await _still_signed_in(ctx)
            settled, updates, place = await _read(ctx, track_ids, place)
            for update in updates:
                yield update
            if len(updates) < BATCH:
                awaited = await _next_hint(subscription, awaited, settled)


async def _next_hint(subscription: Subscription, awaited: int, settled: int) -> int:
    """Wait for a reason to read again. `awaited` is the newest position hinted at, `settled` the one read up to."""
    unsettled = awaited >= settled
    hint = await subscription.wait(UNSETTLED_PAUSE if unsettled else TIMER)
    return max(awaited if unsettled else 0, int(hint.position) if hint and hint.position else 0)


async def _present(ctx: Context) -> Cursor:
    async with ctx.db.read(ctx.viewer) as session:
        return Cursor((await session.scalars(select(HORIZON))).one() - 1, LAST_ID)


async def _read(ctx: Context, track_ids: Sequence[UUID] | None, place: Cursor) -> tuple[int, list[Update], Cursor]:
    """The next events after `place`, with their tracks as they stand now; how far the log is settled; the new place."""
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
        ids = {event.track_id for event in events}
        rows = await session.scalars(select(Track).where(Track.id.in_(ids), Track.deleted_at.is_(None)))
        tracks = {track.id: track for track in rows} if ids else {}
    updates = []
    for event in events:
        place = Cursor(event.position, event.id)
        track = tracks.get(event.track_id) if event.kind != EventKind.DELETED else None
        if track is not None or event.kind == EventKind.DELETED:
            cursor = _write_cursor(place, event.created_at)
            updates.append(Update(cursor, event.kind, track, event.track_id))
    return settled, updates, place


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
        raise RequestFailed(
            RequestCode.RESUME_EXPIRED,
            f"Events are kept for {RETENTION.days} days; fetch the tracks anew and subscribe without `after`.",
        )
    return Cursor(position, id)
