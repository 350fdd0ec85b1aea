"""What a person asks a provider for: normal, validated, and comparable with what was asked before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from domain.errors import Refusal, invalid
from domain.generations import MAX_IDEMPOTENCY_KEY, GenerationKind, StemMode
from domain.providers import Listing, check_duration, check_kind, check_model
from domain.tracks import MAX_LYRICS, check_prompt, check_tags, check_text, check_title


@dataclass(frozen=True)
class Ask:
    """One request for music, whatever its kind. Times in seconds; `provider` is a name of the catalogue."""

    kind: GenerationKind
    provider: str
    prompt: str
    title: str | None = None
    lyrics: str | None = None
    tags: tuple[str, ...] = ()
    instrumental: bool = False
    model: str | None = None
    duration_seconds: float | None = None
    seed: int | None = None
    source_version_id: str | None = None
    continue_at_seconds: float | None = None
    strength: float | None = None
    stem_mode: str | None = None

    @property
    def request_hash(self) -> bytes:
        """Equal for equal requests: how the same idempotency key with another body is noticed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()


def check_ask(ask: Ask, catalog: Mapping[str, Listing], idempotency_key: str | None) -> list[Refusal]:
    """Everything that does not fit, each with its field; empty when the provider can be asked."""
    problems = check_prompt(ask.prompt)
    problems += check_title(ask.title)
    problems += check_tags(ask.tags)
    problems += check_text(ask.lyrics, MAX_LYRICS, "lyrics")
    problems += check_key(idempotency_key)
    listing = catalog.get(ask.provider)
    if listing is None or listing.unavailable_because is not None:
        reason = listing.unavailable_because if listing else f"it is not set up; there is {', '.join(catalog)}"
        return [*problems, invalid(f"{ask.provider} cannot be used here: {reason}.", "provider")]
    problems += check_kind(listing, ask.kind)
    problems += check_model(listing, ask.model)
    problems += check_duration(listing, ask.duration_seconds)
    return problems


def check_derivation(ask: Ask, catalog: Mapping[str, Listing], source_seconds: float) -> list[Refusal]:
    """What does not fit in a request that starts from a version of `source_seconds`."""
    problems = []
    at, strength = ask.continue_at_seconds, ask.strength
    if at is not None and not 0 < at <= source_seconds:
        problems.append(invalid(f"Continue at a moment after 0 and up to {source_seconds:g} seconds.", "continueAt"))
    if strength is not None and not 0 <= strength <= 1:
        problems.append(invalid("The strength is a number from 0 (as it was) to 1 (all new).", "strength"))
    listing = catalog.get(ask.provider)
    if ask.stem_mode == StemMode.SEPARATE_VOCAL and listing is not None and not listing.capabilities.sings:
        problems.append(invalid(f"{ask.provider} does not sing, so there is no voice to separate.", "mode"))
    return problems


def check_key(idempotency_key: str | None) -> list[Refusal]:
    if idempotency_key is None or 0 < len(idempotency_key) <= MAX_IDEMPOTENCY_KEY:
        return []
    return [invalid(f"An idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} characters.", "idempotencyKey")]


def request_params(ask: Ask, *, seed: int, variants: int) -> dict[str, Any]:
    """What is stored with the generation: the whole request, with the seed that was drawn when none was given."""
    return {**asdict(ask), "seed": ask.seed if ask.seed is not None else seed, "variants": variants}
