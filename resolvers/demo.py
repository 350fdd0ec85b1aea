"""The demo account of a development server: the same credentials at every start, and nobody's guess."""

from __future__ import annotations

import hashlib

from sqlalchemy import select, update

from auth.keys import derive_key
from auth.viewer import SYSTEM
from domain.errors import Refused
from models.accounts import User
from resolvers.accounts import register
from resolvers.context import Context

DEMO_EMAIL = "demo@antiphon.local"


def demo_credentials(secret_key: str) -> tuple[str, str]:
    """E-mail and password."""
    return DEMO_EMAIL, hashlib.sha256(derive_key(secret_key, "demo-password")).hexdigest()[:12]


async def ensure_demo(ctx: Context, credentials: tuple[str, str]) -> None:
    """Make the account, or give the one that is there this password: the signing key may be another than last time."""
    email, password = credentials
    try:
        await register(ctx, email, password)
    except Refused:
        async with ctx.db.read(SYSTEM) as session:
            stored = await session.scalar(select(User.password_hash).where(User.email == email))
        if not await ctx.passwords.verify(stored, password):
            fresh = await ctx.passwords.hash(password)
            async with ctx.db.begin(SYSTEM) as tx:
                await tx.execute(update(User).where(User.email == email).values(password_hash=fresh))
