"""A request's variables: coerced to values, and reduced to the shape that decides about the plan.

The shape of a variable is what the SQL depends on: whether it is there, whether it is null, which fields an input
object has, and the value itself of Booleans and enums. All other values are bound to the statement later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    is_required_input_field,
    type_from_ast,
    value_from_ast,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from planner.errors import LeftToExecution

GIVEN = "*"  # the shape of a value that is bound later
NULL = None
ABSENT = Undefined

# A value, and its shape.
Read = tuple[Any, Any]
Reader = Callable[[Any], Read]

INT_BOUND = 2**31


class Variables:
    """The variables that one operation declares."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._readers: list[tuple[str, Reader, Read]] = []
        self.types: dict[str, GraphQLInputType] = {}
        for node in operation.variable_definitions or ():
            kind: Any = type_from_ast(schema, node.type)
            name, reader = node.variable.name.value, reader_of(kind)
            absent: Read = (Undefined, ABSENT)
            if node.default_value is not None:
                absent = reader(plain(value_from_ast(node.default_value, kind), kind))
            elif isinstance(kind, GraphQLNonNull):
                absent = (_refuse, _refuse)
            self.types[name] = kind
            self._readers.append((name, reader, absent))

    def read(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """The values by name (absent ones are not there), and the shape of all together. Raises `LeftToExecution`
        for a value that is not plainly of its type: execution coerces it, or says what is wrong."""
        values, shape = {}, []
        for name, reader, absent in self._readers:
            value, form = reader(raw[name]) if name in raw else absent
            if value is _refuse:
                raise LeftToExecution
            if value is not Undefined:
                values[name] = value
            shape.append(form)
        return values, tuple(shape)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self._readers]


def _refuse(_value: Any) -> Read:
    raise LeftToExecution


def reader_of(kind: GraphQLInputType) -> Reader:
    """What reads values of this type."""
    if isinstance(kind, GraphQLNonNull):
        return _present(kind.of_type)
    inner = _present(kind)
    return lambda value: (None, NULL) if value is None else inner(value)


def _present(kind: GraphQLInputType) -> Reader:
    if isinstance(kind, GraphQLList):
        return _list(reader_of(kind.of_type))
    if isinstance(kind, GraphQLEnumType):
        return _enum(frozenset(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return _refuse if kind.is_one_of else _object(kind)
    assert isinstance(kind, GraphQLScalarType)
    return SCALARS.get(kind.name) or _custom(kind)


def _text(value: Any) -> Read:
    if type(value) is not str:
        raise LeftToExecution
    return value, GIVEN


def _int(value: Any) -> Read:
    if type(value) is not int or not -INT_BOUND <= value < INT_BOUND:
        raise LeftToExecution
    return value, GIVEN


def _float(value: Any) -> Read:
    if type(value) not in (int, float) or not isfinite(value):
        raise LeftToExecution
    return float(value), GIVEN


def _boolean(value: Any) -> Read:
    if type(value) is not bool:
        raise LeftToExecution
    return value, value


SCALARS: Mapping[str, Reader] = {"ID": _text, "String": _text, "Int": _int, "Float": _float, "Boolean": _boolean}


def _custom(kind: GraphQLScalarType) -> Reader:
    def read(value: Any) -> Read:
        try:
            return kind.parse_value(value), GIVEN
        except Exception:
            raise LeftToExecution from None

    return read


def _enum(names: frozenset[str]) -> Reader:
    def read(value: Any) -> Read:
        if type(value) is not str or value not in names:
            raise LeftToExecution
        return value, value

    return read


def _list(inner: Reader) -> Reader:
    def read(value: Any) -> Read:
        if type(value) is not list:
            raise LeftToExecution
        return [inner(item)[0] for item in value], GIVEN

    return read


def _object(kind: GraphQLInputObjectType) -> Reader:
    fields = {name: reader_of(field.type) for name, field in kind.fields.items()}
    defaults = {
        name: fields[name](default)
        for name, field in kind.fields.items()
        if (default := default_of(field)) is not Undefined
    }
    required = {name for name, field in kind.fields.items() if is_required_input_field(field)}

    def read(value: Any) -> Read:
        if type(value) is not dict or not (required <= value.keys() <= fields.keys()):
            raise LeftToExecution
        found = {**defaults, **{name: fields[name](given) for name, given in value.items()}}
        values = {name: value for name, (value, _) in found.items()}
        return values, tuple(sorted(((name, shape) for name, (_, shape) in found.items()), key=lambda pair: pair[0]))

    return read


def default_of(declared: GraphQLArgument | GraphQLInputField) -> Any:
    """The default, as a client would write it; `Undefined` when there is none."""
    default = coerce_default_value(declared)
    return default if default is Undefined else plain(default, declared.type)


def plain(value: Any, kind: GraphQLInputType) -> Any:
    """A value as execution has it inside, as a client would write it: enums by name, times as text."""
    if value is None:
        return None
    if isinstance(value, str | int | float | bool):
        named = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        return named.serialize(value) if isinstance(named, GraphQLEnumType) else value
    if isinstance(kind, GraphQLNonNull):
        return plain(value, kind.of_type)
    if isinstance(kind, GraphQLList):
        return [plain(item, kind.of_type) for item in value]
    if isinstance(kind, GraphQLInputObjectType):
        return {name: plain(item, kind.fields[name].type) for name, item in value.items()}
    return kind.serialize(value)
