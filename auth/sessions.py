"""Whether a session is still open, and what its user may do: asked of the database, remembered for a few seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select

from core.db import failures_named
from domain.accounts import Role
from models.accounts import Session, UserRole
from planner.connections import Connections
from planner.statements import for_viewer

# A sign-out elsewhere takes effect within this time; here at once, see `forget`.
REMEMBERED_SECONDS = 5.0
# About 200 bytes each. Older ones are asked for again.
REMEMBERED_SESSIONS = 20_000

# The roles of an open session's user, in one statement: it is asked at a user's first request, and every five seconds.
LIVE = for_viewer(
    select(
        select(func.array_agg(UserRole.role))
        .where(UserRole.user_id == Session.user_id)
        .scalar_subquery()
        .label("roles")
    )
    .where(
        Session.family_id == bindparam("session", type_=Uuid()),
        Session.replaced_at.is_(None),
        Session.revoked_at.is_(None),
        Session.expires_at > func.now(),
    )
    .limit(1)
)


class OpenSessions:
    """Answers `roles(session_id)`; None when the session is signed out, revoked or expired."""

    def __init__(self, connections: Connections, clock: Callable[[], float] = time.monotonic) -> None:
        self._connections = connections
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[float, frozenset[str] | None]] = OrderedDict()
        self._forgotten = 0

    async def roles(self, session_id: UUID) -> frozenset[str] | None:
        known = self._known.get(session_id)
        if known is not None and known[0] > self._clock():
            return known[1]
        before = self._forgotten
        roles = await self._ask(session_id)
        # What was read before a session ended here may be that one: true for this request, not to be remembered.
        if before == self._forgotten:
            self._known[session_id] = (self._clock() + REMEMBERED_SECONDS, roles)
            self._known.move_to_end(session_id)
        if len(self._known) > REMEMBERED_SESSIONS:
            self._known.popitem(last=False)
        return roles

    def forget(self, session_id: UUID) -> None:
        """Ask again at the next request: the session was just ended here."""
        self._forgotten += 1
        self._known.pop(session_id, None)

    async def _ask(self, session_id: UUID) -> frozenset[str] | None:
        with failures_named():
            async with self._connections.one() as connection:
                rows = await connection.fetch(LIVE.text, *LIVE.values(actor="system", user_id="", session=session_id))
        return None if not rows else frozenset(rows[0][0] or ()) | {Role.USER}
