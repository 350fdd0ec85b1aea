"""Submits without an answer: cleared up before anything is sent, and paid for, again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.db import DatabaseUnavailable
from domain.generations import RETRIES
from providers.music import ProviderAway, SubmitFailed, SubmitInDoubt
from tests.steps import BUSY, begin, check, in_the_middle, never
from tests.studio import Studio


async def test_an_accepted_submit_without_an_answer_is_found_andnever_sent_again(studio: Studio) -> None:
    studio.provider.submit_errors.append(SubmitInDoubt())
    case = await begin(studio)
    await case.run("submit")
    assert [attempt["state"] for attempt in await case.attempts()] == ["IN_DOUBT"]
    row = await case.finish()
    assert (row["status"], row["attempts"], row["retries_left"]) == ("COMPLETED", 1, RETRIES)
    assert len(studio.provider.submitted) == len(studio.provider.found) == 1
    await check(studio)


async def test_a_lost_submit_is_sent_again_after_the_provider_was_asked_twice(studio: Studio) -> None:
    studio.provider.submit_errors.append(SubmitFailed(BUSY))
    case = await begin(studio)
    studio.provider.before["submit"] = never  # a worker dies before the request has left
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(case.run("submit"), 0.5)
    studio.provider.before.clear()
    studio.provider.submit_errors.clear()
    await case.run("submit")
    assert [attempt["state"] for attempt in await case.attempts()] == ["IN_DOUBT"]
    assert 4 < (await case.row())["due_in"] <= 5
    row = await case.finish()
    assert (row["status"], row["attempts"]) == ("COMPLETED", 2)
    first, second = await case.attempts()
    assert studio.provider.found == [first["reference"]] * 2
    assert [request.reference for request in studio.provider.submitted] == [second["reference"]]
    await check(studio)


@pytest.mark.parametrize("fault", [ProviderAway("no route"), OSError("reset"), RuntimeError("what is this?")])
async def test_a_provider_that_cannot_say_what_became_of_a_submit_is_not_sent_another(
    studio: Studio, fault: Exception
) -> None:
    async def fail() -> None:
        studio.provider.before.clear()
        raise fault

    studio.provider.submit_errors.append(SubmitInDoubt())
    studio.provider.before["find"] = fail
    case = await begin(studio)
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


@pytest.mark.parametrize("fault", [OSError("reset"), RuntimeError("what is this?"), ProviderAway("no route")])
async def test_a_submit_that_broke_in_an_unknown_way_is_not_sent_again(studio: Studio, fault: Exception) -> None:
    async def fail() -> None:
        studio.provider.before.clear()
        raise fault

    studio.provider.before["accepted"] = fail
    case = await begin(studio)
    row = await case.finish()
    assert (row["status"], row["attempts"]) == ("COMPLETED", 1)
    assert len(studio.provider.submitted) == 1
    await check(studio)


async def test_a_task_that_is_known_is_not_looked_for(studio: Studio) -> None:
    """Its name was noted late, by a worker whose lease had run out."""
    case = await begin(studio)
    async with in_the_middle(case, "submit") as go_on:
        await case.expire()
        await case.run("submit")
        go_on.set()
    (attempt,) = await case.attempts()
    assert (attempt["state"], attempt["task_id"]) == ("IN_DOUBT", f"task-{attempt['reference']}")
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.found) == 1
    assert studio.provider.canceled == []
    await check(studio)


async def test_a_database_that_is_away_when_the_task_is_to_be_noted_costs_nothing(studio: Studio) -> None:
    case = await begin(studio)

    async def stop_the_database() -> None:
        studio.provider.before.clear()
        await studio.worker.db.close()
        studio.worker.db.engine = broken

    whole = studio.worker.db.engine
    broken: Any = _Broken()
    studio.provider.before["accepted"] = stop_the_database
    with pytest.raises(DatabaseUnavailable):
        await case.run("submit")
    studio.worker.db.engine = whole
    await case.expire()
    assert (await case.finish())["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


class _Broken:
    """An engine without a server."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionRefusedError
