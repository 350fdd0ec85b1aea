"""`/health`: which parts answer. 200 as long as the database does, since reads and writes then work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

T = TypeVar("T")

Check = Callable[[], Awaitable[bool]]

# A part that needs longer than this is as good as down for whoever waits for it.
PATIENCE = 2.0
ASK_EVERY = 0.1  # seconds between two looks at a part that is starting


async def given_up(work: Awaitable[T], *, after_seconds: float) -> T | None:
    """What `work` gives; None when it takes too long. It is not waited for then, not even for its tidying up: to give
    a connection back to a frozen database takes as long as to ask it (2 s more, measured)."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody else looks at it
    try:
        await asyncio.wait({task}, timeout=after_seconds)
        return task.result() if task.done() else None
    finally:
        task.cancel()


async def ask(check: Check) -> bool:
    try:
        return bool(await given_up(check(), after_seconds=PATIENCE))
    except Exception:
        return False


async def answers_within(check: Check, seconds: float) -> bool:
    """Ask until the answer is yes, for at most so many seconds."""
    for _ in range(int(seconds / ASK_EVERY)):
        if await ask(check):
            return True
        await asyncio.sleep(ASK_EVERY)
    return await ask(check)


async def ask_all(checks: Mapping[str, Check]) -> dict[str, bool]:
    answers = await asyncio.gather(*(ask(check) for check in checks.values()))
    return dict(zip(checks, answers, strict=True))


def health_route(checks: Mapping[str, Check]) -> Route:
    """`checks` has `database`, `redis`, `storage` and `worker`."""

    async def health(request: Request) -> JSONResponse:
        up = await ask_all(checks)
        return JSONResponse(
            {
                "status": "healthy" if all(up.values()) else "degraded",
                "services": {name: "up" if answers else "down" for name, answers in up.items()},
            },
            status_code=200 if up["database"] else 503,
            headers={"Cache-Control": "no-store"},
        )

    return Route("/health", health)
