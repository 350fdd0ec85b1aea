"""Extensions, covers, remixes and separations: what starts from a version of a track."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from core.pool import WorkPool
from domain.generations import GenerationKind
from providers.synth import Synth
from tests.studio import TRACK, Person, Studio, open_studio

INPUTS = {
    "extendTrack": "ExtendTrackInput",
    "coverTrack": "CoverTrackInput",
    "remixTrack": "RemixTrackInput",
    "separateStems": "SeparateStemsInput",
}
LEAST: dict[str, dict[str, Any]] = {
    "extendTrack": {},
    "coverTrack": {"tags": ["jazz"]},
    "remixTrack": {"tags": ["jazz"]},
    "separateStems": {"mode": "SPLIT_STEM"},
}


async def derive(studio: Studio, by: Person, verb: str, **input: Any) -> dict[str, Any]:
    text = f"""mutation ($input: {INPUTS[verb]}!) {{ {verb}(input: $input) {{
      track {{ id status }} generation {{ id kind status }} errors {{ code message path }} }} }}"""
    payload: dict[str, Any] = await studio.get(text, {"input": LEAST[verb] | input}, by=by)
    return payload


@pytest.mark.parametrize(
    ("verb", "kind"), [("extendTrack", "EXTEND"), ("coverTrack", "COVER"), ("remixTrack", "REMIX")]
)
async def test_a_new_version_has_the_next_number_and_its_parent_and_the_primary_stays(
    studio: Studio, verb: str, kind: str
) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    first, second = track["versions"]["nodes"]
    asked = await derive(studio, owner, verb, trackId=track["id"], versionId=second["id"])
    assert (asked["errors"], asked["track"]["status"], asked["generation"]["kind"]) == ([], "COMPLETED", kind)
    await studio.drain()
    after = await studio.get(TRACK, {"id": track["id"]}, by=owner)
    made = [(v["number"], v["variant"], v["kind"]) for v in after["versions"]["nodes"]]
    assert made == [(1, 1, "ORIGINAL"), (1, 2, "ORIGINAL"), (2, 1, kind), (2, 2, kind)]
    assert after["primaryVersion"]["id"] == first["id"]
    parent = "query ($id: ID!) { node(id: $id) { ... on TrackVersion { parent { id } } } }"
    assert (await studio.get(parent, {"id": after["versions"]["nodes"][2]["id"]}, by=owner))["parent"] == {
        "id": second["id"]
    }


async def test_the_provider_is_told_what_to_start_from_and_what_shall_be_different(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner, prompt="the words", tags=["lo-fi"])
    await derive(studio, owner, "extendTrack", trackId=track["id"], continueAt=0.25, prompt="and on", lyrics="la")
    await derive(studio, owner, "remixTrack", trackId=track["id"], tags=["techno"], strength=0.4)
    await studio.drain()
    asked = {request.kind: request for request in studio.provider.submitted}
    original, extension, remix = (
        asked[kind] for kind in (GenerationKind.GENERATE, GenerationKind.EXTEND, GenerationKind.REMIX)
    )
    assert extension.source is not None
    assert extension.source.task is not None
    assert extension.source.task.id == f"task-{original.reference}"
    assert extension.source.output_key == f"task-{original.reference}-0"
    assert (extension.prompt, extension.lyrics, extension.tags) == ("and on", "la", ("lo-fi",))
    assert extension.continue_at_seconds == 0.25
    assert (remix.prompt, remix.tags, remix.strength) == ("the words", ("techno",), 0.4)


async def test_separated_stems_become_the_versions_and_no_version_is_added(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    await studio.sql("delete from stems")
    asked = await derive(studio, owner, "separateStems", trackId=track["id"])
    await studio.drain()
    after = await studio.get(TRACK, {"id": track["id"]}, by=owner)
    stems = [[stem["kind"] for stem in version["stems"]] for version in after["versions"]["nodes"]]
    assert stems == [["BASS", "DRUMS"], []]
    status = "query ($id: ID!) { generation(id: $id) { status versions { id } } }"
    assert await studio.get(status, {"id": asked["generation"]["id"]}, by=owner) == {
        "status": "COMPLETED",
        "versions": [],
    }


@pytest.mark.parametrize("verb", INPUTS)
async def test_the_same_key_is_answered_with_what_was_made_first(studio: Studio, verb: str) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    first, again = [await derive(studio, owner, verb, trackId=track["id"], idempotencyKey="once") for _ in range(2)]
    assert first["generation"]["id"] == again["generation"]["id"]
    other = await studio.completed_track(owner)
    clash = await derive(studio, owner, verb, trackId=other["id"], idempotencyKey="once")
    assert [error["code"] for error in clash["errors"]] == ["CONFLICT"]


@pytest.mark.parametrize("verb", INPUTS)
async def test_a_repeated_request_is_answered_alike_whatever_has_changed_meanwhile(studio: Studio, verb: str) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    first = await derive(studio, owner, verb, trackId=track["id"], idempotencyKey="once")
    await studio.sql("update tracks set primary_version_id = (select id from versions where variant = 2)")
    await studio.sql("update tracks set tags = '{changed}'")
    for change in ("select 1", "update tracks set deleted_at = now()"):
        await studio.sql(change)
        again = await derive(studio, owner, verb, trackId=track["id"], idempotencyKey="once")
        assert again["errors"] == []
        assert again["generation"]["id"] == first["generation"]["id"]


@pytest.mark.parametrize(
    ("verb", "input", "path"),
    [
        ("extendTrack", {"continueAt": 0}, "continueAt"),
        ("extendTrack", {"continueAt": 0.6}, "continueAt"),  # the scripted takes last half a second
        ("remixTrack", {"strength": 1.1}, "strength"),
        ("remixTrack", {"strength": -0.1}, "strength"),
        ("coverTrack", {"tags": ["x" * 51]}, "tags"),
        ("separateStems", {"mode": "SEPARATE_VOCAL"}, "mode"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_field(
    studio: Studio, verb: str, input: dict[str, Any], path: str
) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    refused = await derive(studio, owner, verb, trackId=track["id"], **input)
    assert refused["generation"] is None
    assert [(error["code"], error["path"][1]) for error in refused["errors"]] == [("INVALID_INPUT", path)]
    assert len(studio.provider.submitted) == 1


@pytest.mark.parametrize("verb", INPUTS)
async def test_a_stranger_derives_nothing_from_a_public_track(studio: Studio, verb: str) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    track = await studio.completed_track(owner)
    await studio.sql("update tracks set visibility = 'PUBLIC'")
    refused = await derive(studio, stranger, verb, trackId=track["id"])
    assert [error["code"] for error in refused["errors"]] == ["NOT_FOUND"]


async def test_a_track_without_a_version_and_the_version_of_another_track_are_refused(studio: Studio) -> None:
    owner = await studio.register("owner")
    pending = (await studio.generate(owner))["track"]
    early = await derive(studio, owner, "extendTrack", trackId=pending["id"])
    assert [error["code"] for error in early["errors"]] == ["INVALID_INPUT"]
    track, other = await studio.completed_track(owner), await studio.completed_track(owner)
    version = other["versions"]["nodes"][0]["id"]
    wrong = await derive(studio, owner, "coverTrack", trackId=track["id"], versionId=version)
    assert [(error["code"], error["path"]) for error in wrong["errors"]] == [("NOT_FOUND", ["input", "versionId"])]


async def test_the_synth_extends_covers_remixes_and_separates_what_it_made(
    database_url: str, redis_url: str, pool: WorkPool, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        synth = Synth(pool, tmp_path / "synth", 1)
        studio = await open_studio(
            stack, database_url, redis_url, pool=pool, folder=tmp_path, providers={"synth": synth}
        )
        owner = await studio.register("owner")
        track = await studio.completed_track(owner, prompt="techno, 120 bpm", durationSeconds=6)
        for verb in INPUTS:
            assert (await derive(studio, owner, verb, trackId=track["id"]))["errors"] == []
            await studio.drain()
        after = await studio.get(TRACK, {"id": track["id"]}, by=owner)
        durations = {v["kind"]: v["durationSeconds"] for v in after["versions"]["nodes"] if v["variant"] == 1}
        assert durations["ORIGINAL"] == 6
        assert durations["EXTEND"] == pytest.approx(36, abs=2)  # 30 seconds more, from the nearest bar on
        assert set(durations) == {"ORIGINAL", "EXTEND", "COVER", "REMIX"}
        assert {g["status"] for g in after["generations"]["nodes"]} == {"COMPLETED"}
