"""Versions of tracks and their stems, as stored."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.generations import StemKind
from domain.tracks import VersionKind
from models.base import Created, Id, Owner, Row, one_of, owned_by_the_owner_of


class Version(Row):
    """One playable take. A generation gives several (`variant` 1, 2, …) of one `number`; an extension is number 2."""

    __tablename__ = "versions"
    __table_args__ = (
        one_of("kind", VersionKind),
        owned_by_the_owner_of("track_id", "tracks"),
        ForeignKeyConstraint(
            ["track_id", "generation_id"], ["generations.track_id", "generations.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("id", "user_id"),
        UniqueConstraint("track_id", "id"),
        UniqueConstraint("track_id", "number", "variant"),
        UniqueConstraint("generation_id", "variant"),
        ForeignKeyConstraint(
            ["track_id", "media_id"], ["media_objects.track_id", "media_objects.id"], name="fk_versions_media"
        ),
        ForeignKeyConstraint(
            ["track_id", "lossless_media_id"],
            ["media_objects.track_id", "media_objects.id"],
            name="fk_versions_lossless_media",
        ),
        CheckConstraint("number > 0 and variant > 0", name="counted_from_one"),
        CheckConstraint("duration_ms > 0", name="duration_is_positive"),
        Index("ix_versions_user_id", "user_id"),
        Index("ix_versions_parent_id", "parent_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    track_id: Mapped[UUID]
    generation_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(SmallInteger)
    variant: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("versions.id", ondelete="SET NULL"))
    media_id: Mapped[UUID]
    lossless_media_id: Mapped[UUID | None]
    duration_ms: Mapped[int]
    output_key: Mapped[str]
    lyrics: Mapped[str | None]
    created_at: Mapped[Created]


class Stem(Row):
    """One part of a version's mix."""

    __tablename__ = "stems"
    __table_args__ = (
        one_of("kind", StemKind),
        owned_by_the_owner_of("version_id", "versions"),
        UniqueConstraint("version_id", "kind"),
        Index("ix_stems_user_id", "user_id"),
        Index("ix_stems_media_id", "media_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    version_id: Mapped[UUID]
    kind: Mapped[str]
    media_id: Mapped[UUID] = mapped_column(ForeignKey("media_objects.id"))
    duration_ms: Mapped[int]
    created_at: Mapped[Created]
