"""Which web pages may call: checked by CORS on HTTP, and by ourselves on WebSocket, which CORS does not cover."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from web.headers import headers_of

LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
EXPOSED = ("X-Request-Id", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Retry-After")
VARY = (b"vary", b"Origin")
PREFLIGHT_SECONDS = 3600  # browsers keep the answer for at most two hours anyway


def origin_rule(origins: tuple[str, ...] | None, public_url: str) -> Callable[[str | None], bool]:
    """Whether a WebSocket may be opened from an origin. None in `origins` means any on this machine.

    No origin at all is no browser; our own pages are always welcome.
    """
    own = "{0.scheme}://{0.netloc}".format(urlsplit(public_url))

    def allowed(origin: str | None) -> bool:
        if origin is None or origin == own:
            return True
        return bool(LOCAL.fullmatch(origin)) if origins is None else origin in origins

    return allowed


class Origins:
    """CORS with credentials, for the listed origins or, with None, for any on this machine.

    A middleware inside `Observed`. Who names no origin is no page of another site: such requests pass, and caches are
    told that the answer might have been another.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...] | None) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins or (),
            allow_origin_regex=LOCAL.pattern if origins is None else None,
            allow_credentials=True,
            allow_methods=("GET", "HEAD", "POST", "OPTIONS"),
            allow_headers=("Authorization", "Content-Type", "Range", "X-Request-Id", "Last-Event-ID"),
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        if b"origin" in headers_of(scope):
            return self._cors(scope, receive, send)
        scope["state"]["answer_headers"].append(VARY)
        return self._app(scope, receive, send)
