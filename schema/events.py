"""Live updates: what happens to tracks, as it happens, and what happened while a subscriber was away.

Rows in `models/events.py`, reading them in `resolvers/events.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from enum import Enum
from typing import Annotated, Any

import strawberry

from auth.viewer import Viewer
from domain.errors import RequestCode, RequestFailed
from resolvers import events
from schema.context import Info
from schema.fields import Permission, subscription
from schema.ids import encode_id, required_row_id
from schema.tracks import Track

MAX_WATCHED = 100  # tracks named in one subscription; whoever wants more wants the whole feed


@strawberry.enum(description="What happened.")
class TrackUpdateKind(Enum):
    READY = "READY"
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


@strawberry.type(description="Something happened to a track.")
class TrackUpdate:
    cursor: str = strawberry.field(description="Pass the newest as `after` when you come back, and nothing is missed.")
    kind: TrackUpdateKind = strawberry.field(description="What happened.")
    track: Track | None = strawberry.field(description="The track as it stands now; null for READY and DELETED.")
    track_id: strawberry.ID | None = strawberry.field(description="Which track; null for READY.")


class MayWatch(Permission):
    """A whole feed is somebody's; named tracks may be watched by whoever may see them."""

    def check(self, viewer: Viewer, arguments: Mapping[str, Any]) -> None:
        if arguments.get("track_ids") is None and not viewer.signed_in:
            text = "Sign in to follow your tracks, or name tracks in `trackIds`."
            raise RequestFailed(RequestCode.UNAUTHENTICATED, text)


@strawberry.type
class TrackSubscriptions:
    @subscription(
        allow=MayWatch,
        description="First a READY event, once the server really is subscribed; then every change of the viewer's "
        "tracks (or of those named).",
    )
    async def track_updates(
        self,
        info: Info,
        track_ids: Annotated[
            list[strawberry.ID] | None,
            strawberry.argument(
                description=f"Up to {MAX_WATCHED} tracks, others' public ones among them, which fall silent when they "
                "are deleted or made private; null for all of yours."
            ),
        ] = None,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="The last cursor you have seen: what came after it is sent first. "
                "RESUME_EXPIRED when that was more than 7 days ago."
            ),
        ] = None,
    ) -> AsyncIterator[TrackUpdate]:
        if track_ids is not None and len(track_ids) > MAX_WATCHED:
            raise RequestFailed(RequestCode.BAD_USER_INPUT, f"`trackIds` names at most {MAX_WATCHED} tracks.")
        ids = None if track_ids is None else [required_row_id("Track", id) for id in track_ids]
        async with aclosing(events.track_updates(info.context.ctx, ids, after)) as updates:
            async for update in updates:
                yield TrackUpdate(
                    cursor=update.cursor,
                    kind=TrackUpdateKind(update.kind),
                    track=Track.maybe(update.track),
                    track_id=encode_id("Track", update.track_id) if update.track_id else None,
                )
