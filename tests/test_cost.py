"""The limits on one operation, and that measuring them is cheap whatever the document says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, get_introspection_query, parse

from domain.errors import RequestCode, RequestFailed
from schema import documents
from schema.cost import INTROSPECTION, Estimate, Limits, introspection_allowance, survey
from schema.execution import Execution, RequestRefused
from schema.masking import describe_errors
from tests.transports import studio_execution

SCHEMA = build_schema("""
    type Query { track(id: ID): Track  tracks(first: Int, last: Int): Tracks!  latest(first: Int): [Track!]!
                 nodes(ids: [ID!]!): [Track]!  providers: [Provider!]! }
    type Tracks { edges: [Edge!]!  pageInfo: PageInfo!  total: Int }
    type Edge { node: Track!  cursor: String! }
    type PageInfo { hasNextPage: Boolean! }
    type Provider { name: String }
    type Track { id: ID!  title: String  parent: Track  stems: [Stem!]!  versions(first: Int): Tracks! }
    type Stem { id: ID! }
""")
LIMITS = Limits()


def measured(text: str, schema: GraphQLSchema = SCHEMA) -> Estimate:
    [estimate] = survey(schema, parse(text), LIMITS).values()
    return estimate


def execution(**changes: Any) -> Execution:
    return Execution(SCHEMA, limits=replace(LIMITS, **changes), describe=describe_errors)


def refusal(text: str, variables: dict[str, Any] | None = None, **changes: Any) -> RequestFailed:
    with pytest.raises(RequestRefused) as refused:
        execution(**changes).prepare(text, None, variables)
    [error] = refused.value.errors
    failure = error.original_error  # type: ignore[attr-defined]
    assert isinstance(failure, RequestFailed)
    assert failure.code is RequestCode.TOO_COMPLEX
    return failure


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ __typename }", 0),
        ("{ track { id } }", 1),
        ("{ track { parent { parent { id } } } }", 3),
        ("{ tracks(first: 10) { edges { node { id } } } }", 1 + 10 * 2),
        ("{ tracks(last: 7) { edges { node { id } } total } }", 1 + 7 * 2),
        ("{ tracks { edges { node { id } } } }", 1 + 20 * 2),
        ("{ tracks(first: 10) { pageInfo { hasNextPage } } }", 2),
        ("{ tracks(first: 10) { edges { node { stems { id } } } } }", 1 + 10 * (2 + 5)),
        ("{ tracks(first: 10) { edges { node { versions(first: 3) { edges { cursor } } } } } }", 1 + 10 * (2 + 1 + 3)),
        ("{ latest(first: 6) { id } }", 6),
        ("{ providers { name } }", 5),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 3),
        ("{ tracks(first: -50) { edges { cursor } } }", 2),
        ("{ a: track { id } b: track { ...F } } fragment F on Track { stems { id } }", 1 + 6),
        ("{ ... on Query { ...F } } fragment F on Query { tracks(first: 4) { edges { cursor } } }", 5),
        ("{ tracks(first: 4) { ...F } } fragment F on Tracks { edges { cursor } }", 5),
        ("{ unknown { unknown { unknown } } }", 2),
        ("{ track { id " + " ".join(f"a{n}: title" for n in range(20)) + " } }", 1 + 2),
    ],
)
def test_an_operation_costs_the_objects_of_its_answer(text, cost):
    assert measured(text).measure.cost == cost


@pytest.mark.parametrize(
    ("first", "default", "cost"),
    [(3, "", 7), (None, "", 41), (None, " = 2", 5), ("many", "", 41), (True, "", 41)],
)
def test_page_sizes_come_from_variables_and_their_defaults(first, default, cost):
    text = f"query ($n: Int{default}) {{ tracks(first: $n) {{ edges {{ node {{ id }} }} }} }}"
    variables = {} if first is None else {"n": first}
    assert execution(cost=cost).prepare(text, None, variables)
    assert str(cost) in refusal(text, variables, cost=cost - 1).message


def test_ids_in_a_variable_are_counted():
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert "30 objects, the limit is 29" in refusal(text, {"ids": ["x"] * 30}, cost=29).message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{ track " + "{ parent " * 15 + "{ id }" + " }" * 15 + " }", "17 fields deep, the limit is 15"),
        ("{ track { " + " ".join(f"a{n}: id" for n in range(101)) + " } }", "101 aliases, the limit is 100"),
        ("{ " + " ".join(f"a{n}: track {{ id }}" for n in range(21)) + " }", "21 root fields, the limit is 20"),
        ("{ track { " + "id " * 1_001 + "} }", "fields, the limit is 1,000"),
        ("{ track { " + "parent { id } " * 102 + "} }", "101 repeated fields, the limit is 100"),
        ("{ track { ...F } } fragment F on Track { " + "parent { id } " * 102 + "}", "repeated fields"),
        ("{ tracks(first: 5001) { edges { node { id } } } }", "10,003 objects, the limit is 10,000"),
        (" ".join(f"query Q{n} {{ track {{ id }} }}" for n in range(21)), "21 operations, the limit is 20"),
        ("{ track { id } } " + " ".join(f"fragment F{n} on Track {{ id }}" for n in range(201)), "201 fragments"),
    ],
)
def test_an_operation_beyond_a_limit_is_told_which_one_and_by_how_much(text, what):
    assert what in refusal(text).message


def test_hostile_variables_are_counted_before_they_are_coerced():
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert "variable values" in refusal(text, {"ids": [[1, [2, {"a": 3}]]] * 20_000}).message
    nested: list[Any] = []
    for _ in range(900):
        nested = [nested]
    with pytest.raises(RequestRefused):
        execution()._executor(execution().prepare(text, None, {"ids": nested}).document, None, {"ids": nested}, None)


@pytest.mark.parametrize("text", [INTROSPECTION, get_introspection_query(), "{ __schema { types { name } } }"])
def test_tools_may_introspect(text):
    assert execution().prepare(text)
    assert studio_execution().prepare(text)


def test_introspecting_again_and_again_is_too_complex():
    again = " ".join(f"a{n}: __schema {{ types {{ ...FullType }} }}" for n in range(3))
    text = f"{{ {again} }} {INTROSPECTION[INTROSPECTION.index('fragment') :]}"
    allowance = introspection_allowance(SCHEMA, LIMITS)
    assert measured(text).measure.introspection > allowance
    assert f"introspected fields, the limit is {allowance:,}" in refusal(text).message


def test_fragments_are_measured_once_however_often_they_are_spread():
    """40 doublings: a walk without memory would take 10¹² steps, so this test would never end."""
    bomb = " ".join(f"fragment F{n} on Track {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    text = f"{{ track {{ ...F0 }} }} {bomb} fragment F40 on Track {{ id }}"
    assert "fields, the limit is 1,000" in refusal(text).message


def test_a_chain_of_fragments_does_not_reach_the_recursion_limit():
    chain = " ".join(f"fragment F{n} on Track {{ ...F{n + 1} }}" for n in range(150))
    assert "nested selections" in refusal(f"{{ track {{ ...F0 }} }} {chain} fragment F150 on Track {{ id }}").message


def test_a_cycle_of_fragments_is_measured_and_then_reported():
    text = "{ track { ...A } } fragment A on Track { id ...B } fragment B on Track { title ...A }"
    assert measured(text).measure.fields == 3
    with pytest.raises(RequestRefused) as refused:
        execution().prepare(text)
    assert "Cannot spread fragment" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "{" + "a" * 100_001 + "}",
        "{ " + "id " * 5_001 + "}",
        "#\n" * 5_001 + "{ track { id } }",
        "{" * 1_000,
        "{ latest(first: " + "9" * 5_000 + ") { id } }",
    ],
)
def test_a_document_that_is_hard_to_read_is_refused(text):
    with pytest.raises(RequestRefused):
        execution().prepare(text)


def test_errors_of_validation_are_bounded():
    with pytest.raises(RequestRefused) as refused:
        execution().prepare("{ " + " ".join(f"unknown{n}" for n in range(500)) + " }")
    assert len(refused.value.errors) == LIMITS.validation_errors + 1


def test_a_document_is_parsed_once():
    made = execution()
    assert made.prepare("{ track { id } }").document is made.prepare("{ track { id } }").document


def test_unique_documents_do_not_grow_the_memory(monkeypatch):
    monkeypatch.setattr(documents, "CACHED_DOCUMENTS", 10)
    monkeypatch.setattr(documents, "CACHED_CHARS_TOTAL", 2_000)
    made = execution()
    kept = made._documents._kept
    for number in range(50):
        made.prepare(f"{{ a{number}: track {{ id }} }}")
    assert len(kept) == 10
    for number in range(50):
        made.prepare(f"{{ a{number}: track {{ id }} }}" + " " * 900)
    assert len(kept) == 2
    assert sum(map(len, kept)) == made._documents._chars
    made.prepare("{ track { id } }" + " " * 20_000)
    assert len(kept) == 2


def test_a_document_in_use_outlives_those_that_came_once(monkeypatch):
    monkeypatch.setattr(documents, "CACHED_DOCUMENTS", 3)
    made = execution()
    used = made.prepare("{ track { id } }").document
    for number in range(10):
        made.prepare(f"{{ a{number}: track {{ id }} }}")
        assert made.prepare("{ track { id } }").document is used
