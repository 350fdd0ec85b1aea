"""The limit of this language and driver: one hand-written statement per level, the answer put together by hand.

It knows four operations by their names and no GraphQL, has no authentication, no log, and reads past row-level
security. `python -m bench.peers.limit`: DATABASE_URL names the database, PORT the port of the loopback interface.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import asyncpg
import orjson
import uvicorn

POOL = 10  # as many as the product has

Message = MutableMapping[str, Any]

# Ids and times leave the database as text: nothing is parsed that would only be written again.
TRACK = """id::text, title, prompt, status, visibility, instrumental, provider, model, like_count as "likeCount",
  play_count as "playCount", revision, created_at::text as "createdAt" """
ONE = f"select {TRACK} from tracks where id = $1 and deleted_at is null"
PAGE = f"""select {TRACK}, user_id from tracks where user_id = $1 and deleted_at is null
  order by created_at desc, id desc limit $2"""
VERSIONS = """select v.* from unnest($1::uuid[]) as t(id), lateral (
    select track_id::text, id::text, number, variant, kind, created_at::text as "createdAt",
      duration_ms::float8 / 1000 as "durationSeconds"
    from versions where track_id = t.id order by number, variant limit $2) v"""
OWNERS = """select id, username, display_name as "displayName", avatar_url as "avatarUrl"
  from profiles where id = any($1::uuid[])"""

SIZES = {"Q2": 20, "Q3": 20, "Q4": 100}
VERSIONS_OF_EACH = 5


class Limit:
    """The ASGI application. A connection serves one request at a time."""

    def __init__(self) -> None:
        self._idle: asyncio.LifoQueue[asyncpg.Connection[Any]] = asyncio.LifoQueue()

    async def open(self, url: str) -> None:
        for _ in range(POOL):
            self._idle.put_nowait(await asyncpg.connect(url))

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        asked = orjson.loads(body)
        connection = await self._idle.get()
        try:
            data = await answer(connection, asked["operationName"], asked["variables"])
        finally:
            self._idle.put_nowait(connection)
        text = orjson.dumps({"data": data})
        length = str(len(text)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


async def answer(connection: asyncpg.Connection[Any], operation: str, variables: dict[str, Any]) -> dict[str, Any]:
    if operation == "Q1":
        return {"track": dict(await connection.fetchrow(ONE, variables["id"]))}
    size = SIZES[operation]
    rows = await connection.fetch(PAGE, variables["userId"], size + 1)
    tracks = {row["id"]: dict(row) for row in rows[:size]}
    owner_ids = {track.pop("user_id") for track in tracks.values()}
    if operation != "Q2":
        for track in tracks.values():
            track["versions"] = {"nodes": []}
        for row in await connection.fetch(VERSIONS, tracks.keys(), VERSIONS_OF_EACH):
            version = dict(row)
            tracks[version.pop("track_id")]["versions"]["nodes"].append(version)
    if operation == "Q3":
        owners = [dict(row) for row in await connection.fetch(OWNERS, owner_ids)]
        of = {owner.pop("id"): owner for owner in owners}
        for row in rows[:size]:
            tracks[row["id"]]["owner"] = of[row["user_id"]]
    edges = [{"cursor": f"{track['createdAt']},{id}", "node": track} for id, track in tracks.items()]
    page = {
        "hasNextPage": len(rows) > size,
        "hasPreviousPage": False,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return {"tracks": {"edges": edges, "pageInfo": page}}


async def serve() -> None:
    app = Limit()
    await app.open(os.environ["DATABASE_URL"])
    config = uvicorn.Config(
        app, port=int(os.environ["PORT"]), loop="none", http="httptools", lifespan="off", log_config=None,
        access_log=False,
    )  # fmt: skip
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
