"""uvicorn's HTTP protocol, with a shorter way for what it gets most: a whole POST to `/graphql`.

uvicorn starts an application at the end of a request's head, makes a scope, a queue and a state machine for it, and
writes head and body of the answer apart, in two system calls. A plain request needs none of that: it comes in one read,
and its answer leaves in one write. This takes 11 µs of processor, where uvicorn's way takes 25; a query of one row
takes 50 in all. What is not plain (longer, streaming, from a browser's page, pipelined, …) goes uvicorn's own way, and
is answered by the same code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = structlog.get_logger()

PATH = b"/graphql"
Pairs = Sequence[tuple[bytes, bytes]]

# (headers by name, body) → status, headers and body of the answer, whatever happens.
QuickAnswer = Callable[[dict[bytes, bytes], bytes], Awaitable[tuple[int, Pairs, bytes]]]

# What these headers ask for is uvicorn's business, or that of the layers around the application.
UNUSUAL = frozenset({b"origin", b"expect", b"upgrade", b"transfer-encoding"})
STREAM = b"event-stream"


def quick_protocol(answer: QuickAnswer) -> type[QuickProtocol]:
    """The protocol for uvicorn's `http`, with `answer` for plain requests."""
    return type("GraphQLProtocol", (QuickProtocol,), {"answer": (answer,)})


class QuickRequest:
    """Stands in the place of uvicorn's cycle while a plain request is answered: what uvicorn asks of one, and sets."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    def __init__(self) -> None:
        self.response_complete = self.disconnected = False
        self.keep_alive = True

    @property
    def message_event(self) -> QuickRequest:
        return self

    def set(self) -> None:
        """Nobody waits for more of the request."""


class QuickProtocol(HttpToolsProtocol):
    """A connection. `_plain` has the headers by name of a plain request that is coming in, None while there is none;
    `_body` is its body, as far as it has come."""

    answer: ClassVar[tuple[QuickAnswer]]  # in a tuple, lest it become a method
    _plain: dict[bytes, bytes] | None = None
    _body = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._plain is not None:  # the rest is still on its way, and may never come
            self._plain = None
            self._begin_at_length()
            if self._body:
                super().on_body(self._body)

    def on_message_begin(self) -> None:
        """Without the scope that uvicorn makes here."""
        self.url, self.headers, self.expect_100_continue, self._body = b"", [], False, b""

    def on_headers_complete(self) -> None:
        headers = dict(reversed(self.headers))
        if self._is_plain(headers):
            self._plain = headers
        else:
            self._begin_at_length()

    def on_body(self, body: bytes) -> None:
        if self._plain is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._plain is None:
            super().on_message_complete()
            return
        headers, self._plain = self._plain, None
        request: Any = QuickRequest()
        self.cycle = request
        task = self.loop.create_task(self._respond(request, headers, self._body))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _begin_at_length(self) -> None:
        """uvicorn's own way, from the beginning."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # in place: the scope has this list
        super().on_headers_complete()

    def _is_plain(self, headers: dict[bytes, bytes]) -> bool:
        if self.url != PATH or self.parser.get_method() != b"POST" or not UNUSUAL.isdisjoint(headers):
            return False
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.flow.write_paused or not self.parser.should_keep_alive():
            return False
        most = self.limit_concurrency
        if most is not None and (len(self.connections) >= most or len(self.tasks) >= most):
            return False
        return self.parser.get_http_version() == "1.1" and STREAM not in headers.get(b"accept", b"")

    async def _respond(self, request: QuickRequest, headers: dict[bytes, bytes], body: bytes) -> None:
        try:
            status, pairs, content = await self.answer[0](headers, body)
        except Exception as fault:  # of our own edge: execution masks its failures
            log.error("request.failed", exc_info=fault)
            request.keep_alive = False
            status, pairs, content = 500, (), b""
        if self.transport.is_closing():
            return
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *pairs):
            lines += (name, b": ", value, b"\r\n")
        closing = b"" if request.keep_alive else b"connection: close\r\n"
        lines.append(b"content-length: %d\r\n%s\r\n" % (len(content), closing))
        lines.append(content)
        self.transport.write(b"".join(lines))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()
