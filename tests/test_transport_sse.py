"""GraphQL over server-sent events: frames, resuming, and what ends a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

import web.sse
from tests.node import run_client
from tests.transports import Served, eventually, served

STREAM = {"accept": "text/event-stream"}
ENDLESS = "subscription { ticks(to: 1000000, everySeconds: 0.01) { number cursor } }"
RESUMABLE = "subscription ($after: String) { ticks(after: $after) { number cursor } }"


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running
        eventually(lambda: running.studio.open_streams == 0)


def whole(studio: Served, query: str, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
    return httpx.post(studio.http, json={"query": query, **more}, headers={**STREAM, **(headers or {})})


def numbers(response: httpx.Response) -> list[int]:
    lines = response.text.splitlines()
    payloads = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    return [payload["data"]["ticks"]["number"] for payload in payloads]


def test_events_are_framed_with_line_feeds_and_carry_their_cursor(studio):
    response = whole(studio, "subscription { ticks(to: 2) { number cursor } }")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.content == (
        b":\n\n"
        b'event: next\nid: 1\ndata: {"data":{"ticks":{"number":1,"cursor":"1"}}}\n\n'
        b'event: next\nid: 2\ndata: {"data":{"ticks":{"number":2,"cursor":"2"}}}\n\n'
        b"event: complete\ndata: \n\n"
    )


def test_an_event_without_a_cursor_has_no_id(studio):
    assert "id:" not in whole(studio, "subscription { ticks { number } }").text


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "text/event-stream;q=0.1, */*"])
def test_a_subscription_streams_for_whoever_lists_event_streams(studio, accept):
    response = whole(studio, "subscription { ticks { number } }", {"accept": accept})
    assert numbers(response) == [1, 2, 3]


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("text/event-stream", True),
        ("text/event-stream, application/json", True),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream", False),
        ("application/json, text/event-stream;q=0.5", False),
        ("*/*", False),
    ],
)
def test_a_query_streams_only_for_whoever_prefers_it(studio, accept, streamed):
    response = whole(studio, "{ hello }", {"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream") is streamed
    assert '{"data":{"hello":"Hello, studio"}}' in response.text
    assert ("event: complete" in response.text) is streamed


def test_a_subscription_may_come_by_get_as_browsers_send_it(studio):
    response = httpx.get(studio.http, params={"query": "subscription { ticks { number } }"}, headers=STREAM)
    assert numbers(response) == [1, 2, 3]


def test_a_browser_that_comes_back_goes_on_after_the_last_event(studio):
    response = httpx.get(studio.http, params={"query": RESUMABLE}, headers={**STREAM, "last-event-id": "2"})
    assert numbers(response) == [3]


def test_what_the_client_says_itself_goes_before_the_last_event(studio):
    response = whole(studio, RESUMABLE, {"last-event-id": "2"}, variables={"after": "1"})
    assert numbers(response) == [2, 3]


def test_the_last_event_does_not_disturb_who_cannot_resume(studio):
    assert numbers(whole(studio, "subscription { ticks { number } }", {"last-event-id": "2"})) == [1, 2, 3]


@pytest.mark.parametrize(
    "query", ["{", "subscription { nothing }", "subscription ($n: Int!) { ticks(to: $n) { number } }"]
)
def test_a_refused_operation_is_a_plain_answer_that_browsers_do_not_retry(studio, query):
    response = whole(studio, query)
    if response.headers["content-type"].startswith("text/event-stream"):
        assert response.text.index('"errors"') < response.text.index("event: complete")
        return
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_source_that_fails_says_so_and_completes(studio):
    response = whole(studio, "subscription { expired { number } }")
    first, failure = [line for line in response.text.splitlines() if line.startswith("data: {")]
    assert "errors" not in first
    assert json.loads(failure[6:])["errors"][0]["extensions"]["code"] == "RESUME_EXPIRED"
    assert response.text.endswith("event: complete\ndata: \n\n")


def test_a_source_that_crashes_shows_nothing(studio):
    response = whole(studio, "subscription { crashing { number } }")
    assert '"INTERNAL"' in response.text
    assert "hunter2" not in response.text


def test_leaving_cleans_up(studio):
    with httpx.stream("POST", studio.http, json={"query": ENDLESS}, headers=STREAM) as response:
        chunks = response.iter_text()  # kept: httpx leaves when its iterator is dropped
        next(chunks)
        eventually(lambda: studio.studio.open_streams == 1)
    eventually(lambda: studio.studio.open_streams == 0 and len(studio.streams) == 0)


def test_a_mutation_runs_to_its_end_although_the_client_left(studio):
    plays = studio.studio.plays
    body = {"query": "mutation { play(afterSeconds: 0.3) }"}
    with httpx.stream("POST", studio.http, json=body, headers=STREAM) as response:
        chunks = response.iter_text()
        next(chunks)
    assert studio.studio.plays == plays
    eventually(lambda: studio.studio.plays == plays + 1)


def test_an_expired_token_ends_the_stream_and_says_so(studio):
    response = whole(studio, ENDLESS, {"authorization": "Bearer ada 0.3"})
    assert '"UNAUTHENTICATED"' in response.text
    assert response.text.endswith("event: complete\ndata: \n\n")
    eventually(lambda: studio.studio.open_streams == 0)


def test_silence_is_filled_with_comments(studio, monkeypatch):
    monkeypatch.setattr(web.sse, "HEARTBEAT_SECONDS", 0.05)
    response = whole(studio, "subscription { ticks(to: 1, everySeconds: 0.3) { number } }")
    assert response.text.count(":\n\n") > 3
    assert numbers(response) == [1]


def test_stopping_the_server_ends_streams_without_complete_and_is_quick():
    with served() as running:
        with httpx.stream("POST", running.http, json={"query": ENDLESS}, headers=STREAM) as response:
            chunks = response.iter_text()
            next(chunks)
            started = time.monotonic()
            running.server.should_exit = True
            rest = "".join(chunks)
        running.stop()
        assert "event: complete" not in rest
        assert running.studio.open_streams == 0
        assert time.monotonic() - started < 5  # what uvicorn would have waited


def test_a_stopping_server_refuses_new_streams_with_503():
    with served() as running:
        running.streams.closing = True
        response = whole(running, ENDLESS)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert whole(running, "{ hello }", {"accept": "application/json"}).status_code == 200


@pytest.mark.node
def test_the_graphql_sse_client_works(studio):
    report = run_client("sse.mjs", studio.http)
    assert [result["data"]["ticks"]["number"] for result in report["ticks"]] == [1, 2, 3]
    assert report["query"] == [{"data": {"whoami": "ada"}}]
    assert len(report["left"]) == 2
    assert report["expired"][-1]["errors"][0]["extensions"]["code"] == "RESUME_EXPIRED"
    assert "400" in report["syntax"]["refused"]
