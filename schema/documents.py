"""Documents and their operations: parsed, measured and validated once, and remembered by their text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode

from planner import reads
from schema.cost import Estimate, Limits, estimate

# A parsed document takes about 46 bytes for each character of its text (68 kB for the introspection
# query), so the cache stays below about 25 MB. A longer text than CACHED_CHARS is parsed each time.
CACHED_DOCUMENTS = 1_000
CACHED_CHARS_TOTAL = 512 * 1024
CACHED_CHARS = 16 * 1024

# Page sizes that one operation was found affordable with; programs use a few.
CACHED_SIZES = 32


@dataclass(frozen=True)
class Operation:
    """One operation of a valid document, ready to run. `kind` is `query`, `mutation` or `subscription`; `variables` are
    the names that it declares; `compiled` is how the planner knows it."""

    text: str
    document: DocumentNode
    definition: OperationDefinitionNode
    kind: str
    name: str | None
    variables: frozenset[str]
    compiled: reads.Operation
    measured: Estimate
    affordable: set[tuple[Any, ...]] = field(default_factory=set)

    def check(self, schema: GraphQLSchema, variables: Mapping[str, Any], limits: Limits, allowance: int) -> None:
        """Raises `RequestFailed(TOO_COMPLEX)` when it costs too much with these variables (raw). For sizes that were
        found affordable it is not measured again."""
        sizes = tuple([_size(variables.get(name, "absent")) for name in self.measured.sizes])
        if sizes in self.affordable:
            return
        found = self.measured
        if sizes:
            found = estimate(schema, self.document, self.definition, variables, limits=limits)
        found.check(limits, allowance)
        if len(self.affordable) >= CACHED_SIZES:
            self.affordable.clear()
        self.affordable.add(sizes)


def _size(value: Any) -> Any:
    """All that an estimate sees of a variable's value."""
    if isinstance(value, list):
        return "list", len(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Document:
    """A parsed, measured and valid document, and its operations by their names; the only one is None's as well."""

    node: DocumentNode
    operations: Mapping[str | None, Operation]

    def operation(self, name: str | None) -> Operation:
        """Raises `GraphQLError` when the name chooses none."""
        try:
            return self.operations[name]
        except KeyError:
            raise _unknown(self, name) from None


def document(text: str, node: DocumentNode, estimates: Mapping[int, Estimate]) -> Document:
    """`estimates` has one entry per operation, by definition index."""
    operations: dict[str | None, Operation] = {}
    for index, measured in estimates.items():
        definition = node.definitions[index]
        assert isinstance(definition, OperationDefinitionNode)
        name = definition.name.value if definition.name else None
        operations[name] = Operation(
            text,
            node,
            definition,
            definition.operation.value,
            name,
            frozenset(d.variable.name.value for d in definition.variable_definitions or ()),
            reads.Operation(node, definition),
            measured,
        )
    if len(operations) == 1:
        [operations[None]] = operations.values()
    return Document(node, operations)


def _unknown(document: Document, name: str | None) -> GraphQLError:
    if name is not None:
        return GraphQLError(f"The document has no operation named {name[:100]!r}.")
    if document.operations:
        return GraphQLError("The document has several operations: name one of them in `operationName`.")
    return GraphQLError("The document has no operation, only fragments.")


class Documents:
    """Valid documents by their text, the least recently used dropped first. Refused ones are not kept."""

    def __init__(self, read: Callable[[str], Document]) -> None:
        self._read = read
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._chars = 0

    def get(self, text: str) -> Document:
        if found := self._kept.get(text):
            self._kept.move_to_end(text)
            return found
        found = self._read(text)
        if len(text) <= CACHED_CHARS:
            self._kept[text] = found
            self._chars += len(text)
        while len(self._kept) > CACHED_DOCUMENTS or self._chars > CACHED_CHARS_TOTAL:
            dropped, _ = self._kept.popitem(last=False)
            self._chars -= len(dropped)
        return found
