"""uvicorn's WebSocket protocol, made to let go of peers that do not read.

uvicorn closes such a connection politely: it waits until the peer has taken what is buffered, which is never.
The socket then stays, with its memory, and stopping the server takes as long as it is allowed to.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# The closing handshake has 10 s (`close_timeout`); one more, and whatever is still buffered is thrown away.
ABORT_SECONDS = 11.0


class ImpatientWebSocketProtocol(WebSocketsSansIOProtocol):
    """To be given to uvicorn as `ws`."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            if self.transport.get_write_buffer_size():
                self.loop.call_later(ABORT_SECONDS, self.transport.abort)
