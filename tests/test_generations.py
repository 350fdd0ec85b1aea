"""Generations: asking, asking again, calling off, trying again, and what one can see of it on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.bells import make_ring
from core.queue import connect_redis
from domain.generations import FailureCode
from jobs import upkeep
from providers.music import Failure, SubmitFailed, TaskPhase, TaskUpdate
from tests.invariants import check_all
from tests.scripted import running
from tests.studio import ANONYMOUS, TRACK, Person, Studio

ANSWER = """
    track { id status }
    generation { id status progress attempts error { code message retryable } }
    errors { __typename code message path ... on Conflict { current { __typename id } } }"""
CANCEL = f"mutation ($id: ID!) {{ cancelGeneration(input: {{generationId: $id}}) {{ {ANSWER} }} }}"
RETRY = f"mutation ($id: ID!) {{ retryGeneration(input: {{generationId: $id}}) {{ {ANSWER} }} }}"
GENERATION = """
query ($id: ID!) {
  generation(id: $id) {
    id status progress attempts queuePosition startedAt completedAt
    error { code message retryable } versions { id } track { id status }
  }
}"""
NOBODY_LISTENS = "redis://127.0.0.1:1/0"

REFUSED = Failure(FailureCode.MODERATED, "The prompt was refused.")


async def look(studio: Studio, by: Person, made: dict[str, Any]) -> dict[str, Any]:
    generation: dict[str, Any] = await studio.get(GENERATION, {"id": made["generation"]["id"]}, by=by)
    return generation


async def check(studio: Studio) -> None:
    await check_all(studio, accepted=[request.reference for request in studio.provider.accepted])


# Asking


async def test_asking_makes_one_track_and_one_generation_that_waits(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner, seed=7)
    assert made["errors"] == []
    assert made["track"]["status"] == made["generation"]["status"] == "PENDING"
    assert (made["generation"]["progress"], made["generation"]["attempts"]) == (0, 0)
    assert made["generation"]["seed"] == 7
    generation = await look(studio, owner, made)
    assert generation["startedAt"] is generation["completedAt"] is generation["error"] is None
    assert generation["versions"] == []


async def test_a_generation_that_was_asked_for_is_completed_with_its_versions(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    await studio.drain()
    generation = await look(studio, owner, made)
    assert (generation["status"], generation["progress"], generation["attempts"]) == ("COMPLETED", 1, 1)
    assert generation["startedAt"] <= generation["completedAt"]
    assert len(generation["versions"]) == 2
    await check(studio)


async def test_a_stranger_sees_no_generation_and_cannot_touch_it(studio: Studio) -> None:
    owner, stranger = await studio.register(), await studio.register("stranger")
    made = await studio.generate(owner)
    id = {"id": made["generation"]["id"]}
    assert await studio.get(GENERATION, id, by=stranger) is None
    assert await studio.get(GENERATION, id, by=ANONYMOUS) is None
    for mutation in (CANCEL, RETRY):
        (error,) = (await studio.get(mutation, id, by=stranger))["errors"]
        assert error["__typename"] == "NotFound"
        assert (await studio.ask(mutation, id))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await look(studio, owner, made))["status"] == "PENDING"


# The same key


async def test_the_same_key_and_request_answer_the_same_however_far_it_has_come(studio: Studio) -> None:
    owner = await studio.register()
    first = await studio.generate(owner, idempotencyKey="one")
    assert await studio.generate(owner, idempotencyKey="one") == first
    await studio.drain()
    later = await studio.generate(owner, idempotencyKey="one")
    assert later["track"]["id"] == first["track"]["id"]
    assert later["generation"]["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


async def test_twenty_at_once_with_one_key_make_one_generation(studio: Studio) -> None:
    owner = await studio.register()
    answers = await asyncio.gather(*(studio.generate(owner, idempotencyKey="one") for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    await studio.drain()
    assert await studio.sql("select (select count(*) from tracks) t, (select count(*) from generations) g") == [(1, 1)]
    assert len(studio.provider.submitted) == 1
    await check(studio)


@pytest.mark.parametrize("other", [{"prompt": "a loud song"}, {"seed": 1}, {"tags": ["jazz"]}, {"durationSeconds": 6}])
async def test_the_same_key_with_another_request_is_a_conflict_that_shows_the_first(
    studio: Studio, other: dict[str, Any]
) -> None:
    owner = await studio.register()
    first = await studio.generate(owner, idempotencyKey="one")
    second = await studio.generate(owner, idempotencyKey="one", **other)
    (error,) = second["errors"]
    assert (error["__typename"], error["path"]) == ("Conflict", ["input", "idempotencyKey"])
    assert error["current"] == {"__typename": "Generation", "id": first["generation"]["id"]}
    assert second["track"] is second["generation"] is None
    assert [tuple(row) for row in await studio.sql("select count(*) from tracks")] == [(1,)]


async def test_twenty_different_requests_at_once_with_one_key_make_one_generation(studio: Studio) -> None:
    owner = await studio.register()
    asked = [studio.generate(owner, idempotencyKey="one", seed=number) for number in range(20)]
    answers = await asyncio.gather(*asked)
    assert sum(answer["errors"] == [] for answer in answers) == 1
    assert {e["__typename"] for answer in answers for e in answer["errors"]} == {"Conflict"}
    assert [tuple(row) for row in await studio.sql("select count(*) from tracks")] == [(1,)]


async def test_a_stranger_may_use_the_same_key(studio: Studio) -> None:
    owner, stranger = await studio.register(), await studio.register("stranger")
    first = await studio.generate(owner, idempotencyKey="one")
    second = await studio.generate(stranger, idempotencyKey="one", prompt="another song")
    assert second["errors"] == []
    assert second["track"]["id"] != first["track"]["id"]


async def test_without_a_key_each_request_is_a_new_one(studio: Studio) -> None:
    owner = await studio.register()
    first, second = await studio.generate(owner), await studio.generate(owner)
    assert first["track"]["id"] != second["track"]["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_a_key_that_is_no_key_is_refused(studio: Studio, key: str) -> None:
    (error,) = (await studio.generate(await studio.register(), idempotencyKey=key))["errors"]
    assert (error["__typename"], error["path"]) == ("InvalidInput", ["input", "idempotencyKey"])


async def test_an_admin_reads_the_generation_of_a_stranger_and_changes_nothing(studio: Studio) -> None:
    owner, admin = await studio.register("owner"), await studio.register("stranger")
    made = await studio.generate(owner)
    await studio.sql("insert into user_roles select id, 'ADMIN' from users where email = $1", admin.email)
    studio.api.context.sessions._known.clear()
    id = {"id": made["generation"]["id"]}
    assert await studio.get("query ($id: ID!) { generation(id: $id) { id } }", id, by=admin) == id
    for mutation in (CANCEL, RETRY):
        assert [error["code"] for error in (await studio.get(mutation, id, by=admin))["errors"]] == ["NOT_FOUND"]


# Lost bells


def lose_the_bells(studio: Studio) -> None:
    """As if the API had died, or Redis were gone, between each commit and its bells."""
    redis = connect_redis(NOBODY_LISTENS)
    studio.stack.push_async_callback(redis.aclose)

    async def publish(topic: str, position: str) -> None:
        await redis.publish(topic, position)

    studio.api.context.db._ring = make_ring(redis, publish)


async def pass_time(studio: Studio) -> None:
    """What is due has been due for long enough to be missed."""
    await studio.sql("update generations set due_at = due_at - interval '1 minute' where step is not null")


async def test_with_redis_gone_a_request_is_answered_and_done_as_soon_as_somebody_looks(studio: Studio) -> None:
    owner = await studio.register()
    lose_the_bells(studio)
    made = await studio.generate(owner, idempotencyKey="one")
    assert made["errors"] == []
    await studio.drain()
    assert (await look(studio, owner, made))["status"] == "PENDING"
    assert (await studio.generate(owner, idempotencyKey="one"))["generation"]["id"] == made["generation"]["id"]
    await pass_time(studio)
    await upkeep.ring_for_missed(studio.worker)
    await studio.drain()
    assert (await look(studio, owner, made))["status"] == "COMPLETED"
    await check(studio)


async def test_after_a_flush_of_redis_at_every_step_the_work_is_found_again(studio: Studio) -> None:
    owner = await studio.register()
    studio.provider.updates.extend([running(0.3), running(0.6)])

    async def flush() -> None:
        await studio.worker.redis.flushdb()

    studio.provider.before |= dict.fromkeys(("submit", "poll", "fetch"), flush)
    made = await studio.generate(owner)
    for _ in range(10):
        await studio.drain()
        await pass_time(studio)
        await upkeep.ring_for_missed(studio.worker)
    assert (await studio.get(TRACK, {"id": made["track"]["id"]}, by=owner))["status"] == "COMPLETED"
    assert len(studio.provider.submitted) == 1
    await check(studio)


# Progress


async def test_progress_rises_and_never_falls_and_the_queue_position_follows(studio: Studio) -> None:
    owner = await studio.register()
    seen: list[tuple[float, int | None]] = []

    async def watch() -> None:
        generation = await look(studio, owner, made)
        seen.append((generation["progress"], generation["queuePosition"]))

    studio.provider.updates.extend(
        [running(0.0, queue_position=3), running(0.5, queue_position=0), running(0.2), running(0.9)]
    )
    studio.provider.before = {"poll": watch, "fetch": watch}
    made = await studio.generate(owner)
    await studio.drain()
    assert [progress for progress, _ in seen] == sorted(progress for progress, _ in seen)
    assert [position for _, position in seen[:5]] == [None, 3, 0, None, None]
    assert 0 < seen[0][0] < seen[2][0] < seen[4][0] < 1
    assert (await look(studio, owner, made))["progress"] == 1


# Calling off


async def test_a_canceled_generation_that_nobody_began_is_never_sent(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    canceled = await studio.get(CANCEL, {"id": made["generation"]["id"]}, by=owner)
    assert (canceled["errors"], canceled["generation"]["status"]) == ([], "CANCELED")
    assert canceled["track"]["status"] == "CANCELED"
    await studio.drain()
    assert studio.provider.submitted == []
    await check(studio)


async def test_canceling_twice_is_canceling_once(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    id = {"id": made["generation"]["id"]}
    first = await studio.get(CANCEL, id, by=owner)
    assert await studio.get(CANCEL, id, by=owner) == first
    events = await studio.sql("select kind from events order by id")
    assert [row["kind"] for row in events] == ["CREATED", "UPDATED"]


async def test_twenty_cancels_at_once_are_one(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    answers = await asyncio.gather(*(studio.get(CANCEL, {"id": made["generation"]["id"]}, by=owner) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert len(await studio.sql("select id from events")) == 2


async def test_what_is_completed_cannot_be_canceled_or_retried(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    await studio.drain()
    for mutation in (CANCEL, RETRY):
        answer = await studio.get(mutation, {"id": made["generation"]["id"]}, by=owner)
        (error,) = answer["errors"]
        assert (error["__typename"], error["path"]) == ("Conflict", ["input", "generationId"])
        assert error["current"] == {"__typename": "Generation", "id": made["generation"]["id"]}
    assert (await look(studio, owner, made))["status"] == "COMPLETED"


@pytest.mark.parametrize("call", ["submit", "poll", "fetch"])
async def test_canceled_in_the_middle_of_a_step_it_ends_canceled_and_the_provider_is_told(
    studio: Studio, call: str
) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)

    async def cancel() -> None:
        studio.provider.before.pop(call, None)
        answer = await studio.get(CANCEL, {"id": made["generation"]["id"]}, by=owner)
        assert answer["errors"] == []

    studio.provider.before[call] = cancel
    await studio.drain()
    generation = await look(studio, owner, made)
    assert (generation["status"], generation["versions"]) == ("CANCELED", [])
    (attempt,) = await studio.sql("select id::text, state, task_id from generation_attempts")
    assert (attempt["state"], attempt["task_id"]) == ("CANCELED", f"task-{attempt['id']}")
    assert set(studio.provider.canceled) == {attempt["task_id"]}
    (last,) = await studio.sql("select created_at from events order by id desc limit 1")
    (ended,) = await studio.sql("select completed_at from generations")
    assert last["created_at"] == ended["completed_at"]
    await check(studio)


async def test_after_a_cancel_nothing_more_is_heard_of_the_old_work(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    await studio.get(CANCEL, {"id": made["generation"]["id"]}, by=owner)
    before = await studio.sql("select id from events")
    await pass_time(studio)
    await upkeep.ring_for_missed(studio.worker)
    await studio.drain()
    assert await studio.sql("select id from events") == before


# Trying again


async def test_a_failed_generation_tried_again_is_completed_once_and_counts_its_attempts_on(studio: Studio) -> None:
    owner = await studio.register()
    studio.provider.submit_errors.append(SubmitFailed(REFUSED))
    made = await studio.generate(owner)
    await studio.drain()
    failed = await look(studio, owner, made)
    assert (failed["status"], failed["attempts"], failed["progress"]) == ("FAILED", 1, 0)
    assert failed["error"] == {"code": "MODERATED", "message": "The prompt was refused.", "retryable": False}
    assert failed["track"]["status"] == "FAILED"
    again = await studio.get(RETRY, {"id": made["generation"]["id"]}, by=owner)
    assert (again["generation"]["status"], again["generation"]["error"]) == ("PENDING", None)
    assert again["track"]["status"] == "PENDING"
    await studio.drain()
    done = await look(studio, owner, made)
    assert (done["status"], done["attempts"], len(done["versions"])) == ("COMPLETED", 2, 2)
    await check(studio)


async def test_a_canceled_generation_tried_again_is_completed_by_a_new_task(studio: Studio) -> None:
    owner = await studio.register()
    made = await studio.generate(owner)
    id = {"id": made["generation"]["id"]}

    async def cancel() -> None:
        studio.provider.before.clear()
        await studio.get(CANCEL, id, by=owner)

    studio.provider.before["poll"] = cancel
    await studio.drain()
    await studio.get(RETRY, id, by=owner)
    await studio.drain()
    done = await look(studio, owner, made)
    assert (done["status"], done["attempts"]) == ("COMPLETED", 2)
    attempts = await studio.sql("select state, task_id from generation_attempts order by number")
    assert [row["state"] for row in attempts] == ["CANCELED", "SUCCEEDED"]
    assert studio.provider.canceled == [attempts[0]["task_id"]]
    await check(studio)


async def test_twenty_retries_at_once_start_one_series(studio: Studio) -> None:
    owner = await studio.register()
    studio.provider.submit_errors.append(SubmitFailed(REFUSED))
    made = await studio.generate(owner)
    await studio.drain()
    answers = await asyncio.gather(*(studio.get(RETRY, {"id": made["generation"]["id"]}, by=owner) for _ in range(20)))
    assert sum(answer["errors"] == [] for answer in answers) == 1
    await studio.drain()
    assert (await look(studio, owner, made))["attempts"] == 2
    await check(studio)


async def test_a_retry_long_after_the_first_start_has_all_its_time(studio: Studio) -> None:
    owner = await studio.register()
    studio.provider.submit_errors.append(SubmitFailed(REFUSED))
    made = await studio.generate(owner)
    await studio.drain()
    await studio.sql("update generations set started_at = started_at - interval '1 day'")
    await studio.get(RETRY, {"id": made["generation"]["id"]}, by=owner)
    await studio.drain()
    assert (await look(studio, owner, made))["status"] == "COMPLETED"


async def test_a_provider_that_cannot_be_used_any_more_is_named(studio: Studio) -> None:
    owner = await studio.register()
    studio.provider.unavailable = "its key was taken away."
    made = await studio.generate(owner)
    await studio.drain()
    failed = await look(studio, owner, made)
    assert failed["error"]["code"] == "PROVIDER_UNAVAILABLE"
    assert failed["error"]["message"] == "synth cannot be used: its key was taken away."
    studio.provider.unavailable = None
    again = await studio.generate(owner)
    without = replace(studio, worker=replace(studio.worker, providers={}))
    await without.drain()
    assert (await look(studio, owner, again))["error"]["code"] == "PROVIDER_UNAVAILABLE"
    await check(studio)


async def test_a_failure_of_the_provider_reaches_the_person_in_its_words(studio: Studio) -> None:
    owner = await studio.register()
    failure = Failure(FailureCode.CREDITS_EXHAUSTED, "The studio's credits are used up.")
    studio.provider.updates.append(TaskUpdate(TaskPhase.FAILED, "no money", failure=failure))
    made = await studio.generate(owner)
    await studio.drain()
    failed = await look(studio, owner, made)
    assert failed["error"] == {"code": "CREDITS_EXHAUSTED", "message": failure.message, "retryable": False}
    await check(studio)
