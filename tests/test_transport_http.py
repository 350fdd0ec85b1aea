"""GraphQL over HTTP: media types, statuses, bodies that lie, and what is said about failures."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from tests.node import run_client
from tests.transports import served, studio_execution, transports
from web.bodies import BodyRefused, read_body

JSON = {"content-type": "application/json"}
RESPONSE_JSON = "application/graphql-response+json"
URQL = f"{RESPONSE_JSON}, application/graphql+json, application/json, text/event-stream, multipart/mixed"


def ask(method: str = "POST", app: Any = None, **request: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app or transports().app)
        async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
            return await client.request(method, "/graphql", **request)

    return asyncio.run(send())


def run(query: str, accept: str | None = None, authorization: str | None = None, **more: Any) -> httpx.Response:
    headers = {"accept": accept, "authorization": authorization}
    return ask(json={"query": query, **more}, headers={k: v for k, v in headers.items() if v is not None})


def error_of(response: httpx.Response) -> dict[str, Any]:
    [error] = response.json()["errors"]
    return dict(error)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (RESPONSE_JSON, RESPONSE_JSON),
        (f"application/json;q=0.5, {RESPONSE_JSON}", RESPONSE_JSON),
        (f"application/json, {RESPONSE_JSON};q=0.9", "application/json"),
        (f"{RESPONSE_JSON};q=0, */*;q=0.1", "application/json"),
        (f"text/html;q=nonsense, {RESPONSE_JSON.upper()}", RESPONSE_JSON),
        (URQL, RESPONSE_JSON),
        ("application/json, text/event-stream", "application/json"),
    ],
)
def test_the_answer_has_the_json_type_that_is_preferred(accept, media_type):
    response = run("{ hello }", accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {"data": {"hello": "Hello, studio"}}


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*"])
def test_a_type_that_is_not_served_is_not_acceptable(accept):
    response = run("mutation { play }", accept)
    assert response.status_code == 406
    assert "accept one of them" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"query": "{"}, "Syntax Error"),
        ({"query": "{ nothing }"}, "Cannot query field 'nothing'"),
        ({"query": "query ($n: Int!) { tracks(first: $n) { edges { node { id } } } }"}, "Variable '$n'"),
        ({"query": "query A { hello } query B { hello }"}, "name one of them"),
        ({"query": "query A { hello }", "operationName": "B"}, "no operation named 'B'"),
        ({"query": "query A { hello }", "operationName": ""}, "no operation named ''"),
        ({"query": "fragment F on Query { hello }"}, "F"),
        ({"query": "{ rename(input: {title: null}) }"}, "cannot be explicitly set to null"),
    ],
)
def test_a_refused_operation_is_400_for_those_who_know_and_200_for_plain_json(body, text):
    modern = ask(json=body, headers={"accept": RESPONSE_JSON})
    legacy = ask(json=body, headers={"accept": "application/json"})
    assert (modern.status_code, legacy.status_code) == (400, 200)
    for response in (modern, legacy):
        assert "data" not in response.json()
        error = response.json()["errors"][0]
        assert text in error["message"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_one_of_several_operations_is_run_by_its_name():
    response = run("query A { hello } query B { a: hello(name: $n) }".replace("$n", '"b"'), operationName="B")
    assert response.json() == {"data": {"a": "Hello, b"}}


def test_a_query_may_come_by_get():
    parameters = {
        "query": "query Q($name: String!) { hello(name: $name) }",
        "variables": '{"name": "GET"}',
        "operationName": "Q",
        "extensions": "{}",
    }
    assert ask("GET", params=parameters).json() == {"data": {"hello": "Hello, GET"}}


@pytest.mark.parametrize("name", ["variables", "extensions"])
@pytest.mark.parametrize("text", ["{", "[]", "1"])
def test_json_in_the_url_must_be_an_object(name, text):
    response = ask("GET", params={"query": "{ hello }", name: text})
    assert response.status_code == 400
    assert f"`{name}`" in error_of(response)["message"]


def test_a_mutation_by_get_is_refused_and_does_not_run():
    made = transports()
    response = ask("GET", made.app, params={"query": "mutation { play }"})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert made.studio.plays == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
def test_other_methods_are_told_which_ones_are_served(method):
    response = ask(method)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


def test_a_subscription_by_plain_post_is_told_of_the_two_ways():
    response = run("subscription { ticks { number } }")
    assert response.status_code == 406
    assert "text/event-stream" in error_of(response)["message"]
    assert "graphql-transport-ws" in error_of(response)["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/graphql"},
        {**JSON, "content-encoding": "gzip"},
        {**JSON, "content-encoding": "deflate"},
    ],
)
def test_only_plain_json_in_utf8_is_taken(headers):
    body = b'{"query": "{ hello }"}'
    content = gzip.compress(body) if headers.get("content-encoding") == "gzip" else body
    response = ask(content=content, headers=headers)
    assert response.status_code == 415
    assert response.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1",
        b"null",
        b'"x"',
        b"[]",
        b'[{"query": "{ hello }"}]',
        b"[" * 100_000,
        b'{"query": "{ hello }", "variables": {"n": ' + b"9" * 5_000 + b"}}",
        b'{"query": "{ hello }", "variables": {"n": NaN}}',
        b'{"query": "\xff\xfe"}',
        b'{"query": "\\ud800"}',
        b'{"query": "{ hello }"',
        b'{"query": "{ hello }"} trailing',
    ],
)
def test_a_body_that_is_no_request_is_400_and_says_why(body):
    response = ask(content=body, headers=JSON)
    assert response.status_code == 400
    assert error_of(response)["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("name", ["query", "variables", "operationName", "extensions"])
@pytest.mark.parametrize("value", [1, False, ["x"], "x", {"x": 1}])
def test_a_parameter_of_the_wrong_type_is_400_and_named(name, value):
    right = {"query": str, "operationName": str}.get(name, dict)
    if isinstance(value, right):
        value = 1.5
    response = ask(json={"query": "{ hello }", name: value})
    assert response.status_code == 400
    assert f"`{name}`" in error_of(response)["message"]


def test_of_equal_keys_the_last_one_counts():
    response = ask(content=b'{"query": "{", "query": "{ hello }"}', headers=JSON)
    assert response.json() == {"data": {"hello": "Hello, studio"}}


def test_a_long_body_is_413_whether_declared_or_hidden():
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 50_000

    declared = ask(content=b" " * 1_000_001, headers=JSON)
    hidden = ask(content=drip(), headers=JSON)
    lying = ask(content=drip(), headers={**JSON, "content-length": "10"})
    boasting = ask(content=b"{}", headers={**JSON, "content-length": "9" * 400})
    assert {r.status_code for r in (declared, hidden, lying, boasting)} == {413}
    assert "1,000,000 bytes" in error_of(hidden)["message"]


def test_a_body_that_drips_in_is_given_up():
    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    headers = {b"content-type": b"application/json"}
    with pytest.raises(BodyRefused) as refused:
        asyncio.run(read_body(headers, never, seconds=0.01))
    assert refused.value.status == 408


def test_the_hash_of_a_query_alone_asks_for_its_text():
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    response = ask(json={"extensions": extensions})
    assert response.status_code == 200
    assert error_of(response)["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert ask(json={"query": "{ hello }", "extensions": extensions}).json()["data"]


@pytest.mark.parametrize(
    ("token", "status", "code", "header"),
    [
        ("forged", 401, "UNAUTHENTICATED", ("www-authenticate", "Bearer")),
        ("suspended", 403, "FORBIDDEN", None),
        ("hasty", 429, "RATE_LIMITED", ("retry-after", "3")),
        ("unlucky", 503, "UNAVAILABLE", ("retry-after", "1")),
    ],
)
def test_a_caller_who_is_not_let_in_gets_the_status_that_says_so(token, status, code, header):
    response = run("{ hello }", authorization=f"Bearer {token}")
    assert response.status_code == status
    assert error_of(response)["extensions"]["code"] == code
    assert "data" not in response.json()
    assert header is None or response.headers[header[0]] == header[1]


def test_resolvers_get_the_context_that_was_made():
    assert run("{ whoami }", authorization="Bearer ada").json() == {"data": {"whoami": "ada"}}


@pytest.mark.parametrize(
    ("field", "code", "retryable"),
    [
        ("broken", "INTERNAL", False),
        ("huge", "INTERNAL", False),
        ("database", "UNAVAILABLE", True),
        ("membersOnly", "UNAUTHENTICATED", False),
    ],
)
def test_a_field_that_fails_leaves_its_neighbours_and_tells_a_code(field, code, retryable):
    response = run(f"{{ hello {field} }}", RESPONSE_JSON)
    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "Hello, studio", field: None}
    error = error_of(response)
    assert error["path"] == [field]
    assert error["locations"]
    assert set(error["extensions"]) == {"code", "category", "retryable", "retryAfter", "requestId"}
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == (code, retryable)


def test_a_bug_shows_the_request_id_and_nothing_else():
    with capture_logs() as logs:
        response = run("{ brokenHard }", RESPONSE_JSON)
    assert (response.status_code, response.json()["data"]) == (200, None)
    assert "hunter2" not in response.text
    request_id = error_of(response)["extensions"]["requestId"]
    assert request_id in error_of(response)["message"]
    [entry] = logs
    assert (entry["event"], entry["request_id"], entry["code"]) == ("graphql.failed", request_id, "INTERNAL")
    assert "hunter2" in str(entry["exc_info"])


def test_an_outage_shows_no_address():
    with capture_logs() as logs:
        response = run("{ database }")
    assert "10.0.0.7" not in response.text
    assert [entry["code"] for entry in logs] == ["UNAVAILABLE"]


def test_what_a_client_did_wrong_is_not_logged():
    with capture_logs() as logs:
        run("{")
        run("{ membersOnly }")
        run("{ hello }", authorization="Bearer forged")
    assert logs == []


def test_twenty_equal_failures_do_not_fill_the_log():
    with capture_logs() as logs:
        response = run("{" + " ".join(f"f{n}: broken" for n in range(20)) + "}")
    assert len(response.json()["errors"]) == 20
    assert (len(logs), logs[0]["failures"]) == (5, 20)


def test_a_scalar_that_json_does_not_have_is_a_masked_bug():
    with capture_logs() as logs:
        body = studio_execution().encode({"data": {"when": object()}}, "req-9")
    assert orjson.loads(body)["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert len(logs) == 1


@pytest.mark.node
def test_every_audit_of_graphql_over_http_passes():
    with served() as studio:
        results = run_client("audit.mjs", studio.http)
    assert len(results) == 61
    assert [result for result in results if result["status"] != "ok"] == []
