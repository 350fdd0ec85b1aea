"""fal.ai: the queue, its results, ED25519-signed webhooks with keys that rotate, storage.

Calls: create, read, result, cancel, jwks, token, upload, initiate. Facts of a story: `payload_error` (str: the webhook
has no payload), `error_body` (any JSON) and `error_status` of a failing result, `gateway_request_id`, `content_type`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.vendors.fal_models import MODELS, complaints, result
from tests.vendors.script import Call, Ending, Forgery, Refusal, Story
from tests.vendors.server import Callback, Order, Task, VendorServer

REFUSALS = {
    Refusal.BAD_KEY: (401, "authorization_error", "Cannot access application. Authentication is required."),
    Refusal.NO_CREDITS: (403, "forbidden", "User is locked. Reason: Exhausted balance. Top up your balance."),
    Refusal.RATE_LIMITED: (429, "too_many_requests", "Concurrent requests limit reached."),
    Refusal.BAD_INPUT: (400, "bad_request", "The request body is not valid."),
    Refusal.TOO_LONG: (413, "bad_request", "The request body is too large."),
    Refusal.MODERATED: (422, "content_policy_violation", "The content was flagged by a content checker."),
    Refusal.NOT_FOUND: (404, "not_found", "Not found"),
    Refusal.CONFLICT: (409, "conflict", "Conflict"),
    Refusal.MAINTENANCE: (503, "runner_scheduling_failure", "No runner is available."),
    Refusal.SERVER_ERROR: (500, "internal_error", "Internal server error"),
}
RETRYABLE = {429, 500, 503, 504}
FLAGGED = {
    "loc": ["body", "prompt"],
    "msg": "The content could not be processed because it was flagged by a content checker.",
    "type": "content_policy_violation",
    "url": "https://docs.fal.ai/errors/#content_policy_violation",
}
USER_ID = "auth0|loopback"


class Fal(VendorServer):
    name: ClassVar[str] = "fal"
    key: ClassVar[str] = "loopback-id:loopback-secret"
    final_events: ClassVar[frozenset[str]] = frozenset({"completed"})

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.signing_key = Ed25519PrivateKey.generate()
        self.published = [self.signing_key]

    @property
    def jwks_url(self) -> str:
        return f"{self.base_url}/.well-known/jwks.json"

    def rotate_key(self, *, keep_old: bool = True) -> None:
        """Webhooks are signed by a new key from now on; `keep_old`: the old ones stay published."""
        self.signing_key = Ed25519PrivateKey.generate()
        self.published = [*(self.published if keep_old else ()), self.signing_key]

    def routes(self) -> list[Route]:
        one = "/{owner}/{alias}/requests/{id}"
        result = self.hears("result", self._result)
        return [
            # Public there too: no key is asked for.
            Route("/.well-known/jwks.json", self._jwks),
            Route("/storage/auth/token", self.hears("token", self._token), methods=["POST"]),
            Route("/storage/upload/initiate", self.hears("initiate", self._initiate), methods=["POST"]),
            Route("/storage/put/{key:path}", self._put, methods=["PUT"]),
            Route("/files/upload", self.hears("upload", self._upload), methods=["POST"]),
            Route(f"{one}/status", self.hears("read", self._status)),
            Route(f"{one}/status/stream", self.hears("read", self._stream)),
            Route(f"{one}/cancel", self.hears("cancel", self._cancel), methods=["PUT"]),
            Route(one, result),
            Route(f"{one}/response", result),
            Route("/{model:path}", self.hears("create", self._create), methods=["POST"]),
        ]

    def credential(self, headers: dict[str, str]) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind == "Bearer" and token == f"cdn-{self.key}":  # what `_token` gave, for uploads
            return self.key
        return token if kind == "Key" else None

    def refusal(self, why: Refusal) -> Response:
        status, kind, text = REFUSALS[why]
        detail: Any = [FLAGGED] if why is Refusal.MODERATED else text
        return _error(status, detail, kind)

    # The queue

    async def _create(self, call: Call, request: Request) -> Response:
        model = request.path_params["model"]
        if model not in MODELS:
            return _error(404, f'Application "{model}" not found', "not_found")
        if not isinstance(call.json, dict):
            return self.refusal(Refusal.BAD_INPUT)
        input = call.json
        facts = {"model": model, "gateway_request_id": None}
        order = Order(input, call.query.get("fal_webhook"), _course, facts, str(uuid4()))
        task = await self.accept(call, order)
        return JSONResponse(self._ids(task) | {"status": "IN_QUEUE", "queue_position": 0})

    def _ids(self, task: Task) -> dict[str, Any]:
        owner, alias = task.facts["model"].split("/")[:2]
        address = f"{self.base_url}/{owner}/{alias}/requests/{task.id}"
        return {
            "request_id": task.id,
            "gateway_request_id": task.facts["gateway_request_id"] or task.id,
            "response_url": address,
            "status_url": f"{address}/status",
            "cancel_url": f"{address}/cancel",
        }

    def _known(self, request: Request) -> Task | None:
        task = self.tasks.get(request.path_params["id"])
        here = f"{request.path_params['owner']}/{request.path_params['alias']}"
        known = task is not None and not task.forgotten and "/".join(task.facts["model"].split("/")[:2]) == here
        return task if known else None

    async def _status(self, call: Call, request: Request) -> Response:
        if (task := self._known(request)) is None:
            return self.refusal(Refusal.NOT_FOUND)
        return JSONResponse(self.status(task, call.query.get("logs") in ("1", "true")), 200 if task.over else 202)

    def status(self, task: Task, logs: bool) -> dict[str, Any]:
        told = self._ids(task) | {"status": task.state, "logs": None}
        if task.state == "IN_QUEUE":
            return told | {"queue_position": 0}
        if logs:
            told["logs"] = [
                {
                    "message": "Generating: 37%",
                    "level": "INFO",
                    "source": "USER",
                    "timestamp": "2026-01-01T00:00:00.000000",
                }
            ]
        if not task.over:
            return told
        told["metrics"] = {"inference_time": task.times["COMPLETED"] - task.times.get("IN_PROGRESS", task.created_at)}
        status, body, kind = self._outcome(task)
        if status != 200:
            text = body["detail"] if isinstance(body["detail"], str) else f"Invalid status code: {status}"
            told |= {"error": text, "error_type": kind}
        return told

    async def _stream(self, call: Call, request: Request) -> Response:
        if (task := self._known(request)) is None:
            return self.refusal(Refusal.NOT_FOUND)
        return StreamingResponse(self._watch(task), media_type="text/event-stream")

    async def _watch(self, task: Task) -> AsyncIterator[str]:
        told = -1
        while not self._closing.is_set() and not (task.over and told == task.step):
            if told != task.step:
                told = task.step
                yield f"data: {json.dumps(self.status(task, True))}\n\n"
            else:
                await self._pause(0.01)

    async def _result(self, call: Call, request: Request) -> Response:
        if (task := self._known(request)) is None:
            return self.refusal(Refusal.NOT_FOUND)
        if not task.over:
            return _error(400, "Request is still in progress", "bad_request")
        status, body, kind = self._outcome(task)
        return JSONResponse(body) if status == 200 else _error(status, body["detail"], kind)

    async def _cancel(self, call: Call, request: Request) -> Response:
        if (task := self._known(request)) is None:
            return JSONResponse({"status": "NOT_FOUND"}, 404)
        if task.over:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        if task.story.cancelable:
            task.charged = task.state != "IN_QUEUE"
            self.end(task)
            await self._deliver(task, self._callbacks(task))
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    # Results

    def enter(self, task: Task) -> None:
        if task.over and not task.canceled:
            task.charged = self._outcome(task)[0] < 500  # a 422 may be billed there, a 5xx is not

    def _outcome(self, task: Task) -> tuple[int, Any, str | None]:
        """The result as HTTP status, body and `error_type`."""
        if task.canceled:
            return 499, {"detail": "Request was cancelled by the client."}, "client_cancelled"
        ending, wrong = task.story.ending, complaints(task.facts["model"], task.input)
        if "error_body" in task.facts:
            return task.facts.get("error_status", 422), task.facts["error_body"], task.facts.get("error_type")
        if wrong or ending is Ending.BAD_INPUT:
            missing = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing", "input": task.input}
            return 422, {"detail": wrong or [missing]}, None
        if ending is Ending.MODERATED:
            return 422, {"detail": [FLAGGED | {"input": task.input}]}, "content_policy_violation"
        if ending is Ending.FAILED:
            return 500, {"detail": "Runner crashed."}, "runner_server_error"
        if ending is Ending.TIMED_OUT:
            return 504, {"detail": "Request timed out before it started."}, "request_timeout"
        if ending is Ending.WITHOUT_OUTPUT:
            return 422, {"detail": [{"loc": ["body"], "msg": "No media.", "type": "no_media_generated"}]}, None
        return 200, result(task.facts["model"], task.input, lambda role, kind: self._file(task, role, kind)), None

    def _file(self, task: Task, role: str, content_type: str) -> dict[str, Any]:
        content_type = task.facts.get("content_type", content_type)
        url = task.files.get(role) or self.keep(task, role, content_type)
        key = self.shelf.key(url)
        size = len(self.shelf.files[key].body) if key in self.shelf.files else 0
        name = key.rsplit("/", 1)[-1]
        return {"url": self.shelf.fresh(url), "content_type": content_type, "file_name": name, "file_size": size}

    # Webhooks

    def events(self, task: Task) -> tuple[str, ...]:
        return ("completed",) if task.over else ()

    def callback(self, task: Task, event: str, forgery: Forgery | None) -> Callback:
        body = json.dumps(self._payload(task)).encode()
        at = self.signed_at(forgery)
        signer = Ed25519PrivateKey.generate() if forgery is Forgery.WRONG_KEY else self.signing_key
        message = "\n".join((task.id, USER_ID, at, hashlib.sha256(body).hexdigest()))
        headers = {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": task.id,
            "X-Fal-Webhook-User-Id": USER_ID,
            "X-Fal-Webhook-Timestamp": at,
        }
        if forgery is not Forgery.UNSIGNED:
            headers["X-Fal-Webhook-Signature"] = signer.sign(message.encode()).hex()
        return Callback(task, event, body + b" " if forgery is Forgery.ALTERED else body, headers)

    def _payload(self, task: Task) -> dict[str, Any]:
        status, body, _ = self._outcome(task)
        told = {"request_id": task.id, "gateway_request_id": self._ids(task)["gateway_request_id"]}
        if "payload_error" in task.facts:
            return told | {"status": "OK", "payload": None, "payload_error": task.facts["payload_error"]}
        if status == 200:
            return told | {"status": "OK", "payload": body}
        return told | {"status": "ERROR", "error": f"Invalid status code: {status}", "payload": body}

    async def _jwks(self, request: Request) -> Response:
        await self._heard("jwks", request)
        keys = [OKPKey.import_key(key.public_key()).as_dict(private=False) for key in self.published]
        return JSONResponse({"keys": [{name: key[name] for name in ("kty", "crv", "x")} for key in keys]})

    # Storage

    async def _token(self, call: Call, request: Request) -> Response:
        expires = "2099-01-01T00:00:00+00:00"
        token = {"token": f"cdn-{call.key}", "token_type": "Bearer", "base_url": self.base_url, "expires_at": expires}
        return JSONResponse(token)

    async def _upload(self, call: Call, request: Request) -> Response:
        name, kind = call.headers.get("x-fal-file-name", "upload.bin"), call.headers.get("content-type", "")
        return JSONResponse({"access_url": self.shelf.put(f"uploads/{uuid4().hex}/{name}", kind, call.body)})

    async def _initiate(self, call: Call, request: Request) -> Response:
        key = f"uploads/{uuid4().hex}/{call.json['file_name']}"
        file_url = self.shelf.put(key, call.json["content_type"], b"")
        kept = self.shelf.key(file_url)
        return JSONResponse({"upload_url": f"{self.base_url}/storage/put/{kept}", "file_url": file_url})

    async def _put(self, request: Request) -> Response:
        self.shelf.files[request.path_params["key"]].body = await request.body()
        return Response()


def _course(story: Story) -> tuple[str, ...]:
    return ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")


def _error(status: int, detail: Any, kind: str | None) -> Response:
    """A model's own errors are a list in `detail`, the platform's a text with `error_type`."""
    headers = {"X-Fal-Request-Id": str(uuid4()), "X-Fal-Retryable": str(status in RETRYABLE).lower()}
    if isinstance(detail, list):
        return JSONResponse({"detail": detail}, status, headers)
    if kind == "request_timeout":
        headers["X-Fal-Request-Timeout-Type"] = "user"
    return JSONResponse({"detail": detail, "error_type": kind}, status, headers | {"X-Fal-Error-Type": kind or ""})
