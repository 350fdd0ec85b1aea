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


def check_ask(ask: Ask, catalog: Mapping[str, Listing]) -> list[Refusal]:
    """Everything that does not fit, each with its field; empty when the provider can be asked."""
    problems = check_prompt(ask.prompt)
    problems += check_title(ask.title)
    problems += check_tags(ask.tags)
    problems += check_text(ask.lyrics, MAX_LYRICS, "lyrics")
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


@dataclass(frozen=True)
class Once:
    """An idempotency key, and what it was sent with, as the client wrote it: how another body is noticed."""

    key: str
    request_hash: bytes


def once(key: str | None, verb: str, sent: Mapping[str, Any]) -> Once | None:
    """The key of a request, or None for one without. Nothing that may change between two tries goes into the hash."""
    if key is None:
        return None
    written = json.dumps([verb, sent], sort_keys=True, default=str)
    return Once(key, hashlib.sha256(written.encode()).digest())


def check_key(key: str | None) -> list[Refusal]:
    if key == "":
        return [invalid(f"An idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} characters.", "idempotencyKey")]
    return check_text(key, MAX_IDEMPOTENCY_KEY, "idempotencyKey")


def request_params(ask: Ask, *, seed: int, variants: int) -> dict[str, Any]:
    """What is stored with the generation: the whole request, with the seed that was drawn when none was given."""
    return {**asdict(ask), "seed": ask.seed if ask.seed is not None else seed, "variants": variants}
