"""How a field comes from rows, said once: `title: str = …` with the name of a column needs nothing; the rest is here.

    primary_version: TrackVersion | None = one(VersionRow, TrackRow.primary_version_id, description="…")
    versions: Connection[TrackVersion] = pages(VersionRow.track_id, BY_NUMBER, description="…")
    audio_url: str | None = computed(MediaObject.key, via=(VersionRow.media_id,), by=signed_url, description="…")

Each gives a field whose resolver reads in batches (`Readers`), and carries the same as a declaration of `planner`, from
which queries are compiled. A field with a permission or a resolver of its own is executed, and never compiled.
"""

from __future__ import annotations

import inspect as signatures
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import strawberry
from sqlalchemy import Uuid, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from models.base import Row
from planner.declarations import ById, Computed, FromColumn, Listing, Many, One, Pages, Read, SameRow, Viewer, key_of
from planner.keyset import Order
from resolvers import reading
from resolvers.pages import page_args
from schema.connections import After, Before, First, Last, connect
from schema.context import Info, RequestContext
from schema.ids import row_id
from schema.nodes import Node, OfRow

READ = "read"  # where in a field's metadata its declaration is

Column = InstrumentedAttribute[Any]


def declared(read: Read, resolver: Callable[..., Any], *, description: str) -> Any:
    """A field that is read as declared, by `resolver` where it is executed."""
    return strawberry.field(resolver=resolver, description=description, metadata={READ: read})


def column(column: Column, *, description: str) -> Any:
    """The value of a column whose name is not the field's."""

    def resolve(self: Any) -> Any:
        return getattr(self.row, column.key)

    return declared(FromColumn(column), resolve, description=description)


def computed(
    *columns: Column, description: str, by: Callable[..., Any] | None = None, via: tuple[Column, ...] = ()
) -> Any:
    """`by(context, *values, **arguments)` of the columns of this row or, with `via`, of the row at the end of that path
    of keys; the value itself without `by`. What `by` takes beyond the columns are the field's arguments. It is pure but
    for the context, and gives what JSON has. Null where the path breaks off."""
    read = Computed(columns, by or _as_it_is, via)
    rows: Any = [column.class_ for column in (*via[1:], *columns[:1])]

    async def resolve(self: Any, info: Info, **arguments: Any) -> Any:
        row = self.row
        for step, kind in zip(via, rows, strict=bool(via)):
            row = await info.context.read.one(kind, getattr(row, step.key))
            if row is None:
                return None
        return read.compute(info.context, *(getattr(row, column.key) for column in columns), **arguments)

    return declared(read, _with_arguments_of(resolve, read), description=description)


def one(rows: type[Row], at: Column, *, description: str) -> Any:
    """The row of this class whose key is in the column `at`."""

    async def resolve(self: Any, info: Info) -> Any:
        return info.context.show(await info.context.read.one(rows, getattr(self.row, at.key)))

    return declared(One(at), resolve, description=description)


def many(parent: Column, order: Order, *, description: str, only: Column | None = None) -> Any:
    """All rows whose column `parent` has this row's key; with `only` a single column of each."""

    async def resolve(self: Any, info: Info) -> Any:
        rows = await info.context.read.below(parent, _key(self.row), order)
        return [getattr(row, only.key) if only is not None else info.context.show(row) for row in rows]

    return declared(Many(parent, order, only), resolve, description=description)


def pages(parent: Column, order: Order, *, description: str, backward: bool = True) -> Any:
    """A connection of the rows whose column `parent` has this row's key. Not `backward`: no `last` and `before`."""

    async def connection(context: RequestContext, id: UUID, *page: Any) -> Any:
        args = page_args(*page)
        found = await context.read.page(parent, id, order=order, args=args)
        return connect(context.show, found, partial(context.read.count, parent, id))

    async def both_ways(
        self: Any, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Any:
        return await connection(info.context, _key(self.row), first, after, last, before)

    async def forward(self: Any, info: Info, first: First = None, after: After = None) -> Any:
        return await connection(info.context, _key(self.row), first, after, None, None)

    return declared(Pages(parent, order), both_ways if backward else forward, description=description)


def part(shows: type[OfRow], when: Column, *, description: str) -> Any:
    """An object of this type, made of the same row; null where the column `when` is null."""

    def resolve(self: Any) -> Any:
        return None if getattr(self.row, when.key) is None else shows.of(self.row)

    return declared(SameRow(when), resolve, description=description)


def by_id(shows: type[Node], *, description: str) -> Any:
    """At the root: what the id names, if it is of this type and the viewer may see it."""

    async def resolve(info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")]) -> Any:
        return shows.maybe(await info.context.read.found(shows, row_id(shows.__name__, id)))

    return declared(ById(), resolve, description=description)


def listing(list: Listing, shows: type[OfRow], *, filter: Any, order_by: Any, description: str) -> Any:
    """At the root: a connection of a list. `filter` and `order_by` are the types of these arguments."""

    async def resolve(info: Info, **given: Any) -> Any:
        args = page_args(*(given.get(name) for name in ("first", "after", "last", "before")))
        ctx = info.context.ctx
        rows = select(list.rows).where(*_within(list, ctx.viewer, given.get("filter")))
        chosen = given.get("order_by")
        order = list.orders[chosen.name if chosen is not None else list.default_order]
        found = await reading.page_of(ctx, rows, order, args)
        return connect(shows.of, found, partial(reading.count_of, ctx, rows))

    page = [*signatures.signature(_page, eval_str=True).parameters.values()]
    wishes = [
        signatures.Parameter(name, signatures.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
        for name, annotation in (("filter", filter), ("order_by", order_by))
    ]
    return declared(list, _taking(resolve, [*page, *wishes], keep=1), description=description)


def _page(first: First = None, after: After = None, last: Last = None, before: Before = None) -> None:
    """The arguments of a page."""


def _within(list: Listing, viewer: Any, filter: Any) -> Any:
    """The conditions of a list for a filter as it came in: an instance of an input type, or None."""
    given = {} if filter is None else {name: _plain(value) for name, value in vars(filter).items()}
    given = {name: value for name, value in given.items() if value is not None}
    choices = {name: value for name, value in given.items() if name not in list.filters}
    read = {name: list.filters[name].read(value) for name, value in given.items() if name in list.filters}
    values = {name: literal(value, list.filters[name].type) for name, value in read.items() if value is not None}
    return list.within(choices, Viewer(viewer.signed_in, literal(viewer.user_id, Uuid())), values)


def _plain(value: Any) -> Any:
    """A value of an input as a client wrote it: enums by name."""
    if isinstance(value, Enum):
        return value.name
    return [_plain(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _as_it_is(_context: RequestContext, value: Any) -> Any:
    return value


def _key(row: Row) -> UUID:
    key: UUID = getattr(row, key_of(type(row)).key)
    return key


def _with_arguments_of(resolve: Callable[..., Awaitable[Any]], read: Computed) -> Callable[..., Awaitable[Any]]:
    """`resolve` as a function that takes what the computation takes beyond the context and the columns."""
    computation = signatures.signature(read.compute, eval_str=True)
    arguments = [*computation.parameters.values()][1 + len(read.columns) :]
    return _taking(resolve, arguments, keep=2)


def _taking(
    resolve: Callable[..., Awaitable[Any]], arguments: Sequence[signatures.Parameter], *, keep: int
) -> Callable[..., Awaitable[Any]]:
    """`resolve` with its first parameters and then these, by which Strawberry knows the field's arguments."""
    own = [*signatures.signature(resolve, eval_str=True).parameters.values()][:keep]
    resolve.__signature__ = signatures.Signature([*own, *arguments])  # type: ignore[attr-defined]
    return resolve
