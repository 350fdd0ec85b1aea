"""Tokens: a signed access token that lives 15 minutes, and an opaque refresh token that is used once.

Access tokens are JWTs (HS256, `typ` at+jwt) and name the user and the session; nothing private stands in them.
Refresh tokens are random; only their hash is stored.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from auth.viewer import Viewer
from domain.accounts import ACCESS_LIFE

ISSUER = "antiphon"
ALGORITHM = "HS256"
CLOCK_SKEW = 5  # seconds by which the clocks of two of our own machines may differ

# To verify one costs 24 µs, to know it 0.2. About 1 kB each; the one that was used longest ago is dropped first.
REMEMBERED_TOKENS = 10_000

_REFUSED_AFTER = timedelta(seconds=CLOCK_SKEW + 1)  # JWT counts in whole seconds


class TokenRefused(Exception):
    """The access token is forged, expired, or not one of ours. The message is for the log."""


@dataclass(frozen=True)
class AccessClaims:
    user_id: UUID
    session_id: UUID
    expires_at: datetime

    @cached_property
    def as_user(self) -> Viewer:
        return Viewer("user", self.user_id, self.session_id, self.expires_at)

    @cached_property
    def as_admin(self) -> Viewer:
        return Viewer("admin", self.user_id, self.session_id, self.expires_at)


class AccessTokens:
    """Signs and reads access tokens with one key. Whose signature was verified is remembered."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)
        self._verified: OrderedDict[str, AccessClaims] = OrderedDict()

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
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = self._verify(token, now)
            if len(self._verified) > REMEMBERED_TOKENS:
                self._verified.popitem(last=False)
        elif now >= claims.expires_at + _REFUSED_AFTER:
            raise TokenRefused("expired")
        else:
            self._verified.move_to_end(token)
        return claims

    def _verify(self, token: str, now: datetime) -> AccessClaims:
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
