"""Keyset pages, in both directions, of one list or of the same list for many parents in one statement.

A cursor holds the values of the order's columns at a row (and the order's name and a version), so a page starts where
the last one ended however the table has changed meanwhile, and costs the same at any depth.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, SmallInteger, and_, false, func, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.db import ReadSession
from domain.errors import RequestCode, RequestFailed
from models.base import Row

DEFAULT_PAGE, MAX_PAGE = 20, 100
CURSOR_VERSION = 1

R = TypeVar("R", bound=Row)


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


@dataclass(frozen=True)
class Page(Generic[R]):
    """Rows in the list's own order whichever way they were read. `order` makes their cursors."""

    rows: Sequence[R]
    has_next: bool
    has_previous: bool
    order: Order

    def cursor_of(self, row: R) -> str:
        values = [getattr(row, column.key) for column in self.order.columns]
        raw = orjson.dumps([CURSOR_VERSION, self.order.name, *values], default=str)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def page_args(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArgs:
    """Relay's four arguments. Raises BAD_USER_INPUT for mixed directions and sizes out of range."""
    if (first is not None and last is not None) or (after is not None and before is not None):
        raise _bad("Page forward with `first` and `after`, or backward with `last` and `before`, not both.")
    backward = last is not None or (before is not None and first is None)
    if (backward and after is not None) or (not backward and before is not None):
        raise _bad("`after` goes with `first`, and `before` with `last`.")
    size = last if backward else first
    size = DEFAULT_PAGE if size is None else size
    if not 0 <= size <= MAX_PAGE:
        raise _bad(f"`{'last' if backward else 'first'}` must be 0 to {MAX_PAGE}; {size} is outside.")
    return PageArgs(size, backward, before if backward else after)


async def read_page(session: ReadSession, statement: Select[R], order: Order, args: PageArgs) -> Page[R]:
    """One page of `statement`'s rows: one row more than asked, to know whether there is a next page."""
    statement = statement.order_by(*_ordering(order, args))
    if args.cursor is None:
        return _page((await session.scalars(statement.limit(args.size + 1))).all(), order, args)
    beyond = _beyond(order, args)
    rows = (await session.scalars(statement.where(beyond).limit(args.size + 1))).all()
    # Rows lie behind the cursor if any does: the list's first one. It costs one probe of the index.
    first_is_behind = statement.with_only_columns(not_(beyond)).limit(1)
    return _page(rows, order, args, behind=bool(await session.scalar(first_is_behind)))


async def read_pages(
    session: ReadSession,
    parent: InstrumentedAttribute[UUID],
    parent_ids: Sequence[UUID],
    *,
    order: Order,
    args: PageArgs,
) -> dict[UUID, Page[Any]]:
    """The same page below each of many parents (all versions of these tracks, say), in one statement."""
    entity = parent.class_
    rank = func.row_number().over(partition_by=parent, order_by=_ordering(order, args)).label("rank")
    inner = select(entity, rank).where(parent.in_(parent_ids))
    behind: set[UUID] = set()
    if args.cursor is not None:
        beyond = _beyond(order, args)
        inner = inner.where(beyond)
        behind.update(await session.scalars(select(parent).where(parent.in_(parent_ids), not_(beyond)).distinct()))
    ranked = inner.subquery()
    row = aliased(entity, ranked)
    rows = (await session.scalars(select(row).where(ranked.c.rank <= args.size + 1).order_by(ranked.c.rank))).all()
    found: dict[UUID, list[Any]] = {id: [] for id in parent_ids}
    for child in rows:
        found[getattr(child, parent.key)].append(child)
    return {id: _page(children, order, args, behind=id in behind) for id, children in found.items()}


def _page(rows: Sequence[R], order: Order, args: PageArgs, *, behind: bool = False) -> Page[R]:
    """The page of rows as they were read, one too many if there are more. `behind`: some lie before the cursor."""
    more, rows = len(rows) > args.size, rows[: args.size]
    if args.backward:
        return Page(rows[::-1], behind, more, order)
    return Page(rows, more, behind, order)


def _ordering(order: Order, args: PageArgs) -> list[ColumnElement[Any]]:
    downward = order.descending != args.backward
    return [column.desc() if downward else column.asc() for column in order.columns]


def _beyond(order: Order, args: PageArgs) -> ColumnElement[bool]:
    """The rows after the cursor: (a, b) > (x, y), spelled out as a > x or (a = x and b > y)."""
    values = _read_cursor(args.cursor or "", order)
    downward = order.descending != args.backward
    steps: list[ColumnElement[bool]] = []
    for index, (column, value) in enumerate(zip(order.columns, values, strict=True)):
        same = [c == v for c, v in zip(order.columns[:index], values[:index], strict=True)]
        steps.append(and_(*same, column < value if downward else column > value))
    return or_(false(), *steps)


def _read_cursor(cursor: str, order: Order) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        version, name, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if version != CURSOR_VERSION or name != order.name:
            raise _bad("This cursor belongs to another list or order; use one that this list gave.")
        return [_cast(column, value) for column, value in zip(order.columns, values, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise _bad("The cursor is malformed; use one that a connection gave, unchanged.") from None


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
    most = 2**15 if isinstance(column.type, SmallInteger) else 2**31
    if kind is int and not -most <= value < most:
        raise ValueError
    return value


def _bad(message: str) -> RequestFailed:
    return RequestFailed(RequestCode.BAD_USER_INPUT, message)
