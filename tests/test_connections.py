"""Connections: keyset pages that give each row exactly once, whatever happens to the table, and refuse bad cursors."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from domain.errors import RequestCode, RequestFailed
from models.tracks import Track
from planner import keyset
from planner.keyset import PageArgs
from planner.writing import cursor_writer
from resolvers.pages import Page, page_args
from schema.generations import BY_VARIANT
from schema.track_lists import TRACKS
from schema.tracks import BY_NUMBER, LATEST
from tests.live import add_tracks, moment, uuid_of
from tests.studio import Person, Studio

NEWEST, OLDEST = TRACKS.orders["NEWEST"], TRACKS.orders["OLDEST"]

LIST = """
query ($first: Int, $after: String, $last: Int, $before: String, $filter: TrackFilter, $orderBy: TrackOrder) {
  tracks(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    totalCount
    nodes { id }
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
VERSIONS = """
query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  track(id: $id) {
    versions(first: $first, after: $after, last: $last, before: $before) {
      edges { cursor node { id number variant } }
      pageInfo { hasNextPage hasPreviousPage }
    }
  }
}
"""


async def page(studio: Studio, by: Person, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await studio.get(LIST, arguments, by=by)
    return found


async def code_of(studio: Studio, by: Person, **arguments: Any) -> str | None:
    """The code of the first error; None when there is none."""
    body = await studio.ask(LIST, arguments, by=by)
    return body["errors"][0]["extensions"]["code"] if "errors" in body else None


def ids(found: dict[str, Any]) -> list[str]:
    return [edge["node"]["id"] for edge in found["edges"]]


async def library(studio: Studio, owner: Person, count: int, ties: int = 4) -> list[str]:
    """Ids of so many tracks, newest first; each moment is shared by `ties` of them."""
    made = await add_tracks(studio, owner, [moment(number // ties) for number in range(count)])
    by_row = sorted(range(count), key=lambda n: (n // ties, uuid_of(made[n])), reverse=True)
    return [made[number] for number in by_row]


async def walked(studio: Studio, by: Person, size: int, *, backward: bool, **arguments: Any) -> list[str]:
    """All ids, page by page to the end, in the list's order."""
    found: list[str] = []
    cursor = None
    while True:
        turn = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        got = await page(studio, by, **turn, **arguments)
        info = got["pageInfo"]
        found = ids(got) + found if backward else found + ids(got)
        assert info["hasNextPage" if backward else "hasPreviousPage"] is (cursor is not None)
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return found
        cursor = info["startCursor" if backward else "endCursor"]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("order", ["NEWEST", "OLDEST"])
async def test_pages_in_either_direction_give_every_row_once_although_moments_are_shared(
    studio: Studio, order: str, backward: bool
) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    newest_first = await library(studio, owner, 11)
    await library(studio, stranger, 3)
    expected = newest_first if order == "NEWEST" else newest_first[::-1]
    for size in (1, 2, 3, 4, 11, 100):
        assert await walked(studio, owner, size, backward=backward, orderBy=order) == expected


@pytest.mark.parametrize("backward", [False, True])
async def test_rows_that_stay_are_given_exactly_once_while_others_come_and_go(studio: Studio, backward: bool) -> None:
    owner = await studio.register("owner")
    stay = await library(studio, owner, 24)
    come_and_go = await library(studio, owner, 24)
    dice = random.Random(5)
    seen: list[str] = []
    cursor = None
    while True:
        turn = {"last": 3, "before": cursor} if backward else {"first": 3, "after": cursor}
        got = await page(studio, owner, **turn)
        seen += ids(got)
        if not got["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]:
            break
        cursor = got["pageInfo"]["startCursor" if backward else "endCursor"]
        gone = [uuid_of(id) for id in dice.sample(come_and_go, 4)]
        await studio.sql("delete from tracks where id = any($1)", gone)
        await add_tracks(studio, owner, [moment(dice.randrange(0, 6)) for _ in range(2)])
    assert sorted(id for id in seen if id in stay) == sorted(stay)
    assert len(seen) == len(set(seen))


async def test_a_page_tells_truly_what_lies_on_either_side(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await library(studio, owner, 5)
    first = await page(studio, owner, first=2)
    assert (first["pageInfo"]["hasPreviousPage"], first["pageInfo"]["hasNextPage"]) == (False, True)
    second = await page(studio, owner, first=2, after=first["pageInfo"]["endCursor"])
    assert (second["pageInfo"]["hasPreviousPage"], second["pageInfo"]["hasNextPage"]) == (True, True)
    last = await page(studio, owner, first=2, after=second["pageInfo"]["endCursor"])
    assert (last["pageInfo"]["hasPreviousPage"], last["pageInfo"]["hasNextPage"]) == (True, False)
    await studio.sql("delete from tracks where id = any($1)", [uuid_of(id) for id in made[:2]])
    again = await page(studio, owner, first=2, after=first["pageInfo"]["endCursor"])
    assert (ids(again), again["pageInfo"]["hasPreviousPage"]) == (made[2:4], False)
    await studio.sql("delete from tracks where id = any($1)", [uuid_of(id) for id in made[4:]])
    back = await page(studio, owner, last=2, before=last["pageInfo"]["startCursor"])
    assert (ids(back), back["pageInfo"]["hasNextPage"]) == (made[2:4], False)


async def test_an_empty_page_has_no_cursors_and_a_page_of_none_still_tells_that_there_is_more(studio: Studio) -> None:
    owner = await studio.register("owner")
    empty = await page(studio, owner)
    assert empty["totalCount"] == 0
    assert empty["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }
    await library(studio, owner, 2)
    none = await page(studio, owner, first=0)
    assert (none["edges"], none["totalCount"], none["pageInfo"]["hasNextPage"]) == ([], 2, True)


async def test_a_page_has_twenty_rows_unless_told_and_a_hundred_at_most(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await library(studio, owner, 101)
    assert ids(await page(studio, owner)) == made[:20]
    assert ids(await page(studio, owner, first=100)) == made[:100]
    assert ids(await page(studio, owner, last=100)) == made[1:]
    whole = await page(studio, owner, first=1)
    assert whole["totalCount"] == 101
    before = (await page(studio, owner, last=1))["pageInfo"]["startCursor"]
    assert ids(await page(studio, owner, before=before)) == made[80:100]


@pytest.mark.parametrize(
    "arguments",
    [
        {"first": -1},
        {"last": -1},
        {"first": 101},
        {"last": 101},
        {"first": 1, "last": 1},
        {"first": 0, "last": 0},
        {"first": 1, "before": "GOOD"},
        {"last": 1, "after": "GOOD"},
        {"after": "GOOD", "before": "GOOD"},
        {"first": 1, "after": "GOOD", "before": "GOOD"},
        {"first": 1, "before": ""},
        {"after": ""},
        {"before": ""},
    ],
)
async def test_sizes_out_of_range_and_mixed_directions_are_refused(studio: Studio, arguments: dict[str, Any]) -> None:
    owner = await studio.register("owner")
    await library(studio, owner, 2)
    good = (await page(studio, owner, first=1))["pageInfo"]["endCursor"]
    filled = {name: good if value == "GOOD" else value for name, value in arguments.items()}
    assert await code_of(studio, owner, **filled) == RequestCode.BAD_USER_INPUT


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(parts), default=str)).decode().rstrip("=")


async def test_a_cursor_of_another_order_or_list_is_refused(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)
    newest = (await page(studio, owner))["pageInfo"]["endCursor"]
    found = await studio.get(VERSIONS, {"id": track["id"]}, by=owner)
    of_versions = found["versions"]["edges"][0]["cursor"]
    assert await code_of(studio, owner, after=newest) is None
    assert await code_of(studio, owner, after=newest, orderBy="OLDEST") == RequestCode.BAD_USER_INPUT
    assert await code_of(studio, owner, after=of_versions) == RequestCode.BAD_USER_INPUT
    body = await studio.ask(VERSIONS, {"id": track["id"], "after": newest}, by=owner)
    assert body["errors"][0]["extensions"]["code"] == RequestCode.BAD_USER_INPUT


NOW = "2026-03-01T12:00:00+00:00"
ID = "0192a2f0-0000-7000-8000-000000000000"
FORGED = [
    cursor(1, "newest", NOW, 5),
    cursor(1, "newest", NOW, ["x"]),
    cursor(1, "newest", NOW, None),
    cursor(1, "newest", NOW, {}),
    cursor(1, "newest", NOW),
    cursor(1, "newest", NOW, ID, 1),
    cursor(1, "newest", 5, ID),
    cursor(1, "newest", None, ID),
    cursor(1, "newest", "2026-03-01T12:00:00", ID),
    cursor(1, "newest", "0001-01-01T00:00:00+14:00", ID),
    cursor(1, "newest", "9999-12-31T23:59:59-14:00", ID),
    cursor(2, "newest", NOW, ID),
    cursor("newest", 1),
    cursor(),
    base64.b64encode(b"5").decode(),
    base64.b64encode(b'"abc"').decode(),
    base64.b64encode(b"{}").decode(),
    base64.b64encode(b"[" * 5000).decode(),
    "",
    "é",
    "\0",
    "====",
    "A" * 10_000,
]


async def test_forged_and_truncated_cursors_are_bad_input_and_never_reach_the_database(studio: Studio) -> None:
    owner = await studio.register("owner")
    await library(studio, owner, 3)
    good = (await page(studio, owner, first=1))["pageInfo"]["endCursor"]
    truncated = [good[:length] for length in range(len(good))]
    padded = [good + "x", good + "=x", "x" + good, good[::-1], good.swapcase()]
    for text in FORGED + truncated + padded:
        assert await code_of(studio, owner, after=text) == RequestCode.BAD_USER_INPUT, text


async def test_the_furthest_positions_that_a_cursor_can_name_are_only_empty_pages(studio: Studio) -> None:
    owner = await studio.register("owner")
    made = await library(studio, owner, 3)
    for text, expected in (
        (cursor(1, "newest", "0001-01-01T00:00:00+00:00", ID), []),
        (cursor(1, "newest", "9999-12-31T23:59:59.999999+00:00", ID), made),
    ):
        got = await page(studio, owner, after=text)
        assert ids(got) == expected
        assert got["pageInfo"]["hasPreviousPage"] is (expected == [])
    track = await studio.completed_track(owner)
    for number, code in ((2**15 - 1, None), (-(2**15), None), (2**15, "BAD_USER_INPUT"), (-(2**40), "BAD_USER_INPUT")):
        body = await studio.ask(VERSIONS, {"id": track["id"], "after": cursor(1, "number", number, 1)}, by=owner)
        assert (body["errors"][0]["extensions"]["code"] if "errors" in body else None) == code


def outcome(text: str, order: keyset.Order) -> str:
    """What reading a cursor comes to: its values are fit for the database, or it is refused. Nothing else."""
    try:
        values = keyset.read_cursor(order, text)
    except keyset.PageRefused:
        return "refused"
    for column, value in zip(order.columns, values, strict=True):
        kind = column.type.python_type
        assert type(value) is kind
        assert not isinstance(value, datetime) or value.utcoffset() == datetime.now(UTC).utcoffset()
    return "read"


ORDERS = st.sampled_from([NEWEST, OLDEST, BY_NUMBER, LATEST, BY_VARIANT])


@given(st.text(), ORDERS)
def test_any_text_as_a_cursor_is_bad_input(text: str, order: keyset.Order) -> None:
    assert outcome(text, order) == "refused"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=4), ORDERS)
def test_any_values_in_a_well_made_cursor_are_read_or_bad_input(values: list[Any], order: keyset.Order) -> None:
    assert outcome(cursor(1, order.name, *values), order) in ("read", "refused")


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.sampled_from([NEWEST, OLDEST]))
def test_a_row_is_read_back_from_its_cursor_to_the_microsecond(at: datetime, id: UUID, order: keyset.Order) -> None:
    track = Track(id=id, created_at=at)
    made = Page([track], False, False, order).cursor_of(track)
    assert keyset.read_cursor(order, made) == [at, id]
    assert cursor_writer(order)(at, str(id)) == made


@given(*[st.none() | st.integers(-200, 200), st.none() | st.text(max_size=3)] * 2)
def test_page_arguments_are_one_direction_and_a_size_from_0_to_100_or_refused(
    first: int | None, after: str | None, last: int | None, before: str | None
) -> None:
    sizes = [size for size in (first, last) if size is not None]
    mixed = {first is not None or after is not None, last is not None or before is not None} == {True}
    if mixed or any(not 0 <= size <= 100 for size in sizes):
        with pytest.raises(RequestFailed):
            page_args(first, after, last, before)
    else:
        backward = last is not None or before is not None
        assert page_args(first, after, last, before) == PageArgs(
            size=sizes[0] if sizes else 20, backward=backward, cursor=before if backward else after
        )


# --- lists below many parents


async def test_versions_page_forward_and_backward_below_their_track(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner)

    async def turn(**arguments: Any) -> tuple[list[tuple[int, int]], bool, bool, list[str]]:
        found = (await studio.get(VERSIONS, {"id": track["id"], **arguments}, by=owner))["versions"]
        takes = [(edge["node"]["number"], edge["node"]["variant"]) for edge in found["edges"]]
        info = found["pageInfo"]
        return takes, info["hasPreviousPage"], info["hasNextPage"], [edge["cursor"] for edge in found["edges"]]

    takes, *sides, cursors = await turn(first=1)
    assert (takes, sides) == ([(1, 1)], [False, True])
    takes, *sides, later = await turn(first=1, after=cursors[0])
    assert (takes, sides) == ([(1, 2)], [True, False])
    takes, *sides, _ = await turn(last=1)
    assert (takes, sides) == ([(1, 2)], [True, False])
    takes, *sides, _ = await turn(last=1, before=later[0])
    assert (takes, sides) == ([(1, 1)], [False, True])
    takes, *sides, _ = await turn(after=later[0])
    assert (takes, sides) == ([], [True, False])


@contextmanager
def statements(studio: Studio) -> Iterator[list[str]]:
    """What the API asks of the database within the block."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = studio.api.context.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


NESTED = """
query ($first: Int) {
  tracks(first: $first) {
    nodes {
      title audioUrl coverUrl durationSeconds waveform(points: 4) owner { username } primaryVersion { sha256 }
      versions(first: 1) { totalCount nodes { number audioUrl losslessUrl track { id } stems { kind audioUrl } } }
      generations(first: 1) { nodes { status versions { variant } } }
    }
  }
}
"""


PLAIN = "query ($first: Int) { tracks(first: $first) { nodes { versions(first: 1) { nodes { number } } } } }"


async def test_pages_below_many_tracks_are_one_statement(executing_studio: Studio) -> None:
    studio = executing_studio
    owner = await studio.register("owner")
    for _ in range(6):
        await studio.generate(owner)
    await studio.drain()
    for size in (1, 6):
        with statements(studio) as asked:
            found = await studio.get(PLAIN, {"first": size}, by=owner)
        assert [node["versions"]["nodes"] for node in found["nodes"]] == [[{"number": 1}]] * size
        assert sum("FROM versions" in text for text in asked) == 1
        assert sum("FROM tracks" in text for text in asked) == 1
    with statements(studio) as for_one:
        await studio.get(NESTED, {"first": 1}, by=owner)
    with statements(studio) as for_six:
        six = await studio.get(NESTED, {"first": 6}, by=owner)
    for node in six["nodes"]:
        (version,) = node["versions"]["nodes"]
        assert version["audioUrl"]
        assert len(version["stems"]) == 2
        assert node["generations"]["nodes"][0]["versions"]
    # Which batches meet is a matter of timing, give or take two; one statement a track would make five more.
    assert abs(len(for_six) - len(for_one)) < 5, "\n".join(for_six)
