"""Who is here: users, their public profiles, roles, and sessions.

Only `profiles` can be read by strangers, so whatever is private stands on `users`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.accounts import Role, Tier
from models.base import Created, Id, Owner, Row, Updated, one_of


class User(Row):
    """An account. `email` is stored in lower case and is unique; `password_hash` is argon2id."""

    __tablename__ = "users"
    __table_args__ = (one_of("tier", Tier),)

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    tier: Mapped[str] = mapped_column(server_default=Tier.FREE)
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
    last_login_at: Mapped[datetime | None]


class Profile(Row):
    """The face a user shows to others; made in the same transaction as the user and keyed by its id."""

    __tablename__ = "profiles"
    __table_args__ = (Index("uq_profiles_username", text("lower(username)"), unique=True),)

    id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    username: Mapped[str]
    display_name: Mapped[str | None]
    avatar_url: Mapped[str | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]


class UserRole(Row):
    """A role that a user holds. Everybody is a USER; MODERATOR and ADMIN are granted."""

    __tablename__ = "user_roles"
    __table_args__ = (one_of("role", Role),)

    user_id: Mapped[Owner] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[Created]


class Session(Row):
    """One refresh token. Rotation adds a row to the same family; the family is what a person calls a session.

    A token that comes back after it was replaced proves that two parties hold it: the whole family is revoked.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_family_id", "family_id"),
        Index("ix_sessions_expires_at", "expires_at"),
        Index("ix_sessions_user_id", "user_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    family_id: Mapped[UUID]
    refresh_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[Created]
    family_created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
