"""Writing down how a step ended: one transaction each, dropped whole when the fence is no longer ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import func, update

from auth.viewer import SYSTEM
from core.db import Transaction
from domain.generations import (
    NEWS_DEADLINE,
    RETRIES,
    SUBMITTED_PROGRESS,
    AttemptState,
    GenerationStatus,
    Step,
    backoff_seconds,
)
from jobs.complete import complete
from jobs.context import WorkerContext
from jobs.media import Take
from jobs.outcomes import Again, Complete, GiveUp, Outcome, Proceed, Submitted, Wait
from models.generations import RELEASED, Attempt, Generation, follow, move, ring_for, ring_to_stop
from providers.music import Failure, Task

_ENDED: dict[str, Any] = {"step": None, "completed_at": func.now(), "queue_position": None}


class LeaseLost(Exception):
    """Somebody else owns the generation now; whatever this worker has done for it counts for nothing."""


async def settle(worker: WorkerContext, generation: Generation, outcome: Outcome) -> bool:
    """Write `outcome` down and ring for what comes next; False when it came too late to count.

    The generation's row is always the first to be locked, as it is when a generation is canceled.
    """
    try:
        async with worker.db.begin(SYSTEM) as tx:
            match outcome:
                case Submitted(task=task):
                    await _proceed(tx, generation, _accepted(task))
                case Proceed():
                    await _proceed(tx, generation, outcome)
                case Wait(after_seconds):
                    await _come_back(tx, generation, after_seconds)
                case Again() if generation.retries_left == 0:
                    await _give_up(tx, generation, GiveUp(outcome.failure, outcome.ends_attempt))
                case Again():
                    await _again(worker, tx, generation, outcome)
                case GiveUp():
                    await _give_up(tx, generation, outcome)
                case Complete(takes):
                    await _complete(worker, tx, generation, takes)
    except LeaseLost:
        return False
    return True


def _accepted(task: Task) -> Proceed:
    found = {"state": AttemptState.SUBMITTED, "task_id": task.id, "task_state": dict(task.state)}
    return Proceed(Step.POLL, progress=SUBMITTED_PROGRESS, attempt={**found, "submitted_at": func.now()})


async def _moved(tx: Transaction, generation: Generation, **changes: Any) -> Generation:
    moved = await move(tx, generation.id, generation.fence, **RELEASED, **changes)
    if moved is None:
        raise LeaseLost
    return moved


async def _come_back(tx: Transaction, generation: Generation, after_seconds: float, **changes: Any) -> Generation:
    """The next step, due in `after_seconds`; database time, since the clocks of workers differ."""
    due = func.now() + timedelta(seconds=after_seconds)
    moved = await _moved(tx, generation, due_at=due, **changes)
    ring_for(tx, moved, after_seconds=after_seconds)
    return moved


async def _proceed(tx: Transaction, generation: Generation, outcome: Proceed) -> None:
    changes: dict[str, Any] = {"step": outcome.step, "queue_position": outcome.queue_position}
    if outcome.progress is not None:
        changes["progress"] = max(generation.progress, min(outcome.progress, 1.0))
    if outcome.news:
        changes["deadline_at"] = _deadline(outcome.step, outcome.after_seconds)
    moved = await _come_back(tx, generation, outcome.after_seconds, **changes)
    if outcome.attempt:
        await _change_attempt(tx, generation, **outcome.attempt)
    if (moved.progress, moved.queue_position) != (generation.progress, generation.queue_position):
        await follow(tx, moved)


def _deadline(step: Step, after_seconds: float) -> Any:
    """When the provider must have been heard of again. It has done its part once its outputs are being stored."""
    return None if step is Step.INGEST else func.now() + timedelta(seconds=after_seconds) + NEWS_DEADLINE


async def _again(worker: WorkerContext, tx: Transaction, generation: Generation, outcome: Again) -> None:
    after = outcome.after_seconds
    if after is None:
        after = backoff_seconds(RETRIES - generation.retries_left + 1, worker.rng)
    await _come_back(
        tx,
        generation,
        after,
        step=outcome.step,
        retries_left=generation.retries_left - 1,
        queue_position=None,
        deadline_at=_deadline(outcome.step, after),
    )
    if outcome.ends_attempt:
        await _end_attempt(tx, generation, AttemptState.FAILED, outcome.failure)


async def _give_up(tx: Transaction, generation: Generation, outcome: GiveUp) -> None:
    failure = outcome.failure
    moved = await _moved(
        tx,
        generation,
        status=GenerationStatus.FAILED,
        error_code=failure.code,
        error_message=failure.message,
        error_retryable=failure.retryable,
        **_ENDED,
    )
    if outcome.ends_attempt:
        await _end_attempt(tx, generation, AttemptState.FAILED, failure)
    else:  # it stays live until the provider was told
        await _change_attempt(tx, generation, error_code=failure.code, error_message=failure.message)
        ring_to_stop(tx, moved)
    await follow(tx, moved)


async def _complete(worker: WorkerContext, tx: Transaction, generation: Generation, takes: tuple[Take, ...]) -> None:
    moved = await _moved(tx, generation, status=GenerationStatus.COMPLETED, progress=1.0, **_ENDED)
    await _end_attempt(tx, generation, AttemptState.SUCCEEDED)
    await complete(tx, generation, takes, worker.new_id)
    ring_to_stop(tx, moved)  # only now may the provider forget its outputs


async def _end_attempt(
    tx: Transaction, generation: Generation, state: AttemptState, failure: Failure | None = None
) -> None:
    await _change_attempt(
        tx,
        generation,
        state=state,
        finished_at=func.now(),
        error_code=failure.code if failure else None,
        error_message=failure.message if failure else None,
    )


async def _change_attempt(tx: Transaction, generation: Generation, **changes: Any) -> None:
    await tx.execute(
        update(Attempt)
        .where(Attempt.generation_id == generation.id, Attempt.state.in_(AttemptState.live()))
        .values(**changes)
    )
