"""Providers: who makes the music here, and what each can do. The facts are `domain/providers.py` and the adapters'."""

from __future__ import annotations

import strawberry

from domain.generations import GenerationKind
from domain.providers import Listing, ProviderName
from domain.providers import Model as ModelFacts
from schema.context import Info


@strawberry.type(description="A model of a provider and its limits; null where the vendor states none.")
class Model:
    name: str = strawberry.field(description="Pass it as `model`.")
    description: str = strawberry.field(description="What it is good for.")
    max_duration_seconds: float | None = strawberry.field(description="The longest track it makes.")
    max_prompt_characters: int | None = strawberry.field(description="The longest prompt it takes.")
    max_lyrics_characters: int | None = strawberry.field(description="The longest lyrics it takes.")

    @classmethod
    def of(cls, facts: ModelFacts) -> Model:
        return cls(
            name=facts.name,
            description=facts.description,
            max_duration_seconds=facts.max_duration_seconds,
            max_prompt_characters=facts.max_prompt_characters,
            max_lyrics_characters=facts.max_lyrics_characters,
        )


@strawberry.type(description="What a provider can do.")
class Capabilities:
    kinds: list[GenerationKind] = strawberry.field(description="What it can be asked for.")
    outputs: int = strawberry.field(description="How many takes one request gives.")
    min_duration_seconds: float = strawberry.field(description="The shortest track.")
    max_duration_seconds: float = strawberry.field(description="The longest track.")
    default_duration_seconds: float = strawberry.field(description="The length when none is asked for.")
    sings: bool = strawberry.field(description="Whether it sings lyrics.")
    seeds: bool = strawberry.field(description="Whether the same seed makes the same music.")
    cancels: bool = strawberry.field(description="Whether a canceled request stops.")


@strawberry.type(description="Who makes music here.")
class Provider:
    name: ProviderName = strawberry.field(description="Pass it as `provider`.")
    description: str = strawberry.field(description="What it is, with its limits.")
    available: bool = strawberry.field(description="Whether it can be used now.")
    unavailable_reason: str | None = strawberry.field(description="Why not; null when it can.")
    is_default: bool = strawberry.field(description="Whether it is used when none is named.")
    capabilities: Capabilities = strawberry.field(description="What it can do.")
    models: list[Model] = strawberry.field(description="Its models, the default first.")

    @classmethod
    def of(cls, listing: Listing, *, is_default: bool) -> Provider:
        facts = listing.capabilities
        return cls(
            name=ProviderName(listing.name),
            description=listing.description,
            available=listing.unavailable_because is None,
            unavailable_reason=listing.unavailable_because,
            is_default=is_default,
            capabilities=Capabilities(
                kinds=sorted(facts.kinds),
                outputs=facts.outputs,
                min_duration_seconds=facts.min_duration_seconds,
                max_duration_seconds=facts.max_duration_seconds,
                default_duration_seconds=facts.default_duration_seconds,
                sings=facts.sings,
                seeds=facts.seeds,
                cancels=facts.cancels,
            ),
            models=[Model.of(model) for model in facts.models],
        )


@strawberry.type
class ProviderQueries:
    @strawberry.field(description="Who makes music here.")
    def providers(self, info: Info) -> list[Provider]:
        ctx = info.context.ctx
        return [Provider.of(listing, is_default=name == ctx.default_provider) for name, listing in ctx.catalog.items()]
