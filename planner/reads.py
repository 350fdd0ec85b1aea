"""Compiled reads: a plan per operation and shape of its variables, made once, kept while it is used, and run.

What a plan does not cover is left to ordinary execution: single top-level fields that are not declared, and the whole
operation where anything is odd, so that errors have one wording.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
)

from planner.arguments import Shapes
from planner.connections import Connections
from planner.declarations import Catalog
from planner.errors import LeftToExecution
from planner.levels import Call
from planner.objects import Asked
from planner.roots import Root, root
from planner.selections import Selected, Selections
from planner.variables import Variables

# A plan takes about 50 kB; an application has some dozens of operations, each in a few shapes.
MOST_PLANS = 500


@dataclass(eq=False)
class Operation:
    """One operation of a valid document. The same object for the same text, so that its plans are found quickly."""

    document: DocumentNode
    definition: OperationDefinitionNode
    variables: Variables | None = None


@dataclass(slots=True)
class Who:
    """Who asks, as row-level security knows it."""

    actor: str
    user_id: UUID | None


@dataclass(frozen=True)
class Plan:
    """What is compiled of an operation, by the keys of the answer; `names` are those of `__typename`. `rest` is what
    execution has to do, None when there is nothing. `keys` has all keys in the order of the answer."""

    keys: tuple[str, ...]
    roots: Mapping[str, Root]
    names: Mapping[str, str]
    rest: DocumentNode | None


# Executes a document in the ordinary way: the payload, `{"data": …}` with `errors` if there are any.
Execute = Callable[[DocumentNode], Awaitable[dict[str, Any]]]


class CompiledReads:
    """The plans of one process. `answered` counts operations that were compiled, whole or in part, `left` the rest."""

    def __init__(self, schema: GraphQLSchema, catalog: Catalog, connections: Connections) -> None:
        self._schema = schema
        self._catalog = catalog
        self.connections = connections
        self._plans: OrderedDict[Any, Plan | None] = OrderedDict()
        self.answered = 0
        self.left = 0

    async def answer(
        self, operation: Operation, raw: Mapping[str, Any], *, who: Who, env: Any, execute: Execute
    ) -> dict[str, Any]:
        """The payload. Raises `LeftToExecution` when nothing of the operation is compiled, and whatever goes wrong on
        the way: the operation is to be executed then."""
        try:
            plan, values = self.plan(operation, raw, signed_in=who.user_id is not None)
            data: dict[str, Any] = dict(plan.names)
            connection = await self.connections.acquire()
            try:
                call = Call(who.actor, who.user_id, values, env, connection)
                for key, found in plan.roots.items():
                    data[key] = await found.load(call)
            finally:
                self.connections.release(connection)
        except BaseException:
            self.left += 1
            raise
        self.answered += 1
        if plan.rest is None:
            return {"data": data if len(data) == 1 else {key: data[key] for key in plan.keys}}
        payload = await execute(plan.rest)
        if payload["data"] is not None:
            merged = {**data, **payload["data"]}
            payload["data"] = {key: merged[key] for key in plan.keys}
        return payload

    def plan(self, operation: Operation, raw: Mapping[str, Any], *, signed_in: bool) -> tuple[Plan, dict[str, Any]]:
        """The plan for these variables, and their values. Raises `LeftToExecution`."""
        if operation.variables is None:
            operation.variables = Variables(self._schema, operation.definition)
        values, shape = operation.variables.read(raw)
        key = (operation, shape, signed_in)
        try:
            plan = self._plans[key]
            self._plans.move_to_end(key)
        except KeyError:
            plan = self._plans[key] = self._compile(operation, shape, signed_in)
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        if plan is None:
            raise LeftToExecution
        return plan, values

    def _compile(self, operation: Operation, shape: tuple[Any, ...], signed_in: bool) -> Plan | None:
        assert operation.variables is not None
        kind = self._schema.query_type
        assert kind is not None
        selections = Selections(self._schema, operation.document, Shapes(operation.variables, shape))
        asked = Asked(selections, self._catalog)
        try:
            fields = selections.of([operation.definition.selection_set], kind)
        except LeftToExecution:
            return None
        names = {field.key: kind.name for field in fields if field.name == "__typename"}
        roots, rest = {}, list[Selected]()
        for field in fields:
            if field.key not in names:
                try:
                    roots[field.key] = root(asked, kind, field, signed_in=signed_in)
                except LeftToExecution:
                    rest.append(field)
        if not roots:
            return None
        document = _only(operation, rest) if rest else None
        return Plan(tuple(field.key for field in fields), roots, names, document)


def _only(operation: Operation, fields: Sequence[Selected]) -> DocumentNode:
    """The document with one operation, which asks for these top-level fields alone. Its nodes are where they were in
    the text, so that errors point at the same places."""
    nodes: list[FieldNode] = [node for field in fields for node in field.nodes]
    whole = operation.definition
    part = OperationDefinitionNode(
        operation=whole.operation,
        name=whole.name,
        variable_definitions=whole.variable_definitions,
        directives=whole.directives,
        selection_set=SelectionSetNode(selections=tuple(nodes)),
        loc=whole.loc,
    )
    fragments = [node for node in operation.document.definitions if isinstance(node, FragmentDefinitionNode)]
    return DocumentNode(definitions=(part, *fragments), loc=operation.document.loc)
