"""What selection sets ask of a type: fragments spread, `@skip` and `@include` decided, equal names merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    SelectionNode,
    SelectionSetNode,
    is_abstract_type,
)

from planner.arguments import Argument, Shapes
from planner.errors import LeftToExecution

SelectionSets = Sequence[SelectionSetNode]


@dataclass(frozen=True)
class Selected:
    """One field of the answer: its key, and all nodes of the document that ask for it (with equal arguments)."""

    key: str
    nodes: tuple[FieldNode, ...]

    @property
    def name(self) -> str:
        return self.nodes[0].name.value

    @property
    def below(self) -> SelectionSets:
        return [node.selection_set for node in self.nodes if node.selection_set is not None]


class Selections:
    """Reads the selection sets of one operation, for variables of one shape."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, shapes: Shapes) -> None:
        self.schema = schema
        self._shapes = shapes
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def of(self, sets: SelectionSets, kind: GraphQLObjectType) -> list[Selected]:
        """The fields in the order of the answer."""
        found: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            self._collect(selection_set, kind, found, visited)
        return [Selected(key, tuple(nodes)) for key, nodes in found.items()]

    def arguments(self, kind: GraphQLObjectType, field: Selected) -> dict[str, Argument]:
        return self._shapes.arguments(kind.fields[field.name], field.nodes[0])

    def _collect(
        self,
        selection_set: SelectionSetNode,
        kind: GraphQLObjectType,
        found: dict[str, list[FieldNode]],
        visited: set[str],
    ) -> None:
        for node in selection_set.selections:
            if not self._wanted(node):
                continue
            if isinstance(node, FieldNode):
                found.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if self._applies(node.type_condition, kind):
                    self._collect(node.selection_set, kind, found, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition, kind):
                    self._collect(fragment.selection_set, kind, found, visited)

    def _wanted(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                raise LeftToExecution
            condition = next(argument.value for argument in directive.arguments or () if argument.name.value == "if")
            if self._shapes.is_true(condition) == (name == "skip"):
                return False
        return True

    def _applies(self, condition: NamedTypeNode | None, kind: GraphQLObjectType) -> bool:
        if condition is None or condition.name.value == kind.name:
            return True
        named = self.schema.get_type(condition.name.value)
        return named is not None and is_abstract_type(named) and self.schema.is_sub_type(named, kind)
