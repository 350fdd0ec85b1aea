"""How a step can end: the closed vocabulary between the steps, which only decide, and `settle`, which writes it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.generations import Step
from jobs.media import Take
from providers.music import Failure


@dataclass(frozen=True)
class Proceed:
    """Done with this step; `step` comes next. `attempt` holds changes to the live attempt's row; `news` moves the deadline."""

    step: Step
    after_seconds: float = 0.0
    progress: float | None = None
    queue_position: int | None = None
    attempt: Mapping[str, Any] = field(default_factory=dict)
    news: bool = True


@dataclass(frozen=True)
class Wait:
    """Not our fault and not the provider's doing: the same step again later, at no cost."""

    after_seconds: float


@dataclass(frozen=True)
class Again:
    """It failed, and another try may help: costs one retry, and is a GiveUp when none is left.

    Going back to SUBMIT ends the attempt; a new one may be charged.
    """

    step: Step
    failure: Failure
    after_seconds: float | None = None  # None: the usual backoff


@dataclass(frozen=True)
class GiveUp:
    """It failed for good; the user sees why."""

    failure: Failure


@dataclass(frozen=True)
class Complete:
    """All outputs are in our own storage."""

    takes: tuple[Take, ...]


Outcome = Proceed | Wait | Again | GiveUp | Complete
