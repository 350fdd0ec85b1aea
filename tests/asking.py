"""Asking any root field of the schema, by introspection: its arguments filled in, all of its answer selected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

DEPTH = 3  # levels of objects that are selected: a track, a page of its versions, the versions, their stems
SAMPLES: Mapping[str, Any] = {"String": "words", "Int": 1, "Float": 1.0, "Boolean": False}

Pick = Callable[[str], str]  # from the path of an ID among the arguments (`input.trackId`) to the ID that goes there


@dataclass(frozen=True)
class Question:
    """One root field; `kind` is query, mutation or subscription."""

    schema: GraphQLSchema
    kind: str
    name: str
    field: GraphQLField

    @property
    def text(self) -> str:
        declared = ", ".join(f"${name}: {argument.type}" for name, argument in self.field.args.items())
        passed = ", ".join(f"{name}: ${name}" for name in self.field.args)
        declared, passed = (f"({declared})", f"({passed})") if declared else ("", "")
        return f"{self.kind} {declared} {{ {self.name} {passed} {_selection(self.schema, self.field.type, DEPTH)} }}"

    def variables(self, pick: Pick) -> dict[str, Any]:
        """Values of all arguments that must be given, and of those that name something."""
        return {
            name: _sample(argument.type, name, pick)
            for name, argument in self.field.args.items()
            if is_required_argument(argument) or _names_something(argument.type)
        }

    @property
    def slots(self) -> list[str]:
        """The paths of the IDs among its arguments."""
        found: list[str] = []

        def note(path: str) -> str:
            found.append(path)
            return ""

        self.variables(note)
        return found


def questions(schema: GraphQLSchema) -> Iterator[Question]:
    """All root fields."""
    roots = {"query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type}
    for kind, root in roots.items():
        assert root is not None
        for name, field in root.fields.items():
            yield Question(schema, kind, name, field)


def _names_something(kind: Any) -> bool:
    named = get_named_type(kind)
    if isinstance(named, GraphQLInputObjectType):
        return any(_names_something(field.type) for field in named.fields.values())
    return bool(named.name == "ID")


def _sample(kind: Any, path: str, pick: Pick) -> Any:
    if isinstance(kind, GraphQLNonNull):
        return _sample(kind.of_type, path, pick)
    if isinstance(kind, GraphQLList):
        return [_sample(kind.of_type, path, pick)]
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: _sample(field.type, f"{path}.{name}", pick)
            for name, field in kind.fields.items()
            if is_required_input_field(field) or _names_something(field.type)
        }
    return pick(path) if kind.name == "ID" else SAMPLES[kind.name]


def _selection(schema: GraphQLSchema, kind: Any, depth: int) -> str:
    """Everything below a type that can be selected without arguments, `depth` levels of objects down."""
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    inner = ["__typename", *_selected(schema, getattr(named, "fields", {}), depth)]
    if is_abstract_type(named):
        for shape in schema.get_possible_types(named):
            # Equal names may have different types in different shapes, so each gets a name of its own.
            own = _selected(schema, shape.fields, 0, prefix=f"{shape.name}_")
            inner.append(f"... on {shape.name} {{ __typename {' '.join(own)} }}")
    return "{ " + " ".join(inner) + " }"


def _selected(
    schema: GraphQLSchema, fields: Mapping[str, GraphQLField], depth: int, *, prefix: str = ""
) -> Iterator[str]:
    for name, field in fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        label = f"{prefix}{name}: " if prefix else ""
        if is_leaf_type(get_named_type(field.type)):
            yield f"{label}{name}"
        elif depth > 0:
            few = "(first: 2)" if "first" in field.args else ""
            yield f"{label}{name}{few} {_selection(schema, field.type, depth - 1)}"
