"""`graphql-transport-ws`, rule by rule, against a real server with a real client."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import Message, Scope
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

import web.protocols
from tests.node import run_client
from tests.transports import Served, eventually, served, transports
from web.door import Door
from web.messages import Pace
from web.websocket import GraphQLWebSocket, SocketLimits

PROTOCOL = Subprotocol("graphql-transport-ws")
ENDLESS = "subscription { ticks(to: 1000000, everySeconds: 0.01) { number } }"


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running
        eventually(lambda: running.studio.open_streams == 0)


@contextmanager
def opened(studio: Served, authorization: str | None = None) -> Iterator[ClientConnection]:
    """A socket that has been acknowledged. It buffers what the test does not read, or closing would take long."""
    with connect(studio.ws, subprotocols=[PROTOCOL], max_queue=None) as client:
        payload = {"authorization": authorization} if authorization else None
        say(client, "connection_init", payload=payload)
        assert hear(client) == {"type": "connection_ack"}
        yield client


def say(client: ClientConnection, kind: str, **more: Any) -> None:
    client.send(json.dumps({"type": kind, **more}))


def subscribe(client: ClientConnection, query: str, id: str = "1", **more: Any) -> None:
    say(client, "subscribe", id=id, payload={"query": query, **more})


def hear(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(client.recv(timeout=5))
    return message


def until(client: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """Messages up to the first one of this type, that one included."""
    heard = [hear(client)]
    while heard[-1]["type"] != kind:
        heard.append(hear(client))
    return heard


def closing(client: ClientConnection) -> tuple[int, str]:
    """The code and reason of the close that comes next, whatever is said before it."""
    with pytest.raises(ConnectionClosed) as closed:
        listen_for_ever(client)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


def listen_for_ever(client: ClientConnection) -> None:
    while True:
        client.recv(timeout=5)


def test_another_subprotocol_is_closed_with_4406(studio):
    for subprotocols in (None, [Subprotocol("graphql-ws")]):
        with connect(studio.ws, subprotocols=subprotocols) as client:
            assert closing(client)[0] == 4406


def test_the_protocol_is_chosen_among_several(studio):
    with connect(studio.ws, subprotocols=[Subprotocol("graphql-ws"), PROTOCOL]) as client:
        assert client.subprotocol == PROTOCOL


def test_a_foreign_origin_is_refused_before_the_socket_opens(studio):
    with pytest.raises(InvalidStatus) as refused:
        connect(studio.ws, subprotocols=[PROTOCOL], origin=Origin("https://evil.example"))
    assert refused.value.response.status_code == 403
    with connect(studio.ws, subprotocols=[PROTOCOL], origin=Origin("http://localhost:3000")):
        pass


def test_a_second_init_is_closed_with_4429(studio):
    with opened(studio) as client:
        say(client, "connection_init")
        assert closing(client)[0] == 4429


def test_subscribing_before_the_acknowledgement_is_closed_with_4401(studio):
    with connect(studio.ws, subprotocols=[PROTOCOL]) as client:
        subscribe(client, "{ hello }")
        assert closing(client)[0] == 4401


def test_an_id_in_use_is_closed_with_4409_and_named(studio):
    with opened(studio) as client:
        subscribe(client, ENDLESS, "mine")
        subscribe(client, ENDLESS, "mine")
        assert closing(client) == (4409, "Subscriber for mine already exists")
    eventually(lambda: studio.studio.open_streams == 0)


@pytest.mark.parametrize("spelling", ["authorization", "Authorization"])
def test_the_token_comes_with_the_init_in_either_spelling(studio, spelling):
    with connect(studio.ws, subprotocols=[PROTOCOL]) as client:
        say(client, "connection_init", payload={spelling: "Bearer ada"})
        subscribe(client, "{ whoami }")
        heard = until(client, "complete")
        assert heard[1]["payload"] == {"data": {"whoami": "ada"}}


@pytest.mark.parametrize(("token", "code"), [("forged", 4403), ("suspended", 4401), ("hasty", 1013), ("unlucky", 1013)])
def test_a_caller_who_is_not_let_in_is_closed_with_the_code_that_clients_act_on(studio, token, code):
    with connect(studio.ws, subprotocols=[PROTOCOL]) as client:
        say(client, "connection_init", payload={"authorization": f"Bearer {token}"})
        got, reason = closing(client)
    assert got == code
    assert "10.0.0.7" not in reason


def test_an_expired_token_closes_with_4403_and_cleans_up(studio):
    with opened(studio, "Bearer ada 0.3") as client:
        subscribe(client, ENDLESS)
        assert hear(client)["type"] == "next"
        assert closing(client)[0] == 4403
    eventually(lambda: studio.studio.open_streams == 0)


@pytest.mark.parametrize(
    "frame",
    [
        "1",
        "[]",
        "null",
        '"x"',
        "",
        "{",
        "{}",
        '{"type": 1}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "start"}',
        '{"type": "ping", "payload": "x"}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "connection_init", "payload": {"authorization": 1}}',
        '{"type": "subscribe", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": {}, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "' + "x" * 300 + '", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": "{ hello }"}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": {}}}',
        '{"type": "complete"}',
        "[" * 100_000,
        " " * 300_000,
        b'{"type": "ping"}',
    ],
)
def test_a_message_that_the_protocol_does_not_know_is_closed_with_4400_and_a_reason(studio, frame):
    with connect(studio.ws, subprotocols=[PROTOCOL]) as client:
        client.send(frame)
        code, reason = closing(client)
    assert code == 4400
    assert reason


def test_a_frame_beyond_what_the_server_reads_is_closed_with_1009():
    with served(ws_max_size=1_000) as small, connect(small.ws, subprotocols=[PROTOCOL]) as client:
        client.send("x" * 2_000)
        assert closing(client)[0] == 1009


def test_queries_and_mutations_run_too(studio):
    with opened(studio) as client:
        subscribe(client, "{ hello }", "q")
        assert until(client, "complete") == [
            {"id": "q", "type": "next", "payload": {"data": {"hello": "Hello, studio"}}},
            {"id": "q", "type": "complete"},
        ]
        subscribe(client, "mutation { play }", "q")
        assert until(client, "complete")[0]["payload"]["data"]["play"] >= 1


def test_a_subscription_gives_its_events_in_order_and_completes(studio):
    with opened(studio) as client:
        subscribe(client, "subscription T($to: Int!) { ticks(to: $to) { number } }", variables={"to": 4})
        *events, last = until(client, "complete")
    assert [event["payload"]["data"]["ticks"]["number"] for event in events] == [1, 2, 3, 4]
    assert last == {"id": "1", "type": "complete"}
    eventually(lambda: studio.studio.open_streams == 0)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"query": "{"}, "Syntax Error"),
        ({"query": "{ nothing }"}, "nothing"),
        ({"query": "query A { hello }", "operationName": "B"}, "B"),
        ({"query": "query ($n: Int!) { tracks(first: $n) { edges { node { id } } } }"}, "$n"),
        ({"query": "{ " + " ".join(f"a{n}: hello" for n in range(101)) + " }"}, "too complex"),
    ],
)
def test_a_refused_operation_answers_an_error_and_its_neighbours_go_on(studio, payload, text):
    with opened(studio) as client:
        subscribe(client, ENDLESS, "neighbour")
        say(client, "subscribe", id="bad", payload=payload)
        error = until(client, "error")[-1]
        assert error["id"] == "bad"
        assert text in error["payload"][0]["message"]
        assert hear(client)["id"] == "neighbour"
        subscribe(client, "{ hello }", "bad")
        assert until(client, "complete")[-1]["id"] == "bad"


def test_a_source_that_fails_ends_with_its_code(studio):
    with opened(studio) as client:
        subscribe(client, "subscription { expired { number } }")
        first, error = until(client, "error")
    assert first["type"] == "next"
    assert error["payload"][0]["extensions"]["code"] == "RESUME_EXPIRED"


def test_a_source_that_crashes_shows_nothing(studio):
    with opened(studio) as client:
        subscribe(client, "subscription { crashing { number } }")
        error = until(client, "error")[-1]
    assert error["payload"][0]["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in json.dumps(error)


def test_failed_fields_are_part_of_the_result(studio):
    with opened(studio) as client:
        subscribe(client, "{ membersOnly }")
        result = until(client, "complete")[0]
    assert result["type"] == "next"
    assert result["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_each_operation_has_a_request_id_of_its_own(studio):
    with opened(studio) as client:
        for id in ("1", "2"):
            subscribe(client, "{", id)
        ids = {hear(client)["payload"][0]["extensions"]["requestId"] for _ in range(2)}
    assert len(ids) == 2


def test_completing_cleans_up_at_once_and_frees_the_id(studio):
    with opened(studio) as client:
        subscribe(client, ENDLESS)
        hear(client)
        say(client, "complete", id="1")
        say(client, "complete", id="never seen")
        eventually(lambda: studio.studio.open_streams == 0)
        subscribe(client, "{ hello }")
        assert until(client, "complete")[-2]["payload"] == {"data": {"hello": "Hello, studio"}}


def test_leaving_cleans_up_every_operation(studio):
    with opened(studio) as client:
        for number in range(5):
            subscribe(client, ENDLESS, str(number))
        eventually(lambda: studio.studio.open_streams == 5)
        client.socket.close()
    eventually(lambda: studio.studio.open_streams == 0 and len(studio.streams) == 0)


def test_a_mutation_runs_to_its_end_although_the_client_left(studio):
    plays = studio.studio.plays
    with opened(studio) as client:
        subscribe(client, "mutation { play(afterSeconds: 0.3) }")
        subscribe(client, "{ hello }", "2")
        until(client, "complete")
    assert studio.studio.plays == plays
    eventually(lambda: studio.studio.plays == plays + 1)


def test_pings_are_answered_with_their_payload(studio):
    with connect(studio.ws, subprotocols=[PROTOCOL]) as client:
        say(client, "ping")
        say(client, "ping", payload={"n": 1})
        say(client, "pong")
        assert [hear(client), hear(client)] == [{"type": "pong"}, {"type": "pong", "payload": {"n": 1}}]


def test_the_101st_operation_is_refused_and_the_others_go_on(studio):
    with opened(studio) as client:
        for number in range(101):
            subscribe(client, "subscription { ticks(everySeconds: 60) { number } }", str(number))
        error = until(client, "error")[-1]
        assert (error["id"], error["payload"][0]["extensions"]["code"]) == ("100", "RATE_LIMITED")
    eventually(lambda: studio.studio.open_streams == 0, 10)


def test_stopping_the_server_sends_everybody_1012_and_is_quick():
    with served() as running, opened(running) as first, opened(running) as second:
        subscribe(first, ENDLESS)
        hear(first)
        started = time.monotonic()
        running.stop()
        assert {closing(first)[0], closing(second)[0]} == {1012}
        assert running.studio.open_streams == 0
        assert time.monotonic() - started < 5  # what uvicorn would have waited


def test_a_stopping_server_refuses_new_sockets_with_1012():
    with served() as running:
        running.streams.closing = True
        with connect(running.ws, subprotocols=[PROTOCOL]) as client:
            assert closing(client)[0] == 1012


@pytest.mark.node
def test_the_graphql_ws_client_works(studio):
    report = run_client("ws.mjs", studio.ws)
    numbers = [{"data": {"ticks": {"number": number}}} for number in (1, 2, 3)]
    assert report["ticks"] == numbers
    assert report["left"] == numbers[:2]
    assert report["query"] == [{"data": {"whoami": "ada"}}]
    assert report["mutation"][0]["data"]["play"] >= 1
    assert report["syntax"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert report["expired"][0]["extensions"]["code"] == "RESUME_EXPIRED"
    assert report["neighbour"] == 40


def test_a_peer_that_does_not_read_stops_its_source_and_is_dropped(monkeypatch):
    """One megabyte per event: what the buffers between take is soon full."""
    monkeypatch.setattr(web.protocols, "ABORT_SECONDS", 0.1)
    limits = SocketLimits(stalled_seconds=0.3, close_seconds=0.1)
    query = "subscription { ticks(to: 1000000, padding: 1000000) { cursor } }"
    with served(limits) as running, deaf(running) as send:
        send({"type": "connection_init"})
        send({"type": "subscribe", "id": "1", "payload": {"query": query}})
        eventually(lambda: running.studio.open_streams == 1)
        eventually(lambda: running.studio.open_streams == 0 and len(running.streams) == 0)
        eventually(lambda: not running.server.server_state.connections)


@contextmanager
def deaf(running: Served) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A client that sends and never reads: the library's own reads all the time."""
    protocol = ClientProtocol(parse_uri(running.ws), subprotocols=[PROTOCOL])
    with socket.create_connection((protocol.uri.host, protocol.uri.port)) as connection:

        def flush() -> None:
            connection.sendall(b"".join(protocol.data_to_send()))

        def send(message: dict[str, Any]) -> None:
            protocol.send_text(json.dumps(message).encode())
            flush()

        protocol.send_request(protocol.connect())
        flush()
        protocol.receive_data(connection.recv(4096))
        yield send


class Peer:
    """The other side of the ASGI interface, for what a real client is too slow to show."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self.heard: list[Message] = []
        self._satisfied = asyncio.Event()
        self._said: list[Message] = [{"type": "websocket.connect"}]
        self._said += [{"type": "websocket.receive", "text": json.dumps(message)} for message in said]

    async def receive(self) -> Message:
        if self._said:
            return self._said.pop(0)
        if any(message["type"] == "websocket.close" for message in self.heard):
            return {"type": "websocket.disconnect", "code": 1000}
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits an hour")

    async def send(self, message: Message) -> None:
        self.heard.append(message)
        if len(self.heard) == self._enough:
            self._satisfied.set()

    def converse(self, door: Door, limits: SocketLimits, enough: int) -> None:
        """Serve this peer until it has heard so many messages, then stop the server."""
        self._enough = enough

        async def serve() -> None:
            async with asyncio.timeout(5):
                await self._serve(door, limits)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(serve())

    async def _serve(self, door: Door, limits: SocketLimits) -> None:
        scope: Scope = {
            "type": "websocket",
            "headers": [],
            "subprotocols": ["graphql-transport-ws"],
            "state": {"request_id": "req-1"},
        }
        serving = asyncio.create_task(GraphQLWebSocket(door, limits)(scope, self.receive, self.send))
        await self._satisfied.wait()
        await door.streams.close_all()
        await serving


def test_a_client_that_says_nothing_is_closed_with_4408():
    peer = Peer()
    peer.converse(transports().door, SocketLimits(init_seconds=0.05), 2)
    assert [message.get("code") for message in peer.heard] == [None, 4408]


def test_silence_is_answered_with_pings():
    peer = Peer({"type": "connection_init"})
    peer.converse(transports().door, SocketLimits(ping_seconds=0.02), 5)
    assert [message["text"] for message in peer.heard[2:4]] == ['{"type":"ping"}'] * 2


def test_no_task_outlives_its_socket():
    query = "subscription { ticks(to: 1000000, everySeconds: 0.01) { number } }"
    said = [{"type": "subscribe", "id": str(n), "payload": {"query": query}} for n in range(20)]
    made = transports()
    peer = Peer({"type": "connection_init"}, *said)
    peer.converse(made.door, SocketLimits(), 60)
    assert peer.heard[-1]["code"] == 1012
    assert made.studio.open_streams == 0


def test_messages_beyond_the_burst_wait_for_their_turn():
    pace = Pace(per_second=10, burst=3)
    assert [round(pace.delay(0.0), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]
    assert pace.delay(10.0) == 0
    assert [round(pace.delay(10.0), 3) for _ in range(3)] == [0, 0, 0.1]
