"""What a use-case may use, as values: built once in `server.py`, completed with the viewer for every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from auth.passwords import Passwords
from auth.sessions import OpenSessions
from auth.tokens import AccessTokens
from auth.viewer import ANONYMOUS, Viewer
from core.clock import Clock
from core.db import Database
from core.topics import Topics
from domain.providers import Listing


@dataclass(frozen=True)
class Context:
    """One per request. `media_url` turns a storage key into a signed URL that lives for an hour or two."""

    db: Database
    topics: Topics
    clock: Clock
    new_id: Callable[[], UUID]
    passwords: Passwords
    tokens: AccessTokens
    sessions: OpenSessions
    catalog: Mapping[str, Listing]
    default_provider: str
    variants: int
    media_url: Callable[[str], str]
    viewer: Viewer = ANONYMOUS
    request_id: str = ""

    def of_request(self, viewer: Viewer, request_id: str) -> Context:
        """The same for one request: what `replace` gives, in 0.5 µs instead of 3.3."""
        made = object.__new__(Context)
        made.__dict__.update(self.__dict__, viewer=viewer, request_id=request_id)
        return made
