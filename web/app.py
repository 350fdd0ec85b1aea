"""The HTTP application: the onion, and the routes in it. What they need is handed over."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from core.db import DatabaseUnavailable
from web.masked import Masked
from web.metrics import Metrics
from web.observed import Observed
from web.origins import cors


def schema_route(sdl: str) -> Route:
    """`/schema.graphql`: the contract as text."""

    async def serve(request: Request) -> PlainTextResponse:
        return PlainTextResponse(sdl, headers={"Cache-Control": "public, max-age=300"})

    return Route("/schema.graphql", serve)


def build_app(routes: Sequence[BaseRoute], metrics: Metrics, *, origins: tuple[str, ...] | None) -> Starlette:
    """Outermost first: figures and ids for everything, then origins, then what breaks, then the routes."""
    onion = [Middleware(Observed, metrics=metrics), cors(origins), Middleware(Masked, outages=(DatabaseUnavailable,))]
    return Starlette(routes=routes, middleware=onion)
