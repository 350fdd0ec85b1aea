"""Writing a level: the expression of each object, the columns that it needs, and the levels below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
)
from sqlalchemy import BigInteger, Float

from planner.arguments import resolve
from planner.assembly import Assembly, display
from planner.declarations import Catalog, Computed, FromColumn, Many, One, Pages, SameRow, Scalar, Shape, key_of
from planner.errors import LeftToExecution
from planner.levels import Child, Level
from planner.selections import Selected, Selections, SelectionSets
from planner.statements import Path, Rows


@dataclass(frozen=True)
class Asked:
    """What a plan is made of: the selections of the operation, and what the schema has declared."""

    selections: Selections
    catalog: Catalog

    def shape(self, kind: GraphQLOutputType) -> Shape:
        """The shape of the type's objects. Raises `LeftToExecution` when it has none."""
        shape = self.catalog.shapes.get(get_named_type(kind).name)
        if shape is None:
            raise LeftToExecution
        return shape


# Compiles the level below a relation: (what is asked, field, its type) → the child. Connections and lists.
Below = Callable[[Asked, GraphQLObjectType, Selected, Any], Child]


class LevelWriter:
    """The rows of one level and what is made of each."""

    def __init__(self, asked: Asked, rows: type[Any], *, below: Below, numbered: bool) -> None:
        self.asked = asked
        self.rows = Rows(rows)
        self._below = below
        self.numbered = numbered
        self._made: list[tuple[Assembly, str]] = []
        self._children: list[tuple[int, Child]] = []

    def add(self, write: Callable[[ObjectWriter], str]) -> int:
        """Have `write`'s expression for each row; where its list will be among the level's."""
        writer = ObjectWriter(self, Assembly())
        self._made.append((writer.assembly, write(writer)))
        return len(self._made) - 1

    def child(self, key: int, child: Child) -> str:
        """Load the child for the keys in that column; the name of what it gives for a row."""
        self._children.append((key + self.numbered, child))
        return f"k{len(self._children) - 1}"

    def below(self, kind: GraphQLObjectType, field: Selected, read: Any) -> Child:
        return self._below(self.asked, kind, field, read)

    def level(self) -> Level:
        makers = tuple(
            assembly.maker(
                expression,
                columns=self.rows.width or 1,
                numbered=self.numbered,
                children=len(self._children),
            )
            for assembly, expression in self._made
        )
        return Level(makers, tuple(self._children))


class ObjectWriter:
    """Writes expressions for the objects of one level into one generated function."""

    def __init__(self, level: LevelWriter, assembly: Assembly) -> None:
        self._level = level
        self._asked = level.asked
        self._rows = level.rows
        self.assembly = assembly

    def object(self, kind: GraphQLObjectType, sets: SelectionSets, path: Path = ()) -> str:
        """The object of this type on the row at `path`."""
        shape = self._asked.shape(kind)
        selected = self._asked.selections.of(sets, kind)
        return display([(field.key, self._field(shape, kind, field, path)) for field in selected])

    def column(self, path: Path, column: Any) -> str:
        return f"c{self._rows.column(path, column)}"

    def key(self, path: Path, column: Any) -> str:
        """A key's text."""
        return f"c{self._rows.text(path, column)}"

    def _field(self, shape: Shape, kind: GraphQLObjectType, field: Selected, path: Path) -> str:
        if field.name == "__typename":
            return repr(kind.name)
        read, declared = shape.fields.get(field.name), kind.fields[field.name].type
        if isinstance(read, FromColumn):
            return self._from_column(shape, declared, read, path)
        if isinstance(read, Computed):
            return self._computed(kind, field, read, path)
        if isinstance(read, One):
            return self._one(declared, field, read, path)
        if isinstance(read, SameRow):
            inner = self.object(object_type(declared), field.below, path)
            return f"(None if {self.column(path, read.present)} is None else {inner})"
        if isinstance(read, Many | Pages):
            key = self._rows.text(path, shape.key)
            return self._level.child(key, self._level.below(kind, field, read))
        raise LeftToExecution

    def _one(self, declared: GraphQLOutputType, field: Selected, read: One, path: Path) -> str:
        target = self._asked.shape(declared)
        joined = (*path, read.column)
        self._rows.join(joined, target.key)
        inner = self.object(object_type(declared), field.below, joined)
        absent = "need(None)" if isinstance(declared, GraphQLNonNull) else "None"
        return f"({absent} if {self.key(joined, target.key)} is None else {inner})"

    def _from_column(self, shape: Shape, declared: GraphQLOutputType, read: FromColumn, path: Path) -> str:
        if read.column is shape.key and get_named_type(declared).name == "ID":
            return f"({self._asked.catalog.ids.prefix(shape.name)!r} + {self.key(path, shape.key)})"
        return self.written(declared, self.column(path, read.column), read.column)

    def _computed(self, kind: GraphQLObjectType, field: Selected, read: Computed, path: Path) -> str:
        joined = path
        for step, key in _steps(read):
            joined = (*joined, step)
            self._rows.join(joined, key)
        cells = [self.column(joined, column) for column in read.columns]
        given = [
            f"{name}={self._argument(argument)}"
            for name, argument in self._asked.selections.arguments(kind, field).items()
        ]
        called = f"{self.assembly.name(read.compute)}({', '.join(['env', *cells, *given])})"
        if get_named_type(kind.fields[field.name].type).name == "Int":
            called = f"int32({called})"
        if read.path:
            called = f"(None if {self.key(joined, _steps(read)[-1][1])} is None else {called})"
        return f"need({called})" if isinstance(kind.fields[field.name].type, GraphQLNonNull) else called

    def _argument(self, argument: Any) -> str:
        return self.assembly.once(f"{self.assembly.name(partial(resolve, argument))}(values)")

    def written(self, declared: GraphQLOutputType, cell: str, column: Any) -> str:
        """The value of a column as the type writes it."""
        required = isinstance(declared, GraphQLNonNull)
        kind: Any = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
        plain = self._conversion(kind, cell, column)
        if required:
            return plain if not column.nullable else plain.replace(cell, f"need({cell})", 1)
        return plain if plain == cell or not column.nullable else f"(None if {cell} is None else {plain})"

    def _conversion(self, kind: Any, cell: str, column: Any) -> str:
        if isinstance(kind, GraphQLList):
            filled = isinstance(kind.of_type, GraphQLNonNull)
            inner = kind.of_type.of_type if filled else kind.of_type
            if self._conversion(inner, "x", column) != "x":
                raise LeftToExecution
            return f"need_all({cell})" if filled else cell
        if isinstance(kind, GraphQLEnumType):
            return f"{self.assembly.name(_names(kind))}[{cell}]"
        if kind.name == "Int":
            return f"int32({cell})" if isinstance(column.type, BigInteger) else cell
        if kind.name == "Float":
            return cell if isinstance(column.type, Float) else f"float({cell})"
        if kind.name in ("String", "Boolean"):
            return cell
        scalar = self._asked.catalog.scalars.get(kind.name) or Scalar("{write}({value})", kind.serialize)
        return scalar.expression.format(value=cell, write=self.assembly.name(scalar.write))


def _steps(read: Computed) -> Sequence[tuple[Any, Any]]:
    """Each column of the path with the key of the table that it points into."""
    inside = (*read.path[1:], read.columns[0])
    return [(step, key_of(column.class_)) for step, column in zip(read.path, inside, strict=bool(read.path))]


def _names(kind: GraphQLEnumType) -> dict[Any, str]:
    return {value.value: name for name, value in kind.values.items()}


def object_type(kind: GraphQLOutputType) -> GraphQLObjectType:
    named = get_named_type(kind)
    if not isinstance(named, GraphQLObjectType):
        raise LeftToExecution
    return named
