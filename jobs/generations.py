"""The steps of a generation: submit → poll → ingest. Each only decides; `run_step` claims before and settles after.

Nothing here runs in a transaction longer than a few statements, and no vendor is called within one.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import func

from auth.viewer import SYSTEM
from domain.generations import (
    MADE_PROGRESS,
    NEWS_DEADLINE,
    SUBMITTED_PROGRESS,
    AttemptState,
    FailureCode,
    GenerationKind,
    GenerationStatus,
    StemKind,
    Step,
)
from jobs.context import WorkerContext
from jobs.media import Take, keep_output, together
from jobs.outcomes import Again, Complete, GiveUp, Outcome, Proceed, Submitted
from jobs.requests import provider_of, request_for, task_of
from jobs.settle import LeaseLost
from jobs.stopping import call_off, end
from models.generations import Attempt, Generation, follow, live_attempt, move
from providers.audio import NotPlayable
from providers.fetch import OutputNotSaved
from providers.images import NotAnImage
from providers.music import (
    Failure,
    MusicProvider,
    Output,
    ProviderAway,
    StemOutput,
    SubmitFailed,
    SubmitInDoubt,
    Task,
    TaskPhase,
    TaskUpdate,
)

log = structlog.get_logger()

INGESTING = "ingesting"  # the folder in the scratch space where downloads land
DOUBT_SECONDS = 5.0  # before asking a vendor whether it has the request whose answer was lost
# A provider that asks for more patience than this is as good as out of order.
LONGEST_PAUSE_SECONDS = NEWS_DEADLINE.total_seconds()

IN_DOUBT = Proceed(Step.SUBMIT, DOUBT_SECONDS, attempt={"state": AttemptState.IN_DOUBT}, news=False)


async def submit(worker: WorkerContext, generation: Generation) -> Outcome:
    """Ask the provider. The attempt is a row before the call: a call whose answer is lost is known to be in doubt."""
    provider = provider_of(worker, generation.provider)
    async with worker.db.read(SYSTEM) as session:
        attempt = await live_attempt(session, generation.id)
    if attempt is not None and generation.status == GenerationStatus.PENDING:
        # A canceled series left it behind, and this one begins with an attempt of its own.
        await end(worker, attempt, await call_off(worker, generation, attempt))
        attempt = None
    try:
        if attempt is not None:
            return await _clear_up(worker, provider, generation, attempt)
        attempt = await _open_attempt(worker, generation)
        return Submitted(attempt.id, await provider.submit(await request_for(worker, generation, attempt)))
    except SubmitFailed as refused:
        failure, after = refused.failure, refused.retry_after_seconds
        if failure.retryable and (after or 0) <= LONGEST_PAUSE_SECONDS:
            return Again(Step.SUBMIT, failure, after, ends_attempt=True)
        return GiveUp(failure)
    except SubmitInDoubt:
        return IN_DOUBT


async def _open_attempt(worker: WorkerContext, generation: Generation) -> Attempt:
    """A new attempt, under the fence."""
    async with worker.db.begin(SYSTEM) as tx:
        moved = await move(
            tx,
            generation.id,
            generation.fence,
            status=GenerationStatus.PROCESSING,
            attempts=Generation.attempts + 1,
            started_at=func.coalesce(Generation.started_at, func.now()),
            deadline_at=func.now() + NEWS_DEADLINE,
        )
        if moved is None:
            raise LeaseLost
        attempt = Attempt(
            id=worker.new_id(),
            user_id=generation.user_id,
            generation_id=generation.id,
            number=moved.attempts,
            provider=generation.provider,
        )
        tx.add(attempt)
        await follow(tx, moved)
        return attempt


async def _clear_up(
    worker: WorkerContext, provider: MusicProvider, generation: Generation, attempt: Attempt
) -> Outcome:
    """What became of a call whose answer was lost. It failed only if the provider, asked twice, knows nothing of it."""
    task = task_of(attempt) or await provider.find(await request_for(worker, generation, attempt))
    if task is not None:
        return Submitted(attempt.id, task)
    if attempt.state != AttemptState.IN_DOUBT:
        return IN_DOUBT
    lost = Failure(FailureCode.PROVIDER_FAILED, "The request never reached the provider.", retryable=True)
    return Again(Step.SUBMIT, lost, after_seconds=0, ends_attempt=True)


async def poll(worker: WorkerContext, generation: Generation) -> Outcome:
    """Ask how the task stands."""
    provider, attempt, task = await _task(worker, generation)
    try:
        update = await provider.poll(task)
    except OSError as fault:
        raise ProviderAway(str(fault)) from fault
    return _after(update, generation, attempt)


def _after(update: TaskUpdate, generation: Generation, attempt: Attempt) -> Outcome:
    """What a provider's news means for the generation."""
    if update.phase is TaskPhase.SUCCEEDED:
        outputs = {"outputs": [asdict(output) for output in update.outputs]}
        return Proceed(
            Step.INGEST,
            progress=MADE_PROGRESS,
            attempt={"provider_status": update.provider_status, "outputs": outputs},
        )
    if update.phase in (TaskPhase.FAILED, TaskPhase.CANCELED):
        failure = update.failure or Failure(FailureCode.PROVIDER_FAILED, "The provider gave up.")
        return Again(Step.SUBMIT, failure, ends_attempt=True) if failure.retryable else GiveUp(failure)
    made = SUBMITTED_PROGRESS + (MADE_PROGRESS - SUBMITTED_PROGRESS) * (update.progress or 0.0)
    news = made > generation.progress or update.provider_status != attempt.provider_status
    return Proceed(
        Step.POLL,
        update.poll_after_seconds,
        progress=made,
        queue_position=update.queue_position,
        attempt={"provider_status": update.provider_status} if news else {},
        news=news,
    )


async def ingest(worker: WorkerContext, generation: Generation) -> Outcome:
    """Copy every output into our own storage. Only when all are there is the generation complete."""
    provider, attempt, _ = await _task(worker, generation)
    outputs = [_output(raw) for raw in (attempt.outputs or {}).get("outputs", ())]
    playable = [output for output in outputs if output.audio_url or generation.kind == GenerationKind.STEMS]
    if not playable:
        return GiveUp(Failure(FailureCode.BAD_OUTPUT, "The provider finished without any audio.", retryable=True))
    folder = worker.scratch / INGESTING / f"{generation.id}-{generation.fence}"
    try:
        return Complete(await _keep_all(worker, provider, playable, folder))
    except (OutputNotSaved, NotPlayable, NotAnImage, FileNotFoundError) as fault:
        log.warning("output.refused", error=str(fault), kind=type(fault).__name__)
        refused = Failure(FailureCode.BAD_OUTPUT, "The provider's audio could not be used.", retryable=True)
        hopeless = isinstance(fault, OutputNotSaved) and not fault.retryable
        # Asked again, the provider gives fresh URLs for the same task.
        return GiveUp(refused) if hopeless else Again(Step.POLL, refused)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _keep_all(
    worker: WorkerContext, provider: MusicProvider, outputs: list[Output], folder: Path
) -> tuple[Take, ...]:
    # A track has one cover: that of its first take.
    covered = next((output for output in outputs if output.cover_url), None)
    keep = []
    for output in outputs:
        place = folder / str(output.index)
        await asyncio.to_thread(partial(place.mkdir, parents=True, exist_ok=True))
        keep.append(keep_output(worker, provider.open_output, output, folder=place, with_cover=output is covered))
    return tuple(await together(*keep))


def _output(raw: Mapping[str, Any]) -> Output:
    stems = tuple(StemOutput(StemKind(stem["kind"]), stem["url"]) for stem in raw["stems"])
    return Output(**{**raw, "stems": stems})


async def _task(worker: WorkerContext, generation: Generation) -> tuple[MusicProvider, Attempt, Task]:
    async with worker.db.read(SYSTEM) as session:
        attempt = await live_attempt(session, generation.id)
    if attempt is None or (task := task_of(attempt)) is None:
        raise LeaseLost
    return provider_of(worker, attempt.provider), attempt, task
