"""Replicate: predictions, `Prefer: wait`, deadlines, signed webhooks, uploaded files, outputs that are erased.

Calls: create, read, list, cancel, version, secret, upload, file. Facts of a story: `output` (a function from the
file's URL to any JSON), `error` (str), `logs` (str), `content_type` of the output.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.vendors.forms import read_form
from tests.vendors.replicate_models import COMPLAINTS, VERSIONS, invalid_fields, logical_error
from tests.vendors.script import Call, Ending, Forgery, Refusal, Story
from tests.vendors.server import Callback, Order, Task, VendorServer

PAGE = 100  # predictions, newest first
WAIT_SECONDS = 60.0  # what `Prefer: wait` means without a number
PROBLEMS = {
    Refusal.BAD_KEY: (401, "Unauthenticated", "You did not pass a valid authentication token"),
    Refusal.NO_CREDITS: (402, "Insufficient credit", "You have insufficient credit to run this model."),
    Refusal.BAD_INPUT: (422, "Input validation failed", "- input: The input is not valid"),
    Refusal.TOO_LONG: (422, "Input validation failed", "- input.prompt: The prompt is too long"),
    Refusal.MODERATED: (422, "Input validation failed", "- input.prompt: The prompt was flagged as sensitive"),
    Refusal.NOT_FOUND: (404, "Not found", "The requested resource could not be found."),
    Refusal.CONFLICT: (409, "Conflict", "The resource is being changed by another request."),
    Refusal.MAINTENANCE: (503, "Service unavailable", "Replicate is under maintenance."),
    Refusal.SERVER_ERROR: (500, "Internal server error", "An internal error occurred."),
}
ERRORS = {
    Ending.MODERATED: "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
    Ending.BAD_INPUT: "Must provide either `prompt` or `input_audio`.",
    Ending.FAILED: "CUDA out of memory. Tried to allocate 2.00 GiB",
}
EVENTS = ["start", "output", "logs", "completed"]
PROGRESS = " 37%|███▋      | 37/100 [00:03<00:05, 11.2it/s]\n"
DONE = "100%|██████████| 100/100 [00:09<00:00, 11.2it/s]\n"


class Replicate(VendorServer):
    name: ClassVar[str] = "replicate"
    key: ClassVar[str] = "r8_loopback"
    final_events: ClassVar[frozenset[str]] = frozenset({"completed"})  # the others are never repeated

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.webhook_secret = self._new_secret()
        self.uploads: dict[str, tuple[dict[str, Any], bytes]] = {}

    def rotate_secret(self) -> None:
        """Webhooks are signed by a new secret from now on; the old one is not valid any more."""
        self.webhook_secret = self._new_secret()

    @staticmethod
    def _new_secret() -> str:
        return "whsec_" + base64.b64encode(uuid4().bytes + uuid4().bytes).decode()

    def routes(self) -> list[Route]:
        create = self.hears("create", self._create)
        return [
            Route("/v1/predictions", create, methods=["POST"]),
            Route("/v1/models/{owner}/{model}/predictions", create, methods=["POST"]),
            Route("/v1/deployments/{owner}/{model}/predictions", create, methods=["POST"]),
            Route("/v1/predictions", self.hears("list", self._list)),
            Route("/v1/predictions/{id}", self.hears("read", self._read)),
            Route("/v1/predictions/{id}/cancel", self.hears("cancel", self._cancel), methods=["POST"]),
            Route("/v1/models/{owner}/{model}/versions/{id}", self.hears("version", self._version)),
            Route("/v1/webhooks/default/secret", self.hears("secret", self._secret)),
            Route("/v1/files", self.hears("upload", self._upload), methods=["POST"]),
            Route("/v1/files/{id}", self.hears("file", self._file), methods=["GET", "DELETE"]),
            Route("/v1/files/{id}/download", self.hears("file", self._download)),
        ]

    def credential(self, headers: dict[str, str]) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return token if kind == "Bearer" else None

    def refusal(self, why: Refusal) -> Response:
        if why is Refusal.RATE_LIMITED:
            seconds = self.script.retry_after_seconds
            detail = f"Request was throttled. Your rate limit resets in ~{seconds}s."
            return JSONResponse({"detail": detail, "status": 429}, 429, {"Retry-After": str(seconds)})
        status, title, detail = PROBLEMS[why]
        return problem(status, title, detail)

    # Calls

    async def _create(self, call: Call, request: Request) -> Response:
        body = call.json
        if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
            return problem(422, "Input validation failed", "- input is required", [("input", "is required")])
        model = "/".join(request.path_params.values()) or str(body.get("version") or "").split(":")[0]
        version = str(body.get("version") or "hidden").split(":")[-1]
        if not request.path_params and version not in VERSIONS and "/" not in version:
            return problem(422, "Invalid version or not permitted", "The specified version does not exist.")
        if wrong := invalid_fields(version, body["input"]):
            detail = "\n".join(f"- {name}: {text}" for name, text in wrong)
            return problem(422, "Input validation failed", detail, wrong)
        model, version = VERSIONS.get(version, model), "hidden" if "/" in version else version
        facts = {"model": model, "version": version, "filter": body.get("webhook_events_filter") or EVENTS}
        order = Order(
            body["input"],
            body.get("webhook"),
            lambda story: _course(story, model, body["input"]),
            facts,
            uuid4().hex[:26],
        )
        task = await self.accept(call, order)
        self._set_deadline(task)
        ended = await self._wait(task, call.headers.get("prefer", ""))
        return JSONResponse(self.prediction(task), 201 if ended else 202)

    async def _wait(self, task: Task, prefer: str) -> bool:
        """False when the caller wanted to wait, and the task is not over when its patience is."""
        asked = re.fullmatch(r"wait(?:=(\d+))?", prefer)
        if asked is None:
            return True
        deadline = asyncio.get_running_loop().time() + float(asked[1] or WAIT_SECONDS)
        while not task.over and not self._closing.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
        return task.over

    def _set_deadline(self, task: Task) -> None:
        asked = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", task.call.headers.get("cancel-after", ""))
        if asked is None:
            return
        seconds = float(asked[1]) * {"s": 1, "m": 60, "h": 3600}[asked[2]]
        task.facts["deadline"] = task.created_at + seconds
        self._start(self._stop_after(task, seconds))

    async def _stop_after(self, task: Task, seconds: float) -> None:
        await self._pause(seconds)
        if not task.over and not self._closing.is_set():
            await self._stop(task, "aborted" if task.state == "starting" else "canceled")

    async def _stop(self, task: Task, state: str) -> None:
        task.charged = task.state != "starting"
        task.course = (*task.course[:-1], state)
        self.end(task)
        await self._deliver(task, self._callbacks(task))

    async def _read(self, call: Call, request: Request) -> Response:
        task = self.tasks.get(request.path_params["id"])
        return JSONResponse(self.prediction(task)) if task else self.refusal(Refusal.NOT_FOUND)

    async def _list(self, call: Call, request: Request) -> Response:
        newest = sorted(self.tasks.values(), key=lambda task: task.created_at, reverse=True)
        start = int(call.query.get("cursor", "0"))
        address = f"{self.base_url}/v1/predictions?cursor="
        return JSONResponse(
            {
                "previous": f"{address}{max(0, start - PAGE)}" if start else None,
                "next": f"{address}{start + PAGE}" if start + PAGE < len(newest) else None,
                "results": [self.prediction(task) for task in newest[start : start + PAGE]],
            }
        )

    async def _cancel(self, call: Call, request: Request) -> Response:
        task = self.tasks.get(request.path_params["id"])
        if task is None:
            return self.refusal(Refusal.NOT_FOUND)
        if task.story.cancelable and not task.over:
            await self._stop(task, "canceled")
        return JSONResponse(self.prediction(task))

    async def _version(self, call: Call, request: Request) -> Response:
        if request.path_params["id"] not in VERSIONS:
            return self.refusal(Refusal.NOT_FOUND)
        schema = {"components": {"schemas": {"Output": {"type": "string", "format": "uri"}}}}
        facts = {"id": request.path_params["id"], "created_at": moment(0.0), "cog_version": "0.9.4"}
        return JSONResponse(facts | {"openapi_schema": schema})

    async def _secret(self, call: Call, request: Request) -> Response:
        return JSONResponse({"key": self.webhook_secret})

    async def _upload(self, call: Call, request: Request) -> Response:
        form = read_form(call.headers.get("content-type", ""), call.body)
        if (content := form.get("content")) is None:
            return self.refusal(Refusal.BAD_INPUT)
        body, id, now = content.body, uuid4().hex[:26], self.script.clock()
        metadata = form.get("metadata")
        facts = {
            "id": id,
            "name": content.file_name,
            "content_type": content.content_type,
            "size": len(body),
            "etag": hashlib.md5(body).hexdigest(),
            "checksums": {"sha256": hashlib.sha256(body).hexdigest(), "md5": hashlib.md5(body).hexdigest()},
            "metadata": json.loads(metadata.body) if metadata else {},
            "created_at": moment(now),
            "expires_at": moment(now + 86400),
            "urls": {"get": f"{self.base_url}/v1/files/{id}"},
        }
        self.uploads[id] = (facts, body)
        return JSONResponse(facts, 201)

    async def _file(self, call: Call, request: Request) -> Response:
        if request.path_params["id"] not in self.uploads:
            return self.refusal(Refusal.NOT_FOUND)
        if call.method == "DELETE":
            del self.uploads[request.path_params["id"]]
            return Response(status_code=204)
        return JSONResponse(self.uploads[request.path_params["id"]][0])

    async def _download(self, call: Call, request: Request) -> Response:
        if (kept := self.uploads.get(request.path_params["id"])) is None:
            return self.refusal(Refusal.NOT_FOUND)
        return Response(kept[1], media_type=kept[0]["content_type"])

    # Tasks

    def enter(self, task: Task) -> None:
        if task.state == "output" or (task.succeeded and "output" not in task.times):
            self.keep(task, "output", task.facts.get("content_type", "audio/wav"))

    def prediction(self, task: Task) -> dict[str, Any]:
        """The prediction as it stands, which is the body of its webhooks too."""
        state = "processing" if task.state in ("logs", "output") else task.state
        address = f"{self.base_url}/v1/predictions/{task.id}"
        removed = task.forgotten
        started, completed = task.times.get("processing"), task.times.get(task.state) if task.over else None
        spent = {} if completed is None else {"total_time": completed - task.created_at}
        if completed is not None and started is not None:
            spent["predict_time"] = completed - started
        return {
            "id": task.id,
            "model": task.facts.get("model", ""),
            "version": task.facts.get("version", "hidden"),
            "input": {} if removed else task.input,
            "output": None if removed else self._output(task),
            "logs": "" if removed else _logs(task),
            "error": _error(task) if task.over and state in ("failed", "aborted") else None,
            "status": state,
            "source": "api",
            "created_at": moment(task.created_at),
            "started_at": moment(started),
            "completed_at": moment(completed),
            "data_removed": removed,
            "metrics": spent,
            "urls": {"get": address, "cancel": f"{address}/cancel", "web": f"{self.base_url}/p/{task.id}"},
        } | ({"deadline": moment(task.facts["deadline"])} if "deadline" in task.facts else {})

    def _output(self, task: Task) -> Any:
        url = task.files.get("output")
        if url is None or task.canceled or task.story.ending is Ending.WITHOUT_OUTPUT:
            return None
        shape = task.facts.get("output")
        return shape(self.shelf.fresh(url)) if shape else self.shelf.fresh(url)

    # Webhooks

    def events(self, task: Task) -> tuple[str, ...]:
        told = "start" if task.state == "processing" else "completed" if task.over else task.state
        return (told,) if told in task.facts["filter"] else ()

    def callback(self, task: Task, event: str, forgery: Forgery | None) -> Callback:
        body = json.dumps(self.prediction(task)).encode()
        id, at = f"msg_{uuid4().hex}", self.signed_at(forgery)
        secret = self._new_secret() if forgery is Forgery.WRONG_KEY else self.webhook_secret
        headers = {"Content-Type": "application/json", "webhook-id": id, "webhook-timestamp": at}
        if forgery is not Forgery.UNSIGNED:
            headers["webhook-signature"] = f"v1,{sign(secret, f'{id}.{at}.'.encode() + body)}"
        return Callback(task, event, body + b" " if forgery is Forgery.ALTERED else body, headers)


def sign(secret: str, message: bytes) -> str:
    """HMAC-SHA256 by what stands, in base64, behind `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, message, "sha256")).decode()


def problem(status: int, title: str, detail: str, fields: list[tuple[str, str]] | None = None) -> Response:
    """RFC 7807."""
    told: dict[str, Any] = {"title": title, "detail": detail, "status": status}
    if fields:
        told["invalid_fields"] = [{"type": "invalid", "field": name, "description": text} for name, text in fields]
    return JSONResponse(told, status, media_type="application/problem+json")


def moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _course(story: Story, model: str, input: dict[str, Any]) -> tuple[str, ...]:
    if story.ending is Ending.TIMED_OUT:
        return ("starting", "aborted")
    if story.ending in ERRORS or story.ending is Ending.NEVER or logical_error(model, input):
        return ("starting", "processing", "logs", "failed")
    return ("starting", "processing", "logs", "output", "succeeded")


def _error(task: Task) -> str | None:
    said = task.facts.get("error") or logical_error(task.facts["model"], task.input)
    return said or ERRORS.get(task.story.ending, COMPLAINTS["deadline"])


def _logs(task: Task) -> str:
    if "logs" in task.facts:
        return str(task.facts["logs"])
    return "Using seed: 7\n" + PROGRESS * ("logs" in task.times) + DONE * task.succeeded
