"""The one door through which every operation of every transport runs.

It knows graphql-core and nothing of the product: documents are parsed, measured and validated once and
remembered by their text, run with whatever context the transport made, and answered as JSON-ready
dictionaries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

import orjson
from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import Executor, create_source_event_stream, map_source_to_response_event

from domain.errors import RequestFailed
from planner import reads
from schema.cost import Limits, introspection_allowance, survey, too_complex
from schema.documents import Document, Documents, Operation, document

Describe = Callable[[Sequence[Exception], str], list[dict[str, Any]]]
Run = Callable[[DocumentNode], Awaitable[dict[str, Any]]]

# (operation, variables, context, what executes a part of it) → the payload, or None when it is to be executed.
Compiled = Callable[[reads.Operation, Mapping[str, Any], Any, Run], Awaitable[dict[str, Any] | None]]


class RequestRefused(Exception):
    """The operation was not run (syntax, validation, unknown operation, too complex, unfitting variables), or
    its event stream failed. There is no `data` to send beside `errors`."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = list(errors)


# (operation, variables, context) → what JSON can show of its SQL, None when it is executed.
Explain = Callable[[reads.Operation, Mapping[str, Any], Any], Awaitable[Any]]


class Execution:
    """Prepares and runs operations on one schema; built once per process.

    `describe(errors, request_id)` turns failures into a response's `errors` (see `schema.masking`); `rules`
    are validation rules beyond the specified ones; `suggest` names fields that a misspelt one may have meant.
    `compiled` answers queries without executing them; `explain` tells how, for those who may know.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        limits: Limits,
        describe: Describe,
        rules: Sequence[type[ASTValidationRule]] = (),
        suggest: bool = True,
        compiled: Compiled | None = None,
        explain: Explain | None = None,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._describe = describe
        self._rules = (*specified_rules, *rules)
        self._suggest = suggest
        self._allowance = introspection_allowance(schema, limits)
        self._documents = Documents(self._read)
        self._compiled = compiled
        self._explain = explain

    def prepare(
        self, query: str, operation_name: str | None = None, variables: Mapping[str, Any] | None = None
    ) -> Operation:
        """The operation to run. Raises `RequestRefused` when the text, the name or the size does not do."""
        variables = variables or {}
        try:
            _count_values(variables, self._limits.variable_values)
            operation = self._documents.get(query).operation(operation_name)
            operation.check(self._schema, variables, self._limits, self._allowance)
        except GraphQLError as error:
            raise RequestRefused([error]) from None
        except RequestFailed as failure:
            raise RequestRefused([GraphQLError(failure.message, original_error=failure)]) from None
        return operation

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: Any, *, request_id: str
    ) -> dict[str, Any]:
        """Run a query or mutation to its end: `{"data": …}`, with `errors` when fields failed; for `encode`. Raises
        `RequestRefused` when the variables do not fit; nothing has run then."""
        variables = variables or {}

        async def run(document: DocumentNode) -> dict[str, Any]:
            return await self._run(document, operation.name, variables, context, request_id=request_id)

        if self._compiled is not None and operation.kind == "query":
            payload = await self._compiled(operation.compiled, variables, context, run)
            if payload is not None:
                return payload
        return await run(operation.document)

    async def answer(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: Any, *, request_id: str
    ) -> bytes:
        """`execute`, as the JSON text of the response."""
        return self.encode(await self.execute(operation, variables, context, request_id=request_id), request_id)

    async def explained(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: Any, *, request_id: str
    ) -> bytes:
        """`answer`, with the SQL that it comes from in `extensions`, where that is told."""
        payload = await self.execute(operation, variables, context, request_id=request_id)
        if self._explain is not None and operation.kind == "query":
            payload["extensions"] = {"explain": await self._explain(operation.compiled, variables or {}, context)}
        return self.encode(payload, request_id)

    async def subscribe(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: object, *, request_id: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The payloads of a subscription. Raises `RequestRefused` when it cannot start, and when its
        source fails on the way. Once it is closed (`aclose`, or its waiting task cancelled) the resolver's
        cleanup has run."""
        executor = self._executor(operation.document, operation.name, variables or {}, context)
        source = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestRefused(source.errors or [])
        async with aclosing(map_source_to_response_event(executor, source)) as results:
            while True:
                try:
                    result = await anext(results)
                except StopAsyncIteration:
                    return
                except Exception as failure:
                    raise RequestRefused([failure]) from failure
                yield self._payload(result, request_id)

    def refusal(self, failure: Exception, request_id: str) -> dict[str, Any]:
        """The response, without `data`, that says why nothing was run: for `RequestRefused` and for any other
        exception that kept a transport from running the operation."""
        errors = failure.errors if isinstance(failure, RequestRefused) else [failure]
        return {"errors": self._describe(errors, request_id)}

    def encode(self, payload: Mapping[str, Any], request_id: str) -> bytes:
        """JSON. A scalar that came out as something JSON does not have is a bug: it answers `INTERNAL`."""
        try:
            return orjson.dumps(payload, option=orjson.OPT_UTC_Z)
        except TypeError as failure:
            return orjson.dumps({"data": None, **self.refusal(failure, request_id)})

    def _read(self, text: str) -> Document:
        limits = self._limits
        node = parse(
            text,
            max_lexical_tokens=limits.tokens,
            max_comments=limits.tokens,
            max_source_length=limits.source_chars,
        )
        estimates = survey(self._schema, node, limits)
        errors = validate(
            self._schema,
            node,
            self._rules,
            max_errors=limits.validation_errors,
            hide_suggestions=not self._suggest,
        )
        if errors:
            raise RequestRefused(errors)
        return document(text, node, estimates)

    async def _run(
        self,
        document: DocumentNode,
        name: str | None,
        variables: Mapping[str, Any],
        context: object,
        *,
        request_id: str,
    ) -> dict[str, Any]:
        result = self._executor(document, name, variables, context).execute_operation()
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)  # incremental delivery is another executor's
        return self._payload(result, request_id)

    def _executor(
        self, document: DocumentNode, name: str | None, variables: Mapping[str, Any], context: object
    ) -> Executor[Any]:
        executor = Executor.build(self._schema, document, None, context, dict(variables), name)
        if isinstance(executor, list):
            raise RequestRefused(executor)
        return executor

    def _payload(self, result: ExecutionResult, request_id: str) -> dict[str, Any]:
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = self._describe(result.errors, request_id)
        return payload


def _count_values(variables: Mapping[str, Any], limit: int) -> None:
    """Raises `RequestFailed(TOO_COMPLEX)` above `limit`. Counts without recursion, and no further than
    needed."""
    seen = len(variables)
    waiting = [value for value in variables.values() if isinstance(value, dict | list)]
    while waiting and seen <= limit:
        value = waiting.pop()
        items = value.values() if isinstance(value, dict) else value
        seen += len(items)
        waiting.extend(item for item in items if isinstance(item, dict | list))
    if seen > limit:
        raise too_complex("variable values", seen, limit, "Send fewer at once.")
