"""What a schema says of its fields, once: how each comes from rows. Two executors read it.

A `Shape` binds a GraphQL object type to a table; its fields are columns, pure functions of columns, or relations. A
relation does not name its target: that is the shape of the field's GraphQL type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from planner.keyset import Order

Column = InstrumentedAttribute[Any]


def key_of(rows: Any) -> Column:
    """The column that is the primary key of a row's class."""
    mapper = inspect(rows)
    [key] = mapper.primary_key
    found: Column = getattr(rows, mapper.get_property_by_column(key).key)
    return found


@dataclass(frozen=True)
class FromColumn:
    """The column's value, as the field's GraphQL type writes it."""

    column: Column


@dataclass(frozen=True)
class Computed:
    """`compute(env, *values, **arguments)` of the values of `columns`, which stand on the row itself or, if there is
    a path, on the row at its end: each step is a column with another row's key. Null where the path breaks off.

    `compute` is pure, given `env`: whatever the application hands to every request. What it returns is JSON.
    """

    columns: tuple[Column, ...]
    compute: Callable[..., Any]
    path: tuple[Column, ...] = ()


@dataclass(frozen=True)
class One:
    """The row whose key is in `column`."""

    column: Column


@dataclass(frozen=True)
class SameRow:
    """An object made of the same row's columns; null where `present` is null."""

    present: Column


@dataclass(frozen=True)
class Many:
    """All rows whose `parent` is this row's key. `only` takes a single column of each in place of an object."""

    parent: Column
    order: Order
    only: Column | None = None


@dataclass(frozen=True)
class Pages:
    """A Relay connection of the rows whose `parent` is this row's key."""

    parent: Column
    order: Order


@dataclass(frozen=True)
class Filter:
    """One field of a filter: its value is bound as `type`, after `read` has made it of what the client sent. `read`
    raises for what is not acceptable; None stands for no filter at all."""

    type: TypeEngine[Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Listing:
    """A Relay connection of rows of a table. `within(choices, viewer, given)` says which: `choices` are the fields of
    the filter that are not in `filters` (enums and Booleans, which decide the SQL), `given` has the others that are
    given, as SQL values."""

    rows: type[Any]
    within: Callable[[Mapping[str, Any], Viewer, Mapping[str, ColumnElement[Any]]], list[ColumnElement[bool]]]
    filters: Mapping[str, Filter]
    orders: Mapping[str, Order]
    default_order: str


@dataclass(frozen=True)
class ById:
    """The row that the argument `id` names, if it is one of the field's type."""


@dataclass(frozen=True)
class AnyById:
    """`node(id)`: a row of whatever type the id names."""


@dataclass(frozen=True)
class AllById:
    """`nodes(ids)`: up to `most` rows of whatever types the ids name, in their order."""

    most: int


@dataclass(frozen=True)
class OfViewer:
    """The row whose key is the viewer's; null for nobody in particular."""


Read = FromColumn | Computed | One | SameRow | Many | Pages | Listing | ById | AnyById | AllById | OfViewer


@dataclass(frozen=True)
class Viewer:
    """On whose behalf rows are read. `id` is a value, or what stands for it while a statement is compiled."""

    signed_in: bool
    id: Any


@dataclass(frozen=True)
class Shape:
    """A GraphQL object type whose objects are rows of `rows`. `found` says which of them an id finds; None: all."""

    name: str
    rows: type[Any]
    key: Column
    fields: Mapping[str, Read]
    found: ColumnElement[bool] | None = None


@dataclass(frozen=True)
class Ids:
    """How the application writes the ids of rows, whose keys are UUIDs: `prefix(type_name)` and the key's text. `read`
    gives the type's name and the key, None for what is no id of its own."""

    prefix: Callable[[str], str]
    read: Callable[[str], tuple[str, UUID] | None]


@dataclass(frozen=True)
class Scalar:
    """How values become what orjson writes: a Python expression of `{value}`, in which `{write}` is the function."""

    expression: str
    write: Callable[[Any], Any]


@dataclass(frozen=True)
class Catalog:
    """All that a schema has declared: shapes and the reads of Query's fields, by their GraphQL names. `scalars` has
    what writes the values of scalars to the same JSON as their own `serialize`, and faster."""

    shapes: Mapping[str, Shape]
    root: Mapping[str, Read]
    ids: Ids
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
