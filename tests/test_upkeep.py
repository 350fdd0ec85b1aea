"""Upkeep: calling for what was missed, and throwing away what has had its time — and nothing else."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from auth.viewer import SYSTEM
from core.clock import system_clock
from core.queue import QUEUE_NAME
from domain.media import content_key
from jobs import upkeep
from models.generations import cancel, follow
from tests.steps import begin, check
from tests.studio import TRACK, Studio

DELETE = "mutation ($id: ID!) { deleteTrack(input: {trackId: $id}) { errors { message } } }"
TABLES = ("tracks", "versions", "stems", "media_objects", "generations", "generation_attempts")


async def rung(studio: Studio) -> list[str]:
    """The jobs in the queue, by their keys without the generation."""
    keys = [key.decode() for key in await studio.worker.redis.zrange(QUEUE_NAME, 0, -1)]
    return [key.partition(":")[2] for key in keys]


async def look_around(studio: Studio) -> list[str]:
    await studio.worker.redis.flushdb()
    await upkeep.ring_for_missed(studio.worker)
    return await rung(studio)


# Ringing


@pytest.mark.parametrize(
    ("state", "missed"),
    [
        ("due_at = now() - interval '4 s'", True),
        ("due_at = now() - interval '1 s'", False),
        ("due_at = now() + interval '1 minute'", False),
        ("due_at = now() - interval '1 minute', leased_until = now() + interval '10 s'", False),
        ("due_at = now() - interval '1 minute', leased_until = now() - interval '1 s'", True),
    ],
)
async def test_what_is_due_and_in_nobodys_hands_is_rung_for(studio: Studio, state: str, missed: bool) -> None:
    case = await begin(studio)
    await case.change(state)
    assert len(await look_around(studio)) == int(missed)


async def test_what_has_ended_is_not_rung_for(studio: Studio) -> None:
    case = await begin(studio)
    await case.finish()
    await case.change("due_at = now() - interval '1 day', completed_at = now() - interval '1 day'")
    assert await look_around(studio) == []


async def test_looking_twice_rings_once_and_later_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await begin(studio)
    await case.change("due_at = now() - interval '1 minute'")
    await studio.worker.redis.flushdb()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    await upkeep.ring_for_missed(studio.worker)
    await upkeep.ring_for_missed(studio.worker)
    assert len(await rung(studio)) == 1
    monkeypatch.setattr(time, "time", lambda: now + upkeep.RING_AGAIN_SECONDS)
    await upkeep.ring_for_missed(studio.worker)
    assert len(await rung(studio)) == 2


async def test_a_provider_that_was_not_told_of_an_end_is_told(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("POLL")
    async with studio.worker.db.begin(SYSTEM) as tx:
        canceled = await cancel(tx, (await case.row())["id"])
        assert canceled
        await follow(tx, canceled)
    await case.change("completed_at = completed_at - interval '4 s'")
    await studio.sql("update events set created_at = created_at - interval '4 s'")
    await studio.worker.redis.flushdb()
    await upkeep.ring_for_missed(studio.worker)
    await studio.drain()
    assert [row["state"] for row in await case.attempts()] == ["CANCELED"]
    assert len(studio.provider.canceled) == 1
    assert await look_around(studio) == []
    await check(studio)


async def test_of_the_suspects_one_at_a_time_is_rung_for(studio: Studio) -> None:
    cases = [await begin(studio) for _ in range(4)]
    for strikes, case in zip((9, 3, 5, 0), cases, strict=True):
        await case.change(f"due_at = now() - interval '1 minute', strikes = {strikes}")
    await studio.worker.redis.flushdb()
    await upkeep.ring_for_missed(studio.worker)
    called = {key.decode().partition(":")[0] for key in await studio.worker.redis.zrange(QUEUE_NAME, 0, -1)}
    assert called == {cases[1].id, cases[3].id}
    await cases[1].change("leased_until = now() + interval '10 s'")
    assert len(await look_around(studio)) == 1


# Throwing away


async def test_events_that_nobody_can_resume_from_are_forgotten_and_younger_ones_kept(studio: Studio) -> None:
    await begin(studio)
    await begin(studio)
    first, second = [row["id"] for row in await studio.sql("select id from events order by id")]
    age = "update events set created_at = now() - interval '7 days' - interval '{}' where id = $1"
    await studio.sql(age.format("61 minutes"), first)
    await studio.sql(age.format("59 minutes"), second)
    await upkeep.prune(studio.worker)
    assert [row["id"] for row in await studio.sql("select id from events")] == [second]


async def test_dead_sessions_are_forgotten_and_living_ones_kept(studio: Studio) -> None:
    await studio.register()
    await studio.register()
    first, second = [row["id"] for row in await studio.sql("select id from sessions order by id")]
    await studio.sql("update sessions set expires_at = now() - interval '1 s' where id = $1", first)
    await upkeep.prune(studio.worker)
    assert [row["id"] for row in await studio.sql("select id from sessions")] == [second]


async def test_after_thirty_days_in_the_bin_a_track_is_gone_with_all_its_rows_and_files(studio: Studio) -> None:
    case = await begin(studio)
    await case.finish()
    kept = await begin(studio, by=case.owner)
    await kept.finish()
    id = {"id": case.made["track"]["id"]}
    await studio.get(DELETE, id, by=case.owner)
    await studio.sql("update tracks set deleted_at = now() - interval '29 days' where deleted_at is not null")
    await upkeep.prune(studio.worker)
    assert len(await studio.sql("select id from tracks")) == 2
    before = {table: len(await studio.sql(f"select id from {table}")) for table in TABLES}
    await studio.sql("update tracks set deleted_at = now() - interval '31 days' where deleted_at is not null")
    await upkeep.prune(studio.worker)
    assert {table: len(await studio.sql(f"select id from {table}")) * 2 for table in TABLES} == before
    await check_with_only(studio, kept.id)


async def check_with_only(studio: Studio, id: str) -> None:
    """The files of the track that is gone are gone as well, those of the other are whole."""
    assert [str(row["id"]) for row in await studio.sql("select id from generations")] == [id]
    references = {row["id"] for row in await studio.sql("select id::text from generation_attempts")}
    studio.provider.accepted = [one for one in studio.provider.accepted if one.reference in references]
    await check(studio)


async def test_a_file_of_two_tracks_outlives_one_of_them(studio: Studio) -> None:
    case = await begin(studio)
    other = await begin(studio, by=case.owner)
    studio.provider.same_sound = True
    await case.finish()
    await other.finish()
    shared = await studio.sql("select key from media_objects group by key having count(distinct track_id) = 2")
    assert shared
    await studio.get(DELETE, {"id": case.made["track"]["id"]}, by=case.owner)
    await studio.sql("update tracks set deleted_at = now() - interval '31 days' where deleted_at is not null")
    await upkeep.prune(studio.worker)
    await check_with_only(studio, other.id)
    track = await studio.get(TRACK, {"id": other.made["track"]["id"]}, by=other.owner)
    assert (await studio.http.get(track["audioUrl"])).status_code == 200


async def test_an_old_orphan_is_swept_and_what_is_fresh_or_has_a_row_is_kept(studio: Studio) -> None:
    case = await begin(studio)
    await case.finish()
    storage = studio.worker.storage
    rows = {row["key"] for row in await studio.sql("select key from media_objects")}
    source = studio.worker.scratch / "orphan"
    source.write_bytes(b"ID3 nobody's")
    old, fresh = (content_key(digit * 64, "audio/mpeg") for digit in "ab")
    for key in (old, fresh):
        await storage.put_file(source, key, "audio/mpeg")
    hours_ago = time.time() - 2 * 3600
    for path in (studio.worker.scratch.parent / "media").rglob("*.*"):
        if path.name != fresh:
            os.utime(path, (hours_ago, hours_ago))
    await upkeep.sweep(studio.worker)
    later = system_clock() + timedelta(minutes=1)
    assert {stored.key async for stored in storage.list(later)} == rows | {fresh}
    assert (await studio.http.get(studio.api.context.media_url(fresh))).status_code == 404


async def test_an_orphan_that_is_stored_again_during_the_sweep_is_kept(studio: Studio) -> None:
    """Its row is about to come."""
    storage = studio.worker.storage
    source = studio.worker.scratch / "orphan"
    source.write_bytes(b"ID3 nobody's")
    key = content_key("a" * 64, "audio/mpeg")
    await storage.put_file(source, key, "audio/mpeg")
    await upkeep._remove_orphans(studio.worker, [key])
    assert await storage.stat(key) is not None


async def test_what_a_killed_worker_left_in_the_scratch_space_is_cleared_after_an_hour(studio: Studio) -> None:
    old, fresh = (studio.worker.scratch / "ingesting" / name for name in ("old", "fresh"))
    other = studio.worker.scratch / "synth"
    for folder in (old, fresh, other):
        folder.mkdir(parents=True)
        (folder / "audio.part").touch()
    hours_ago = time.time() - 2 * 3600
    os.utime(old, (hours_ago, hours_ago))
    os.utime(other, (hours_ago, hours_ago))
    await upkeep.sweep(studio.worker)
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)


async def test_a_sweep_of_a_worker_that_has_done_nothing_yet_finds_nothing(studio: Studio) -> None:
    await upkeep.sweep(replace(studio.worker, clock=lambda: system_clock() + timedelta(days=1)))
