"""Real worker processes, killed by SIGKILL wherever they are."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

from domain.generations import STRIKES
from tests.invariants import check_all
from tests.lives import Lives, all_over, lives_of
from tests.steps import Case, begin
from tests.studio import Studio
from tests.test_generations import CANCEL, RETRY
from tests.vendor import Ledger

POINTS = {
    "before a commit",
    "after a commit",
    "after the bells",
    "before submit",
    "after submit",
    "before poll",
    "after poll",
    "before fetching",
    "after fetching",
    "before storing",
    "after storing",
    "before discard",
    "after discard",
}


async def test_killed_at_any_point_a_generation_is_completed_once(studio: Studio) -> None:
    owner = await studio.register()
    async with lives_of(studio, 2) as lanes:
        points = await all_points(await begin(studio, by=owner), lanes[0])
        assert set(points) == POINTS
        cases = [await begin(studio, by=owner) for _ in points]
        numbered = list(enumerate(cases, start=1))
        await asyncio.gather(*(kill_each(numbered[lane::2], lanes[lane]) for lane in range(2)))
        assert len(await studio.sql("select id from generations where step is not null")) > len(points) * 0.9
        await lanes[0].start(name="fresh", lasting=True)
        await all_over(studio, seconds=60)
        await lanes[0].kill()
    rows = await studio.sql("select status from generations")
    assert [row["status"] for row in rows] == ["COMPLETED"] * (len(points) + 1)
    accepted = Ledger(lanes[0].folder / "vendor").lines("accepted")
    assert len(accepted) == len(rows)
    await check_all(studio, accepted=accepted)


async def kill_each(numbered: list[tuple[int, Case]], lives: Lives) -> None:
    for number, case in numbered:
        status = await lives.live(name=f"crash-{number}", generation=case.id, crash_at=number)
        assert status == -signal.SIGKILL


async def all_points(case: Case, lives: Lives) -> list[str]:
    """What a worker passes when nobody kills it."""
    assert await lives.live(name="unharmed", generation=case.id) == 0
    assert (await case.row())["status"] == "COMPLETED"
    return (lives.folder / "points-unharmed").read_text().splitlines()


async def test_what_kills_every_worker_is_given_up_and_everything_else_is_completed(studio: Studio) -> None:
    poison = await begin(studio, prompt="poison")
    innocent = [await begin(studio, by=poison.owner) for _ in range(5)]
    deaths = 0
    async with lives_of(studio) as (lives,):
        while (await studio.sql("select count(*) as left from generations where step is not null"))[0]["left"]:
            status = await lives.live(name=f"try-{deaths}", poison="poison", lease_seconds=0.3)
            deaths += status == -signal.SIGKILL
            await asyncio.sleep(0.3)
        await lives.live(name="clean", lease_seconds=0.3)
    row = await poison.row()
    assert (row["status"], row["error_code"]) == ("FAILED", "INTERNAL")
    assert deaths >= STRIKES
    assert {(await case.row())["status"] for case in innocent} == {"COMPLETED"}


async def test_whatever_goes_wrong_every_generation_ends_exactly_once(studio: Studio) -> None:
    rng = random.Random(20261120)
    words = ["plain", "plain", "busy", "doubt", "lost", "away", "failing", "moderated"]
    owner = await studio.register()
    cases = [await begin(studio, by=owner, prompt=f"{rng.choice(words)} {number}", seed=number) for number in range(60)]
    async with lives_of(studio, 2) as workers:
        for lives in workers:
            await lives.start(name="mixed", lasting=True, lease_seconds=2)
        for case in rng.sample(cases, 15):
            await asyncio.sleep(rng.uniform(0, 1))
            lives = rng.choice(workers)
            await lives.kill()
            await lives.start(name="mixed", lasting=True, lease_seconds=2)
            id = {"id": case.made["generation"]["id"]}
            await studio.ask(rng.choice([CANCEL, RETRY]), id, by=case.owner)  # may well be refused
        await all_over(studio)
        for lives in workers:
            await lives.kill()
    ends = Counter([(await case.row())["status"] for case in cases])
    assert ends["COMPLETED"] > 30
    await check_all(studio, accepted=Ledger(workers[0].folder / "vendor").lines("accepted"))
