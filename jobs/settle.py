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
    AttemptState,
    FailureCode,
    GenerationStatus,
    Step,
    backoff_seconds,
)
from jobs.complete import complete
from jobs.context import WorkerContext
from jobs.outcomes import Again, Complete, GiveUp, Outcome, Proceed, Wait
from models.generations import RELEASED, Attempt, Generation, follow, move, ring_for
from providers.music import Failure

_ENDED: dict[str, Any] = {"completed_at": func.now(), "queue_position": None}


class LeaseLost(Exception):
    """Somebody else owns the generation now; whatever this worker has done for it counts for nothing."""


async def settle(worker: WorkerContext, generation: Generation, outcome: Outcome) -> bool:
    """Write `outcome` down and ring for what comes next; False when it came too late to count."""
    try:
        async with worker.db.begin(SYSTEM) as tx:
            match outcome:
                case Proceed():
                    await _proceed(tx, generation, outcome)
                case Wait(after_seconds):
                    await _come_back(tx, generation, after_seconds)
                case Again(failure=failure) if generation.retries_left == 0:
                    await _give_up(tx, generation, failure)
                case Again():
                    await _again(worker, tx, generation, outcome)
                case GiveUp(failure):
                    await _give_up(tx, generation, failure)
                case Complete(takes):
                    await _moved(tx, generation, status=GenerationStatus.COMPLETED, step=None, progress=1.0, **_ENDED)
                    await _end_attempt(tx, generation, AttemptState.SUCCEEDED)
                    await complete(tx, generation, takes, worker.new_id)
    except LeaseLost:
        return False
    return True


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
        changes["deadline_at"] = func.now() + NEWS_DEADLINE
    moved = await _come_back(tx, generation, outcome.after_seconds, **changes)
    if outcome.attempt:
        await _change_attempt(tx, generation, **outcome.attempt)
    if (moved.progress, moved.queue_position) != (generation.progress, generation.queue_position):
        await follow(tx, moved)


async def _again(worker: WorkerContext, tx: Transaction, generation: Generation, outcome: Again) -> None:
    after = outcome.after_seconds
    if after is None:
        after = backoff_seconds(RETRIES - generation.retries_left + 1, worker.rng)
    if outcome.step is Step.SUBMIT:
        await _end_attempt(tx, generation, AttemptState.FAILED, outcome.failure)
    await _come_back(
        tx,
        generation,
        after,
        step=outcome.step,
        retries_left=generation.retries_left - 1,
        queue_position=None,
    )


async def _give_up(tx: Transaction, generation: Generation, failure: Failure) -> None:
    await _end_attempt(tx, generation, AttemptState.FAILED, failure)
    moved = await _moved(
        tx,
        generation,
        status=GenerationStatus.FAILED,
        step=None,
        error_code=failure.code,
        error_message=failure.message,
        error_retryable=failure.retryable,
        **_ENDED,
    )
    await follow(tx, moved)
    if failure.code is FailureCode.TIMEOUT:
        tx.enqueue("generations.stop", moved.id, key=f"{moved.id}:{moved.fence}:stop")


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
