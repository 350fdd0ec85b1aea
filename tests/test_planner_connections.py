"""The connections of compiled reads: how many there are, who gets one, what becomes of broken and cancelled ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest

from planner.connections import Connections, ConnectionsAreClosed

PATIENCE = 5.0


class Connector:
    """Makes connections, or fails as often as it is told; counts them."""

    def __init__(self, url: str) -> None:
        self._connect = partial(asyncpg.connect, url)
        self.made = 0
        self.failures = 0

    async def __call__(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError
        self.made += 1
        return await self._connect()


@pytest.fixture
def connector(database_url: str) -> Connector:
    return Connector(database_url)


@pytest.fixture
async def two(connector: Connector) -> AsyncIterator[Connections]:
    connections = Connections(connector, most=2, patience=PATIENCE)
    yield connections
    await connections.aclose()


async def waits(task: asyncio.Task[Any]) -> bool:
    """Whether the task is still waiting after everything that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_connections_are_made_when_they_are_needed_and_used_again(two: Connections, connector: Connector) -> None:
    for _ in range(3):
        async with two.one() as connection:
            assert await connection.fetchval("select 1") == 1
    assert connector.made == 1
    async with two.one(), two.one():
        assert connector.made == 2


async def test_who_waits_is_served_in_turn_and_no_more_are_made_than_may_be(
    two: Connections, connector: Connector
) -> None:
    first, second = await two.acquire(), await two.acquire()
    waiting = [asyncio.create_task(two.acquire()) for _ in range(3)]
    assert all([await waits(task) for task in waiting])
    two.release(second)
    assert await waiting[0] is second
    two.release(first)
    assert await waiting[1] is first
    assert await waits(waiting[2])
    two.release(first)
    assert await waiting[2] is first
    two.release(first)
    two.release(second)
    assert connector.made == 2


async def test_who_waits_too_long_is_told_and_takes_nothing_from_others(connector: Connector) -> None:
    connections = Connections(connector, most=1, patience=0.02)
    connection = await connections.acquire()
    with pytest.raises(TimeoutError):
        await connections.acquire()
    connections.release(connection)
    assert await connections.acquire() is connection
    connections.release(connection)
    await connections.aclose()


async def test_a_connection_that_broke_makes_room_for_another(two: Connections, connector: Connector) -> None:
    broken, whole = await two.acquire(), await two.acquire()
    waiting = asyncio.create_task(two.acquire())
    assert await waits(waiting)
    await whole.execute("select pg_terminate_backend($1::int)", broken.get_server_pid())
    while not broken.is_closed():
        await asyncio.sleep(0.005)
    two.release(broken)
    made = await waiting
    assert made is not broken
    assert await made.fetchval("select 1") == 1
    two.release(made)
    two.release(whole)
    assert connector.made == 3


async def test_a_connection_that_broke_while_nobody_used_it_is_not_handed_out(two: Connections) -> None:
    broken, whole = await two.acquire(), await two.acquire()
    two.release(whole)
    two.release(broken)
    await broken.close()
    async with two.one() as one, two.one() as other:
        assert broken not in (one, other)
        assert await one.fetchval("select 1") == await other.fetchval("select 1") == 1


async def test_when_no_connection_can_be_made_the_next_may_try(two: Connections, connector: Connector) -> None:
    connector.failures = 3
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await two.acquire()
    async with two.one(), two.one():
        assert connector.made == 2


async def test_a_failure_to_connect_passes_the_leave_to_connect_on(connector: Connector) -> None:
    connections = Connections(connector, most=1, patience=PATIENCE)
    held = await connections.acquire()
    first, second = asyncio.create_task(connections.acquire()), asyncio.create_task(connections.acquire())
    assert await waits(second)
    await held.close()
    connector.failures = 1
    connections.release(held)
    with pytest.raises(ConnectionRefusedError):
        await first
    connections.release(await second)
    await connections.aclose()


@pytest.mark.parametrize("handed", [False, True])
async def test_who_is_cancelled_while_waiting_gives_on_what_came_too_late(two: Connections, handed: bool) -> None:
    held, other = await two.acquire(), await two.acquire()
    cancelled, next_one = asyncio.create_task(two.acquire()), asyncio.create_task(two.acquire())
    assert await waits(next_one)
    if handed:
        two.release(held)  # it is the first one's now, who does not know it yet
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    if not handed:
        two.release(held)
    assert await next_one is held
    two.release(held)
    two.release(other)


async def test_a_statement_that_is_cancelled_does_not_spoil_the_connection(two: Connections) -> None:
    async def slow() -> None:
        async with two.one() as connection:
            await connection.fetch("select pg_sleep(30)")

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with two.one() as connection:
            assert await connection.fetchval("select 1") == 1


async def test_closing_ends_them_all_and_turns_away_who_comes_or_waits(connector: Connector) -> None:
    connections = Connections(connector, most=2, patience=PATIENCE)
    held, idle = await connections.acquire(), await connections.acquire()
    waiting = asyncio.create_task(connections.acquire())
    assert await waits(waiting)
    await connections.aclose()
    for turned_away in (waiting, connections.acquire()):
        with pytest.raises(ConnectionsAreClosed):
            await turned_away
    connections.release(held)
    connections.release(idle)
    assert connector.made == 2
    assert held.is_closed()
    assert idle.is_closed()


async def test_what_a_connection_has_prepared_is_bounded(two: Connections) -> None:
    async with two.one() as connection:
        for number in range(300):
            await connection.fetch(f"select {number}")
        assert await connection.fetchval("select count(*) from pg_prepared_statements") <= 110


async def test_documents_are_read_as_what_they_say(two: Connections) -> None:
    async with two.one() as connection:
        assert await connection.fetchval("select $1::jsonb", {"é": [1, None]}) == {"é": [1, None]}
