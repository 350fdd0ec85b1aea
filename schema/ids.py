"""Ids: the type's name and the row's id, `Track_01a1f888-…`. Clients compare them and send them back, nothing else.

They are not wrapped in Base64, as Relay's examples do: it hides nothing, and to wrap and unwrap was a tenth of what a
page of tracks costs (`docs/decisions/0011-compiled-reads.md`).
"""

from __future__ import annotations

import re
from uuid import UUID

import strawberry

from domain.errors import RequestCode, RequestFailed

WRITTEN = re.compile(r"([A-Za-z]{1,40})_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def encode_id(type_name: str, id: UUID) -> strawberry.ID:
    return strawberry.ID(id_prefix(type_name) + str(id))


def id_prefix(type_name: str) -> str:
    """What stands before the row's id."""
    return f"{type_name}_"


def decode_id(id: str) -> tuple[str, UUID] | None:
    """The type's name and the row's id; None for what is not an id of ours, to the letter."""
    found = WRITTEN.fullmatch(id)
    return None if found is None else (found[1], UUID(found[2]))


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
