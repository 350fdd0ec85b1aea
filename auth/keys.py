"""One signing root, many keys: each purpose has its own, so that what is signed for one is worth nothing to another."""

from __future__ import annotations

import hashlib
import hmac


def derive_key(root: str, purpose: str) -> bytes:
    """32 bytes for `purpose` (HKDF-Expand of RFC 5869 with a single block; the root is already uniformly random)."""
    return hmac.new(root.encode(), purpose.encode() + b"\x01", hashlib.sha256).digest()
