"""Valid queries by the handful, over any schema: made by dice, so that a seed gives the same ones again.

What stands in the way of a valid document is that equal keys must ask for the same thing. Each selection set therefore
knows the keys of the place in the answer where it will be merged (`Place`), and a fragment is spread a second time only
where its keys fit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

Composite = GraphQLObjectType | GraphQLInterfaceType


class Client:
    """What a client of some schema would send. This one knows nothing of it."""

    def gives(self, field: str, optional: Sequence[str], dice: random.Random) -> list[str]:
        """Which of the field's optional arguments are given."""
        return [name for name in optional if dice.random() < 0.35]

    def follows(self, fields: Sequence[str], dice: random.Random) -> str:
        """Which of these fields it looks into."""
        return dice.choice(fields)

    def value(self, where: str, kind: GraphQLScalarType, dice: random.Random) -> Any:
        """A value as JSON has it. `where` is `field.argument`, or `field.argument.key` in an input object."""
        if kind.name in ("Int", "Float"):
            return dice.randint(0, 4)
        return dice.random() < 0.5 if kind.name == "Boolean" else dice.choice(["", "abc"])


@dataclass(frozen=True)
class Request:
    """What a client sends."""

    query: str
    variables: dict[str, Any]
    operation: str | None = None


@dataclass(frozen=True)
class Enum:
    """A value that JSON writes as a string, and GraphQL as a name."""

    name: str


@dataclass
class Place:
    """A place in the answer: what each key there asks for, and the places below."""

    asked: dict[str, str] = field(default_factory=dict)
    below: dict[str, Place] = field(default_factory=dict)

    def fits(self, other: Place) -> bool:
        """Whether no key asks for two things when `other` is merged here."""
        return all(self.asked.get(key, asks) == asks for key, asks in other.asked.items()) and all(
            self.below[key].fits(place) for key, place in other.below.items() if key in self.below
        )

    def merge(self, other: Place) -> None:
        self.asked.update(other.asked)
        for key, place in other.below.items():
            self.below.setdefault(key, Place()).merge(place)


@dataclass(frozen=True)
class Fragment:
    """A fragment, whose fields are merged at `place`."""

    text: str
    on: Composite
    place: Place


@dataclass(frozen=True)
class Size:
    """How large documents become: fields in all, objects on one path, fields at the root."""

    fields: int = 20
    depth: int = 6
    roots: int = 3


def requests(schema: GraphQLSchema, client: Client, seed: object, size: Size | None = None) -> Iterator[Request]:
    """Without end; the same for the same seed."""
    for number in count():
        yield Writer(schema, client, random.Random(f"{seed}/{number}"), size or Size()).request()


class Writer:
    """Writes one document."""

    def __init__(self, schema: GraphQLSchema, client: Client, dice: random.Random, size: Size) -> None:
        self._schema = schema
        self._client = client
        self._dice = dice
        self._size = size
        self._left = size.fields
        self._definitions: list[str] = []
        self._values: dict[str, Any] = {}
        self._fragments: dict[str, Fragment] = {}
        self._started = 0

    def request(self) -> Request:
        query = self._schema.query_type
        assert query is not None
        name = self._dice.choice(["", "Read"])
        roots = self._dice.randint(1, self._size.roots)
        body = self._selection(query, Place(), 0, wanted=roots)
        variables = f"({', '.join(self._definitions)})" if self._definitions else ""
        head = f"query {name}{variables} " if name or variables or self._dice.random() < 0.5 else ""
        others = ["query Other { __typename }"] if name and self._chance(0.1) else []
        text = "\n".join([*others, head + body, *(fragment.text for fragment in self._fragments.values())])
        return Request(text, self._values, name if others else self._dice.choice([None, name or None]))

    def _chance(self, likely: float) -> bool:
        return self._dice.random() < likely

    def _selection(self, kind: Composite, place: Place, depth: int, *, wanted: int | None = None) -> str:
        parts = []
        for _ in range(wanted or self._dice.randint(1, 6)):
            parts.append(self._part(kind, place, depth))
            if self._left <= 0:
                break
        return "{ " + " ".join(parts) + " }"

    def _part(self, kind: Composite, place: Place, depth: int) -> str:
        if not depth and not place.asked:
            return self._field(kind, place, depth)  # before what tells of the schema alone
        roll = self._dice.random()
        if roll < 0.08:
            return self._inline(kind, place, depth)
        if roll < 0.15 and depth:
            return self._spread(kind, place, depth)
        if roll < 0.22:
            return self._written("__typename", "String!", place, "") + self._directives()
        if roll < 0.24 and not depth:
            named = '(name: "Query")'
            return self._written("__type", "__Type", place, named) + self._directives() + " { name kind }"
        if isinstance(kind, GraphQLInterfaceType) and roll < 0.7:
            return self._inline(kind, place, depth)
        return self._field(kind, place, depth)

    def _inline(self, kind: Composite, place: Place, depth: int) -> str:
        condition = self._dice.choice([None, *self._narrower(kind)])
        inner = self._selection(condition or kind, place, depth)
        return f"...{f' on {condition.name}' if condition else ''}{self._directives()} {inner}"

    def _spread(self, kind: Composite, place: Place, depth: int) -> str:
        fitting = self._narrower(kind)
        known = [name for name, made in self._fragments.items() if made.on in fitting and place.fits(made.place)]
        name = self._dice.choice(known) if known and self._chance(0.5) else self._fragment(fitting, place, depth)
        place.merge(self._fragments[name].place)
        return f"...{name}{self._directives()}"

    def _fragment(self, fitting: Sequence[Composite], place: Place, depth: int) -> str:
        """A new one, that fits there."""
        self._started += 1
        name, on, own = f"F{self._started}", self._dice.choice(fitting), deepcopy(place)
        body = self._selection(on, own, depth)
        self._fragments[name] = Fragment(f"fragment {name} on {on.name} {body}", on, own)
        return name

    def _narrower(self, kind: Composite) -> list[Composite]:
        """The types that a fragment may name where `kind` is expected."""
        if isinstance(kind, GraphQLInterfaceType):
            return [kind, *self._schema.get_possible_types(kind)]
        return [kind, *kind.interfaces]

    def _field(self, kind: Composite, place: Place, depth: int) -> str:
        leaves = [name for name, declared in kind.fields.items() if is_leaf_type(get_named_type(declared.type))]
        deeper = [name for name in kind.fields if name not in leaves]
        deep = deeper and depth < self._size.depth and self._left > 0 and (not leaves or self._chance(0.4))
        if not deep and not leaves:
            return self._written("__typename", "String!", place, "")
        name = self._client.follows(deeper, self._dice) if deep else self._dice.choice(leaves)
        declared = kind.fields[name]
        arguments = self._arguments(name, declared)
        text = self._written(name, str(declared.type), place, arguments) + self._directives()
        if not deep:
            return text
        target: Any = get_named_type(declared.type)
        key = text.split(":")[0] if ":" in text.split("(")[0].split("@")[0] else name
        return f"{text} {self._selection(target, place.below.setdefault(key.strip(), Place()), depth + 1)}"

    def _written(self, name: str, kind: str, place: Place, arguments: str) -> str:
        """`key: name(arguments)` by a key that is free, or asks for the same."""
        self._left -= 1
        asks = f"{name}{arguments} {kind}"
        keys = [name, *(f"{letter}{number}" for number in range(100) for letter in "ab")]
        if self._chance(0.2):
            keys = self._dice.sample(keys[1:9], 8) + keys
        key = next(key for key in keys if place.asked.setdefault(key, asks) == asks)
        return f"{key}: {name}{arguments}" if key != name or self._chance(0.02) else f"{name}{arguments}"

    def _directives(self) -> str:
        if not self._chance(0.08):
            return ""
        name, wanted = self._dice.choice(["skip", "include"]), self._dice.random() < 0.5
        boolean = GraphQLNonNull(GraphQLBoolean)
        value = self._variable(f"{name}.if", boolean) if self._chance(0.5) else str(wanted).lower()
        return f" @{name}(if: {value})"

    def _arguments(self, field: str, declared: GraphQLField) -> str:
        required = [name for name, argument in declared.args.items() if is_required_argument(argument)]
        optional = [name for name in declared.args if name not in required]
        names = required + self._client.gives(field, optional, self._dice)
        self._dice.shuffle(names)
        given = [f"{name}: {self._argument(f'{field}.{name}', declared.args[name].type)}" for name in names]
        return f"({', '.join(given)})" if given else ""

    def _argument(self, where: str, kind: GraphQLInputType) -> str:
        return self._variable(where, kind) if self._chance(0.5) else self._literal(where, kind)

    def _variable(self, where: str, kind: GraphQLInputType) -> str:
        """A new variable, with whatever a client may do with one: a default, a stricter type, no value, null."""
        variable = f"v{len(self._definitions)}"
        required = isinstance(kind, GraphQLNonNull)
        declared: Any = kind
        default = ""
        if required and self._chance(0.2):
            declared, default = kind.of_type, " = " + written(self.value(where, kind))  # type: ignore[union-attr]
        elif not required and self._chance(0.2):
            declared = GraphQLNonNull(kind)
        elif not required and self._chance(0.25):
            default = " = " + written(self.value(where, kind))
        self._definitions.append(f"${variable}: {declared}{default}")
        must = isinstance(declared, GraphQLNonNull)
        if must or self._chance(0.7):
            # Null for a variable that has a default only to be required is an error, which is seldom of interest.
            often = must or (required and self._chance(0.9))
            self._values[variable] = plain(self.value(where, GraphQLNonNull(_inner(declared)) if often else declared))
        return f"${variable}"

    def _literal(self, where: str, kind: GraphQLInputType) -> str:
        """A value as GraphQL writes it; parts of it may be variables."""
        inner = _inner(kind)
        if isinstance(inner, GraphQLInputObjectType) and self._chance(0.8):
            given = [f"{key}: {self._argument(f'{where}.{key}', part.type)}" for key, part in self._chosen(inner)]
            return "{" + ", ".join(given) + "}"
        if isinstance(inner, GraphQLList) and self._chance(0.3):
            items = [self._item(where, inner.of_type) for _ in range(self._dice.randint(0, 3))]
            return f"[{', '.join(items)}]"
        return written(self.value(where, kind))

    def _item(self, where: str, kind: GraphQLInputType) -> str:
        return self._variable(where, kind) if self._chance(0.5) else written(self.value(where, kind))

    def _chosen(self, kind: GraphQLInputObjectType) -> Iterator[tuple[str, Any]]:
        for name, part in kind.fields.items():
            required = isinstance(part.type, GraphQLNonNull) and part.default_value is Undefined
            if required or self._chance(0.25):
                yield name, part

    def value(self, where: str, kind: GraphQLInputType) -> Any:
        """A value of the type; names of enums are `Enum`."""
        if not isinstance(kind, GraphQLNonNull) and self._chance(0.12):
            return None
        inner = _inner(kind)
        if isinstance(inner, GraphQLList):
            return [self.value(where, inner.of_type) for _ in range(self._dice.randint(0, 4))]
        if isinstance(inner, GraphQLEnumType):
            return Enum(self._dice.choice([*inner.values]))
        if isinstance(inner, GraphQLInputObjectType):
            return {key: self.value(f"{where}.{key}", part.type) for key, part in self._chosen(inner)}
        return self._client.value(where, inner, self._dice)


def _inner(kind: Any) -> Any:
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def written(value: Any) -> str:
    """As GraphQL writes it."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
