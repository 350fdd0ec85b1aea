"""The SQL of one level: rows of one table, with the rows that they point to joined on, for who asks.

Every statement tells PostgreSQL who asks and reads at once:

    with viewer as materialized (select set_config('app.actor', $1, true) as actor, …)
    select … from viewer join lateral (select … where viewer.actor is not null … offset 0) as found on true

What is read depends on `viewer` (a lateral reference that no rewriting can move, as LIMIT and OFFSET fence it off), so
the settings that row-level security looks at are made before the first row is judged. `true` keeps them inside this
statement's own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Dialect,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.orm import InstrumentedAttribute, aliased, outerjoin


class _WritingConstants(PGCompiler_asyncpg):
    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **kw: Any) -> str:
        if bindparam.unique:  # a value in a condition, not a parameter with a name
            return str(self.render_literal_bindparam(bindparam, **kw))  # type: ignore[no-untyped-call]
        return str(super().visit_bindparam(bindparam, *args, **kw))  # type: ignore[no-untyped-call]


DIALECT: Dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]
DIALECT.statement_compiler = _WritingConstants

# What each request brings beside the variables of its own: names of parameters that a plan must not give to others.
ACTOR, USER, PARENTS = "actor", "user_id", "parents"

Path = tuple[InstrumentedAttribute[Any], ...]


@dataclass(frozen=True)
class Statement:
    """SQL text, and the names of its parameters in the order of their numbers."""

    text: str
    parameters: tuple[str, ...]

    def values(self, **given: Any) -> list[Any]:
        """Values by the names of the parameters, in their order."""
        return [given[name] for name in self.parameters]


class Rows:
    """The rows of one level while its plan is made: which columns of which joined rows are wanted."""

    def __init__(self, rows: type[Any]) -> None:
        self.entity = rows
        self._joined: dict[Path, Any] = {(): rows}
        self._keys: dict[Path, InstrumentedAttribute[Any]] = {}
        self._columns: dict[tuple[Path, str], int] = {}
        self._expressions: list[ColumnElement[Any]] = []

    def column(self, path: Path, wanted: InstrumentedAttribute[Any]) -> int:
        """Where in the row the value of `wanted` will be, on the row that `path` leads to."""
        place = (path, wanted.key)
        if place not in self._columns:
            self._columns[place] = len(self._expressions)
            self._expressions.append(getattr(self._joined[path], wanted.key))
        return self._columns[place]

    def text(self, path: Path, wanted: InstrumentedAttribute[Any]) -> int:
        """The same for a key as text: it is only written or sent back, and half as dear as a UUID."""
        place = (path, f"{wanted.key} as text")
        if place not in self._columns:
            self._columns[place] = len(self._expressions)
            self._expressions.append(cast(getattr(self._joined[path], wanted.key), Text()))
        return self._columns[place]

    def join(self, path: Path, key: InstrumentedAttribute[Any]) -> None:
        """Have the row at `path`, whose last step is a column with the value of `key`."""
        if path not in self._joined:
            self._joined[path], self._keys[path] = aliased(key.class_), key

    @property
    def width(self) -> int:
        return len(self._expressions)

    def select(self) -> Select[Any]:
        """All columns that were asked for, c0, c1, …, from the table and all that is joined to it."""
        expressions = self._expressions or [literal_column("true")]
        source: Any = self.entity
        statement = select(*(column.label(f"c{index}") for index, column in enumerate(expressions)))
        for path, joined in self._joined.items():
            if path:
                pointing = getattr(self._joined[path[:-1]], path[-1].key)
                source = outerjoin(source, joined, getattr(joined, self._keys[path].key) == pointing)
        return statement.select_from(source)


def for_viewer(inner: Select[Any], parent: Any = None) -> Statement:
    """The statement for a level's rows. With `parent`, those of each of many parents (the parameter PARENTS, an array
    of keys): each row begins with the number of its parent, from 1, and the rows come in the order of the parents,
    since a lateral subquery with LIMIT or OFFSET can only be joined by a nested loop."""
    viewer = (
        select(
            func.set_config("app.actor", bindparam(ACTOR, type_=Text()), true()).label("actor"),
            func.set_config("app.user_id", bindparam(USER, type_=Text()), true()).label("user_id"),
        )
        .cte("viewer")
        .prefix_with("MATERIALIZED")
    )
    fenced = inner.where(viewer.c.actor.is_not(None))
    if inner._limit_clause is None:
        fenced = fenced.offset(literal_column("0"))
    if parent is None:
        found = fenced.lateral("found")
        return compiled(select(*found.c).select_from(viewer.join(found, true())))
    keys = bindparam(PARENTS, type_=ARRAY(Uuid()))
    parents = func.unnest(keys).table_valued(column("id", Uuid()), with_ordinality="n", name="parents").render_derived()
    found = fenced.where(parent == parents.c.id).correlate(viewer, parents).lateral("found")
    source = viewer.join(parents, true()).join(found, true())
    return compiled(select(parents.c.n, *found.c).select_from(source))


def compiled(statement: Select[Any]) -> Statement:
    """The text for asyncpg. Constants are written into it, so that partial indexes match; named parameters stay."""
    made: Any = statement.compile(dialect=DIALECT)
    return Statement(str(made), tuple(made.positiontup or ()))


def limit(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=Integer())
