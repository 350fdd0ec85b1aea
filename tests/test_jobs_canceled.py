"""Steps of a generation that is canceled meanwhile: nothing more is made, and the provider is told."""

from __future__ import annotations

import asyncio

import pytest

import models.generations
from auth.viewer import SYSTEM
from domain.generations import RETRIES, FailureCode
from jobs import upkeep
from models.generations import cancel
from providers.music import Failure, ProviderAway, SubmitInDoubt, TaskPhase, TaskUpdate
from tests.scripted import running
from tests.steps import BUSY, Case, begin, check, in_the_middle, never
from tests.studio import Studio

CANCEL = "mutation ($id: ID!) { cancelGeneration(input: {generationId: $id}) { generation { status } } }"


async def cancel_it(case: Case) -> None:
    async with case.studio.api.context.db.begin(SYSTEM) as tx:
        assert await cancel(tx, (await case.row())["id"])
        await models.generations.follow(tx, await tx.get_one(models.generations.Generation, (await case.row())["id"]))


async def test_a_task_accepted_after_the_cancel_is_named_and_called_off(studio: Studio) -> None:
    case = await begin(studio)
    async with in_the_middle(case, "submit"):
        await cancel_it(case)
        await case.run("stop")
        assert studio.provider.canceled == []
    (attempt,) = await case.attempts()
    assert (attempt["state"], attempt["task_id"]) == ("CANCELED", f"task-{attempt['reference']}")
    assert studio.provider.canceled == studio.provider.discarded == [attempt["task_id"]]
    await check(studio)


async def test_a_task_whose_submitter_died_after_the_cancel_is_found_and_called_off(studio: Studio) -> None:
    case = await begin(studio)
    studio.provider.before["accepted"] = never
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(case.run("submit"), 0.5)
    studio.provider.before.clear()
    await cancel_it(case)
    await case.run("stop")
    (attempt,) = await case.attempts()
    assert (attempt["state"], attempt["task_id"]) == ("CANCELED", f"task-{attempt['reference']}")
    assert studio.provider.canceled == [attempt["task_id"]]
    await check(studio)


async def test_a_provider_that_is_away_is_told_later_and_not_for_ever(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("POLL")
    await cancel_it(case)

    async def away() -> None:
        raise ProviderAway("no route")

    studio.provider.before["cancel"] = away
    await case.run("stop")
    assert (await case.attempts())[0]["state"] == "SUBMITTED"
    del studio.provider.before["cancel"]
    await case.run("stop")
    assert (await case.attempts())[0]["state"] == "CANCELED"
    assert len(studio.provider.canceled) == 1
    other = await begin(studio)
    await other.until("POLL")
    await cancel_it(other)
    studio.provider.before["cancel"] = away
    await other.change("completed_at = completed_at - interval '11 minutes'")
    await other.run("stop")
    assert (await other.attempts())[0]["state"] == "CANCELED"


async def test_a_lost_call_of_a_canceled_generation_is_asked_after_for_half_a_minute(studio: Studio) -> None:
    studio.provider.submit_errors.append(SubmitInDoubt("no answer"))
    studio.provider.finds = False
    case = await begin(studio)
    await case.run("submit")
    await cancel_it(case)
    await case.run("stop")
    assert (await case.attempts())[0]["state"] == "IN_DOUBT"
    await case.change("completed_at = completed_at - interval '31 seconds'")
    await case.run("stop")
    assert (await case.attempts())[0]["state"] == "CANCELED"
    assert studio.provider.canceled == []


async def test_a_retry_calls_off_what_the_canceled_series_left_behind(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("POLL")
    await cancel_it(case)  # and the bell is lost
    async with studio.worker.db.begin(SYSTEM) as tx:
        assert await models.generations.start_again(tx, (await case.row())["id"], retries=RETRIES)
    assert (await case.finish())["status"] == "COMPLETED"
    first, second = await case.attempts()
    assert (first["state"], second["state"]) == ("CANCELED", "SUCCEEDED")
    assert studio.provider.canceled == [first["task_id"]]
    await check(studio)


async def test_a_cancel_whose_bell_is_lost_reaches_the_provider_by_the_upkeep(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("POLL")
    await studio.get(CANCEL, {"id": case.made["generation"]["id"]}, by=case.owner)
    await studio.worker.redis.flushdb()
    await case.change("completed_at = completed_at - interval '1 minute'")
    await upkeep.ring_for_missed(studio.worker)
    await studio.drain()
    assert len(studio.provider.canceled) == 1
    assert (await case.attempts())[0]["state"] == "CANCELED"


async def test_canceling_at_the_moment_of_each_outcome_never_collides(studio: Studio) -> None:
    outcomes: list[TaskUpdate | Exception] = [
        running(0.5),
        TaskUpdate(TaskPhase.FAILED, "busy", failure=BUSY),
        TaskUpdate(TaskPhase.FAILED, "no", failure=Failure(FailureCode.MODERATED, "No.")),
        ProviderAway("no route"),
    ]
    for outcome in outcomes * 3:
        case = await begin(studio)
        await case.until("POLL")
        studio.provider.updates.append(outcome)
        canceling = asyncio.create_task(_canceled(case))
        await asyncio.gather(case.run("poll"), canceling)
        row = await case.finish()
        assert row["status"] == ("CANCELED" if canceling.result() else "FAILED")
        studio.provider.updates.clear()
    await check(studio)


async def _canceled(case: Case) -> bool:
    async with case.studio.api.context.db.begin(SYSTEM) as tx:
        canceled = await cancel(tx, (await case.row())["id"])
        if canceled is not None:
            await models.generations.follow(tx, canceled)
        return canceled is not None
