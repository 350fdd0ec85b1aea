"""What runs: one statement for a level's rows, the levels below it, and the functions that put them together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from planner.assembly import Maker
from planner.keyset import Order, read_cursor
from planner.statements import Statement

Row = Sequence[Any]


class Connection(Protocol):
    """What statements run on; asyncpg's."""

    def fetch(self, query: str, *arguments: Any) -> Awaitable[list[Row]]: ...


@dataclass(slots=True)
class Call:
    """One request: who asks, the values of the variables, what computed fields use, and a connection to read on."""

    actor: str
    user_id: UUID | None
    values: Mapping[str, Any]
    env: Any
    connection: Connection


# A parameter's value in one request; `parents` are the keys of the rows above.
Bind = Callable[[Call, Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and where its parameters come from."""

    statement: Statement
    binds: tuple[Bind, ...]

    def rows(self, call: Call, parents: Sequence[Any] = ()) -> Awaitable[list[Row]]:
        return call.connection.fetch(self.statement.text, *[bind(call, parents) for bind in self.binds])


class Child(Protocol):
    """A level below: gives for each of the parents what stands in its object, in their order."""

    async def load(self, call: Call, parents: Sequence[Any]) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Level:
    """How rows become lists of what stands in the answer: a list for each of `makers`. `children` are loaded for the
    keys in a column of the rows."""

    makers: tuple[Maker, ...]
    children: tuple[tuple[int, Child], ...]

    async def make(self, call: Call, rows: Sequence[Row]) -> list[list[Any]]:
        loaded = []
        for index, child in self.children:
            loaded.append(await child.load(call, [row[index] for row in rows]) if rows else [])
        return [make(rows, loaded, call.env, call.values) for make in self.makers]


@dataclass(frozen=True, slots=True)
class Everything:
    """All rows below each parent."""

    query: Query
    level: Level

    async def load(self, call: Call, parents: Sequence[Any]) -> list[list[Any]]:
        rows = await self.query.rows(call, parents)
        [items] = await self.level.make(call, rows)
        found: list[list[Any]] = [[] for _ in parents]
        for row, item in zip(rows, items, strict=True):
            found[row[0] - 1].append(item)
        return found


@dataclass(frozen=True, slots=True)
class Paged:
    """A page below each parent, or one of a whole list. `query` reads one row too many, to know whether there are more;
    `behind` whether there are rows before the cursor, `total` how many rows there are without it."""

    query: Query
    level: Level
    size: Callable[[Call], int]
    backward: bool
    connect: Callable[..., Any]
    behind: Query | None
    total: Query | None

    async def load(self, call: Call, parents: Sequence[Any]) -> list[Any]:
        """A connection for each parent."""
        groups: list[list[Row]] = [[] for _ in parents]
        for row in await self.query.rows(call, parents):
            groups[row[0] - 1].append(row)
        behind = {row[0] for row in await self.behind.rows(call, parents) if row[1]} if self.behind else ()
        totals = {row[0]: row[1] for row in await self.total.rows(call, parents)} if self.total else {}
        facts = [(number in behind, totals.get(number)) for number in range(1, len(groups) + 1)]
        return await self._connect(call, groups, facts)

    async def whole(self, call: Call) -> Any:
        """The connection of a list without parents."""
        rows = await self.query.rows(call)
        behind = bool(self.behind and (await self.behind.rows(call) or [[False]])[0][0])
        total = (await self.total.rows(call))[0][0] if self.total else None
        [connection] = await self._connect(call, [rows], [(behind, total)])
        return connection

    async def _connect(self, call: Call, groups: Sequence[list[Row]], facts: Sequence[tuple[bool, Any]]) -> list[Any]:
        """Each group is a page and perhaps one row more; the rows of all pages become objects in one go."""
        size, more, rows = self.size(call), [], list[Row]()
        for group in groups:
            more.append(len(group) > size)
            del group[size:]
            if self.backward:
                group.reverse()
            rows += group
        lists = await self.level.make(call, rows)
        connections, start = [], 0
        for group, beyond, (behind, total) in zip(groups, more, facts, strict=True):
            end = start + len(group)
            first, last = (group[0], group[-1]) if group else (None, None)
            flags = (behind, beyond) if self.backward else (beyond, behind)
            connections.append(self.connect(lists, start, end, *flags, first, last, total))
            start = end
        return connections


def cursor_value(order: Order, cursor: Callable[[Call], str], index: int) -> Bind:
    """The value of one of the order's columns in the request's cursor."""
    return lambda call, _: read_cursor(order, cursor(call))[index]
