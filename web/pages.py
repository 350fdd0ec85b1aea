"""What a person opens in a browser: the landing page and, in development, GraphiQL.

Everything comes from this origin and is read once, at start. An asset's address carries a digest of all
assets, so it may be cached for ever; the pages, which name that digest, are asked about again each time.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

STATIC = Path(__file__).parent / "static"

# Spelled out because the host's MIME table decides otherwise, and with nosniff a wrong type is a dead page.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# A year, the longest that caches are asked to honour; the digest in the address changes with the content.
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

_SAME_ORIGIN = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",  # covers the WebSocket of the same host in every browser since Safari 16 (2022)
    "img-src": "'self'",
    "media-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",  # forms are sent by script; without it a password must not land in an address
}
# The landing page never turns text into markup, so the browser may enforce that it cannot.
LANDING_POLICY = {**_SAME_ORIGIN, "require-trusted-types-for": "'script'", "trusted-types": "'none'"}
# GraphiQL's style sheet holds the icons of its editor's warnings as data: images.
GRAPHIQL_POLICY = {**_SAME_ORIGIN, "img-src": "'self' data:"}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Served:
    """One document as it goes out: bytes, type, caching rule and the policy it runs under."""

    body: bytes
    media_type: str
    cache: str
    policy: Mapping[str, str]

    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": self.media_type,
            "Cache-Control": self.cache,
            "ETag": f'"{hashlib.sha256(self.body).hexdigest()[:32]}"',
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in self.policy.items()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }


def page_routes(*, graphiql: bool, demo: tuple[str, str] | None) -> list[BaseRoute]:
    """Routes for `/`, `/static/…` and, if `graphiql`, `/graphiql` (which is otherwise unknown: 404).

    `demo` is the e-mail and password that the sign-in form starts with; pass None in production. Raises
    OSError if the pages are not where the source is.
    """
    files = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in _asset_paths(graphiql=graphiql)}
    prefix = f"/static/{_digest(files)}"
    email, password = demo or ("", "")
    words = {
        "static": prefix,
        "demo_email": html.escape(email),
        "demo_password": html.escape(password),
        "graphiql_link": '<a href="/graphiql">GraphiQL</a>' if graphiql else "",
    }
    routes: list[BaseRoute] = [
        Route("/", _endpoint(_page("landing.html", words, LANDING_POLICY))),
        Route(f"{prefix}/{{path:path}}", _assets_endpoint(files)),
    ]
    if graphiql:
        routes.append(Route("/graphiql", _endpoint(_page("graphiql.html", words, GRAPHIQL_POLICY))))
    return routes


def _asset_paths(*, graphiql: bool) -> list[Path]:
    """Every file below `static/` but the pages themselves, and without GraphiQL's where it is not served."""
    paths = sorted(path for path in STATIC.rglob("*") if path.suffix in MEDIA_TYPES and path.suffix != ".html")
    return [path for path in paths if graphiql or path.parent.name != "graphiql"]


def _digest(files: Mapping[str, bytes]) -> str:
    """12 hex digits (48 bits) over names and contents: enough that two releases never share an address."""
    digest = hashlib.sha256()
    for name, body in files.items():
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()[:12]


def _page(name: str, words: Mapping[str, str], policy: Mapping[str, str]) -> Served:
    text = Template((STATIC / name).read_text(encoding="utf-8")).substitute(words)
    return Served(text.encode(), MEDIA_TYPES[".html"], ASK_AGAIN, policy)


def _assets_endpoint(files: Mapping[str, bytes]) -> Endpoint:
    endpoints = {
        name: _endpoint(Served(body, MEDIA_TYPES[Path(name).suffix], FOR_EVER, _SAME_ORIGIN))
        for name, body in files.items()
    }

    async def asset(request: Request) -> Response:
        endpoint = endpoints.get(request.path_params["path"])
        return await endpoint(request) if endpoint else PlainTextResponse("Not Found", 404)

    return asset


def _endpoint(served: Served) -> Endpoint:
    headers = served.headers()

    async def answer(request: Request) -> Response:
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if headers["ETag"] in known:
            return Response(status_code=304, headers=headers)
        return Response(served.body, headers=headers)

    return answer
