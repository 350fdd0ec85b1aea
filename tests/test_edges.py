"""The edges of the service: health, figures, ids, logs, origins, outages, and what happens when it stops."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from core.log import QUIET, merge_facts
from core.queue import report_alive, report_gone
from tests.faults import Mode
from tests.live import UPDATES, add_tracks, moment, socket
from tests.openings import PRODUCTION, opened, preflight, proxied
from tests.studio import ANONYMOUS, GENERATE, PASSWORD, SECRET, Person, Studio
from web.app import build_app
from web.health import PATIENCE
from web.metrics import Metrics

VIEWER = "{ viewer { email } tracks { totalCount } }"
IN_TIME = PATIENCE + 1.5  # seconds for an answer of /health: what it is patient for, and what a busy machine adds


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as production writes it: JSON lines, and those of libraries that are not told to be quiet."""
    stream = io.StringIO()
    before = structlog.get_config()
    processors: list[Any] = [
        merge_facts,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors, logger_factory=structlog.PrintLoggerFactory(stream), cache_logger_on_first_use=False
    )
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    quiet = tuple(f"{name}." for name in QUIET)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or not f"{record.name}.".startswith(quiet))
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)
    structlog.configure(**before)


def lines(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def signed(by: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {by.token}"}


async def ask(http: httpx.AsyncClient, query: str, by: Person = ANONYMOUS, **variables: Any) -> httpx.Response:
    headers = signed(by) if by.token else {}
    return await http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)


async def let_worker_report(studio: Studio) -> None:
    await report_alive(studio.worker.redis, "a worker")


# --- health


async def test_health_tells_of_each_part_and_is_degraded_without_a_worker(studio: Studio) -> None:
    await let_worker_report(studio)
    answer = await studio.http.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "services": {"database": "up", "redis": "up", "storage": "up", "worker": "up"},
    }
    await report_gone(studio.worker.redis, "a worker")
    answer = await studio.http.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["services"] == {"database": "up", "redis": "up", "storage": "up", "worker": "down"}


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.RESET, Mode.FREEZE])
async def test_without_redis_health_is_degraded_and_reads_and_mutations_still_answer(
    studio: Studio, tmp_path: Path, mode: Mode, log: io.StringIO
) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    await let_worker_report(studio)
    async with proxied(studio.redis_url) as (url, proxy), opened(studio, tmp_path, REDIS_URL=url) as (_, http):
        assert (await http.get("/health")).json()["status"] == "healthy"
        await proxy.set(mode)
        async with asyncio.timeout(IN_TIME):
            answer = await http.get("/health")
        assert answer.status_code == 200
        services = answer.json()["services"]
        assert services == {"database": "up", "redis": "down", "storage": "up", "worker": "down"}
        read = await ask(http, VIEWER, owner)
        assert read.json()["data"] == {"viewer": {"email": owner.email}, "tracks": {"totalCount": 1}}
        change = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { track { title } } }"
        changed = await ask(http, change, owner, input={"trackId": id, "title": "without Redis"})
        assert changed.json() == {"data": {"updateTrack": {"track": {"title": "without Redis"}}}}
        await proxy.set(Mode.PASS)
        assert (await http.get("/health")).json()["status"] == "healthy"


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.RESET, Mode.FREEZE])
async def test_health_is_503_in_time_when_the_database_is_away_and_recovers(
    studio: Studio, tmp_path: Path, mode: Mode, log: io.StringIO
) -> None:
    async with proxied(studio.database_url) as (url, proxy), opened(studio, tmp_path, DATABASE_URL=url) as (_, http):
        assert (await http.get("/health")).status_code == 200
        await proxy.set(mode)
        for _ in range(2):
            async with asyncio.timeout(IN_TIME):
                answer = await http.get("/health")
            assert (answer.status_code, answer.json()["services"]["database"]) == (503, "down")
            assert answer.headers["cache-control"] == "no-store"
        async with asyncio.timeout(IN_TIME):
            figures = await http.get("/metrics")
        assert figures.status_code == 200
        await proxy.set(Mode.PASS)
        assert (await http.get("/health")).status_code == 200


# --- outages


async def test_in_an_outage_of_the_database_everything_is_unavailable_says_nothing_more_and_recovers(
    studio: Studio, tmp_path: Path, log: io.StringIO
) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    path = track["audioUrl"].removeprefix("http://studio.test")
    login = "mutation ($input: LoginInput!) { login(input: $input) { errors { message } } }"
    credentials = {"email": owner.email, "password": PASSWORD}
    async with proxied(studio.database_url) as (url, proxy), opened(studio, tmp_path, DATABASE_URL=url) as (_, http):
        assert (await ask(http, VIEWER, owner)).status_code == 200
        await proxy.set(Mode.REFUSE)
        answers = [await ask(http, VIEWER, owner), await ask(http, VIEWER), await ask(http, login, input=credentials)]
        for answer in answers:
            for error in answer.json()["errors"]:
                extensions = error["extensions"]
                assert (extensions["code"], extensions["retryable"]) == ("UNAVAILABLE", True)
                assert extensions["requestId"] == answer.headers["x-request-id"]
        media = await http.get(path)
        assert media.status_code == 503
        assert media.headers["retry-after"] == "1"
        assert media.headers["x-request-id"] in media.text
        for text in [answer.text for answer in answers] + [media.text]:
            for internal in ("Connect", "asyncpg", "Error", str(proxy.port), "127.0.0.1", "postgres"):
                assert internal not in text
        await proxy.set(Mode.PASS)
        assert (await ask(http, VIEWER, owner)).json()["data"]["viewer"] == {"email": owner.email}
        assert (await http.get(path)).status_code == 200


async def test_a_subscription_ends_with_unavailable_when_the_database_goes_and_resumes_when_it_is_back(
    studio: Studio, tmp_path: Path, log: io.StringIO
) -> None:
    owner = await studio.register("owner")
    (id,) = await add_tracks(studio, owner, [moment()])
    change = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { track { title } } }"
    async with proxied(studio.database_url) as (url, proxy), opened(studio, tmp_path, DATABASE_URL=url) as (api, _):
        proxied_studio = Studio(**{**vars(studio), "api": api})
        async with proxied_studio.served() as address, socket(address, owner) as live:
            ready = await live.watch()
            await proxy.set(Mode.REFUSE)
            assert await live.refused() == "UNAVAILABLE"
            await studio.get(change, {"input": {"trackId": id, "title": "meanwhile"}}, by=owner)
            await proxy.set(Mode.PASS)
            await live.watch(after=ready["cursor"])
            assert (await live.update())["track"]["title"] == "meanwhile"


async def test_what_breaks_outside_graphql_is_masked_told_to_the_log_and_readable_for_browsers(
    log: io.StringIO,
) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("the password is hunter2")

    app = build_app([Route("/broken", broken)], Metrics(), structlog.get_logger(), origins=("https://studio.example",))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://studio.test") as http:
        answer = await http.get("/broken", headers={"Origin": "https://studio.example"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "https://studio.example"
    (failed,), (served,) = lines(log, "request.failed"), lines(log, "request.served")
    assert failed["request_id"] == served["request_id"] == answer.headers["x-request-id"]
    assert served["status"] == 500
    assert answer.headers["x-request-id"] in answer.text


# --- ids and logs


async def test_a_request_has_one_id_in_its_header_its_errors_and_its_one_log_line(
    studio: Studio, log: io.StringIO
) -> None:
    answer = await studio.http.post("/graphql", json={"query": "{ nothing }"}, headers={"X-Request-Id": "my-request-1"})
    assert answer.headers["x-request-id"] == "my-request-1"
    assert answer.json()["errors"][0]["extensions"]["requestId"] == "my-request-1"
    (line,) = lines(log, "request.served")
    assert line["request_id"] == "my-request-1"
    assert (line["method"], line["route"], line["status"]) == ("POST", "/graphql", 200)
    assert line["ms"] >= 0


@pytest.mark.parametrize("given", ["", "short", "x" * 65, 'forged" level="error', "línea-nueva", "a b c d e f"])
async def test_an_id_from_outside_that_is_no_plain_word_is_replaced(studio: Studio, given: str) -> None:
    answer = await studio.http.get("/schema.graphql", headers=[(b"X-Request-Id", given.encode())])
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] != given


async def test_every_request_is_one_line_but_for_what_machines_ask_all_the_time(
    studio: Studio, log: io.StringIO
) -> None:
    owner = await studio.register("owner")
    log.seek(0)
    log.truncate()
    for path in ("/", "/schema.graphql", "/health", "/metrics", "/nowhere", "/media/nothing"):
        await studio.http.get(path)
    await studio.ask(VIEWER, by=owner)
    async with studio.served() as address, socket(address, owner, **{"X-Request-Id": "a-socket-1"}) as live:
        assert live.connection.response is not None
        assert live.connection.response.headers["x-request-id"] == "a-socket-1"
    served = [(line["method"], line["route"], line["status"]) for line in lines(log, "request.served")]
    assert served == [
        ("GET", "/", 200),
        ("GET", "/schema.graphql", 200),
        ("GET", "unknown", 404),
        ("GET", "/media/{key}", 404),
        ("POST", "/graphql", 200),
        ("WEBSOCKET", "/graphql", 101),
    ]
    assert lines(log, "request.served")[4]["viewer"]


async def test_no_address_password_token_or_word_of_a_song_gets_into_the_log(
    studio: Studio, log: io.StringIO, tmp_path: Path
) -> None:
    owner = await studio.register("unmistakable")
    words = ["an unmistakable prompt", "unmistakable lyrics", "unmistakable title", "unmistakable tag"]
    prompt, lyrics, title, tag = words
    await studio.completed_track(owner, prompt=prompt, lyrics=lyrics, title=title, tags=[tag])
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        await studio.generate(owner, prompt=prompt, title=title)
        assert (await live.update())["track"]["title"] == title
    login = "mutation ($input: LoginInput!) { login(input: $input) { errors { message } } }"
    for password in (PASSWORD, "unmistakable password"):
        await studio.ask(login, {"input": {"email": owner.email, "password": password}})
    refresh = "mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { session { accessToken } } }"
    for _ in range(2):
        await studio.ask(refresh, {"input": {"refreshToken": owner.refresh_token}})
    await studio.ask('{ track(id: "unmistakable id") { id } broken }', by=owner)
    await studio.http.get("/graphql", params={"query": '{ track(id: "unmistakable id") { id } }'})
    await studio.http.get("/media/unmistakable", params={"signature": "unmistakable signature"})
    async with proxied(studio.database_url) as (url, proxy), opened(studio, tmp_path, DATABASE_URL=url) as (_, http):
        await proxy.set(Mode.REFUSE)
        await ask(http, login, input={"email": owner.email, "password": PASSWORD})
    text = log.getvalue()
    assert "request.served" in text
    assert "step.finished" in text
    assert "graphql.failed" in text
    assert owner.token is not None
    for secret in (owner.email, owner.token, owner.refresh_token, PASSWORD, SECRET, "unmistakable"):
        assert secret not in text


async def test_a_statement_that_the_database_refuses_is_logged_without_its_words(
    studio: Studio, log: io.StringIO
) -> None:
    owner = await studio.register("owner")
    await studio.sql("create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$")
    await studio.sql("create trigger refuse before insert on tracks for each row execute function refuse()")
    try:
        body = await studio.ask(GENERATE, {"input": {"prompt": "an unmistakable prompt"}}, by=owner)
    finally:
        await studio.sql("drop function refuse() cascade")
    assert body["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "DatabaseRefused" in log.getvalue()
    assert "unmistakable" not in log.getvalue()


# --- figures


def figures(text: str) -> dict[str, float]:
    """Samples by name and labels, as Prometheus reads them."""
    return {
        sample.name + "".join(f"[{value}]" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_are_readable_and_count_what_is_served(studio: Studio) -> None:
    owner = await studio.register("owner")
    before = figures((await studio.http.get("/metrics")).text)
    for _ in range(3):
        await studio.ask(VIEWER, by=owner)
    await studio.http.get("/nowhere/1")
    await studio.http.get("/nowhere/2")
    await studio.http.request("BREW", "/graphql")
    await studio.generate(owner)
    async with studio.served() as address, socket(address, owner) as live:
        await live.watch()
        answer = await studio.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    after = figures(answer.text)
    posts = "antiphon_requests_total[POST][/graphql][200]"
    assert after[posts] - before[posts] == 4
    assert after["antiphon_request_seconds_count[POST][/graphql]"] == after[posts]
    assert after["antiphon_requests_total[GET][unknown][404]"] == 2
    assert after["antiphon_requests_total[OTHER][/graphql][405]"] == 1
    assert after["antiphon_generations_active"] - before["antiphon_generations_active"] == 1
    assert (before["antiphon_streams_open"], after["antiphon_streams_open"]) == (0, 1)
    assert (before["antiphon_subscriptions_open"], after["antiphon_subscriptions_open"]) == (0, 1)
    assert after["antiphon_redis_listening"] == 1
    counted = figures((await studio.http.get("/metrics")).text)
    assert counted["antiphon_requests_total[WEBSOCKET][/graphql][101]"] == 1


async def test_figures_that_cannot_be_had_are_left_out_instead_of_shown_as_they_were(
    studio: Studio, tmp_path: Path, log: io.StringIO
) -> None:
    async with proxied(studio.database_url) as (url, proxy), opened(studio, tmp_path, DATABASE_URL=url) as (_, http):
        assert "antiphon_generations_active" in figures((await http.get("/metrics")).text)
        await proxy.set(Mode.REFUSE)
        found = figures((await http.get("/metrics")).text)
        assert "antiphon_generations_active" not in found
        assert "antiphon_streams_open" in found
        await proxy.set(Mode.PASS)
        assert "antiphon_generations_active" in figures((await http.get("/metrics")).text)


# --- routes, origins, production


async def test_an_unknown_route_is_404_with_an_id(studio: Studio) -> None:
    for path in ("/nowhere", "/graphql/more", "/media/", "/static/app.js", "/.env"):
        answer = await studio.http.get(path)
        assert answer.status_code == 404
        assert answer.headers["x-request-id"]


async def test_production_has_neither_graphiql_nor_a_demo_and_lets_no_foreign_origin_in(
    studio: Studio, tmp_path: Path
) -> None:
    async with opened(studio, tmp_path, **PRODUCTION) as (_, http):
        assert (await http.get("/graphiql")).status_code == 404
        landing = await http.get("/")
        assert landing.status_code == 200
        assert "graphiql" not in landing.text.lower()
        assert "demo@" not in landing.text
        local = await http.options("/graphql", headers=preflight("http://localhost:3000"))
        assert local.status_code == 400
        assert "access-control-allow-origin" not in local.headers
        assert (await ask(http, "{ providers { name } }")).status_code == 200
    assert (await studio.http.get("/graphiql")).status_code == 200


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:3000", True),
        ("https://localhost", True),
        ("http://127.0.0.1:5173", True),
        ("http://[::1]:5173", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:3000.evil.example", False),
        ("http://evil.example/localhost", False),
        ("null", False),
    ],
)
async def test_in_development_pages_of_this_machine_may_call_and_no_others(
    studio: Studio, origin: str, welcome: bool
) -> None:
    asked = await studio.http.options("/graphql", headers=preflight(origin))
    assert (asked.status_code == 200) is welcome
    answer = await studio.http.post("/graphql", json={"query": "{ viewer { id } }"}, headers={"Origin": origin})
    for headers in (asked.headers, answer.headers):
        assert headers.get("access-control-allow-origin") == (origin if welcome else None)
    if welcome:
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()


async def test_listed_origins_may_call_and_open_websockets_and_no_others(studio: Studio, tmp_path: Path) -> None:
    environ = {**PRODUCTION, "ANTIPHON_CORS_ORIGINS": "https://studio.example, https://other.example:8443"}
    async with opened(studio, tmp_path, **environ) as (api, http):
        other = Studio(**{**vars(studio), "api": api})
        async with other.served() as address:
            for origin, welcome in (
                (None, True),
                ("https://music.example", True),
                ("https://studio.example", True),
                ("https://other.example:8443", True),
                ("https://other.example", False),
                ("http://studio.example", False),
                ("http://localhost:3000", False),
                ("null", False),
            ):
                assert await lets_in(address, origin) is welcome, origin
        asked = await http.options("/graphql", headers=preflight("https://studio.example"))
        assert asked.headers["access-control-allow-origin"] == "https://studio.example"
        assert (await http.options("/graphql", headers=preflight("https://evil.example"))).status_code == 400


async def lets_in(address: str, origin: str | None) -> bool:
    offer = [Subprotocol("graphql-transport-ws")]
    try:
        async with connect(f"ws://{address}/graphql", origin=Origin(origin) if origin else None, subprotocols=offer):
            return True
    except InvalidStatus as refused:
        return refused.response.status_code != 403


# --- stopping


async def test_stopping_tells_open_sockets_to_come_back_and_ends_event_streams(studio: Studio) -> None:
    owner = await studio.register("owner")

    async def follow(address: str, ready: asyncio.Event) -> str:
        headers = {"Accept": "text/event-stream", **signed(owner)}
        text = ""
        async with httpx.AsyncClient(timeout=20) as client:
            async with client.stream(
                "POST", f"http://{address}/graphql", json={"query": UPDATES}, headers=headers
            ) as got:
                async for chunk in got.aiter_text():
                    text += chunk
                    if "READY" in text:
                        ready.set()
        return text

    async with AsyncExitStack() as stack:
        async with studio.served() as address:
            live = await stack.enter_async_context(socket(address, owner))
            await live.watch()
            ready = asyncio.Event()
            stream = asyncio.create_task(follow(address, ready))
            await ready.wait()
        with pytest.raises(ConnectionClosed) as closed:
            await live.message()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        text = await stream
    assert "event: complete" not in text  # cut off, so the client comes back by itself
    assert len(studio.api.streams) == 0
