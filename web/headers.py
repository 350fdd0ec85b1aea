"""Headers as ASGI brings them: a list of pairs, names in lower case."""

from __future__ import annotations

from starlette.types import Scope

_KEY = "antiphon.headers"


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """By name, gathered once a request; of a name that comes more than once the first counts."""
    headers: dict[bytes, bytes] | None = scope.get(_KEY)
    if headers is None:
        headers = scope[_KEY] = dict(reversed(scope["headers"]))
    return headers
