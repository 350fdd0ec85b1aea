"""The server that speaks as fal.ai does: its own SDK understands it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import fal_client
import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.util import urlsafe_b64decode

from tests.vendors import (
    UNANSWERED,
    Ending,
    Fal,
    Forgery,
    Refusal,
    Story,
    answered_wrongly,
)
from tests.vendors.fal import USER_ID
from tests.vendors.fal_models import MODELS
from tests.vendors.studying import (
    BY_HAND,
    MUSIC,
    Heard,
    ask,
    create,
    fal,
    heard,
    http,
    replicate,
    suno,
    vendor,
)

__all__ = ["fal", "heard", "http", "replicate", "suno", "vendor"]  # fixtures


@pytest.fixture
def fal_sdk(fal: Fal, monkeypatch: pytest.MonkeyPatch) -> fal_client.AsyncClient:
    """Its addresses are constants that begin with https."""
    monkeypatch.setattr("fal_client.client.QUEUE_URL_FORMAT", f"{fal.base_url}/")
    monkeypatch.setattr("fal_client.client.REST_URL", fal.base_url)
    monkeypatch.setattr("fal_client.client.CDN_URL", fal.base_url)
    return fal_client.AsyncClient(key=fal.key)


@asynccontextmanager
async def closing(client: fal_client.AsyncClient) -> AsyncIterator[fal_client.AsyncClient]:
    yield client
    await (await client._client).aclose()


async def test_fals_sdk_follows_a_request_to_its_result(fal: Fal, fal_sdk: Any) -> None:
    async with closing(fal_sdk) as client:
        seen: list[Any] = []
        result = await client.subscribe(
            MUSIC, {"prompt": "rain"}, with_logs=True, on_queue_update=seen.append, interval=0.005
        )
    assert {type(status) for status in seen} >= {fal_client.Queued, fal_client.Completed}
    assert set(result["audio"]) == {"url", "content_type", "file_name", "file_size"}
    assert len(fal.charged(about="rain")) == 1


@pytest.mark.parametrize("model", sorted(MODELS))
async def test_fals_models_answer_with_files_that_are_there(http: httpx.AsyncClient, fal: Fal, model: str) -> None:
    needed = {"prompt": "x", **dict.fromkeys(MODELS[model].needs, "x")}
    fal.script.story = BY_HAND
    made = (await ask(http, fal, "POST", f"/{model}", json=needed)).json()
    await fal.advance(made["request_id"], 2)
    result = (await http.get(made["response_url"], headers={"Authorization": f"Key {fal.key}"})).json()
    files = [one for value in result.values() for one in (value if isinstance(value, list) else [value])]
    for file in files:
        if isinstance(file, dict) and "url" in file:
            assert len((await http.get(file["url"])).content) == file["file_size"]


async def test_fals_sdk_finds_failed_requests_completed(fal: Fal, fal_sdk: Any) -> None:
    fal.script.stories.extend([Story(ending=Ending.FAILED), Story(ending=Ending.MODERATED)])
    async with closing(fal_sdk) as client:
        crashed = await client.submit(MUSIC, {"prompt": "x"})
        last: Any = [status async for status in crashed.iter_events(interval=0.005)][-1]
        assert (last.error, last.error_type) == ("Runner crashed.", "runner_server_error")
        with pytest.raises(fal_client.FalClientHTTPError, match="flagged"):
            await client.subscribe(MUSIC, {"prompt": "x"}, interval=0.005)
        with pytest.raises(fal_client.FalClientHTTPError, match="Field required"):
            await client.subscribe("fal-ai/demucs", {}, interval=0.005)
    assert [task.charged for task in fal.tasks.values()] == [False, True, True]


async def test_fals_sdk_repeats_a_create_that_was_accepted(fal: Fal, fal_sdk: Any) -> None:
    """Which is why the product does not use it."""
    fal.script.meet("create", UNANSWERED, answered_wrongly(Refusal.GATEWAY))
    async with closing(fal_sdk) as client:
        await client.submit(MUSIC, {"prompt": "x"})
    assert len(fal.charged()) == 3


async def test_fals_sdk_cancels_and_uploads(fal: Fal, fal_sdk: Any, http: httpx.AsyncClient) -> None:
    fal.script.story = BY_HAND
    async with closing(fal_sdk) as client:
        handle = await client.submit(MUSIC, {"prompt": "x"})
        await handle.cancel()
        with pytest.raises(fal_client.FalClientHTTPError):
            await handle.cancel()
        for way in ("fal_v3", "fal"):
            url = await client.upload(b"sound", "audio/wav", "a.wav", repository=way)
            assert (await http.get(url)).content == b"sound"
    assert fal.charged() == []


def fal_valid(request: httpx.Request, keys: list[dict[str, str]]) -> bool:
    """As fal documents it, for any published key."""
    head = request.headers
    if abs(time.time() - int(head["x-fal-webhook-timestamp"])) > 300 or "x-fal-webhook-signature" not in head:
        return False
    named = (head["x-fal-webhook-request-id"], USER_ID, head["x-fal-webhook-timestamp"])
    message = "\n".join((*named, sha256(request.content).hexdigest())).encode()
    for key in keys:
        try:
            public = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(key["x"].encode()))
            public.verify(bytes.fromhex(head["x-fal-webhook-signature"]), message)
        except InvalidSignature:
            continue
        return True
    return False


async def test_fals_webhooks_are_signed_by_published_keys_that_rotate(
    http: httpx.AsyncClient, fal: Fal, heard: Heard
) -> None:
    fal.script.story = BY_HAND
    id = (await create(http, fal, heard.url)).json()["request_id"]
    await fal.advance(id, 2)
    old = (await http.get(fal.jwks_url)).json()["keys"]
    assert fal_valid(heard[-1], old)
    for forgery in Forgery:
        await fal.call_back(id, "completed", forgery=forgery)
        assert not fal_valid(heard[-1], old)
    fal.rotate_key(keep_old=False)
    await fal.call_back(id, "completed")
    assert not fal_valid(heard[-1], old)
    assert fal_valid(heard[-1], (await http.get(fal.jwks_url)).json()["keys"])


async def test_fals_webhook_may_lack_its_payload(http: httpx.AsyncClient, fal: Fal, heard: Heard) -> None:
    fal.script.stories.append(Story(facts={"payload_error": "Not serializable", "gateway_request_id": "another"}))
    fal.script.stories.append(Story(ending=Ending.MODERATED))
    for _ in range(2):
        await create(http, fal, heard.url)
        await fal.settled()
    bare, flagged = heard.bodies()
    assert (bare["status"], bare["payload"], bare["payload_error"]) == ("OK", None, "Not serializable")
    assert bare["gateway_request_id"] == "another" != bare["request_id"]
    assert (flagged["status"], flagged["error"]) == ("ERROR", "Invalid status code: 422")
    assert flagged["payload"]["detail"][0]["type"] == "content_policy_violation"
