"""The files of tracks through the whole application: who may fetch them, and what players need."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.openings import opened, preflight
from tests.studio import TRACK, Studio


async def test_media_through_the_whole_app_seek_revalidate_and_can_be_used_from_other_origins(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    url, origin = track["audioUrl"], {"Origin": "http://localhost:3000"}
    whole = await studio.http.get(url, headers=origin)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/mpeg")
    assert len(whole.content) == track["versions"]["nodes"][0]["sizeBytes"]
    assert whole.headers["access-control-allow-origin"] == "http://localhost:3000"
    exposed = whole.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("content-range", "accept-ranges", "etag", "content-length"))
    part = await studio.http.get(url, headers={"Range": "bytes=100-199", **origin})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    beyond = await studio.http.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    head = await studio.http.head(url)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
    again = await studio.http.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    asked = await studio.http.options(url, headers=preflight(origin["Origin"], "GET", "range"))
    assert asked.status_code == 200
    lossless = await studio.http.get(track["versions"]["nodes"][0]["losslessUrl"])
    assert lossless.headers["content-type"] == "audio/wav"
    assert (await studio.http.get(track["coverUrl"])).headers["content-type"].startswith("image/")


async def test_private_media_need_a_signature_of_ours_and_public_ones_none_until_they_are_private_again(
    studio: Studio, tmp_path: Path
) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    again = await studio.get(TRACK, {"id": track["id"]}, by=owner)
    assert again["audioUrl"] == track["audioUrl"]
    other_key = {"ANTIPHON_SECRET_KEY": "a key of somebody else's, forty characters"}
    async with opened(studio, tmp_path, **other_key) as (api, _):
        forged = api.context.media_url(urlsplit(track["audioUrl"]).path.rpartition("/")[2])
    unsigned = track["audioUrl"].partition("?")[0]
    stem = track["versions"]["nodes"][0]["stems"][0]["audioUrl"].partition("?")[0]
    change = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { errors { message } } }"
    for visibility, status in (("PRIVATE", 404), ("PUBLIC", 200), ("PRIVATE", 404)):
        await studio.get(change, {"input": {"trackId": track["id"], "visibility": visibility}}, by=owner)
        for url in (unsigned, stem, forged):
            answer = await studio.http.get(url)
            assert answer.status_code == status
            assert answer.headers.get("cache-control", "").startswith("public") is (status == 200)
        assert (await studio.http.get(track["audioUrl"])).status_code == 200
