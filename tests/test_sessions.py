"""Sessions: kept alive by refreshing, ended by signing out, by theft and by time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from auth.viewer import Viewer
from domain.accounts import REFRESH_LIFE, SESSION_LIFE
from domain.errors import Refused
from resolvers import accounts
from resolvers.context import Context
from tests.studio import PASSWORD, Studio
from tests.test_accounts import LOGOUT, VIEWER, login, refresh, signed_in, user_id


def at(studio: Studio, moment: datetime) -> Context:
    """The use-cases' context with another time of day."""
    return replace(studio.api.context, clock=lambda: moment)


@asynccontextmanager
async def locked(studio: Studio, table: str, mode: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Hold a table for as long as the block lasts, to make others overlap."""
    connection = await asyncpg.connect(studio.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table} in {mode} mode")
            yield connection
    finally:
        await connection.close()


async def waiting(connection: asyncpg.Connection[Any], number: int) -> None:
    """Wait until this many sessions of the database wait for a lock."""
    asked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await connection.fetchval(asked) < number:
            await asyncio.sleep(0.01)
            await connection.execute("select pg_stat_clear_snapshot()")  # else a transaction sees it as it was at first


# Keeping a session alive


async def test_refreshing_gives_a_new_pair_in_the_same_session(studio: Studio) -> None:
    first = await studio.register()
    second = await refresh(studio, first.refresh_token)
    assert second is not None
    assert second.user_id == first.user_id
    assert second.refresh_token != first.refresh_token
    assert await signed_in(studio, second)
    assert await signed_in(studio, first)  # it has its own quarter of an hour


async def test_a_refresh_token_that_comes_back_ends_its_session_and_no_other(studio: Studio) -> None:
    first = await studio.register()
    elsewhere = await login(studio, first.email)
    second = await refresh(studio, first.refresh_token)
    assert second
    assert await signed_in(studio, second)
    assert await refresh(studio, first.refresh_token) is None
    assert await refresh(studio, second.refresh_token) is None
    assert [await signed_in(studio, by) for by in (first, second, elsewhere)] == [False, False, True]
    assert await refresh(studio, elsewhere.refresh_token)


async def test_twenty_refreshes_at_once_with_one_token_give_one_pair_at_most(studio: Studio) -> None:
    first = await studio.register()
    answers = await asyncio.gather(*(refresh(studio, first.refresh_token) for _ in range(20)))
    given = [answer for answer in answers if answer]
    assert len(given) == 1
    assert await refresh(studio, given[0].refresh_token) is None  # nineteen thieves were among them
    assert not await signed_in(studio, given[0])


@pytest.mark.parametrize("token", ["", "x", "\0", "é" * 10_000])
async def test_what_never_was_a_refresh_token_is_not_allowed(studio: Studio, token: str) -> None:
    assert await refresh(studio, token) is None


async def test_a_session_slides_by_seven_days_with_each_use(studio: Studio) -> None:
    known = await studio.register()
    now = datetime.now(UTC)
    later = await accounts.refresh_session(at(studio, now + REFRESH_LIFE - timedelta(minutes=1)), known.refresh_token)
    (row,) = await studio.sql("select expires_at from sessions where replaced_at is null")
    assert row["expires_at"] == now + 2 * REFRESH_LIFE - timedelta(minutes=1)
    too_late = at(studio, row["expires_at"])
    with pytest.raises(Refused):
        await accounts.refresh_session(too_late, later.refresh_token)


async def test_a_session_in_daily_use_ends_after_ninety_days_all_the_same(studio: Studio) -> None:
    born = datetime.now(UTC)
    session = await accounts.register(at(studio, born), "daily@example.com", PASSWORD)
    moment = born
    while moment + timedelta(days=6) < born + SESSION_LIFE:
        moment += timedelta(days=6)
        session = await accounts.refresh_session(at(studio, moment), session.refresh_token)
    (row,) = await studio.sql("select expires_at from sessions where replaced_at is null")
    assert row["expires_at"] == born + SESSION_LIFE
    with pytest.raises(Refused):
        await accounts.refresh_session(at(studio, born + SESSION_LIFE), session.refresh_token)


async def test_a_session_that_has_expired_takes_its_access_token_with_it(studio: Studio) -> None:
    known = await studio.register()
    await studio.sql("update sessions set expires_at = now()")
    assert not await signed_in(studio, known)


# Signing out


async def test_signing_out_ends_this_session_and_no_other(studio: Studio) -> None:
    here = await studio.register()
    there, stranger = await login(studio, here.email), await studio.register("stranger")
    assert await signed_in(studio, here)
    assert await studio.get(LOGOUT, by=here) == {"errors": []}
    assert [await signed_in(studio, by) for by in (here, there, stranger)] == [False, True, True]
    assert await refresh(studio, here.refresh_token) is None
    assert await refresh(studio, there.refresh_token)


async def test_nobody_can_sign_out_without_a_session(studio: Studio) -> None:
    body = await studio.ask(LOGOUT)
    assert [error["extensions"]["code"] for error in body["errors"]] == ["UNAUTHENTICATED"]


async def test_signing_out_while_a_refresh_is_under_way_ends_its_new_tokens_too(studio: Studio) -> None:
    here = await studio.register()
    async with locked(studio, "sessions", "share") as holder:
        refreshing = asyncio.create_task(refresh(studio, here.refresh_token))
        await waiting(holder, 1)
        leaving = asyncio.create_task(studio.get(LOGOUT, by=here))
        await waiting(holder, 2)
    fresh, _ = await asyncio.gather(refreshing, leaving)
    assert fresh
    assert await refresh(studio, fresh.refresh_token) is None
    assert not await signed_in(studio, fresh)


async def test_a_session_that_ends_while_it_is_asked_for_is_not_remembered_as_open(studio: Studio) -> None:
    here = await studio.register()
    async with locked(studio, "user_roles", "access exclusive") as holder:
        asking = asyncio.create_task(signed_in(studio, here))
        await waiting(holder, 1)
        viewer = Viewer("user", user_id(here), (await studio.sql("select family_id from sessions"))[0]["family_id"])
        await accounts.logout(replace(studio.api.context, viewer=viewer))
    await asking
    assert not await signed_in(studio, here)


async def test_a_socket_that_was_opened_before_signing_out_can_do_nothing_after_it(studio: Studio) -> None:
    here = await studio.register()
    async with studio.served() as address:
        protocols = [Subprotocol("graphql-transport-ws")]
        async with connect(f"ws://{address}/graphql", subprotocols=protocols) as socket:
            await socket.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {here.token}"}})
            )
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await studio.get(LOGOUT, by=here)
            answer = await _asked_on(socket, VIEWER)
    assert answer is None or answer["type"] == "error" or answer["payload"]["data"]["viewer"] is None


async def _asked_on(socket: Any, query: str) -> dict[str, Any] | None:
    try:
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
        answer: dict[str, Any] = json.loads(await socket.recv())
    except ConnectionClosed:
        return None
    return answer
