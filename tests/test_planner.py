"""The planner on a schema of its own: each kind of declaration, what is left to execution, and what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from planner import reads
from planner.errors import LeftToExecution
from planner.explain import explain
from planner.keyset import PageRefused
from planner.reads import Who
from tests.sea import OWNER, Sea, opened

PAGE = "nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount"


@pytest.fixture
async def sea(database_url: str) -> AsyncIterator[Sea]:
    async with opened(database_url) as sea:
        yield sea


def of(type_name: str, number: int) -> str:
    """The id of a row."""
    return f"{type_name}/{UUID(int=number)}"


async def test_columns_relations_and_what_is_computed_of_them_come_in_one_statement_a_level(sea: Sea) -> None:
    await sea.boat(1, home_id=UUID(int=1), away_id=UUID(int=2), anchor=2.5, tonnage=7)
    await sea.boat(2, rig="KETCH", tonnage=None)
    for number, destination in ((2, "Bergen"), (1, "Oslo")):
        await sea.add("voyages", id=UUID(int=number), boat_id=UUID(int=1), number=number, destination=destination)
    query = """{ boats { nodes { __typename id name rig tonnage homeDepth anchor { metres } home { id depth } ports
      away { name depth boats { totalCount } } voyages { number boat { name home { name } } } } } }"""
    first, second = (await sea.data(query))["boats"]["nodes"]
    assert list(first.items()) == [
        ("__typename", "Boat"),
        ("id", of("Boat", 1)),
        ("name", "boat 1"),
        ("rig", "SLOOP"),
        ("tonnage", 7),
        ("homeDepth", 11.5),
        ("anchor", {"metres": 2.5}),
        ("home", {"id": of("Harbour", 1), "depth": 11.5}),
        ("ports", ["Oslo", "Bergen"]),
        ("away", {"name": "Bergen", "depth": None, "boats": {"totalCount": 0}}),
        ("voyages", [{"number": number, "boat": {"name": "boat 1", "home": {"name": "Aarhus"}}} for number in (1, 2)]),
    ]
    assert {key: second[key] for key in ("tonnage", "homeDepth", "anchor", "home", "ports", "voyages")} == {
        "tonnage": None,
        "homeDepth": None,
        "anchor": None,
        "home": None,
        "ports": [],
        "voyages": [],
    }
    told = await explain(sea.reads, sea.operation(query), {}, Who("anonymous", None), {"greeting": "Ahoy"})
    # The boats; the count below `away` and its (empty) pages; ports; voyages. Rows that are pointed to are joined on.
    assert len(told.statements) == 5


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ("", {}, "Ahoy, boat 1 (SLOOP)! "),
        ("(times: 2)", {}, "Ahoy, boat 1 (SLOOP)! " * 2),
        ("(to: null, rig: KETCH)", {}, "Ahoy, boat 1 (KETCH)! "),
        ("(to: $to, rig: $rig)", {"to": "x\"'\\", "rig": "KETCH"}, "Ahoy, boat 1 (KETCH) to x\"'\\! "),
        ("(to: $to, rig: $rig)", {}, "Ahoy, boat 1 (SLOOP)! "),
        ("(to: $to, rig: $rig)", {"to": None, "rig": None}, "Ahoy, boat 1 (None)! "),
        ("(times: $times)", {"times": 0}, ""),
        ("(times: $times)", {}, "Ahoy, boat 1 (SLOOP)! " * 3),
    ],
)
async def test_computations_take_arguments_as_literals_variables_and_defaults(
    sea: Sea, arguments: str, variables: dict[str, Any], expected: str
) -> None:
    await sea.boat(1)
    declared = {name: f"${name}: {kind}" for name, kind in KINDS.items() if f"${name}" in arguments}
    head = f"query ({', '.join(declared.values())}) " if declared else ""
    found = await sea.data(f"{head}{{ boats {{ nodes {{ hail{arguments} }} }} }}", **variables)
    assert found["boats"]["nodes"] == [{"hail": expected}]


KINDS = {"to": "String", "rig": "Rig", "times": "Int! = 3"}


async def test_lists_are_paged_in_both_directions_by_any_order_and_give_each_row_once(sea: Sea) -> None:
    for number in range(1, 8):
        await sea.boat(number, name=f"boat {number % 3}", tonnage=number // 3, home_id=UUID(int=1))
    for order in ("BY_NAME", "HEAVIEST"):
        query = f"""query ($first: Int, $after: String, $last: Int, $before: String) {{ boats(first: $first,
          after: $after, last: $last, before: $before, orderBy: {order}) {{
            edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
        everything = [edge["node"]["id"] for edge in (await sea.data(query))["boats"]["edges"]]
        assert len(everything) == 7
        for backward in (False, True):
            assert await walked(sea, query, backward=backward) == everything


async def walked(sea: Sea, query: str, *, backward: bool) -> list[str]:
    size, past, end = ("last", "before", "startCursor") if backward else ("first", "after", "endCursor")
    found: list[str] = []
    turn: dict[str, Any] = {size: 2}
    while True:
        page = (await sea.data(query, **turn))["boats"]
        ids = [edge["node"]["id"] for edge in page["edges"]]
        found = ids + found if backward else found + ids
        info = page["pageInfo"]
        assert info["hasNextPage" if backward else "hasPreviousPage"] is (past in turn)
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return found
        turn[past] = info[end]


async def test_pages_below_rows_are_each_parents_own(sea: Sea) -> None:
    for number in range(1, 6):
        await sea.boat(number, home_id=UUID(int=1 + number % 2))
    query = f"""query ($n: Int, $ids: [ID!]!) {{ nodes(ids: $ids) {{
      ... on Harbour {{ boats(first: $n) {{ {PAGE} }} }} }} }}"""
    bergen, aarhus = (await sea.data(query, n=2, ids=[of("Harbour", 2), of("Harbour", 1)]))["nodes"]
    assert [node["name"] for node in bergen["boats"]["nodes"]] == ["boat 1", "boat 3"]
    assert [node["name"] for node in aarhus["boats"]["nodes"]] == ["boat 2", "boat 4"]
    assert (bergen["boats"]["totalCount"], aarhus["boats"]["totalCount"]) == (3, 2)
    assert (bergen["boats"]["pageInfo"]["hasNextPage"], aarhus["boats"]["pageInfo"]["hasNextPage"]) == (True, False)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, [1, 2, 3]),
        ({}, [1, 2, 3]),
        ({"rig": "KETCH"}, [2]),
        ({"rig": None, "names": None}, [1, 2, 3]),
        ({"names": ["boat 3", "boat 1"]}, [1, 3]),
        ({"names": []}, []),
        ({"under": 3, "rig": "SLOOP"}, [1]),
    ],
)
async def test_filters_are_the_schemas_own_conditions(sea: Sea, filter: Any, expected: list[int]) -> None:
    for number in (1, 2, 3):
        await sea.boat(number, rig="KETCH" if number == 2 else "SLOOP")
    found = await sea.data("query ($filter: BoatFilter) { boats(filter: $filter) { nodes { id } } }", filter=filter)
    assert [node["id"] for node in found["boats"]["nodes"]] == [of("Boat", number) for number in expected]


async def test_ids_find_rows_of_their_type_that_may_be_found(sea: Sea) -> None:
    await sea.boat(1)
    await sea.boat(2, rig="KETCH")
    query = """query ($id: ID!) { harbour(id: $id) { name } node(id: $id) { __typename id ... on Boat { name } } }"""
    for id, harbour, node in (
        (
            of("Harbour", 1),
            {"name": "Aarhus"},
            {"__typename": "Harbour", "id": of("Harbour", 1)},
        ),
        (
            of("Boat", 1),
            None,
            {"__typename": "Boat", "id": of("Boat", 1), "name": "boat 1"},
        ),
        (of("Boat", 2), None, None),
        (of("Boat", 9), None, None),
        (of("Voyage", 1), None, None),
        (of("Anchor", 1), None, None),
        (of("Ship", 1), None, None),
        ("what", None, None),
    ):
        assert await sea.data(query, id=id) == {"harbour": harbour, "node": node}
    several = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    found = await sea.data(
        several,
        ids=[
            of("Boat", 1),
            of("Harbour", 2),
            of("Boat", 1),
        ],
    )
    assert found == {
        "nodes": [
            {"id": of("Boat", 1)},
            {"id": of("Harbour", 2)},
            {"id": of("Boat", 1)},
        ]
    }
    with pytest.raises(LeftToExecution):
        await sea.ask(several, ids=[of("Boat", 1)] * 4)


async def test_the_viewer_goes_with_each_statement_and_no_further(sea: Sea) -> None:
    await sea.boat(1, owner_id=OWNER)
    await sea.boat(2)
    await sea.add("sailors", id=OWNER, name="Ann")
    query = "{ me { name } boats { totalCount nodes { id } } }"
    for _ in range(3):
        own = await sea.data(query, OWNER)
        assert own == {
            "me": {"name": "Ann"},
            "boats": {
                "totalCount": 2,
                "nodes": [
                    {"id": of("Boat", 1)},
                    {"id": of("Boat", 2)},
                ],
            },
        }
        for stranger in (None, UUID(int=7)):
            found = await sea.data(query, stranger)
            assert found == {
                "me": None,
                "boats": {"totalCount": 1, "nodes": [{"id": of("Boat", 2)}]},
            }
    async with sea.reads.connections.one() as connection:
        assert await connection.fetchval("select current_setting('app.user_id', true)") in (None, "")


async def test_single_fields_that_are_not_declared_are_executed_and_stand_in_their_places(sea: Sea) -> None:
    await sea.boat(1)
    query = "query ($n: Int) { a: tide __typename boats { totalCount } current(knots: $n) tide ...F } "
    payload = await sea.ask(
        query + 'fragment F on Query { harbour(id: "Harbour/00000000-0000-0000-0000-000000000001") { name } t: tide }',
        n=1,
    )
    assert list(payload["data"].items()) == [
        ("a", 1.5),
        ("__typename", "Query"),
        ("boats", {"totalCount": 1}),
        ("current", None),
        ("tide", 1.5),
        ("harbour", {"name": "Aarhus"}),
        ("t", 1.5),
    ]
    assert len(sea.executed) == 1


async def test_a_field_with_something_undeclared_below_is_executed_and_the_others_are_not(sea: Sea) -> None:
    with pytest.raises(LeftToExecution):
        await sea.ask("{ boats { nodes { name weather } } }")
    with pytest.raises(LeftToExecution):
        await sea.ask("{ tide }")
    assert sea.reads.answered == 0
    plan, _ = sea.reads.plan(sea.operation("{ tide me { name } boats { nodes { crew { id } } } }"), {}, signed_in=False)
    assert plan.roots.keys() == {"me"}
    assert plan.rest is not None


@pytest.mark.parametrize(
    "variables",
    [
        {"id": of("Boat", 1), "first": 1.0},
        {"id": of("Boat", 1), "first": "1"},
        {"id": of("Boat", 1), "first": True},
        {"id": of("Boat", 1), "first": 2**31},
        {"id": of("Boat", 1), "first": -1},
        {"id": of("Boat", 1), "first": 101},
        {"id": 5},
        {"id": None},
        {},
    ],
)
async def test_whatever_execution_would_refuse_or_coerce_is_left_to_it(sea: Sea, variables: dict[str, Any]) -> None:
    query = "query ($first: Int, $id: ID!) { boats(first: $first) { totalCount } node(id: $id) { id } }"
    with pytest.raises(LeftToExecution):
        await sea.ask(query, **variables)
    assert sea.reads.left == 1


async def test_cursors_of_other_lists_are_refused(sea: Sea) -> None:
    await sea.boat(1)
    cursor = (await sea.data("{ boats { pageInfo { endCursor } } }"))["boats"]["pageInfo"]["endCursor"]
    query = "query ($cursor: String) { boats(after: $cursor, orderBy: HEAVIEST) { totalCount nodes { id } } }"
    with pytest.raises(PageRefused):
        await sea.ask(query, cursor=cursor)


async def test_rows_that_cannot_be_told_are_left_to_execution(sea: Sea) -> None:
    await sea.boat(1, tonnage=2**31, away_id=UUID(int=9))
    await sea.add("voyages", id=UUID(int=1), boat_id=UUID(int=1), number=1, destination=None)
    for selection in ("tonnage", "away { name }", "ports", "voyages { destination }"):
        with pytest.raises(LeftToExecution):
            await sea.ask(f"{{ boats {{ nodes {{ {selection} }} }} }}")
    assert (await sea.data("{ boats { nodes { name } } }"))["boats"]["nodes"] == [{"name": "boat 1"}]


async def test_variables_that_are_absent_null_and_given_have_plans_of_their_own(sea: Sea) -> None:
    for number in (1, 2, 3):
        await sea.boat(number)
    query = """query ($after: String, $skip: Boolean = false) { boats(first: 1, after: $after) {
      nodes { id n: name @skip(if: $skip) } pageInfo { endCursor } } }"""
    first = (await sea.data(query))["boats"]
    assert await sea.data(query, after=None) == {"boats": first}
    second = (await sea.data(query, after=first["pageInfo"]["endCursor"], skip=True))["boats"]
    assert second["nodes"] == [{"id": of("Boat", 2)}]
    assert await sea.data(query) == {"boats": first}


async def test_hostile_queries_cannot_make_more_be_remembered_than_there_is_room_for(
    sea: Sea, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MOST_PLANS", 10)
    used = sea.operation("{ boats { totalCount } }")
    plan, _ = sea.reads.plan(used, {}, signed_in=False)
    filtered = "query ($by: BoatFilter) { boats(filter: $by) { totalCount } }"
    for number in range(30):
        await sea.data(f"{{ boats {{ a{number}: totalCount }} }}")
        await sea.data(filtered, by={"under": 1} if number % 2 else {})
        assert sea.reads.plan(used, {}, signed_in=False)[0] is plan
    assert len(sea.reads._plans) <= 10


async def test_names_that_a_client_chooses_are_never_code(sea: Sea) -> None:
    await sea.boat(1)
    names = ["need", "float", "c0", "rows", "lists", "page", "None", "__import__", "env", "values", "v2", "a0", "k0"]
    selected = " ".join(f"{name}: name" for name in names)
    found = await sea.data(f"{{ {names[0]}: boats {{ {names[2]}: nodes {{ {selected} }} }} }}")
    assert found == {"need": {"c0": [dict.fromkeys(names, "boat 1")]}}
