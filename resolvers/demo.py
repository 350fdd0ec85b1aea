"""The demo account of a development server: the same credentials at every start, and nobody's guess."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from auth.keys import derive_key
from domain.errors import Refused
from resolvers.accounts import register
from resolvers.context import Context

DEMO_EMAIL, DEMO_USERNAME = "demo@antiphon.local", "demo"


def demo_credentials(secret_key: str) -> tuple[str, str]:
    """E-mail and password."""
    return DEMO_EMAIL, hashlib.sha256(derive_key(secret_key, "demo-password")).hexdigest()[:12]


async def ensure_demo(ctx: Context, credentials: tuple[str, str]) -> None:
    """Make the account unless it is there."""
    with suppress(Refused):
        await register(ctx, *credentials, username=DEMO_USERNAME)
