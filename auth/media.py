"""Signed media URLs: whoever holds one may fetch that object until it expires. Pure functions, one HMAC each.

The expiry is rounded up to whole hours, so all URLs given out for an object within an hour are the same text,
and browsers find it in their caches.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from enum import StrEnum

# A URL lives at least this long, and at most twice as long. The designs ask for signed URLs of 3600 s.
LIFE_SECONDS = 3600
# Ten digits reach the year 2286; more would only feed `int` with a stranger's text.
_EXPIRES_DIGITS = 10


class SignatureState(StrEnum):
    """What a signature is worth now."""

    VALID = "VALID"
    EXPIRED = "EXPIRED"  # genuine, but its time is over
    FORGED = "FORGED"  # not ours, or not for this key and expiry


def media_url(base: str, key: str, *, secret: bytes, now: datetime) -> str:
    """The signed URL of the object `key` under the public base URL (no slash at its end)."""
    return f"{base}/media/{key}?{sign_media(key, secret=secret, now=now)}"


def sign_media(key: str, *, secret: bytes, now: datetime) -> str:
    """The query string `expires=…&signature=…` (Unix seconds; HMAC-SHA256 in URL-safe base64)."""
    expires = str((int(now.timestamp()) // LIFE_SECONDS + 2) * LIFE_SECONDS)
    return f"expires={expires}&signature={_signature(key, expires, secret)}"


def verify_media(key: str, expires: str, signature: str, *, secret: bytes, now: datetime) -> SignatureState:
    """What `expires` and `signature`, as they stand in a URL, are worth; compared in constant time."""
    wanted = _signature(key, expires, secret).encode()
    if not hmac.compare_digest(wanted, signature.encode("utf-8", "replace")):
        return SignatureState.FORGED
    genuine = expires.isascii() and expires.isdigit() and len(expires) <= _EXPIRES_DIGITS
    if not genuine:
        return SignatureState.FORGED
    return SignatureState.VALID if now.timestamp() < int(expires) else SignatureState.EXPIRED


def _signature(key: str, expires: str, secret: bytes) -> str:
    # "media" keeps this use of the secret apart from any other.
    message = f"media\n{key}\n{expires}".encode("utf-8", "replace")
    return urlsafe_b64encode(hmac.digest(secret, message, "sha256")).rstrip(b"=").decode()
