"""Loopback ports for the embedded engines."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

# Below the range from which Linux takes the ports of outgoing connections (32768 and up, the default
# everywhere): in that range a client that knocks while its engine is down can be given that very port,
# connect to itself, and keep the engine out. Above the usual ports of other software.
FIRST, LAST = 15_000, 32_000

# Enough that twenty random ports are all taken on no machine that still works.
TRIES = 20


class PortIsTaken(Exception):
    """Somebody else listens on `port`: try another one."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port


def is_free(port: int) -> bool:
    """Whether an engine could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the engines do: TIME_WAIT does not count
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def candidates(remembered: int | None) -> Iterator[int]:
    """Free ports to try in turn, the one from last time first."""
    if remembered is not None and is_free(remembered):
        yield remembered
    yield from filter(is_free, random.sample(range(FIRST, LAST), TRIES))
