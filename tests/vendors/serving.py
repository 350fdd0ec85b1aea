"""A Starlette application on a free loopback port, in the loop of whoever asks, whose connections can be broken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BreakableProtocol(HttpToolsProtocol):
    """Hands the connection to the application: ASGI alone cannot close one without answering."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"connection": {"transport": self.transport}}


def break_off(request: Request) -> None:
    """Close the connection at once. What was written so far still arrives, an answer not begun never does."""
    transport: asyncio.Transport = request.scope["extensions"]["connection"]["transport"]
    transport.close()


class QuietServer(uvicorn.Server):
    """Leaves the process's signals to the process: this server ends with its context."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        """Uvicorn's own looks ten times a second whether it shall end; hundreds of tests would wait for that."""
        await self.on_tick(0)  # what it does here is to set the headers that every answer has
        await self.ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: Starlette, port: int = 0) -> AsyncIterator[str]:
    """The application's base URL, without a slash at its end. Port 0: a free one."""
    listener = socket.create_server(("127.0.0.1", port))
    protocol: Any = BreakableProtocol
    config = uvicorn.Config(app, http=protocol, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.002)
        if serving.done():
            await serving
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.ended.set()
        await serving
        listener.close()
