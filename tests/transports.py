"""A small studio behind the real transports: what the transport tests talk to."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Annotated, Any

import strawberry
import uvicorn
from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from domain.errors import RequestCode, RequestFailed
from schema.cost import Limits
from schema.execution import Execution
from schema.masking import describe_errors
from web.door import Door
from web.graphql import GraphQLHTTP, graphql_routes
from web.protocols import ImpatientWebSocketProtocol
from web.quick import QuickAnswer, quick_protocol
from web.streams import Streams
from web.websocket import SocketLimits


class DatabaseGone(Exception):
    """Stands for what the database layer raises in an outage."""


@dataclass
class Studio:
    """What the resolvers did, for the tests to look at."""

    plays: int = 0
    open_streams: int = 0
    request_ids: list[str] = field(default_factory=list)


@dataclass
class Caller:
    studio: Studio
    name: str | None
    expires_at: float | None = None


Info = strawberry.Info[Caller, None]


@strawberry.type
class Stem:
    kind: str = "DRUMS"


@strawberry.type
class Track:
    id: strawberry.ID
    title: str

    @strawberry.field
    def stems(self) -> list[Stem]:
        return [Stem()]

    @strawberry.field
    def versions(self, first: int | None = None, last: int | None = None) -> TrackConnection:
        return page(first)


@strawberry.type
class TrackEdge:
    node: Track


@strawberry.type
class TrackConnection:
    edges: list[TrackEdge]


def page(first: int | None) -> TrackConnection:
    tracks = (Track(id=strawberry.ID(str(n)), title=f"Track {n}") for n in range(first or 20))
    return TrackConnection(edges=[TrackEdge(node=track) for track in tracks])


@strawberry.input
class Rename:
    title: strawberry.Maybe[str]


@strawberry.type
class Query:
    @strawberry.field
    async def hello(self, name: str = "studio") -> str:
        return f"Hello, {name}"

    @strawberry.field
    def whoami(self, info: Info) -> str | None:
        return info.context.name

    @strawberry.field
    def tracks(self, first: int | None = None, last: int | None = None) -> TrackConnection:
        return page(first)

    @strawberry.field
    def nodes(self, ids: list[strawberry.ID]) -> list[Track]:
        return [Track(id=i, title="found") for i in ids]

    @strawberry.field
    def broken(self) -> str | None:
        raise ValueError("the password is hunter2")

    @strawberry.field
    def broken_hard(self) -> str:
        raise ValueError("the password is hunter2")

    @strawberry.field
    def members_only(self) -> str | None:
        raise RequestFailed(RequestCode.UNAUTHENTICATED, "Sign in first.")

    @strawberry.field
    def database(self) -> str | None:
        raise DatabaseGone("connection to 10.0.0.7 refused")

    @strawberry.field
    def huge(self) -> int | None:
        return 2**40

    @strawberry.field
    def rename(self, input: Rename) -> str:
        return str(input.title)


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def play(self, info: Info, after_seconds: float = 0) -> int:
        await asyncio.sleep(after_seconds)
        info.context.studio.plays += 1
        return info.context.studio.plays


@strawberry.type
class Tick:
    cursor: str
    number: int


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(
        self,
        info: Info,
        to: int = 3,
        every_seconds: float = 0,
        after: str | None = None,
        padding: Annotated[int, strawberry.argument(description="Characters added to each cursor.")] = 0,
    ) -> AsyncGenerator[Tick, None]:
        info.context.studio.open_streams += 1
        try:
            for number in range(int(after or 0) + 1, to + 1):
                yield Tick(cursor=str(number) + "." * padding, number=number)
                await asyncio.sleep(every_seconds)
        finally:
            info.context.studio.open_streams -= 1

    @strawberry.subscription
    async def expired(self) -> AsyncGenerator[Tick, None]:
        yield Tick(cursor="1", number=1)
        raise RequestFailed(RequestCode.RESUME_EXPIRED, "Too long ago: load anew.")

    @strawberry.subscription
    async def crashing(self) -> AsyncGenerator[Tick, None]:
        yield Tick(cursor="1", number=1)
        raise ValueError("the password is hunter2")


def studio_schema() -> GraphQLSchema:
    schema: GraphQLSchema = strawberry.Schema(Query, Mutation, Subscription)._schema
    return schema


async def make_caller(studio: Studio, authorization: str | None, request_id: str) -> Caller:
    """`Bearer <name>` is anybody; `Bearer <name> <seconds>` expires so soon; some names are refused."""
    studio.request_ids.append(request_id)
    if authorization is None:
        return Caller(studio, None)
    _, name, *seconds = authorization.split(" ")
    if name == "forged":
        raise RequestFailed(RequestCode.UNAUTHENTICATED, "The token is not valid.")
    if name == "suspended":
        raise RequestFailed(RequestCode.FORBIDDEN, "The account is suspended.")
    if name == "hasty":
        raise RequestFailed(RequestCode.RATE_LIMITED, "Too many requests.", retry_after_seconds=2.5)
    if name == "unlucky":
        raise DatabaseGone("connection to 10.0.0.7 refused")
    return Caller(studio, name, time.time() + float(seconds[0]) if seconds else None)


class RequestIds:
    """What the real application's middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._count += 1
        scope.setdefault("state", {})["request_id"] = f"req-{self._count}"
        await self._app(scope, receive, send)


@dataclass
class Transports:
    app: ASGIApp
    door: Door
    studio: Studio
    streams: Streams
    quick: QuickAnswer


def studio_execution(limits: Limits | None = None) -> Execution:
    return Execution(
        studio_schema(),
        limits=limits or Limits(),
        describe=partial(describe_errors, outages=(DatabaseGone,)),
        rules=(MaybeNullValidationRule, OneOfInputValidationRule),
    )


def transports(limits: SocketLimits | None = None) -> Transports:
    studio, streams = Studio(), Streams()

    async def renew(context: Any) -> Any:
        return context

    door = Door(
        execution=studio_execution(),
        make_context=partial(make_caller, studio),
        streams=streams,
        allow_origin=lambda origin: origin in (None, "http://localhost:3000"),
        now=time.time,
        renew=renew,
    )
    app = RequestIds(Starlette(routes=graphql_routes(door, limits)))
    graphql, numbers = GraphQLHTTP(door), count(1)

    async def quick(headers: dict[bytes, bytes], body: bytes) -> Any:
        return await graphql.post(headers, body, f"req-quick-{next(numbers)}")

    return Transports(app, door, studio, streams, quick)


class Server(uvicorn.Server):
    """Ends the streams before uvicorn waits for its connections, as `server.py` does."""

    streams: Streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.streams.close_all()
        await super().shutdown(sockets)


@dataclass
class Served:
    """A running server. `http` and `ws` are the addresses of `/graphql`."""

    http: str
    ws: str
    studio: Studio
    streams: Streams
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def served(limits: SocketLimits | None = None, **options: Any) -> Iterator[Served]:
    """The studio on a free port of the loopback, served by uvicorn in a thread of its own."""
    made = transports(limits)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        made.app,
        http=quick_protocol(made.quick),
        log_config=None,
        lifespan="off",
        loop="asyncio",
        ws=ImpatientWebSocketProtocol,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
        **options,
    )
    server = Server(config)
    server.streams = made.streams
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    running = Served(
        f"http://127.0.0.1:{port}/graphql",
        f"ws://127.0.0.1:{port}/graphql",
        made.studio,
        made.streams,
        server,
        thread,
    )
    try:
        yield running
    finally:
        running.stop()
        listener.close()


def eventually(claim: Any, seconds: float = 5.0) -> None:
    """Wait until `claim()` holds; fails with its text when it never does."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
