"""A request may ask for the SQL that answers it, in development."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx

from core.settings import read_settings
from tests.studio import SECRET, Person, Studio
from web.api import Addresses, open_api

NESTED = "{ providers { name } tracks(first: 1) { nodes { title versions { nodes { stems { kind } } } } } }"


async def explained(http: httpx.AsyncClient, query: str, by: Person) -> dict[str, Any]:
    request = {"query": query, "extensions": {"explain": True}}
    answer = await http.post("/graphql", json=request, headers={"Authorization": f"Bearer {by.token}"})
    body: dict[str, Any] = answer.json()
    return body


async def test_every_level_is_told_with_its_plan_and_what_was_executed(studio: Studio) -> None:
    owner = await studio.register("owner")
    await studio.completed_track(owner)
    body = await explained(studio.http, NESTED, owner)
    assert body["data"]["tracks"]["nodes"][0]["versions"]["nodes"][0]["stems"]
    found = body["extensions"]["explain"]
    assert found["executed"] == ["providers"]
    for level, table in zip(found["statements"], ("tracks", "versions", "stems"), strict=True):
        assert f"FROM {table}" in level["sql"]
        assert "set_config('app.actor'" in level["sql"]
        assert "actual time" in level["plan"]


async def test_what_is_not_compiled_has_no_sql_to_tell(studio: Studio) -> None:
    owner = await studio.register("owner")
    body = await explained(studio.http, "{ providers { name } }", owner)
    assert body["extensions"] == {"explain": None}
    body = await explained(studio.http, "mutation { logout { errors { message } } }", owner)
    assert "extensions" not in body


async def test_a_stranger_is_told_nothing_in_production(studio: Studio, tmp_path: Any) -> None:
    async with AsyncExitStack() as stack:
        settings = read_settings(
            {"ANTIPHON_SECRET_KEY": SECRET, "ANTIPHON_DATA_DIR": str(tmp_path), "ANTIPHON_ENV": "production"}
        )
        addresses = Addresses(studio.database_url, studio.redis_url)
        api = await open_api(stack, replace(settings, compiled_reads=True), addresses, catalog={})
        transport = httpx.ASGITransport(api.app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://studio.test"))
        answer = await http.post("/graphql", json={"query": "{ viewer { id } }", "extensions": {"explain": True}})
        assert answer.json() == {"data": {"viewer": None}}
