"""The server that speaks as Replicate does: its own SDK understands it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from replicate.client import Client as ReplicateSdk
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, InvalidTimestampError, MissingWebhookHeaderError, Webhooks
from replicate.webhook import WebhookSigningSecret as Secret

from tests.vendors import (
    Ending,
    Forgery,
    Refusal,
    Replicate,
    Story,
    refused,
)
from tests.vendors.replicate_models import MUSICGEN, MUSICGEN_VERSION
from tests.vendors.studying import (
    BY_HAND,
    Heard,
    ask,
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


@pytest.fixture
async def sdk(replicate: Replicate) -> AsyncIterator[ReplicateSdk]:
    client = ReplicateSdk(api_token=replicate.key, base_url=replicate.base_url)
    client.poll_interval = 0.01
    yield client
    await client._async_client.aclose()


async def test_replicates_sdk_runs_a_model_and_reads_its_output(sdk: Any, replicate: Replicate) -> None:
    prediction = await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "rain"})
    assert prediction.status == "starting"
    await prediction.async_wait()
    assert (prediction.status, prediction.model) == ("succeeded", MUSICGEN)
    assert prediction.progress.percentage == 1.0
    assert (await sdk._async_client.get(prediction.output)).content.startswith(b"RIFF")
    assert len(replicate.charged(about="rain")) == 1


async def test_replicates_sdk_waits_for_an_official_model_in_the_create_itself(sdk: Any, replicate: Replicate) -> None:
    made = await sdk.models.predictions.async_create(model=("google", "lyria-2"), input={"prompt": "x"}, wait=5)
    assert made.status == "succeeded"
    assert len(replicate.calls("read")) == 0


async def test_replicates_wait_may_end_before_the_prediction(sdk: Any, replicate: Replicate) -> None:
    replicate.script.story = BY_HAND
    made = await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x"}, wait=1)
    assert made.status == "starting"


async def test_replicates_sdk_lists_all_pages_newest_first(sdk: Any, replicate: Replicate) -> None:
    replicate.script.story = BY_HAND
    for _ in range(3):
        await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x"})
    ids = list(replicate.tasks)
    assert [one.id for one in (await sdk.predictions.async_list()).results] == ids[::-1]


async def test_replicates_sdk_cancels(sdk: Any, replicate: Replicate) -> None:
    replicate.script.story = BY_HAND
    made = await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x"})
    await made.async_cancel()
    assert made.status == "canceled"
    assert replicate.charged() == []


async def test_replicates_sdk_reads_its_refusals(sdk: Any, replicate: Replicate) -> None:
    replicate.script.meet("create", refused(Refusal.NO_CREDITS), refused(Refusal.RATE_LIMITED))
    for status in (402, 429, 422):
        with pytest.raises(ReplicateError) as told:
            await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x", "duration": "long"})
        assert told.value.status == status
    assert (len(replicate.calls("create")), replicate.charged()) == (3, [])


async def test_replicates_models_complain_after_the_prediction_was_accepted(sdk: Any) -> None:
    with pytest.raises(ModelError, match="Must provide either"):
        await sdk.async_run(f"{MUSICGEN}:{MUSICGEN_VERSION}", input={}, wait=False)


async def test_replicates_sdk_does_not_know_that_predictions_are_aborted(sdk: Any, replicate: Replicate) -> None:
    replicate.script.story = Story(ending=Ending.TIMED_OUT)
    made = await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x"})
    with pytest.raises(ValueError, match="unexpected value; permitted: 'starting'"):
        await made.async_wait()


async def test_replicates_sdk_uploads_reads_and_deletes_files(sdk: Any) -> None:
    file = await sdk.files.async_create(io.BytesIO(b"sound"), filename="a.wav", metadata={"a": 1})
    assert (file.size, file.name, file.metadata) == (5, "a.wav", {"a": 1})
    assert (await sdk.files.async_get(file.id)).checksums == file.checksums
    assert await sdk.files.async_delete(file.id)


async def test_replicates_sdk_accepts_the_webhooks_signatures_and_refuses_forged_ones(
    sdk: Any, replicate: Replicate, heard: Heard
) -> None:
    replicate.script.story = BY_HAND
    made = await sdk.predictions.async_create(version=MUSICGEN_VERSION, input={"prompt": "x"}, webhook=heard.url)
    await replicate.advance(made.id, 4)
    assert [body["status"] for body in heard.bodies()] == ["processing", "processing", "processing", "succeeded"]
    secret = await sdk.webhooks.default.async_secret()
    Webhooks.validate(heard[-1], secret=secret, tolerance=300)
    for forgery, refusal in (
        (Forgery.WRONG_KEY, InvalidSignatureError),
        (Forgery.ALTERED, InvalidSignatureError),
        (Forgery.OLD, InvalidTimestampError),
        (Forgery.UNSIGNED, MissingWebhookHeaderError),
    ):
        await replicate.call_back(made.id, "completed", forgery=forgery)
        with pytest.raises(refusal):
            Webhooks.validate(heard[-1], secret=secret, tolerance=300)
    replicate.rotate_secret()
    await replicate.call_back(made.id, "completed")
    Webhooks.validate(heard[-1], secret=Secret(key=replicate.webhook_secret), tolerance=300)


async def test_replicate_repeats_the_last_webhook_alone(
    http: httpx.AsyncClient, replicate: Replicate, heard: Heard
) -> None:
    heard.answers = [500, 200, 200, 500, 500]
    replicate.script.story = Story(pace_seconds=0.0)
    await create(http, replicate, heard.url)
    await replicate.settled()
    assert [one.status for one in replicate.deliveries if one.event == "completed"] == [500, 500, 200]
    assert [one.event for one in replicate.deliveries][:3] == ["start", "logs", "output"]
    last = [request.headers["webhook-id"] for request in heard[-3:]]
    assert len(set(last)) == 1


async def test_replicate_stops_at_a_deadline(http: httpx.AsyncClient, replicate: Replicate) -> None:
    replicate.script.story = BY_HAND
    order = {"version": MUSICGEN_VERSION, "input": {"prompt": "x"}}
    for steps, status in ((0, "aborted"), (1, "canceled")):
        made = (
            await ask(http, replicate, "POST", "/v1/predictions", json=order, headers={"Cancel-After": "0.1s"})
        ).json()
        await replicate.advance(made["id"], steps)
        await replicate.settled()
        assert (await ask(http, replicate, "GET", f"/v1/predictions/{made['id']}")).json()["status"] == status


async def test_replicate_erases_what_a_prediction_gave(http: httpx.AsyncClient, replicate: Replicate) -> None:
    await create(http, replicate)
    await replicate.settled()
    task = only_task(replicate)
    url = replicate.prediction(task)["output"]
    replicate.forget(task.id)
    told = (await ask(http, replicate, "GET", f"/v1/predictions/{task.id}")).json()
    assert (told["status"], told["output"], told["data_removed"]) == ("succeeded", None, True)
    assert (await http.get(url)).status_code == 404
