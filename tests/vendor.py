"""A vendor whose memory outlives the workers that call it: what it accepted, canceled and forgot stands in files.

The prompt says how it behaves, in words: see `Vendor.submit` and `Vendor.poll`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from domain.generations import FailureCode
from providers.fetch import OutputGone
from providers.music import (
    Failure,
    MusicRequest,
    ProviderAway,
    SubmitFailed,
    SubmitInDoubt,
    Task,
    TaskPhase,
    TaskUpdate,
)
from tests.scripted import ScriptedProvider, running

BUSY = Failure(FailureCode.PROVIDER_FAILED, "Busy.", retryable=True)
MODERATED = Failure(FailureCode.MODERATED, "No.")


class Ledger:
    """Lines in files. A line that was added stays, whoever is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, line: str) -> None:
        file = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def count(self, name: str, line: str) -> int:
        return self.lines(name).count(line)


class Vendor(ScriptedProvider):
    """One process's way to the vendor. `points` is passed before and after each call."""

    def __init__(self, folder: Path, points: Callable[[str], None], *, poison: str | None = None) -> None:
        super().__init__()
        self.ledger = Ledger(folder)
        self.points = points
        self.poison = poison

    async def submit(self, request: MusicRequest) -> Task:
        """`busy`: refused twice. `moderated`: refused. `doubt`: accepted, no answer. `lost`: not even that, once."""
        self.points("before submit")
        self._refuse(request)
        self.ledger.add("accepted", request.reference)
        self.points("after submit")
        if "doubt" in request.prompt:
            raise SubmitInDoubt
        return self.task(request)

    def _refuse(self, request: MusicRequest) -> None:
        if "moderated" in request.prompt:
            raise SubmitFailed(MODERATED)
        for word, times, fault in (
            ("busy", 2, SubmitFailed(BUSY, retry_after_seconds=0.1)),
            ("lost", 1, SubmitInDoubt()),
        ):
            if word in request.prompt and self.ledger.count(word, str(request.seed)) < times:
                self.ledger.add(word, str(request.seed))
                raise fault

    async def find(self, request: MusicRequest) -> Task | None:
        return self.task(request) if request.reference in self.ledger.lines("accepted") else None

    async def poll(self, task: Task) -> TaskUpdate:
        """`away`: cannot be reached, once. `failing`: the first task fails. Once a task is done it stays done."""
        self.points("before poll")
        prompt, seen = str(task.state["prompt"]), self.ledger.count("polled", task.id)
        if prompt == self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        self.ledger.add("polled", task.id)
        self.points("after poll")
        if "away" in prompt and seen == 0:
            raise ProviderAway("no route")
        if "failing" in prompt and self._fails(task, prompt):
            return TaskUpdate(TaskPhase.FAILED, "failed", failure=BUSY)
        return running(0.5) if seen < 1 else self.done(task)

    def _fails(self, task: Task, prompt: str) -> bool:
        failed = self.ledger.lines("failed")
        if f"{prompt} {task.id}" not in failed and not any(line.startswith(f"{prompt} ") for line in failed):
            self.ledger.add("failed", f"{prompt} {task.id}")
        return f"{prompt} {task.id}" in self.ledger.lines("failed")

    async def cancel(self, task: Task) -> None:
        self.ledger.add("canceled", task.id)

    async def discard(self, task: Task) -> None:
        """The outputs are gone for good."""
        self.points("before discard")
        self.ledger.add("discarded", task.id)
        self.points("after discard")

    async def open_output(self, url: str) -> AsyncIterator[bytes]:
        self.points("before fetching")
        if url.removeprefix("scripted:").split("/")[0] in self.ledger.lines("discarded"):
            raise OutputGone("The outputs were discarded.")
        async for chunk in super().open_output(url):
            yield chunk
        self.points("after fetching")
