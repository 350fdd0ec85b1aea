"""Running one step of one generation: claim it, work with no connection held, write down how it ended.

Twice is once (the claim is compare-and-set), late is never (the fence), and a killed worker's step is taken up again
when its lease runs out.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import structlog

from auth.viewer import SYSTEM
from core.db import DatabaseUnavailable
from domain.generations import CEILING, STRIKES, FailureCode, Step
from jobs.context import WorkerContext
from jobs.outcomes import Again, GiveUp, Outcome, Submitted, Wait
from jobs.requests import ProviderUnavailable
from jobs.settle import LeaseLost, settle
from jobs.stopping import take_back
from models.generations import LEASE, RELEASED, Generation, claim, move, renew
from providers.music import Failure, ProviderAway
from providers.storage import StorageUnavailable

log = structlog.get_logger()

Work = Callable[[WorkerContext, Generation], Awaitable[Outcome]]

# What is down or full is not asked more often than this; a provider's deadline goes on running.
AWAY_SECONDS = STORAGE_PAUSE_SECONDS = 10.0


async def run_step(worker: WorkerContext, step: Step, generation_id: str, work: Work) -> None:
    """Do `step` if it is this generation's turn. Raises `DatabaseUnavailable`; the upkeep rings again then."""
    claiming = asyncio.ensure_future(_claimed(worker, step, generation_id))
    try:
        generation = await asyncio.shield(claiming)
        if generation is not None:
            await _run_claimed(worker, step, generation, work)
    except asyncio.CancelledError:
        # Wherever the stop has met us, also while the claim was being committed: what is ours is let go.
        if (generation := await claiming) is not None:
            await asyncio.shield(_let_go(worker, generation))
        raise


async def _claimed(worker: WorkerContext, step: Step, generation_id: str) -> Generation | None:
    async with worker.db.begin(SYSTEM) as tx:
        return await claim(tx, UUID(generation_id), step)


async def _run_claimed(worker: WorkerContext, step: Step, generation: Generation, work: Work) -> None:
    with structlog.contextvars.bound_contextvars(
        generation=str(generation.id), step=step.value, attempt=generation.attempts
    ):
        outcome = _out_of_time(generation) or await _under_lease(worker, generation, work)
        kept = outcome is not None and await settle(worker, generation, outcome)
        if not kept and isinstance(outcome, Submitted):
            await take_back(worker, generation, outcome)
        log.info("step.finished", outcome=type(outcome).__name__ if kept else "dropped")


def _out_of_time(generation: Generation) -> Outcome | None:
    """Nothing goes on for ever, and what has killed its worker again and again does not get another one."""
    if generation.strikes > STRIKES:
        failure = Failure(FailureCode.INTERNAL, "This generation could not be processed.")
        return GiveUp(failure, ends_attempt=False)
    now = generation.updated_at  # of the claim, by the database's clock: the workers' clocks differ
    overdue = generation.deadline_at is not None and generation.deadline_at < now
    ancient = generation.started_at is not None and generation.started_at + CEILING < now
    if not overdue and not ancient:
        return None
    late = "The music could not be stored" if generation.step == Step.INGEST else "The provider did not finish"
    return GiveUp(Failure(FailureCode.TIMEOUT, f"{late} in time.", retryable=True), ends_attempt=False)


async def _under_lease(worker: WorkerContext, generation: Generation, work: Work) -> Outcome | None:
    """The step's outcome; None when the generation was taken from us meanwhile (canceled, or the lease ran out)."""
    step = Step(generation.step or "")
    task = asyncio.ensure_future(work(worker, generation))
    keeper = asyncio.create_task(_keep_lease(worker, generation, task))
    try:
        return await task
    except LeaseLost:
        return None
    except asyncio.CancelledError:
        if keeper.done() and keeper.exception() is None:
            return None
        raise
    except DatabaseUnavailable:
        raise
    except Exception as fault:
        return _after(step, fault)
    finally:
        keeper.cancel()


def _after(step: Step, fault: Exception) -> Outcome:
    """What a fault outside the step's own vocabulary means."""
    match fault:
        case ProviderUnavailable():
            return GiveUp(Failure(FailureCode.PROVIDER_UNAVAILABLE, str(fault)))
        case ProviderAway():
            log.warning("provider.away", error=str(fault))
            return Wait(AWAY_SECONDS)
        case StorageUnavailable() | OSError(errno=errno.ENOSPC | errno.EDQUOT):
            log.warning("storage.failed", error=str(fault))
            return Wait(STORAGE_PAUSE_SECONDS)
    log.error("step.failed", exc_info=fault)
    return Again(step, Failure(FailureCode.INTERNAL, "Processing failed on our side.", retryable=True))


async def _keep_lease(worker: WorkerContext, generation: Generation, task: asyncio.Future[Outcome]) -> None:
    """Renew while the step runs, and stop the step as soon as it counts for nothing; it ends only then.

    But a submit is let finish: its answer names the task that has to be called off.
    """
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        with suppress(DatabaseUnavailable):  # the next renewal may reach it in time; if not, the fence decides
            async with worker.db.begin(SYSTEM) as tx:
                kept = await renew(tx, generation.id, generation.fence)
            if not kept and generation.step != Step.SUBMIT:
                task.cancel()
                return


async def _let_go(worker: WorkerContext, generation: Generation) -> None:
    """The worker is stopping: let another take the step up at once instead of when the lease ends."""
    with suppress(DatabaseUnavailable):
        async with worker.db.begin(SYSTEM) as tx:
            await move(tx, generation.id, generation.fence, **RELEASED)
