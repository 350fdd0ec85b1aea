"""Telling a provider that nobody waits for a task any more.

An attempt that is live although its generation has ended is one whose provider has not been told yet. So nothing is
lost with a bell: the upkeep finds these rows and rings again, until the provider was told or patience is over.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import case, func, select, update

from auth.viewer import SYSTEM
from domain.generations import AttemptState
from jobs.context import WorkerContext
from jobs.outcomes import Submitted
from jobs.requests import request_for, task_of
from models.generations import Attempt, Generation
from providers.music import SubmitFailed, Task

log = structlog.get_logger()

# A provider that is away, or does not know the task yet, is asked again for so long after the generation's end: longer
# than any submit can be under way (arq ends it after 120 s), and than a provider's usual restart.
PATIENCE = timedelta(minutes=10)
# A call whose answer is lost is over: the provider knows of it within seconds, or never will.
DOUBT_PATIENCE = timedelta(seconds=30)


async def stop(worker: WorkerContext, generation_id: str) -> None:
    """Settle a generation's end with its provider: discard what is stored by now, call off what nobody waits for."""
    patience = case((Attempt.state == AttemptState.IN_DOUBT, DOUBT_PATIENCE), else_=PATIENCE)
    newest = (
        select(Attempt, Generation, Generation.completed_at < func.now() - patience)
        .join(Generation, Generation.id == Attempt.generation_id)
        .where(Generation.id == UUID(generation_id), Generation.step.is_(None))
        .order_by(Attempt.number.desc())
        .limit(1)
    )
    async with worker.db.read(SYSTEM) as session:
        found = (await session.execute(newest)).one_or_none()
    if found is None:
        return
    attempt, generation, out_of_patience = found
    task = None
    try:
        if attempt.state == AttemptState.SUCCEEDED:
            await _discard(worker, attempt)
        elif attempt.state != AttemptState.FAILED:
            task = await call_off(worker, generation, attempt)
    except Exception as fault:  # whatever it is, the generation has ended, and this is tried again only for so long
        log.warning("task.not_stopped", provider=attempt.provider, error=repr(fault))
    if task is not None or out_of_patience:
        await end(worker, attempt, task)


async def call_off(worker: WorkerContext, generation: Generation, attempt: Attempt) -> Task | None:
    """Cancel and discard the attempt's task; None when there is none, as far as the provider knows by now.

    Raises what the provider does, `ProviderAway` for one.
    """
    provider = worker.providers.get(attempt.provider)
    if provider is None:
        return task_of(attempt)
    try:
        task = task_of(attempt) or await provider.find(await request_for(worker, generation, attempt))
    except SubmitFailed:
        return None
    if task is not None:
        await provider.cancel(task)
        await provider.discard(task)
    return task


async def end(worker: WorkerContext, attempt: Attempt, task: Task | None) -> None:
    """Close an attempt that was called off: FAILED when a reason stands on it, else CANCELED."""
    known = {"task_id": task.id, "task_state": dict(task.state)} if task else {}
    state = case((Attempt.error_code.is_not(None), AttemptState.FAILED), else_=AttemptState.CANCELED)
    async with worker.db.begin(SYSTEM) as tx:
        await tx.execute(
            update(Attempt)
            .where(Attempt.id == attempt.id, Attempt.state.in_(AttemptState.live()))
            .values(state=state, finished_at=func.now(), **known)
        )


async def take_back(worker: WorkerContext, generation: Generation, submitted: Submitted) -> None:
    """A task was accepted for a generation that is not ours any more: note its name, whoever owns the generation now,
    and call it off unless that owner goes on with it."""
    task = submitted.task
    async with worker.db.begin(SYSTEM) as tx:
        noted = (
            update(Attempt)
            .where(Attempt.id == submitted.attempt_id, Attempt.task_id.is_(None))
            .values(task_id=task.id, task_state=dict(task.state), submitted_at=func.now())
            .returning(Attempt)
        )
        attempt = (await tx.scalars(noted)).one_or_none()
        active = await tx.scalar(select(Generation.step).where(Generation.id == generation.id)) is not None
    if attempt is None or (active and attempt.state in AttemptState.live()):
        return
    try:
        await call_off(worker, generation, attempt)
        await end(worker, attempt, task)
    except Exception as fault:  # the upkeep rings for it again
        log.warning("task.not_stopped", provider=attempt.provider, error=repr(fault))


async def _discard(worker: WorkerContext, attempt: Attempt) -> None:
    provider, task = worker.providers.get(attempt.provider), task_of(attempt)
    if provider is not None and task is not None:
        await provider.discard(task)
