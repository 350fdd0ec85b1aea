"""Generated functions: from rows to what JSON is made of, in one list comprehension per level.

The text of a function is made of our own words, names of GraphQL (letters, digits, underscores) in quotes, and names of
values that are handed over in its namespace. Nothing that a client wrote gets in otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from planner.errors import LeftToExecution

Maker = Callable[..., list[Any]]


def need(value: Any) -> Any:
    """The value of a field that may not be null: execution says so in an error."""
    if value is None:
        raise LeftToExecution
    return value


def int32(value: int | None) -> int | None:
    """GraphQL's Int. A larger number is an error, which execution words."""
    if value is not None and not -(2**31) <= value < 2**31:
        raise LeftToExecution
    return value


def need_all(values: list[Any]) -> list[Any]:
    """A list whose items may not be null."""
    if None in values:
        raise LeftToExecution
    return values


class Assembly:
    """One generated function while it is written."""

    def __init__(self) -> None:
        self._namespace: dict[str, Any] = {"need": need, "need_all": need_all, "int32": int32}
        self._first: list[str] = []

    def name(self, value: Any) -> str:
        """A name for the value, to be used in an expression."""
        for name, known in self._namespace.items():
            if known is value:
                return name
        name = f"v{len(self._namespace)}"
        self._namespace[name] = value
        return name

    def once(self, expression: str) -> str:
        """A name for what the expression gives; it is evaluated once, before the first row."""
        name = f"a{len(self._first)}"
        self._first.append(f"    {name} = {expression}")
        return name

    def maker(self, expression: str, *, columns: int, numbered: bool, children: int) -> Maker:
        """`make(rows, children, env, values) -> list`: the expression for each row. It may use the columns c0, c1, …
        and what was loaded for the row by children, k0, k1, … Rows that are `numbered` begin with their parent's."""
        cells = ["_"] * numbered + [f"c{index}" for index in range(columns)]
        row, source = f"({', '.join(cells)},)", "rows"
        if children:
            kids = ", ".join(f"k{index}" for index in range(children))
            row, source = f"{row}, {kids}", "zip(rows, *children)"
        made: Maker = self._function("make(rows, children, env, values)", f"[{expression} for {row} in {source}]")
        return made

    def connection(self, expression: str) -> Callable[..., Any]:
        """The connection of one page, whose nodes are at start:end of the lists."""
        head = "connect(lists, start, end, has_next, has_previous, first, last, total)"
        made: Callable[..., Any] = self._function(head, expression)
        return made

    def _function(self, head: str, expression: str) -> Any:
        lines = [f"def {head}:", *self._first, f"    return {expression}"]
        made: dict[str, Any] = {}
        exec(compile("\n".join(lines), "<assembly>", "exec"), {**self._namespace, "__builtins__": BUILTINS}, made)  # noqa: S102 -- see above
        return next(iter(made.values()))


BUILTINS = {"zip": zip, "float": float, "None": None, "True": True, "False": False}


def display(items: Sequence[tuple[str, str]]) -> str:
    """A dictionary display of keys and expressions."""
    return "{" + ", ".join(f"{key!r}: {expression}" for key, expression in items) + "}"
