"""What can go wrong, in two vocabularies.

A *refusal* is something a person can put right: it reaches the client as data, in the payload's `errors`.
A *request error* concerns the request as a whole: it reaches the client as a top-level GraphQL error with
`extensions { code category retryable retryAfter requestId }`. Everything else is a bug or an outage and is masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class RequestCode(StrEnum):
    """The closed list of top-level error codes (`extensions.code`)."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_COMPLEX = "TOO_COMPLEX"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    RESUME_EXPIRED = "RESUME_EXPIRED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Category(StrEnum):
    """Who can do something about it (`extensions.category`)."""

    RECOVERABLE = "RECOVERABLE"
    USER_ACTION = "USER_ACTION"
    CRITICAL = "CRITICAL"


CATEGORY = {
    RequestCode.UNAUTHENTICATED: Category.USER_ACTION,
    RequestCode.FORBIDDEN: Category.USER_ACTION,
    RequestCode.BAD_USER_INPUT: Category.USER_ACTION,
    RequestCode.RATE_LIMITED: Category.RECOVERABLE,
    RequestCode.TOO_COMPLEX: Category.USER_ACTION,
    RequestCode.PERSISTED_QUERY_NOT_FOUND: Category.RECOVERABLE,
    RequestCode.RESUME_EXPIRED: Category.RECOVERABLE,
    RequestCode.UNAVAILABLE: Category.RECOVERABLE,
    RequestCode.INTERNAL: Category.CRITICAL,
}


class RequestFailed(Exception):
    """The request as a whole cannot be answered. The message is written for the client and is shown to it."""

    def __init__(self, code: RequestCode, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def retryable(self) -> bool:
        return CATEGORY[self.code] is Category.RECOVERABLE


class ErrorCode(StrEnum):
    """The closed list of codes that a payload's `errors` may carry."""

    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    LIMIT_REACHED = "LIMIT_REACHED"
    NOT_ALLOWED = "NOT_ALLOWED"
    UPGRADE_REQUIRED = "UPGRADE_REQUIRED"


@dataclass(frozen=True)
class Refusal:
    """One thing the caller can put right. `path` names the input field, outermost first (`("input", "tags", "3")`)."""

    code: ErrorCode
    message: str
    path: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ConflictRefusal(Refusal):
    """Somebody or something was first; `current` is the row as it stands now."""

    current: Any = None


@dataclass(frozen=True)
class LimitRefusal(Refusal):
    """A limit is used up until `resets_at`."""

    limit: int = 0
    used: int = 0
    resets_at: datetime | None = None


class Refused(Exception):
    """Raised by `domain` and `resolvers`; the mutation answers with its refusals and changes nothing."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("; ".join(r.message for r in self.refusals))


def invalid(message: str, *path: str) -> Refusal:
    """The input at `path` (below `input`) does not fit; the message says what does."""
    return Refusal(ErrorCode.INVALID_INPUT, message, ("input", *path) if path else None)


def not_found(what: str, *path: str) -> Refused:
    """`what` does not exist for this viewer: never say whether it exists for another."""
    return Refused([Refusal(ErrorCode.NOT_FOUND, f"No such {what}.", ("input", *path) if path else None)])


def conflict(message: str, current: Any, *path: str) -> Refused:
    """The change collides with `current`, the row as it stands now."""
    return Refused([ConflictRefusal(ErrorCode.CONFLICT, message, ("input", *path) if path else None, current=current)])


def not_allowed(message: str) -> Refused:
    return Refused([Refusal(ErrorCode.NOT_ALLOWED, message)])
