from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from broadcaster import Broadcast, Event
from redis.asyncio import Redis

from core.hints import WAKE, Hint, Mailbox
from core.redis_backend import Pace, RedisBackend
from core.redis_wishes import Wishes
from core.topics import PREFIX, Subscription, Topics, TopicsHaveStopped
from tests.faults import FaultProxy, Mode
from tests.topics import (
    A_MOMENT,
    PATIENCE,
    QUICK,
    ROOT,
    Valkey,
    asking,
    asleep,
    healthy,
    running,
    subscribers,
    until,
    valkey,
)

__all__ = ["asleep", "valkey"]  # fixtures


async def test_a_hint_arrives_with_its_topic_and_position(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("tracks") as subscription:
        assert await subscription.ready(PATIENCE)
        await topics.publish("tracks", "17")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "17")


async def test_a_hint_on_another_topic_is_not_heard(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("tracks") as subscription:
        assert await subscription.ready(PATIENCE)
        await topics.publish("playlists", "17")
        assert await subscription.wait(A_MOMENT) is None


async def test_two_topics_objects_hear_each_other(valkey: Valkey):
    async with (
        running(valkey.url) as here,
        running(valkey.url) as there,
        here.subscribe("a") as a,
        there.subscribe("b") as b,
    ):
        assert await a.ready(PATIENCE)
        assert await b.ready(PATIENCE)
        await there.publish("a", "1")
        await here.publish("b", "2")
        assert await a.wait(PATIENCE) == Hint("a", "1")
        assert await b.wait(PATIENCE) == Hint("b", "2")


ECHO = """
import asyncio, sys
from core.topics import Topics

async def main():
    topics = Topics(sys.argv[1])
    await topics.start()
    async with topics.subscribe("question") as question:
        assert await question.ready(10)
        print("ready", flush=True)
        hint = await question.wait(10)
        await topics.publish("answer", hint.position + "!")
    await topics.stop()

asyncio.run(main())
"""


async def test_two_processes_hear_each_other(valkey: Valkey):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHO, valkey.url, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    async with running(valkey.url) as topics, topics.subscribe("answer") as answer:
        assert await answer.ready(PATIENCE)
        async for line in other.stdout:
            if line == b"ready\n":
                break
        await topics.publish("question", "41")
        assert await answer.wait(PATIENCE) == Hint("answer", "41!")
    await other.communicate()
    assert other.returncode == 0


async def test_concurrent_first_subscribers_of_a_topic_all_hear_it(valkey: Valkey):
    async with running(valkey.url) as topics:

        async def first() -> Hint | None:
            async with topics.subscribe("tracks") as subscription:
                assert await subscription.ready(PATIENCE)
                arrived.release()
                return await subscription.wait(PATIENCE)

        arrived = asyncio.Semaphore(0)
        firsts = [asyncio.create_task(first()) for _ in range(20)]
        for _ in firsts:
            await arrived.acquire()
        await topics.publish("tracks", "1")
        assert await asyncio.gather(*firsts) == [Hint("tracks", "1")] * 20


async def test_broadcast_itself_loses_no_concurrent_first_subscriber_with_this_backend(valkey: Valkey):
    async with Broadcast(backend=RedisBackend(valkey.url, pace=QUICK)) as broadcast:

        async def first() -> list[str]:
            async with broadcast.subscribe("tracks") as subscriber:
                heard = [(await subscriber.get()).message]  # the wake: Redis has confirmed
                awake.release()
                return [*heard, (await subscriber.get()).message]

        awake = asyncio.Semaphore(0)
        firsts = [asyncio.create_task(first()) for _ in range(10)]
        async with asyncio.timeout(PATIENCE):
            for _ in firsts:
                await awake.acquire()
            await broadcast.publish("tracks", "1")
            assert await asyncio.gather(*firsts) == [[WAKE, "1"]] * 10


async def test_a_channel_left_and_taken_again_before_redis_was_told_is_confirmed_again(valkey: Valkey):
    backend = RedisBackend(valkey.url, pace=QUICK)
    await backend.connect()
    await backend.subscribe("tracks")
    async with asyncio.timeout(PATIENCE):
        assert await backend.next_published() == Event("tracks", WAKE)
        await backend.unsubscribe("tracks")
        assert not backend.confirms("tracks")
        await backend.subscribe("tracks")
        assert await backend.next_published() == Event("tracks", WAKE)
    await backend.disconnect()


async def test_ready_means_that_the_server_knows(valkey: Valkey):
    async with running(valkey.url) as topics, asking(valkey) as client:
        await healthy(topics)
        for number in range(50):
            async with topics.subscribe(f"topic {number}") as subscription:
                assert await subscription.ready(PATIENCE)
                assert await subscribers(client, f"topic {number}") == 1


async def test_ready_waits_while_the_confirmation_is_under_way(valkey: Valkey):
    async with FaultProxy(valkey.port) as proxy, running(f"redis://127.0.0.1:{proxy.port}") as topics:
        await healthy(topics)
        await proxy.set(Mode.LATENCY, seconds=0.1)
        async with topics.subscribe("tracks") as subscription:
            assert not await subscription.ready(0.1)
            assert await subscription.ready(PATIENCE)


async def test_a_topic_left_and_taken_again_at_once_is_heard_whatever_was_under_way(valkey: Valkey):
    async with running(valkey.url) as topics:
        await healthy(topics)
        for turns in range(20):
            for _ in range(3):
                async with topics.subscribe("tracks"):
                    for _ in range(turns):  # leave in every phase: not asked yet, asked, confirmed
                        await asyncio.sleep(0)
            async with topics.subscribe("tracks") as subscription:
                assert await subscription.ready(PATIENCE)
                while await subscription.wait(0.02):  # wakes that were meant for those who left
                    pass
                await topics.publish("tracks", str(turns))
                assert await subscription.wait(PATIENCE) == Hint("tracks", str(turns))


async def test_only_the_answer_to_the_last_request_confirms_a_channel():
    wishes = Wishes(last="heartbeat")
    wishes.connected()
    requests = []
    async with asyncio.timeout(PATIENCE):
        await wishes.due()
        for change in (wishes.want, wishes.drop, wishes.want):
            change("a")
            requests.append(await wishes.due())
    assert requests == [(["a"], []), ([], ["a"]), (["a"], [])]
    assert [wishes.answered("a") for _ in requests] == [False, False, True]
    assert wishes.confirmed("a")


async def test_many_subscribers_share_one_subscription_and_the_last_one_ends_it(valkey: Valkey):
    async with running(valkey.url) as topics, asking(valkey) as client:
        async with AsyncExitStack() as stack:
            many = [await stack.enter_async_context(topics.subscribe("tracks")) for _ in range(100)]
            for subscription in many:
                assert await subscription.ready(PATIENCE)
            assert await subscribers(client, "tracks") == 1
            assert (topics.stats.subscriptions, topics.stats.topics) == (100, 1)
            await topics.publish("tracks", "1")
            for subscription in many:
                assert await subscription.wait(PATIENCE) == Hint("tracks", "1")
            assert topics.stats.hints_received == 1
        assert (topics.stats.subscriptions, topics.stats.topics) == (0, 0)
        async with topics.subscribe("later") as later:  # Redis answers in order: it has heard the leaving before
            assert await later.ready(PATIENCE)
        assert await subscribers(client, "tracks") == 0


async def test_leaving_does_not_disturb_those_who_stay(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("tracks") as stays:
        async with topics.subscribe("tracks") as leaves:
            assert await leaves.ready(PATIENCE)
        assert await stays.ready(PATIENCE)
        await topics.publish("tracks", "1")
        assert await stays.wait(PATIENCE) == Hint("tracks", "1")


async def test_ten_thousand_hints_leave_a_slow_subscriber_with_the_newest_one(valkey: Valkey):
    async with (
        running(valkey.url) as topics,
        asking(valkey) as client,
        topics.subscribe("tracks") as slow,
    ):
        assert await slow.ready(PATIENCE)
        pipeline = client.pipeline(transaction=False)
        for number in range(10_000):
            pipeline.publish(PREFIX + "tracks", str(number))
        await pipeline.execute()
        await until(lambda: topics.stats.hints_received == 10_000)
        await until(lambda: topics.stats.hints_dropped == 9_999)
        assert await slow.wait(0) == Hint("tracks", "9999")
        assert await slow.wait(A_MOMENT) is None


async def test_comings_and_goings_during_an_outage_leave_no_trace():
    wishes = Wishes(last="heartbeat")
    for number in range(1000):
        wishes.want(str(number))
        wishes.drop(str(number))
    wishes.want("stays")
    wishes.connected()
    assert await wishes.due() == (["stays", "heartbeat"], [])


async def test_a_wake_absorbs_the_hints_that_follow_it():
    mailbox = Mailbox()
    assert not mailbox.put("a", WAKE)
    assert not mailbox.put("b", "1")
    assert mailbox.put("a", "2")
    assert mailbox.put("b", "2")
    assert [await mailbox.take(), await mailbox.take()] == [("a", WAKE), ("b", "2")]


async def test_stop_leaves_no_task_and_no_connection(valkey: Valkey):
    before = asyncio.all_tasks()
    async with (
        asking(valkey) as client,
        running(valkey.url) as topics,
        AsyncExitStack() as stack,
    ):
        for number in range(20):
            subscription = await stack.enter_async_context(topics.subscribe(f"topic {number}"))
            assert await subscription.ready(PATIENCE)
        await topics.publish("topic 1", "1")
        await topics.stop()
        assert asyncio.all_tasks() == before
        assert len(await client.client_list()) == 1
        assert await subscription.wait(0) is None
        with pytest.raises(TopicsHaveStopped):
            await stack.enter_async_context(topics.subscribe("too late"))


async def test_topics_that_never_started_can_be_stopped(asleep: Valkey):
    await Topics(asleep.url).stop()


@pytest.mark.parametrize("options", ["db=3&protocol=3", "socket_timeout=0.1&health_check_interval=1"])
async def test_options_in_the_url_do_no_harm(valkey: Valkey, options: str):
    slow = Pace(heartbeat=1.2)  # the shortest health check is due after one second of silence
    async with (
        running(f"{valkey.url}?{options}", slow) as topics,
        topics.subscribe("tracks") as subscription,
    ):
        assert await subscription.ready(PATIENCE)
        await asyncio.sleep(1.5 * slow.heartbeat)
        await topics.publish("tracks", "1")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "1")
        assert topics.stats.reconnects == 0


async def test_the_password_in_the_url_is_used_and_a_wrong_one_is_told(tmp_path: Path):
    valkey = Valkey(tmp_path, "--requirepass", "s3cret/word")
    valkey.start()
    try:
        right, wrong = (f"redis://:{word}@127.0.0.1:{valkey.port}" for word in ("s3cret%2Fword", "guess"))
        async with running(right) as topics, topics.subscribe("tracks") as subscription:
            assert await subscription.ready(PATIENCE)
            await topics.publish("tracks", "1")
            assert await subscription.wait(PATIENCE) == Hint("tracks", "1")
        async with running(wrong) as topics:
            await until(lambda: topics.health.reason is not None)
            assert "password" in str(topics.health.reason)
            assert "guess" not in str(topics.health.reason)
    finally:
        valkey.kill()


async def test_the_proxy_delays_what_it_carries_without_slowing_it_down(valkey: Valkey):
    async with FaultProxy(valkey.port) as proxy:
        await proxy.set(Mode.LATENCY, seconds=0.05)
        async with Redis(port=proxy.port) as client:
            await client.set("large", b"x" * 2_000_000)
            started = asyncio.get_running_loop().time()
            assert await client.get("large") == b"x" * 2_000_000
            assert asyncio.get_running_loop().time() - started >= 0.1
            assert proxy.connections == 1


async def test_a_subscription_to_several_topics_is_ready_when_all_are_and_hears_each(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("one", "two", "one") as subscription:
        assert await subscription.ready(PATIENCE)
        async with asking(valkey) as client:
            assert [await subscribers(client, topic) for topic in ("one", "two")] == [1, 1]
        for topic in ("one", "two"):
            await topics.publish(topic, "7")
            assert await subscription.wait(PATIENCE) == Hint(topic, "7")


async def test_a_subscription_to_several_topics_is_not_ready_while_one_is_unconfirmed():
    subscription = Subscription(("one", "two"), confirmed=["one"])
    assert not await subscription.ready(0.01)
    subscription.offer("two", WAKE, confirmed=True)
    assert await subscription.ready(0.01)
