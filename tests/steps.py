"""One step of a generation at a time, by hand: what the tests of `jobs/` share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from domain.generations import FailureCode
from jobs import functions, upkeep
from jobs.context import WorkerContext
from providers.music import Failure
from schema.ids import row_id
from tests.invariants import check_all
from tests.studio import Person, Studio

STEPS = ("submit", "poll", "ingest")
# The call to the provider that a worker is in the middle of.
CALLS = {"submit": "submit", "poll": "poll", "ingest": "fetch"}

BUSY = Failure(FailureCode.PROVIDER_FAILED, "The provider is busy.", retryable=True)

JOBS = {
    "submit": functions.submit,
    "poll": functions.poll,
    "ingest": functions.ingest,
    "stop": functions.stop_task,
}
TABLES = ("tracks", "generations", "generation_attempts", "versions", "stems", "media_objects", "events")


@dataclass
class Case:
    """A generation and how to push it along. Nothing happens that is not called."""

    studio: Studio
    owner: Person
    made: dict[str, Any]
    id: str

    async def run(self, name: str, *, worker: WorkerContext | None = None) -> None:
        """The job `name` as arq would call it, whatever the generation's next step is."""
        await JOBS[name]({"worker": worker or self.studio.worker}, self.id)

    async def until(self, step: str) -> None:
        """Up to the moment before `step`."""
        while (row := await self.row())["step"] not in (None, step):
            await self.hurry()
            await self.run(row["step"].lower())

    async def finish(self) -> asyncpg.Record:
        """Step by step without waiting, up to its end, and tell the provider; the row."""
        for _ in range(40):
            step = (await self.row())["step"]
            if step is None:
                await self.run("stop")
                return await self.row()
            await self.hurry()
            await self.run(step.lower())
        raise AssertionError("it goes on for ever")

    async def row(self) -> asyncpg.Record:
        (row,) = await self.studio.sql(
            "select *, extract(epoch from due_at - now())::float as due_in from generations where id = $1::uuid",
            self.id,
        )
        return row

    async def attempts(self) -> list[asyncpg.Record]:
        return await self.studio.sql(
            "select *, id::text as reference from generation_attempts where generation_id = $1::uuid order by number",
            self.id,
        )

    async def hurry(self) -> None:
        """What is due later is due now."""
        await self.studio.sql("update generations set due_at = now() where id = $1::uuid", self.id)

    async def expire(self) -> None:
        """The holder of the lease has not been heard of for too long."""
        await self.change("leased_until = case when leased_until is not null then now() - interval '1 s' end")

    async def change(self, assignment: str) -> None:
        await self.studio.sql(f"update generations set {assignment} where id = $1::uuid", self.id)

    async def everything(self) -> list[list[asyncpg.Record]]:
        """All rows that a step may change, to see that it changed none."""
        return [await self.studio.sql(f"select * from {table} order by id") for table in TABLES]


async def begin(studio: Studio, *, by: Person | None = None, **input: Any) -> Case:
    """Somebody asks for a track."""
    owner = by or await studio.register()
    made = await studio.generate(owner, **input)
    return Case(studio, owner, made, str(row_id("Generation", made["generation"]["id"])))


async def check(studio: Studio) -> None:
    """The invariants, by what the scripted provider has accepted."""
    await check_all(studio, accepted=[request.reference for request in studio.provider.accepted])


@asynccontextmanager
async def in_the_middle(case: Case, step: str, *, of: str | None = None) -> AsyncIterator[asyncio.Event]:
    """A worker stands still within `step`. Setting the event lets it go on; leaving waits until it is done."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    provider, call = case.studio.provider, of or CALLS[step]

    async def stand_still() -> None:
        del provider.before[call]
        arrived.set()
        await go_on.wait()

    provider.before[call] = stand_still
    working = asyncio.create_task(case.run(step))
    await arrived.wait()
    yield go_on
    go_on.set()
    await working


async def never() -> None:
    """What goes on for ever."""
    await asyncio.Event().wait()


async def look_for_missed(studio: Studio) -> None:
    """A minute has passed, and the upkeep looks around."""
    await studio.sql("update generations set due_at = due_at - interval '1 minute' where step is not null")
    await upkeep.ring_for_missed(studio.worker)
