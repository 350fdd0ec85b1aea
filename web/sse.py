"""GraphQL over server-sent events, one connection per operation ("distinct connections mode").

Each payload is an `event: next`, the end an `event: complete`. A stream that ends without `complete` was
cut by a
restart: the client comes back by itself, and `Last-Event-ID` brings it to where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from domain.errors import RequestCode, RequestFailed
from schema.documents import Operation
from web.door import Door

HEARTBEAT_SECONDS = 12.0  # proxies drop silent connections after 15 to 60 s
STALLED_SECONDS = 30.0  # a peer that takes nothing for so long is gone, or should come back later
RESUME_VARIABLE = "after"  # filled in from `Last-Event-ID` when the operation declares it and it was left out

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events before it passes them on
]
HEARTBEAT = b":\n\n"
COMPLETE = b"event: complete\ndata: \n\n"


class EventStream:
    """The response that runs one operation and sends its payloads; ends when the client goes, the token
    expires, the operation completes, or the server stops. The resolver's cleanup has run when it returns."""

    def __init__(
        self, door: Door, operation: Operation, variables: dict[str, Any], context: object, *, request_id: str
    ) -> None:
        self._door = door
        self._operation = operation
        self._variables = variables
        self._context = context
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[RequestFailed | None] = loop.create_future()

        def end(failure: RequestFailed | None = None) -> None:
            if not ended.done():
                ended.set_result(failure)

        expired = RequestFailed(RequestCode.UNAUTHENTICATED, "The token has expired.")
        left = self._door.seconds_left(self._context)
        timer = None if left is None else loop.call_later(left, end, expired)
        try:
            with self._door.streams.opened(end), suppress(TimeoutError, OSError):  # nobody takes it, or is there
                await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await self._stream(receive, send, ended)
        finally:
            if timer is not None:
                timer.cancel()

    async def _stream(self, receive: Receive, send: Send, ended: asyncio.Future[RequestFailed | None]) -> None:
        """Send payloads and heartbeats until one side has had enough."""
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await _write(send, HEARTBEAT)  # so that proxies pass the headers on
            while not (await _first(pump, gone, ended, seconds=HEARTBEAT_SECONDS)):
                await _write(send, HEARTBEAT)
        finally:
            gone.cancel()
            if self._operation.kind == "subscription":  # a mutation once begun runs to its end, as by POST
                pump.cancel()
            await asyncio.wait({pump, gone})
        if ended.done() and (failure := ended.result()) is not None:
            await self._write_failure(send, failure)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        try:
            async with aclosing(self._payloads()) as payloads:
                async for payload in payloads:
                    await _write(send, self._event(payload))
                    await asyncio.sleep(0)  # a source that is never empty must not keep the loop to itself
            await _write(send, COMPLETE)
        except (TimeoutError, OSError):
            return  # as above
        except Exception as failure:
            await self._write_failure(send, failure)

    async def _payloads(self) -> AsyncGenerator[dict[str, Any], None]:
        execution, arguments = self._door.execution, (self._operation, self._variables, self._context)
        if self._operation.kind != "subscription":
            yield await execution.execute(*arguments, request_id=self._request_id)
            return
        async with aclosing(execution.subscribe(*arguments, request_id=self._request_id)) as payloads:
            async for payload in payloads:
                yield payload

    async def _write_failure(self, send: Send, failure: Exception) -> None:
        payload = self._door.execution.refusal(failure, self._request_id)
        await _write(send, self._event(payload) + COMPLETE)

    def _event(self, payload: dict[str, Any]) -> bytes:
        body = self._door.execution.encode(payload, self._request_id)
        return b"event: next\n%sdata: %s\n\n" % (_id_line(payload), body)


def resumed(operation: Operation, variables: dict[str, Any], last_event_id: str) -> dict[str, Any]:
    if last_event_id and RESUME_VARIABLE in operation.variables and variables.get(RESUME_VARIABLE) is None:
        return {**variables, RESUME_VARIABLE: last_event_id}
    return variables


def _id_line(payload: dict[str, Any]) -> bytes:
    """`id: <cursor>` when the root field's value has one: what the browser sends back as `Last-Event-ID`."""
    for value in (payload.get("data") or {}).values():
        cursor = value.get("cursor") if isinstance(value, dict) else None
        if isinstance(cursor, str) and cursor.isprintable():
            return b"id: %s\n" % cursor.encode()
    return b""


async def _first(*futures: asyncio.Future[Any], seconds: float) -> bool:
    """Whether one of them came to its end within `seconds`."""
    done, _ = await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, body: bytes) -> None:
    """Raises `TimeoutError` when the peer's side of the connection stays full."""
    async with asyncio.timeout(STALLED_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": True})
