"""The steps of a generation: done twice, late, at the same moment, by a worker that lost its lease."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import jobs.run
import models.generations
from auth.viewer import SYSTEM
from domain.generations import STRIKES, Step
from tests.steps import CALLS, STEPS, begin, check, in_the_middle, never
from tests.studio import Studio


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_done_twice_is_done_once(studio: Studio, step: str) -> None:
    case = await begin(studio)
    await case.until(step.upper())
    await case.run(step)
    before = await case.everything()
    await case.run(step)
    assert await case.everything() == before
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_done_by_eight_at_once_is_done_once(studio: Studio, step: str) -> None:
    case = await begin(studio)
    await case.until(step.upper())
    calls: list[str] = []

    async def count() -> None:
        calls.append(step)

    studio.provider.before[CALLS[step]] = count
    events = len(await studio.sql("select id from events"))
    await asyncio.gather(*(case.run(step) for _ in range(8)))
    assert len(calls) == (7 if step == "ingest" else 1)  # two outputs of three files, and one cover
    assert len(await studio.sql("select id from events")) <= events + 2
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


async def test_jobs_of_steps_that_are_over_or_yet_to_come_change_nothing(studio: Studio) -> None:
    case = await begin(studio)
    for current in STEPS:
        await case.until(current.upper())
        before = await case.everything()
        for other in {*STEPS, "stop"} - {current}:
            await case.run(other)
        assert await case.everything() == before
    await case.finish()
    before = await case.everything()
    for step in (*STEPS, "stop"):
        await case.run(step)
    assert await case.everything() == before


async def test_a_job_that_comes_before_its_time_changes_nothing(studio: Studio) -> None:
    case = await begin(studio)
    await case.change("due_at = now() + interval '1 minute'")
    before = await case.everything()
    await case.run("submit")
    assert await case.everything() == before


async def test_a_job_for_a_generation_that_is_gone_does_nothing(studio: Studio) -> None:
    case = await begin(studio)
    await studio.sql("delete from tracks")
    for step in (*STEPS, "stop"):
        await case.run(step)


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_that_was_paused_past_its_lease_changes_nothing(studio: Studio, step: str) -> None:
    case = await begin(studio)
    await case.until(step.upper())
    of = "accepted" if step == "submit" else None
    async with in_the_middle(case, step, of=of) as go_on:
        await case.expire()
        await case.run(step)
        before = await case.everything()
        assert (await case.row())["step"] != step.upper()
        go_on.set()
    assert await case.everything() == before
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    assert studio.provider.canceled == []
    await check(studio)


async def test_a_paused_worker_changes_nothing_even_after_the_end(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("INGEST")
    async with in_the_middle(case, "ingest") as go_on:
        await case.expire()
        await case.finish()
        before = await case.everything()
        go_on.set()
    assert await case.everything() == before
    await check(studio)


async def test_a_submit_that_was_taken_for_lost_and_is_accepted_late_is_called_off(studio: Studio) -> None:
    case = await begin(studio)
    async with in_the_middle(case, "submit") as go_on:
        await case.expire()
        await case.until("POLL")
        assert len(studio.provider.accepted) == 1
        go_on.set()
    lost, second = await case.attempts()
    assert (lost["state"], lost["task_id"]) == ("FAILED", f"task-{lost['reference']}")
    assert studio.provider.canceled == [lost["task_id"]]
    assert second["state"] == "SUBMITTED"
    assert (await case.finish())["status"] == "COMPLETED"
    await check(studio)


async def test_a_long_step_keeps_its_lease(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    short = timedelta(seconds=1.5)
    monkeypatch.setattr(models.generations, "LEASE", short)
    monkeypatch.setattr(jobs.run, "LEASE", short)
    case = await begin(studio)
    await case.until("POLL")
    async with in_the_middle(case, "poll"):
        for _ in range(4):
            await asyncio.sleep(short.total_seconds() / 2)
            await case.run("poll")
    row = await case.row()
    assert (row["step"], row["strikes"], row["leased_until"]) == ("INGEST", 0, None)


@pytest.mark.parametrize("step", ["poll", "ingest"])
async def test_a_worker_that_lost_its_lease_stops(studio: Studio, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.run, "LEASE", timedelta(seconds=0.1))
    case = await begin(studio)
    await case.until(step.upper())
    async with asyncio.timeout(30), in_the_middle(case, step) as go_on:
        await case.change("fence = fence + 1")
        working = next(task for task in asyncio.all_tasks() if "Case.run" in repr(task))
        await working  # though nobody lets it go on
        assert not go_on.is_set()
    assert (await case.row())["step"] == step.upper()
    assert not list(studio.worker.scratch.glob("ingesting/*"))


async def test_a_renewal_that_comes_after_the_step_does_not_block_the_next(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("POLL")
    row = await case.row()
    async with studio.worker.db.begin(SYSTEM) as tx:
        assert not await models.generations.renew(tx, row["id"], row["fence"])
    assert (await case.row())["leased_until"] is None


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_that_is_stopped_lets_go_at_once_and_another_goes_on(studio: Studio, step: str) -> None:
    case = await begin(studio)
    await case.until(step.upper())
    arrived = asyncio.Semaphore(0)

    async def for_ever() -> None:
        arrived.release()
        await never()

    studio.provider.before[CALLS[step] if step != "submit" else "accepted"] = for_ever
    working = asyncio.create_task(case.run(step))
    for _ in range(7 if step == "ingest" else 1):  # two outputs of three files, and one cover
        await arrived.acquire()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    row = await case.row()
    assert (row["step"], row["leased_until"], row["strikes"]) == (step.upper(), None, 0)
    studio.provider.before.clear()
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


async def test_what_kills_its_worker_again_and_again_is_given_up(studio: Studio) -> None:
    case, other = await begin(studio), await begin(studio)
    await case.until("POLL")
    deaths = 0
    while (await case.row())["step"] is not None:
        async with studio.worker.db.begin(SYSTEM) as tx:
            claimed = await models.generations.claim(tx, (await case.row())["id"], Step.POLL)
        assert claimed is not None  # and then it dies
        deaths += 1
        await case.expire()
        if deaths == STRIKES:
            await case.run("poll")
    assert deaths == STRIKES
    row = await case.finish()
    assert (row["status"], row["error_code"]) == ("FAILED", "INTERNAL")
    assert row["error_message"] == "This generation could not be processed."
    assert studio.provider.canceled == [f"task-{studio.provider.accepted[0].reference}"]
    assert (await other.finish())["status"] == "COMPLETED"
    await check(studio)
