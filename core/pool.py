"""A process pool for work that would stall the event loop: rendering, encoding, measuring.

`ProcessPoolExecutor` does the queueing; this adds what it lacks: a child dies with its parent (left alone, a
killed parent's children live for ever, since each holds both ends of the pipe that would tell it), one dead
child costs one retry and not the pool, and the children are polite to the event loop they work for.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

NICENESS = 5  # the event loop wins every argument about a core
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class WorkerDiedTwice(Exception):
    """The process doing this work was killed, and so was the one that tried again: out of memory, most likely."""


class PoolClosed(Exception):
    """The pool was closed before or while the work ran."""


class WorkPool:
    """`processes` children, started by `warm` or the first `run`.

    Make and use it on the main thread's event loop: on Linux a child's death signal is tied to the thread
    that started it.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._executor: ProcessPoolExecutor | None = None
        self._closed = False

    def warm(self, *modules: str) -> None:
        """Start all children now and let each import `modules`, so that the first job does not wait for that."""
        for _ in range(self.processes):
            self._running().submit(_import, modules)

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`fn(*args)` in a child; everything crosses by pickle, so `fn` must be importable. Its exceptions
        are raised here.

        When a child dies, every job in the pool is started once more in a fresh one: `fn` must bear to run
        twice. Cancelling drops the job if it has not begun; one that runs is finished and forgotten. Raises
        WorkerDiedTwice and PoolClosed.
        """
        for _ in range(2):
            executor = self._running()
            try:
                return await asyncio.wrap_future(executor.submit(fn, *args, **kwargs))
            except BrokenProcessPool:
                self._drop(executor)
        raise WorkerDiedTwice(getattr(fn, "__name__", str(fn)))

    async def aclose(self) -> None:
        """End the children, also in the middle of a job, and wait until they are gone."""
        self._closed = True
        executor, self._executor = self._executor, None
        if executor is None:
            return
        for child in list(executor._processes.values()):  # `terminate_workers()` from Python 3.14 on
            child.terminate()
        await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)

    def _running(self) -> ProcessPoolExecutor:
        if self._closed:
            raise PoolClosed
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.processes,
                # spawn: a fork of a process with threads and open sockets inherits locks nobody will ever
                # release
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_settle,
                initargs=(os.getpid(),),
            )
        return self._executor

    def _drop(self, broken: ProcessPoolExecutor) -> None:
        """Forget the broken pool; of several jobs that saw it break only the first one does."""
        if self._executor is broken:
            self._executor = None
            broken.shutdown(wait=False, cancel_futures=True)


def _settle(parent: int) -> None:
    """In the child, before any job: die with the parent, leave Ctrl-C to it, and step back."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)


def _import(modules: tuple[str, ...]) -> None:
    for module in modules:
        importlib.import_module(module)
