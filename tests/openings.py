"""More APIs on the rows of a studio: with other settings, or with engines that fail on command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from core.settings import read_settings
from providers.listings import list_providers
from tests.faults import FaultProxy, Mode
from tests.studio import SECRET, Studio
from web.api import Addresses, Api, open_api

PRODUCTION = {"ANTIPHON_ENV": "production", "PUBLIC_URL": "https://music.example"}


@asynccontextmanager
async def opened(studio: Studio, folder: Path, **environ: str) -> AsyncIterator[tuple[Api, httpx.AsyncClient]]:
    """Another API on the studio's rows, with other settings; `DATABASE_URL` and `REDIS_URL` may go by a proxy."""
    given = {
        "ANTIPHON_SECRET_KEY": SECRET,
        "ANTIPHON_DATA_DIR": str(folder),
        "DATABASE_URL": studio.database_url,
        "REDIS_URL": studio.redis_url,
        "PUBLIC_URL": "http://studio.test",
        **environ,
    }
    settings = read_settings(given)
    addresses = Addresses(given["DATABASE_URL"], given["REDIS_URL"])
    async with AsyncExitStack() as stack:
        api = await open_api(stack, settings, addresses, catalog=list_providers(settings))
        transport = httpx.ASGITransport(api.app)
        yield (
            api,
            await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://studio.test")),
        )


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, FaultProxy]]:
    """The same address by way of a proxy that fails on command."""
    parts = urlsplit(url)
    assert parts.port is not None
    async with FaultProxy(parts.port) as proxy:
        yield url.replace(f":{parts.port}/", f":{proxy.port}/"), proxy
        await proxy.set(Mode.PASS)


def preflight(origin: str, method: str = "POST", headers: str = "authorization,content-type") -> dict[str, str]:
    """What a browser sends with OPTIONS before a request from another origin."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
