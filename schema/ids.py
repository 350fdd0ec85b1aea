"""Opaque Relay ids: the type's name and the row's id in URL-safe base64. Clients compare them and send them back."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

import strawberry

from domain.errors import RequestCode, RequestFailed


def encode_id(type_name: str, id: UUID) -> strawberry.ID:
    return strawberry.ID(base64.urlsafe_b64encode(f"{type_name}:{id}".encode()).decode().rstrip("="))


def decode_id(id: str) -> tuple[str, UUID] | None:
    """The type's name and the row's id; None for what is not an id of ours."""
    try:
        raw = base64.b64decode(id + "=" * (-len(id) % 4), altchars=b"-_", validate=True)
        type_name, _, value = raw.decode().partition(":")
        return type_name, UUID(value)
    except (ValueError, binascii.Error):
        return None


def row_id(type_name: str, id: str) -> UUID | None:
    """The row's id, if `id` names something of this type; else None, which every reader takes for "not found"."""
    decoded = decode_id(id)
    return decoded[1] if decoded is not None and decoded[0] == type_name else None


def required_row_id(type_name: str, id: str) -> UUID:
    """As `row_id`, for lists that a wrong id would silently empty. Raises BAD_USER_INPUT."""
    found = row_id(type_name, id)
    if found is None:
        raise RequestFailed(RequestCode.BAD_USER_INPUT, f"{id[:100]!r} is not the id of a {type_name}.")
    return found
