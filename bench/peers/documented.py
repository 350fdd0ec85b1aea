"""The same reads as Strawberry's documentation shows them: its ASGI application, the ORM, a DataLoader per relation.

No authentication, no log, and past row-level security. `python -m bench.peers.documented`: DATABASE_URL names the
database, PORT the port of the loopback interface.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
import uvicorn
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

from core.db import plain_dsn
from models.accounts import Profile as ProfileRow
from models.tracks import Track as TrackRow
from models.versions import Version as VersionRow

# One for each that asks at once. With the 5 that it keeps by itself, and 10 that it opens and closes again, it makes a
# connection for nearly every statement: 1.4 ms of PostgreSQL's processor each.
POOL = 32

url = plain_dsn(os.environ["DATABASE_URL"]).replace("postgresql:", "postgresql+asyncpg:", 1)
engine = create_async_engine(url, pool_size=POOL)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def load_versions(track_ids: list[UUID]) -> list[list[VersionRow]]:
    found: dict[UUID, list[VersionRow]] = {id: [] for id in track_ids}
    query = select(VersionRow).where(VersionRow.track_id.in_(track_ids))
    async with sessions() as session:
        for row in await session.scalars(query.order_by(VersionRow.number, VersionRow.variant)):
            found[row.track_id].append(row)
    return [found[id] for id in track_ids]


async def load_profiles(user_ids: list[UUID]) -> list[ProfileRow]:
    async with sessions() as session:
        rows = await session.scalars(select(ProfileRow).where(ProfileRow.id.in_(user_ids)))
        found = {row.id: row for row in rows}
    return [found[id] for id in user_ids]


@strawberry.type
class Version:
    id: strawberry.ID
    number: int
    variant: int
    kind: str
    created_at: datetime
    duration_seconds: float | None


@strawberry.type
class VersionConnection:
    nodes: list[Version]


@strawberry.type
class Profile:
    username: str
    display_name: str | None
    avatar_url: str | None


@strawberry.type
class Track:
    row: strawberry.Private[TrackRow]
    id: strawberry.ID
    title: str
    prompt: str
    status: str
    visibility: str
    instrumental: bool
    provider: str | None
    model: str | None
    like_count: int
    play_count: int
    revision: int
    created_at: datetime

    @strawberry.field
    async def versions(self, info: strawberry.Info, first: int = 20) -> VersionConnection:
        rows = await info.context["versions"].load(self.row.id)
        return VersionConnection(nodes=[version(row) for row in rows[:first]])

    @strawberry.field
    async def owner(self, info: strawberry.Info) -> Profile:
        row = await info.context["profiles"].load(self.row.user_id)
        return Profile(username=row.username, display_name=row.display_name, avatar_url=row.avatar_url)


@strawberry.type
class TrackEdge:
    cursor: str
    node: Track


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class TrackConnection:
    edges: list[TrackEdge]
    page_info: PageInfo


def version(row: VersionRow) -> Version:
    return Version(
        id=strawberry.ID(str(row.id)),
        number=row.number,
        variant=row.variant,
        kind=row.kind,
        created_at=row.created_at,
        duration_seconds=row.duration_ms / 1000,
    )


def track(row: TrackRow) -> Track:
    return Track(
        row=row,
        id=strawberry.ID(str(row.id)),
        title=row.title,
        prompt=row.prompt,
        status=row.status,
        visibility=row.visibility,
        instrumental=row.instrumental,
        provider=row.provider,
        model=row.model,
        like_count=row.like_count,
        play_count=row.play_count,
        revision=row.revision,
        created_at=row.created_at,
    )


@strawberry.type
class Query:
    @strawberry.field
    async def track(self, id: strawberry.ID) -> Track | None:
        async with sessions() as session:
            row = await session.scalar(select(TrackRow).where(TrackRow.id == UUID(id), TrackRow.deleted_at.is_(None)))
        return track(row) if row else None

    @strawberry.field
    async def tracks(self, user_id: strawberry.ID, first: int = 20) -> TrackConnection:
        query = select(TrackRow).where(TrackRow.user_id == UUID(user_id), TrackRow.deleted_at.is_(None))
        query = query.order_by(TrackRow.created_at.desc(), TrackRow.id.desc()).limit(first + 1)
        async with sessions() as session:
            rows = (await session.scalars(query)).all()
        edges = [TrackEdge(cursor=f"{row.created_at},{row.id}", node=track(row)) for row in rows[:first]]
        page = PageInfo(
            has_next_page=len(rows) > first,
            has_previous_page=False,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return TrackConnection(edges=edges, page_info=page)


class App(GraphQL[dict[str, Any], None]):
    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        return {
            "request": request,
            "response": response,
            "versions": DataLoader(load_fn=load_versions),
            "profiles": DataLoader(load_fn=load_profiles),
        }


if __name__ == "__main__":
    uvicorn.run(App(strawberry.Schema(query=Query)), port=int(os.environ["PORT"]), log_config=None, access_log=False)
