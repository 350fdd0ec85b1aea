"""`/graphql` over HTTP: POST with JSON, GET for queries, and event streams for who asks for them.

Statuses: a request that is no GraphQL request, or that the caller may not make, has the HTTP status that
says so. A GraphQL request that is refused (syntax, validation, variables, size) answers 400 as
`application/graphql-response+json`, and 200 as `application/json`, as the GraphQL-over-HTTP specification
has it. Once fields have run the answer is 200, with `errors` beside `data`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from domain.errors import RequestCode, RequestFailed
from schema.execution import Operation, RequestRefused
from web.bodies import BodyRefused, read_json
from web.door import Door, Parameters, bad_request, read_parameters, request_id_of
from web.negotiation import PLAIN_JSON, RESPONSE_JSON, Acceptance, read_accept
from web.sse import EventStream
from web.websocket import GraphQLWebSocket, SocketLimits

PATH = "/graphql"
STATUS = {
    RequestCode.UNAUTHENTICATED: 401,
    RequestCode.FORBIDDEN: 403,
    RequestCode.RATE_LIMITED: 429,
    RequestCode.UNAVAILABLE: 503,
    RequestCode.INTERNAL: 500,
}


def graphql_routes(door: Door, limits: SocketLimits | None = None) -> list[BaseRoute]:
    """The routes that serve GraphQL on all transports; `limits` are those of a WebSocket."""
    return [Route(PATH, GraphQLHTTP(door)), WebSocketRoute(PATH, GraphQLWebSocket(door, limits))]


class HttpRefused(Exception):
    """Answered with an HTTP status of its own, beside the GraphQL error that says why."""

    def __init__(self, status: int, reason: Exception, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(reason))
        self.status = status
        self.reason = reason
        self.headers = headers or {}


class GraphQLHTTP:
    """The ASGI application behind the route."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        acceptance = read_accept(request.headers.get("accept"))
        try:
            answer = await self._answer(request, acceptance)
        except HttpRefused as refused:
            payload = self._door.execution.refusal(refused.reason, request_id_of(request))
            answer = _response(orjson.dumps(payload), acceptance, refused.status, refused.headers)
        except Exception as failure:  # a bug or an outage: described, logged and masked like any other
            answer = self._failed(request, acceptance, failure)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, acceptance: Acceptance) -> Response | EventStream:
        try:
            parameters = await _read(request)
            operation = self._door.execution.prepare(parameters.query, parameters.operation_name, parameters.variables)
            return await self._run(request, acceptance, operation, parameters)
        except RequestRefused as refused:
            raise HttpRefused(200 if acceptance.json == PLAIN_JSON else 400, refused) from None

    async def _run(
        self, request: Request, acceptance: Acceptance, operation: Operation, parameters: Parameters
    ) -> Response | EventStream:
        streaming = _streams(operation, acceptance, request.method)
        request_id = request_id_of(request)
        context = await self._door.make_context(request, request.headers.get("authorization"), request_id)
        if streaming:
            self._door.streams.admit()
            return EventStream(self._door, request, operation, parameters.variables, context)
        execution = self._door.execution
        payload = await execution.execute(operation, parameters.variables, context, request_id=request_id)
        return _response(execution.encode(payload, request_id), acceptance, 200)

    def _failed(self, request: Request, acceptance: Acceptance, failure: Exception) -> Response:
        """The context could not be made, or something broke: the code decides about the status."""
        payload = self._door.execution.refusal(failure, request_id_of(request))
        extensions = payload["errors"][0]["extensions"]
        status = STATUS.get(RequestCode(extensions["code"]), 400)
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        if extensions["retryAfter"] is not None:
            headers["retry-after"] = str(math.ceil(extensions["retryAfter"]))
        return _response(orjson.dumps(payload), acceptance, status, headers)


async def _read(request: Request) -> Parameters:
    """The request's parameters, from the body of a POST or the query string of a GET."""
    if request.method not in ("GET", "POST"):
        text = f"{request.method} is not served here: use POST, or GET for queries."
        raise HttpRefused(405, bad_request(text), {"allow": "GET, POST"})
    try:
        raw = await read_json(request) if request.method == "POST" else _query_string(request)
    except BodyRefused as refused:
        raise HttpRefused(refused.status, bad_request(refused.text)) from None
    try:
        return read_parameters(raw)
    except RequestFailed as failure:
        if failure.code is RequestCode.PERSISTED_QUERY_NOT_FOUND:
            raise RequestRefused([failure]) from None
        raise HttpRefused(400, failure) from None


def _query_string(request: Request) -> dict[str, Any]:
    raw: dict[str, Any] = dict(request.query_params)
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
        raise HttpRefused(405, bad_request("Mutations are sent by POST."), {"allow": "POST"})
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


def _response(body: bytes, acceptance: Acceptance, status: int, headers: Mapping[str, str] | None = None) -> Response:
    media_type = f"{acceptance.json or PLAIN_JSON}; charset=utf-8"
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, media_type)
