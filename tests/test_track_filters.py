"""Filters and orders of lists of tracks: what each one keeps, together and for whom, whatever is typed."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ids import new_id
from tests.conftest import named_database, recreate
from tests.live import add_tracks, moment, rename, uuid_of
from tests.studio import ANONYMOUS, Person, Studio
from tests.test_migrations import alembic, execute, fetch

LIST = """
query ($filter: TrackFilter, $orderBy: TrackOrder, $first: Int, $after: String, $last: Int, $before: String) {
  tracks(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    totalCount nodes { id } pageInfo { startCursor endCursor hasNextPage hasPreviousPage }
  }
}
"""
CHANGE = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { errors { message } } }"
DELETE = "mutation ($input: DeleteTrackInput!) { deleteTrack(input: $input) { errors { message } } }"
RESTORE = "mutation ($input: RestoreTrackInput!) { restoreTrack(input: $input) { errors { message } } }"


async def listed(studio: Studio, by: Person, **filter: Any) -> list[str]:
    """The ids of a list, by `filter` and by its `order`; the newest first without."""
    order = filter.pop("order", "NEWEST")
    found = await studio.get(LIST, {"filter": filter, "orderBy": order}, by=by)
    assert found["totalCount"] == len(found["nodes"])
    return [node["id"] for node in found["nodes"]]


async def refused(studio: Studio, by: Person, **filter: Any) -> str:
    """The message of a list that was refused for its filter."""
    body = await studio.ask(LIST, {"filter": filter}, by=by)
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    message: str = error["message"]
    return message


async def add(studio: Studio, owner: Person, at: int = 0, **columns: Any) -> str:
    (id,) = await add_tracks(studio, owner, [moment(at)], **columns)
    return id


async def add_version(studio: Studio, track: str, kind: str) -> None:
    """A version of this kind, by SQL: what is made of another track takes a whole generation."""
    id, version = uuid_of(track), new_id()
    rows = "select $1::uuid, user_id, id, {} from tracks where id = $2"
    for statement in (
        "insert into generations (id, user_id, track_id, kind, provider, params, retries_left) "
        + rows.format("'GENERATE', 'synth', '{}', 3"),
        "insert into media_objects (id, user_id, track_id, key, purpose, content_type, size_bytes, sha256) "
        + rows.format("'k', 'AUDIO', 'audio/mpeg', 1, 's'"),
        "insert into versions (id, user_id, track_id, generation_id, number, variant, kind, media_id, duration_ms, "
        "output_key) " + rows.format(f"$1, 1, 1, '{kind}', $1, 1, 'o'"),
        "update tracks set primary_version_id = $1, status = 'COMPLETED' where id = $2",
    ):
        await studio.sql(statement, version, id)


# --- each filter


async def test_a_filter_by_status_or_provider_keeps_those_that_have_one_of_the_values(studio: Studio) -> None:
    owner = await studio.register("owner")
    failed = await add(studio, owner, 1, status="FAILED", provider="synth")
    pending = await add(studio, owner, 2, status="PENDING", provider="suno")
    neither = await add(studio, owner, 3, status="CANCELED", provider=None)
    assert await listed(studio, owner, status=["FAILED", "PENDING", "FAILED"]) == [pending, failed]
    assert await listed(studio, owner, provider=["SYNTH"]) == [failed]
    assert await listed(studio, owner, provider=["SUNO", "FAL"]) == [pending]
    for field in ("status", "provider", "kind"):
        assert await listed(studio, owner, **{field: []}) == []
    nothing = dict.fromkeys(("status", "provider", "kind", "tags", "search", "createdAfter", "createdBefore", "scope"))
    assert await listed(studio, owner, **nothing) == [neither, pending, failed]


async def test_a_filter_by_kind_goes_by_the_primary_version(studio: Studio) -> None:
    owner = await studio.register("owner")
    cover, remix, without = [await add(studio, owner, second) for second in (1, 2, 3)]
    await add_version(studio, cover, "COVER")
    await add_version(studio, remix, "REMIX")
    assert await listed(studio, owner, kind=["COVER"]) == [cover]
    assert await listed(studio, owner, kind=["REMIX", "COVER"]) == [remix, cover]
    assert await listed(studio, owner, kind=["ORIGINAL"]) == []
    assert without in await listed(studio, owner)


async def test_what_is_generated_is_an_original_and_found_by_its_prompt(studio: Studio) -> None:
    owner = await studio.register("owner")
    track = await studio.completed_track(owner, prompt="a walk in the fog", tags=["Dub Techno"])
    assert await listed(studio, owner, kind=["ORIGINAL"], search="fog wal", tags=["dub techno"]) == [track["id"]]


async def test_a_filter_by_tags_keeps_what_carries_all_of_them_as_a_whole(studio: Studio) -> None:
    owner = await studio.register("owner")
    both = await add(studio, owner, 1, tags=["Lo-Fi", "café  noir"])
    one = await add(studio, owner, 2, tags=["lo-fi"])
    odd = await add(studio, owner, 3, tags=["🎵", "it's", "a\\b", "x & !y", "lo"])
    assert await listed(studio, owner, tags=["LO-FI"]) == [one, both]
    assert await listed(studio, owner, tags=[" lo-fi ", "Cafe  Noir"]) == [both]
    assert await listed(studio, owner, tags=["lo"]) == [odd]
    for tag in ("🎵", "IT'S", "a\\b", "x & !y"):
        assert await listed(studio, owner, tags=[tag]) == [odd], tag
    for tag in ("🎶", "its", "a", "x", "!y", "café"):
        assert await listed(studio, owner, tags=[tag]) == [], tag
    assert await listed(studio, owner, tags=[]) == [odd, one, both]


async def test_a_range_begins_at_its_first_moment_and_ends_before_its_last(studio: Studio) -> None:
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(second) for second in range(4)])
    first, last = moment(1).isoformat(), moment(3).isoformat()
    assert await listed(studio, owner, createdAfter=first, createdBefore=last) == [ids[2], ids[1]]
    assert await listed(studio, owner, createdAfter=first) == ids[:0:-1]
    assert await listed(studio, owner, createdBefore=first) == ids[:1]
    assert await listed(studio, owner, createdAfter=last, createdBefore=first) == []
    assert await listed(studio, owner, createdAfter="0001-01-01T00:00:00Z", createdBefore="9999-12-31T23:59:59Z")


# --- words


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("evening", True),
        ("EVENING rain", True),
        ("rain  evening ", True),
        ("eve", True),
        ("eve rain", False),  # the last word alone may be a beginning
        ("rain eve", True),
        ("vening", False),
        ("rain snow", False),
        ("ete", True),  # accents do not count, in the text
        ("Évening", True),  # nor in the search
        ("ete\u0301", True),
        ("lo-fi", True),
        ("fi lo", True),
        ("slow waltz", True),  # of title and tag together
        ("夜の", True),
        ("散歩", False),  # a script without spaces is found by its beginning
        ("№5", True),  # as it is written plainly
        ("no5", True),
        ("120", True),
    ],
)
async def test_a_search_finds_all_words_and_the_last_one_as_a_beginning(
    studio: Studio, search: str, found: bool
) -> None:
    owner = await studio.register("owner")
    id = await add(
        studio, owner, title="Rain, Evening (Été)", prompt="№5: slow, 120bpm – 夜の散歩", tags=["Lo-Fi", "Waltz"]
    )
    await add(studio, owner, 1, title="something else")
    assert await listed(studio, owner, search=search) == ([id] if found else [])


@pytest.mark.parametrize("search", [None, "", "   ", "🎵", '"', "&|!():*<->\\'"])
async def test_a_search_without_a_word_in_it_keeps_everything(studio: Studio, search: str | None) -> None:
    owner = await studio.register("owner")
    id = await add(studio, owner)
    assert await listed(studio, owner, search=search) == [id]


@pytest.mark.parametrize(
    "search",
    ["'rain'", '"rain evening"', "!rain", "rain:*", "rain & !", "rain | snow", "rain <-> evening", "\\rain", "%rain_"],
)
async def test_quotes_and_operators_mean_nothing(studio: Studio, search: str) -> None:
    owner = await studio.register("owner")
    both = await add(studio, owner, title="rain evening snow")
    assert await listed(studio, owner, search=search) == [both]


async def test_marks_and_tags_cannot_be_searched_for(studio: Studio) -> None:
    """They are lexemes too, but begin with what no word begins with."""
    owner = await studio.register("owner")
    await add(studio, owner, visibility="PUBLIC", tags=["calm"])
    assert await listed(studio, owner, search="@public") == []
    assert await listed(studio, owner, search=f"@{uuid_of(owner.user_id)}") == []
    assert await listed(studio, owner, tags=["#calm"]) == []


async def test_what_does_not_fit_is_refused_in_words(studio: Studio) -> None:
    owner = await studio.register("owner")
    assert "At most 200 characters" in await refused(studio, owner, search="x" * 201)
    assert "Control characters" in await refused(studio, owner, search="a\0b")
    assert "At most 20 tags" in await refused(studio, owner, tags=[f"tag {n}" for n in range(21)])
    assert "At most 50 characters" in await refused(studio, owner, tags=["x" * 51])
    assert "A tag cannot be empty" in await refused(studio, owner, tags=["calm", " "])
    assert "Control characters" in await refused(studio, owner, tags=["\x1b"])
    for field, value in (("status", "FAILED"), ("kind", "COVER"), ("provider", "SYNTH")):
        assert f"`filter.{field}` takes at most 20 values; this has 21" in await refused(
            studio, owner, **{field: [value] * 21}
        )
    assert await listed(studio, owner, search="x" * 200, tags=["x" * 50]) == []


async def test_long_words_are_found_whole_and_by_their_beginning(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await add(studio, owner, title="x" * 100, prompt="夜" * 3000, tags=["ﷺ" * 50])
    for search in ("x" * 100, "x" * 30, "夜" * 200):
        assert await listed(studio, owner, search=search) == [id]
    assert await listed(studio, owner, tags=["ﷺ" * 50]) == [id]


LETTERS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=80)


@given(texts=st.lists(LETTERS, min_size=20, max_size=60))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_written_is_found_by_itself(studio: Studio, texts: list[str]) -> None:
    found = await studio.sql(
        """select text, words_query('@x', text) is null as wordless,
             array_to_tsvector(array['@x'] || plain_words(text)) @@ words_query('@x', text) as by_words,
             array_to_tsvector(array['@x', tag_lexeme(text)]) @@ tags_query('@x', array[text]) as as_tag
           from unnest($1::text[]) text""",
        texts,
    )
    assert [row["text"] for row in found if not (row["as_tag"] and (row["by_words"] or row["wordless"]))] == []


# --- what is found stays true


async def test_a_change_is_found_at_once_and_what_was_before_no_more(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await add(studio, owner, title="before", prompt="words", tags=["old"])
    await rename(studio, owner, id, "after")
    assert await listed(studio, owner, search="before") == []
    assert await listed(studio, owner, search="after words") == [id]
    await studio.get(CHANGE, {"input": {"trackId": id, "tags": ["new"], "visibility": "PUBLIC"}}, by=owner)
    assert await listed(studio, owner, tags=["old"]) == await listed(studio, owner, search="old") == []
    assert await listed(studio, owner, tags=["new"]) == await listed(studio, ANONYMOUS, tags=["new"]) == [id]
    await studio.get(CHANGE, {"input": {"trackId": id, "visibility": "UNLISTED"}}, by=owner)
    assert await listed(studio, ANONYMOUS, tags=["new"]) == []
    await add_version(studio, id, "COVER")
    assert await listed(studio, owner, kind=["COVER"]) == [id]


async def test_the_bin_is_searched_apart_from_the_library(studio: Studio) -> None:
    owner = await studio.register("owner")
    id = await add(studio, owner, title="fog", visibility="PUBLIC")
    await studio.get(DELETE, {"input": {"trackId": id}}, by=owner)
    assert await listed(studio, owner, search="fog") == await listed(studio, ANONYMOUS, search="fog") == []
    assert await listed(studio, owner, search="fog", deleted=True) == [id]
    await studio.get(RESTORE, {"input": {"trackId": id}}, by=owner)
    assert await listed(studio, owner, search="fog") == await listed(studio, ANONYMOUS, search="fog") == [id]
    assert await listed(studio, owner, search="fog", deleted=True) == []


def test_what_was_there_before_there_were_documents_is_found(worker_id: str) -> None:
    name = f"antiphon_before_{worker_id}"
    asyncio.run(recreate(name))
    url = named_database(name)
    command.upgrade(alembic(url), "0001")
    system = "select set_config('app.actor', 'system', false);"
    id = new_id()
    asyncio.run(
        execute(
            url,
            f"""{system} insert into users (id, email, password_hash) values ('{id}', 'a@x', '');
        insert into tracks (id, user_id, title, prompt, tags, instrumental, status)
        values ('{id}', '{id}', 'Fog', '', array['calm'], true, 'PENDING')""",
        )
    )
    command.upgrade(alembic(url), "head")
    found = f"with told as materialized ({system[:-1]}) select find_tracks(words_query('@{id}', 'calm fo')) from told"
    assert asyncio.run(fetch(url, found)) == [([id],)]
    asyncio.run(execute(os.environ["TEST_DATABASE_URL"], f"drop database {name}"))


# --- together, and for whom


async def test_filters_are_combined_and_each_one_counts(studio: Studio) -> None:
    owner = await studio.register("owner")
    fits: dict[str, Any] = {"title": "rain", "tags": ["calm", "slow"], "status": "FAILED", "provider": "synth"}
    id = await add(studio, owner, 1, **fits)
    for column, other in (("title", "snow"), ("tags", ["calm"]), ("status", "PENDING"), ("provider", "suno")):
        await add(studio, owner, 2, **{**fits, column: other})
    await add(studio, owner, 30, **fits)
    asked: dict[str, Any] = {"search": "rai", "tags": ["slow", "calm"], "status": ["FAILED"], "provider": ["SYNTH"]}
    bounds = {"createdAfter": moment(1).isoformat(), "createdBefore": moment(30).isoformat()}
    assert await listed(studio, owner, **asked, **bounds) == [id]
    assert await listed(studio, owner, **asked, **bounds, kind=["ORIGINAL"]) == []


async def test_no_filter_finds_what_a_stranger_may_not_see(studio: Studio) -> None:
    owner, stranger, admin = [await studio.register(name) for name in ("owner", "stranger", "admin")]
    await studio.sql("update user_roles set role = 'ADMIN' where user_id = $1", uuid_of(admin.user_id))
    login = "mutation ($input: LoginInput!) { login(input: $input) { session { accessToken } } }"
    again = await studio.get(login, {"input": {"email": admin.email, "password": "correct horse"}})
    admin = Person(again["session"]["accessToken"])
    words: dict[str, Any] = {"title": "rain", "tags": ["calm"], "provider": "synth"}
    ids = {v: await add(studio, owner, visibility=v, **words) for v in ("PRIVATE", "UNLISTED", "PUBLIC")}
    await add_version(studio, ids["PRIVATE"], "COVER")
    filters: list[dict[str, Any]] = [
        {"search": "rain"},
        {"tags": ["calm"]},
        {"provider": ["SYNTH"]},
        {"status": ["FAILED", "COMPLETED"]},
        {"createdAfter": moment().isoformat()},
        {"kind": ["COVER"]},
    ]
    for filter in filters:
        public = [] if "kind" in filter else [ids["PUBLIC"]]
        assert await listed(studio, ANONYMOUS, **filter) == public
        for somebody in (stranger, admin):  # an admin's list is the admin's own, too
            assert await listed(studio, somebody, **filter) == []
            assert await listed(studio, somebody, **filter, deleted=True) == []
            assert await listed(studio, somebody, **filter, scope="PUBLIC") == public
        assert set(await listed(studio, owner, **filter)) == (set(ids.values()) if public else {ids["PRIVATE"]})
        assert await listed(studio, owner, **filter, scope="PUBLIC") == public


async def test_the_search_itself_finds_only_what_its_asker_may_see(studio: Studio) -> None:
    """`find_tracks` leans on nothing but its policies, whatever mark it is asked for."""
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    id = uuid_of(await add(studio, owner, title="rain"))
    ask = f"find_tracks(words_query('@{uuid_of(owner.user_id)}', 'rain'))"
    setting = "select set_config('app.actor', '{}', true), set_config('app.user_id', '{}', true)"
    for actor, user, found in (
        ("user", owner.user_id, [id]),
        ("user", stranger.user_id, []),
        ("anonymous", None, []),
        ("", None, []),
        ("admin", stranger.user_id, [id]),
        ("system", None, [id]),
    ):
        told = setting.format(actor, uuid_of(user) if user else "")
        (row,) = await studio.sql(f"with told as materialized ({told}) select case when true then {ask} end from told")
        assert row[0] == found, actor


# --- orders


@pytest.mark.parametrize("filter", [{}, {"search": "track"}, {"deleted": True}, {"scope": "PUBLIC"}])
async def test_recently_updated_pages_both_ways(studio: Studio, filter: dict[str, Any]) -> None:
    owner = await studio.register("owner")
    ids = await add_tracks(studio, owner, [moment(second) for second in range(7)], visibility="PUBLIC")
    for turn, index in enumerate((3, 0, 6, 1, 5, 2, 4)):
        await studio.sql(
            "update tracks set updated_at = $1, deleted_at = case when $2 then now() end where id = $3",
            moment(10 + turn // 2),  # some at the same moment
            bool(filter.get("deleted")),
            uuid_of(ids[index]),
        )
    whole = await listed(studio, owner, **filter, order="RECENTLY_UPDATED")
    assert set(whole) == set(ids)
    assert [whole[0], whole[-1]] == [ids[4], ids[3] if ids[3] < ids[0] else ids[0]]
    asked = {"filter": filter, "orderBy": "RECENTLY_UPDATED"}
    forward = await walked(studio, owner, asked, ("first", "after"), ("endCursor", "hasNextPage"))
    backward = await walked(studio, owner, asked, ("last", "before"), ("startCursor", "hasPreviousPage"))
    assert forward == whole
    assert backward == [*whole[5:], *whole[3:5], *whole[1:3], whole[0]]  # pages from the end, each in the list's order


async def walked(
    studio: Studio, by: Person, asked: dict[str, Any], arguments: tuple[str, str], told: tuple[str, str]
) -> list[str]:
    """The ids of page after page of two, in the order in which they come."""
    size, place = arguments
    cursor, more = told
    page = await studio.get(LIST, {**asked, size: 2}, by=by)
    ids = [node["id"] for node in page["nodes"]]
    while page["pageInfo"][more]:
        page = await studio.get(LIST, {**asked, size: 2, place: page["pageInfo"][cursor]}, by=by)
        ids += [node["id"] for node in page["nodes"]]
    return ids


async def test_what_is_changed_comes_first_of_the_recently_updated(studio: Studio) -> None:
    owner = await studio.register("owner")
    first, second = await add(studio, owner, 1), await add(studio, owner, 2)
    await rename(studio, owner, first, "new words")
    assert await listed(studio, owner, order="RECENTLY_UPDATED") == [first, second]
    assert await listed(studio, owner) == [second, first]
