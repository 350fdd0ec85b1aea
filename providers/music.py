"""The port to whoever makes the music: a vendor behind HTTP, or our own synthesizer.

Shaped by what real vendors do: a request becomes an asynchronous *task*; the task gives *n* outputs (usually two),
passes through stages (text, first clip, all clips), and is heard of by callback *and* by polling, in any order, twice,
late or never. An adapter translates a vendor's wire into these values and vendor errors into `TaskFailed`; it keeps no
state of its own: all it needs to find a task again stands in `Task`, which the caller stores.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from domain.generations import FailureCode, GenerationKind, StemKind
from domain.providers import Capabilities as Capabilities
from domain.providers import Model as Model


@dataclass(frozen=True)
class SourceAudio:
    """The version that an extension, cover, remix or separation starts from."""

    url: str  # readable by the provider: a signed URL of ours, or a path that `open_output` understands
    duration_seconds: float
    task: Task | None = None  # the provider's own task, when the same provider made it
    output_key: str | None = None  # the provider's own id of the clip


@dataclass(frozen=True)
class MusicRequest:
    """What is asked for, already validated against the provider's capabilities."""

    kind: GenerationKind
    prompt: str
    title: str | None = None
    lyrics: str | None = None
    tags: tuple[str, ...] = ()
    instrumental: bool = False
    model: str | None = None
    duration_seconds: float | None = None
    seed: int = 0
    variants: int = 2
    source: SourceAudio | None = None
    continue_at_seconds: float | None = None
    strength: float | None = None  # 0–1, how far a remix may go from its source
    stem_mode: str | None = None
    callback_url: str | None = None
    reference: str = ""  # unique per attempt; given to vendors that can be searched by it


@dataclass(frozen=True)
class Task:
    """A vendor's task. `state` is what the adapter needs to find it again (JSON values only, stored by the caller)."""

    id: str
    state: Mapping[str, Any] = field(default_factory=dict)


class TaskPhase(StrEnum):
    """Where a task stands. Vendors' own words are kept beside it in `TaskUpdate.provider_status`."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@dataclass(frozen=True)
class StemOutput:
    kind: StemKind
    url: str


@dataclass(frozen=True)
class Output:
    """One clip of a task. Fields are None until the vendor has them; `""` never appears."""

    key: str  # the vendor's id of the clip, stable over callbacks and polls
    index: int  # 0-based position among the task's outputs
    audio_url: str | None = None
    lossless_url: str | None = None
    stream_url: str | None = None
    cover_url: str | None = None
    title: str | None = None
    lyrics: str | None = None
    duration_seconds: float | None = None
    stems: tuple[StemOutput, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a task ended badly. `message` is written for the user; `retryable` tells whether another attempt may help."""

    code: FailureCode
    message: str
    retryable: bool = False
    charged: bool | None = None  # None: the vendor does not say


@dataclass(frozen=True)
class TaskUpdate:
    """News of a task, from a poll or a callback. Applying an old or repeated one changes nothing."""

    phase: TaskPhase
    provider_status: str
    progress: float | None = None  # 0–1
    queue_position: int | None = None  # 0-based
    outputs: tuple[Output, ...] = ()
    failure: Failure | None = None
    poll_after_seconds: float = 5.0


@dataclass(frozen=True)
class Callback:
    """A vendor's callback, verified and read."""

    task_id: str
    update: TaskUpdate
    trusted: bool  # False: unsigned, so its URLs are used only after a poll has confirmed them


class SubmitFailed(Exception):
    """The provider refused the request, or could not be reached *before* it can have accepted it."""

    def __init__(self, failure: Failure, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.retry_after_seconds = retry_after_seconds


class SubmitInDoubt(Exception):
    """The connection broke after the request was sent: it may or may not have been accepted (and charged)."""


class ProviderAway(Exception):
    """The provider cannot be reached just now; a later poll may do better."""


class MusicProvider(Protocol):
    """One implementation per vendor. All times are seconds, all URLs absolute."""

    name: str  # the `ProviderName` value, lower case
    description: str
    capabilities: Capabilities

    def unavailable_because(self) -> str | None:
        """Why this provider cannot be used here (no key, say), as a sentence; None when it can."""

    async def submit(self, request: MusicRequest) -> Task:
        """Start a task. Raises `SubmitFailed` or `SubmitInDoubt`; never retries by itself."""

    async def find(self, request: MusicRequest) -> Task | None:
        """The task an in-doubt submit may have started, where the vendor can list or read by reference."""

    async def poll(self, task: Task) -> TaskUpdate:
        """News of the task. Raises `ProviderAway` for faults that a later poll may not meet."""

    async def cancel(self, task: Task) -> None:
        """Ask the vendor to stop; best effort, the task may still complete."""

    async def discard(self, task: Task) -> None:
        """The task's outputs are not needed any more; the provider may forget them."""

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """Verify and read a callback. Raises `CallbackRefused`."""

    def open_output(self, url: str) -> AsyncIterator[bytes]:
        """The bytes behind a URL that this provider gave, in chunks."""

    async def aclose(self) -> None:
        """Let go of connections and processes."""


class CallbackRefused(Exception):
    """The callback is forged, too old, or not in the vendor's form. The message says which, for the log."""
