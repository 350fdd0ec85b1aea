"""Ids: UUIDv7, made here and not in the database, which may be PostgreSQL 15 (`uuidv7()` came with 18).

Time-ordered, so that rows made together lie together in the index and keyset pages need no second sort column.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then a counter that only rises, then randomness.

    Strictly increasing within a process: 12 bits of sub-millisecond fraction, bumped when two calls fall together.
    """
    global _last
    now = time.time_ns()
    # 1 ms = 4096 steps of 244 ns: milliseconds and fraction as one number that must rise.
    stamp = (now // 1_000_000 << 12) | (now % 1_000_000 * 4096 // 1_000_000)
    with _lock:
        _last = stamp = max(stamp, _last + 1)
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=(stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random)
