"""Storing what the provider made: whole or not at all, and served only with its row."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import jobs.run
from core.clock import system_clock
from domain.generations import RETRIES
from providers.music import TaskPhase, TaskUpdate
from providers.preparing import deliverable, packed
from tests.invariants import check_all
from tests.scripted import sound
from tests.steps import begin, check
from tests.studio import Studio


def altered(studio: Studio, **changes: Any) -> list[str]:
    """Each poll tells of one output, of one file, that is not as it should be. The list grows with the polls."""
    polls: list[str] = []

    async def tell() -> None:
        task = studio.provider.task(studio.provider.accepted[-1])
        alone = replace(studio.provider.done(task).outputs[0], lossless_url=None, cover_url=None, stems=())
        news = TaskUpdate(TaskPhase.SUCCEEDED, "done", 1.0, outputs=(replace(alone, **changes),))
        studio.provider.updates.append(news)
        polls.append(task.id)

    studio.provider.before["poll"] = tell
    return polls


BAD = {
    "an error page": b"<!doctype html><title>Not found</title>",
    "empty": b"",
    "cut": sound(1)[:30_000],
    "noise": b"ID3" + bytes(600),
}


@pytest.mark.parametrize("what", BAD)
async def test_an_output_that_is_no_music_is_asked_for_again_and_then_refused(studio: Studio, what: str) -> None:
    studio.provider.bodies["scripted:bad"] = BAD[what]
    polls = altered(studio, audio_url="scripted:bad")
    case = await begin(studio)
    row = await case.finish()
    assert (row["status"], row["error_code"], row["attempts"]) == ("FAILED", "BAD_OUTPUT", 1)
    assert len(polls) == RETRIES + 1
    await check(studio)


async def test_an_output_whose_url_has_run_out_is_fetched_from_a_fresh_one(studio: Studio) -> None:
    altered(studio, audio_url="gone:")
    case = await begin(studio)
    await case.until("INGEST")
    studio.provider.before.clear()
    row = await case.finish()
    assert (row["status"], row["attempts"], row["retries_left"]) == ("COMPLETED", 1, RETRIES - 1)
    await check(studio)


async def test_a_task_that_ends_without_audio_is_a_failure(studio: Studio) -> None:
    altered(studio, audio_url=None)
    row = await (await begin(studio)).finish()
    assert (row["status"], row["error_code"]) == ("FAILED", "BAD_OUTPUT")
    await check(studio)


async def test_a_store_that_is_down_is_waited_for(studio: Studio) -> None:
    case = await begin(studio)
    await case.until("INGEST")
    media = Path(studio.worker.scratch.parent, "media")
    media.rename(media.with_name("elsewhere"))
    media.touch()
    for _ in range(5):
        await case.hurry()
        await case.run("ingest")
        row = await case.row()
        assert (row["step"], row["retries_left"], row["deadline_at"]) == ("INGEST", RETRIES, None)
        assert 5 < row["due_in"] <= 10
    media.unlink()
    media.with_name("elsewhere").rename(media)
    assert (await case.finish())["status"] == "COMPLETED"
    await check(studio)


async def test_a_disk_that_is_full_is_waited_for(studio: Studio) -> None:
    altered(studio)
    case = await begin(studio)
    await case.until("INGEST")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        await case.run("ingest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    row = await case.row()
    assert (row["step"], row["retries_left"]) == ("INGEST", RETRIES)
    assert not list(studio.worker.scratch.glob("ingesting/*"))
    assert (await case.finish())["status"] == "COMPLETED"
    await check_all(studio, accepted=[], variants=1, stems=0)


@pytest.mark.parametrize("encode", [deliverable, packed])
def test_a_disk_without_room_for_an_encoded_file_is_not_blamed_on_the_music(
    encode: Callable[[Path, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "audio"
    source.write_bytes(sound(1))
    encode(source, tmp_path / "encoded")
    assert (tmp_path / "encoded").stat().st_size > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(sound(1)) - 1))
    with pytest.raises(OSError, match="No space left"):
        encode(source, tmp_path / "again")


async def test_the_provider_may_forget_its_outputs_only_when_they_are_ours(studio: Studio) -> None:
    statuses = []

    async def look() -> None:
        statuses.append((await case.row())["status"])

    studio.provider.before["discard"] = look
    case = await begin(studio)
    await case.finish()
    assert statuses == ["COMPLETED"]
    assert studio.provider.discarded == [f"task-{studio.provider.accepted[0].reference}"]
    assert studio.provider.canceled == []


async def test_what_was_stored_before_a_kill_is_not_served_until_its_row_is_there(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await begin(studio)
    await case.until("INGEST")
    with monkeypatch.context() as patched, pytest.raises(SystemError):
        patched.setattr(jobs.run, "settle", _dies)
        await case.run("ingest")
    later = system_clock() + timedelta(minutes=1)
    stored = {found.key async for found in studio.worker.storage.list(later)}
    assert len(stored) > 2
    for key in stored:
        assert (await studio.http.get(studio.api.context.media_url(key))).status_code == 404
    await case.expire()
    assert (await case.finish())["status"] == "COMPLETED"
    assert {found.key async for found in studio.worker.storage.list(later)} == stored
    for key in stored:
        assert (await studio.http.get(studio.api.context.media_url(key))).status_code == 200
    await check(studio)


async def _dies(*_: object) -> bool:
    raise SystemError
