"""What a provider can do, as data, and whether what somebody asks for fits it: checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Refusal, invalid
from domain.generations import GenerationKind


class ProviderName(StrEnum):
    """The providers that there are adapters for, or will be: the closed list of the contract."""

    SYNTH = "synth"
    SUNO = "suno"
    REPLICATE = "replicate"
    FAL = "fal"


@dataclass(frozen=True)
class Model:
    """A model of a provider and its limits; None means that the vendor states none."""

    name: str
    description: str
    max_duration_seconds: float | None = None
    max_prompt_characters: int | None = None
    max_lyrics_characters: int | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do. Durations in seconds; `outputs` is the number of takes a task gives."""

    kinds: frozenset[GenerationKind]
    models: tuple[Model, ...]
    default_model: str
    min_duration_seconds: float
    max_duration_seconds: float
    default_duration_seconds: float
    outputs: int
    sings: bool
    seeds: bool
    cancels: bool


@dataclass(frozen=True)
class Listing:
    """A provider as it is offered here. `unavailable_because` is a sentence, or None when it can be used."""

    name: str
    description: str
    capabilities: Capabilities
    unavailable_because: str | None = None


def check_model(listing: Listing, model: str | None) -> list[Refusal]:
    names = [known.name for known in listing.capabilities.models]
    if model is None or model in names:
        return []
    return [invalid(f"{listing.name} has no model {model!r}; choose one of {', '.join(names)}.", "model")]


def check_duration(listing: Listing, seconds: float | None) -> list[Refusal]:
    """NaN and the infinities fail both comparisons and are refused as well."""
    low, high = listing.capabilities.min_duration_seconds, listing.capabilities.max_duration_seconds
    if seconds is None or low <= seconds <= high:
        return []
    return [invalid(f"{listing.name} makes {low:g} to {high:g} seconds; {seconds:g} is outside.", "durationSeconds")]


def check_kind(listing: Listing, kind: GenerationKind) -> list[Refusal]:
    if kind in listing.capabilities.kinds:
        return []
    return [invalid(f"{listing.name} cannot {kind.value.lower()}.", "provider")]
