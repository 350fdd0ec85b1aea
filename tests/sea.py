"""A schema that has nothing to do with ours: harbours, boats and voyages, with tables of their own for as long as a
test lasts. Boats that have an owner are seen by nobody else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from graphql import DocumentNode, OperationDefinitionNode, build_schema, execute, parse, validate
from sqlalchemy import BigInteger, MetaData, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from planner.connections import Connections
from planner.declarations import (
    AllById,
    AnyById,
    ById,
    Catalog,
    Computed,
    Filter,
    FromColumn,
    Ids,
    Listing,
    Many,
    OfViewer,
    One,
    Pages,
    SameRow,
    Shape,
)
from planner.keyset import Order
from planner.reads import CompiledReads, Operation, Who

SDL = """
interface Node { id: ID! }
type Harbour implements Node {
  id: ID! name: String! depth: Float
  boats(first: Int, after: String, last: Int, before: String): BoatConnection!
}
type Boat implements Node {
  id: ID! name: String! rig: Rig! tonnage: Int home: Harbour away: Harbour! homeDepth: Float
  hail(times: Int! = 1, to: String, rig: Rig = SLOOP): String! anchor: Anchor crew: [Sailor!]!
  voyages: [Voyage!]! ports: [String!]! weather: String
}
type Anchor { metres: Float! }
type Voyage { number: Int! destination: String! boat: Boat! }
type Sailor implements Node { id: ID! name: String! }
type BoatConnection { nodes: [Boat!]! edges: [BoatEdge!]! pageInfo: PageInfo! totalCount: Int! }
type BoatEdge { node: Boat! cursor: String! }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
enum Rig { SLOOP KETCH }
enum BoatOrder { BY_NAME HEAVIEST }
input BoatFilter { rig: Rig names: [String!] under: Int }
type Query {
  harbour(id: ID!): Harbour node(id: ID!): Node nodes(ids: [ID!]!): [Node]! me: Sailor
  boats(first: Int, after: String, last: Int, before: String, filter: BoatFilter, orderBy: BoatOrder): BoatConnection!
  tide: Float! current(knots: Int): Float
}
"""
TABLES = """
create schema sea;
create table sea.harbours (id uuid primary key, name text not null, depth float8);
create table sea.sailors (id uuid primary key, name text not null);
create table sea.boats (id uuid primary key, name text not null, rig text not null, tonnage bigint, home_id uuid,
  away_id uuid not null, owner_id uuid, anchor float8);
create table sea.voyages (id uuid primary key, boat_id uuid not null, number smallint not null, destination text);
alter table sea.boats enable row level security;
alter table sea.boats force row level security;
create policy seen on sea.boats using (owner_id is null or owner_id::text = current_setting('app.user_id', true))
  with check (true);
"""


class Table(DeclarativeBase):
    metadata = MetaData(schema="sea")
    type_annotation_map = {str: Text(), UUID: Uuid()}  # noqa: RUF012 -- the name and form that SQLAlchemy asks for


class Harbour(Table):
    __tablename__ = "harbours"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    depth: Mapped[float | None]


class Sailor(Table):
    __tablename__ = "sailors"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class Boat(Table):
    __tablename__ = "boats"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    rig: Mapped[str]
    tonnage: Mapped[int | None] = mapped_column(BigInteger)
    home_id: Mapped[UUID | None]
    away_id: Mapped[UUID]
    owner_id: Mapped[UUID | None]
    anchor: Mapped[float | None]


class Voyage(Table):
    __tablename__ = "voyages"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    boat_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(SmallInteger)
    destination: Mapped[str | None]


def hail(env: Mapping[str, str], name: str, times: int, to: str | None = None, rig: str = "") -> str:
    return f"{env['greeting']}, {name} ({rig}){' to ' + to if to else ''}! " * times


def same(_env: object, value: Any) -> Any:
    return value


BY_NUMBER = Order("number", (Voyage.number,), descending=False)
BY_NAME = Order("name", (Boat.name, Boat.id), descending=False)
HEAVIEST = Order("heaviest", (Boat.tonnage, Boat.id), descending=True)


def within(choices: Mapping[str, Any], viewer: Any, given: Mapping[str, Any]) -> list[Any]:
    conditions = [Boat.rig == choices["rig"]] if "rig" in choices else []
    conditions += [Boat.name == given["names"].any_()] if "names" in given else []
    return conditions + ([Boat.tonnage < given["under"]] if "under" in given else [])


BOATS = Listing(
    rows=Boat,
    within=within,
    filters={"names": Filter(ARRAY(Text()), lambda names: names), "under": Filter(BigInteger(), lambda tons: tons)},
    orders={"BY_NAME": BY_NAME, "HEAVIEST": HEAVIEST},
    default_order="BY_NAME",
)
SHAPES = (
    Shape(
        "Harbour",
        Harbour,
        Harbour.id,
        {
            "id": FromColumn(Harbour.id),
            "name": FromColumn(Harbour.name),
            "depth": FromColumn(Harbour.depth),
            "boats": Pages(Boat.home_id, BY_NAME),
        },
    ),
    Shape(
        "Boat",
        Boat,
        Boat.id,
        {
            "id": FromColumn(Boat.id),
            "name": FromColumn(Boat.name),
            "rig": FromColumn(Boat.rig),
            "tonnage": FromColumn(Boat.tonnage),
            "home": One(Boat.home_id),
            "away": One(Boat.away_id),
            "homeDepth": Computed((Harbour.depth,), same, path=(Boat.home_id,)),
            "hail": Computed((Boat.name,), hail),
            "anchor": SameRow(Boat.anchor),
            "voyages": Many(Voyage.boat_id, BY_NUMBER),
            "ports": Many(Voyage.boat_id, BY_NUMBER, only=Voyage.destination),
        },
        found=Boat.rig == "SLOOP",
    ),
    Shape("Anchor", Boat, Boat.id, {"metres": FromColumn(Boat.anchor)}),
    Shape(
        "Voyage",
        Voyage,
        Voyage.id,
        {
            "number": FromColumn(Voyage.number),
            "destination": FromColumn(Voyage.destination),
            "boat": One(Voyage.boat_id),
        },
    ),
    Shape("Sailor", Sailor, Sailor.id, {"id": FromColumn(Sailor.id), "name": FromColumn(Sailor.name)}),
)


def prefix(type_name: str) -> str:
    return f"{type_name}/"


def read_id(text: str) -> tuple[str, UUID] | None:
    name, _, key = text.partition("/")
    return (name, UUID(key)) if len(key) == len(str(UUID(int=0))) else None


CATALOG = Catalog(
    shapes={shape.name: shape for shape in SHAPES},
    root={"harbour": ById(), "node": AnyById(), "nodes": AllById(3), "me": OfViewer(), "boats": BOATS},
    ids=Ids(prefix, read_id),
)
OWNER = UUID(int=1)


@dataclass
class Sea:
    """`executed` are the documents that were left to execution, whole or in part."""

    reads: CompiledReads
    connection: Any
    url: str
    executed: list[DocumentNode] = field(default_factory=list)
    _operations: dict[str, Operation] = field(default_factory=dict)

    def operation(self, query: str) -> Operation:
        """The same for the same text."""
        if query not in self._operations:
            document = parse(query)
            assert validate(SCHEMA, document) == []
            [definition] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
            self._operations[query] = Operation(document, definition)
        return self._operations[query]

    async def ask(self, query: str, user: UUID | None = None, /, **variables: Any) -> dict[str, Any]:
        """The payload. Raises `LeftToExecution`."""

        async def left(document: DocumentNode) -> dict[str, Any]:
            self.executed.append(document)
            result: Any = execute(SCHEMA, document, {"tide": 1.5, "current": None}, variable_values=variables)
            return {"data": result.data}

        who = Who("user" if user else "anonymous", user)
        env = {"greeting": "Ahoy"}
        return await self.reads.answer(self.operation(query), variables, who=who, env=env, execute=left)

    async def data(self, query: str, user: UUID | None = None, /, **variables: Any) -> Any:
        """All of it, compiled."""
        payload = await self.ask(query, user, **variables)
        assert payload.keys() == {"data"}
        assert self.executed == []
        return payload["data"]

    async def add(self, table: str, **columns: Any) -> None:
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        insert = f"insert into sea.{table} ({', '.join(columns)}) values ({places})"
        await self.connection.execute(insert, *columns.values())

    async def boat(self, number: int, **columns: Any) -> None:
        given = {"name": f"boat {number}", "rig": "SLOOP", "tonnage": number, "away_id": UUID(int=1), **columns}
        await self.add("boats", id=UUID(int=number), **given)


SCHEMA = build_schema(SDL)


@asynccontextmanager
async def opened(url: str, *, most: int = 2) -> AsyncIterator[Sea]:
    """On tables that go again; two harbours stand in them."""
    connection = await asyncpg.connect(url)
    connections = Connections(partial(asyncpg.connect, url), most=most, patience=1.0)
    await connection.execute(TABLES)
    try:
        sea = Sea(CompiledReads(SCHEMA, CATALOG, connections), connection, url)
        await sea.add("harbours", id=UUID(int=1), name="Aarhus", depth=11.5)
        await sea.add("harbours", id=UUID(int=2), name="Bergen", depth=None)
        yield sea
    finally:
        await connections.aclose()
        await connection.execute("drop schema sea cascade")
        await connection.close()
