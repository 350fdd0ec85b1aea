"""What the servers that speak as vendors do have in common: scripts, faults, charges and files."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.vendors import (
    LOST,
    UNANSWERED,
    Deliveries,
    Ending,
    Fal,
    Flaw,
    Rate,
    Raw,
    Story,
    Suno,
    refused,
    slow,
)
from tests.vendors.server import VendorServer
from tests.vendors.studying import (
    SILENT,
    Heard,
    create,
    fal,
    heard,
    http,
    only_task,
    replicate,
    suno,
    vendor,
)

__all__ = ["fal", "heard", "http", "replicate", "suno", "vendor"]  # fixtures


async def test_an_unanswered_create_is_charged_and_a_lost_one_is_not(
    http: httpx.AsyncClient, vendor: VendorServer
) -> None:
    vendor.script.meet("create", LOST, UNANSWERED)
    for charged in (0, 1):
        with pytest.raises(httpx.RemoteProtocolError):
            await create(http, vendor)
        assert len(vendor.charged()) == charged
    assert [call.status for call in vendor.calls("create")] == [None, None]


async def test_a_slow_create_is_charged_though_nobody_waits(http: httpx.AsyncClient, vendor: VendorServer) -> None:
    vendor.script.meet("create", slow(30))
    http.timeout = httpx.Timeout(0.1)
    with pytest.raises(httpx.ReadTimeout):
        await create(http, vendor)
    assert len(vendor.charged(about="rain")) == 1


async def test_a_wrong_key_is_refused(http: httpx.AsyncClient, vendor: VendorServer) -> None:
    vendor.script.keys = frozenset({"another"})
    answer = await create(http, vendor)
    assert answer.json().get("code", answer.status_code) == 401
    assert vendor.tasks == {}


async def test_more_creates_than_the_rate_are_refused(http: httpx.AsyncClient, vendor: VendorServer) -> None:
    vendor.script.rate = Rate(2, 60.0)
    answers = [await create(http, vendor) for _ in range(3)]
    assert answers[-1].json().get("code", answers[-1].status_code) in (405, 429)
    assert len(vendor.charged()) == 2


async def test_an_answer_can_be_any_bytes(http: httpx.AsyncClient, vendor: VendorServer) -> None:
    vendor.script.meet("create", refused(Raw(200, b"<html>", {"Content-Type": "text/html"})))
    assert (await create(http, vendor)).text == "<html>"


async def test_callbacks_come_early_twice_and_backwards(
    http: httpx.AsyncClient, vendor: VendorServer, heard: Heard
) -> None:
    vendor.script.story = Story(deliveries=Deliveries(copies=2, early=True, backwards=True))
    await create(http, vendor, heard.url)
    before = [one.event for one in vendor.deliveries]
    assert before[:2] in (["complete"] * 2, ["completed"] * 2)
    assert len(before) == len(heard) == 2 * len(set(before))
    await vendor.settled()
    assert len(heard) == len(before)


async def test_a_task_can_hang_and_can_tell_nothing(
    http: httpx.AsyncClient, vendor: VendorServer, heard: Heard
) -> None:
    vendor.script.stories.extend([Story(ending=Ending.NEVER), Story(deliveries=SILENT)])
    await create(http, vendor, heard.url)
    await vendor.settled()
    assert not only_task(vendor).over
    told = len(heard)
    await create(http, vendor, heard.url)
    await vendor.settled()
    assert len(heard) == told


async def test_files_break_expire_and_go_on_by_range(http: httpx.AsyncClient, vendor: VendorServer) -> None:
    await create(http, vendor)
    await vendor.settled()
    if isinstance(vendor, Fal):
        vendor.callback(only_task(vendor), "completed", None)
    url = next(url for role, url in only_task(vendor).files.items() if role in ("clip-0", "output", "audio"))
    whole = (await http.get(url)).content
    vendor.shelf.flaw(
        vendor.shelf.key(url), Flaw(cut_after=1000), Flaw(empty=True), Flaw(content_type="text/html"), Flaw(status=503)
    )
    received = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with http.stream("GET", url) as answer:
            async for chunk in answer.aiter_raw():
                received += chunk
    assert received == whole[:1000]
    assert (await http.get(url)).content == b""
    assert (await http.get(url)).headers["content-type"] == "text/html"
    assert (await http.get(url)).status_code == 503
    rest = await http.get(url, headers={"Range": "bytes=1000-"})
    assert (rest.status_code, received + rest.content) == (206, whole)
    vendor.shelf.expire()
    assert (await http.get(url)).status_code == 403
    assert (await http.get(vendor.shelf.fresh(url))).content == whole


async def test_a_vendor_ends_at_once_whoever_still_waits() -> None:
    async with asyncio.timeout(5):
        async with Suno() as suno, httpx.AsyncClient(trust_env=False, verify=False) as http:
            suno.script.meet("create", slow(600))
            waiting = asyncio.create_task(create(http, suno))
            while not suno.calls("create"):
                await asyncio.sleep(0.01)
        with pytest.raises(httpx.RequestError):
            await waiting
