"""Child processes: started again when they end, ended with all they started."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
import structlog

from core.children import Child, Program, StartedOutsideTheMainThread, Supervisor, spawn
from tests.engines import (
    eventually,
    exists,
    logged,
)


@pytest.mark.anyio
async def test_a_child_that_keeps_failing_is_tried_again_until_it_works() -> None:
    """Its first run is asked for; the second and third cannot start; the fourth can."""
    runs = iter([("sh", "-c", "exit 7"), ("/missing",), ("/missing",), ("sleep", "60")])

    async def start() -> Child:
        return spawn(Program(argv=next(runs)))

    with structlog.testing.capture_logs() as log:
        supervisor = Supervisor("worker", start)
        await supervisor.start()
        await logged(log, "child.restarted", 1)
        pid = supervisor.pid
        await supervisor.stop()
    assert [entry["event"] for entry in log] == [
        "child.exited",
        "child.start_failed",
        "child.start_failed",
        "child.restarted",
    ]
    assert log[0]["status"] == 7
    assert pid is not None
    assert not exists(pid)


@pytest.mark.anyio
async def test_a_child_that_ignores_its_signal_is_ended_with_all_it_started() -> None:
    script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 0.1; done"
    read, write = os.pipe()
    child = spawn(Program(argv=["/bin/sh", "-c", script], output=write, stop_seconds=0.2))
    os.close(write)
    with os.fdopen(read) as output:
        grandchild = int(await asyncio.to_thread(output.readline))
        await child.stop()
    assert await child.wait() == -signal.SIGKILL
    eventually(lambda: not exists(grandchild), "its own child lives on")


@pytest.mark.anyio
async def test_a_child_is_not_started_from_a_thread_that_may_end_before_it() -> None:
    refused: list[BaseException] = []

    def attempt() -> None:
        try:
            spawn(Program(argv=["sleep", "60"]))
        except StartedOutsideTheMainThread as reason:
            refused.append(reason)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(refused) == 1
