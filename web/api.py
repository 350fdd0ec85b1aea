"""The API, put together: from settings and addresses to the application, and what has to be closed with it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog
from arq.connections import ArqRedis
from starlette.routing import Route
from starlette.types import ASGIApp

from auth.keys import derive_key
from auth.media import media_url
from auth.passwords import Passwords
from auth.requests import Doorkeeper
from auth.sessions import OpenSessions
from auth.tokens import AccessTokens
from core.bells import make_ring
from core.clock import system_clock
from core.db import DRIVER_OUTAGES, POOL_TIMEOUT, Database, DatabaseUnavailable, connect_database, driver_connection
from core.ids import new_id
from core.lines import Lines
from core.log import bind_facts
from core.queue import connect_redis
from core.settings import Settings
from core.topics import Topics
from domain.media import MediaRecord
from domain.providers import Listing
from planner.connections import SETTINGS, Connections, ReadingConnection
from planner.reads import CompiledReads
from providers.storage import Storage, open_storage
from resolvers import status
from resolvers.context import Context
from resolvers.media import find_media
from schema.build import RULES, SHOWS, build_catalog, build_schema, print_sdl
from schema.compiled import CompiledQueries
from schema.context import RequestContext
from schema.cost import Limits
from schema.execution import Execution
from schema.masking import describe_errors
from web.app import build_app, quick_answer, schema_route
from web.door import Door
from web.graphql import GraphQLHTTP, graphql_routes
from web.health import Check, health_route
from web.media import media_route
from web.metrics import Metrics, metrics_route
from web.observed import Log
from web.origins import origin_rule
from web.pages import page_routes
from web.quick import QuickAnswer
from web.streams import Streams

STDERR = 2
READING = 10  # connections for single statements that read, each busy for a millisecond or less


@dataclass(frozen=True)
class Addresses:
    """Where the engines are, whoever runs them, and the database role to step down to."""

    database_url: str
    redis_url: str
    role: str | None = None


@dataclass(frozen=True)
class Api:
    """`context` is the one that every request's is made from; `checks` is what `/health` asks; `quick` answers plain
    GraphQL requests without `app`."""

    app: ASGIApp
    context: Context
    redis: ArqRedis
    streams: Streams
    checks: Mapping[str, Check]
    reads: CompiledReads | None
    quick: QuickAnswer


async def open_api(
    stack: AsyncExitStack,
    settings: Settings,
    addresses: Addresses,
    *,
    catalog: Mapping[str, Listing],
    demo: tuple[str, str] | None = None,
) -> Api:
    """Everything that answers requests. What it opens is closed with `stack`."""
    assert settings.secret_key is not None
    redis = connect_redis(addresses.redis_url)
    stack.push_async_callback(redis.aclose)
    topics = Topics(addresses.redis_url)
    await topics.start()
    stack.push_async_callback(topics.stop)
    engine = connect_database(addresses.database_url, name="antiphon-api", role=addresses.role)
    db = Database(engine, make_ring(redis, topics.publish))
    stack.push_async_callback(db.close)
    storage = open_storage(settings.media_store)
    reading = _reading(stack, addresses)
    context = _context(settings, db, topics, reading, catalog=catalog)
    checks = _checks(db, redis, storage)
    compiled = _compiled(reading) if settings.compiled_reads else None
    streams = Streams()
    door = _door(settings, context, streams, compiled)
    metrics = Metrics()
    routes = [
        *page_routes(graphiql=not settings.production, demo=demo),
        *graphql_routes(door),
        schema_route(print_sdl()),
        health_route(checks),
        metrics_route(metrics, partial(_figures, db, topics, streams, compiled.reads if compiled else None)),
        _media(settings, db, storage),
    ]
    app = build_app(routes, metrics, _log(stack, settings), origins=settings.cors_origins)
    quick = quick_answer(app, GraphQLHTTP(door))
    return Api(app, context, redis, streams, checks, compiled.reads if compiled else None, quick)


def _checks(db: Database, redis: ArqRedis, storage: Storage) -> Mapping[str, Check]:
    return {
        "database": partial(status.database_answers, db),
        "redis": partial(status.redis_answers, redis),
        "storage": partial(_works, storage.check),
        "worker": partial(status.worker_lives, redis),
    }


def _reading(stack: AsyncExitStack, addresses: Addresses) -> Connections:
    connect = driver_connection(
        addresses.database_url, name="antiphon-reads", role=addresses.role, settings=SETTINGS, kind=ReadingConnection
    )
    connections = Connections(connect, most=READING, patience=POOL_TIMEOUT)
    stack.push_async_callback(connections.aclose)
    return connections


def _log(stack: AsyncExitStack, settings: Settings) -> Log:
    """For the line that every request is: what production writes, and is cheap, or what a person can read."""
    if not settings.production:
        return structlog.get_logger()  # type: ignore[no-any-return]
    lines = Lines(STDERR)
    stack.callback(lines.close)
    return lines


def _context(
    settings: Settings, db: Database, topics: Topics, reading: Connections, *, catalog: Mapping[str, Listing]
) -> Context:
    root = settings.secret_key or ""
    media_key = derive_key(root, "media")
    return Context(
        db=db,
        topics=topics,
        clock=system_clock,
        new_id=new_id,
        passwords=Passwords(),
        tokens=AccessTokens(derive_key(root, "access-token")),
        sessions=OpenSessions(reading),
        catalog=catalog,
        default_provider=settings.default_provider,
        variants=settings.variants,
        media_url=lambda key: media_url(settings.public_url, key, secret=media_key, now=system_clock()),
    )


def _compiled(reading: Connections) -> CompiledQueries:
    return CompiledQueries(CompiledReads(build_schema(), build_catalog(), reading), DRIVER_OUTAGES)


def _door(settings: Settings, context: Context, streams: Streams, compiled: CompiledQueries | None) -> Door:
    doorkeeper = Doorkeeper(context.tokens, context.sessions, context.clock)

    async def make_context(authorization: str | None, request_id: str) -> RequestContext:
        viewer = await doorkeeper.viewer(authorization)
        if viewer.user_id is not None:
            bind_facts(viewer=viewer.user_id, as_admin=viewer.kind == "admin")
        return RequestContext(context.of_request(viewer, request_id), SHOWS)

    async def renew(context: RequestContext) -> RequestContext:
        await doorkeeper.confirm(context.ctx.viewer)
        return RequestContext(context.ctx, SHOWS)

    describe = partial(describe_errors, outages=(DatabaseUnavailable,))
    return Door(
        execution=Execution(
            build_schema(),
            limits=Limits(),
            describe=describe,
            rules=RULES,
            suggest=not settings.production,
            compiled=compiled,
            explain=compiled.explain if compiled and not settings.production else None,
        ),
        make_context=make_context,
        streams=streams,
        allow_origin=origin_rule(settings.cors_origins, settings.public_url),
        now=time.time,
        renew=renew,
    )


def _media(settings: Settings, db: Database, storage: Storage) -> Route:
    async def find(key: str, signed: bool) -> MediaRecord | None:
        row = await find_media(db, key, signed=signed)
        return MediaRecord(row.key, row.content_type, row.size_bytes) if row else None

    secret = derive_key(settings.secret_key or "", "media")
    return media_route(storage, secret=secret, find_media=find, clock=system_clock)


async def _works(check: Callable[[], Awaitable[None]]) -> bool:
    await check()
    return True


async def _figures(db: Database, topics: Topics, streams: Streams, reads: CompiledReads | None) -> Mapping[str, float]:
    """Gauges for `/metrics`; without the database those of this process alone."""
    heard = topics.stats
    figures = {
        "streams_open": float(len(streams)),
        "subscriptions_open": float(heard.subscriptions),
        "redis_listening": float(topics.health.healthy),
        "redis_reconnects": float(heard.reconnects),
        "hints_received": float(heard.hints_received),
    }
    if reads is not None:
        figures |= {"reads_compiled": float(reads.answered), "reads_executed": float(reads.left)}
    try:
        return {**figures, **await status.queue_figures(db)}
    except DatabaseUnavailable:
        return figures
