"""What is true of a generation without a database: its kinds, states and steps, its numbers, and when to try again."""

from __future__ import annotations

import random
from datetime import timedelta
from enum import StrEnum


class GenerationKind(StrEnum):
    """What is asked of the provider."""

    GENERATE = "GENERATE"
    EXTEND = "EXTEND"
    COVER = "COVER"
    REMIX = "REMIX"
    STEMS = "STEMS"


class GenerationStatus(StrEnum):
    """One vocabulary for every provider. Monotone: nothing leaves the last three but by a new attempt series."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


ACTIVE = (GenerationStatus.PENDING, GenerationStatus.PROCESSING)


class Step(StrEnum):
    """What happens next to an active generation. Each is a job of its own: short, idempotent, resumable."""

    SUBMIT = "SUBMIT"  # call the provider, or clear up a call that is in doubt
    POLL = "POLL"  # ask how the task stands
    INGEST = "INGEST"  # copy its outputs into our own storage and complete


class AttemptState(StrEnum):
    """Where one call to a provider stands."""

    SUBMITTING = "SUBMITTING"
    SUBMITTED = "SUBMITTED"
    IN_DOUBT = "IN_DOUBT"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @classmethod
    def live(cls) -> tuple[AttemptState, ...]:
        """States in which the provider may be working, or may have charged."""
        return (cls.SUBMITTING, cls.SUBMITTED, cls.IN_DOUBT)


class StemKind(StrEnum):
    """The parts a mix can be taken apart into, over all providers."""

    VOCALS = "VOCALS"
    BACKING_VOCALS = "BACKING_VOCALS"
    INSTRUMENTAL = "INSTRUMENTAL"
    DRUMS = "DRUMS"
    BASS = "BASS"
    CHORDS = "CHORDS"
    LEAD = "LEAD"
    GUITAR = "GUITAR"
    KEYBOARD = "KEYBOARD"
    PERCUSSION = "PERCUSSION"
    STRINGS = "STRINGS"
    SYNTH = "SYNTH"
    BRASS = "BRASS"
    WOODWINDS = "WOODWINDS"
    FX = "FX"
    OTHER = "OTHER"


class StemMode(StrEnum):
    """How a mix is taken apart."""

    SEPARATE_VOCAL = "SEPARATE_VOCAL"  # voice and everything else
    SPLIT_STEM = "SPLIT_STEM"  # as many parts as the provider knows


class FailureCode(StrEnum):
    """Why a generation failed (`GenerationError.code`)."""

    BAD_REQUEST = "BAD_REQUEST"
    MODERATED = "MODERATED"
    CREDITS_EXHAUSTED = "CREDITS_EXHAUSTED"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    RATE_LIMITED = "RATE_LIMITED"
    BAD_OUTPUT = "BAD_OUTPUT"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"


MAX_IDEMPOTENCY_KEY = 255  # as long as Stripe's
RETRIES = 3  # after the first try: four attempts a series at most
NEWS_DEADLINE = timedelta(minutes=15)  # vendors take 0.5–2 min, the slowest seen 10–15: no news for so long is an end
STRIKES = 10  # claims in a row that ended with a dead worker: a deploy makes one, a poisonous request ten
CEILING = timedelta(hours=3)  # even with news, nothing real takes longer

SUBMITTED_PROGRESS, MADE_PROGRESS = 0.05, 0.75  # of the whole: asked and accepted; all made, and storing is the rest

BACKOFF_BASE, BACKOFF_FACTOR, BACKOFF_CAP = 2.0, 2.0, 60.0  # seconds


def backoff_seconds(retry: int, rng: random.Random) -> float:
    """How long to wait before retry number `retry` (1-based): exponential, capped, with full jitter."""
    return rng.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * BACKOFF_FACTOR ** (retry - 1)))
