"""The server that speaks as Suno does, by its documentation: there is no SDK."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.vendors import (
    Ending,
    Refusal,
    Story,
    Suno,
    refused,
)
from tests.vendors.studying import (
    BY_HAND,
    SILENT,
    SONG,
    Heard,
    ask,
    create,
    fal,
    heard,
    http,
    replicate,
    suno,
    vendor,
)

__all__ = ["fal", "heard", "http", "replicate", "suno", "vendor"]  # fixtures


async def suno_read(http: httpx.AsyncClient, suno: Suno, id: str, what: str = "generate") -> Any:
    return (await ask(http, suno, "GET", f"/api/v1/{what}/record-info?taskId={id}")).json()


async def test_suno_tells_of_two_songs_in_stages(http: httpx.AsyncClient, suno: Suno, heard: Heard) -> None:
    suno.script.story = BY_HAND
    id = (await create(http, suno, heard.url)).json()["data"]["taskId"]
    states = [(await suno_read(http, suno, id))["data"]["status"]]
    for _ in range(3):
        await suno.advance(id)
        states.append((await suno_read(http, suno, id))["data"]["status"])
    assert states == ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
    text, first, complete = (body["data"] for body in heard.bodies())
    assert [one["callbackType"] for one in (text, first, complete)] == ["text", "first", "complete"]
    assert text["data"] == []
    assert [bool(song["audio_url"]) for song in first["data"]] == [True, False]
    assert "duration" not in first["data"][1]
    songs = (await suno_read(http, suno, id))["data"]["response"]["sunoData"]
    assert [song["audioUrl"] for song in songs] == [song["audio_url"] for song in complete["data"]]
    assert songs[0]["id"] != songs[1]["id"]
    one, two = [(await http.get(song["audioUrl"])).content for song in songs]
    assert one != two
    assert len(suno.charged(about=heard.url)) == 1


async def test_sunos_errors_are_inside(http: httpx.AsyncClient, suno: Suno) -> None:
    for why, code in (
        (Refusal.BAD_KEY, 401),
        (Refusal.NO_CREDITS, 429),
        (Refusal.RATE_LIMITED, 405),
        (Refusal.MAINTENANCE, 455),
        (Refusal.SERVER_ERROR, 500),
    ):
        suno.script.meet("create", refused(why))
        answer = await create(http, suno)
        assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, code, None)
    without = (await ask(http, suno, "POST", "/api/v1/generate", json=SONG)).json()
    assert without == {"code": 400, "msg": "Please enter callBackUrl.", "data": None}
    suno.status_too = True
    suno.credits = 11
    assert (await create(http, suno)).status_code == 429
    assert suno.charged() == []


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"prompt": "x" * 501}, 413),
        ({"model": "V3_5"}, 400),
        ({"customMode": True, "style": "pop"}, 400),
        ({"customMode": True, "style": "pop", "title": "t" * 101}, 413),
        ({"customMode": True, "style": "pop", "title": "t" * 81, "model": "V4"}, 413),
        ({"customMode": True, "style": "pop", "title": "Rain"}, 200),
    ],
)
async def test_suno_checks_what_it_is_asked(http: httpx.AsyncClient, suno: Suno, order: Any, code: int) -> None:
    whole = SONG | {"callBackUrl": "http://127.0.0.1:9/"} | order
    assert (await ask(http, suno, "POST", "/api/v1/generate", json=whole)).json()["code"] == code


async def test_suno_makes_other_things_from_a_song(http: httpx.AsyncClient, suno: Suno, heard: Heard) -> None:
    suno.script.story = Story(deliveries=SILENT)
    song = (await create(http, suno)).json()["data"]["taskId"]
    await suno.settled()
    suno.script.story = Story()
    base = {"taskId": song, "audioId": suno.tasks[song].facts["clips"][0], "callBackUrl": heard.url}
    for path, read, more in (
        ("wav/generate", "wav", {}),
        ("vocal-removal/generate", "vocal-removal", {"type": "split_stem"}),
        ("mp4/generate", "mp4", {}),
        ("suno/cover/generate", "suno/cover", {}),
        ("lyrics", "lyrics", {"prompt": "rain"}),
    ):
        id = (await ask(http, suno, "POST", f"/api/v1/{path}", json=base | more)).json()["data"]["taskId"]
        await suno.settled()
        record = (await suno_read(http, suno, id, read))["data"]
        assert record.get("successFlag", record.get("status")) in ("SUCCESS", 1)
    wav, stems, mp4, cover, lyrics = (body["data"] for body in heard.bodies())
    assert (await http.get(wav["audioWavUrl"])).content.startswith(b"RIFF")
    info = stems["vocal_removal_info"]
    assert (info["origin_url"], info["brass_url"], len(info)) == ("", "", 13)
    assert b"ftyp" in (await http.get(mp4["video_url"])).content
    assert (len(cover["images"]), lyrics["callbackType"], len(lyrics["data"])) == (2, "complete", 2)
    assert "taskId" in lyrics
    again = await ask(http, suno, "POST", "/api/v1/wav/generate", json=base)
    assert again.json()["code"] == 409


async def test_sunos_oddities_are_told_by_facts(http: httpx.AsyncClient, suno: Suno) -> None:
    facts = {"unknown_reads": 2, "response_as_text": True, "same_takes": True, "dead_streams": True}
    suno.script.story = Story(ending=Ending.CALLBACK_FAILED, facts=facts)
    id = (await create(http, suno)).json()["data"]["taskId"]
    await suno.settled()
    assert (await suno_read(http, suno, id))["data"] is None
    assert (await suno_read(http, suno, id))["msg"] == "recordInfo is null"
    told = (await suno_read(http, suno, id))["data"]
    assert told["status"] == "CALLBACK_EXCEPTION"
    songs = httpx.Response(200, text=told["response"]).json()["sunoData"]
    one, two = [(await http.get(song["audioUrl"])).content for song in songs]
    assert one == two
    assert (await http.get(songs[0]["streamAudioUrl"])).content == b""
