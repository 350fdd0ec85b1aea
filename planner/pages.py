"""Compiling lists and connections: the relations to many rows, and the lists at the root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLNonNull, GraphQLObjectType
from sqlalchemy import ColumnElement, Uuid, bindparam, func, not_, select

from planner.arguments import Argument, Fields, Known, resolve
from planner.assembly import Assembly, display
from planner.declarations import Listing, Many, Pages, Viewer
from planner.errors import LeftToExecution
from planner.keyset import MAX_PAGE, Order, PageArgs, PageRefused, beyond, ordering, page_args
from planner.levels import Bind, Call, Child, Everything, Paged, Query, cursor_value
from planner.objects import Asked, LevelWriter, ObjectWriter, object_type
from planner.selections import Selected, SelectionSets
from planner.statements import ACTOR, PARENTS, USER, Statement, for_viewer, limit
from planner.writing import cursor_writer

VIEWER = "viewer_id"  # the parameter for the viewer's key as a value; USER is the same as text, for the setting

BINDS: Mapping[str, Bind] = {
    ACTOR: lambda call, _: call.actor,
    USER: lambda call, _: str(call.user_id or ""),
    VIEWER: lambda call, _: call.user_id,
    PARENTS: lambda _, parents: parents,
}


def query(statement: Statement, binds: Mapping[str, Bind]) -> Query:
    known = {**BINDS, **binds}
    return Query(statement, tuple(known[name] for name in statement.parameters))


def below(asked: Asked, kind: GraphQLObjectType, field: Selected, read: Many | Pages) -> Child:
    """The level below a relation to many rows."""
    if isinstance(read, Many):
        return _everything(asked, kind, field, read)
    arguments = asked.selections.arguments(kind, field)
    page = AskedPage.of(arguments, read.order)
    return _paged(
        asked, kind.fields[field.name].type, field, page=page, source=Source(_rows_of(read.parent), [], {}, read.parent)
    )


def _everything(asked: Asked, kind: GraphQLObjectType, field: Selected, read: Many) -> Child:
    level = LevelWriter(asked, _rows_of(read.parent), below=below, numbered=True)
    declared: Any = kind.fields[field.name].type
    if read.only is not None:
        listed = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
        item, only = listed.of_type, read.only
        level.add(lambda writer: writer.written(item, writer.column((), only), only))
    else:
        target = object_type(declared)
        level.add(lambda writer: writer.object(target, field.below))
    statement = level.rows.select().order_by(*ordering(read.order, backward=False))
    return Everything(query(for_viewer(statement, read.parent), {}), level.level())


@dataclass(frozen=True)
class AskedPage:
    """Which page of which order: `size` and `cursor` are known, or each request brings them."""

    order: Order
    backward: bool
    size: Argument
    cursor: Argument | None

    @staticmethod
    def of(arguments: Mapping[str, Argument], order: Order) -> AskedPage:
        """Raises `LeftToExecution` for pages that cannot be."""
        given = {name: value for name, value in arguments.items() if name in PAGE and value != Known(None)}
        # Sizes are checked with each request; for what fits together any size will do.
        stand_ins = {name: 1 if name in ("first", "last") else "" for name in given}
        try:
            args: PageArgs = page_args(*(stand_ins.get(name) for name in PAGE))  # type: ignore[arg-type]
        except PageRefused:
            raise LeftToExecution from None
        size = given.get("last" if args.backward else "first", Known(DEFAULT))
        return AskedPage(order, args.backward, size, given.get("before" if args.backward else "after"))

    def size_in(self, call: Call) -> int:
        size = resolve(self.size, call.values)
        if not 0 <= size <= MAX_PAGE:
            raise LeftToExecution
        return int(size)

    def cursor_in(self, call: Call) -> str:
        assert self.cursor is not None
        return str(resolve(self.cursor, call.values))

    @property
    def binds(self) -> dict[str, Bind]:
        names = [f"cursor_{index}" for index in range(len(self.order.columns))] if self.cursor else []
        values = {name: cursor_value(self.order, self.cursor_in, index) for index, name in enumerate(names)}
        return {LIMIT: lambda call, _: self.size_in(call) + 1, **values}

    @property
    def beyond(self) -> ColumnElement[bool]:
        values = [bindparam(f"cursor_{index}", type_=column.type) for index, column in enumerate(self.order.columns)]
        return beyond(self.order, values, backward=self.backward)


FLAGS = {"hasNextPage": "has_next", "hasPreviousPage": "has_previous"}
PAGE = ("first", "after", "last", "before")
LIMIT = "page_limit"
DEFAULT = page_args(None, None, None, None).size


@dataclass(frozen=True)
class Source:
    """The rows that a list is taken from: those `within`, with the binds of these conditions; of each parent if any."""

    rows: type[Any]
    within: list[ColumnElement[bool]]
    binds: Mapping[str, Bind]
    parent: Any = None


def listed(asked: Asked, kind: GraphQLObjectType, field: Selected, read: Listing, signed_in: bool) -> Paged:
    """A list at the root."""
    arguments = asked.selections.arguments(kind, field)
    chosen = arguments.get("orderBy", Known(None))
    wish = arguments.get("filter", Known(None))
    if not isinstance(chosen, Known) or not isinstance(wish, Known | Fields):
        raise LeftToExecution
    page = AskedPage.of(arguments, read.orders[chosen.value or read.default_order])
    fields = wish.fields if isinstance(wish, Fields) else {}  # a filter that is known whole is null
    given = {name: value for name, value in fields.items() if value != Known(None)}
    choices = {name: _known(value) for name, value in given.items() if name not in read.filters}
    filters = {name: value for name, value in given.items() if name in read.filters}
    values = {name: bindparam(f"filter_{name}", type_=read.filters[name].type) for name in filters}
    binds = {f"filter_{name}": _filtering(value, read.filters[name].read) for name, value in filters.items()}
    within = read.within(choices, Viewer(signed_in, bindparam(VIEWER, type_=Uuid())), values)
    source = Source(read.rows, within, binds)
    return _paged(asked, kind.fields[field.name].type, field, page=page, source=source)


def _known(value: Argument) -> Any:
    if not isinstance(value, Known):
        raise LeftToExecution
    return value.value


def _filtering(value: Argument, read: Callable[[Any], Any]) -> Bind:
    def filtered(call: Call, _: Any) -> Any:
        made = read(resolve(value, call.values))
        if made is None:
            raise LeftToExecution
        return made

    return filtered


def _paged(asked: Asked, declared: Any, field: Selected, *, page: AskedPage, source: Source) -> Paged:
    kind = object_type(declared)
    level = LevelWriter(asked, source.rows, below=below, numbered=source.parent is not None)
    writer = ConnectionWriter(asked, level, page)
    expression = writer.connection(kind, field.below)
    rows = level.rows.select().where(*source.within)
    behind = total = None
    if page.cursor is not None:
        if writer.looks_back:
            behind = _probe(source, page)
        rows = rows.where(page.beyond)
    if writer.counts:
        count = select(func.count().label("total")).select_from(source.rows).where(*source.within)
        total = query(for_viewer(count, source.parent), source.binds)
    ordered = rows.order_by(*ordering(page.order, backward=page.backward))
    statement = for_viewer(ordered.limit(limit(LIMIT)), source.parent)
    return Paged(
        query=query(statement, {**source.binds, **page.binds}),
        level=level.level(),
        size=page.size_in,
        backward=page.backward,
        connect=writer.assembly.connection(expression),
        behind=behind,
        total=total,
    )


def _probe(source: Source, page: AskedPage) -> Query:
    """Rows lie before the cursor if any does: the list's first one. It costs one look into the index."""
    first = select(not_(page.beyond).label("behind")).select_from(source.rows).where(*source.within)
    ordered = first.order_by(*ordering(page.order, backward=page.backward)).limit(1)
    return query(for_viewer(ordered, source.parent), {**source.binds, **page.binds})


class ConnectionWriter:
    """Writes the expression of a connection: what it asks of its rows goes into their level."""

    def __init__(self, asked: Asked, level: LevelWriter, page: AskedPage) -> None:
        self.assembly = Assembly()
        self.looks_back = False
        self.counts = False
        self._asked = asked
        self._level = level
        self._order = page.order
        self._unseen = "hasNextPage" if page.backward else "hasPreviousPage"  # what the page's own rows cannot tell

    def connection(self, kind: GraphQLObjectType, sets: SelectionSets) -> str:
        return display([(field.key, self._field(kind, field)) for field in self._asked.selections.of(sets, kind)])

    def _field(self, kind: GraphQLObjectType, field: Selected) -> str:
        if field.name == "__typename":
            return repr(kind.name)
        target = object_type(kind.fields[field.name].type) if field.below else kind
        if field.name == "edges":
            return f"lists[{self._level.add(lambda writer: self._edge(target, field, writer))}][start:end]"
        if field.name == "nodes":
            return f"lists[{self._level.add(lambda writer: writer.object(target, field.below))}][start:end]"
        if field.name == "pageInfo":
            selected = self._asked.selections.of(field.below, target)
            return display([(part.key, self._page_info(target, part)) for part in selected])
        if field.name == "totalCount":
            self.counts = True
            return "total"
        raise LeftToExecution

    def _edge(self, kind: GraphQLObjectType, field: Selected, writer: ObjectWriter) -> str:
        parts = []
        for part in self._asked.selections.of(field.below, kind):
            if part.name == "node":
                parts.append((part.key, writer.object(object_type(kind.fields["node"].type), part.below)))
            elif part.name == "cursor":
                cells = [f"c{place}" for place in self._places()]
                write = writer.assembly.name(cursor_writer(self._order))
                parts.append((part.key, f"{write}({', '.join(cells)})"))
            elif part.name == "__typename":
                parts.append((part.key, repr(kind.name)))
            else:
                raise LeftToExecution
        return display(parts)

    def _places(self) -> list[int]:
        """Where in a row the values of its cursor are; keys as text, as a cursor has them."""
        rows = self._level.rows
        return [
            (rows.text if isinstance(column.type, Uuid) else rows.column)((), column) for column in self._order.columns
        ]

    def _page_info(self, kind: GraphQLObjectType, part: Selected) -> str:
        if part.name == "__typename":
            return repr(kind.name)
        if part.name in FLAGS:
            self.looks_back |= part.name == self._unseen
            return FLAGS[part.name]
        row = {"startCursor": "first", "endCursor": "last"}.get(part.name)
        if row is None:
            raise LeftToExecution
        shift = 1 if self._level.numbered else 0
        cells = [f"{row}[{place + shift}]" for place in self._places()]
        write = self.assembly.name(cursor_writer(self._order))
        return f"(None if {row} is None else {write}({', '.join(cells)}))"


def _rows_of(column: Any) -> type[Any]:
    rows: type[Any] = column.class_
    return rows
