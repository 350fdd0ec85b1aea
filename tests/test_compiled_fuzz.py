"""Thousands of queries that nobody has thought of: compiled and executed, they have the same answers, byte for byte.

The seeds are fixed, so that what passed once passes again. `ANTIPHON_FUZZ_SEED=anything` explores others in one part.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

import pytest
from graphql import parse, validate
from structlog.testing import capture_logs

from planner.reads import CompiledReads
from schema.build import build_schema
from tests import documents
from tests.documents import Request
from tests.musician import Musician
from tests.reads_world import ANYBODY
from tests.shrinking import smaller
from tests.twins import Twins, postgres15, server, twins, world_url

__all__ = ["postgres15", "server", "twins", "world_url"]  # fixtures

# Two cores share the parts: 90 s of each. The servers differ in what SQL does alone, so a few do for the old one.
PARTS, DOCUMENTS = 12, {"embedded": 240, "postgres15": 20}

# The least share of requests that are compiled; it is 0.91 to 0.97. The rest asks for what is not of rows, is skipped,
# refused, or filters by nothing. A few documents may be an odd lot.
COMPILED = {"embedded": 0.9, "postgres15": 0.7}


async def differs(twins: Twins, request: Request, by: str) -> str | None:
    """How the answers differ; None when they do not."""
    try:
        await twins.compare(request.query, request.variables, by=by, operation=request.operation)
    except AssertionError as difference:
        return str(difference)
    return None


async def smallest(twins: Twins, request: Request, by: str) -> str:
    """How the answers to the least of it differ that still has different ones."""
    told = await differs(twins, request, by)
    assert told is not None
    while True:
        for less in smaller(twins.schema, request):
            if (less_told := await differs(twins, less, by)) is not None:
                request, told = less, less_told
                break
        else:
            return told


async def compare(twins: Twins, seed: object, count: int) -> float:
    """As many documents, each as two of those who may ask, in turn; the share that was compiled. Nothing breaks."""
    before = twins.reads.answered, twins.reads.left
    made = documents.requests(twins.schema, Musician(twins.ids, twins.cursors), seed)
    for number, request in enumerate(islice(made, count)):
        for by in (ANYBODY[number % len(ANYBODY)], "owner"):
            with capture_logs() as logs:
                told = await differs(twins, request, by)
            broken = [line for line in logs if line["event"] == "read.failed"]
            if told is not None or broken:
                least = await smallest(twins, request, by) if told else f"{request} as {by}"
                pytest.fail(f"document {number} of seed {seed!r}: {least} {broken}")
    answered, left = twins.reads.answered - before[0], twins.reads.left - before[1]
    return answered / (answered + left)


@pytest.mark.parametrize("part", range(PARTS))
async def test_generated_queries_have_the_same_answers_compiled_and_executed(
    twins: Twins, server: str, part: int
) -> None:
    assert await compare(twins, part, DOCUMENTS[server]) > COMPILED[server]


async def test_so_have_those_of_the_seed_that_somebody_chose(twins: Twins, server: str) -> None:
    await compare(twins, os.environ.get("ANTIPHON_FUZZ_SEED", "no seed in particular"), DOCUMENTS[server])


async def test_a_difference_would_be_found_and_told_by_the_least_that_shows_it(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = CompiledReads.answer

    async def falsified(self: CompiledReads, *given: Any, **named: Any) -> dict[str, Any]:
        payload = await answer(self, *given, **named)
        for node in payload["data"].get("tracks", {}).get("nodes", ()):
            if "title" in node:
                node["title"] = node["title"].upper()
        return payload

    request = Request(
        "query Q($n: Int) { tracks(first: $n) { ...F totalCount } viewer { id } } "
        "fragment F on TrackConnection { nodes { id title @skip(if: false) } pageInfo { endCursor } }",
        {"n": 2},
    )
    assert await differs(twins, request, "owner") is None
    monkeypatch.setattr(CompiledReads, "answer", falsified)
    told = await smallest(twins, request, "owner")
    least = "as owner: query Q { tracks { ...F } } fragment F on TrackConnection { nodes { title } }"
    assert " ".join(told.partition("variables")[0].split()) == least


def test_generated_documents_are_valid_and_the_same_for_the_same_seed() -> None:
    schema = build_schema()
    made = [list(islice(documents.requests(schema, documents.Client(), "seed"), 100)) for _ in range(2)]
    assert made[0] == made[1]
    assert [request.query for request in made[0] if validate(schema, parse(request.query))] == []
