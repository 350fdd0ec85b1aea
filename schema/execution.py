"""The one door through which every operation of every transport runs.

It knows graphql-core and nothing of the product: documents are parsed, measured and validated once and
remembered by their text, run with whatever context the transport made, and answered as JSON-ready
dictionaries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

import orjson
from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import Executor, create_source_event_stream, map_source_to_response_event

from domain.errors import RequestFailed
from schema.cost import Estimate, Limits, estimate, introspection_allowance, survey, too_complex

# A parsed document takes about 46 bytes for each character of its text (68 kB for the introspection
# query), so the cache stays below about 25 MB. A longer text than CACHED_CHARS is parsed each time.
CACHED_DOCUMENTS = 1_000
CACHED_CHARS_TOTAL = 512 * 1024
CACHED_CHARS = 16 * 1024

Describe = Callable[[Sequence[Exception], str], list[dict[str, Any]]]


class RequestRefused(Exception):
    """The operation was not run (syntax, validation, unknown operation, too complex, unfitting variables), or
    its event stream failed. There is no `data` to send beside `errors`."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = list(errors)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed, measured and valid document. `estimates` has one entry per operation, by definition index."""

    node: DocumentNode
    estimates: dict[int, Estimate]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a valid document, ready to run. `kind` is `query`, `mutation` or `subscription`."""

    text: str
    document: DocumentNode
    definition: OperationDefinitionNode

    @property
    def kind(self) -> str:
        return self.definition.operation.value

    @property
    def name(self) -> str | None:
        return self.definition.name.value if self.definition.name else None

    @property
    def variables(self) -> frozenset[str]:
        """The names of the variables that it declares."""
        return frozenset(d.variable.name.value for d in self.definition.variable_definitions or ())


class Execution:
    """Prepares and runs operations on one schema; built once per process.

    `describe(errors, request_id)` turns failures into a response's `errors` (see `schema.masking`); `rules`
    are validation rules beyond the specified ones; `suggest` names fields that a misspelt one may have meant.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        limits: Limits,
        describe: Describe,
        rules: Sequence[type[ASTValidationRule]] = (),
        suggest: bool = True,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._describe = describe
        self._rules = (*specified_rules, *rules)
        self._suggest = suggest
        self._allowance = introspection_allowance(schema, limits)
        self._documents = _Documents(self._read)

    def prepare(
        self, query: str, operation_name: str | None = None, variables: Mapping[str, Any] | None = None
    ) -> Operation:
        """The operation to run. Raises `RequestRefused` when the text, the name or the size does not do."""
        variables = variables or {}
        try:
            _count_values(variables, self._limits.variable_values)
            document = self._documents.get(query)
            index, definition = _choose(document.node, operation_name)
            found = document.estimates[index]
            if found.varies:
                found = estimate(self._schema, document.node, definition, variables, limits=self._limits)
            found.check(self._limits, self._allowance)
        except GraphQLError as error:
            raise RequestRefused([error]) from None
        except RequestFailed as failure:
            raise RequestRefused([GraphQLError(failure.message, original_error=failure)]) from None
        return Operation(query, document.node, definition)

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: object, *, request_id: str
    ) -> dict[str, Any]:
        """Run a query or mutation to its end: `{"data": …}`, with `errors` when fields failed. Raises
        `RequestRefused` when the variables do not fit; nothing has run then."""
        result = self._executor(operation, variables, context).execute_operation()
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)  # incremental delivery is another executor's
        return self._payload(result, request_id)

    async def subscribe(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: object, *, request_id: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The payloads of a subscription. Raises `RequestRefused` when it cannot start, and when its
        source fails on the way. Once it is closed (`aclose`, or its waiting task cancelled) the resolver's
        cleanup has run."""
        executor = self._executor(operation, variables, context)
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
            return orjson.dumps(payload)
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
        return Document(node, estimates)

    def _executor(self, operation: Operation, variables: Mapping[str, Any] | None, context: object) -> Executor[Any]:
        executor = Executor.build(
            self._schema, operation.document, None, context, dict(variables or {}), operation.name
        )
        if isinstance(executor, list):
            raise RequestRefused(executor)
        return executor

    def _payload(self, result: ExecutionResult, request_id: str) -> dict[str, Any]:
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = self._describe(result.errors, request_id)
        return payload


class _Documents:
    """Valid documents by their text, the least recently used dropped first. Refused ones are not kept."""

    def __init__(self, read: Callable[[str], Document]) -> None:
        self._read = read
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._chars = 0

    def get(self, text: str) -> Document:
        if document := self._kept.get(text):
            self._kept.move_to_end(text)
            return document
        document = self._read(text)
        if len(text) <= CACHED_CHARS:
            self._kept[text] = document
            self._chars += len(text)
        while len(self._kept) > CACHED_DOCUMENTS or self._chars > CACHED_CHARS_TOTAL:
            dropped, _ = self._kept.popitem(last=False)
            self._chars -= len(dropped)
        return document


def _choose(document: DocumentNode, name: str | None) -> tuple[int, OperationDefinitionNode]:
    operations = [(i, d) for i, d in enumerate(document.definitions) if isinstance(d, OperationDefinitionNode)]
    if name is None:
        if len(operations) > 1:
            raise GraphQLError("The document has several operations: name one of them in `operationName`.")
        if not operations:
            raise GraphQLError("The document has no operation, only fragments.")
        return operations[0]
    for index, operation in operations:
        if operation.name and operation.name.value == name:
            return index, operation
    raise GraphQLError(f"The document has no operation named {name[:100]!r}.")


def _count_values(variables: Mapping[str, Any], limit: int) -> None:
    """Raises `RequestFailed(TOO_COMPLEX)` above `limit`. Counts without recursion, and no further than
    needed."""
    waiting: list[Any] = list(variables.values())
    seen = len(waiting)
    while waiting and seen <= limit:
        value = waiting.pop()
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        seen += len(items)
        waiting.extend(items)
    if seen > limit:
        raise too_complex("variable values", seen, limit, "Send fewer at once.")
