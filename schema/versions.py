"""Versions: the playable takes of a track, and the stems that a take is mixed from.

Rows in `models/versions.py` and `models/media.py`; they are made by `jobs/complete.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from domain.errors import RequestCode, RequestFailed
from domain.generations import StemKind
from domain.tracks import VersionKind
from domain.waveforms import STORED_POINTS, resample_peaks
from models.media import MediaObject
from models.tracks import Track as TrackRow
from models.versions import Stem as StemRow
from models.versions import Version as VersionRow
from resolvers.pages import Order
from schema.context import Info
from schema.nodes import Node

if TYPE_CHECKING:
    from schema.tracks import Track

strawberry.enum(VersionKind, description="How a version came about.")
strawberry.enum(StemKind, description="Which part of the mix a stem is.")

BY_KIND = Order("kind", (StemRow.kind,), descending=False)

DEFAULT_POINTS = 200  # about as many bars as a player draws

Points = Annotated[
    int | None,
    strawberry.argument(description=f"How many values, 1 to {STORED_POINTS}; each is the peak of its share."),
]


async def media_url(info: Info, media_id: object) -> str | None:
    """The signed URL of a file; None when there is none."""
    media = await info.context.read.one(MediaObject, media_id)  # type: ignore[arg-type]
    return info.context.ctx.media_url(media.key) if media else None


def waveform(media: MediaObject | None, points: int | None) -> list[float] | None:
    points = DEFAULT_POINTS if points is None else points
    if not 1 <= points <= STORED_POINTS:
        raise RequestFailed(RequestCode.BAD_USER_INPUT, f"`points` must be 1 to {STORED_POINTS}; {points} is outside.")
    return resample_peaks(media.peaks, points) if media and media.peaks else None


@strawberry.type(description="One part of a version's mix, without loss.")
class Stem(Node):
    kind: StemKind = strawberry.field(description="Which part it is.")

    @strawberry.field(description="A signed URL that lives for an hour or two; ask again for a fresh one.")
    async def audio_url(self, info: Info) -> str | None:
        return await media_url(info, self.row.media_id)

    @strawberry.field(description="How long it plays.")
    def duration_seconds(self) -> float | None:
        return float(self.row.duration_ms / 1000)


@strawberry.type(description="One playable take of a track.")
class TrackVersion(Node):
    number: int = strawberry.field(description="1 for the original; each extension, cover or remix takes the next.")
    variant: int = strawberry.field(description="Providers give several takes of one request: 1, 2, …")
    kind: VersionKind = strawberry.field(description="How it came about.")
    created_at: datetime = strawberry.field(description="When it was stored.")

    @strawberry.field(description="The track that it is a version of.")
    async def track(self, info: Info) -> Annotated[Track, strawberry.lazy("schema.tracks")]:
        track: Track = info.context.show(await info.context.read.one(TrackRow, self.row.track_id))
        return track

    @strawberry.field(description="The version that it was made from; null for an original.")
    async def parent(self, info: Info) -> TrackVersion | None:
        return TrackVersion.maybe(await info.context.read.one(VersionRow, self.row.parent_id))

    @strawberry.field(description="A signed URL that lives for an hour or two; ask again for a fresh one.")
    async def audio_url(self, info: Info) -> str | None:
        return await media_url(info, self.row.media_id)

    @strawberry.field(description="The lossless master, signed likewise; null when the provider gave none.")
    async def lossless_url(self, info: Info) -> str | None:
        return await media_url(info, self.row.lossless_media_id)

    @strawberry.field(description="The type of what `audioUrl` serves, `audio/mpeg` as a rule.")
    async def content_type(self, info: Info) -> str | None:
        media = await info.context.read.one(MediaObject, self.row.media_id)
        return media.content_type if media else None

    @strawberry.field(description="How many bytes `audioUrl` serves.")
    async def size_bytes(self, info: Info) -> int | None:
        media = await info.context.read.one(MediaObject, self.row.media_id)
        return media.size_bytes if media else None

    @strawberry.field(description="The SHA-256 of what `audioUrl` serves, in hex.")
    async def sha256(self, info: Info) -> str | None:
        media = await info.context.read.one(MediaObject, self.row.media_id)
        return media.sha256 if media else None

    @strawberry.field(description="How long it plays.")
    def duration_seconds(self) -> float | None:
        return float(self.row.duration_ms / 1000)

    @strawberry.field(description="Peaks from 0 to 1 for drawing; null when the audio has none.")
    async def waveform(self, info: Info, points: Points = DEFAULT_POINTS) -> list[float] | None:
        return waveform(await info.context.read.one(MediaObject, self.row.media_id), points)

    @strawberry.field(description="The parts of the mix, as far as there are any.")
    async def stems(self, info: Info) -> list[Stem]:
        return [Stem.of(row) for row in await info.context.read.below(StemRow.version_id, self.row.id, BY_KIND)]
