"""Tracks: the library, changing, deleting, and who sees what."""

from __future__ import annotations

from tests.studio import ANONYMOUS, TRACK, Studio


async def test_a_completed_track_has_two_versions_that_play(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    assert [(v["number"], v["variant"]) for v in track["versions"]["nodes"]] == [(1, 1), (1, 2)]
    answer = await studio.http.get(track["audioUrl"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"


async def test_a_stranger_sees_nothing_of_a_private_track(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    track = await studio.completed_track(owner)
    for somebody in (stranger, ANONYMOUS):
        assert await studio.get(TRACK, {"id": track["id"]}, by=somebody) is None
