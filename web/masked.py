"""What breaks outside GraphQL is answered as it is within: 503 in an outage, else 500, never the text of the fault."""

from __future__ import annotations

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 1  # as GraphQL says it in `retryAfter`


class Masked:
    """A middleware inside `Observed`, whose request id it tells, and `Origins`, so that browsers see the answer."""

    def __init__(self, app: ASGIApp, outages: tuple[type[Exception], ...]) -> None:
        self._app = app
        self._outages = outages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as fault:
            if begun or scope["type"] != "http":  # too late to answer: the server logs it and cuts the connection
                raise
            log.error("request.failed", exc_info=fault)
            await self._answer(fault, scope["state"]["request_id"])(scope, receive, send)

    def _answer(self, fault: Exception, request_id: str) -> PlainTextResponse:
        if isinstance(fault, self._outages):
            text = f"The service is briefly unavailable; try again. Request {request_id}."
            return PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        return PlainTextResponse(f"Internal error. Quote request {request_id} when you report it.", 500)
