"""What keeps the house in order: ringing for work that nobody was called to, clearing away what has had its time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Select, delete, exists, func, literal, or_, select

from auth.viewer import SYSTEM
from core.db import Job
from core.queue import enqueue
from domain.events import PRUNE_MARGIN, RETENTION
from domain.generations import AttemptState
from domain.tracks import UNDELETE
from jobs.context import WorkerContext
from jobs.generations import INGESTING
from models.accounts import Session
from models.events import Event
from models.generations import Attempt, Generation
from models.media import MediaObject
from models.tracks import Track
from models.versions import Stem, Version

log = structlog.get_logger()

# Work that has been due for longer than this was not rung for, or its bell was lost with Redis or a worker.
MISSED = timedelta(seconds=3)
# What has outlived so many workers in a row may be what killed them: it runs again only while no other suspect does, so
# that the innocent among them get through and do not share the end of the guilty.
SUSPICIOUS = 3
AT_ONCE = 1000  # bells in one round; the next round comes in seconds
# A ring whose job died between leaving the queue and its claim blocks the same key: so the key changes with time.
RING_AGAIN_SECONDS = 20

# An object is stored before its row is committed, a download lies in the scratch space while its step runs: an hour is
# far longer than any step lives.
ORPHAN_AGE = timedelta(hours=1)


async def ring_for_missed(worker: WorkerContext) -> None:
    """Call workers to every step that is due and in nobody's hands, and to every provider that is still to be told of
    an end."""
    free = or_(Generation.leased_until.is_(None), Generation.leased_until < func.now())
    due = (
        select(Generation.id, Generation.step, Generation.fence)
        .where(Generation.step.is_not(None), Generation.due_at < func.now() - MISSED, free)
        .order_by(Generation.due_at)
    )
    missed = due.where(Generation.strikes < SUSPICIOUS).limit(AT_ONCE)
    under_watch = exists().where(Generation.strikes >= SUSPICIOUS, Generation.step.is_not(None), ~free)
    suspect = (
        due.where(Generation.strikes >= SUSPICIOUS, ~under_watch).order_by(None).order_by(Generation.strikes).limit(1)
    )
    untold = (
        select(Generation.id, literal("stop"), Generation.fence)
        .join(Attempt, Attempt.generation_id == Generation.id)
        .where(Attempt.state.in_(AttemptState.live()), Generation.completed_at < func.now() - MISSED)
        .limit(AT_ONCE)
    )
    async with worker.db.read(SYSTEM) as session:
        found = [row for query in (missed, suspect, untold) for row in await session.execute(query)]
    round_number = int(time.time() // RING_AGAIN_SECONDS)
    for id, step, fence in found:
        key = f"{id}:{fence}:{step}:{round_number}"
        await enqueue(worker.redis, Job(f"generations.{step}".lower(), str(id), key))
    if found:
        log.info("upkeep.rang", count=len(found))


async def prune(worker: WorkerContext) -> None:
    """Forget events that nobody can resume from any more, dead sessions, and tracks whose time in the bin is over."""
    expired = Track.deleted_at < func.now() - UNDELETE
    stems = select(Stem.id).join(Version, Version.id == Stem.version_id).join(Track, Track.id == Version.track_id)
    for doomed in (
        select(Event.id).where(Event.created_at < func.now() - RETENTION - PRUNE_MARGIN),
        select(Session.id).where(Session.expires_at < func.now()),
        # The cascade reaches a track's files before its stems, which refer to them.
        stems.where(expired),
        select(Track.id).where(expired),
    ):
        await _delete_all(worker, doomed)


async def _delete_all(worker: WorkerContext, doomed: Select[Any]) -> None:
    """Delete the rows with these ids, so many in a transaction: a backlog must not outlast a statement's time."""
    key = doomed.selected_columns[0]
    while True:
        async with worker.db.begin(SYSTEM) as tx:
            rows = delete(key.table).where(key.table.c.id.in_(doomed.limit(AT_ONCE))).returning(key.table.c.id)
            if len((await tx.execute(rows)).all()) < AT_ONCE:
                return


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
    await asyncio.to_thread(_clear_scratch, worker.scratch / INGESTING, cutoff.timestamp())


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
    for place in scratch.glob("*"):
        with suppress(FileNotFoundError):  # its step has just ended
            if place.stat().st_mtime < before:
                shutil.rmtree(place, ignore_errors=True)
