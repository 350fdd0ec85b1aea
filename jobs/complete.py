"""The last transaction of a generation: its files, versions and stems become rows together, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from core.db import Transaction
from domain.generations import GenerationKind, GenerationStatus
from domain.tracks import VersionKind
from jobs.media import Kept, Take
from models.events import EventKind, announce
from models.generations import Generation
from models.media import MediaObject
from models.tracks import Track, touch
from models.versions import Stem, Version

VERSION_KINDS = {
    GenerationKind.GENERATE: VersionKind.ORIGINAL,
    GenerationKind.EXTEND: VersionKind.EXTEND,
    GenerationKind.COVER: VersionKind.COVER,
    GenerationKind.REMIX: VersionKind.REMIX,
}


async def complete(
    tx: Transaction, generation: Generation, takes: tuple[Take, ...], new_id: Callable[[], UUID]
) -> None:
    """Add what the generation made to its track and tell the subscribers. The caller has ended the generation."""
    track = (await tx.scalars(select(Track).where(Track.id == generation.track_id).with_for_update())).one()
    writer = _Writer(tx, track, new_id)
    if generation.kind == GenerationKind.STEMS and generation.source_version_id is not None:
        await writer.add_stems(generation.source_version_id, takes[0])
        await touch(tx, track.id)
    else:
        await touch(tx, track.id, **await writer.add_versions(generation, takes))
    await announce(tx, EventKind.UPDATED, user_id=track.user_id, track_id=track.id)


class _Writer:
    """Adds rows below one locked track."""

    def __init__(self, tx: Transaction, track: Track, new_id: Callable[[], UUID]) -> None:
        self.tx, self.track, self.new_id = tx, track, new_id

    async def add_versions(self, generation: Generation, takes: tuple[Take, ...]) -> dict[str, Any]:
        """The takes as versions under the next number. Returns what changes on the track: the first take stands for a
        track that had none."""
        number = (await self._highest_number()) + 1
        added = [await self._add_version(generation, number, take) for take in takes if take.audio is not None]
        covers = [take.cover for take in takes if take.cover is not None]
        changes: dict[str, Any] = {"status": GenerationStatus.COMPLETED}
        if self.track.primary_version_id is None:
            changes["primary_version_id"] = added[0]
        if self.track.cover_media_id is None and covers:
            changes["cover_media_id"] = await self._add_media(covers[0])
        return changes

    async def _highest_number(self) -> int:
        highest = select(func.coalesce(func.max(Version.number), 0)).where(Version.track_id == self.track.id)
        return int((await self.tx.scalars(highest)).one())

    async def _add_version(self, generation: Generation, number: int, take: Take) -> UUID:
        assert take.audio is not None
        version = Version(
            id=self.new_id(),
            user_id=self.track.user_id,
            track_id=self.track.id,
            generation_id=generation.id,
            number=number,
            variant=take.variant,
            kind=VERSION_KINDS[GenerationKind(generation.kind)],
            parent_id=generation.source_version_id,
            media_id=await self._add_media(take.audio),
            lossless_media_id=await self._add_media(take.lossless) if take.lossless else None,
            duration_ms=take.audio.duration_ms,
            output_key=take.output_key,
            lyrics=take.lyrics,
        )
        self.tx.add(version)
        await self.tx.flush()
        await self.add_stems(version.id, take)
        return version.id

    async def add_stems(self, version_id: UUID, take: Take) -> None:
        """The stems of a version; one that it has already stays."""
        for kind, kept in take.stems:
            row = {"id": self.new_id(), "version_id": version_id, "kind": kind, "user_id": self.track.user_id}
            row |= {"media_id": await self._add_media(kept), "duration_ms": kept.duration_ms}
            await self.tx.execute(insert(Stem).values(row).on_conflict_do_nothing())

    async def _add_media(self, kept: Kept) -> UUID:
        """The row of a stored file; equal bytes within a track share one."""
        row = {
            "id": self.new_id(),
            "user_id": self.track.user_id,
            "track_id": self.track.id,
            "key": kept.key,
            "purpose": kept.purpose,
            "content_type": kept.content_type,
            "size_bytes": kept.size_bytes,
            "sha256": kept.sha256,
            "duration_ms": kept.duration_ms,
            "peaks": kept.peaks,
        }
        shared = insert(MediaObject).values(row)
        # An update that changes nothing, so that the row that was there is returned.
        shared = shared.on_conflict_do_update(
            index_elements=[MediaObject.track_id, MediaObject.key], set_={"key": shared.excluded.key}
        )
        return (await self.tx.scalars(shared.returning(MediaObject.id))).one()
