"""What a new user does, with a real `python server.py`: ask, listen, hear; kill it all, start again, lose nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench.serving import Place, Started, serving, temporary_place
from tests.node import run_browser

ASK = {"prompt": "rainy lo-fi evening, warm piano", "tags": ["lo-fi"], "durationSeconds": 20, "idempotencyKey": "first"}
GENERATE = "mutation ($i: GenerateTrackInput!) { generateTrack(input: $i) { track { id } generation { id } } }"
REGISTER = (
    'mutation ($e: String!) { register(input: {email: $e, password: "correct horse"}) { session { accessToken } } }'
)
LISTEN = "subscription { trackUpdates { kind cursor track { id status audioUrl generations { nodes { progress } } } } }"
SHOW = """query ($id: ID!) {
  track(id: $id) { status durationSeconds audioUrl versions { nodes { variant audioUrl stems { kind } } }
    generations { totalCount } }
  tracks { nodes { id } }
}"""


class User:
    """An ordinary GraphQL client with an account."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http, self.token = http, token

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        body = answer.json()
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data

    @asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events of `trackUpdates`, subscribed to when the block begins: READY has been read."""
        address = url.replace("http:", "ws:") + "/graphql"
        async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}})
            )
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": LISTEN}}))

            async def events() -> AsyncIterator[dict[str, Any]]:
                async for message in socket:
                    yield json.loads(message)["payload"]["data"]["trackUpdates"]

            updates = events()
            assert (await anext(updates))["kind"] == "READY"
            yield updates


@asynccontextmanager
async def users_of(started: Started, *names: str) -> AsyncIterator[list[User]]:
    async with httpx.AsyncClient(base_url=started.url, timeout=30) as http:
        found = []
        for name in names:
            made = await User(http, "").ask(REGISTER, e=f"{name}@example.com")
            found.append(User(http, made["register"]["session"]["accessToken"]))
        yield found


async def test_a_track_is_asked_for_heard_of_and_played() -> None:
    with temporary_place() as place:
        async with serving(place, "data") as started, users_of(started, "owner", "stranger") as (owner, stranger):
            async with asyncio.timeout(60), owner.listening(started.url) as updates:
                made = (await owner.ask(GENERATE, i=ASK))["generateTrack"]
                heard = [await anext(updates)]
                while heard[-1]["track"]["status"] != "COMPLETED":
                    heard.append(await anext(updates))

            kinds = [update["kind"] for update in heard]
            assert kinds == ["CREATED"] + ["UPDATED"] * (len(kinds) - 1)
            progress = [update["track"]["generations"]["nodes"][0]["progress"] for update in heard]
            assert progress == sorted(progress)
            assert progress[-1] == 1.0
            shown = await owner.ask(SHOW, id=made["track"]["id"])
            assert [version["variant"] for version in shown["track"]["versions"]["nodes"]] == [1, 2]
            assert [track["id"] for track in shown["tracks"]["nodes"]] == [made["track"]["id"]]
            await _plays(owner.http, shown["track"]["audioUrl"])
            again = (await owner.ask(GENERATE, i=ASK))["generateTrack"]
            assert again == made
            assert (await owner.ask(SHOW, id=made["track"]["id"]))["track"]["generations"]["totalCount"] == 1
            assert (await stranger.ask(SHOW, id=made["track"]["id"]))["track"] is None


async def _plays(http: httpx.AsyncClient, url: str) -> None:
    whole = await http.get(url)
    assert whole.headers["content-type"] == "audio/mpeg"
    assert abs(soundfile.info(io.BytesIO(whole.content)).duration - 20) < 1
    part = await http.get(url, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])


async def test_killed_in_the_middle_and_started_again_it_completes_once() -> None:
    with temporary_place() as place:
        track_id, token = await _kill_while_it_makes_a_track(place)
        async with serving(place, "data") as started, httpx.AsyncClient(base_url=started.url, timeout=30) as http:
            owner = User(http, token)
            async with asyncio.timeout(60):
                while (shown := await owner.ask(SHOW, id=track_id))["track"]["status"] != "COMPLETED":
                    await asyncio.sleep(0.1)
            assert [version["variant"] for version in shown["track"]["versions"]["nodes"]] == [1, 2]
            assert shown["track"]["generations"]["totalCount"] == 1
            await _plays(http, shown["track"]["audioUrl"])


async def _kill_while_it_makes_a_track(place: Place) -> tuple[str, str]:
    async with serving(place, "data") as started, users_of(started, "owner") as (owner,):
        async with asyncio.timeout(60), owner.listening(started.url) as updates:
            made = (await owner.ask(GENERATE, i=ASK))["generateTrack"]
            async for update in updates:
                if update["track"]["generations"]["nodes"][0]["progress"] > 0:
                    break
            os.kill(started.pid, signal.SIGKILL)
        return made["track"]["id"], owner.token


@pytest.mark.node
@pytest.mark.chromium
async def test_the_pages_work_in_a_browser() -> None:
    with temporary_place() as place:
        async with serving(place, "data") as started:
            await asyncio.to_thread(run_browser, started.url)
