"""What an operation would cost, measured on its text in one pass, before anything is validated or run.

A fragment is measured once and remembered, so the work is linear in the document however often a fragment is
spread: twenty fragments that each spread the next one twice ask for a million fields and are refused within a
millisecond. The limiters that come with the library walk such a document without memory (731 bytes held the
event loop for 12 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
    parse,
)

from domain.errors import RequestCode, RequestFailed

PAGE_ARGUMENTS = ("first", "last")
INTROSPECTION = get_introspection_query(True, True, True, True, True, True, True)  # with all that can be asked
LEAVES_PER_POINT = 10  # ten plain fields take about as long as the object that carries them
INTROSPECTION_LIST = 5  # fields of a type, arguments of a field, values of an enum: a usual size


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for. All are counts; text is counted in characters."""

    source_chars: int = 100_000  # the longest documents that client generators make are about 20,000
    tokens: int = 5_000  # 2.5 µs each to parse, so 13 ms at most; the full introspection query has about 320
    validation_errors: int = 20  # as many as a person reads
    variable_values: int = 20_000  # 1.5 µs each to coerce; 1 MB of `[1,1,…` would hold the loop for 0.5 s
    operations: int = 20  # in one document; each is measured and validated with all the fragments it reaches
    fragments: int = 200  # validation compares them in pairs: 200 take 0.1 s, 400 take 0.4 s
    nesting: int = 60  # selection sets on one path, fragments included: keeps clear of the recursion limit
    depth: int = 15  # fields on one path; the introspection that GraphiQL sends is 15 deep
    fields: int = 1_000  # fragments expanded; the full introspection query has 232
    repeats: int = 100  # equal names in one selection, which validation compares with each other in pairs
    aliases: int = 100  # an alias runs a resolver once more past a limit that counts requests
    root_fields: int = 20  # each is a transaction or a batch of reads of its own
    cost: int = 10_000  # objects in the answer; so many take about half a second to complete
    page_size: int = 20  # of a connection that was given neither `first` nor `last`
    list_size: int = 5  # of a list without pages: a track has four stems, a generation two versions


class Measure(NamedTuple):
    """What a selection set asks for, fragments expanded."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    repeats: int = 0
    leaves: int = 0  # plain fields of this very selection set
    cost: int = 0
    listed: int = 0  # the cost of one item of each unpaged list here; the parent knows how many there are
    introspection: int = 0

    def join(self, other: Measure) -> Measure:
        depth = max(self.depth, other.depth)
        return Measure(depth, *(mine + theirs for mine, theirs in zip(self[1:], other[1:], strict=True)))

    def times(self, page: int) -> int:
        """The cost of one object with this selection, whose unpaged lists have `page` items."""
        return 1 + self.leaves // LEAVES_PER_POINT + self.cost + page * self.listed


class Estimate(NamedTuple):
    """One operation as it stands against the limits."""

    measure: Measure
    root_fields: int
    sizes: tuple[str, ...]  # variables that page sizes come from: to be estimated again with their values

    def check(self, limits: Limits, introspection_allowance: int) -> None:
        """Raises `RequestFailed(TOO_COMPLEX)` for the first limit that is passed, naming it and the value."""
        found = self.measure
        for what, value, limit, advice in (
            ("fields deep", found.depth, limits.depth, "Ask for less depth."),
            ("repeated fields", found.repeats, limits.repeats, "Select each field once."),
            ("aliases", found.aliases, limits.aliases, "Split the operation."),
            ("root fields", self.root_fields, limits.root_fields, "Split the operation."),
            ("objects", found.cost, limits.cost, "Ask for smaller pages (`first`, `last`)."),
            ("introspected fields", found.introspection, introspection_allowance, "Introspect once."),
        ):
            if value > limit:
                raise too_complex(what, value, limit, advice)


def too_complex(what: str, value: int, limit: int, advice: str) -> RequestFailed:
    text = f"The operation is too complex: {value:,} {what}, the limit is {limit:,}. {advice}"
    return RequestFailed(RequestCode.TOO_COMPLEX, text)


def survey(schema: GraphQLSchema, document: DocumentNode, limits: Limits) -> dict[int, Estimate]:
    """Estimate every operation of a document, by its index among the definitions, with default page sizes.

    The document need not be valid: unknown fields count as plain objects and a cycle of fragments counts once
    (validation reports both). Fragments that nothing spreads are measured too, because validation reads them.
    Raises `RequestFailed(TOO_COMPLEX)` when the document is too large to go on with.
    """
    walk = _Walk(schema, document, {}, limits)
    operations = {i: d for i, d in enumerate(document.definitions) if isinstance(d, OperationDefinitionNode)}
    if len(operations) > limits.operations:
        raise too_complex("operations", len(operations), limits.operations, "Send fewer at once.")
    if len(walk.fragments) > limits.fragments:
        raise too_complex("fragments", len(walk.fragments), limits.fragments, "Define fewer.")
    for name in walk.fragments:
        walk.fragment(name)
    return {index: walk.operation(operation) for index, operation in operations.items()}


def estimate(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    limits: Limits,
) -> Estimate:
    """Estimate one operation with the values of its variables (raw: what is no number is not given)."""
    declared = {
        definition.variable.name.value: _whole(definition.default_value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode)
    }
    return _Walk(schema, document, {**declared, **variables}, limits).operation(operation)


def introspection_allowance(schema: GraphQLSchema, limits: Limits) -> int:
    """Twice the price of the full introspection query in this schema: tools pass, repetition does not."""
    document = parse(INTROSPECTION)
    return 2 * max(found.measure.introspection for found in survey(schema, document, limits).values())


class _Walk:
    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], limits: Limits
    ) -> None:
        self.schema = schema
        self.variables = variables
        self.limits = limits
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.measured: dict[str, tuple[Measure, dict[str, int]]] = {}
        self.nesting = 0
        self.sizes: set[str] = set()

    def operation(self, node: OperationDefinitionNode) -> Estimate:
        found, names = self.selection(node.selection_set, self.schema.get_root_type(node.operation))
        cost = found.cost + found.listed * self.limits.list_size
        measure = found._replace(cost=cost, repeats=found.repeats + _repeats(names))
        return Estimate(measure, len(names), tuple(sorted(self.sizes)))

    def selection(self, node: SelectionSetNode, parent: GraphQLNamedType | None) -> tuple[Measure, dict[str, int]]:
        """The measure of a selection set, and how often it uses each response name (0 for a plain field:
        comparing two of those is cheap)."""
        self.nesting += 1
        if self.nesting > self.limits.nesting:
            raise too_complex("nested selections", self.nesting, self.limits.nesting, "Ask for less depth.")
        total, names = Measure(), dict[str, int]()
        for child in node.selections:
            one, theirs = self.child(child, parent)
            total = total.join(one)
            for name, count in theirs.items():
                names[name] = names.get(name, 0) + count
            if total.fields > self.limits.fields:
                raise too_complex("fields", total.fields, self.limits.fields, "Split the operation.")
        self.nesting -= 1
        return total, names

    def child(self, node: SelectionNode, parent: GraphQLNamedType | None) -> tuple[Measure, dict[str, int]]:
        if isinstance(node, FragmentSpreadNode):
            return self.fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition
            narrowed = self.schema.get_type(condition.name.value) if condition else parent
            return self.selection(node.selection_set, narrowed)
        assert isinstance(node, FieldNode)
        heavy = 1 if node.selection_set or node.arguments else 0
        return self.field(node, parent), {(node.alias or node.name).value: heavy}

    def fragment(self, name: str) -> tuple[Measure, dict[str, int]]:
        if name not in self.measured:
            self.measured[name] = Measure(), {}  # what a cycle finds when it comes back here
            if definition := self.fragments.get(name):
                parent = self.schema.get_type(definition.type_condition.name.value)
                self.measured[name] = self.selection(definition.selection_set, parent)
        return self.measured[name]

    def field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Measure:
        name, aliases = node.name.value, 1 if node.alias else 0
        inner = name in ("__schema", "__type") or (parent is not None and is_introspection_type(parent))
        if node.selection_set is None:
            return Measure(depth=1, fields=1, aliases=aliases, leaves=1, introspection=int(inner))
        definition = _definition(self.schema, parent, name)
        below, names = self.selection(node.selection_set, get_named_type(definition.type) if definition else None)
        measure = below._replace(
            depth=below.depth + 1,
            fields=below.fields + 1,
            aliases=below.aliases + aliases,
            repeats=below.repeats + _repeats(names),
            leaves=0,
            cost=0,
            listed=0,
        )
        if inner:
            items = self.introspected_items(name, definition)
            return measure._replace(introspection=items * (1 + below.introspection))
        return self.priced(measure, node, below, definition)

    def priced(self, measure: Measure, node: FieldNode, below: Measure, definition: GraphQLField | None) -> Measure:
        """`measure` with the cost of this field's objects; `below` is what is selected on each of them."""
        plain = below.times(self.limits.list_size)
        if definition is None:
            return measure._replace(cost=plain)
        is_list = is_list_type(get_nullable_type(definition.type))
        if any(name in definition.args for name in PAGE_ARGUMENTS):
            page = self.page(node)
            return measure._replace(cost=page * plain if is_list else below.times(page))
        if not is_list:
            return measure._replace(cost=plain)
        named = self.longest_list(node)
        return measure._replace(listed=plain) if named is None else measure._replace(cost=named * plain)

    def introspected_items(self, name: str, definition: GraphQLField | None) -> int:
        if definition is None or not is_list_type(get_nullable_type(definition.type)):
            return 1
        return len(self.schema.type_map) if name == "types" else INTROSPECTION_LIST

    def page(self, node: FieldNode) -> int:
        """The page size that a paged field was given, else the default. Never below one, so that no negative
        page pays for its neighbours."""
        asked = [
            value
            for argument in node.arguments or ()
            if argument.name.value in PAGE_ARGUMENTS
            and isinstance(value := self.value(argument.value), int)
            and not isinstance(value, bool)
        ]
        return max(1, *asked) if asked else self.limits.page_size

    def longest_list(self, node: FieldNode) -> int | None:
        """How many items a field names by a list argument (`nodes(ids: […])`), None when by none."""
        values = [self.value(argument.value) for argument in node.arguments or ()]
        return max((len(value) for value in values if isinstance(value, list)), default=None)

    def value(self, node: ValueNode) -> Any:
        """An integer as such, a list as something that has its length, a variable's raw value, else None."""
        if isinstance(node, IntValueNode):
            return _whole(node)
        if isinstance(node, ListValueNode):
            return list(node.values)
        if isinstance(node, VariableNode):
            self.sizes.add(node.name.value)
            return self.variables.get(node.name.value)
        return None


def _whole(node: IntValueNode) -> int:
    """The number as written; Python refuses to read more than 4,300 digits, and 10 are too many already."""
    return int(node.value) if len(node.value) <= 10 else 10**10


def _repeats(names: Mapping[str, int]) -> int:
    return sum(count - 1 for count in names.values() if count > 1)


def _definition(schema: GraphQLSchema, parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    if parent is None or not is_composite_type(parent):
        return None
    return schema.get_field(parent, name)
