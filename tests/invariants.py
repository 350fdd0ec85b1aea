"""What must hold after every fault, asked of the rows and of the store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from core.clock import system_clock
from jobs.upkeep import ORPHAN_AGE, sweep
from tests.studio import Studio

ENDED = ("COMPLETED", "FAILED", "CANCELED")


async def check_all(studio: Studio, *, accepted: Iterable[str], variants: int = 2, stems: int = 2) -> None:
    """Everything below. `accepted` are the references of the submits that the provider took."""
    await every_generation_ended_once(studio, variants=variants, stems=stems)
    await nothing_was_paid_for_twice(studio, accepted)
    await every_end_was_announced(studio)
    await rows_and_files_agree(studio)


async def every_generation_ended_once(studio: Studio, *, variants: int = 2, stems: int = 2) -> None:
    """One terminal state, all of its versions or none, and no attempt that somebody might still be working on."""
    generations = await studio.sql("""
        select g.id, g.status, g.step, g.leased_until, t.status as track_status, t.primary_version_id,
          (select count(*) from versions v where v.generation_id = g.id) as versions,
          (select count(*) from stems s join versions v on v.id = s.version_id where v.generation_id = g.id) as stems,
          (select array_agg(state order by number) from generation_attempts a where a.generation_id = g.id) as attempts
        from generations g join tracks t on t.id = g.track_id""")
    for row in generations:
        made = row["status"] == "COMPLETED"
        assert row["status"] in ENDED, row
        assert (row["step"], row["leased_until"]) == (None, None), row
        assert row["versions"] == (variants if made else 0), row
        assert row["stems"] == (variants * stems if made else 0), row
        assert (row["primary_version_id"] is not None) == made, row
        assert row["track_status"] == row["status"], row
        states = Counter(row["attempts"] or [])
        assert states["SUCCEEDED"] == int(made), row
        assert not states.keys() & {"SUBMITTING", "SUBMITTED", "IN_DOUBT"}, row


async def nothing_was_paid_for_twice(studio: Studio, accepted: Iterable[str]) -> None:
    """A reference is accepted once at most, and a second one for the same generation only after the first had ended."""
    times = Counter(accepted)
    assert all(count == 1 for count in times.values()), times
    attempts = await studio.sql(
        "select id::text, generation_id, state, created_at, finished_at from generation_attempts"
    )
    assert times.keys() <= {row["id"] for row in attempts}
    overlapping = await studio.sql("""
        select a.id, b.id from generation_attempts a join generation_attempts b
        on a.generation_id = b.generation_id and a.number < b.number and a.finished_at > b.created_at""")
    assert overlapping == []


async def every_end_was_announced(studio: Studio) -> None:
    """The event log has an event of the same moment as each generation's end: subscribers hear of it."""
    silent = await studio.sql("""
        select g.id, g.status from generations g where not exists (
          select from events e where e.track_id = g.track_id and e.created_at = g.completed_at)""")
    assert silent == []


async def rows_and_files_agree(studio: Studio) -> None:
    """Each row's file is there, with its size and hash; what has no row is gone once it is old enough to be swept."""
    rows = await studio.sql("select distinct key, size_bytes, sha256 from media_objects")
    storage = studio.worker.storage
    for row in rows:
        content = b"".join([block async for block in storage.read(row["key"])])
        assert len(content) == row["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == row["sha256"] == row["key"].partition(".")[0]
    later = system_clock() + ORPHAN_AGE + timedelta(minutes=1)
    await sweep(replace(studio.worker, clock=lambda: later))
    assert {stored.key async for stored in storage.list(later)} == {row["key"] for row in rows}
    assert not list(studio.worker.scratch.glob("ingesting/*"))
