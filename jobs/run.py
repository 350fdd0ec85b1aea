"""Running one step of one generation: claim it, work with no connection held, write down how it ended.

Twice is once (the claim is compare-and-set), late is never (the fence), and a killed worker's step is taken up again
when its lease runs out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import structlog

from auth.viewer import SYSTEM
from core.db import DatabaseUnavailable
from domain.generations import CEILING, STRIKES, FailureCode, Step
from jobs.context import WorkerContext
from jobs.outcomes import Again, GiveUp, Outcome, Wait
from jobs.settle import LeaseLost, settle
from models.generations import LEASE, RELEASED, Generation, claim, move, renew
from providers.music import Failure
from providers.storage import StorageUnavailable

log = structlog.get_logger()

Work = Callable[[WorkerContext, Generation], Awaitable[Outcome]]

# A store that is down or full is not asked more often than this.
STORAGE_PAUSE_SECONDS = 10.0


async def run_step(worker: WorkerContext, step: Step, generation_id: str, work: Work) -> None:
    """Do `step` if it is this generation's turn. Raises `DatabaseUnavailable`; the upkeep rings again then."""
    async with worker.db.begin(SYSTEM) as tx:
        generation = await claim(tx, UUID(generation_id), step)
    if generation is None:
        return
    with structlog.contextvars.bound_contextvars(
        generation=generation_id, step=step.value, attempt=generation.attempts
    ):
        outcome = _out_of_time(worker, generation) or await _under_lease(worker, generation, work)
        kept = outcome is not None and await settle(worker, generation, outcome)
        log.info("step.finished", outcome=type(outcome).__name__ if kept else "dropped")


def _out_of_time(worker: WorkerContext, generation: Generation) -> Outcome | None:
    """Nothing goes on for ever, and what has killed its worker again and again does not get another one."""
    if generation.strikes > STRIKES:
        return GiveUp(Failure(FailureCode.INTERNAL, "This generation could not be processed."))
    now = worker.clock()
    overdue = generation.deadline_at is not None and generation.deadline_at < now
    ancient = generation.started_at is not None and generation.started_at + CEILING < now
    if overdue or ancient:
        return GiveUp(Failure(FailureCode.TIMEOUT, "The provider did not finish in time.", retryable=True))
    return None


async def _under_lease(worker: WorkerContext, generation: Generation, work: Work) -> Outcome | None:
    """The step's outcome; None when the generation was taken from us meanwhile (canceled, or the lease ran out)."""
    task = asyncio.ensure_future(work(worker, generation))
    keeper = asyncio.create_task(_keep_lease(worker, generation, task))
    try:
        return await task
    except LeaseLost:
        return None
    except asyncio.CancelledError:
        if keeper.done():
            return None
        await asyncio.shield(_let_go(worker, generation))
        raise
    except DatabaseUnavailable:
        raise
    except StorageUnavailable as fault:
        log.warning("storage.failed", error=str(fault))
        return Wait(STORAGE_PAUSE_SECONDS)
    except Exception:
        log.exception("step.failed")
        return Again(Step(generation.step or ""), Failure(FailureCode.INTERNAL, "Processing failed on our side."))
    finally:
        keeper.cancel()


async def _keep_lease(worker: WorkerContext, generation: Generation, task: asyncio.Future[Outcome]) -> None:
    """Renew while the step runs, and stop the step as soon as it counts for nothing."""
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        with suppress(DatabaseUnavailable):  # the next renewal may reach it in time; if not, the fence decides
            async with worker.db.begin(SYSTEM) as tx:
                if not await renew(tx, generation.id, generation.fence):
                    task.cancel()
                    return


async def _let_go(worker: WorkerContext, generation: Generation) -> None:
    """The worker is stopping: let another take the step up at once instead of when the lease ends."""
    with suppress(DatabaseUnavailable):
        async with worker.db.begin(SYSTEM) as tx:
            await move(tx, generation.id, generation.fence, **RELEASED)
