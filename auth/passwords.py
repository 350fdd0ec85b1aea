"""Passwords: argon2id, off the event loop, a few at a time."""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# RFC 9106's second recommendation (64 MiB, 3 passes, 4 lanes): about 140 ms here.
HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)

# Two at once: 128 MiB at most, and sign-ins cannot starve everything else of the processor.
AT_ONCE = 2

# The hash of a password nobody has, with HASHER's parameters: verifying against it takes as long as against a real one.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$jACh0KcoEeoDCVVe0GjEPA$zEUBmpB3VwX692JQ4HaNVB1Q5lzLmrALuv9Kdws2tUE"


class Passwords:
    """Hashes and verifies with bounded concurrency. One per process."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(AT_ONCE)

    async def hash(self, password: str) -> str:
        return await to_thread.run_sync(HASHER.hash, password, limiter=self._limiter)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the stored one. Takes equally long when nothing is stored (an unknown e-mail)."""
        return await to_thread.run_sync(_matches, stored, password, limiter=self._limiter)


def _matches(stored: str | None, password: str) -> bool:
    try:
        HASHER.verify(stored or NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def outdated(stored: str) -> bool:
    """Whether the hash was made with weaker parameters than today's and should be made anew at this sign-in."""
    return HASHER.check_needs_rehash(stored)
