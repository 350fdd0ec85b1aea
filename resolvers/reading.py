"""Reads that all types of the schema share: rows by id, rows below a parent. Row-level security does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, inspect, select
from sqlalchemy.orm import InstrumentedAttribute

from models.base import Row
from planner.keyset import Order, PageArgs
from resolvers.context import Context
from resolvers.pages import Page, read_page, read_pages

R = TypeVar("R", bound=Row)


async def rows_by_id(
    ctx: Context, kind: type[R], ids: Sequence[UUID], *, within: ColumnElement[bool] | None = None
) -> list[R | None]:
    """The rows with these ids, in their order; None for what the viewer may not see or what does not exist, or what is
    not `within` that condition."""
    key = inspect(kind).primary_key[0]
    name = str(key.key)
    async with ctx.db.read(ctx.viewer) as session:
        wanted = select(kind).where(key.in_(ids))
        rows = (await session.scalars(wanted if within is None else wanted.where(within))).all()
    found = {getattr(row, name): row for row in rows}
    return [found.get(id) for id in ids]


async def page_of(ctx: Context, rows: Select[R], order: Order, args: PageArgs) -> Page[R]:
    """A page of these rows, as far as the viewer sees them."""
    async with ctx.db.read(ctx.viewer) as session:
        return await read_page(session, rows, order, args)


async def count_of(ctx: Context, rows: Select[R]) -> int:
    """How many of these rows the viewer sees."""
    async with ctx.db.read(ctx.viewer) as session:
        return (await session.scalars(select(func.count()).select_from(rows.subquery()))).one()


async def rows_below(
    ctx: Context, parent: InstrumentedAttribute[UUID], ids: Sequence[UUID], order: Order
) -> list[list[Any]]:
    """All rows whose `parent` column is one of `ids`, a list for each, in `order`."""
    columns = [column.desc() if order.descending else column.asc() for column in order.columns]
    async with ctx.db.read(ctx.viewer) as session:
        rows = await session.scalars(select(parent.class_).where(parent.in_(ids)).order_by(*columns))
        found: dict[UUID, list[Any]] = {id: [] for id in ids}
        for row in rows:
            found[getattr(row, parent.key)].append(row)
    return [found[id] for id in ids]


async def pages_below(
    ctx: Context, parent: InstrumentedAttribute[UUID], ids: Sequence[UUID], *, order: Order, args: PageArgs
) -> list[Page[Any]]:
    """The same page of children for each of `ids`."""
    async with ctx.db.read(ctx.viewer) as session:
        pages = await read_pages(session, parent, ids, order=order, args=args)
    return [pages[id] for id in ids]


async def counts_below(ctx: Context, parent: InstrumentedAttribute[UUID], ids: Sequence[UUID]) -> list[int]:
    """How many rows the viewer sees whose `parent` column is each of `ids`."""
    counted = select(parent, func.count()).where(parent.in_(ids)).group_by(parent)
    async with ctx.db.read(ctx.viewer) as session:
        found = {row[0]: row[1] for row in await session.execute(counted)}
    return [found.get(id, 0) for id in ids]
