"""What the tests of the vendors' servers share: the servers, a product that is called back, and orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.vendors import (
    Deliveries,
    Fal,
    Replicate,
    Story,
    Suno,
)
from tests.vendors.replicate_models import MUSICGEN_VERSION
from tests.vendors.server import VendorServer
from tests.vendors.serving import served

MUSIC = "fal-ai/minimax-music/v2.6"
SONG = {"customMode": False, "instrumental": False, "model": "V5", "prompt": "a song of rain"}
BY_HAND = Story(pace_seconds=None)
SILENT = Deliveries(skipped=frozenset({"*"}))


class Heard(list[httpx.Request]):
    """What a product is called back with. `answers` are the next statuses, then 200."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[int] = []

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.append(httpx.Request("POST", str(request.url), headers=dict(request.headers), content=body))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    def bodies(self) -> list[Any]:
        return [httpx.Response(200, content=request.content).json() for request in self]


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    heard = Heard()
    async with served(Starlette(routes=[Route("/hook", heard.answer, methods=["POST"])])) as url:
        heard.url = f"{url}/hook"
        yield heard


@pytest.fixture
async def replicate() -> AsyncIterator[Replicate]:
    async with Replicate() as vendor:
        yield vendor


@pytest.fixture
async def fal() -> AsyncIterator[Fal]:
    async with Fal() as vendor:
        yield vendor


@pytest.fixture
async def suno() -> AsyncIterator[Suno]:
    async with Suno() as vendor:
        yield vendor


@pytest.fixture(params=[Suno, Replicate, Fal])
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[VendorServer]:
    async with request.param() as vendor:
        yield vendor


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        yield client


async def create(http: httpx.AsyncClient, vendor: VendorServer, hook: str = "http://127.0.0.1:9/hook") -> Any:
    """The answer to a create in the vendor's own words."""
    if isinstance(vendor, Suno):
        answer = await ask(http, vendor, "POST", "/api/v1/generate", json=SONG | {"callBackUrl": hook})
    elif isinstance(vendor, Replicate):
        order = {"version": MUSICGEN_VERSION, "input": {"prompt": "a song of rain"}, "webhook": hook}
        answer = await ask(http, vendor, "POST", "/v1/predictions", json=order)
    else:
        path = f"/{MUSIC}?fal_webhook={hook}"
        answer = await ask(http, vendor, "POST", path, json={"prompt": "a song of rain"})
    return answer


async def ask(http: httpx.AsyncClient, vendor: VendorServer, method: str, path: str, **what: Any) -> httpx.Response:
    scheme = "Key" if isinstance(vendor, Fal) else "Bearer"
    headers = {"Authorization": f"{scheme} {vendor.key}", **what.pop("headers", {})}
    return await http.request(method, vendor.base_url + path, headers=headers, **what)


def only_task(vendor: VendorServer) -> Any:
    (task,) = vendor.tasks.values()
    return task
