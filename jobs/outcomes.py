"""How a step can end: the closed vocabulary between the steps, which only decide, and `settle`, which writes down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.generations import Step
from jobs.media import Take
from providers.music import Failure, Task


@dataclass(frozen=True)
class Submitted:
    """The provider has accepted `task` for the attempt: polling comes next."""

    attempt_id: UUID
    task: Task


@dataclass(frozen=True)
class Proceed:
    """`step` comes next. `attempt` holds changes to the live attempt's row; `news` moves the deadline."""

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

    `ends_attempt`: the provider is certain not to work on this attempt, so SUBMIT may open (and pay for) a new one.
    Without it SUBMIT first clears up what became of the old one.
    """

    step: Step
    failure: Failure
    after_seconds: float | None = None  # None: the usual backoff
    ends_attempt: bool = False


@dataclass(frozen=True)
class GiveUp:
    """It failed for good; the user sees why. Without `ends_attempt` the provider may be at work and is told to stop."""

    failure: Failure
    ends_attempt: bool = True


@dataclass(frozen=True)
class Complete:
    """All outputs are in our own storage."""

    takes: tuple[Take, ...]


Outcome = Submitted | Proceed | Wait | Again | GiveUp | Complete
