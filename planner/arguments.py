"""The arguments of a field, as far as they are known when a plan is made.

`Known` decides the plan: literals, null, and what the shape of the variables tells. `Later` is a variable's value,
taken from the request each time. An argument that is not given is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    EnumValueNode,
    FieldNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    value_from_ast,
)

from planner.errors import LeftToExecution
from planner.variables import GIVEN, NULL, Variables, default_of, reader_of

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """A value that the plan is made for. Enums by name."""

    value: Any


@dataclass(frozen=True)
class Later:
    """A value that each request brings: `take` finds it among the values of the variables."""

    take: Callable[[Values], Any]


@dataclass(frozen=True)
class Fields:
    """An input object."""

    fields: Mapping[str, Argument]


Argument = Known | Later | Fields


class Shapes:
    """What is known of the variables of one plan."""

    def __init__(self, variables: Variables, shape: tuple[Any, ...]) -> None:
        self._types = variables.types
        self._shape = dict(zip(variables.names, shape, strict=True))

    def is_true(self, node: ValueNode) -> bool:
        """The Boolean of `@skip` and `@include`."""
        known = self.argument(node, GraphQLNonNull(GraphQLBoolean))
        if not isinstance(known, Known) or known.value is None:
            raise LeftToExecution
        return bool(known.value)

    def arguments(self, definition: GraphQLField, node: FieldNode) -> dict[str, Argument]:
        """The arguments that the field is given, defaults included. Raises `LeftToExecution` for a null that must
        not be one."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        found = {}
        for name, declared in definition.args.items():
            value = self.argument(given[name], declared.type) if name in given else None
            value = _default(declared) if value is None else value
            _check(value, declared.type)
            if value is not None:
                found[name] = value
        return found

    def argument(self, node: ValueNode, kind: GraphQLInputType) -> Argument | None:
        """What is known of a value; None when it is a variable that is not given."""
        if isinstance(node, VariableNode):
            name = node.name.value
            return _of_shape(self._shape[name], self._types[name], lambda values: values[name])
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(node, NullValueNode):
            return Known(None)
        if isinstance(inner, GraphQLList):
            return self._list(node, inner)
        if isinstance(node, EnumValueNode):
            return Known(node.value)
        if isinstance(inner, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
            return self._object(node, inner)
        if isinstance(inner, GraphQLScalarType):
            return Known(value_from_ast(node, inner))
        raise LeftToExecution

    def _list(self, node: ValueNode, kind: GraphQLList[Any]) -> Argument:
        nodes = node.values if isinstance(node, ListValueNode) else (node,)  # one value stands for a list of one
        items = [self.argument(item, kind.of_type) for item in nodes]
        for item in items:
            _check(item, kind.of_type)
        if all(isinstance(item, Known) for item in items):
            return Known([item.value for item in items if isinstance(item, Known)])
        return Later(lambda values: [resolve(item or Known(None), values) for item in items])

    def _object(self, node: ObjectValueNode, kind: GraphQLInputObjectType) -> Fields:
        given = {
            field.name.value: self.argument(field.value, kind.fields[field.name.value].type) for field in node.fields
        }
        found = {}
        for name, field in kind.fields.items():
            value = given.get(name) or _default(field)
            _check(value, field.type)
            if value is not None:
                found[name] = value
        return Fields(found)


def resolve(argument: Argument, values: Values) -> Any:
    """The argument's value in one request."""
    if isinstance(argument, Known):
        return argument.value
    if isinstance(argument, Later):
        return argument.take(values)
    return {name: resolve(field, values) for name, field in argument.fields.items()}


def _default(declared: GraphQLArgument | GraphQLInputField) -> Known | None:
    """The default as variables have their values; None when there is none."""
    default = default_of(declared)
    return None if default is Undefined else Known(reader_of(declared.type)(default)[0])


def _check(value: Argument | None, kind: GraphQLInputType) -> None:
    """Raises `LeftToExecution` for nothing, or null, where there must be something."""
    if isinstance(kind, GraphQLNonNull) and (value is None or value == Known(None)):
        raise LeftToExecution


def _of_shape(shape: Any, kind: GraphQLInputType, take: Callable[[Values], Any]) -> Argument | None:
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if shape is Undefined:
        return None
    if shape is NULL:
        return Known(None)
    if isinstance(inner, GraphQLInputObjectType):
        return Fields({name: _field(name, form, inner, take) for name, form in shape})
    if shape == GIVEN and not isinstance(inner, GraphQLEnumType):
        return Later(take)
    return Known(shape)


def _field(name: str, shape: Any, kind: GraphQLInputObjectType, take: Callable[[Values], Any]) -> Argument:
    found = _of_shape(shape, kind.fields[name].type, lambda values: take(values)[name])
    assert found is not None  # an input object's shape has only the fields that are there
    return found
