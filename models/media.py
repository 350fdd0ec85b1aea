"""Files in our own storage, content-addressed: the key is the hash, so the same bytes are stored once.

A row is a permission to serve: `/media/{key}` answers only for keys that have one. One file may have rows of several
tracks; it is deleted when the last is gone.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Created, Id, Owner, Row, one_of, owned_by_the_owner_of


class MediaPurpose(StrEnum):
    AUDIO = "AUDIO"
    LOSSLESS = "LOSSLESS"
    STEM = "STEM"
    COVER = "COVER"


class MediaObject(Row):
    """One file of one track. `peaks` are the waveform (see `domain/waveforms.py`); sizes in bytes, durations in ms."""

    __tablename__ = "media_objects"
    __table_args__ = (
        owned_by_the_owner_of("track_id", "tracks"),
        UniqueConstraint("track_id", "key"),
        one_of("purpose", MediaPurpose),
        CheckConstraint("size_bytes > 0", name="size_is_positive"),
        Index("ix_media_objects_key", "key"),
        Index("ix_media_objects_user_id", "user_id"),
        UniqueConstraint("track_id", "id"),
    )

    id: Mapped[Id]
    user_id: Mapped[Owner]
    track_id: Mapped[UUID]
    key: Mapped[str]
    purpose: Mapped[str]
    content_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    duration_ms: Mapped[int | None]
    peaks: Mapped[bytes | None]
    created_at: Mapped[Created]
