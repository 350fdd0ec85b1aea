"""Live updates while Redis fails: it is only the bell, so they come a little later."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.pool import WorkPool
from resolvers import events
from tests.faults import Mode
from tests.live import one_track, rename, socket, uuid_of
from tests.openings import proxied
from tests.studio import Studio, open_studio


async def kill_listeners(studio: Studio) -> int:
    """Cut the listening connections of this studio (the server has those of other tests as well); how many."""
    redis = studio.worker.redis
    number = studio.redis_url.rpartition("/")[2]
    listening = [client["id"] for client in await redis.client_list(_type="pubsub") if client["db"] == number]
    return sum([await redis.client_kill_filter(_id=id) for id in listening])


async def test_events_arrive_although_the_connection_to_redis_is_cut_and_hints_are_lost(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        for turn in range(3):
            assert await kill_listeners(studio) >= 1
            await rename(studio, owner, id, f"title {turn}")
            assert (await live.update())["track"]["title"] == f"title {turn}"


async def test_an_event_without_any_hint_arrives_by_the_timer(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        await studio.sql(
            "insert into events (user_id, track_id, kind) values ($1, $2, 'UPDATED')",
            uuid_of(owner.user_id),
            uuid_of(id),
        )
        assert (await live.update(seconds=2 * events.TIMER + 2))["trackId"] == id


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.FREEZE])
async def test_without_redis_ready_still_comes_and_events_by_the_timer_and_hints_once_it_is_back(
    database_url: str, redis_url: str, pool: WorkPool, tmp_path: Path, mode: Mode
) -> None:
    async with proxied(redis_url) as (url, proxy), AsyncExitStack() as stack:
        studio = await open_studio(stack, database_url, url, pool=pool, folder=tmp_path)
        owner = await studio.register("owner")
        id = await one_track(studio, owner)
        await proxy.set(mode)
        async with studio.served() as address, socket(address, owner) as live:
            await live.watch()
            await rename(studio, owner, id, "without")
            assert (await live.update())["track"]["title"] == "without"
            await proxy.set(Mode.PASS)
            await rename(studio, owner, id, "again")
            assert (await live.update())["track"]["title"] == "again"
