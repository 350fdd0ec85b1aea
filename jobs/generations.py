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
from uuid import UUID

import structlog
from sqlalchemy import func, select

from auth.viewer import SYSTEM
from domain.generations import AttemptState, FailureCode, GenerationKind, GenerationStatus, StemKind, Step
from jobs.context import WorkerContext
from jobs.media import Take, keep_output, together
from jobs.outcomes import Again, Complete, GiveUp, Outcome, Proceed, Wait
from jobs.settle import LeaseLost
from models.generations import Attempt, Generation, follow, live_attempt, move
from models.media import MediaObject
from models.versions import Version
from providers.audio import NotPlayable
from providers.fetch import OutputNotSaved
from providers.images import NotAnImage
from providers.music import (
    Failure,
    MusicProvider,
    MusicRequest,
    Output,
    ProviderAway,
    SourceAudio,
    StemOutput,
    SubmitFailed,
    SubmitInDoubt,
    Task,
    TaskPhase,
    TaskUpdate,
)

log = structlog.get_logger()

SUBMITTED_PROGRESS, MADE_PROGRESS = (
    0.05,
    0.75,
)  # how far a submit, and all outputs of the provider, are along the way
AWAY_SECONDS = 10.0  # before polling a provider again that could not be reached; the deadline goes on running
DOUBT_SECONDS = 5.0  # before asking a vendor whether it has the request whose answer was lost


async def submit(worker: WorkerContext, generation: Generation) -> Outcome:
    """Ask the provider. The attempt is a row before the call, so a call whose answer is lost is known to be in doubt."""
    provider = worker.providers.get(generation.provider)
    if provider is None or (reason := provider.unavailable_because()) is not None:
        reason = reason if provider is not None else "it is not set up on this worker"
        return GiveUp(Failure(FailureCode.PROVIDER_UNAVAILABLE, f"{generation.provider} cannot be used: {reason}"))
    attempt, in_doubt = await _open_attempt(worker, generation)
    request = await _request(worker, generation, attempt)
    try:
        task = await (provider.find(request) if in_doubt else provider.submit(request))
    except SubmitFailed as refused:
        if refused.failure.retryable:
            return Again(Step.SUBMIT, refused.failure, refused.retry_after_seconds)
        return GiveUp(refused.failure)
    except SubmitInDoubt:
        return Proceed(Step.SUBMIT, DOUBT_SECONDS, attempt={"state": AttemptState.IN_DOUBT}, news=False)
    if task is None:
        lost = Failure(FailureCode.PROVIDER_FAILED, "The request never reached the provider.", retryable=True)
        return Again(Step.SUBMIT, lost, after_seconds=0)
    found = {"state": AttemptState.SUBMITTED, "task_id": task.id, "task_state": dict(task.state)}
    return Proceed(Step.POLL, progress=SUBMITTED_PROGRESS, attempt={**found, "submitted_at": func.now()})


async def _open_attempt(worker: WorkerContext, generation: Generation) -> tuple[Attempt, bool]:
    """The live attempt, and whether it is one whose outcome nobody knows; else a new one, under the fence."""
    async with worker.db.begin(SYSTEM) as tx:
        attempt = await live_attempt(tx, generation.id)
        if attempt is not None:
            return attempt, True
        moved = await move(
            tx,
            generation.id,
            generation.fence,
            status=GenerationStatus.PROCESSING,
            attempts=Generation.attempts + 1,
            started_at=func.coalesce(Generation.started_at, func.now()),
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
        return attempt, False


async def _request(worker: WorkerContext, generation: Generation, attempt: Attempt) -> MusicRequest:
    params = generation.params
    return MusicRequest(
        kind=GenerationKind(generation.kind),
        prompt=params["prompt"],
        title=params["title"],
        lyrics=params["lyrics"],
        tags=tuple(params["tags"]),
        instrumental=params["instrumental"],
        model=generation.model,
        duration_seconds=params["duration_seconds"],
        seed=params["seed"],
        variants=params["variants"],
        source=await _source(worker, generation.source_version_id),
        continue_at_seconds=params["continue_at_seconds"],
        strength=params["strength"],
        stem_mode=params["stem_mode"],
        reference=str(attempt.id),
    )


async def _source(worker: WorkerContext, version_id: UUID | None) -> SourceAudio | None:
    """What an extension, cover, remix or separation starts from: our own file, and the provider's name for it."""
    if version_id is None:
        return None
    made_by = (Attempt.generation_id == Version.generation_id) & (Attempt.state == AttemptState.SUCCEEDED)
    async with worker.db.read(SYSTEM) as session:
        version, key, attempt = (
            await session.execute(
                select(Version, MediaObject.key, Attempt)
                .join(MediaObject, MediaObject.id == Version.media_id)
                .join(Attempt, made_by)
                .where(Version.id == version_id)
            )
        ).one()
    task = Task(attempt.task_id or "", attempt.task_state or {})
    return SourceAudio(worker.media_url(key), version.duration_ms / 1000, task, version.output_key)


async def poll(worker: WorkerContext, generation: Generation) -> Outcome:
    """Ask how the task stands."""
    provider, attempt, task = await _task(worker, generation)
    try:
        update = await provider.poll(task)
    except (ProviderAway, OSError) as fault:
        log.warning("provider.away", provider=provider.name, error=str(fault))
        return Wait(AWAY_SECONDS)
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
        return Again(Step.SUBMIT, failure) if failure.retryable else GiveUp(failure)
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
    provider, attempt, task = await _task(worker, generation)
    outputs = [_output(raw) for raw in (attempt.outputs or {}).get("outputs", ())]
    playable = [output for output in outputs if output.audio_url or generation.kind == GenerationKind.STEMS]
    if not playable:
        return GiveUp(Failure(FailureCode.BAD_OUTPUT, "The provider finished without any audio.", retryable=True))
    folder = worker.scratch / f"{generation.id}-{generation.fence}"
    try:
        takes = await _keep_all(worker, provider, playable, folder)
    except (OutputNotSaved, NotPlayable, NotAnImage) as fault:
        log.warning("output.refused", error=str(fault), kind=type(fault).__name__)
        return Again(
            Step.INGEST,
            Failure(FailureCode.BAD_OUTPUT, "The provider's audio could not be used.", retryable=True),
        )
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    await provider.discard(task)
    return Complete(takes)


async def _keep_all(
    worker: WorkerContext, provider: MusicProvider, outputs: list[Output], folder: Path
) -> tuple[Take, ...]:
    keep = []
    for output in outputs:
        place = folder / str(output.index)
        await asyncio.to_thread(partial(place.mkdir, parents=True, exist_ok=True))
        keep.append(keep_output(worker, provider.open_output, output, place))
    return tuple(await together(*keep))


def _output(raw: Mapping[str, Any]) -> Output:
    stems = tuple(StemOutput(StemKind(stem["kind"]), stem["url"]) for stem in raw["stems"])
    return Output(**{**raw, "stems": stems})


async def stop(worker: WorkerContext, generation_id: str) -> None:
    """Tell the provider that a canceled or overdue generation's task is not wanted any more. Best effort."""
    async with worker.db.read(SYSTEM) as session:
        attempt = await session.scalar(
            select(Attempt).where(Attempt.generation_id == UUID(generation_id)).order_by(Attempt.number.desc()).limit(1)
        )
    ended = attempt is not None and attempt.state in (AttemptState.CANCELED, AttemptState.FAILED)
    if attempt is None or attempt.task_id is None or not ended:
        return
    provider = worker.providers.get(attempt.provider)
    if provider is not None:
        task = Task(attempt.task_id, attempt.task_state or {})
        await provider.cancel(task)
        await provider.discard(task)


async def _task(worker: WorkerContext, generation: Generation) -> tuple[MusicProvider, Attempt, Task]:
    async with worker.db.read(SYSTEM) as session:
        attempt = await live_attempt(session, generation.id)
    if attempt is None or attempt.task_id is None:
        raise LeaseLost
    return worker.providers[attempt.provider], attempt, Task(attempt.task_id, attempt.task_state or {})
