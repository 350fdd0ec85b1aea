"""What is known of every request: an id (in the answer, the log and the errors), one log line, and its figures."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Iterator, Mapping
from itertools import count
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.log import begin_facts
from web.headers import headers_of
from web.metrics import Metrics

# An id from outside joins our log with the caller's; anything else than a plain word could forge log lines.
OUTSIDE_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")

# Any word can be sent as a method, and each would become a time series of its own.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"}

SWITCHED, REFUSED, BROKEN = 101, 403, 500  # what a WebSocket, or a request that was never answered, counts as

# Asked every few seconds by machines: their lines would bury the others.
UNLOGGED = {"/health", "/metrics"}


class Log(Protocol):
    """Where the line goes: structlog, or what is cheap enough for every request."""

    def info(self, event: str, **facts: Any) -> Any: ...


class Observed:
    """The outermost middleware. One line a request, `request.served`, with the facts that the edge has bound.

    `scope["state"]` tells those within the `request_id`, and has a list of `answer_headers` that they may add to.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Log) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._ids = request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()
        request_id = self.request_id(headers_of(scope))
        added = [(b"x-request-id", request_id.encode())]
        scope.setdefault("state", {}).update(request_id=request_id, answer_headers=added)

        def send_with_headers(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.accept"):
                status = message.get("status", SWITCHED)
                message["headers"] = [*message.get("headers", ()), *added]
            elif message["type"] == "websocket.close" and not status:
                status = REFUSED
            return send(message)

        begin_facts(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            # Without an answer something broke, and the server cuts the connection or says 500.
            self._record(scope, status or BROKEN, time.perf_counter() - started)

    def request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """The caller's, if it is a plain word, or a new one."""
        given = headers.get(b"x-request-id")
        return given.decode() if given and OUTSIDE_ID.fullmatch(given) else next(self._ids)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "WEBSOCKET")
        route = getattr(scope.get("route"), "path", "unknown")
        self.record(method if method in METHODS else "OTHER", route, status, seconds)

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """The line and the figures of a request that has been answered."""
        self._metrics.served(method, route, status, seconds)
        if route not in UNLOGGED:
            self._log.info("request.served", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def request_ids() -> Iterator[str]:
    """32 hex digits each: 80 random bits that tell this process from all others, and a number. Nobody need guess in
    vain what follows, and a random one for each costs six times as much."""
    process = secrets.token_hex(10)
    return (f"{process}{number:012x}" for number in count(1))
