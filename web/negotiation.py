"""Which media type to answer in: the `Accept` header, by quality and order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

RESPONSE_JSON = "application/graphql-response+json"
PLAIN_JSON = "application/json"
EVENT_STREAM = "text/event-stream"

MAX_RANGES = 50  # a browser sends about eight

# Every library and browser sends one of its own, and always the same; at most 128 kB of them are kept.
REMEMBERED, REMEMBERED_BYTES = 256, 512


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`json` is the JSON type to answer in, None when none is accepted. `streams`: event streams are
    accepted by name. `prefers_stream`: and before any JSON."""

    json: str | None
    streams: bool
    prefers_stream: bool


def read_accept(header: bytes) -> Acceptance:
    """Without a header, and for a wildcard, the answer is `application/json`, as the specification asks.

    An event stream is only for who names it, and before JSON only for who ranks it so: some clients list it
    with every query.
    """
    return _remembered(header) if len(header) <= REMEMBERED_BYTES else _read(header)


def _read(header: bytes) -> Acceptance:
    text = header.decode("latin-1")
    ranked = _ranked(text if text.strip() else "*/*")
    names = [_served(name) for name in ranked]
    json = next((name for name in names if name in (RESPONSE_JSON, PLAIN_JSON)), None)
    streams = EVENT_STREAM in names
    first = streams and (json is None or names.index(EVENT_STREAM) < names.index(json))
    return Acceptance(json, streams, first)


_remembered = lru_cache(REMEMBERED)(_read)


def _served(name: str) -> str:
    return PLAIN_JSON if name in ("*/*", "application/*") else name


def _ranked(header: str) -> list[str]:
    """Media ranges, best first: by falling quality, then in the order of the header; those of quality 0
    left out."""
    qualities = []
    for part in header.lower().split(",")[:MAX_RANGES]:
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        if name and quality > 0:
            qualities.append((quality, name))
    return [name for _, name in sorted(qualities, key=lambda pair: -pair[0])]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
