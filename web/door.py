"""What all transports of `/graphql` share: who runs operations, who the caller is, what a request looks
like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.types import Scope

from domain.errors import RequestCode, RequestFailed
from schema.execution import Execution
from web.streams import Streams

# (value of `Authorization` or None, request id) → the context that resolvers get. May raise `RequestFailed`.
# A context with `expires_at` (Unix seconds) ends the streams that were opened with it then.
MakeContext = Callable[[str | None, str], Awaitable[object]]

# A socket's context → that of its next operation. May raise `RequestFailed`, when the session has ended meanwhile.
Renew = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Door:
    """Handed to each transport. `allow_origin` judges the `Origin` header of WebSockets, which CORS does
    not cover; `now` gives Unix seconds."""

    execution: Execution
    make_context: MakeContext
    streams: Streams
    allow_origin: Callable[[str | None], bool]
    now: Callable[[], float]
    renew: Renew

    def seconds_left(self, context: object) -> float | None:
        """How long streams opened with this context may go on; None when for ever."""
        expires_at: float | None = getattr(context, "expires_at", None)
        return None if expires_at is None else max(0.0, expires_at - self.now())


class Parameters(NamedTuple):
    """A GraphQL request as its client sent it, types checked."""

    query: str
    operation_name: str | None
    variables: dict[str, Any]
    explain: bool = False  # whether `extensions` asks for the SQL as well, which development tells


def request_id_of(scope: Scope) -> str:
    """The id that the middleware gave to the request (or to the whole WebSocket)."""
    request_id: str = scope["state"]["request_id"]
    return request_id


def read_parameters(raw: object) -> Parameters:
    """Check a decoded request. Raises `RequestFailed(BAD_USER_INPUT)` saying what does not fit, or
    `PERSISTED_QUERY_NOT_FOUND` when only the hash of a query came: the client then sends the text."""
    if isinstance(raw, list):
        raise bad_request("Batches are not served: send one JSON object per request.")
    if not isinstance(raw, dict):
        raise bad_request("The request must be a JSON object with `query`.")
    query = raw.get("query")
    extensions = _optional(raw, "extensions", dict)
    if query is None and extensions and "persistedQuery" in extensions:
        text = "This server keeps no persisted queries: send `query` itself."
        raise RequestFailed(RequestCode.PERSISTED_QUERY_NOT_FOUND, text)
    if not isinstance(query, str):
        raise bad_request("`query` must be a string with a GraphQL document.")
    explain = bool(extensions) and extensions.get("explain") is True
    return Parameters(query, _optional(raw, "operationName", str), _optional(raw, "variables", dict) or {}, explain)


def bad_request(text: str) -> RequestFailed:
    return RequestFailed(RequestCode.BAD_USER_INPUT, text)


def _optional(raw: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = raw.get(name)
    if value is not None and not isinstance(value, kind):
        raise bad_request(f"`{name}` must be {'an object' if kind is dict else 'a string'} or null.")
    return value
