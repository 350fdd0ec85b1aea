"""Live updates on real sockets: READY, then every change once, in order, whatever fails between."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from sqlalchemy import BigInteger, literal_column

from domain.events import RETENTION
from models.events import topic_of_track, topic_of_user
from resolvers import events
from tests.live import CHANGE, DELETE, RESTORE, UPDATES, Socket, add_tracks, moment, one_track, rename, socket, uuid_of
from tests.scripted import running
from tests.studio import Person, Studio


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def parts(text: str) -> list[Any]:
    found: list[Any] = orjson.loads(base64.urlsafe_b64decode(text + "=="))
    return found


# --- the story of a track


async def test_a_subscriber_hears_of_every_step_from_created_to_deleted(studio: Studio) -> None:
    owner = await studio.register("owner")
    studio.provider.updates.extend([running(0.3), running(0.6)])
    async with studio.served() as address, socket(address, owner) as live:
        ready = await live.watch()
        made = await studio.generate(owner)
        await studio.drain()
        id = made["track"]["id"]
        await rename(studio, owner, id, "another")
        await studio.get(DELETE, {"input": {"trackId": id}}, by=owner)
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["kind"] != "DELETED":
            heard.append(await live.update())
    assert heard[0]["kind"] == "CREATED"
    assert {update["kind"] for update in heard[1:-1]} <= {"UPDATED"}
    assert {update["trackId"] for update in heard} == {id}
    assert heard[-1]["track"] is None
    cursors = [ready["cursor"], *(update["cursor"] for update in heard)]
    assert cursors == sorted(cursors, key=parts)
    assert len(set(cursors)) == len(cursors)


async def test_updates_carry_the_status_as_it_goes_and_in_the_end_the_url_that_plays(studio: Studio) -> None:
    owner = await studio.register("owner")
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        heard: list[dict[str, Any]] = []

        async def hear() -> None:
            while not heard or heard[-1]["track"]["status"] != "COMPLETED":
                heard.append(await live.update())

        hearing = asyncio.create_task(hear())
        await studio.generate(owner)
        while not heard:
            await asyncio.sleep(0.01)
        await studio.drain()
        await hearing
    statuses = list(dict.fromkeys(update["track"]["status"] for update in heard))
    assert statuses == [status for status in ("PENDING", "PROCESSING", "COMPLETED") if status in statuses]
    assert {"PENDING", "COMPLETED"} <= set(statuses)
    revisions = [update["track"]["revision"] for update in heard]
    assert revisions == sorted(revisions)
    answer = await studio.http.get(heard[-1]["track"]["audioUrl"])
    assert answer.status_code == 200


async def test_ready_comes_once_redis_has_confirmed_the_subscription(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)
    user, track = (
        f"antiphon:topic:{topic_of_user(uuid_of(owner.user_id))}",
        f"antiphon:topic:{topic_of_track(uuid_of(id))}",
    )
    redis = studio.worker.redis
    async with studio.served() as address, socket(address, owner) as live:
        assert await redis.pubsub_numsub(user, track) == [(user.encode(), 0), (track.encode(), 0)]
        await live.watch()
        assert await redis.pubsub_numsub(user) == [(user.encode(), 1)]
        await live.subscribe(id="2", trackIds=[id])
        assert (await live.update())["kind"] == "READY"
        assert await redis.pubsub_numsub(track) == [(track.encode(), 1)]


async def test_sse_tells_the_same_story_and_resumes_from_the_last_event_id(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)

    @asynccontextmanager
    async def stream(address: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        async with httpx.AsyncClient(timeout=10) as client:
            headers |= {"Accept": "text/event-stream", "Authorization": f"Bearer {owner.token}"}
            body = {"query": UPDATES}
            async with client.stream("POST", f"http://{address}/graphql", json=body, headers=headers) as answer:
                assert answer.status_code == 200

                async def updates() -> AsyncIterator[dict[str, Any]]:
                    last = ""
                    async for line in answer.aiter_lines():
                        last = line.removeprefix("id: ") if line.startswith("id: ") else last
                        if line.startswith("data: {"):
                            update = json.loads(line.removeprefix("data: "))["data"]["trackUpdates"]
                            assert update["cursor"] == last
                            yield update

                yield updates()

    async with studio.served() as address:
        async with stream(address) as updates:
            assert (await anext(updates))["kind"] == "READY"
            await rename(studio, owner, id, "one")
            first = await anext(updates)
            assert (first["kind"], first["track"]["title"]) == ("UPDATED", "one")
        await rename(studio, owner, id, "two")
        async with stream(address, **{"Last-Event-ID": first["cursor"]}) as updates:
            assert (await anext(updates))["kind"] == "READY"
            missed = await anext(updates)
            assert (missed["kind"], missed["track"]["title"]) == ("UPDATED", "two")


async def test_all_subscribers_of_a_user_hear_all(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)
    async with studio.served() as address, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket(address, owner)) for _ in range(8)]
        for live in sockets:
            await live.watch()
            await live.subscribe(id="2", trackIds=[id])
            assert (await live.update())["kind"] == "READY"
        for title in ("one", "two", "three"):
            await rename(studio, owner, id, title)
        for live in sockets:
            messages = [await live.message() for _ in range(6)]
            for operation in ("1", "2"):
                own = [m["payload"]["data"]["trackUpdates"] for m in messages if m["id"] == operation]
                assert len({update["cursor"] for update in own}) == 3
                assert own[-1]["track"]["title"] == "three"


# --- coming back


async def scenario(studio: Studio, owner: Person, id: str) -> int:
    """Changes of all kinds; how many events they are."""
    await rename(studio, owner, id, "one")
    await studio.get(DELETE, {"input": {"trackId": id}}, by=owner)
    await studio.get(RESTORE, {"input": {"trackId": id}}, by=owner)
    await rename(studio, owner, id, "two")
    return 4


async def test_after_any_cursor_exactly_what_came_later_is_sent_and_then_what_is_new(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await one_track(studio, owner)
    async with studio.served() as address:
        async with socket(address, owner) as live:
            ready = await live.watch()
            story = [ready, *await live.updates(await scenario(studio, owner, id))]
        for position in range(len(story)):
            async with socket(address, owner) as live:
                again = await live.watch(after=story[position]["cursor"])
                assert again["cursor"] == story[position]["cursor"]
                later = story[position + 1 :]
                replayed = await live.updates(len(later))
                assert [(u["cursor"], u["kind"]) for u in replayed] == [(u["cursor"], u["kind"]) for u in later]
                await rename(studio, owner, id, f"live {position}")
                story.append(await live.update())
                assert story[-1]["track"]["title"] == f"live {position}"


async def test_a_subscriber_who_keeps_falling_off_while_tracks_are_made_misses_nothing_and_hears_nothing_twice(
    studio: Studio,
) -> None:
    owner = await studio.register("owner")
    heard: list[dict[str, Any]] = []
    async with studio.served() as address:
        async with socket(address, owner) as live:
            ready = await live.watch()
        work = asyncio.create_task(make_some(studio, owner))
        after = ready["cursor"]
        while not work.done() or len(heard) < len(await log_of(studio, owner)):
            async with socket(address, owner) as live:
                await live.watch(after=after)
                with suppress(TimeoutError):
                    for _ in range(1 + len(heard) % 3):
                        heard.append(await live.update(seconds=0.3))
                        after = heard[-1]["cursor"]
        await work
    log = await log_of(studio, owner)
    assert [parts(update["cursor"])[1:3] for update in heard] == log
    assert len(log) > 10


async def log_of(studio: Studio, owner: Person) -> list[list[int]]:
    """All events of a user, in order."""
    in_order = "select position, id from events where user_id = $1 order by position, id"
    return [list(row) for row in await studio.sql(in_order, uuid_of(owner.user_id))]


async def make_some(studio: Studio, owner: Person) -> None:
    for _ in range(3):
        await studio.generate(owner)
        await studio.drain()


async def test_a_long_absence_is_caught_up_with_in_order_even_if_most_of_it_is_about_tracks_that_are_gone(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, without waiting between them: the timer is set so high that waiting would show."""
    monkeypatch.setattr(events, "BATCH", 3)
    monkeypatch.setattr(events, "TIMER", 60.0)
    owner = await studio.register("owner")
    gone, kept = await add_tracks(studio, owner, [moment(), moment(1)])
    async with studio.served() as address:
        async with socket(address, owner) as live:
            ready = await live.watch()
        for number in range(10):
            await rename(studio, owner, gone, f"title {number}")
        await studio.sql("delete from tracks where id = $1", uuid_of(gone))
        for number in range(4):
            await rename(studio, owner, kept, f"title {number}")
        async with socket(address, owner) as live:
            await live.watch(after=ready["cursor"])
            caught_up = await live.updates(4)
    assert {update["trackId"] for update in caught_up} == {kept}
    assert len({update["cursor"] for update in caught_up}) == 4


async def test_coming_back_does_not_make_an_old_cursor_young(studio: Studio) -> None:
    """Else READY's cursor would still be taken when the events that follow it are pruned."""
    owner = await studio.register("owner")
    async with studio.served() as address, socket(address, owner) as live:
        version, position, id, at = parts((await live.watch())["cursor"])
        old = cursor(version, position, id, at - int(RETENTION.total_seconds()) + 60)
        await live.subscribe(id="2", after=old)
        assert (await live.update())["cursor"] == old


MALFORMED = [
    "",
    "nonsense",
    "é",
    "A" * 10_000,
    cursor(1, 5, 5),
    cursor(1, "5", 5, 5),
    cursor(1, 5.5, 5, 5),
    cursor(1, -5, 5, 5),
    cursor(1, 2**63, 5, 5),
    cursor(1, 5, 2**63, 5),
    cursor(1, 5, 5, "now"),
    cursor(1, 5, 5, 1e300),
    cursor(1, 5, 5, None),
    cursor(1, None, [], {}),
    cursor(2, 5, 5, 5),
    base64.b64encode(b"5").decode(),
    base64.b64encode(b"[" * 9000).decode(),
]


async def test_a_malformed_cursor_is_bad_input(studio: Studio) -> None:
    owner = await studio.register("owner")
    async with studio.served() as address, socket(address, owner) as live:
        genuine = (await live.watch())["cursor"]
        truncated = [genuine[:length] for length in range(1, len(genuine))]
        for after in (*MALFORMED, *truncated, genuine + "x", genuine[::-1]):
            await live.subscribe(id="2", after=after)
            assert await live.refused() == "BAD_USER_INPUT", after


async def test_a_cursor_older_than_the_log_or_from_another_log_is_expired(studio: Studio) -> None:
    owner = await studio.register("owner")
    async with studio.served() as address, socket(address, owner) as live:
        version, position, id, at = parts((await live.watch())["cursor"])
        await live.subscribe(id="2", after=cursor(version, position, id, at - int(RETENTION.total_seconds()) - 60))
        assert await live.refused() == "RESUME_EXPIRED"
        await live.subscribe(id="3", after=cursor(version, position + 10**9, id, at))
        assert await live.refused() == "RESUME_EXPIRED"


# --- the order that can be trusted


@asynccontextmanager
async def open_transaction(studio: Studio) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of somebody else's that commits when the block is left."""
    connection = await asyncpg.connect(studio.database_url)
    try:
        async with connection.transaction():
            await connection.execute("select set_config('app.actor', 'system', true)")
            yield connection
    finally:
        await connection.close()


async def hear_interleaved(studio: Studio, live: Socket, owner: Person, ids: list[str]) -> list[str]:
    """Of two transactions the one with the lower position commits last. Which tracks are heard of, by `ids`."""
    async with open_transaction(studio) as slow:
        await slow.execute(
            "insert into events (user_id, track_id, kind) values ($1, $2, 'UPDATED')",
            uuid_of(owner.user_id),
            uuid_of(ids[0]),
        )
        await rename(studio, owner, ids[1], "quick")
        await asyncio.sleep(0.3)  # time enough to read the quick one's event, for whoever would
    await rename(studio, owner, ids[2], "last")
    heard: list[str] = []
    while not heard or heard[-1] != ids[2]:
        heard.append((await live.update())["trackId"])
    return heard


async def test_of_two_transactions_the_one_that_began_first_and_ends_last_is_heard_too(studio: Studio) -> None:
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(second) for second in range(3)])
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        assert await hear_interleaved(studio, live, owner, ids) == ids


async def test_without_the_horizon_that_event_would_be_lost(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: it shows that the test before this one can fail."""
    monkeypatch.setattr(events, "HORIZON", literal_column("9000000000000000000", BigInteger))
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(second) for second in range(3)])
    async with studio.served() as address, socket(address, owner) as live:
        await live.subscribe(after=cursor(1, 0, 0, int(time.time())))
        assert (await live.update())["kind"] == "READY"
        assert await hear_interleaved(studio, live, owner, ids) == ids[1:]


async def test_an_event_of_an_aborted_transaction_is_never_heard_of(studio: Studio) -> None:
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(), moment(1)])
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        with pytest.raises(ZeroDivisionError):
            async with open_transaction(studio) as doomed:
                await doomed.execute(
                    "insert into events (user_id, track_id, kind) values ($1, $2, 'UPDATED')",
                    uuid_of(owner.user_id),
                    uuid_of(ids[0]),
                )
                raise ZeroDivisionError
        await rename(studio, owner, ids[1], "last")
        assert (await live.update())["trackId"] == ids[1]


# --- who may watch


async def test_a_stranger_who_names_a_private_track_gets_ready_and_nothing_else(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    private = await one_track(studio, owner)
    mine = await one_track(studio, stranger)
    async with studio.served() as address, socket(address, stranger) as live, socket(address) as nobody:
        ready = await live.watch(trackIds=[private, mine])
        await nobody.watch(trackIds=[private])
        await rename(studio, owner, private, "secret")
        await studio.get(DELETE, {"input": {"trackId": private}}, by=owner)
        await rename(studio, stranger, mine, "mine")
        update = await live.update()
        assert (update["trackId"], update["track"]["title"]) == (mine, "mine")
        await live.subscribe(id="2", trackIds=[private, mine], after=ready["cursor"])
        assert (await live.update())["kind"] == "READY"
        assert (await live.update())["trackId"] == mine
        with pytest.raises(TimeoutError):
            await nobody.message(seconds=2.5)  # the timer has come round, too


async def test_the_whole_feed_is_the_viewers_own(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    public = await one_track(studio, owner, visibility="PUBLIC")
    mine = await one_track(studio, stranger)
    async with studio.served() as address, socket(address, stranger) as live:
        await live.watch()
        await rename(studio, owner, public, "theirs")
        await rename(studio, stranger, mine, "mine")
        assert (await live.update())["trackId"] == mine


async def test_nobody_in_particular_has_no_feed_but_may_name_tracks(studio: Studio) -> None:
    owner = await studio.register("owner")
    public = await one_track(studio, owner, visibility="PUBLIC")
    async with studio.served() as address, socket(address) as live:
        await live.subscribe()
        assert await live.refused() == "UNAUTHENTICATED"
        await live.subscribe(trackIds=None)
        assert await live.refused() == "UNAUTHENTICATED"
        await live.watch(trackIds=[public])
        await rename(studio, owner, public, "for all")
        assert (await live.update())["track"]["title"] == "for all"


async def test_a_track_that_turns_private_or_is_deleted_falls_silent_for_strangers(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    turned, deleted = await add_tracks(studio, owner, [moment(), moment(1)], visibility="UNLISTED")
    mine = await one_track(studio, stranger)
    async with studio.served() as address, socket(address, stranger) as live:
        await live.watch(trackIds=[turned, deleted, mine])
        for id in (turned, deleted):
            await rename(studio, owner, id, "seen")
            assert (await live.update())["track"]["title"] == "seen"
        hidden = await studio.get(CHANGE, {"input": {"trackId": turned, "visibility": "PRIVATE"}}, by=owner)
        assert hidden["errors"] == []
        await rename(studio, owner, turned, "secret")
        await studio.get(DELETE, {"input": {"trackId": deleted}}, by=owner)
        await rename(studio, stranger, mine, "mine")
        assert (await live.update())["trackId"] == mine


async def test_signing_out_ends_the_subscription(studio: Studio) -> None:
    owner = await studio.register("owner")
    async with studio.served() as address, socket(address, owner) as live, socket(address, owner) as other:
        await live.watch()
        await other.watch()
        await studio.get("mutation { logout { errors { message } } }", by=owner)
        async with asyncio.timeout(6):
            assert await live.refused() == "UNAUTHENTICATED"
            assert await other.refused() == "UNAUTHENTICATED"


async def test_a_hundred_tracks_can_be_watched_and_not_one_more_and_nothing_but_tracks(studio: Studio) -> None:
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(second) for second in range(101)])
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch(trackIds=[*ids[:99], ids[0]])
        await rename(studio, owner, ids[0], "once")
        assert (await live.update())["trackId"] == ids[0]
        await rename(studio, owner, ids[98], "and the last")
        assert (await live.update())["trackId"] == ids[98]
        for wrong in (ids, [*ids[:3], owner.user_id], ["nonsense"], [""]):
            await live.subscribe(id="2", trackIds=wrong)
            assert await live.refused() == "BAD_USER_INPUT"
        await live.subscribe(id="2", trackIds=[])
        assert (await live.update())["kind"] == "READY"
