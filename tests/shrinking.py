"""Making a request smaller, so that what it shows is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from graphql import (
    REMOVE,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    Node,
    VariableDefinitionNode,
    Visitor,
    parse,
    print_ast,
    validate,
    visit,
)

from tests.documents import Request


def smaller(schema: GraphQLSchema, request: Request) -> Iterator[Request]:
    """The same with one thing less: a selection, an argument or a directive, and what only that had needed."""
    whole = parse(request.query)
    for number in range(_without(whole, -1)[1]):
        node = _pruned(_without(whole, number)[0])
        if not validate(schema, node):
            yield replace(request, query=print_ast(node))


REMOVABLE = ("field", "inline_fragment", "fragment_spread", "argument", "directive")


def _without(document: DocumentNode, number: int) -> tuple[DocumentNode, int]:
    """Without the removable node of that number; and how many there are."""
    seen = 0

    class Remove(Visitor):
        def enter(self, node: Node, *_: Any) -> Any:
            nonlocal seen
            if node.kind not in REMOVABLE:
                return None
            seen += 1
            return REMOVE if seen - 1 == number else None

    return visit(document, Remove()), seen


def _pruned(document: DocumentNode) -> DocumentNode:
    """Without fragments that nothing spreads and variables that nothing names."""
    text = print_ast(document)
    pruned: DocumentNode = visit(document, _Unused(text))
    return document if print_ast(pruned) == text else _pruned(pruned)


class _Unused(Visitor):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def enter_fragment_definition(self, node: FragmentDefinitionNode, *_: Any) -> Any:
        return None if re.search(rf"\.\.\.{node.name.value}\b", self._text) else REMOVE

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:
        return None if len(re.findall(rf"\${node.variable.name.value}\b", self._text)) > 1 else REMOVE
