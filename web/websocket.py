"""The `graphql-transport-ws` protocol, to the letter: any number of operations on one WebSocket.

Close codes decide what clients do. They come back by themselves after 1012 (restart), 1013 (overload, or a
peer that does not read), 4403 (sign in anew) and 4408; after the other 44xx codes they give up. An
operation that fails answers an `error` message for its id and leaves its neighbours alone.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected, WebSocketState

from domain.errors import RequestCode, RequestFailed
from web.door import Door, Parameters, request_id_of
from web.messages import ClientMessage, Closed, Pace, authorization_of, read_message

SUBPROTOCOL = "graphql-transport-ws"
ACK = '{"type":"connection_ack"}'
PING = '{"type":"ping"}'

# How a refused `connection_init` ends the socket; whatever is not listed passes (1013: try again later).
REFUSED_INIT = {
    RequestCode.UNAUTHENTICATED: 4403,
    RequestCode.FORBIDDEN: 4401,
    RequestCode.BAD_USER_INPUT: 4400,
}


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one socket may do."""

    init_seconds: float = 10.0  # a client that says nothing for so long is none
    ping_seconds: float = 20.0  # of silence from the client; proxies drop silent connections after 30 to 60 s
    stalled_seconds: float = 30.0  # not writable for so long: the peer does not read, and its memory is ours
    close_seconds: float = 1.0  # for the closing frame, which a stalled peer will not take either
    operations: int = 100  # at once; a page with a subscription for each visible track has about 50
    frame_bytes: int = 256 * 1024  # a long document with its variables is a tenth of it
    messages_per_second: float = 50.0  # past the burst the socket is read no faster; nothing is lost
    burst: int = 200  # a client that comes back starts all its operations at once


class GraphQLWebSocket:
    """The ASGI application behind the WebSocket route."""

    def __init__(self, door: Door, limits: SocketLimits | None = None) -> None:
        self._door = door
        self._limits = limits or SocketLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        if not self._door.allow_origin(socket.headers.get("origin")):
            await socket.close()  # before it is accepted: 403
            return
        offered = SUBPROTOCOL in socket.scope["subprotocols"]
        await socket.accept(SUBPROTOCOL if offered else None)
        try:
            if not offered:
                raise Closed(4406, f"Subprotocol not acceptable: use {SUBPROTOCOL}")
            self._door.streams.admit()
        except Closed as closed:
            await socket.close(closed.code, closed.reason)
        except RequestFailed as failure:
            await socket.close(1012 if self._door.streams.closing else 1013, failure.message)
        else:
            await Conversation(self._door, self._limits, socket).run()


class PeerGone(Exception):
    """There is nobody to send to any more."""


@dataclass(eq=False, slots=True)
class Running:
    """An operation on its way. A mutation once begun runs to its end, as it does by POST; only its answer is
    dropped when the client no longer waits for it."""

    id: str
    task: asyncio.Task[None] | None = None
    kind: str | None = None
    silent: bool = False

    def stop(self) -> None:
        self.silent = True
        if self.task and self.kind != "mutation":
            self.task.cancel()


class Conversation:
    """One accepted socket, from the first message to the close."""

    def __init__(self, door: Door, limits: SocketLimits, socket: WebSocket) -> None:
        loop = asyncio.get_running_loop()
        self._door = door
        self._limits = limits
        self._socket = socket
        self._request_id = request_id_of(socket.scope)
        self._ended: asyncio.Future[Closed] = loop.create_future()
        self._writing = asyncio.Lock()
        self._pace = Pace(limits.messages_per_second, limits.burst)
        self._context: object = None
        self._acknowledged = False
        self._running: dict[str, Running] = {}
        self._tasks: dict[asyncio.Task[None], Running] = {}
        self._started = 0
        late = Closed(4408, "Connection initialisation timeout")
        self._timer = loop.call_later(limits.init_seconds, self.end, late)

    def end(self, closed: Closed) -> None:
        """Close the socket soon; whoever asks first decides about the code."""
        if not self._ended.done():
            self._ended.set_result(closed)

    async def run(self) -> None:
        """Serve the socket; when it returns, every operation has stopped and cleaned up."""
        with self._door.streams.opened(lambda: self.end(Closed(1012, "Service restart"))):
            reader = asyncio.create_task(self._read())
            try:
                waiting: set[asyncio.Future[Any]] = {reader, self._ended}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._timer.cancel()
                reader.cancel()
                await self._close()
                for running in self._tasks.values():
                    running.stop()
                await asyncio.wait({reader, *self._tasks})

    async def _close(self) -> None:
        if self._ended.done() and self._socket.client_state is WebSocketState.CONNECTED:
            closed = self._ended.result()
            with suppress(TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
                async with asyncio.timeout(self._limits.close_seconds):
                    await self._socket.close(closed.code, closed.reason)

    async def _read(self) -> None:
        try:
            while (message := await self._receive()) is not None:
                await self._handle(message)
        except Closed as closed:
            self.end(closed)
        except PeerGone:
            return
        except Exception as failure:  # a bug: described for the log, and the client may try again
            self._door.execution.refusal(failure, self._request_id)
            self.end(Closed(1013, f"Internal error, request {self._request_id}"))

    async def _receive(self) -> ClientMessage | None:
        """The next message, None once the peer has gone. Silence is answered with pings."""
        while True:
            try:
                async with asyncio.timeout(self._limits.ping_seconds):
                    frame = await self._socket.receive()
            except TimeoutError:
                await self._send(PING)
                continue
            if frame["type"] == "websocket.disconnect":
                return None
            if delay := self._pace.delay(asyncio.get_running_loop().time()):
                await asyncio.sleep(delay)
            return read_message(frame, self._limits.frame_bytes)

    async def _handle(self, message: ClientMessage) -> None:
        if message.kind == "connection_init":
            await self._init(authorization_of(message.payload))
        elif message.kind == "ping":
            await self._send(_pong(message.payload))
        elif message.kind == "subscribe":
            assert message.parameters is not None
            await self._subscribe(message.id, message.parameters)
        elif message.kind == "complete" and (running := self._running.pop(message.id, None)):
            running.stop()

    async def _init(self, authorization: str | None) -> None:
        if self._acknowledged:
            raise Closed(4429, "Too many initialisation requests")
        self._timer.cancel()
        try:
            self._context = await self._door.make_context(authorization, self._request_id)
        except RequestFailed as failure:
            raise Closed(REFUSED_INIT.get(failure.code, 1013), failure.message) from None
        self._acknowledged = True
        if (left := self._door.seconds_left(self._context)) is not None:
            expired = Closed(4403, "The token has expired")
            self._timer = asyncio.get_running_loop().call_later(left, self.end, expired)
        await self._send(ACK)

    async def _subscribe(self, operation_id: str, parameters: Parameters) -> None:
        if not self._acknowledged:
            raise Closed(4401, "Unauthorized: send connection_init first and wait for connection_ack")
        if operation_id in self._running:
            raise Closed(4409, f"Subscriber for {operation_id} already exists")
        if len(self._tasks) >= self._limits.operations:
            text = f"At most {self._limits.operations} operations run at once on a socket."
            failure = RequestFailed(RequestCode.RATE_LIMITED, text)
            await self._send(self._error(operation_id, failure, self._request_id).decode())
            return
        self._started += 1
        running = Running(operation_id)
        request_id = f"{self._request_id}.{self._started}"
        running.task = asyncio.create_task(self._run(running, parameters, request_id))
        self._running[operation_id] = running
        self._tasks[running.task] = running
        running.task.add_done_callback(self._tasks.pop)

    async def _run(self, running: Running, parameters: Parameters, request_id: str) -> None:
        """Run one operation and send what it gives. Its id is free again before the last message is sent."""
        try:
            await self._send_results(running, parameters, request_id)
            last = b'{"id":%s,"type":"complete"}' % orjson.dumps(running.id)
        except PeerGone:
            return
        except Exception as failure:  # refused, or a bug
            last = self._error(running.id, failure, request_id)
        finally:
            if self._running.get(running.id) is running:
                del self._running[running.id]
        with suppress(PeerGone):
            await self._send_for(running, last)

    async def _send_results(self, running: Running, parameters: Parameters, request_id: str) -> None:
        execution, variables = self._door.execution, parameters.variables
        operation = execution.prepare(parameters.query, parameters.operation_name, variables)
        running.kind = operation.kind
        context = await self._door.renew(self._context)
        head = b'{"id":%s,"type":"next","payload":' % orjson.dumps(running.id)
        if operation.kind != "subscription":
            body = await execution.answer(operation, variables, context, request_id=request_id)
            await self._send_for(running, head + body + b"}")
            return
        events = execution.subscribe(operation, variables, context, request_id=request_id)
        async with aclosing(events):
            async for payload in events:
                await self._send_for(running, head + execution.encode(payload, request_id) + b"}")
                await asyncio.sleep(0)  # a source that is never empty must not keep the loop to itself

    def _error(self, operation_id: str, failure: Exception, request_id: str) -> bytes:
        errors = self._door.execution.refusal(failure, request_id)["errors"]
        return orjson.dumps({"id": operation_id, "type": "error", "payload": errors})

    async def _send_for(self, running: Running, message: bytes) -> None:
        if running.silent:
            raise PeerGone
        await self._send(message.decode())

    async def _send(self, message: str) -> None:
        """Wait until the peer can take it. Raises `PeerGone`; a peer that takes nothing is closed with
        1013."""
        if self._ended.done():
            raise PeerGone
        try:
            async with asyncio.timeout(self._limits.stalled_seconds), self._writing:
                await self._socket.send_text(message)
        except TimeoutError:
            self.end(Closed(1013, "The connection does not take any more messages"))
            raise PeerGone from None
        except (WebSocketDisconnect, WebSocketDisconnected):
            raise PeerGone from None


def _pong(payload: dict[str, Any] | None) -> str:
    pong = {"type": "pong"} if payload is None else {"type": "pong", "payload": payload}
    return orjson.dumps(pong).decode()
