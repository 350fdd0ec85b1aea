"""Accounts: registering, signing in, keeping a session alive, signing out.

Before somebody is known there is no viewer that row-level security could bind, so these run as the system and touch
only the rows of the account in question.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert

from auth.passwords import outdated
from auth.tokens import new_refresh_token, refresh_hash
from auth.viewer import SYSTEM, Viewer
from core.db import Transaction
from domain.accounts import REFRESH_LIFE, SESSION_LIFE, Role, check_registration, is_email, normal_email
from domain.errors import Refused, conflict, invalid, not_allowed
from models.accounts import Profile, Session, User, UserRole
from resolvers.context import Context


@dataclass(frozen=True)
class SignedIn:
    """A session as its holder gets it; the refresh token is shown this once."""

    user: User
    viewer: Viewer
    access_token: str
    refresh_token: str
    expires_at: datetime


async def register(ctx: Context, email: str, password: str, *, username: str | None = None) -> SignedIn:
    """A new account and its first session. Refuses bad input, a taken e-mail, a taken user name."""
    email = normal_email(email)
    if problems := check_registration(email, password, username):
        raise Refused(problems)
    password_hash = await ctx.passwords.hash(password)
    async with ctx.db.begin(SYSTEM) as tx:
        account = {
            "id": ctx.new_id(),
            "email": email,
            "password_hash": password_hash,
            "last_login_at": ctx.clock(),
        }
        made = await tx.scalar(
            insert(User).values(account).on_conflict_do_nothing(index_elements=[User.email]).returning(User)
        )
        if made is None:
            raise conflict("This e-mail address has an account already; sign in instead.", None, "email")
        await _make_profile(tx, made.id, username)
        tx.add(UserRole(user_id=made.id, role=Role.USER))
        return await _open_session(ctx, tx, made)


async def _make_profile(tx: Transaction, user_id: UUID, username: str | None) -> None:
    """A chosen name is the user's to mend when taken; a made one is random, since the e-mail is nobody's business."""
    name = username or f"listener-{secrets.token_hex(5)}"
    made = await tx.scalar(
        insert(Profile)
        .values(id=user_id, username=name)
        .on_conflict_do_nothing(index_elements=[func.lower(Profile.username)])
        .returning(Profile.id)
    )
    if made is None:
        raise conflict(f"The user name {name!r} is taken; choose another.", None, "username")


async def login(ctx: Context, email: str, password: str) -> SignedIn:
    """A new session. An unknown e-mail and a wrong password are told apart neither by the answer nor by its time."""
    user = await _account_of(ctx, normal_email(email))
    if not await ctx.passwords.verify(user.password_hash if user else None, password) or user is None:
        raise Refused([invalid("No account has this e-mail address and password.")])
    changes: dict[str, object] = {"last_login_at": ctx.clock()}
    if outdated(user.password_hash):
        changes["password_hash"] = await ctx.passwords.hash(password)
    async with ctx.db.begin(SYSTEM) as tx:
        await tx.execute(update(User).where(User.id == user.id).values(changes))
        return await _open_session(ctx, tx, user)


async def _account_of(ctx: Context, email: str) -> User | None:
    if not is_email(email):  # PostgreSQL cannot even compare some of what a stranger may send
        return None
    async with ctx.db.read(SYSTEM) as session:
        return await session.scalar(select(User).where(User.email == email))


async def refresh_session(ctx: Context, refresh_token: str) -> SignedIn:
    """Trade a refresh token for a new pair. One that was traded before is a stolen one: its whole family ends."""
    presented = refresh_hash(refresh_token)
    async with ctx.db.begin(SYSTEM) as tx:
        user = await _lock_holder(tx, Session.refresh_hash == presented)
        held = await tx.scalar(select(Session).where(Session.refresh_hash == presented))
        if user is not None and held is not None:
            if held.replaced_at is None and held.revoked_at is None and held.expires_at > ctx.clock():
                held.replaced_at = ctx.clock()
                return await _open_session(ctx, tx, user, after=held)
            if held.replaced_at is not None:
                await _end_family(tx, held.family_id, ctx.clock())
    if held is not None:
        ctx.sessions.forget(held.family_id)
    raise not_allowed("This refresh token is used up, expired or revoked; sign in again.")


async def logout(ctx: Context) -> None:
    """End the session that the access token belongs to, everywhere."""
    if ctx.viewer.session_id is None:
        return
    async with ctx.db.begin(SYSTEM) as tx:
        await _lock_holder(tx, Session.family_id == ctx.viewer.session_id)
        await _end_family(tx, ctx.viewer.session_id, ctx.clock())
    ctx.sessions.forget(ctx.viewer.session_id)


async def viewer_user(ctx: Context) -> User | None:
    """The account that asks; None for an anonymous request."""
    if ctx.viewer.user_id is None:
        return None
    async with ctx.db.read(ctx.viewer) as session:
        return await session.scalar(select(User).where(User.id == ctx.viewer.user_id))


async def _open_session(ctx: Context, tx: Transaction, user: User, *, after: Session | None = None) -> SignedIn:
    """A new refresh token: the first of a family, or the one that follows `after`."""
    now, token, id = ctx.clock(), new_refresh_token(), ctx.new_id()
    born = after.family_created_at if after else now
    session = Session(
        id=id,
        user_id=user.id,
        family_id=after.family_id if after else id,
        refresh_hash=refresh_hash(token),
        family_created_at=born,
        expires_at=min(now + REFRESH_LIFE, born + SESSION_LIFE),
    )
    tx.add(session)
    await tx.flush()
    access_token, expires_at = ctx.tokens.issue(user.id, session.family_id, now)
    viewer = Viewer("user", user.id, session.family_id, expires_at)
    return SignedIn(user, viewer, access_token, token, expires_at)


async def _lock_holder(tx: Transaction, which: ColumnElement[bool]) -> User | None:
    """Whoever holds the sessions in question; None when nobody does. One transaction at a time changes their sessions:
    the end of a family that overlapped a refresh would miss the token that the refresh is about to add.
    """
    holders = select(Session.user_id).where(which)
    return await tx.scalar(select(User).where(User.id.in_(holders)).with_for_update(key_share=True))


async def _end_family(tx: Transaction, family_id: UUID, now: datetime) -> None:
    await tx.execute(
        update(Session).where(Session.family_id == family_id, Session.revoked_at.is_(None)).values(revoked_at=now)
    )
