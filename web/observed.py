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

# Any word can be sent as a method, and each would become a time series of its own.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"}

SWITCHED, REFUSED, BROKEN = 101, 403, 500  # what a WebSocket, or a request that was never answered, counts as

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
            if message["type"] in ("http.response.start", "websocket.accept"):
                status = message.get("status", SWITCHED)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            elif message["type"] == "websocket.close" and not status:
                status = REFUSED
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            # Without an answer something broke, and the server cuts the connection or says 500.
            self._record(scope, status or BROKEN, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS else "OTHER"
        self._metrics.served(method, route, status, seconds)
        if route not in UNLOGGED:
            log.info("request.served", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
