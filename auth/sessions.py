"""Whether a session is still open, and what its user may do: asked of the database, remembered for a few seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import func, select

from auth.viewer import SYSTEM
from core.db import Database
from domain.accounts import Role
from models.accounts import Session, UserRole

# A sign-out elsewhere takes effect within this time; here at once, see `forget`.
REMEMBERED_SECONDS = 5.0
# About 200 bytes each. Older ones are asked for again.
REMEMBERED_SESSIONS = 20_000


class OpenSessions:
    """Answers `roles(session_id)`; None when the session is signed out, revoked or expired."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
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
        live = (
            select(Session.user_id)
            .where(
                Session.family_id == session_id,
                Session.replaced_at.is_(None),
                Session.revoked_at.is_(None),
                Session.expires_at > func.now(),
            )
            .limit(1)
        )
        async with self._db.read(SYSTEM) as session:
            user_id = await session.scalar(live)
            if user_id is None:
                return None
            granted = await session.scalars(select(UserRole.role).where(UserRole.user_id == user_id))
            return frozenset(granted) | {Role.USER}
