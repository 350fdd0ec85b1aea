"""The log of requests: whole lines, none lost in an orderly stop, no waiting for a slow reader before it must be."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from core.lines import FLUSH_SECONDS, HELD_BYTES, PIECE_BYTES, Lines
from core.log import begin_facts, bind_facts

USER = UUID("01939d8e-0000-7000-8000-000000000001")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading end, which does not wait, and writing end, which does."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


def taken(reader: int) -> bytes:
    """Whatever lies in the pipe."""
    found = b""
    try:
        while piece := os.read(reader, 1_000_000):
            found += piece
    except BlockingIOError:
        pass
    return found


def parsed(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_a_line_has_what_is_bound_and_what_is_told_and_comes_by_itself(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)
    begin_facts(request_id="a-request")
    bind_facts(viewer=USER, as_admin=False)
    lines.info("request.served", status=200, ms=1.5)
    assert taken(reader) == b""  # written together with what follows
    await asyncio.sleep(FLUSH_SECONDS * 2)
    (line,) = parsed(taken(reader))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", line.pop("timestamp"))
    assert line == {
        "event": "request.served",
        "level": "info",
        "request_id": "a-request",
        "viewer": str(USER),
        "as_admin": False,
        "status": 200,
        "ms": 1.5,
    }


async def test_what_is_bound_in_a_task_stays_in_it(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)

    async def one(name: str) -> None:
        begin_facts(request_id=name)
        await asyncio.sleep(0)
        bind_facts(viewer=name)
        await asyncio.sleep(0)
        lines.info("request.served")

    names = [str(number) for number in range(20)]
    await asyncio.gather(*map(one, names))
    lines.close()
    told = parsed(taken(reader))
    assert [(line["request_id"], line["viewer"]) for line in told] == [(name, name) for name in names]


async def test_closing_writes_everything_in_its_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)
    for number in range(200):
        lines.info("request.served", number=number)
    lines.close()
    assert [line["number"] for line in parsed(taken(reader))] == list(range(200))


async def test_a_reader_that_is_slow_is_not_waited_for_and_gets_whole_lines_later(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)
    told = HELD_BYTES // 400  # more than a pipe holds (64 kB), and less than is held back
    for number in range(told):
        lines.info("request.served", number=number, padding="." * 200)
    await asyncio.sleep(FLUSH_SECONDS * 2)  # would hang if it waited: nobody has read yet
    text = b""
    async with asyncio.timeout(10):
        while text.count(b"\n") < told:
            text += taken(reader)
            await asyncio.sleep(FLUSH_SECONDS / 2)
    assert [line["number"] for line in parsed(text)] == list(range(told))


async def test_past_what_is_held_the_oldest_lines_are_written_with_each_new_one(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)
    told, found = 0, b""
    while not (found := taken(reader)):
        lines.info("request.served", padding="." * 1000)
        told += 1
    assert told * 1000 <= HELD_BYTES < told * 1200
    assert 1000 < len(found) <= PIECE_BYTES
    assert found.endswith(b"\n")
    lines.info("request.served", padding="x" * 2 * PIECE_BYTES)  # even one that is longer than a piece
    closing = asyncio.create_task(asyncio.to_thread(lines.close))
    while not closing.done():
        found += taken(reader)
        await asyncio.sleep(0.001)
    found += taken(reader)
    assert len(parsed(found)) == told + 1


async def test_without_a_reader_serving_goes_on(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    lines = Lines(writer)
    for _ in range(3):
        lines.info("request.served")
        await asyncio.sleep(FLUSH_SECONDS * 1.5)
    lines.info("request.served")
    lines.close()
