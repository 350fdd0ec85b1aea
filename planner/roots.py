"""What stands at the root of a query: lists, and single rows by their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from graphql import GraphQLNonNull, GraphQLObjectType
from sqlalchemy import ARRAY, Uuid, any_, bindparam

from planner.arguments import Argument, resolve
from planner.declarations import AllById, AnyById, ById, Listing, OfViewer, Shape
from planner.errors import LeftToExecution
from planner.levels import Call, Level, Paged, Query
from planner.objects import Asked, LevelWriter
from planner.pages import below, listed, query
from planner.selections import Selected
from planner.statements import for_viewer

KEYS = "keys"


class Root(Protocol):
    """One top-level field."""

    async def load(self, call: Call) -> Any: ...


def root(asked: Asked, kind: GraphQLObjectType, field: Selected, *, signed_in: bool) -> Root:
    """Compile a field of Query. Raises `LeftToExecution` where that cannot be done."""
    read = asked.catalog.root.get(field.name)
    if read is None:
        raise LeftToExecution
    declared = kind.fields[field.name].type
    arguments = asked.selections.arguments(kind, field)
    if isinstance(read, Listing):
        return WholeList(listed(asked, kind, field, read, signed_in))
    if isinstance(read, ById):
        return OneRow(
            _rows(asked, asked.shape(declared), field), _row_id(asked, asked.shape(declared), arguments["id"])
        )
    if isinstance(read, OfViewer):
        return OneRow(_rows(asked, asked.shape(declared), field), lambda call: call.user_id)
    if isinstance(read, AnyById):
        return AnyRow(Found(asked, field), arguments["id"])
    if isinstance(read, AllById):
        nullable = not isinstance(_item(declared), GraphQLNonNull)
        if not nullable:
            raise LeftToExecution
        return AllRows(Found(asked, field), arguments["ids"], read.most)
    raise LeftToExecution


@dataclass(frozen=True)
class WholeList:
    paged: Paged

    async def load(self, call: Call) -> Any:
        return await self.paged.whole(call)


@dataclass(frozen=True)
class RowsByKey:
    """Rows of one table by their keys; each begins with its key's text."""

    query: Query
    level: Level

    async def load(self, call: Call, keys: Sequence[UUID]) -> dict[str, Any]:
        rows = await self.query.rows(call, keys)
        [objects] = await self.level.make(call, rows)
        return {row[0]: made for row, made in zip(rows, objects, strict=True)}


def _rows(asked: Asked, shape: Shape, field: Selected) -> RowsByKey:
    kind = asked.selections.schema.type_map[shape.name]
    assert isinstance(kind, GraphQLObjectType)
    level = LevelWriter(asked, shape.rows, below=below, numbered=False)
    level.rows.text((), shape.key)
    level.add(lambda writer: writer.object(kind, field.below))
    rows = level.rows.select().where(shape.key == any_(bindparam(KEYS, type_=ARRAY(Uuid()))))
    if shape.found is not None:
        rows = rows.where(shape.found)
    return RowsByKey(query(for_viewer(rows), {KEYS: lambda _, keys: keys}), level.level())


@dataclass(frozen=True)
class OneRow:
    """The row that `key` finds in a request; null where it finds none."""

    rows: RowsByKey
    key: Callable[[Call], UUID | None]

    async def load(self, call: Call) -> Any:
        key = self.key(call)
        rows = [] if key is None else await self.rows.query.rows(call, (key,))
        if not rows:
            return None
        [[object]] = await self.rows.level.make(call, rows)
        return object


def _row_id(asked: Asked, shape: Shape, id: Argument) -> Callable[[Call], UUID | None]:
    def read(call: Call) -> UUID | None:
        named = asked.catalog.ids.read(resolve(id, call.values))
        return named[1] if named is not None and named[0] == shape.name else None

    return read


@dataclass
class Found:
    """What to read for rows of each type that ids may name; compiled when the first such id comes."""

    asked: Asked
    selected: Selected
    _known: dict[str, RowsByKey] = field(default_factory=dict)

    def of(self, type_name: str) -> RowsByKey | None:
        """None for a name that has no rows that ids find."""
        shape = self.asked.catalog.shapes.get(type_name)
        if shape is None or "id" not in shape.fields:
            return None
        if type_name not in self._known:
            self._known[type_name] = _rows(self.asked, shape, self.selected)
        return self._known[type_name]

    async def load(self, call: Call, ids: Sequence[str]) -> list[Any]:
        """An object or None for each id."""
        named = [self.asked.catalog.ids.read(id) for id in ids]
        keys: dict[str, list[UUID]] = {}
        for found in named:
            if found is not None:
                keys.setdefault(found[0], []).append(found[1])
        objects: dict[str, Mapping[str, Any]] = {}
        for type_name, wanted in keys.items():
            rows = self.of(type_name)
            objects[type_name] = await rows.load(call, wanted) if rows else {}
        return [None if found is None else objects[found[0]].get(str(found[1])) for found in named]


@dataclass(frozen=True)
class AnyRow:
    found: Found
    id: Argument

    async def load(self, call: Call) -> Any:
        [object] = await self.found.load(call, [resolve(self.id, call.values)])
        return object


@dataclass(frozen=True)
class AllRows:
    found: Found
    ids: Argument
    most: int

    async def load(self, call: Call) -> Any:
        ids = resolve(self.ids, call.values)
        if len(ids) > self.most:
            raise LeftToExecution
        return await self.found.load(call, ids)


def _item(declared: Any) -> Any:
    inner = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
    return inner.of_type
