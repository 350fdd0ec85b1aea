"""The proof that compiled reads answer as execution does: the same requests to both, byte for byte, as anybody."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    is_non_null_type,
    parse,
    type_from_ast,
    validate,
)
from structlog.testing import capture_logs

from tests.awkward import BROKEN, COVERED, EITHER, EXECUTED, SEVERAL, Case
from tests.documents import Size, Writer, plain
from tests.musician import Musician
from tests.reads_world import ANYBODY
from tests.twins import Twins, postgres15, server, twins, world_url

__all__ = ["postgres15", "server", "twins", "world_url"]  # fixtures

TESTS = Path(__file__).parent
FEWEST = 60  # queries that the other tests ask; there are more with time
LONGEST = 5_000  # characters; what is longer tests limits


@contextmanager
def nothing_breaks() -> Iterator[None]:
    """What is left to execution is left on purpose: an exception that nobody foresaw would be logged."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if line["event"] == "read.failed"] == []


def named(value: Any, twins: Twins) -> Any:
    """The same with ids and cursors for `@Track/3`, `@newest/2`."""
    if isinstance(value, str):
        known = {**twins.ids, **twins.cursors}
        return re.sub(r"@(\w+)/(\d+)", lambda found: known[found[1]][int(found[2])], value)
    if isinstance(value, dict):
        return {key: named(item, twins) for key, item in value.items()}
    return [named(item, twins) for item in value] if isinstance(value, list) else value


async def compare_each(twins: Twins, case: Case, people: Sequence[str] = ANYBODY) -> tuple[int, int]:
    """How many requests were compiled, and how many were left."""
    answered, left = twins.reads.answered, twins.reads.left
    query, asked = case
    for variables in asked:
        for by in people:
            await twins.compare(named(query, twins), named(variables, twins), by=by)
    return twins.reads.answered - answered, twins.reads.left - left


@pytest.mark.parametrize("name", COVERED)
async def test_what_the_planner_covers_is_compiled_and_has_the_same_answers(twins: Twins, name: str) -> None:
    with nothing_breaks():
        assert await compare_each(twins, COVERED[name]) == (len(COVERED[name][1]) * len(ANYBODY), 0)


@pytest.mark.parametrize("name", EXECUTED)
async def test_what_cannot_be_or_is_not_of_rows_is_executed_and_has_the_same_answers(twins: Twins, name: str) -> None:
    with nothing_breaks():
        await compare_each(twins, EXECUTED[name])
        compiled, _ = await compare_each(twins, EXECUTED[name], ["owner"])  # others may not see what fails
        assert compiled == 0


@pytest.mark.parametrize("name", EITHER)
async def test_what_may_go_either_way_has_the_same_answers(twins: Twins, name: str) -> None:
    with nothing_breaks():
        await compare_each(twins, EITHER[name])


async def test_a_field_that_breaks_while_it_is_compiled_is_logged_and_breaks_as_it_does_executed(twins: Twins) -> None:
    with capture_logs() as logs:
        await compare_each(twins, BROKEN)
    failed = [line for line in logs if line["event"] == "read.failed"]
    assert {type(line["exc_info"]) for line in failed} == {KeyError}
    assert len(failed) == 1  # the admin's; nobody else sees it


@pytest.mark.parametrize("operation", ["One", "Two", "Three", None, "Four", ""])
async def test_the_operation_that_is_named_is_the_one_that_is_answered(twins: Twins, operation: str | None) -> None:
    with nothing_breaks():
        for variables in (None, {"n": 2}, {"n": None}):
            await twins.compare_all(SEVERAL, variables, operation=operation)


async def test_those_who_may_see_something_are_told_so_that_equal_answers_are_not_equally_empty(twins: Twins) -> None:
    query, _ = COVERED["everything of a page"]
    owner, stranger, admin, newcomer, anonymous = [answer.json for answer in await twins.compare_all(query)]
    assert [len(told["data"]["tracks"]["edges"]) for told in (owner, stranger, admin, newcomer)] == [15, 3, 1, 0]
    assert len(anonymous["data"]["tracks"]["edges"]) == 15
    assert all(told["data"]["tracks"].keys() == {"edges"} and "errors" not in told for told in (owner, anonymous))


def asked_elsewhere(schema: GraphQLSchema) -> list[str]:
    """The queries that stand as literals in the tests, each once."""
    trees = (ast.parse(path.read_text()) for path in sorted(TESTS.glob("*.py")))
    texts = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [text for text in dict.fromkeys(texts) if isinstance(text, str) and _is_query(schema, text)]


def _is_query(schema: GraphQLSchema, text: str) -> bool:
    if "{" not in text or len(text) > LONGEST:
        return False
    try:
        document = parse(text, max_tokens=1_000)
    except GraphQLError:
        return False
    kinds = {node.operation.value for node in document.definitions if isinstance(node, OperationDefinitionNode)}
    return kinds == {"query"} and not validate(schema, document)


def variables_of(twins: Twins, operation: OperationDefinitionNode, dice: random.Random) -> dict[str, Any]:
    """Some for every variable; those of optional ones may be null, or missing."""
    writer = Writer(twins.schema, Musician(twins.ids, twins.cursors), dice, Size())
    found = {}
    for node in operation.variable_definitions or ():
        kind: Any = type_from_ast(twins.schema, node.type)
        if is_non_null_type(kind) or dice.random() < 0.7:
            name = node.variable.name.value
            found[name] = plain(writer.value(f"{'track' if name == 'id' else 'tracks'}.{name}", kind))
    return found


async def test_what_other_tests_ask_is_answered_alike(twins: Twins) -> None:
    queries = asked_elsewhere(twins.schema)
    assert len(queries) >= FEWEST
    before = twins.reads.answered
    with nothing_breaks():
        for text in queries:
            document = parse(text)
            operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
            name = operation.name.value if operation.name else None
            for number in range(3 if "$" in text else 1):
                variables = variables_of(twins, operation, random.Random(f"{text}/{number}"))
                await twins.compare_all(text, variables, operation=name)
    assert twins.reads.answered - before > len(queries)
