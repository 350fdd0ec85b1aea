"""Tracks: songs, from the words that asked for them to the takes that play.

Rows in `models/tracks.py`, what happens now in `resolvers/tracks.py` and `resolvers/generations.py`, later in
`jobs/generations.py`, the rules in `domain/tracks.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry

from domain.errors import not_found
from domain.generations import GenerationKind, GenerationStatus
from domain.providers import ProviderName
from domain.requests import Ask, once
from domain.tracks import Visibility, normal_tags
from models.accounts import Profile as ProfileRow
from models.generations import Generation as GenerationRow
from models.media import MediaObject
from models.tracks import Track as TrackRow
from models.versions import Version as VersionRow
from planner.keyset import Order
from resolvers import generations, tracks
from resolvers.tracks import TrackChanges
from schema.accounts import PublicProfile
from schema.connections import Connection
from schema.context import Info
from schema.errors import UserError
from schema.fields import SignedIn, mutation
from schema.generations import Generation
from schema.ids import row_id
from schema.nodes import Node
from schema.reads import by_id, computed, one, pages
from schema.versions import TrackVersion, seconds, signed_url, waveform

strawberry.enum(Visibility, description="Who may see a track: its owner, whoever has its id, everybody.")

BY_NUMBER = Order("number", (VersionRow.number, VersionRow.variant), descending=False)
LATEST = Order("latest", (GenerationRow.id,), descending=True)


PRIMARY_FILE = (TrackRow.primary_version_id, VersionRow.media_id)


@strawberry.type(description="A song.")
class Track(Node, rows=TrackRow, found=TrackRow.deleted_at.is_(None)):
    title: str = strawberry.field(description="Its title; made from the prompt when none was given.")
    prompt: str = strawberry.field(description="The words that asked for it, as they were written.")
    lyrics: str | None = strawberry.field(description="The words to be sung; null when there are none.")
    tags: list[str] = strawberry.field(description="Style words.")
    instrumental: bool = strawberry.field(description="Whether it was asked for without voice.")
    status: GenerationStatus = strawberry.field(
        description="COMPLETED once there is a version to play; before, where its newest generation stands."
    )
    visibility: Visibility = strawberry.field(description="Who may see it.")
    provider: ProviderName | None = strawberry.field(description="Who made it; null for what was not generated.")
    model: str | None = strawberry.field(description="The provider's model; null when there was none to choose.")
    like_count: int = strawberry.field(description="How many like it.")
    play_count: int = strawberry.field(description="How often it was played.")
    revision: int = strawberry.field(description="Rises with every change; see `updateTrack(expectedRevision)`.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    deleted_at: datetime | None = strawberry.field(description="When it was put into the bin; null when it was not.")

    primary_version: TrackVersion | None = one(
        VersionRow,
        at=TrackRow.primary_version_id,
        description="The version that stands for the track; null until there is one.",
    )
    audio_url: str | None = computed(
        MediaObject.key,
        via=PRIMARY_FILE,
        by=signed_url,
        description="The primary version's signed URL, good for an hour or two; null until there is one.",
    )
    cover_url: str | None = computed(
        MediaObject.key,
        via=(TrackRow.cover_media_id,),
        by=signed_url,
        description="A signed URL of the cover; null until there is one.",
    )
    duration_seconds: float | None = computed(
        VersionRow.duration_ms,
        via=(TrackRow.primary_version_id,),
        by=seconds,
        description="How long the primary version plays; null until there is one.",
    )
    waveform: list[float] | None = computed(
        MediaObject.peaks,
        via=PRIMARY_FILE,
        by=waveform,
        description="The primary version's peaks from 0 to 1, for drawing; null until there is one.",
    )
    versions: Connection[TrackVersion] = pages(
        VersionRow.track_id, BY_NUMBER, description="All takes, by number and variant."
    )
    generations: Connection[Generation] = pages(
        GenerationRow.track_id,
        LATEST,
        backward=False,
        description="What providers were asked for, newest first. Only the owner sees any.",
    )
    owner: PublicProfile = one(ProfileRow, at=TrackRow.user_id, description="Whose it is.")


@strawberry.input(description="What the music shall be.")
class GenerateTrackInput:
    prompt: str = strawberry.field(description="Say it in words, up to 3,000 characters.")
    title: str | None = strawberry.field(default=None, description="Up to 100 characters; null to have one made.")
    lyrics: str | None = strawberry.field(default=None, description="Words to sing, up to 5,000 characters.")
    tags: list[str] | None = strawberry.field(default=None, description="Up to 20 style words of up to 50 characters.")
    instrumental: bool | None = strawberry.field(default=False, description="No voice.")
    provider: ProviderName | None = strawberry.field(default=None, description="Who makes it; null for the default.")
    model: str | None = strawberry.field(
        default=None, description="One of the provider's models; null for its default."
    )
    duration_seconds: float | None = strawberry.field(
        default=None, description="How long it shall be; null for the provider's usual length."
    )
    seed: int | None = strawberry.field(default=None, description="The same seed and words make the same music.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="The same key again answers with what was made the first time, and makes nothing new.",
    )


@strawberry.type(description="The new track and its generation, or what was wrong.")
class GenerateTrackPayload:
    track: Track | None = strawberry.field(default=None, description="Null when there are errors.")
    generation: Generation | None = strawberry.field(default=None, description="Null when there are errors.")
    errors: list[UserError] = strawberry.field(default_factory=list, description="What to put right; empty on success.")


@strawberry.type(description="The track as it stands now, or what was wrong.")
class TrackPayload:
    track: Track | None = strawberry.field(default=None, description="Null when there are errors.")
    errors: list[UserError] = strawberry.field(default_factory=list, description="What to put right; empty on success.")


@strawberry.input(description="What to change; a field that is left out stays as it is.")
class UpdateTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track.")
    title: strawberry.Maybe[str | None] = strawberry.field(description="A new title; null is refused.")
    tags: strawberry.Maybe[list[str] | None] = strawberry.field(
        description="New tags in place of the old; null clears."
    )
    visibility: strawberry.Maybe[Visibility | None] = strawberry.field(
        description="Who may see it from now on; null is refused."
    )
    expected_revision: int | None = strawberry.field(
        default=None,
        description="Change it only if this is its revision; otherwise Conflict shows how it stands.",
    )


@strawberry.input(description="Which version shall stand for the track.")
class SetPrimaryVersionInput:
    track_id: strawberry.ID = strawberry.field(description="Which track.")
    version_id: strawberry.ID = strawberry.field(description="One of its versions.")


@strawberry.input(description="Which track goes into the bin.")
class DeleteTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track.")


@strawberry.input(description="Which track comes out of the bin.")
class RestoreTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track.")


@strawberry.type
class TrackQueries:
    track: Track | None = by_id(
        Track, description="A track that you may see; null when there is none with this id, or it is in the bin."
    )


@strawberry.type
class TrackMutations:
    @mutation(
        allow=SignedIn,
        description="Ask for a track. It answers at once; follow it with `trackUpdates`. May answer InvalidInput, "
        "Conflict (the idempotency key was used for something else).",
    )
    async def generate_track(
        self,
        info: Info,
        input: Annotated[GenerateTrackInput, strawberry.argument(description="What the music shall be.")],
    ) -> GenerateTrackPayload:
        ask = _ask(input, info.context.ctx.default_provider)
        key = once(input.idempotency_key, "generateTrack", asdict(input))
        made = await generations.generate_track(info.context.ctx, ask, key)
        return GenerateTrackPayload(track=Track.of(made.track), generation=Generation.of(made.generation))

    @mutation(
        allow=SignedIn,
        description="Change a track of yours. May answer InvalidInput, NotFound, Conflict (revision).",
    )
    async def update_track(
        self, info: Info, input: Annotated[UpdateTrackInput, strawberry.argument(description="The changes.")]
    ) -> TrackPayload:
        changes = TrackChanges(_changes(input), input.expected_revision)
        row = await tracks.update_track(info.context.ctx, _track_id(input.track_id), changes)
        return TrackPayload(track=Track.of(row))

    @mutation(allow=SignedIn, description="Choose the version that stands for a track. May answer NotFound.")
    async def set_primary_version(
        self,
        info: Info,
        input: Annotated[SetPrimaryVersionInput, strawberry.argument(description="The choice.")],
    ) -> TrackPayload:
        version_id = row_id("TrackVersion", input.version_id)
        if version_id is None:
            raise not_found("version of this track", "versionId")
        row = await tracks.set_primary_version(info.context.ctx, _track_id(input.track_id), version_id)
        return TrackPayload(track=Track.of(row))

    @mutation(
        allow=SignedIn,
        description="Put a track into the bin; for 30 days it can be restored. Twice is once. May answer NotFound.",
    )
    async def delete_track(
        self, info: Info, input: Annotated[DeleteTrackInput, strawberry.argument(description="Which track.")]
    ) -> TrackPayload:
        return TrackPayload(track=Track.of(await tracks.delete_track(info.context.ctx, _track_id(input.track_id))))

    @mutation(allow=SignedIn, description="Take a track out of the bin. Twice is once. May answer NotFound.")
    async def restore_track(
        self, info: Info, input: Annotated[RestoreTrackInput, strawberry.argument(description="Which track.")]
    ) -> TrackPayload:
        return TrackPayload(track=Track.of(await tracks.restore_track(info.context.ctx, _track_id(input.track_id))))


def _track_id(id: strawberry.ID) -> UUID:
    found = row_id("Track", id)
    if found is None:
        raise not_found("track", "trackId")
    return found


def _ask(input: GenerateTrackInput, default_provider: str) -> Ask:
    return Ask(
        kind=GenerationKind.GENERATE,
        provider=(input.provider or ProviderName(default_provider)).value,
        prompt=input.prompt,
        title=input.title,
        lyrics=input.lyrics,
        tags=normal_tags(input.tags),
        instrumental=bool(input.instrumental),
        model=input.model,
        duration_seconds=input.duration_seconds,
        seed=input.seed,
    )


def _changes(input: UpdateTrackInput) -> dict[str, Any]:
    """The fields that were given, null included."""
    given: dict[str, Any] = {}
    if input.title is not None:
        given["title"] = input.title.value
    if input.tags is not None:
        given["tags"] = list(normal_tags(input.tags.value))
    if input.visibility is not None:
        given["visibility"] = input.visibility.value
    return given
