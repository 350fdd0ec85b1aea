"""Types of rows: the one way from a row to what shows it, and nodes, which have an id besides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Self, cast

import strawberry
from sqlalchemy import ColumnElement
from strawberry.types.base import StrawberryOptional, get_object_definition
from strawberry.types.enum import StrawberryEnumDefinition

from models.base import Row
from schema.ids import encode_id


class OfRow:
    """A type that is bound to a row's class: fields with the name of a column take its value, all others say where they
    come from (`schema/reads.py`). `found` says which rows an id finds; None: all. An instance has its `row`.
    """

    rows: ClassVar[type[Row]]
    found: ClassVar[ColumnElement[bool] | None] = None

    def __init_subclass__(
        cls, rows: type[Row] | None = None, found: ColumnElement[bool] | None = None, **rest: Any
    ) -> None:
        super().__init_subclass__(**rest)
        if rows is not None:
            cls.rows, cls.found = rows, found

    @classmethod
    def of(cls, row: Row) -> Self:
        """This type for that row."""
        plain = {name: convert(getattr(row, name)) for name, convert in plain_fields(cls)}  # type: ignore[arg-type]
        return cls(row=row, **plain, **cls._identity(row))  # type: ignore[call-arg]

    @classmethod
    def maybe(cls, row: Row | None) -> Self | None:
        return None if row is None else cls.of(row)

    @classmethod
    def _identity(cls, row: Row) -> dict[str, Any]:
        return {}


@strawberry.interface(description="Something with an id that `node(id)` finds again.")
class Node(OfRow):
    id: strawberry.ID = strawberry.field(description="Opaque and stable; compare it and send it back, nothing else.")
    row: strawberry.Private[Any]

    @classmethod
    def _identity(cls, row: Row) -> dict[str, Any]:
        return {"id": encode_id(cls.__name__, row.id)}  # type: ignore[attr-defined]


@cache
def plain_fields(kind: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The fields that are columns, each with what turns the column's value into the field's."""
    definition = get_object_definition(kind, strict=True)
    columns = {f.name for f in dataclasses.fields(kind) if f.init} - {"id", "row"}
    return tuple((f.python_name, _converter(f.type)) for f in definition.fields if f.python_name in columns)


def _converter(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, StrawberryOptional):
        inner = _converter(kind.of_type)
        return lambda value: None if value is None else inner(value)
    if isinstance(kind, StrawberryEnumDefinition):
        return cast(Callable[[Any], Enum], kind.wrapped_cls)
    return lambda value: value


def camel(name: str) -> str:
    """A field's name as the schema has it."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
