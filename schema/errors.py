"""Refusals as data: `errors` of a payload, one concrete type per kind behind the interface `UserError`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import strawberry

from domain.errors import ConflictRefusal, ErrorCode, LimitRefusal, Refusal
from models.base import Row
from schema.nodes import Node

strawberry.enum(ErrorCode, description="What kind of refusal it is.")


@strawberry.interface(description="Something that the caller can put right. Nothing was changed.")
class UserError:
    code: ErrorCode = strawberry.field(description="What kind it is.")
    message: str = strawberry.field(description="What is wrong and what to do, written for a person.")
    path: list[str] | None = strawberry.field(
        description="The input field it is about, outermost first; null when it is about no single field."
    )


@strawberry.type(description="A field of the input does not fit.")
class InvalidInput(UserError):
    pass


@strawberry.type(description="There is no such thing, or none that you may see.")
class NotFound(UserError):
    pass


@strawberry.type(description="Something has changed or was there first.")
class Conflict(UserError):
    current: Node | None = strawberry.field(description="The thing as it stands now; null when there is none to show.")


@strawberry.type(description="A limit is used up.")
class LimitReached(UserError):
    limit: int = strawberry.field(description="How many are allowed.")
    used: int = strawberry.field(description="How many are used.")
    resets_at: datetime | None = strawberry.field(
        description="When it counts from zero again; null when it does not by itself."
    )


@strawberry.type(description="You may not do this.")
class NotAllowed(UserError):
    pass


@strawberry.type(description="Your plan does not include this.")
class UpgradeRequired(UserError):
    pass


PLAIN = {
    ErrorCode.INVALID_INPUT: InvalidInput,
    ErrorCode.NOT_FOUND: NotFound,
    ErrorCode.NOT_ALLOWED: NotAllowed,
    ErrorCode.UPGRADE_REQUIRED: UpgradeRequired,
}
ERROR_TYPES = (*PLAIN.values(), Conflict, LimitReached)


def describe(refusal: Refusal, show: Callable[[Row], Node]) -> UserError:
    """The concrete type of a refusal; `show` gives a row its type."""
    common: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.message,
        "path": list(refusal.path) if refusal.path else None,
    }
    if isinstance(refusal, ConflictRefusal):
        return Conflict(**common, current=show(refusal.current) if refusal.current else None)
    if isinstance(refusal, LimitRefusal):
        return LimitReached(**common, limit=refusal.limit, used=refusal.used, resets_at=refusal.resets_at)
    return PLAIN[refusal.code](**common)
