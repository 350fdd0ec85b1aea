"""Tracks, as stored.

A track's `status` is COMPLETED as soon as it has a version to play; before that it is that of its newest generation.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from domain.generations import GenerationStatus
from domain.tracks import Visibility
from models.base import Created, Id, Owner, Row, Updated, one_of


class Track(Row):
    """A song: what was asked for, and which version stands for it. `revision` rises with every change."""

    __tablename__ = "tracks"
    __table_args__ = (
        one_of("status", GenerationStatus),
        one_of("visibility", Visibility),
        # The primary version is one of the track's own.
        ForeignKeyConstraint(
            ["id", "primary_version_id"],
            ["versions.track_id", "versions.id"],
            name="fk_tracks_primary_version",
            use_alter=True,
        ),
        ForeignKeyConstraint(
            ["id", "cover_media_id"],
            ["media_objects.track_id", "media_objects.id"],
            name="fk_tracks_cover_media",
            use_alter=True,
        ),
        CheckConstraint("status <> 'COMPLETED' or primary_version_id is not null", name="completed_has_version"),
        CheckConstraint("revision > 0", name="revision_is_positive"),
        UniqueConstraint("id", "user_id"),
        # The library page: newest first, without the bin.
        Index(
            "ix_tracks_library",
            "user_id",
            text("created_at desc"),
            text("id desc"),
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_tracks_bin",
            "user_id",
            text("created_at desc"),
            text("id desc"),
            postgresql_where=text("deleted_at is not null"),
        ),
        Index(
            "ix_tracks_public",
            text("created_at desc"),
            text("id desc"),
            postgresql_where=text("visibility = 'PUBLIC' and deleted_at is null"),
        ),
        # The same lists, the last changed first.
        Index(
            "ix_tracks_library_updated",
            "user_id",
            text("updated_at desc"),
            text("id desc"),
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_tracks_bin_updated",
            "user_id",
            text("updated_at desc"),
            text("id desc"),
            postgresql_where=text("deleted_at is not null"),
        ),
        Index(
            "ix_tracks_public_updated",
            text("updated_at desc"),
            text("id desc"),
            postgresql_where=text("visibility = 'PUBLIC' and deleted_at is null"),
        ),
        # And those that stand so, or were made by this one. What most tracks have in common is found by walking
        # through the whole list, without these.
        Index("ix_tracks_status", "user_id", "status", "created_at", postgresql_where=text("deleted_at is null")),
        Index("ix_tracks_provider", "user_id", "provider", "created_at", postgresql_where=text("deleted_at is null")),
        Index(
            "ix_tracks_public_status",
            "status",
            "created_at",
            postgresql_where=text("visibility = 'PUBLIC' and deleted_at is null"),
        ),
        Index(
            "ix_tracks_public_provider",
            "provider",
            "created_at",
            postgresql_where=text("visibility = 'PUBLIC' and deleted_at is null"),
        ),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    title: Mapped[str]
    prompt: Mapped[str]
    lyrics: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    instrumental: Mapped[bool]
    status: Mapped[str]
    visibility: Mapped[str] = mapped_column(server_default=Visibility.PRIVATE)
    provider: Mapped[str | None]
    model: Mapped[str | None]
    primary_version_id: Mapped[UUID | None]
    cover_media_id: Mapped[UUID | None]
    like_count: Mapped[int] = mapped_column(server_default=text("0"))
    play_count: Mapped[int] = mapped_column(server_default=text("0"))
    revision: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
    deleted_at: Mapped[datetime | None]


async def touch(tx: AsyncSession, track_id: UUID, **changes: object) -> Track | None:
    """Change a track's row and raise its revision, in one statement; None when the viewer may not, or it is gone."""
    statement = (
        update(Track)
        .where(Track.id == track_id)
        .values(revision=Track.revision + 1, updated_at=func.now(), **changes)
        .returning(Track)
    )
    return (await tx.scalars(statement, execution_options={"populate_existing": True})).one_or_none()
