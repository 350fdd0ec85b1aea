"""What is known of every request: an id (in the answer, the log and the errors), one log line, and its figures."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.metrics import Metrics

log = structlog.get_logger()

# An id from outside joins our log with the caller's; anything else than a plain word could forge log lines.
OUTSIDE_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

# Asked every few seconds by machines: their lines would bury the others.
UNLOGGED = {"/health", "/metrics"}


class Observed:
    """The outermost middleware. One line a request, `request.served`, with the facts that the edge has bound."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if OUTSIDE_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope.get("method", "WEBSOCKET")
        self._metrics.served(method, route, status, seconds)
        if route not in UNLOGGED:
            log.info("request.served", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
