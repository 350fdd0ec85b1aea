"""Suno as sunoapi.org sells it: HTTP 200 with the code inside, two songs a task, unsigned callbacks in stages.

Calls: create (whatever makes a task), read (any record-info), credit, lyrics_times, persona, style, upload. Facts of a
story: `times_as_text`, `response_as_text`, `upper_case` (of callback types), `text_clips` (the text callback brings
them), `unknown_reads` (int: so many reads find no record yet), `dead_streams` (empty once the songs are done),
`same_takes` (two songs, one sound), `duration`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.vendors import suno_shapes
from tests.vendors.script import Call, Ending, Forgery, Rate, Refusal, Story
from tests.vendors.server import Callback, Order, Task, VendorServer
from tests.vendors.suno_orders import ALL_STEMS, CODES, KINDS, RECORDS, TWO_STEMS, Kind, complaint
from tests.vendors.suno_uploads import uploads

MUSIC_COURSE = ("PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS")
EVENTS = {"TEXT_SUCCESS": "text", "FIRST_SUCCESS": "first"}
# Where a forged callback would lead whoever believes it.
FORGED = "http://169.254.169.254/latest/meta-data"


class Suno(VendorServer):
    """`status_too`: codes inside are the HTTP status as well, which the documentation leaves open."""

    name: ClassVar[str] = "suno"
    key: ClassVar[str] = "suno-loopback"
    final_events: ClassVar[frozenset[str]] = frozenset({"text", "first", "complete", "error"})

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.script.rate = Rate(20, 10.0)
        self.credits = 1_000_000
        self.status_too = False

    def routes(self) -> list[Route]:
        create, read = self.hears("create", self._create), self.hears("read", self._read)
        return [
            *(Route(f"/api/v1/{path}", create, methods=["POST"]) for path in KINDS),
            *(Route(f"/api/v1/{path}", read) for path in RECORDS),
            Route("/api/v1/generate/credit", self.hears("credit", self._credit)),
            Route("/api/v1/generate/get-timestamped-lyrics", self.hears("lyrics_times", self._times), methods=["POST"]),
            Route("/api/v1/generate/generate-persona", self.hears("persona", self._persona), methods=["POST"]),
            Route("/api/v1/style/generate", self.hears("style", self._style), methods=["POST"]),
            *uploads(self),
        ]

    def credential(self, headers: dict[str, str]) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return token if kind == "Bearer" else None

    def refusal(self, why: Refusal) -> Response:
        return self.envelope(*CODES[why])

    def envelope(self, code: int, text: str, data: Any = None) -> Response:
        return JSONResponse({"code": code, "msg": text, "data": data}, code if self.status_too else 200)

    def fine(self, data: Any) -> Response:
        return self.envelope(200, "success", data)

    # Calls

    async def _create(self, call: Call, request: Request) -> Response:
        kind, order = KINDS[call.path.removeprefix("/api/v1/")], call.json
        if not isinstance(order, dict):
            return self.refusal(Refusal.BAD_INPUT)
        if refused := complaint(kind, order) or self._conflict(kind, order):
            return self.envelope(*refused)
        if self.credits < kind.credits:
            return self.refusal(Refusal.NO_CREDITS)
        self.credits -= kind.credits
        task = await self.accept(call, Order(order, order.get("callBackUrl"), _course(kind), {"kind": kind}))
        return self.fine({"taskId": task.id})

    def _conflict(self, kind: Kind, order: dict[str, Any]) -> tuple[int, str] | None:
        """What is made from a song needs one that was made here, and some of it is made only once."""
        if "taskId" not in kind.needs:
            return None
        if order["taskId"] not in self.tasks:
            return CODES[Refusal.NOT_FOUND]
        same = [task for task in self.tasks.values() if task.facts["kind"] == kind and not suno_shapes.failed(task)]
        if kind.name == "wav" and any(task.input["audioId"] == order["audioId"] for task in same):
            return 409, "The WAV record already exists."
        if kind.name == "cover" and any(task.input["taskId"] == order["taskId"] for task in same):
            return 400, "The cover has already been generated."
        return None

    async def _read(self, call: Call, request: Request) -> Response:
        task = self.tasks.get(call.query.get("taskId", ""))
        kinds = RECORDS[call.path.removeprefix("/api/v1/")]
        if task is None or task.facts["kind"].name not in kinds or task.forgotten:
            return self.refusal(Refusal.NOT_FOUND)
        if task.facts.get("unknown_reads", 0) > 0:
            task.facts["unknown_reads"] -= 1
            return self.fine(None) if task.facts["unknown_reads"] % 2 else self.envelope(422, "recordInfo is null")
        return self.fine(suno_shapes.record(task, self._url))

    async def _credit(self, call: Call, request: Request) -> Response:
        return self.fine(self.credits)

    def _song(self, order: Any) -> Task | None:
        task = self.tasks.get(order.get("taskId", "")) if isinstance(order, dict) else None
        return task if task is not None and task.facts["kind"].music and task.over else None

    async def _times(self, call: Call, request: Request) -> Response:
        if (task := self._song(call.json)) is None:
            return self.refusal(Refusal.NOT_FOUND)
        words = [] if task.input.get("instrumental") else ["La ", "la ", "la"]
        aligned = [
            {"word": word, "success": True, "startS": n * 0.1, "endS": n * 0.1 + 0.1, "palign": 0}
            for n, word in enumerate(words)
        ]
        return self.fine({"alignedWords": aligned, "waveformData": [0.0, 0.3], "hootCer": 0.1, "isStreamed": False})

    async def _persona(self, call: Call, request: Request) -> Response:
        if self._song(call.json) is None:
            return self.refusal(Refusal.NOT_FOUND)
        if any(one.json["audioId"] == call.json["audioId"] for one in self.calls("persona")[:-1]):
            return self.refusal(Refusal.CONFLICT)
        told = {name: call.json.get(name) for name in ("name", "description")}
        return self.fine({"personaId": uuid4().hex, **told})

    async def _style(self, call: Call, request: Request) -> Response:
        result = {"taskId": uuid4().hex, "result": f"{call.json['content']}, warm, wide", "successFlag": "1"}
        return self.fine(result | {"creditsConsumed": 0.4, "creditsRemaining": self.credits})

    # Tasks

    def enter(self, task: Task) -> None:
        kind: Kind = task.facts["kind"]
        if kind.music:
            self._sing(task)
        elif task.succeeded:
            self._make(task, kind)

    def _sing(self, task: Task) -> None:
        count = 2 if task.story.outputs is None else task.story.outputs
        task.facts.setdefault("clips", [str(uuid4()) for _ in range(count)])
        for index in range(count):
            if task.step == 1:
                self.keep(task, f"stream-{index}", "audio/mpeg", suffixed=False)
                self.keep(task, f"image-{index}", "image/png")
            if (task.succeeded or (index == 0 and task.step == 2)) and f"clip-{index}" not in task.files:
                self.keep(task, f"clip-{index}", "audio/mpeg")
        if task.succeeded and task.facts.get("same_takes"):
            self._shelved(task, "clip-1").body = self._shelved(task, "clip-0").body
        if task.succeeded and task.facts.get("dead_streams"):
            for index in range(count):
                self._shelved(task, f"stream-{index}").body = b""

    def _make(self, task: Task, kind: Kind) -> None:
        task.facts["stems"] = ALL_STEMS if task.input.get("type") == "split_stem" else TWO_STEMS
        roles = {
            "stems": [(name, "audio/mpeg") for name in task.facts["stems"]],
            "wav": [("wav", "audio/wav")],
            "mp4": [("mp4", "video/mp4")],
            "cover": [("image-0", "image/png"), ("image-1", "image/png")],
        }
        for role, content_type in roles.get(kind.name, []):
            self.keep(task, role, content_type)

    def _shelved(self, task: Task, role: str) -> Any:
        return self.shelf.files[self.shelf.key(task.files[role])]

    def _url(self, task: Task, role: str) -> str:
        return self.shelf.fresh(task.files[role]) if role in task.files else ""

    # Callbacks

    def events(self, task: Task) -> tuple[str, ...]:
        if not task.over:
            return (EVENTS[task.state],) if task.state in EVENTS else ()
        if task.story.ending is Ending.CALLBACK_FAILED:
            return ()
        return ("error",) if suno_shapes.failed(task) else ("complete",)

    def callback(self, task: Task, event: str, forgery: Forgery | None) -> Callback:
        body = json.dumps(suno_shapes.callback(task, event, self._url))
        if forgery is not None:
            body = body.replace(self.base_url, FORGED)
        return Callback(task, event, body.encode(), {"Content-Type": "application/json"})


def _course(kind: Kind) -> Any:
    def course(story: Story) -> tuple[str, ...]:
        return MUSIC_COURSE if kind.music else ("PENDING", "SUCCESS")

    return course
