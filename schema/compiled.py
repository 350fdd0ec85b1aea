"""What the planner is told of the schema: the same declarations that its resolvers read by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import structlog
from strawberry.types.base import get_object_definition
from strawberry.types.field import StrawberryField

from domain.errors import RequestFailed
from models.base import Row
from planner.declarations import Catalog, FromColumn, Ids, Listing, Read, Scalar, Shape, Viewer, key_of
from planner.errors import LeftToExecution
from planner.explain import explain
from planner.keyset import PageRefused
from planner.reads import CompiledReads, Execute, Operation, Who
from schema.context import RequestContext
from schema.ids import decode_id, id_prefix
from schema.nodes import OfRow, camel, plain_fields
from schema.reads import READ
from schema.scalars import write_time

log = structlog.get_logger()

# orjson writes a time as we do (with OPT_UTC_Z), but for the six digits of a whole second.
TIME = Scalar("({value} if {value}.microsecond else {write}({value}))", write_time)


def catalog(query: type[Any], shows: Mapping[type[Row], type[OfRow]], parts: tuple[type[OfRow], ...]) -> Catalog:
    """All declarations of the fields of Query, of the types that show rows, and of those that show a part of one."""
    return Catalog(
        shapes={kind.__name__: _shape(kind) for kind in (*shows.values(), *parts)},
        root={name: _root(read) for name, (_, read) in _reads(query).items() if read is not None},
        ids=Ids(prefix=id_prefix, read=decode_id),
        scalars={"DateTime": TIME},
    )


def _root(read: Read) -> Read:
    """A list's filters by their names in the schema."""
    if not isinstance(read, Listing):
        return read

    def within(choices: Mapping[str, Any], viewer: Viewer, given: Mapping[str, Any]) -> Any:
        return read.within(choices, viewer, {snake[name]: value for name, value in given.items()})

    snake = {camel(name): name for name in read.filters}
    return replace(read, within=within, filters={camel(name): wanted for name, wanted in read.filters.items()})


def _shape(kind: type[OfRow]) -> Shape:
    columns = {name: FromColumn(getattr(kind.rows, name)) for name, _ in plain_fields(kind)}  # type: ignore[arg-type]
    fields: dict[str, Read] = {}
    for name, (field, read) in _reads(kind).items():
        found = read or columns.get(field.python_name)
        if found is not None:
            fields[name] = found
    key = key_of(kind.rows)
    if "id" in _reads(kind):
        fields["id"] = FromColumn(key)
    return Shape(kind.__name__, kind.rows, key, fields, kind.found)


def _reads(kind: type[Any]) -> dict[str, tuple[StrawberryField, Read | None]]:
    """The fields by their names in the schema, with their declarations. A permission is asked by a resolver alone, so a
    field that has one has no declaration."""
    definition = get_object_definition(kind, strict=True)
    return {
        field.graphql_name or camel(field.python_name): (field, None if _guarded(field) else field.metadata.get(READ))
        for field in definition.fields
    }


def _guarded(field: StrawberryField) -> bool:
    return bool(field.permission_classes or field.extensions)


class CompiledQueries:
    """Answers queries by the planner. What it cannot answer, for whatever reason, is executed."""

    def __init__(self, reads: CompiledReads, outages: tuple[type[Exception], ...]) -> None:
        self.reads = reads
        self._expected: tuple[type[Exception], ...] = (LeftToExecution, PageRefused, RequestFailed, *outages)

    async def __call__(
        self, operation: Operation, variables: Mapping[str, Any], context: RequestContext, execute: Execute
    ) -> dict[str, Any] | None:
        try:
            return await self.reads.answer(operation, variables, who=_who(context), env=context, execute=execute)
        except Exception as failure:
            if not isinstance(failure, self._expected):
                log.error("read.failed", exc_info=failure)
            return None

    async def explain(
        self, operation: Operation, variables: Mapping[str, Any], context: RequestContext
    ) -> dict[str, Any] | None:
        """The SQL that answers the query, with plans; None when it is executed."""
        try:
            return asdict(await explain(self.reads, operation, variables, _who(context), context))
        except self._expected:
            return None


def _who(context: RequestContext) -> Who:
    viewer = context.ctx.viewer
    return Who(viewer.kind, viewer.user_id)
