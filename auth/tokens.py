"""Tokens: a signed access token that lives 15 minutes, and an opaque refresh token that is used once.

Access tokens are JWTs (HS256, `typ` at+jwt) and name the user and the session; nothing private stands in them.
Refresh tokens are random; only their hash is stored.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from domain.accounts import ACCESS_LIFE

ISSUER = "antiphon"
ALGORITHM = "HS256"
CLOCK_SKEW = 5  # seconds by which the clocks of two of our own machines may differ


class TokenRefused(Exception):
    """The access token is forged, expired, or not one of ours. The message is for the log."""


@dataclass(frozen=True)
class AccessClaims:
    user_id: UUID
    session_id: UUID
    expires_at: datetime


class AccessTokens:
    """Signs and reads access tokens with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)

    def issue(self, user_id: UUID, session_id: UUID, now: datetime) -> tuple[str, datetime]:
        """A token and the moment it ends."""
        expires = (now + ACCESS_LIFE).replace(microsecond=0)
        claims = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt"}, claims, self._key), expires

    def read(self, token: str, now: datetime) -> AccessClaims:
        """The claims of a token that is ours and still lives. Raises `TokenRefused`."""
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            if decoded.header.get("typ") != "at+jwt":
                raise TokenRefused("not an access token")
            rules = jwt.JWTClaimsRegistry(
                now=int(now.timestamp()),
                leeway=CLOCK_SKEW,
                iss={"essential": True, "value": ISSUER},
                aud={"essential": True, "value": ISSUER},
                exp={"essential": True},
                sub={"essential": True},
                sid={"essential": True},
            )
            rules.validate(decoded.claims)
            return AccessClaims(
                UUID(decoded.claims["sub"]),
                UUID(decoded.claims["sid"]),
                datetime.fromtimestamp(decoded.claims["exp"], UTC),
            )
        except (JoseError, ValueError, TypeError, AttributeError, OverflowError) as fault:
            raise TokenRefused(type(fault).__name__) from fault


def new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def refresh_hash(token: str) -> bytes:
    """What is stored of a refresh token. A plain hash is enough: the token is 256 bits of randomness."""
    return hashlib.sha256(token.encode()).digest()
