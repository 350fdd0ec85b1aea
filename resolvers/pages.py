"""Reading keyset pages, of one list or of the same list for many parents in one statement (see `planner/keyset.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, not_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.db import ReadSession
from domain.errors import RequestCode, RequestFailed
from models.base import Row
from planner import keyset
from planner.keyset import Order, PageArgs, PageRefused

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Page(Generic[R]):
    """Rows in the list's own order whichever way they were read. `order` makes their cursors."""

    rows: Sequence[R]
    has_next: bool
    has_previous: bool
    order: Order

    def cursor_of(self, row: R) -> str:
        return keyset.write_cursor(self.order, [getattr(row, column.key) for column in self.order.columns])


def page_args(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArgs:
    """Relay's four arguments. Raises BAD_USER_INPUT for mixed directions and sizes out of range."""
    with _refusals_named():
        return keyset.page_args(first, after, last, before)


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
    return keyset.ordering(order, backward=args.backward)


def _beyond(order: Order, args: PageArgs) -> ColumnElement[bool]:
    """The rows after the cursor. Raises BAD_USER_INPUT for one that is not of this list."""
    with _refusals_named():
        values = keyset.read_cursor(order, args.cursor or "")
    return keyset.beyond(order, values, backward=args.backward)


@contextmanager
def _refusals_named() -> Iterator[None]:
    try:
        yield
    except PageRefused as refused:
        raise RequestFailed(RequestCode.BAD_USER_INPUT, str(refused)) from None
