"""What keeps the house in order: ringing for work that nobody was called to, and clearing away what has had its time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import delete, func, or_, select

from auth.viewer import SYSTEM
from core.db import Job
from core.queue import enqueue
from domain.events import PRUNE_MARGIN, RETENTION
from domain.tracks import UNDELETE
from jobs.context import WorkerContext
from models.accounts import Session
from models.events import Event
from models.generations import Generation
from models.media import MediaObject
from models.tracks import Track

log = structlog.get_logger()

# Work that has been due for longer than this was not rung for, or its bell was lost with Redis or a worker.
MISSED = timedelta(seconds=3)
AT_ONCE = 1000  # bells in one round; the next round comes in seconds
# A ring whose job died between leaving the queue and its claim blocks the same key: so the key changes with time.
RING_AGAIN_SECONDS = 20

# An object is stored before its row is committed; an hour is far longer than any step lives between the two.
ORPHAN_AGE = timedelta(hours=1)
SCRATCH_AGE = timedelta(days=1)


async def ring_for_missed(worker: WorkerContext) -> None:
    """Call workers to every step that is due and in nobody's hands."""
    missed = (
        select(Generation.id, Generation.step, Generation.fence)
        .where(Generation.step.is_not(None), Generation.due_at < func.now() - MISSED)
        .where(or_(Generation.leased_until.is_(None), Generation.leased_until < func.now()))
        .order_by(Generation.due_at)
        .limit(AT_ONCE)
    )
    async with worker.db.read(SYSTEM) as session:
        found = (await session.execute(missed)).all()
    round_number = int(time.time() // RING_AGAIN_SECONDS)
    for id, step, fence in found:
        key = f"{id}:{fence}:{round_number}"
        await enqueue(worker.redis, Job(f"generations.{step}".lower(), str(id), key))
    if found:
        log.info("upkeep.rang", count=len(found))


async def prune(worker: WorkerContext) -> None:
    """Forget events that nobody can resume from any more, dead sessions, and tracks whose time in the bin is over."""
    async with worker.db.begin(SYSTEM) as tx:
        await tx.execute(delete(Event).where(Event.created_at < func.now() - RETENTION - PRUNE_MARGIN))
        await tx.execute(delete(Session).where(Session.expires_at < func.now()))
        await tx.execute(delete(Track).where(Track.deleted_at < func.now() - UNDELETE))


async def sweep(worker: WorkerContext) -> None:
    """Remove stored objects that no row names, and what killed workers left on the disk."""
    cutoff = worker.clock() - ORPHAN_AGE
    batch: list[str] = []
    async for stored in worker.storage.list(cutoff):
        batch.append(stored.key)
        if len(batch) == AT_ONCE:
            await _remove_orphans(worker, batch)
            batch = []
    await _remove_orphans(worker, batch)
    await worker.storage.remove_unfinished(cutoff)
    await asyncio.to_thread(_clear_scratch, worker.scratch, (worker.clock() - SCRATCH_AGE).timestamp())


async def _remove_orphans(worker: WorkerContext, keys: Sequence[str]) -> None:
    async with worker.db.read(SYSTEM) as session:
        named = set(await session.scalars(select(MediaObject.key).where(MediaObject.key.in_(keys))))
    cutoff = worker.clock() - ORPHAN_AGE
    for key in set(keys) - named:
        stored = await worker.storage.stat(key)
        # Stored again meanwhile: its row is about to come.
        if stored is not None and stored.modified < cutoff:
            await worker.storage.delete(key)
            log.info("object.removed", key=key)


def _clear_scratch(scratch: Path, before: float) -> None:
    for place in scratch.iterdir():
        if place.stat().st_mtime < before:
            shutil.rmtree(place, ignore_errors=True)
