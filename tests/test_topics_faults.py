"""Topics while Redis is restarted, frozen, cut off or not there."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from core.hints import Hint, HintWasNotPublished
from core.redis_backend import Pace
from core.topics import PREFIX
from tests.faults import FaultProxy, Mode
from tests.topics import (
    A_MOMENT,
    PATIENCE,
    QUICK,
    Valkey,
    asking,
    asleep,
    healthy,
    running,
    until,
    valkey,
)

__all__ = ["asleep", "valkey"]  # fixtures


async def test_a_restarted_server_wakes_every_subscriber_and_new_hints_are_heard(valkey: Valkey):
    async with running(valkey.url) as topics, AsyncExitStack() as stack:
        names = [f"topic {number}" for number in range(1200)]  # more than two batches
        all_of_them = [await stack.enter_async_context(topics.subscribe(name)) for name in names]
        for subscription in all_of_them:
            assert await subscription.ready(PATIENCE)
        valkey.kill()
        await until(lambda: not topics.health.healthy)
        assert topics.health.reason
        valkey.start()
        for subscription in all_of_them:
            assert await subscription.wait(PATIENCE) == Hint(subscription.topics[0], None)
        assert topics.health.healthy
        assert topics.stats.reconnects == 1
        await topics.publish("topic 1199", "5")
        assert await all_of_them[-1].wait(PATIENCE) == Hint("topic 1199", "5")


async def test_a_frozen_server_is_noticed_and_heard_again_when_it_thaws(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("tracks") as subscription:
        assert await subscription.ready(PATIENCE)
        valkey.send(signal.SIGSTOP)
        await until(lambda: not topics.health.healthy)
        assert "not even our own heartbeat" in str(topics.health.reason)
        valkey.send(signal.SIGCONT)
        assert await subscription.wait(PATIENCE) == Hint("tracks", None)
        await healthy(topics)
        await topics.publish("tracks", "1")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "1")


async def test_an_idle_connection_is_kept(valkey: Valkey):
    async with running(valkey.url) as topics:
        await healthy(topics)
        since = topics.health.since
        await asyncio.sleep(2 * QUICK.silence)
        assert topics.health.healthy
        assert topics.health.since == since
        assert topics.stats.reconnects == 0


@pytest.mark.parametrize("turns", range(8))
async def test_stopping_ends_also_at_the_moment_when_the_connection_breaks(valkey: Valkey, turns: int):
    async with asyncio.timeout(PATIENCE):
        async with running(valkey.url) as topics:
            await healthy(topics)
            [connection] = topics._backend._listening.connection_pool._in_use_connections
            assert connection._writer is not None
            connection._writer.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)


@pytest.mark.parametrize("fault", [Mode.FREEZE, Mode.RESET, Mode.REFUSE])
async def test_every_fault_of_the_network_is_noticed_and_survived(valkey: Valkey, fault: Mode):
    async with (
        FaultProxy(valkey.port) as proxy,
        running(f"redis://127.0.0.1:{proxy.port}") as topics,
        topics.subscribe("tracks") as subscription,
    ):
        assert await subscription.ready(PATIENCE)
        await proxy.set(fault)
        await until(lambda: not topics.health.healthy)
        with pytest.raises(HintWasNotPublished):
            await topics.publish("tracks", "1")
        await proxy.set(Mode.PASS)
        assert await subscription.wait(PATIENCE) == Hint("tracks", None)
        await healthy(topics)
        await topics.publish("tracks", "2")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "2")


async def test_a_killed_connection_is_replaced_and_a_stale_one_does_not_fail_a_publish(valkey: Valkey):
    async with (
        running(valkey.url) as topics,
        asking(valkey) as client,
        topics.subscribe("tracks") as subscription,
    ):
        assert await subscription.ready(PATIENCE)
        await topics.publish("tracks", "1")  # its connection is pooled now
        assert await subscription.wait(PATIENCE) == Hint("tracks", "1")
        await client.client_kill_filter(_type="normal", skipme=True)
        await topics.publish("tracks", "2")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "2")
        await client.client_kill_filter(_type="pubsub")
        assert await subscription.wait(PATIENCE) == Hint("tracks", None)


async def test_a_publish_whose_connection_breaks_is_tried_once_more(valkey: Valkey):
    patient = Pace(heartbeat=60, publish_timeout=PATIENCE)
    async with (
        FaultProxy(valkey.port) as proxy,
        running(f"redis://127.0.0.1:{proxy.port}", patient) as topics,
        running(valkey.url) as listener,
        listener.subscribe("tracks") as subscription,
    ):
        await healthy(topics)
        await topics.publish("warm up", "1")  # its connection is pooled now
        assert await subscription.ready(PATIENCE)
        await proxy.set(Mode.FREEZE)
        publishing = asyncio.create_task(topics.publish("tracks", "1"))
        await asyncio.sleep(0.05)
        await proxy.set(Mode.RESET)
        await proxy.set(Mode.PASS)
        await publishing
        assert await subscription.wait(PATIENCE) == Hint("tracks", "1")


async def test_topics_start_without_a_server_and_connect_when_it_comes(asleep: Valkey):
    async with running(asleep.url) as topics, topics.subscribe("tracks") as subscription:
        assert not await subscription.ready(A_MOMENT)
        assert not topics.health.healthy
        with pytest.raises(HintWasNotPublished) as refused:
            await topics.publish("tracks", "1")
        assert refused.value.channel == PREFIX + "tracks"
        asleep.start()
        assert await subscription.wait(PATIENCE) == Hint("tracks", None)
        assert await subscription.ready(0)
        await healthy(topics)
        await topics.publish("tracks", "2")
        assert await subscription.wait(PATIENCE) == Hint("tracks", "2")


async def test_who_subscribes_during_an_outage_is_not_ready_though_others_once_were(valkey: Valkey):
    async with running(valkey.url) as topics, topics.subscribe("tracks") as early:
        assert await early.ready(PATIENCE)
        valkey.kill()
        await until(lambda: not topics.health.healthy)
        async with topics.subscribe("tracks") as late:
            assert not await late.ready(A_MOMENT)
            valkey.start()
            assert await late.ready(PATIENCE)


async def test_a_publish_to_a_server_that_froze_just_now_is_given_up_in_time(valkey: Valkey):
    patient = Pace(heartbeat=60, publish_timeout=0.2)
    async with running(valkey.url, patient) as topics:
        await healthy(topics)
        valkey.send(signal.SIGSTOP)
        many = [topics.publish("tracks", str(number)) for number in range(500)]
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*many, return_exceptions=True)
        assert {type(answer) for answer in answers} == {HintWasNotPublished}
        assert topics.health.healthy  # nobody has missed a heartbeat yet
        valkey.send(signal.SIGCONT)


async def test_stop_is_in_time_though_the_server_is_frozen(valkey: Valkey):
    before = asyncio.all_tasks()
    async with running(valkey.url, Pace()) as topics, topics.subscribe("tracks") as subscription:
        assert await subscription.ready(PATIENCE)
        valkey.send(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            await topics.stop()
        assert asyncio.all_tasks() == before
