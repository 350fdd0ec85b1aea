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
from planner.keyset import Order
from schema.context import RequestContext
from schema.nodes import Node
from schema.reads import computed, many, one

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


def signed_url(context: RequestContext, key: str) -> str:
    """The URL that serves a file to whoever has it."""
    return context.ctx.media_url(key)


def seconds(_context: RequestContext, duration_ms: int) -> float:
    return duration_ms / 1000


def waveform(_context: RequestContext, peaks: bytes | None, points: Points = DEFAULT_POINTS) -> list[float] | None:
    points = DEFAULT_POINTS if points is None else points
    if not 1 <= points <= STORED_POINTS:
        raise RequestFailed(RequestCode.BAD_USER_INPUT, f"`points` must be 1 to {STORED_POINTS}; {points} is outside.")
    return resample_peaks(peaks, points) if peaks else None


@strawberry.type(description="One part of a version's mix, without loss.")
class Stem(Node, rows=StemRow):
    kind: StemKind = strawberry.field(description="Which part it is.")
    audio_url: str | None = computed(
        MediaObject.key,
        via=(StemRow.media_id,),
        by=signed_url,
        description="A signed URL that lives for an hour or two; ask again for a fresh one.",
    )
    duration_seconds: float | None = computed(StemRow.duration_ms, by=seconds, description="How long it plays.")


FILE = (VersionRow.media_id,)


@strawberry.type(description="One playable take of a track.")
class TrackVersion(Node, rows=VersionRow):
    number: int = strawberry.field(description="1 for the original; each extension, cover or remix takes the next.")
    variant: int = strawberry.field(description="Providers give several takes of one request: 1, 2, …")
    kind: VersionKind = strawberry.field(description="How it came about.")
    created_at: datetime = strawberry.field(description="When it was stored.")
    track: Annotated[Track, strawberry.lazy("schema.tracks")] = one(
        TrackRow, at=VersionRow.track_id, description="The track that it is a version of."
    )
    parent: TrackVersion | None = one(
        VersionRow, at=VersionRow.parent_id, description="The version that it was made from; null for an original."
    )
    audio_url: str | None = computed(
        MediaObject.key,
        via=FILE,
        by=signed_url,
        description="A signed URL that lives for an hour or two; ask again for a fresh one.",
    )
    lossless_url: str | None = computed(
        MediaObject.key,
        via=(VersionRow.lossless_media_id,),
        by=signed_url,
        description="The lossless master, signed likewise; null when the provider gave none.",
    )
    content_type: str | None = computed(
        MediaObject.content_type, via=FILE, description="The type of what `audioUrl` serves, `audio/mpeg` as a rule."
    )
    size_bytes: int | None = computed(MediaObject.size_bytes, via=FILE, description="How many bytes `audioUrl` serves.")
    sha256: str | None = computed(
        MediaObject.sha256, via=FILE, description="The SHA-256 of what `audioUrl` serves, in hex."
    )
    duration_seconds: float | None = computed(VersionRow.duration_ms, by=seconds, description="How long it plays.")
    waveform: list[float] | None = computed(
        MediaObject.peaks,
        via=FILE,
        by=waveform,
        description="Peaks from 0 to 1 for drawing; null when the audio has none.",
    )
    stems: list[Stem] = many(StemRow.version_id, BY_KIND, description="The parts of the mix, as far as there are any.")
