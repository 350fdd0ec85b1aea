"""A provider behind the real port that is instant, tiny, and does what a test tells it to.

It remembers every call, so that a test can count what a vendor would have charged.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import soundfile
from PIL import Image

from domain.generations import StemKind
from domain.providers import Capabilities
from providers.fetch import OutputGone
from providers.music import (
    Callback,
    CallbackRefused,
    MusicRequest,
    Output,
    StemOutput,
    SubmitInDoubt,
    Task,
    TaskPhase,
    TaskUpdate,
)
from providers.synth_facts import synth_capabilities

SECONDS = 0.5
STEMS = (StemKind.DRUMS, StemKind.BASS)


@dataclass
class ScriptedProvider:
    """`updates` are the answers of the next polls (then: done); `before` runs at the start of the named call.

    A submit that raises SubmitInDoubt was accepted, and `find` knows of it, unless `finds` is off.
    """

    variants: int = 2
    name: str = "synth"
    description: str = "Scripted."
    unavailable: str | None = None
    updates: deque[TaskUpdate | Exception] = field(default_factory=deque)
    submit_errors: deque[Exception] = field(default_factory=deque)
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    submitted: list[MusicRequest] = field(default_factory=list)
    accepted: list[MusicRequest] = field(default_factory=list)  # what a vendor would charge for
    found: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    finds: bool = True
    same_sound: bool = False  # all outputs of all tasks are the same bytes
    bodies: dict[str, bytes] = field(default_factory=dict)  # what a URL serves instead of sound

    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = synth_capabilities(self.variants)

    def unavailable_because(self) -> str | None:
        return self.unavailable

    async def submit(self, request: MusicRequest) -> Task:
        await self._at("submit")
        self.submitted.append(request)
        error = self.submit_errors.popleft() if self.submit_errors else None
        if error is None or (isinstance(error, SubmitInDoubt) and self.finds):
            self.accepted.append(request)
        if error is not None:
            raise error
        await self._at("accepted")
        return _task(request)

    async def find(self, request: MusicRequest) -> Task | None:
        await self._at("find")
        self.found.append(request.reference)
        known = self.finds and request.reference in {one.reference for one in self.accepted}
        return _task(request) if known else None

    async def poll(self, task: Task) -> TaskUpdate:
        await self._at("poll")
        if self.updates:
            update = self.updates.popleft()
            if isinstance(update, Exception):
                raise update
            return update
        return self.done(task)

    @staticmethod
    def task(request: MusicRequest) -> Task:
        return _task(request)

    def done(self, task: Task) -> TaskUpdate:
        outputs = tuple(_output(task, index) for index in range(self.variants))
        return TaskUpdate(TaskPhase.SUCCEEDED, "done", 1.0, outputs=outputs)

    async def cancel(self, task: Task) -> None:
        await self._at("cancel")
        self.canceled.append(task.id)

    async def discard(self, task: Task) -> None:
        await self._at("discard")
        self.discarded.append(task.id)

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        raise CallbackRefused("scripted")

    async def open_output(self, url: str) -> AsyncIterator[bytes]:
        await self._at("fetch")
        if url in self.bodies:
            yield self.bodies[url]
        elif url.startswith("gone:"):
            raise OutputGone("The URL is not valid any more.")
        else:
            yield cover() if url.endswith("cover") else sound(0 if self.same_sound else crc32(url.encode()) % 1000)

    async def aclose(self) -> None:
        return

    async def _at(self, call: str) -> None:
        if call in self.before:
            await self.before[call]()


def _task(request: MusicRequest) -> Task:
    return Task(f"task-{request.reference}", {"prompt": request.prompt})


def _output(task: Task, index: int) -> Output:
    base = f"scripted:{task.id}/{index}"
    stems = tuple(StemOutput(kind, f"{base}/{kind.value}") for kind in STEMS)
    return Output(
        f"{task.id}-{index}",
        index,
        audio_url=f"{base}/audio",
        lossless_url=f"{base}/audio",
        cover_url=f"{base}/cover",
        stems=stems,
    )


@cache
def sound(seed: int) -> bytes:
    """Half a second of a stereo tone as WAV; another seed is another tone."""
    times = np.arange(int(44_100 * SECONDS)) / 44_100
    tone = 0.3 * np.sin(2 * np.pi * (220 + seed) * times)
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone, tone], axis=1), 44_100, format="WAV", subtype="PCM_16")
    return file.getvalue()


@cache
def cover() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 120, 40)).save(file, "PNG")
    return file.getvalue()


def running(progress: float = 0.5, **facts: Any) -> TaskUpdate:
    """News of a task that goes on."""
    return TaskUpdate(TaskPhase.RUNNING, f"at {progress}", progress, poll_after_seconds=0.0, **facts)
