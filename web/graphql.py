"""`/graphql` over HTTP: POST with JSON, GET for queries, and event streams for who asks for them.

Statuses: a request that is no GraphQL request, or that the caller may not make, has the HTTP status that
says so. A GraphQL request that is refused (syntax, validation, variables, size) answers 400 as
`application/graphql-response+json`, and 200 as `application/json`, as the GraphQL-over-HTTP specification
has it. Once fields have run the answer is 200, with `errors` beside `data`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from domain.errors import RequestCode, RequestFailed
from schema.documents import Operation
from schema.execution import RequestRefused
from web.bodies import BodyRefused, Headers, parse_json, read_body
from web.door import Door, Parameters, bad_request, read_parameters, request_id_of
from web.headers import headers_of
from web.negotiation import PLAIN_JSON, RESPONSE_JSON, Acceptance, read_accept
from web.sse import EventStream, resumed
from web.websocket import GraphQLWebSocket, SocketLimits

PATH = "/graphql"
STATUS = {
    RequestCode.UNAUTHENTICATED: 401,
    RequestCode.FORBIDDEN: 403,
    RequestCode.RATE_LIMITED: 429,
    RequestCode.UNAVAILABLE: 503,
    RequestCode.INTERNAL: 500,
}
HEADS = {
    name: ((b"content-type", f"{name}; charset=utf-8".encode()), (b"cache-control", b"no-store"))
    for name in (PLAIN_JSON, RESPONSE_JSON)
}

Pairs = Sequence[tuple[bytes, bytes]]


def graphql_routes(door: Door, limits: SocketLimits | None = None) -> list[BaseRoute]:
    """The routes that serve GraphQL on all transports; `limits` are those of a WebSocket."""
    return [Route(PATH, GraphQLHTTP(door)), WebSocketRoute(PATH, GraphQLWebSocket(door, limits))]


class HttpRefused(Exception):
    """Answered with an HTTP status of its own, beside the GraphQL error that says why."""

    def __init__(self, status: int, reason: Exception, headers: Pairs = ()) -> None:
        super().__init__(str(reason))
        self.status = status
        self.reason = reason
        self.headers = headers


class Answer(NamedTuple):
    """A whole response but for its length, ready to be sent."""

    status: int
    headers: Pairs
    body: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % len(self.body))
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.body})


class GraphQLHTTP:
    """The ASGI application behind the route, and `post` for whoever has a whole request at hand. What surrounds the
    execution of a query may cost 10 µs: so nothing here makes an object of a request."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, request_id = headers_of(scope), request_id_of(scope)
        acceptance = read_accept(headers.get(b"accept", b""))
        try:
            parameters = await _read(scope, receive, headers)
            answer = await self._answer(scope["method"], parameters, headers, acceptance=acceptance, id=request_id)
        except Exception as failure:  # a bug or an outage too: described, logged and masked like any other
            answer = self._failed(acceptance, failure, request_id)
        await answer(scope, receive, send)

    async def post(self, headers: Headers, body: bytes, request_id: str) -> Answer:
        """The answer to a POST that does not accept an event stream."""
        acceptance = read_accept(headers.get(b"accept", b""))
        try:
            parameters = _parameters(parse_json, headers, body)
            answer = await self._answer("POST", parameters, headers, acceptance=acceptance, id=request_id)
        except Exception as failure:
            answer = self._failed(acceptance, failure, request_id)
        assert isinstance(answer, Answer)
        return answer

    async def _answer(
        self, method: str, parameters: Parameters, headers: Headers, *, acceptance: Acceptance, id: str
    ) -> Answer | EventStream:
        execution, variables = self._door.execution, parameters.variables
        operation = execution.prepare(parameters.query, parameters.operation_name, variables)
        streaming = _streams(operation, acceptance, method)
        authorization = headers.get(b"authorization")
        text = None if authorization is None else authorization.decode("latin-1")
        context = await self._door.make_context(text, id)
        if streaming:
            self._door.streams.admit()
            seen = headers.get(b"last-event-id", b"").decode("latin-1")
            return EventStream(self._door, operation, resumed(operation, variables, seen), context, request_id=id)
        answer = execution.explained if parameters.explain else execution.answer
        body = await answer(operation, variables, context, request_id=id)
        return Answer(200, HEADS[acceptance.json or PLAIN_JSON], body)

    def _failed(self, acceptance: Acceptance, failure: Exception, request_id: str) -> Answer:
        """Nothing was run: the failure decides about the status, or else its code."""
        payload = self._door.execution.refusal(_reason(failure), request_id)
        status, headers = _status(failure, acceptance, payload["errors"][0]["extensions"])
        return Answer(status, (*HEADS[acceptance.json or PLAIN_JSON], *headers), orjson.dumps(payload))


async def _read(scope: Scope, receive: Receive, headers: Headers) -> Parameters:
    """The request's parameters, from the body of a POST or the query string of a GET."""
    method = scope["method"]
    if method not in ("GET", "POST"):
        text = f"{method} is not served here: use POST, or GET for queries."
        raise HttpRefused(405, bad_request(text), [(b"allow", b"GET, POST")])
    if method == "GET":
        return _parameters(_query_string, scope)
    try:
        body = await read_body(headers, receive)
    except BodyRefused as refused:
        raise HttpRefused(refused.status, bad_request(refused.text)) from None
    return _parameters(parse_json, headers, body)


def _parameters(decode: Callable[..., Any], *source: Any) -> Parameters:
    """What `decode` makes of the request, checked."""
    try:
        return read_parameters(decode(*source))
    except BodyRefused as refused:
        raise HttpRefused(refused.status, bad_request(refused.text)) from None
    except RequestFailed as failure:
        if failure.code is RequestCode.PERSISTED_QUERY_NOT_FOUND:
            raise RequestRefused([failure]) from None
        raise HttpRefused(400, failure) from None


def _query_string(scope: Scope) -> dict[str, Any]:
    raw: dict[str, Any] = dict(QueryParams(scope["query_string"]))
    for name in ("variables", "extensions"):
        if text := raw.pop(name, None):
            try:
                raw[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise HttpRefused(400, bad_request(f"`{name}` in the URL must be a JSON object.")) from None
    return raw


def _streams(operation: Operation, acceptance: Acceptance, method: str) -> bool:
    """Whether the answer is an event stream. Raises `HttpRefused` when the operation cannot be answered as
    asked."""
    if operation.kind == "mutation" and method == "GET":
        raise HttpRefused(405, bad_request("Mutations are sent by POST."), [(b"allow", b"POST")])
    if operation.kind == "subscription":
        if acceptance.streams:
            return True
        text = (
            "A subscription is answered as an event stream: send Accept: text/event-stream, "
            "or use a WebSocket with the subprotocol graphql-transport-ws."
        )
        raise HttpRefused(406, bad_request(text))
    if acceptance.prefers_stream:
        return True
    if acceptance.json is None:
        raise HttpRefused(406, bad_request(f"Answers are {RESPONSE_JSON} or {PLAIN_JSON}: accept one of them."))
    return False


def _reason(failure: Exception) -> Exception:
    return failure.reason if isinstance(failure, HttpRefused) else failure


def _status(failure: Exception, acceptance: Acceptance, told: Mapping[str, Any]) -> tuple[int, Pairs]:
    """The status, and the headers that go with it, of an answer that tells `told` as the error's extensions."""
    if isinstance(failure, HttpRefused):
        return failure.status, failure.headers
    if isinstance(failure, RequestRefused):
        return 200 if acceptance.json == PLAIN_JSON else 400, ()
    status = STATUS.get(RequestCode(told["code"]), 400)
    headers = [(b"www-authenticate", b"Bearer")] if status == 401 else []
    if told["retryAfter"] is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(told["retryAfter"])))
    return status, headers
