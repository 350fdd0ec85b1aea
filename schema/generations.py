"""Generations: one request to a provider, from asking to having.

Rows in `models/generations.py`, what happens now in `resolvers/generations.py`, later in `jobs/generations.py`, the
rules in `domain/generations.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from domain.errors import not_found
from domain.generations import GenerationKind, GenerationStatus, StemMode
from domain.providers import ProviderName
from domain.requests import once
from domain.tracks import normal_tags
from models.generations import Generation as GenerationRow
from models.tracks import Track as TrackRow
from models.versions import Version as VersionRow
from planner.keyset import Order
from resolvers import generations
from resolvers.generations import Source, Wish
from schema.context import Info, RequestContext, Show
from schema.errors import UserError
from schema.fields import SignedIn, mutation
from schema.ids import row_id
from schema.nodes import Node, OfRow
from schema.reads import by_id, column, computed, many, one, part
from schema.versions import TrackVersion

if TYPE_CHECKING:
    from schema.tracks import Track

strawberry.enum(GenerationKind, description="What is asked of the provider.")
strawberry.enum(GenerationStatus, description="Where it stands. The last three are final, but for a retry.")
strawberry.enum(StemMode, description="How a mix is taken apart.")
strawberry.enum(ProviderName, description="Who makes the music.")

BY_VARIANT = Order("variant", (VersionRow.variant,), descending=False)


def _or_nothing(_context: RequestContext, text: str | None) -> str:
    return text or ""


def _whether(_context: RequestContext, flag: bool | None) -> bool:
    return bool(flag)


def _seed(_context: RequestContext, params: dict[str, Any]) -> int:
    return int(params["seed"])


@strawberry.type(description="Why a generation failed.")
class GenerationError(OfRow, rows=GenerationRow):
    code: str = column(
        GenerationRow.error_code,
        description="BAD_REQUEST, MODERATED, CREDITS_EXHAUSTED, PROVIDER_UNAVAILABLE, PROVIDER_FAILED, RATE_LIMITED, "
        "BAD_OUTPUT, TIMEOUT or INTERNAL.",
    )
    message: str = computed(
        GenerationRow.error_message, by=_or_nothing, description="Written for the person who asked."
    )
    retryable: bool = computed(
        GenerationRow.error_retryable, by=_whether, description="Whether `retryGeneration` may do better."
    )
    row: strawberry.Private[Any]


@strawberry.type(description="One request to a provider. Its owner alone sees it.")
class Generation(Node, rows=GenerationRow):
    kind: GenerationKind = strawberry.field(description="What was asked for.")
    status: GenerationStatus = strawberry.field(description="Where it stands.")
    progress: float = strawberry.field(description="From 0 to 1; never falls within an attempt series.")
    provider: ProviderName = strawberry.field(description="Who makes it.")
    model: str | None = strawberry.field(description="The provider's model; null for the provider's own choice.")
    attempts: int = strawberry.field(description="How often the provider has been asked.")
    queue_position: int | None = strawberry.field(
        description="How many are before it at the provider; null when the provider does not say."
    )
    created_at: datetime = strawberry.field(description="When it was asked for.")
    started_at: datetime | None = strawberry.field(description="When a worker took it up; null before.")
    completed_at: datetime | None = strawberry.field(description="When it ended, however it ended; null before.")

    error: GenerationError | None = part(
        GenerationError, when=GenerationRow.error_code, description="Why it failed; null unless it did."
    )
    seed: int = computed(
        GenerationRow.params,
        by=_seed,
        description="The seed that makes it again: pass it to `generateTrack` with the same words.",
    )
    track: Annotated[Track, strawberry.lazy("schema.tracks")] = one(
        TrackRow, at=GenerationRow.track_id, description="The track that it is for."
    )
    versions: list[TrackVersion] = many(
        VersionRow.generation_id, BY_VARIANT, description="What it has given; empty before it is completed."
    )


@strawberry.type(description="The generation and its track, or what was wrong.")
class GenerationPayload:
    track: Annotated[Track, strawberry.lazy("schema.tracks")] | None = strawberry.field(
        default=None, description="Null when there are errors."
    )
    generation: Generation | None = strawberry.field(default=None, description="Null when there are errors.")
    errors: list[UserError] = strawberry.field(default_factory=list, description="What to put right; empty on success.")

    @classmethod
    def of(cls, asked: generations.Asked, show: Show) -> GenerationPayload:
        return cls(track=show(asked.track), generation=Generation.of(asked.generation))


@strawberry.input(description="Which generation to cancel.")
class CancelGenerationInput:
    generation_id: strawberry.ID = strawberry.field(description="Its id.")


@strawberry.input(description="Which generation to try again.")
class RetryGenerationInput:
    generation_id: strawberry.ID = strawberry.field(description="Its id.")


@strawberry.input(description="A longer version of a track.")
class ExtendTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track of yours.")
    version_id: strawberry.ID | None = strawberry.field(
        default=None, description="Which version; null for the primary."
    )
    continue_at: float | None = strawberry.field(
        default=None, description="Second from which new music follows; null for the end."
    )
    prompt: str | None = strawberry.field(default=None, description="What shall come; null for more of the same.")
    tags: list[str] | None = strawberry.field(default=None, description="Style words; null for the track's.")
    lyrics: str | None = strawberry.field(default=None, description="Words to sing in the new part.")
    idempotency_key: str | None = strawberry.field(default=None, description="As in `generateTrack`.")


@strawberry.input(description="The same song in another style.")
class CoverTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track of yours.")
    version_id: strawberry.ID | None = strawberry.field(
        default=None, description="Which version; null for the primary."
    )
    tags: list[str] = strawberry.field(description="Style words of the cover.")
    prompt: str | None = strawberry.field(
        default=None, description="More about the style; null for the track's prompt."
    )
    idempotency_key: str | None = strawberry.field(default=None, description="As in `generateTrack`.")


@strawberry.input(description="The same song, changed by degrees.")
class RemixTrackInput:
    track_id: strawberry.ID = strawberry.field(description="Which track of yours.")
    version_id: strawberry.ID | None = strawberry.field(
        default=None, description="Which version; null for the primary."
    )
    tags: list[str] = strawberry.field(description="Style words to move towards.")
    strength: float | None = strawberry.field(
        default=None, description="From 0 (as it was) to 1 (all new); null for the provider's choice."
    )
    idempotency_key: str | None = strawberry.field(default=None, description="As in `generateTrack`.")


@strawberry.input(description="A version, taken apart.")
class SeparateStemsInput:
    track_id: strawberry.ID = strawberry.field(description="Which track of yours.")
    version_id: strawberry.ID | None = strawberry.field(
        default=None, description="Which version; null for the primary."
    )
    mode: StemMode = strawberry.field(description="Into which parts.")
    idempotency_key: str | None = strawberry.field(default=None, description="As in `generateTrack`.")


def _tags(tags: list[str] | None) -> tuple[str, ...] | None:
    return None if tags is None else normal_tags(tags)


def _source(track_id: strawberry.ID, version_id: strawberry.ID | None) -> Source:
    """The rows behind the ids. Ids of other things are as good as unknown."""
    track, version = row_id("Track", track_id), row_id("TrackVersion", version_id or "")
    if track is None:
        raise not_found("track", "trackId")
    if version_id is not None and version is None:
        raise not_found("version of this track", "versionId")
    return Source(track, version)


async def _derive(info: Info, input: Any, wish: Wish) -> GenerationPayload:
    source = _source(input.track_id, input.version_id)
    key = once(input.idempotency_key, wish.kind, asdict(input))
    asked = await generations.derive_version(info.context.ctx, source, wish, key)
    return GenerationPayload.of(asked, info.context.show)


@strawberry.type
class GenerationQueries:
    generation: Generation | None = by_id(
        Generation, description="A generation of yours; null when there is none with this id."
    )


@strawberry.type
class GenerationMutations:
    @mutation(
        allow=SignedIn,
        description="Ask for a longer version, by the provider that made the track. May answer InvalidInput, NotFound, "
        "Conflict (the idempotency key was used for something else).",
    )
    async def extend_track(
        self, info: Info, input: Annotated[ExtendTrackInput, strawberry.argument(description="What shall come.")]
    ) -> GenerationPayload:
        wish = Wish(
            GenerationKind.EXTEND,
            prompt=input.prompt,
            tags=_tags(input.tags),
            lyrics=input.lyrics,
            continue_at_seconds=input.continue_at,
        )
        return await _derive(info, input, wish)

    @mutation(
        allow=SignedIn,
        description="Ask for the same song in another style. May answer InvalidInput, NotFound, Conflict.",
    )
    async def cover_track(
        self, info: Info, input: Annotated[CoverTrackInput, strawberry.argument(description="The style.")]
    ) -> GenerationPayload:
        wish = Wish(GenerationKind.COVER, prompt=input.prompt, tags=_tags(input.tags))
        return await _derive(info, input, wish)

    @mutation(
        allow=SignedIn,
        description="Ask for the same song, changed by degrees. May answer InvalidInput, NotFound, Conflict.",
    )
    async def remix_track(
        self, info: Info, input: Annotated[RemixTrackInput, strawberry.argument(description="The changes.")]
    ) -> GenerationPayload:
        wish = Wish(GenerationKind.REMIX, tags=_tags(input.tags), strength=input.strength)
        return await _derive(info, input, wish)

    @mutation(
        allow=SignedIn,
        description="Ask for the parts of a version, its `stems`. May answer InvalidInput, NotFound, Conflict.",
    )
    async def separate_stems(
        self, info: Info, input: Annotated[SeparateStemsInput, strawberry.argument(description="Which parts.")]
    ) -> GenerationPayload:
        wish = Wish(GenerationKind.STEMS, stem_mode=input.mode)
        return await _derive(info, input, wish)

    @mutation(
        allow=SignedIn,
        description="Call a generation off. Twice is once. May answer NotFound, Conflict (it has ended already).",
    )
    async def cancel_generation(
        self,
        info: Info,
        input: Annotated[CancelGenerationInput, strawberry.argument(description="Which one.")],
    ) -> GenerationPayload:
        if (id := row_id("Generation", input.generation_id)) is None:
            raise not_found("generation", "generationId")
        return GenerationPayload.of(await generations.cancel_generation(info.context.ctx, id), info.context.show)

    @mutation(
        allow=SignedIn,
        description="Try a failed or canceled generation again. May answer NotFound, Conflict (it did not fail).",
    )
    async def retry_generation(
        self,
        info: Info,
        input: Annotated[RetryGenerationInput, strawberry.argument(description="Which one.")],
    ) -> GenerationPayload:
        if (id := row_id("Generation", input.generation_id)) is None:
            raise not_found("generation", "generationId")
        return GenerationPayload.of(await generations.retry_generation(info.context.ctx, id), info.context.show)
