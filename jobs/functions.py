"""The jobs as arq knows them: a name, an id, and when upkeep runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from arq import cron, func

from domain.generations import Step
from jobs import generations, stopping, upkeep
from jobs.run import run_step

STEP_SECONDS = 900  # the longest step: fetching and storing a vendor's largest outputs
UPKEEP_SECONDS = 2


async def submit(ctx: dict[Any, Any], id: str) -> None:
    await run_step(ctx["worker"], Step.SUBMIT, id, generations.submit)


async def poll(ctx: dict[Any, Any], id: str) -> None:
    await run_step(ctx["worker"], Step.POLL, id, generations.poll)


async def ingest(ctx: dict[Any, Any], id: str) -> None:
    await run_step(ctx["worker"], Step.INGEST, id, generations.ingest)


async def stop_task(ctx: dict[Any, Any], id: str) -> None:
    await stopping.stop(ctx["worker"], id)


async def ring_for_missed(ctx: dict[Any, Any]) -> None:
    await upkeep.ring_for_missed(ctx["worker"])


async def prune(ctx: dict[Any, Any]) -> None:
    await upkeep.prune(ctx["worker"])


async def sweep(ctx: dict[Any, Any]) -> None:
    await upkeep.sweep(ctx["worker"])


# arq counts every start as a try, deploys included. Our own counts stand in the rows, so arq's never decides.
job = partial(func, max_tries=1_000_000, keep_result=0)

FUNCTIONS = [
    job(submit, name="generations.submit"),
    job(poll, name="generations.poll"),
    job(ingest, name="generations.ingest", timeout=STEP_SECONDS),
    job(stop_task, name="generations.stop"),
]
CRON_JOBS = [
    cron(ring_for_missed, name="upkeep.ring", second=set(range(0, 60, UPKEEP_SECONDS)), keep_result=0),
    cron(prune, name="upkeep.prune", minute=17, keep_result=0),
    cron(sweep, name="upkeep.sweep", minute=43, timeout=STEP_SECONDS, keep_result=0),
]
