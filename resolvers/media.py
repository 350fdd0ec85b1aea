"""Which files may be served: those that have a row, for whoever holds a signed URL or may see the row."""

from __future__ import annotations

from sqlalchemy import select

from auth.viewer import ANONYMOUS, SYSTEM
from core.db import Database
from models.media import MediaObject


async def find_media(db: Database, key: str, *, signed: bool) -> MediaObject | None:
    """The facts of a stored file. A signature stands for the right to see it; without one only public rows are seen."""
    async with db.read(SYSTEM if signed else ANONYMOUS) as session:
        return await session.scalar(select(MediaObject).where(MediaObject.key == key).limit(1))
