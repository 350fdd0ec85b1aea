"""What all vendors are made of: calls heard and answered or not, tasks that move on, callbacks sent and sent again."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.vendors.script import Call, Ending, Fault, Forgery, Raw, Refusal, Script, Story
from tests.vendors.serving import break_off, served
from tests.vendors.shelf import SUFFIXES, Shelf, default_bytes, page

CALLBACK_SECONDS = 15.0  # what Suno and fal wait for an answer
NO_ANSWER = Response(status_code=500)  # goes into a closed connection
OLD_SECONDS = 3600.0  # every tolerance that a vendor recommends is minutes


@dataclass(frozen=True)
class Order:
    """A create as its vendor read it. `course` says which states a task with this story goes through."""

    input: dict[str, Any]
    callback_url: str | None
    course: Callable[[Story], tuple[str, ...]]
    facts: dict[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass
class Task:
    """What a vendor accepted. `step` counts its vendor's `course`; `facts` are the story's, and what came of them."""

    id: str
    call: Call
    input: dict[str, Any]
    callback_url: str | None
    story: Story
    course: tuple[str, ...]  # the states it goes through, the last is its end
    created_at: float
    step: int = 0
    charged: bool = True
    canceled: bool = False
    forgotten: bool = False  # kept no longer, files and all
    times: dict[str, float] = field(default_factory=dict)  # state → when it began
    files: dict[str, str] = field(default_factory=dict)  # role → URL
    facts: dict[str, Any] = field(default_factory=dict)
    untold: list[Callback] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # callbacks of one task go one after the other

    @property
    def state(self) -> str:
        return self.course[self.step]

    @property
    def over(self) -> bool:
        return self.step == len(self.course) - 1

    @property
    def succeeded(self) -> bool:
        fine = (Ending.SUCCEEDED, Ending.WITHOUT_OUTPUT, Ending.CALLBACK_FAILED)
        return self.over and not self.canceled and self.story.ending in fine


@dataclass(frozen=True)
class Callback:
    """One request to the product, before it is sent. Sent again, it is the same bytes with the same headers."""

    task: Task
    event: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Delivery:
    """A callback that was sent. `status` None: nobody answered."""

    task_id: str
    event: str
    status: int | None
    seconds: float


class VendorServer:
    """In memory, in the loop that entered it. A vendor says its routes, its states and its words."""

    name: ClassVar[str]
    key: ClassVar[str]  # a credential that it takes
    final_events: ClassVar[frozenset[str]] = frozenset()  # callbacks that are repeated until they are answered with 2xx

    def __init__(self, port: int = 0) -> None:
        self.script = Script(frozenset({self.key}))
        self.journal: list[Call] = []
        self.tasks: dict[str, Task] = {}
        self.deliveries: list[Delivery] = []
        self.shelf = Shelf()
        self.base_url = ""
        self._port = port
        self._running: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()
        self._accepted: dict[str | None, list[float]] = {}
        self.client = httpx.AsyncClient(timeout=CALLBACK_SECONDS, follow_redirects=False, trust_env=False, verify=False)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = Starlette(routes=[*self.routes(), Route("/files/{key:path}", self.shelf.serve)])
        self.base_url = self.shelf.base_url = await self._stack.enter_async_context(served(app, self._port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._stack.aclose()
        await self.client.aclose()

    # What a test asks

    def calls(self, name: str) -> list[Call]:
        """The calls of this name, in the order in which they were heard."""
        return [call for call in self.journal if call.name == name]

    def charged(self, *, about: str = "") -> list[Task]:
        """The tasks that cost money; `about` narrows them to those whose request has this text in it."""
        return [task for task in self.tasks.values() if task.charged and about.encode() in task.call.body]

    def outcomes(self, task_id: str) -> list[str]:
        """The events of a task that were delivered and answered with 2xx, in order."""
        return [d.event for d in self.deliveries if d.task_id == task_id and d.status is not None and d.status < 300]

    # What a test does

    async def advance(self, task_id: str, steps: int = 1) -> Task:
        """Move a task on, and send what it calls back."""
        task = self.tasks[task_id]
        for _ in range(steps):
            await self._step(task)
        return task

    async def call_back(self, task_id: str, event: str, *, forgery: Forgery | None = None) -> Delivery:
        """Send a callback of a task as it stands now, whatever was sent before. It is not repeated."""
        delivery = await self._send(self.callback(self.tasks[task_id], event, forgery))
        self.deliveries.append(delivery)
        return delivery

    def forget(self, task_id: str) -> None:
        """Its time of keeping is over: the vendor knows no results of this task any more."""
        self.tasks[task_id].forgotten = True
        self.shelf.remove(task_id)

    async def settled(self) -> None:
        """Wait until all tasks that move by themselves are over and what they call back is sent."""
        while self._running:
            await asyncio.wait(set(self._running))

    # What a vendor says

    @abstractmethod
    def routes(self) -> list[Route]: ...

    @abstractmethod
    def credential(self, headers: dict[str, str]) -> str | None:
        """What the caller proves to be, if it is in this vendor's form."""

    @abstractmethod
    def refusal(self, why: Refusal) -> Response:
        """This vendor's words for it."""

    @abstractmethod
    def events(self, task: Task) -> tuple[str, ...]:
        """The callbacks that the state it has just reached brings, in order."""

    @abstractmethod
    def callback(self, task: Task, event: str, forgery: Forgery | None) -> Callback:
        """A callback in this vendor's words, signed."""

    def signed_at(self, forgery: Forgery | None) -> str:
        """The time that a signature names, in whole seconds."""
        return str(int(self.script.clock() - (OLD_SECONDS if forgery is Forgery.OLD else 0)))

    def enter(self, task: Task) -> None:
        """What happens when a task has reached its state: files, money."""

    # How it works

    def hears(self, name: str, answer: Callable[[Call, Request], Awaitable[Response]]) -> Callable[..., Any]:
        """An endpoint whose calls are written down, admitted, and meet the script's faults."""

        async def endpoint(request: Request) -> Response:
            call = await self._heard(name, request)
            response = await self._admitted(call, request, answer)
            call.status = None if response is NO_ANSWER else response.status_code
            return response

        return endpoint

    async def _heard(self, name: str, request: Request) -> Call:
        headers = dict(request.headers)
        call = Call(
            name,
            request.method,
            request.url.path,
            dict(request.query_params),
            headers,
            await request.body(),
            self.credential(headers),
            time.monotonic(),
        )
        self.journal.append(call)
        return call

    async def _admitted(
        self, call: Call, request: Request, answer: Callable[[Call, Request], Awaitable[Response]]
    ) -> Response:
        if call.key not in self.script.keys:
            return self.refusal(Refusal.BAD_KEY)
        fault = self.script.fault(call) or Fault()
        await self._pause(fault.before_seconds)
        response = await self._done(call, request, answer) if fault.done else None
        await self._pause(fault.after_seconds)
        if fault.cut:
            break_off(request)
            return NO_ANSWER
        if isinstance(fault.answer, Raw):
            return Response(fault.answer.body, fault.answer.status, dict(fault.answer.headers))
        if fault.answer is not None or response is None:
            return self._refused(fault.answer or Refusal.SERVER_ERROR)
        return response

    async def _done(
        self, call: Call, request: Request, answer: Callable[[Call, Request], Awaitable[Response]]
    ) -> Response:
        if call.name == "create" and not self._within_rate(call):
            return self.refusal(Refusal.RATE_LIMITED)
        return await answer(call, request)

    def _refused(self, why: Refusal) -> Response:
        return page(502) if why is Refusal.GATEWAY else self.refusal(why)

    def _within_rate(self, call: Call) -> bool:
        if (rate := self.script.rate) is None:
            return True
        recent = [at for at in self._accepted.get(call.key, []) if at > call.at - rate.seconds]
        self._accepted[call.key] = recent
        if len(recent) >= rate.calls:
            return False
        recent.append(call.at)
        return True

    async def accept(self, call: Call, order: Order) -> Task:
        """Write the task down, charge for it, and let it run."""
        story = self.script.story_of(call)
        at, course = self.script.clock(), order.course(story)
        task = Task(order.id or uuid4().hex, call, order.input, order.callback_url, story, course, at)
        task.facts.update(order.facts | dict(story.facts))
        self.tasks[task.id] = task
        self._enter(task)
        if story.deliveries.early:
            await self._live(task)
        elif story.pace_seconds is not None:
            self._start(self._live(task))
        return task

    async def _live(self, task: Task) -> None:
        while not task.over:
            if task.story.ending is Ending.NEVER and task.step == len(task.course) - 2:
                return
            await asyncio.sleep(task.story.pace_seconds or 0.0)
            await self._step(task)

    async def _step(self, task: Task) -> None:
        if task.over:
            return
        task.step += 1
        self._enter(task)
        task.untold.extend(self._callbacks(task))
        if task.story.deliveries.backwards and not task.over:
            return
        told, task.untold = task.untold, []
        await self._deliver(task, told[::-1] if task.story.deliveries.backwards else told)

    def _enter(self, task: Task) -> None:
        task.times[task.state] = self.script.clock()
        self.enter(task)

    def end(self, task: Task) -> None:
        """The task stops here, without its callbacks: canceled, or too late."""
        task.canceled, task.step = True, len(task.course) - 1
        self._enter(task)

    def _callbacks(self, task: Task) -> list[Callback]:
        how = task.story.deliveries
        if task.callback_url is None or "*" in how.skipped:
            return []
        told = [event for event in self.events(task) if event not in how.skipped]
        return [self.callback(task, event, how.forgery) for event in told]

    async def _deliver(self, task: Task, callbacks: list[Callback]) -> None:
        """In order; whoever waits for the story waits for its callbacks, and the vendor's own work waits for none."""
        for callback in callbacks:
            told = self._deliver_copies(callback)
            if task.story.deliveries.early or task.story.pace_seconds is None:
                await told
            else:
                self._start(told)

    async def _deliver_copies(self, callback: Callback) -> None:
        how = callback.task.story.deliveries
        await self._pause(how.delay_seconds)
        async with callback.task.turn:
            await asyncio.gather(*(self._deliver_one(callback) for _ in range(how.copies)))

    async def _deliver_one(self, callback: Callback) -> None:
        again = self.script.redeliver_seconds if callback.event in self.final_events else ()
        for wait in (*again, None):
            delivery = await self._send(callback)
            self.deliveries.append(delivery)
            if wait is None or (delivery.status is not None and delivery.status < 300):
                return
            await self._pause(wait)

    async def _send(self, callback: Callback) -> Delivery:
        started = time.monotonic()
        assert callback.task.callback_url is not None, "This task was created without a callback."
        try:
            answer = await self.client.post(callback.task.callback_url, content=callback.body, headers=callback.headers)
            status = answer.status_code
        except httpx.HTTPError:
            status = None
        return Delivery(callback.task.id, callback.event, status, time.monotonic() - started)

    def keep(self, task: Task, role: str, content_type: str, *, suffixed: bool = True) -> str:
        """A file of this task on the shelf; its URL."""
        made = self.script.bytes_of or default_bytes
        key = f"{task.id}/{role}" + (SUFFIXES.get(content_type, "") if suffixed else "")
        task.files[role] = self.shelf.put(key, content_type, made(key, content_type), task.story.flaw)
        return task.files[role]

    def _start(self, work: Any) -> None:
        running = asyncio.create_task(work)
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the server ends before."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._closing.wait(), seconds)
            except TimeoutError:
                return
