"""From an `Authorization` value to a viewer, the same for HTTP and WebSocket."""

from __future__ import annotations

from uuid import UUID

from auth.sessions import OpenSessions
from auth.tokens import AccessTokens, TokenRefused
from auth.viewer import ANONYMOUS, Viewer
from core.clock import Clock
from domain.accounts import Role
from domain.errors import RequestCode, RequestFailed


class Doorkeeper:
    """Knows who stands behind a token."""

    def __init__(self, tokens: AccessTokens, sessions: OpenSessions, clock: Clock) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock

    async def viewer(self, authorization: str | None) -> Viewer:
        """The viewer of `Bearer <token>`; anonymous without one. Raises UNAUTHENTICATED when the token is no good."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated("Send the access token as `Authorization: Bearer <token>`.")
        try:
            claims = self._tokens.read(token, self._clock())
        except TokenRefused:
            raise _unauthenticated("The access token is not valid or has expired; refresh the session.") from None
        roles = await self._roles(claims.session_id)
        return claims.as_admin if Role.ADMIN in roles else claims.as_user

    async def confirm(self, viewer: Viewer) -> None:
        """Raises UNAUTHENTICATED when the viewer's session has ended since."""
        if viewer.session_id is not None:
            await self._roles(viewer.session_id)

    async def _roles(self, session_id: UUID) -> frozenset[str]:
        roles = await self._sessions.roles(session_id)
        if roles is None:
            raise _unauthenticated("This session has ended; sign in again.")
        return roles


def _unauthenticated(message: str) -> RequestFailed:
    return RequestFailed(RequestCode.UNAUTHENTICATED, message)
