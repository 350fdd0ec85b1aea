"""Keyset pages: orders, the arguments of a page, cursors, and the SQL of "what comes after".

A cursor holds the values of the order's columns at a row (and the order's name and a version), so a page starts where
the last one ended however the table has changed meanwhile, and costs the same at any depth.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, SmallInteger, and_, false, or_
from sqlalchemy.orm import InstrumentedAttribute

DEFAULT_PAGE, MAX_PAGE = 20, 100
CURSOR_VERSION = 1


class PageRefused(ValueError):
    """The arguments of a page do not fit together, or a cursor is not one of this list. The text says what to do."""


@dataclass(frozen=True)
class Order:
    """A total order: the last column is unique. `name` keeps a cursor from being used with another order."""

    name: str
    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool


@dataclass(frozen=True)
class PageArgs:
    """A checked request for a page: at most one direction, a size from 0 to `MAX_PAGE`."""

    size: int
    backward: bool
    cursor: str | None


def page_args(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArgs:
    """Relay's four arguments. Raises `PageRefused` for mixed directions and sizes out of range."""
    if (first is not None and last is not None) or (after is not None and before is not None):
        raise PageRefused("Page forward with `first` and `after`, or backward with `last` and `before`, not both.")
    backward = last is not None or (before is not None and first is None)
    if (backward and after is not None) or (not backward and before is not None):
        raise PageRefused("`after` goes with `first`, and `before` with `last`.")
    size = last if backward else first
    size = DEFAULT_PAGE if size is None else size
    if not 0 <= size <= MAX_PAGE:
        raise PageRefused(f"`{'last' if backward else 'first'}` must be 0 to {MAX_PAGE}; {size} is outside.")
    return PageArgs(size, backward, before if backward else after)


def ordering(order: Order, *, backward: bool) -> list[ColumnElement[Any]]:
    downward = order.descending != backward
    return [column.desc() if downward else column.asc() for column in order.columns]


def beyond(order: Order, values: Sequence[Any], *, backward: bool) -> ColumnElement[bool]:
    """The rows after the cursor's `values`: (a, b) > (x, y), spelled out as a > x or (a = x and b > y)."""
    downward = order.descending != backward
    steps: list[ColumnElement[bool]] = []
    for index, (column, value) in enumerate(zip(order.columns, values, strict=True)):
        same = [c == v for c, v in zip(order.columns[:index], values[:index], strict=True)]
        steps.append(and_(*same, column < value if downward else column > value))
    return or_(false(), *steps)


def write_cursor(order: Order, values: Sequence[Any]) -> str:
    """The cursor of the row that has these values in the order's columns."""
    raw = orjson.dumps([CURSOR_VERSION, order.name, *values], default=str)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(order: Order, cursor: str) -> list[Any]:
    """The values of the order's columns. Raises `PageRefused`."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        version, name, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if version != CURSOR_VERSION or name != order.name:
            raise PageRefused("This cursor belongs to another list or order; use one that this list gave.")
        return [_cast(column, value) for column, value in zip(order.columns, values, strict=True)]
    except PageRefused:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise PageRefused("The cursor is malformed; use one that a connection gave, unchanged.") from None


def _cast(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """The value of a cursor as the column's type, within what the database takes. Raises like any cast."""
    kind = column.type.python_type
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    if kind is UUID:
        return UUID(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError
    if kind is str and "\0" in value:
        raise ValueError  # PostgreSQL's text does not have it
    most = 2**15 if isinstance(column.type, SmallInteger) else 2**31
    if kind is int and not -most <= value < most:
        raise ValueError
    return value
