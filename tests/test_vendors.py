"""The vendors that the adapters are tested against speak as the vendors do: their own SDKs understand them."""

from __future__ import annotations

import asyncio
import io
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
from replicate.client import Client as ReplicateSdk
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, InvalidTimestampError, MissingWebhookHeaderError, Webhooks
from replicate.webhook import WebhookSigningSecret as Secret
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.vendors import (
    LOST,
    UNANSWERED,
    Deliveries,
    Ending,
    Fal,
    Flaw,
    Forgery,
    Rate,
    Raw,
    Refusal,
    Replicate,
    Story,
    Suno,
    answered_wrongly,
    refused,
    slow,
)
from tests.vendors.fal import USER_ID
from tests.vendors.fal_models import MODELS
from tests.vendors.replicate_models import MUSICGEN, MUSICGEN_VERSION
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


# Replicate, by its own SDK


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


# fal, by its own SDK


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


# Suno, by its documentation


async def suno_read(http: httpx.AsyncClient, suno: Suno, id: str, what: str = "generate") -> Any:
    return (await ask(http, suno, "GET", f"/api/v1/{what}/record-info?taskId={id}")).json()


async def test_suno_tells_of_two_songs_in_stages(http: httpx.AsyncClient, suno: Suno, heard: Heard) -> None:
    suno.script.story = BY_HAND
    id = (await create(http, suno, heard.url)).json()["data"]["taskId"]
    states = [(await suno_read(http, suno, id))["data"]["status"]]
    for _ in range(3):
        await suno.advance(id)
        states.append((await suno_read(http, suno, id))["data"]["status"])
    assert states == ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
    text, first, complete = (body["data"] for body in heard.bodies())
    assert [one["callbackType"] for one in (text, first, complete)] == ["text", "first", "complete"]
    assert text["data"] == []
    assert [bool(song["audio_url"]) for song in first["data"]] == [True, False]
    assert "duration" not in first["data"][1]
    songs = (await suno_read(http, suno, id))["data"]["response"]["sunoData"]
    assert [song["audioUrl"] for song in songs] == [song["audio_url"] for song in complete["data"]]
    assert songs[0]["id"] != songs[1]["id"]
    one, two = [(await http.get(song["audioUrl"])).content for song in songs]
    assert one != two
    assert len(suno.charged(about=heard.url)) == 1


async def test_sunos_errors_are_inside(http: httpx.AsyncClient, suno: Suno) -> None:
    for why, code in (
        (Refusal.BAD_KEY, 401),
        (Refusal.NO_CREDITS, 429),
        (Refusal.RATE_LIMITED, 405),
        (Refusal.MAINTENANCE, 455),
        (Refusal.SERVER_ERROR, 500),
    ):
        suno.script.meet("create", refused(why))
        answer = await create(http, suno)
        assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, code, None)
    without = (await ask(http, suno, "POST", "/api/v1/generate", json=SONG)).json()
    assert without == {"code": 400, "msg": "Please enter callBackUrl.", "data": None}
    suno.status_too = True
    suno.credits = 11
    assert (await create(http, suno)).status_code == 429
    assert suno.charged() == []


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"prompt": "x" * 501}, 413),
        ({"model": "V3_5"}, 400),
        ({"customMode": True, "style": "pop"}, 400),
        ({"customMode": True, "style": "pop", "title": "t" * 101}, 413),
        ({"customMode": True, "style": "pop", "title": "t" * 81, "model": "V4"}, 413),
        ({"customMode": True, "style": "pop", "title": "Rain"}, 200),
    ],
)
async def test_suno_checks_what_it_is_asked(http: httpx.AsyncClient, suno: Suno, order: Any, code: int) -> None:
    whole = SONG | {"callBackUrl": "http://127.0.0.1:9/"} | order
    assert (await ask(http, suno, "POST", "/api/v1/generate", json=whole)).json()["code"] == code


async def test_suno_makes_other_things_from_a_song(http: httpx.AsyncClient, suno: Suno, heard: Heard) -> None:
    suno.script.story = Story(deliveries=SILENT)
    song = (await create(http, suno)).json()["data"]["taskId"]
    await suno.settled()
    suno.script.story = Story()
    base = {"taskId": song, "audioId": suno.tasks[song].facts["clips"][0], "callBackUrl": heard.url}
    for path, read, more in (
        ("wav/generate", "wav", {}),
        ("vocal-removal/generate", "vocal-removal", {"type": "split_stem"}),
        ("mp4/generate", "mp4", {}),
        ("suno/cover/generate", "suno/cover", {}),
        ("lyrics", "lyrics", {"prompt": "rain"}),
    ):
        id = (await ask(http, suno, "POST", f"/api/v1/{path}", json=base | more)).json()["data"]["taskId"]
        await suno.settled()
        record = (await suno_read(http, suno, id, read))["data"]
        assert record.get("successFlag", record.get("status")) in ("SUCCESS", 1)
    wav, stems, mp4, cover, lyrics = (body["data"] for body in heard.bodies())
    assert (await http.get(wav["audioWavUrl"])).content.startswith(b"RIFF")
    info = stems["vocal_removal_info"]
    assert (info["origin_url"], info["brass_url"], len(info)) == ("", "", 13)
    assert b"ftyp" in (await http.get(mp4["video_url"])).content
    assert (len(cover["images"]), lyrics["callbackType"], len(lyrics["data"])) == (2, "complete", 2)
    assert "taskId" in lyrics
    again = await ask(http, suno, "POST", "/api/v1/wav/generate", json=base)
    assert again.json()["code"] == 409


async def test_sunos_oddities_are_told_by_facts(http: httpx.AsyncClient, suno: Suno) -> None:
    facts = {"unknown_reads": 2, "response_as_text": True, "same_takes": True, "dead_streams": True}
    suno.script.story = Story(ending=Ending.CALLBACK_FAILED, facts=facts)
    id = (await create(http, suno)).json()["data"]["taskId"]
    await suno.settled()
    assert (await suno_read(http, suno, id))["data"] is None
    assert (await suno_read(http, suno, id))["msg"] == "recordInfo is null"
    told = (await suno_read(http, suno, id))["data"]
    assert told["status"] == "CALLBACK_EXCEPTION"
    songs = httpx.Response(200, text=told["response"]).json()["sunoData"]
    one, two = [(await http.get(song["audioUrl"])).content for song in songs]
    assert one == two
    assert (await http.get(songs[0]["streamAudioUrl"])).content == b""


# All of them


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
