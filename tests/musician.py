"""What a client of ours asks for: ids and cursors of the world, words and moments, seldom something that is refused."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from graphql import GraphQLScalarType

from schema.ids import encode_id
from tests.documents import Client
from tests.reads_world import TYPES

TIMES = (
    "2026-03-01T12:00:00Z",
    "2026-03-01T13:59:50.500000+02:00",
    "2026-03-01T06:29:45.000001-05:30",
    "0001-01-01T00:00:00Z",
)
WORDS = ("words", "WORDS 1", "unicode", "夜", '"', "' or 1=1", "once é")
TAG_WORDS = ("calm", "CALM", "夜", 'a "b"', "none")


class Musician(Client):
    """Knows the ids and cursors of the world, and seldom asks for what is refused: refusals are executed."""

    def __init__(self, ids: Mapping[str, Sequence[str]], cursors: Mapping[str, Sequence[str]]) -> None:
        self._ids = ids
        self._cursors = cursors

    def gives(self, field: str, optional: Sequence[str], dice: random.Random) -> list[str]:
        given = super().gives(field, optional, dice)
        if "first" not in optional or dice.random() < 0.02:
            return given
        against = dice.choice([{"first", "after"}, {"last", "before"}] if "last" in optional else [{"last"}])
        if {"after", "before"} & {*given} - against:
            against = against | {"orderBy"}
        return [name for name in given if name not in against]

    def follows(self, fields: Sequence[str], dice: random.Random) -> str:
        chosen = dice.choice(fields)
        return dice.choice(fields) if chosen == "providers" else chosen  # there is little to it

    def value(self, where: str, kind: GraphQLScalarType, dice: random.Random) -> Any:
        field, name = where.split(".", 1)
        odd = dice.random() < 0.02
        if name in ("first", "last"):
            return dice.choice([101, -1, 100]) if odd else dice.randint(0, 4)
        if name in ("after", "before"):
            own = {"tracks": "newest"}.get(field, field)
            return "WzEsIm4iXQ" if odd else dice.choice(self._cursors[dice.choice([*self._cursors]) if odd else own])
        if name == "points":
            return dice.choice([0, 1001]) if odd else dice.randint(1, 9)
        if kind.name == "ID":
            return self._id(field, dice)
        if kind.name == "DateTime":
            return "tomorrow" if odd and name == "filter.createdAfter" else dice.choice(TIMES)
        if kind.name == "String":
            return dice.choice(TAG_WORDS if name == "filter.tags" else WORDS)
        return super().value(where, kind, dice)

    def _id(self, field: str, dice: random.Random) -> str:
        if dice.random() < 0.04:
            return dice.choice(["", "abc", encode_id("Track", UUID(int=5)), encode_id("Song", UUID(int=5))])
        type_name = {"track": "Track", "generation": "Generation"}.get(field) or dice.choice([*TYPES.values()])
        known = self._ids[type_name]
        return dice.choice(known[:50] if dice.random() < 0.95 else known)
