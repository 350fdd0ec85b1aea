"""A client of live updates on a real socket, and rows by the handful."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from core.ids import new_id
from schema.ids import decode_id, encode_id
from tests.studio import ANONYMOUS, Person, Studio

UPDATES = """
subscription ($trackIds: [ID!], $after: String) {
  trackUpdates(trackIds: $trackIds, after: $after) { cursor kind trackId track { id title status revision audioUrl } }
}
"""
CHANGE = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { track { revision } errors { message } } }"
DELETE = "mutation ($input: DeleteTrackInput!) { deleteTrack(input: $input) { errors { message } } }"
RESTORE = "mutation ($input: RestoreTrackInput!) { restoreTrack(input: $input) { errors { message } } }"
PATIENCE = 10.0  # seconds for what must come; READY without Redis takes five


@dataclass
class Socket:
    """One `graphql-transport-ws` connection, acknowledged."""

    connection: ClientConnection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def subscribe(self, query: str = UPDATES, *, id: str = "1", **variables: Any) -> None:
        await self.send(type="subscribe", id=id, payload={"query": query, "variables": variables})

    async def message(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message that is not a ping."""
        async with asyncio.timeout(seconds):
            while (message := json.loads(await self.connection.recv()))["type"] == "ping":
                await self.send(type="pong")
        found: dict[str, Any] = message
        return found

    async def update(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next update; fails on anything else."""
        message = await self.message(seconds)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        update: dict[str, Any] = message["payload"]["data"]["trackUpdates"]
        return update

    async def watch(self, **variables: Any) -> dict[str, Any]:
        """Subscribe and wait for READY."""
        await self.subscribe(**variables)
        ready = await self.update()
        assert ready["kind"] == "READY"
        assert ready["track"] is None
        return ready

    async def updates(self, count: int) -> list[dict[str, Any]]:
        return [await self.update() for _ in range(count)]

    async def refused(self) -> str:
        """The code of the `error` message that comes next."""
        message = await self.message()
        assert message["type"] == "error", message
        code: str = message["payload"][0]["extensions"]["code"]
        return code


@asynccontextmanager
async def socket(address: str, by: Person = ANONYMOUS, **headers: str) -> AsyncIterator[Socket]:
    """Connected to `host:port` and signed in."""
    async with connect(
        f"ws://{address}/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers=headers,
        compression=None,
    ) as connection:
        opened = Socket(connection)
        await opened.send(type="connection_init", payload={"authorization": f"Bearer {by.token}"} if by.token else None)
        acknowledged = await opened.message()
        assert acknowledged["type"] == "connection_ack"
        yield opened


def uuid_of(id: str) -> UUID:
    decoded = decode_id(id)
    assert decoded is not None
    return decoded[1]


async def add_tracks(studio: Studio, owner: Person, moments: Sequence[datetime], **columns: Any) -> list[str]:
    """Rows of tracks that nobody is working on, made at these moments; their ids."""
    given = {"title": "a track", "prompt": "words", "instrumental": False, "status": "FAILED", **columns}
    names = ", ".join(given)
    places = ", ".join(f"${number}" for number in range(4, 4 + len(given)))
    ids = [new_id() for _ in moments]
    await studio.sql(
        f"insert into tracks (user_id, id, created_at, {names}) "
        f"select $1, made.id, made.at, {places} from unnest($2::uuid[], $3::timestamptz[]) as made (id, at)",
        uuid_of(owner.user_id),
        ids,
        list(moments),
        *given.values(),
    )
    return [str(encode_id("Track", id)) for id in ids]


def moment(second: int = 0) -> datetime:
    return datetime(2026, 3, 1, 12, 0, second % 60, tzinfo=UTC)


async def rename(studio: Studio, by: Person, id: str, title: str) -> None:
    """One change, and so one event."""
    payload = await studio.get(CHANGE, {"input": {"trackId": id, "title": title}}, by=by)
    assert payload["errors"] == []


async def one_track(studio: Studio, owner: Person, **columns: Any) -> str:
    """The id of a track that nobody is working on."""
    (id,) = await add_tracks(studio, owner, [moment()], **columns)
    return id
