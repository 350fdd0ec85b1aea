"""What providers do wrong, how often it is tried again, and when it is enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.clock import system_clock
from domain.generations import BACKOFF_CAP, NEWS_DEADLINE, RETRIES, FailureCode
from providers.music import Failure, ProviderAway, SubmitFailed, TaskPhase, TaskUpdate
from tests.scripted import running
from tests.steps import BUSY, begin, check
from tests.studio import Studio

FINAL = [FailureCode.BAD_REQUEST, FailureCode.MODERATED, FailureCode.CREDITS_EXHAUSTED]


async def test_a_passing_failure_is_tried_again_three_times(studio: Studio) -> None:
    studio.provider.submit_errors.extend([SubmitFailed(BUSY)] * RETRIES)
    case = await begin(studio)
    for retry in range(1, RETRIES + 1):
        await case.run("submit")
        row = await case.row()
        assert (row["status"], row["step"], row["retries_left"]) == ("PROCESSING", "SUBMIT", RETRIES - retry)
        assert row["due_in"] <= 2**retry <= BACKOFF_CAP
        await case.hurry()
    assert (await case.finish())["status"] == "COMPLETED"
    assert [row["state"] for row in await case.attempts()] == ["FAILED"] * RETRIES + ["SUCCEEDED"]
    await check(studio)


async def test_a_failure_that_does_not_pass_ends_after_the_third_retry(studio: Studio) -> None:
    studio.provider.submit_errors.extend([SubmitFailed(BUSY)] * (RETRIES + 1))
    case = await begin(studio)
    row = await case.finish()
    assert (row["status"], row["attempts"], row["error_code"]) == ("FAILED", RETRIES + 1, "PROVIDER_FAILED")
    assert (row["error_message"], row["error_retryable"]) == (BUSY.message, True)
    await check(studio)


@pytest.mark.parametrize("where", ["submit", "poll"])
@pytest.mark.parametrize("code", FINAL)
async def test_a_final_failure_is_not_tried_again(studio: Studio, code: FailureCode, where: str) -> None:
    failure = Failure(code, "No.")
    if where == "submit":
        studio.provider.submit_errors.append(SubmitFailed(failure))
    else:
        studio.provider.updates.append(TaskUpdate(TaskPhase.FAILED, "no", failure=failure))
    case = await begin(studio)
    row = await case.finish()
    assert (row["status"], row["attempts"], row["error_code"]) == ("FAILED", 1, code)
    assert [attempt["error_code"] for attempt in await case.attempts()] == [code]
    assert studio.provider.canceled == []
    await check(studio)


@pytest.mark.parametrize("phase", [TaskPhase.FAILED, TaskPhase.CANCELED])
async def test_a_task_that_failed_at_the_provider_gets_a_new_attempt(studio: Studio, phase: TaskPhase) -> None:
    studio.provider.updates.append(TaskUpdate(phase, "busy", failure=BUSY))
    case = await begin(studio)
    await case.until("POLL")
    await case.change("deadline_at = now() + interval '10 s'")
    await case.run("poll")
    assert (row := await case.row())["deadline_at"] - row["due_at"] == NEWS_DEADLINE
    row = await case.finish()
    assert (row["status"], row["attempts"]) == ("COMPLETED", 2)
    await check(studio)


async def test_the_providers_own_pause_is_kept(studio: Studio) -> None:
    limited = Failure(FailureCode.RATE_LIMITED, "Slowly.", retryable=True)
    studio.provider.submit_errors.append(SubmitFailed(limited, retry_after_seconds=120))
    case = await begin(studio)
    await case.run("submit")
    assert 110 < (await case.row())["due_in"] <= 120
    assert (await case.finish())["status"] == "COMPLETED"


async def test_a_pause_beyond_all_patience_is_a_failure_now(studio: Studio) -> None:
    limited = Failure(FailureCode.RATE_LIMITED, "Come back tomorrow.", retryable=True)
    studio.provider.submit_errors.append(SubmitFailed(limited, retry_after_seconds=86_400))
    row = await (await begin(studio)).finish()
    assert (row["status"], row["attempts"], row["error_code"]) == ("FAILED", 1, "RATE_LIMITED")
    await check(studio)


async def test_a_provider_that_is_away_costs_time_and_nothing_else(studio: Studio) -> None:
    studio.provider.updates.extend([ProviderAway("no route"), ConnectionResetError(), ProviderAway("no route")] * 3)
    case = await begin(studio)
    row = await case.finish()
    assert (row["status"], row["attempts"], row["retries_left"]) == ("COMPLETED", 1, RETRIES)
    await check(studio)


@pytest.mark.parametrize(
    ("step", "past", "message"),
    [
        ("poll", "deadline_at = now() - interval '1 s'", "The provider did not finish in time."),
        ("poll", "started_at = now() - interval '3 hours 1 s'", "The provider did not finish in time."),
        ("ingest", "started_at = now() - interval '3 hours 1 s'", "The music could not be stored in time."),
    ],
)
async def test_what_takes_too_long_fails_and_the_provider_is_told_to_stop(
    studio: Studio, step: str, past: str, message: str
) -> None:
    case = await begin(studio)
    await case.until(step.upper())
    await case.change(past)
    row = await case.finish()
    assert (row["status"], row["error_code"], row["error_message"]) == ("FAILED", "TIMEOUT", message)
    assert row["error_retryable"]
    (attempt,) = await case.attempts()
    assert (attempt["state"], attempt["error_code"]) == ("FAILED", "TIMEOUT")
    assert studio.provider.canceled == [attempt["task_id"]]
    await check(studio)


async def test_news_moves_the_deadline_and_silence_does_not(studio: Studio) -> None:
    studio.provider.updates.extend([running(0.2), running(0.2), running(0.3)])
    case = await begin(studio)
    await case.until("POLL")
    deadlines = []
    for _ in range(3):
        await case.hurry()
        await case.run("poll")
        deadlines.append((await case.row())["deadline_at"])
    assert deadlines[0] == deadlines[1] < deadlines[2]


async def test_a_worker_whose_clock_is_an_hour_off_does_as_well(studio: Studio) -> None:
    def wrong() -> datetime:
        return system_clock() + timedelta(hours=1)

    studio.provider.updates.append(running())
    case = await begin(studio)
    astray = replace(studio.worker, clock=wrong)
    for step in ("submit", "poll", "poll", "ingest"):
        await case.hurry()
        await case.run(step, worker=astray)
    assert (await case.row())["status"] == "COMPLETED"
    await check(studio)
