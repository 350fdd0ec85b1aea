"""Tracks: the library, changing, deleting, and who sees what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from providers.music import ProviderAway
from tests.live import add_tracks, moment, uuid_of
from tests.scripted import running
from tests.studio import ANONYMOUS, TRACK, Person, Studio

LIST = """
query ($filter: TrackFilter, $orderBy: TrackOrder) {
  tracks(filter: $filter, orderBy: $orderBy) { totalCount nodes { id title status visibility deletedAt } }
}
"""
SHOWN = "track { id title tags visibility revision status audioUrl updatedAt deletedAt primaryVersion { id } }"
ERRORS = "errors { __typename code message path ... on Conflict { current { id ... on Track { title revision } } } }"
NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"


def mutation(name: str) -> str:
    kind = name[0].upper() + name[1:]
    return f"mutation ($input: {kind}Input!) {{ {name}(input: $input) {{ {SHOWN} {ERRORS} }} }}"


async def change(studio: Studio, by: Person, name: str = "updateTrack", **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = await studio.get(mutation(name), {"input": input}, by=by)
    return payload


async def changed(studio: Studio, by: Person, name: str = "updateTrack", **input: Any) -> dict[str, Any]:
    """The track after a change that went well."""
    payload = await change(studio, by, name, **input)
    assert payload["errors"] == []
    track: dict[str, Any] = payload["track"]
    return track


async def refused(studio: Studio, by: Person, name: str = "updateTrack", **input: Any) -> tuple[str, list[str] | None]:
    """The code and the path of the only error; nothing is shown beside it."""
    payload = await change(studio, by, name, **input)
    assert payload["track"] is None
    (error,) = payload["errors"]
    return error["code"], error["path"]


async def listed(studio: Studio, by: Person, order: str = "NEWEST", **filter: Any) -> list[str]:
    found = await studio.get(LIST, {"filter": filter, "orderBy": order}, by=by)
    assert found["totalCount"] == len(found["nodes"])
    return [node["id"] for node in found["nodes"]]


# --- the library


async def test_a_completed_track_has_two_versions_that_play(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    assert [(v["number"], v["variant"]) for v in track["versions"]["nodes"]] == [(1, 1), (1, 2)]
    answer = await studio.http.get(track["audioUrl"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"


async def test_the_library_is_the_viewers_own_newest_first_or_oldest_first(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    made = await add_tracks(studio, owner, [moment(second) for second in (3, 1, 2)])
    theirs = await add_tracks(studio, stranger, [moment(5)], visibility="PUBLIC")
    oldest_first = [made[1], made[2], made[0]]
    assert await listed(studio, owner) == oldest_first[::-1]
    assert await listed(studio, owner, "OLDEST") == oldest_first
    assert await listed(studio, owner, scope="MINE") == oldest_first[::-1]
    assert await listed(studio, stranger) == theirs


async def test_the_status_filter_shows_those_alone(studio: Studio) -> None:
    owner = await studio.register("owner")
    (failed,) = await add_tracks(studio, owner, [moment()], status="FAILED")
    (pending,) = await add_tracks(studio, owner, [moment(1)], status="PENDING")
    assert await listed(studio, owner, status=["FAILED"]) == [failed]
    assert await listed(studio, owner, status=["FAILED", "PENDING"]) == [pending, failed]
    assert await listed(studio, owner, status=["COMPLETED"]) == []
    assert await listed(studio, owner, status=[]) == []
    assert await listed(studio, owner, status=None) == [pending, failed]


async def test_public_unlisted_and_private_are_seen_by_whom_their_descriptions_say(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    ids = {}
    for second, visibility in enumerate(("PRIVATE", "UNLISTED", "PUBLIC")):
        (ids[visibility],) = await add_tracks(studio, owner, [moment(second)], visibility=visibility)
    for somebody in (stranger, ANONYMOUS):
        assert await listed(studio, somebody, scope="PUBLIC") == [ids["PUBLIC"]]
        assert await listed(studio, somebody, scope="PUBLIC", deleted=True) == [ids["PUBLIC"]]
        for visibility, id in ids.items():
            seen = await studio.get("query ($id: ID!) { track(id: $id) { id } }", {"id": id}, by=somebody)
            assert (seen is not None) == (visibility != "PRIVATE")
            assert await studio.get(NODE, {"id": id}, by=somebody) == (
                {"__typename": "Track", "id": id} if visibility != "PRIVATE" else None
            )
    assert await listed(studio, stranger) == []
    assert await listed(studio, ANONYMOUS) == [ids["PUBLIC"]]
    assert await listed(studio, ANONYMOUS, scope="MINE") == [ids["PUBLIC"]]
    assert await listed(studio, owner, scope="PUBLIC") == [ids["PUBLIC"]]
    assert len(await listed(studio, owner)) == 3


async def test_what_belongs_to_a_track_is_seen_by_whoever_sees_the_track_but_for_its_generations(
    studio: Studio,
) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    track = await studio.completed_track(owner)
    version = track["versions"]["nodes"][0]
    below = [version["id"], version["stems"][0]["id"]]
    generation = track["generations"]["nodes"][0]["id"]
    for somebody in (stranger, ANONYMOUS):
        assert await studio.get(TRACK, {"id": track["id"]}, by=somebody) is None
        for id in (*below, generation):
            assert await studio.get(NODE, {"id": id}, by=somebody) is None
    await changed(studio, owner, trackId=track["id"], visibility="UNLISTED")
    for somebody in (stranger, ANONYMOUS):
        seen = await studio.get(TRACK, {"id": track["id"]}, by=somebody)
        assert seen["versions"] == track["versions"]
        assert seen["generations"] == {"nodes": []}
        for id in below:
            assert (await studio.get(NODE, {"id": id}, by=somebody))["id"] == id
        assert await studio.get(NODE, {"id": generation}, by=somebody) is None


# --- changing


async def test_an_update_leaves_what_is_not_given_and_clears_what_is_null(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()], title="before", tags=["a", "b"])
    track = await changed(studio, owner, trackId=id, title="after")
    assert (track["title"], track["tags"], track["visibility"], track["revision"]) == (
        "after",
        ["a", "b"],
        "PRIVATE",
        2,
    )
    track = await changed(studio, owner, trackId=id, tags=[" New ", "new", "Other"])
    assert (track["title"], track["tags"], track["revision"]) == ("after", ["New", "Other"], 3)
    track = await changed(studio, owner, trackId=id, tags=None, visibility="PUBLIC")
    assert (track["title"], track["tags"], track["visibility"], track["revision"]) == ("after", [], "PUBLIC", 4)


async def test_an_update_that_changes_nothing_leaves_the_revision_and_tells_nobody(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()], title="same", tags=["a"])
    for input in ({}, {"title": "same"}, {"tags": ["a"], "visibility": "PRIVATE"}):
        assert (await changed(studio, owner, trackId=id, **input))["revision"] == 1
    assert await studio.sql("select 1 from events where track_id = $1", uuid_of(id)) == []


@pytest.mark.parametrize(
    ("input", "field"),
    [
        ({"title": "  "}, "title"),
        ({"title": "x" * 101}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"tags": ["x" * 51]}, "tags"),
        ({"tags": [f"tag {n}" for n in range(21)]}, "tags"),
        ({"tags": ["  "]}, "tags"),
    ],
)
async def test_a_change_that_does_not_fit_is_refused_by_its_field_and_changes_nothing(
    studio: Studio, input: dict[str, Any], field: str
) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    code, path = await refused(studio, owner, trackId=id, **input)
    assert code == "INVALID_INPUT"
    assert path is not None
    assert path[:2] == ["input", field]
    assert (await changed(studio, owner, trackId=id))["revision"] == 1


@pytest.mark.parametrize("field", ["title", "visibility"])
async def test_what_a_track_always_has_cannot_be_cleared(studio: Studio, field: str) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    body = await studio.ask(mutation("updateTrack"), {"input": {"trackId": id, field: None}}, by=owner)
    if "errors" in body:
        assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    else:
        assert body["data"]["updateTrack"]["errors"][0]["path"] == ["input", field]
    assert (await changed(studio, owner, trackId=id))["revision"] == 1


async def test_a_stale_expected_revision_is_a_conflict_that_shows_the_track_as_it_stands(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    await changed(studio, owner, trackId=id, title="first", expectedRevision=1)
    payload = await change(studio, owner, trackId=id, title="second", expectedRevision=1)
    (error,) = payload["errors"]
    assert (payload["track"], error["code"], error["path"]) == (None, "CONFLICT", ["input", "expectedRevision"])
    assert error["current"] == {"id": id, "title": "first", "revision": 2}


async def test_of_concurrent_updates_with_one_expected_revision_one_wins(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    payloads = await asyncio.gather(
        *(change(studio, owner, trackId=id, title=f"title {n}", expectedRevision=1) for n in range(8))
    )
    won = [payload["track"] for payload in payloads if not payload["errors"]]
    lost = [payload["errors"][0] for payload in payloads if payload["errors"]]
    assert len(won) == 1
    assert {(error["code"], error["current"]["title"]) for error in lost} == {("CONFLICT", won[0]["title"])}
    assert won[0]["revision"] == 2


async def test_of_concurrent_updates_without_a_revision_every_one_counts(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    tracks = await asyncio.gather(*(changed(studio, owner, trackId=id, title=f"title {n}") for n in range(8)))
    assert sorted(track["revision"] for track in tracks) == list(range(2, 10))


async def test_the_primary_version_decides_what_plays_and_is_one_of_the_tracks_own(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    track, other = await studio.completed_track(owner), await studio.completed_track(owner)
    first, second = track["versions"]["nodes"]
    assert track["primaryVersion"]["id"] == first["id"]
    after = await changed(studio, owner, "setPrimaryVersion", trackId=track["id"], versionId=second["id"])
    assert (after["primaryVersion"]["id"], after["audioUrl"]) == (second["id"], second["audioUrl"])
    again = await changed(studio, owner, "setPrimaryVersion", trackId=track["id"], versionId=second["id"])
    assert again["revision"] == after["revision"] == track["revision"] + 1
    for version in (other["versions"]["nodes"][0]["id"], track["id"], "nonsense"):
        missed = await refused(studio, owner, "setPrimaryVersion", trackId=track["id"], versionId=version)
        assert missed == ("NOT_FOUND", ["input", "versionId"])
    await changed(studio, owner, trackId=track["id"], visibility="PUBLIC")
    taken = await refused(studio, stranger, "setPrimaryVersion", trackId=track["id"], versionId=first["id"])
    assert taken == ("NOT_FOUND", ["input", "trackId"])


async def test_a_stranger_changes_nothing_of_a_public_track(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    (id,) = await add_tracks(studio, owner, [moment()], visibility="PUBLIC")
    for name, more in (("updateTrack", {"title": "mine"}), ("deleteTrack", {}), ("restoreTrack", {})):
        assert await refused(studio, stranger, name, trackId=id, **more) == ("NOT_FOUND", ["input", "trackId"])
        body = await studio.ask(mutation(name), {"input": {"trackId": id, **more}})
        assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await changed(studio, owner, trackId=id))["revision"] == 1


# --- the bin


async def test_a_deleted_track_is_gone_for_everybody_but_in_its_owners_bin(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    (id,) = await add_tracks(studio, owner, [moment()], visibility="PUBLIC")
    deleted = await changed(studio, owner, "deleteTrack", trackId=id)
    assert deleted["deletedAt"] is not None
    for somebody in (owner, stranger, ANONYMOUS):
        assert await studio.get(TRACK, {"id": id}, by=somebody) is None
        assert await studio.get(NODE, {"id": id}, by=somebody) is None
        assert await studio.get("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [id]}, by=somebody) == [
            None
        ]
        assert await listed(studio, somebody) == await listed(studio, somebody, scope="PUBLIC") == []
    assert await listed(studio, owner, deleted=True) == [id]
    assert await listed(studio, stranger, deleted=True) == []
    assert await refused(studio, owner, trackId=id, title="too late") == ("NOT_FOUND", ["input", "trackId"])


async def test_deleting_twice_is_once_and_so_is_restoring(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    deleted = [await changed(studio, owner, "deleteTrack", trackId=id) for _ in range(2)]
    assert deleted[0] == deleted[1]
    restored = [await changed(studio, owner, "restoreTrack", trackId=id) for _ in range(2)]
    assert restored[0] == restored[1]
    assert (restored[0]["deletedAt"], restored[0]["revision"]) == (None, 3)
    kinds = await studio.sql("select kind from events where track_id = $1 order by id", uuid_of(id))
    assert [row["kind"] for row in kinds] == ["DELETED", "CREATED"]
    assert await listed(studio, owner) == [id]


async def test_a_track_is_restored_within_thirty_days_and_not_later(studio: Studio) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    await changed(studio, owner, "deleteTrack", trackId=id)
    late = "update tracks set deleted_at = now() - $1::interval where id = $2"
    await studio.sql(late.replace("$1", "'30 days 1 second'").replace("$2", "$1"), uuid_of(id))
    assert await refused(studio, owner, "restoreTrack", trackId=id) == ("NOT_FOUND", ["input", "trackId"])
    await studio.sql(late.replace("$1", "'29 days 23 hours'").replace("$2", "$1"), uuid_of(id))
    assert (await changed(studio, owner, "restoreTrack", trackId=id))["deletedAt"] is None


async def test_deleting_a_track_calls_off_what_is_being_made_for_it(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await studio.generate(owner)
    id = made["track"]["id"]

    async def delete() -> None:
        await changed(studio, owner, "deleteTrack", trackId=id)

    studio.provider.updates.extend([running(0.4), ProviderAway("for a while")])
    studio.provider.before["poll"] = delete
    await studio.drain()
    del studio.provider.before["poll"]
    await studio.drain()
    generation = await studio.get(
        "query ($id: ID!) { generation(id: $id) { status completedAt versions { id } } }",
        {"id": made["generation"]["id"]},
        by=owner,
    )
    assert generation["status"] == "CANCELED"
    assert generation["completedAt"] is not None
    assert generation["versions"] == []
    assert len(studio.provider.submitted) == 1
    assert len(studio.provider.canceled) == 1
    restored = await changed(studio, owner, "restoreTrack", trackId=id)
    assert (restored["status"], restored["primaryVersion"]) == ("CANCELED", None)


async def test_nothing_of_a_track_in_the_bin_is_tried_again(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await studio.generate(owner)
    await changed(studio, owner, "deleteTrack", trackId=made["track"]["id"])
    retry = "mutation ($i: RetryGenerationInput!) { retryGeneration(input: $i) { generation { id } errors { code } } }"
    answer = await studio.get(retry, {"i": {"generationId": made["generation"]["id"]}}, by=owner)
    assert answer == {"generation": None, "errors": [{"code": "NOT_FOUND"}]}
    await studio.drain()
    assert studio.provider.submitted == []


async def test_deleting_a_track_before_its_generation_began_asks_no_provider(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await studio.generate(owner)
    await changed(studio, owner, "deleteTrack", trackId=made["track"]["id"])
    await studio.drain()
    assert studio.provider.submitted == []
    kinds = await studio.sql(
        "select kind from events where track_id = $1 order by position, id", uuid_of(made["track"]["id"])
    )
    assert [row["kind"] for row in kinds][-1] == "DELETED"


async def test_deleting_one_track_leaves_the_work_for_others_alone(studio: Studio) -> None:
    owner = await studio.register("owner")
    doomed, other = await studio.generate(owner), await studio.generate(owner)
    await changed(studio, owner, "deleteTrack", trackId=doomed["track"]["id"])
    await studio.drain()
    assert (await studio.get(TRACK, {"id": other["track"]["id"]}, by=owner))["status"] == "COMPLETED"


async def test_a_stranger_who_deletes_a_public_track_stops_none_of_its_work(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    made = await studio.generate(owner)
    await changed(studio, owner, trackId=made["track"]["id"], visibility="PUBLIC")
    assert (await refused(studio, stranger, "deleteTrack", trackId=made["track"]["id"]))[0] == "NOT_FOUND"
    await studio.drain()
    assert (await studio.get(TRACK, {"id": made["track"]["id"]}, by=owner))["status"] == "COMPLETED"
