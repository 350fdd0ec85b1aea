"""What a test tells a vendor to do, in one vocabulary for all vendors. Each vendor says it in its own wire."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.vendors.shelf import Flaw


class Refusal(StrEnum):
    """Why a call is answered with an error. Nothing is done or charged, unless the fault says `done`."""

    BAD_KEY = "bad key"
    NO_CREDITS = "no credits"
    RATE_LIMITED = "rate limited"
    BAD_INPUT = "bad input"
    TOO_LONG = "too long"
    MODERATED = "moderated"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    MAINTENANCE = "maintenance"
    SERVER_ERROR = "server error"
    GATEWAY = "gateway"  # HTML from whatever stands before the vendor


class Ending(StrEnum):
    """How an accepted task ends."""

    SUCCEEDED = "succeeded"
    MODERATED = "moderated"
    BAD_INPUT = "bad input"
    FAILED = "failed"  # the vendor's own fault: another attempt may do better
    TIMED_OUT = "timed out"  # Replicate says `aborted`
    CALLBACK_FAILED = "callback failed"  # Suno's CALLBACK_EXCEPTION: the sound is there all the same
    WITHOUT_OUTPUT = "without output"  # says that it succeeded, and there is nothing
    NEVER = "never"  # stays where it is before the end


class Forgery(StrEnum):
    """What is wrong with a callback's signature. Suno signs nothing; its forgeries are bodies that lie."""

    WRONG_KEY = "wrong key"
    OLD = "old"  # signed well, an hour ago
    ALTERED = "altered"  # the body was changed after it was signed
    UNSIGNED = "unsigned"


@dataclass(frozen=True)
class Raw:
    """An answer byte by byte."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """What a call meets. `done`: the vendor does what was asked (and charges for it) whatever it answers then."""

    before_seconds: float = 0.0
    done: bool = True
    after_seconds: float = 0.0
    answer: Refusal | Raw | None = None  # None: the true one
    cut: bool = False  # the connection is closed instead


LOST = Fault(done=False, cut=True)  # nothing was accepted, and the caller cannot know
UNANSWERED = Fault(cut=True)  # accepted and charged, and the caller cannot know


def refused(why: Refusal | Raw) -> Fault:
    """Answered with an error, nothing done."""
    return Fault(done=False, answer=why)


def answered_wrongly(answer: Refusal | Raw) -> Fault:
    """Done and charged, and answered with an error: a gateway that gave up too early, say."""
    return Fault(answer=answer)


def slow(seconds: float) -> Fault:
    """Done at once, answered late."""
    return Fault(after_seconds=seconds)


@dataclass(frozen=True)
class Deliveries:
    """How a task's callbacks are sent."""

    copies: int = 1  # of each, at the same time
    delay_seconds: float = 0.0  # after what they tell of
    backwards: bool = False  # all at the end, the last first
    early: bool = False  # the whole story is told before the create is answered
    skipped: frozenset[str] = frozenset()  # events that are never sent; {"*"}: none is
    forgery: Forgery | None = None


@dataclass(frozen=True)
class Story:
    """How a task goes. `facts` change what the vendor says of it; each vendor's module names those it knows."""

    pace_seconds: float | None = 0.02  # between two states; None: it moves by `advance` alone
    ending: Ending = Ending.SUCCEEDED
    deliveries: Deliveries = Deliveries()
    outputs: int | None = None  # None: as many as the vendor gives
    flaw: Flaw | None = None  # of each file, on its first fetch
    cancelable: bool = True  # False: canceling is accepted, and the task goes on
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rate:
    """More creates per key than this are refused."""

    calls: int
    seconds: float


@dataclass
class Call:
    """A request as it was heard."""

    name: str  # "create", "read", "list", "cancel", …: each vendor's module names its own
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    key: str | None  # the credential that it brought
    at: float  # time.monotonic()
    status: int | None = None  # what was answered; None: nothing yet, or never

    @property
    def json(self) -> Any:
        """The body read as JSON; None when it is not."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass
class Script:
    """How a vendor behaves. A test may change all of it at any time."""

    keys: frozenset[str]
    story: Story = Story()
    stories: deque[Story] = field(default_factory=deque)  # of the next tasks; then `story`
    tell: Callable[[Call], Story | None] | None = None  # asked first, for each create
    interfere: Callable[[Call], Fault | None] | None = None  # asked first, for each call
    rate: Rate | None = None
    retry_after_seconds: int = 1  # what vendors that say it say when they refuse for their rate
    redeliver_seconds: tuple[float, ...] = (0.05, 0.1, 0.2)  # the vendors' own spacing is seconds to hours
    bytes_of: Callable[[str, str], bytes] | None = None  # (key, media type) → what a file holds
    clock: Callable[[], float] = time.time
    _faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def meet(self, name: str, *faults: Fault) -> None:
        """The next calls of this name meet these faults, in order; further ones are well."""
        self._faults[name].extend(faults)

    def fault(self, call: Call) -> Fault | None:
        if self.interfere is not None and (fault := self.interfere(call)) is not None:
            return fault
        waiting = self._faults[call.name]
        return waiting.popleft() if waiting else None

    def story_of(self, call: Call) -> Story:
        if self.tell is not None and (story := self.tell(call)) is not None:
            return story
        return self.stories.popleft() if self.stories else self.story
