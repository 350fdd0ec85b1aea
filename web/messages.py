"""What a client may say on a `graphql-transport-ws` socket, checked before anything acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Message as Frame

from domain.errors import RequestFailed
from web.door import Parameters, read_parameters

KINDS = ("connection_init", "ping", "pong", "subscribe", "complete")
ID_CHARS = 200  # clients use UUIDs or counters; each payload carries the id again
REASON_BYTES = 123  # a close frame holds 125, two of them the code


class Closed(Exception):
    """Ends the socket with `code`; the reason is for whoever debugs the client."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason.encode()[:REASON_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """`id` is there in `subscribe` and `complete`, `parameters` in `subscribe`, `payload` in the others if
    sent."""

    kind: str
    id: str
    payload: dict[str, Any] | None
    parameters: Parameters | None


def read_message(frame: Frame, max_bytes: int) -> ClientMessage:
    """Check one frame. Raises `Closed(4400)` with the reason when the protocol does not know it."""
    raw = _decode(frame, max_bytes)
    if not isinstance(raw, dict):
        raise Closed(4400, "A message must be a JSON object")
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Closed(4400, f"`type` must be one of {', '.join(KINDS)}")
    payload = raw.get("payload")
    if kind == "subscribe":
        return ClientMessage(kind, _id(raw), None, _parameters(payload))
    if kind == "complete":
        return ClientMessage(kind, _id(raw), None, None)
    if payload is not None and not isinstance(payload, dict):
        raise Closed(4400, f"`payload` of {kind} must be an object")
    return ClientMessage(kind, "", payload, None)


def authorization_of(payload: dict[str, Any] | None) -> str | None:
    """The `authorization` that `connection_init` carries, in either spelling. Raises `Closed(4400)`."""
    payload = payload or {}
    value = payload.get("authorization", payload.get("Authorization"))
    if value is not None and not isinstance(value, str):
        raise Closed(4400, "`authorization` must be a string")
    return value


def _decode(frame: Frame, max_bytes: int) -> Any:
    text = frame.get("text")
    if text is None:
        raise Closed(4400, "Messages are sent as text")
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise Closed(4400, f"A message has at most {max_bytes:,} bytes")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Closed(4400, "A message must be valid JSON") from None


def _id(raw: dict[str, Any]) -> str:
    value = raw.get("id")
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARS:
        raise Closed(4400, f"`id` must be a string of 1 to {ID_CHARS} characters")
    return value


def _parameters(payload: Any) -> Parameters:
    if not isinstance(payload, dict):
        raise Closed(4400, "`payload` of subscribe must be an object")
    try:
        return read_parameters(payload)
    except RequestFailed as failure:
        raise Closed(4400, failure.message) from None


class Pace:
    """How long to wait before the next message is taken, so that no more than a burst comes faster than
    the rate."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._allowance = float(burst)
        self._last: float | None = None

    def delay(self, now: float) -> float:
        """Count one message at `now` (seconds of any clock); the seconds to wait with it."""
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        self._allowance = min(self._burst, self._allowance + passed * self._per_second) - 1
        return max(0.0, -self._allowance / self._per_second)
