"""Which web pages may call: checked by CORS on HTTP, and by ourselves on WebSocket, which CORS does not cover."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
EXPOSED = ("X-Request-Id", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Retry-After")
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


def cors(origins: tuple[str, ...] | None) -> Middleware:
    """CORS with credentials, for the listed origins or, with None, for any on this machine."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins or (),
        allow_origin_regex=LOCAL.pattern if origins is None else None,
        allow_credentials=True,
        allow_methods=("GET", "HEAD", "POST", "OPTIONS"),
        allow_headers=("Authorization", "Content-Type", "Range", "X-Request-Id", "Last-Event-ID"),
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_SECONDS,
    )
