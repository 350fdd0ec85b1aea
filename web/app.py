"""The HTTP application: the onion, and the routes in it. What they need is handed over."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from core.db import DatabaseUnavailable
from core.log import begin_facts
from web.graphql import PATH, GraphQLHTTP
from web.masked import Masked
from web.metrics import Metrics
from web.observed import Log, Observed
from web.origins import VARY, Origins
from web.quick import Pairs, QuickAnswer


def schema_route(sdl: str) -> Route:
    """`/schema.graphql`: the contract as text."""

    async def serve(request: Request) -> PlainTextResponse:
        return PlainTextResponse(sdl, headers={"Cache-Control": "public, max-age=300"})

    return Route("/schema.graphql", serve)


class Shortcut:
    """Goes straight to the routes of `app` that are ASGI applications with a path of their own; they answer for their
    failures themselves. Starlette, which serves all the rest, tries each route in turn and wraps every message twice:
    5 µs, half of what a request may cost outside of its execution."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._routes = {
            route.path: route
            for route in app.routes
            if isinstance(route, Route) and route.app is route.endpoint and not route.param_convertors
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            return self._app(scope, receive, send)
        scope["route"] = route
        return route.app(scope, receive, send)


def build_app(routes: Sequence[BaseRoute], metrics: Metrics, log: Log, *, origins: tuple[str, ...] | None) -> Observed:
    """Outermost first: figures and ids for everything, then origins, then what breaks, then the routes."""
    app = Starlette(routes=routes, middleware=[Middleware(Masked, outages=(DatabaseUnavailable,))])
    return Observed(Origins(Shortcut(app), origins), metrics, log)


def quick_answer(observed: Observed, graphql: GraphQLHTTP) -> QuickAnswer:
    """What `build_app` does for a plain POST to `/graphql`, without ASGI in between."""

    async def answer(headers: dict[bytes, bytes], body: bytes) -> tuple[int, Pairs, bytes]:
        started = time.perf_counter()
        request_id = observed.request_id(headers)
        begin_facts(request_id=request_id)
        status, found, content = await graphql.post(headers, body, request_id)
        observed.record("POST", PATH, status, time.perf_counter() - started)
        return status, (*found, VARY, (b"x-request-id", request_id.encode())), content

    return answer
