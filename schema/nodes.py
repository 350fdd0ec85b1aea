"""Nodes: everything with an id, and the one way from a row to its type."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Self, cast

import strawberry
from strawberry.types.base import StrawberryOptional, get_object_definition
from strawberry.types.enum import StrawberryEnumDefinition

from models.base import Row
from schema.ids import encode_id


@strawberry.interface(description="Something with an id that `node(id)` finds again.")
class Node:
    """A type that is bound to a row: fields with the name of a column take its value, the rest are resolvers.

    `rows` is the row's class; `row` is there for resolvers and not in the schema.
    """

    id: strawberry.ID = strawberry.field(description="Opaque and stable; compare it and send it back, nothing else.")
    row: strawberry.Private[Any]

    @classmethod
    def of(cls, row: Row) -> Self:
        """This type for that row."""
        plain = {name: convert(getattr(row, name)) for name, convert in plain_fields(cls)}  # type: ignore[arg-type]
        return cls(id=encode_id(cls.__name__, row.id), row=row, **plain)  # type: ignore[attr-defined]

    @classmethod
    def maybe(cls, row: Row | None) -> Self | None:
        return None if row is None else cls.of(row)


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
