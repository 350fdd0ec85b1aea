"""The offline provider: our own synthesizer behind the port that vendors stand behind.

A task's whole request stands in its state, and a piece follows from its request alone. So any worker, on any
machine, can poll any task: what is missing is rendered (again), to the same bytes. A killed worker costs a
second of computing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import soundfile
import structlog

from core.pool import WorkerDiedTwice, WorkPool
from domain.generations import FailureCode, GenerationKind, StemKind
from providers.music import (
    Callback,
    CallbackRefused,
    Failure,
    MusicRequest,
    Output,
    StemOutput,
    Task,
    TaskPhase,
    TaskUpdate,
)
from providers.synth_facts import DESCRIPTION, NAME, synth_capabilities
from providers.synth_render import CANCELED, STAGES, RenderCanceled, render
from providers.synth_requests import read_request

log = structlog.get_logger()

LONG_POLL_SECONDS = 1.0
POLL_AFTER_SECONDS = 0.1  # a poll waits by itself, so the next may follow at once
STALE_SECONDS = 86_400.0  # a task's files live a day: its outputs are fetched within minutes or rendered again
CHUNK_BYTES = 1 << 18
STEMS = {StemKind.DRUMS: "drums", StemKind.BASS: "bass", StemKind.CHORDS: "chords", StemKind.LEAD: "lead"}

_TASK_ID = re.compile(r"[0-9a-f]{32}")
_URL = re.compile(r"synth://([0-9a-f]{32})/(\d{1,2})/((?:mix|drums|bass|chords|lead)\.wav|cover\.webp)")


class NoOutputOfOurs(ValueError):
    """The URL is not one that this provider gave."""


class Synth:
    """`MusicProvider` without a vendor: renders in `pool`, under `scratch`. The pool belongs to the caller."""

    name = NAME
    description = DESCRIPTION

    def __init__(self, pool: WorkPool, scratch: Path, variants: int) -> None:
        self._pool = pool
        self._scratch = scratch
        self._renders: dict[tuple[str, int], tuple[asyncio.Task[None], Path]] = {}
        self.capabilities = synth_capabilities(variants)
        sweep(scratch, time.time() - STALE_SECONDS)

    def unavailable_because(self) -> str | None:
        return None

    async def submit(self, request: MusicRequest) -> Task:
        """Start rendering and answer at once. Raises `SubmitFailed` for a source that another provider made."""
        task = await asyncio.to_thread(_task, request)
        for variant in _variants(task):
            self._start(task, variant)
        return task

    async def find(self, request: MusicRequest) -> Task | None:
        """The task that submitting the same reference gives: polling it is enough, it need never have been
        submitted."""
        return await asyncio.to_thread(_task, request) if request.reference else None

    async def poll(self, task: Task) -> TaskUpdate:
        """News, after up to a second. Renders what is missing here. Raises OSError (a full disk, say)."""
        folder = self._folder(task)
        if not _canceled(folder):
            missing = [v for v in _variants(task) if not _finished(folder, v)]
            running = [self._start(task, variant) for variant in missing]
            if running:
                await asyncio.wait(running, timeout=LONG_POLL_SECONDS, return_when=asyncio.ALL_COMPLETED)
            failure = self._failure(task, missing)
            if failure is not None:
                return TaskUpdate(TaskPhase.FAILED, "failed", failure=failure)
        if _canceled(folder):
            return TaskUpdate(TaskPhase.CANCELED, "canceled")
        return await asyncio.to_thread(self._update, task)

    async def cancel(self, task: Task) -> None:
        """Stop the renders: waiting ones at once, running ones at their next stage. Known on this machine only."""
        folder = self._folder(task)
        await asyncio.to_thread(_mark_canceled, folder)
        self._forget(task)

    async def discard(self, task: Task) -> None:
        """Remove the task's files, once they are stored elsewhere. A later poll would render them again."""
        self._forget(task)
        await asyncio.to_thread(shutil.rmtree, self._folder(task), ignore_errors=True)

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        raise CallbackRefused("the built-in synthesizer calls nobody back")

    async def open_output(self, url: str) -> AsyncIterator[bytes]:
        """The file in chunks of 256 kB. Raises NoOutputOfOurs, and FileNotFoundError after `discard` (poll again)."""
        file = await asyncio.to_thread(self._path(url).open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()

    async def aclose(self) -> None:
        """Drop the renders that have not begun."""
        for running, _ in self._renders.values():
            running.cancel()
        self._renders.clear()

    def _folder(self, task: Task) -> Path:
        if not _TASK_ID.fullmatch(task.id):
            raise NoOutputOfOurs(task.id)
        return self._scratch / task.id

    def _path(self, url: str) -> Path:
        match = _URL.fullmatch(url)
        if match is None:
            raise NoOutputOfOurs(url)
        return self._scratch / match[1] / match[2] / match[3]

    def _start(self, task: Task, variant: int) -> asyncio.Task[None]:
        """The running render of this variant, begun now if there is none."""
        if (task.id, variant) not in self._renders:
            folder = self._folder(task)
            working = folder / f".{variant}-{secrets.token_hex(4)}"
            job = self._pool.run(render, task.state["spec"], variant, str(working), str(folder / str(variant)))
            running = asyncio.create_task(job)
            running.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, polled or not
            self._renders[task.id, variant] = (running, working)
        return self._renders[task.id, variant][0]

    def _forget(self, task: Task) -> None:
        for key in [key for key in self._renders if key[0] == task.id]:
            self._renders.pop(key)[0].cancel()

    def _failure(self, task: Task, variants: list[int]) -> Failure | None:
        """Why a finished render gave nothing, if one did; finished renders are forgotten. Raises its OSError."""
        for variant in variants:
            running, _ = self._renders.get((task.id, variant), (None, None))
            if running is None or not running.done():
                continue
            del self._renders[task.id, variant]
            error = None if running.cancelled() else running.exception()
            if isinstance(error, OSError):
                raise error
            if isinstance(error, WorkerDiedTwice):
                return Failure(FailureCode.PROVIDER_FAILED, "The renderer was stopped twice.", retryable=True)
            if error is not None and not isinstance(error, RenderCanceled):
                log.error("render.failed", task=task.id, variant=variant, exc_info=error)
                return Failure(FailureCode.INTERNAL, "The synthesizer failed on this request; this is our fault.")
        return None

    def _update(self, task: Task) -> TaskUpdate:
        folder, variants = self._folder(task), _variants(task)
        outputs = tuple(_output(task, folder, v) for v in variants if _finished(folder, v))
        if len(outputs) == len(variants):
            return TaskUpdate(TaskPhase.SUCCEEDED, "rendered", 1.0, outputs=outputs)
        progress = sum(self._progress(task, folder, variant) for variant in variants) / len(variants)
        return TaskUpdate(
            TaskPhase.RUNNING,
            f"rendered {len(outputs)} of {len(variants)}",
            min(0.99, progress),
            outputs=outputs,
            poll_after_seconds=POLL_AFTER_SECONDS,
        )

    def _progress(self, task: Task, folder: Path, variant: int) -> float:
        if _finished(folder, variant):
            return 1.0
        _, working = self._renders.get((task.id, variant), (None, None))
        return sum((working / stage).exists() for stage in STAGES) / len(STAGES) if working else 0.0


def sweep(scratch: Path, before: float) -> None:
    """Remove the folders of tasks last touched before the Unix time `before`."""
    for folder in scratch.glob("*"):
        if _TASK_ID.fullmatch(folder.name) and folder.stat().st_mtime < before:
            shutil.rmtree(folder, ignore_errors=True)


def _task(request: MusicRequest) -> Task:
    """The task for the request. Its id follows from the reference, so that a repeated submit is the same task."""
    spec, variants = read_request(request)
    unique = request.reference or secrets.token_hex(16)
    state: dict[str, Any] = {
        "spec": spec.to_json(),
        "variants": variants,
        "title": request.title,
        "lyrics": request.lyrics,
    }
    return Task(hashlib.sha256(f"antiphon synth {unique}".encode()).hexdigest()[:32], state)


def _variants(task: Task) -> range:
    return range(task.state["variants"])


def _canceled(folder: Path) -> bool:
    return (folder / CANCELED).exists()


def _mark_canceled(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CANCELED).touch()


def _finished(folder: Path, variant: int) -> bool:
    return (folder / str(variant)).is_dir()


def _output(task: Task, folder: Path, variant: int) -> Output:
    base = f"synth://{task.id}/{variant}"
    stems = tuple(StemOutput(kind, f"{base}/{name}.wav") for kind, name in STEMS.items())
    whole = GenerationKind(task.state["spec"]["kind"]) is not GenerationKind.STEMS
    return Output(
        key=f"{task.id}-{variant}",
        index=variant,
        audio_url=f"{base}/mix.wav" if whole else None,
        lossless_url=f"{base}/mix.wav" if whole else None,
        cover_url=f"{base}/cover.webp" if whole else None,
        title=task.state["title"],
        lyrics=task.state["lyrics"],
        duration_seconds=float(soundfile.info(folder / str(variant) / "mix.wav").duration),
        stems=stems,
    )
