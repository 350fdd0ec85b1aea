"""uvicorn, as we run it: on a socket that is ours before anything else starts, and with streams that end in time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from core.datadir import CannotStart
from web.protocols import ImpatientWebSocketProtocol
from web.quick import QuickAnswer, quick_protocol
from web.streams import MAX_STREAMS, Streams
from web.websocket import SocketLimits

BACKLOG = 2048
PING_SECONDS = 20.0  # how often a peer is asked whether it lives, and how long it may take to answer
SHUTDOWN_SECONDS = 8  # what open requests get to finish, after the streams have been told to go


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises `CannotStart` with what to do when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise CannotStart(f"Port {port} on {host} is taken; set ANTIPHON_PORT to a free one.") from None
        if fault.errno == errno.EACCES:
            raise CannotStart(f"Port {port} needs more rights; set ANTIPHON_PORT to one above 1023.") from None
        reason = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault)
        raise CannotStart(f"Cannot listen on {host}:{port} ({reason}); set ANTIPHON_HOST and ANTIPHON_PORT.") from None
    return listener


class Server(uvicorn.Server):
    """Streams are told to reconnect before anything else is closed. Signals are the composition root's business.
    `quick` answers plain GraphQL requests without going through `app` (`web/quick.py`)."""

    def __init__(self, app: ASGIApp, streams: Streams, quick: QuickAnswer | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                http=quick_protocol(quick) if quick else "httptools",
                ws=ImpatientWebSocketProtocol,
                ws_max_size=2
                * SocketLimits().frame_bytes,  # what is a little too long is refused in words, by ourselves
                ws_per_message_deflate=False,  # 2.7 × the processor time and 42 instead of 16 KiB a socket
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                limit_concurrency=MAX_STREAMS + 2000,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._streams = streams
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._streams.close_all()
        await super().shutdown(sockets)
