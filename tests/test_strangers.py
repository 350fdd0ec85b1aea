"""Strangers: every root field, asked with what belongs to another, answers as if that did not exist.

The fields are walked by introspection, so one that is added later is asked as well.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core.pool import WorkPool
from models import Row
from schema.build import NODE_TYPES, build_schema
from schema.ids import encode_id
from tests.asking import Question, questions
from tests.conftest import TEMPLATE, named_database, recreate
from tests.live import socket, uuid_of
from tests.scripted import running
from tests.studio import ANONYMOUS, Person, Studio, open_studio

SCHEMA = build_schema()
SECRET = "unmistakable words of the owner"
NOBODY = UUID("00000000-0000-7000-8000-000000000000")
SILENCE = 1.0  # seconds in which a subscription that hears nothing must have heard nothing
GARBAGE = [
    "",
    " ",
    "nonsense",
    "\0",
    "é" * 50,
    "A" * 10_000,
    "Track_" + "0" * 10_000,
    "Track_not-a-uuid",
    "Track_\0",
    f"Query_{NOBODY}",
    f"Track:{NOBODY}",
    f"Track_{NOBODY}".upper(),
]
DELETE = "mutation ($input: DeleteTrackInput!) { deleteTrack(input: $input) { errors { message } } }"
RENAME = "mutation ($input: UpdateTrackInput!) { updateTrack(input: $input) { errors { message } } }"
WORDS = {"title": SECRET, "prompt": SECRET, "lyrics": SECRET, "tags": [SECRET]}


async def objects_of(studio: Studio, person: Person) -> dict[str, list[str]]:
    """A person's ids by type, from the tables."""
    found: dict[str, list[str]] = {}
    for name, shows in NODE_TYPES.items():
        owner = "id" if name == "User" else "user_id"
        rows = await studio.sql(
            f"select id from {shows.rows.__tablename__} where {owner} = $1 order by id", uuid_of(person.user_id)
        )
        found[name] = [str(encode_id(name, row["id"])) for row in rows]
    return found


async def furnished(studio: Studio) -> tuple[Person, dict[str, list[str]]]:
    """Somebody with a track of each kind: completed, under way, and deleted; all private."""
    owner = await studio.register("owner")
    await studio.completed_track(owner, **WORDS)
    deleted = await studio.completed_track(owner, **WORDS)
    await studio.get(DELETE, {"input": {"trackId": deleted["id"]}}, by=owner)
    studio.provider.updates.append(running())
    await studio.generate(owner, **WORDS)
    objects = await objects_of(studio, owner)
    assert {name: len(ids) for name, ids in objects.items()} == {
        "User": 1,
        "Track": 3,
        "TrackVersion": 4,
        "Stem": 8,
        "Generation": 3,
    }
    # Of versions and stems the first and the last: one of the track that is there, one of the deleted one.
    return owner, {name: ids if len(ids) < 4 else [ids[0], ids[-1]] for name, ids in objects.items()}


async def rows(studio: Studio) -> dict[str, list[str]]:
    """All that is stored."""
    return {
        table.name: [row[0] for row in await studio.sql(f"select row_to_json(t)::text from {table.name} t order by 1")]
        for table in Row.metadata.sorted_tables
    }


def plain(answer: Any, asked: str) -> str:
    """An answer without what differs anyway: the request's id, cursors, and the id that was asked for."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stripped(inner) for key, inner in value.items() if key not in ("requestId", "cursor")}
        return [stripped(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(stripped(answer), sort_keys=True).replace(asked, "…")


class Walk:
    """Asks every field as somebody; `leaks` says what an answer gave away."""

    def __init__(self, studio: Studio, by: Person, own: Mapping[str, list[str]]) -> None:
        self.studio, self.by, self.own = studio, by, own
        self.leaks: list[str] = []

    def pick(self, id: str, slot: str, path: str) -> str:
        """`id` for `slot`; for others something of the asker's own, if one can tell by the name what belongs there."""
        noun = path.rpartition(".")[2].removesuffix("Id").lower()
        fits = [ids[0] for name, ids in self.own.items() if ids and name.lower().endswith(noun)]
        return fits[0] if path != slot and fits else id

    async def answer(self, question: Question, id: str, slot: str) -> str:
        variables = question.variables(lambda path: self.pick(id, slot, path))
        body = await self.studio.ask(question.text, variables, by=self.by)
        self.judge(question, body)
        return plain(body, id)

    def judge(self, question: Question, body: Any) -> None:
        text = json.dumps(body)
        if SECRET in text:
            self.leaks.append(f"{question.name} shows the owner's words")
        if '"INTERNAL"' in text:
            self.leaks.append(f"{question.name} breaks: {text[:500]}")

    async def ask(self, question: Question, objects: Mapping[str, list[str]]) -> None:
        """Each thing of the owner's must be answered for like a thing that does not exist."""
        for slot in question.slots:
            for name in NODE_TYPES:
                control = await self.answer(question, str(encode_id(name, NOBODY)), slot)
                if '"data"' not in control:
                    self.leaks.append(f"{question.name} was not asked at all: {control}")
                other = "User" if name == "Track" else "Track"
                for id in (*objects[name], str(encode_id(name, uuid_of(objects[other][0])))):
                    if await self.answer(question, id, slot) != control:
                        self.leaks.append(f"{question.name}({slot}) tells that a {name} exists")
            for id in GARBAGE:
                await self.answer(question, id, slot)

    async def listen(
        self, question: Question, objects: Mapping[str, list[str]], *, address: str, poke: Callable[[], Awaitable[None]]
    ) -> None:
        """The same for a subscription, while `poke` lets something happen to the owner's things."""
        (slot,) = question.slots
        ids = {name: str(encode_id(name, NOBODY)) for name in NODE_TYPES}
        ids |= {f"{name} {number}": id for name, found in objects.items() for number, id in enumerate(found)}
        ids |= {f"garbage {number}": id for number, id in enumerate(GARBAGE)}
        heard: dict[str, list[str]] = defaultdict(list)
        async with socket(address, self.by) as live:
            for operation, id in ids.items():
                variables = question.variables(lambda path, id=id: self.pick(id, slot, path))  # type: ignore[misc]
                await live.subscribe(question.text, id=operation, **variables)
                heard[operation].append(plain((await live.message())["payload"], id))
            await poke()
            while True:
                try:
                    message = await live.message(seconds=SILENCE)
                except TimeoutError:
                    break
                self.judge(question, message)
                heard[message["id"]].append(plain(message["payload"], ids[message["id"]]))
        for name, found in objects.items():
            for number in range(len(found)):
                if heard[f"{name} {number}"] != heard[name]:
                    self.leaks.append(f"{question.name} tells of a {name}: {heard[f'{name} {number}']}")


async def leaks(studio: Studio) -> list[str]:
    """What strangers, with an account and without, learn or change by asking every field about another's things."""
    owner, objects = await furnished(studio)
    stranger = await studio.register("stranger")
    await studio.completed_track(stranger)

    async def poke() -> None:
        for id in objects["Track"]:
            await studio.get(RENAME, {"input": {"trackId": id, "title": f"{SECRET}, again"}}, by=owner)

    found = []
    async with studio.served() as address:
        for by in (stranger, ANONYMOUS):
            walk = Walk(studio, by, await objects_of(studio, by) if by.token else {})
            before = await rows(studio)
            for question in questions(SCHEMA):
                if question.slots and question.kind != "subscription":
                    await walk.ask(question, objects)
            after = await rows(studio)
            walk.leaks += [f"rows of {table} were changed" for table in after if after[table] != before[table]]
            for question in questions(SCHEMA):
                if question.slots and question.kind == "subscription":
                    await walk.listen(question, objects, address=address, poke=poke)
            found += walk.leaks
    return found


async def test_no_field_tells_or_changes_anything_of_what_belongs_to_another(studio: Studio) -> None:
    found = await leaks(studio)
    assert not found, "\n".join(found)


async def test_that_walk_notices_when_the_database_does_not_keep_tracks_apart(
    database_url: str, redis_url: str, pool: WorkPool, tmp_path: Path
) -> None:
    """A mutant: the same product on a database whose tracks have lost their row-level security."""
    name = database_url.rpartition("/")[2] + "_unsecured"
    await recreate(name, TEMPLATE)
    async with AsyncExitStack() as stack:
        studio = await open_studio(stack, named_database(name), redis_url, pool=pool, folder=tmp_path)
        await studio.sql("alter table tracks no force row level security")
        await studio.sql("alter table tracks disable row level security")
        found = await leaks(studio)
    assert any("tells that a Track exists" in leak for leak in found)
    assert any("shows the owner's words" in leak for leak in found)


async def test_fields_that_name_nothing_show_and_change_nothing_of_others_either(studio: Studio) -> None:
    owner, _ = await furnished(studio)
    mine = "select row_to_json(t)::text from {} t where {} = $1 order by 1"

    async def kept() -> list[Any]:
        tables = [(table.name, "user_id" if "user_id" in table.c else "id") for table in Row.metadata.sorted_tables]
        return [await studio.sql(mine.format(*table), uuid_of(owner.user_id)) for table in tables]

    before = await kept()
    for question in questions(SCHEMA):
        if not question.slots:
            for by in (await studio.register("stranger"), ANONYMOUS):
                text = json.dumps(await studio.ask(question.text, question.variables(lambda path: ""), by=by))
                assert '"data"' in text, question.name
                assert '"INTERNAL"' not in text, question.name
                assert SECRET not in text, question.name
                assert owner.email not in text, question.name
    assert await kept() == before


@pytest.mark.parametrize("kind", ["mutation", "subscription"])
async def test_whoever_is_not_signed_in_may_only_sign_in_and_watch_named_tracks(studio: Studio, kind: str) -> None:
    open_to_anyone = {"register", "login", "refreshSession", "trackUpdates"}
    for question in questions(SCHEMA):
        if question.kind == kind and question.name not in open_to_anyone:
            body = await studio.ask(question.text, question.variables(lambda path: ""))
            assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", question.name
