"""Direct child processes that do not outlive us, and one that is started again whenever it ends.

The kernel sends a child its stop signal when we die, even by SIGKILL (PR_SET_PDEATHSIG). That promise is tied
to the *thread* which started the child, so children are started from the main thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Loaded before any fork: between fork and exec a child must not import, and only calls what is already here.
_libc = ctypes.CDLL(None, use_errno=True)

# A child that fails at once is tried again quickly, then ever more slowly: a full disk is not filled with
# attempts. One that ran for ten seconds had started well, so its next failure counts as a first one.
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS, SETTLED_SECONDS = 0.2, 5.0, 10.0

# How often a starting child is asked whether it answers: an engine needs 30 to 100 ms.
ASK_SECONDS = 0.01


class StartedOutsideTheMainThread(RuntimeError):
    """A child started here would be stopped as soon as this thread ends."""


class ChildEnded(Exception):
    """The child ended before it was of use; `status` is its exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.status = status


@dataclass(frozen=True)
class Account:
    """The user and group id that a child runs under."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, as whom, and how it wishes to be stopped.

    `account` None runs it as ourselves; `environment` None passes ours on; `output` is a descriptor for both
    of its outputs, None leaves them where ours go. `keep_open` are descriptors that it inherits. `executable`
    is the file to run where that is not `argv[0]`. `before_exec` runs in the child, as the account, after the
    fork.
    """

    argv: Sequence[str]
    executable: str | None = None
    account: Account | None = None
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    stdin: bytes = field(default=b"", repr=False)
    output: int | None = None
    keep_open: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    before_exec: Callable[[], None] | None = None


class Child:
    """A running child process, in its own session: a Ctrl-C in the terminal reaches only us."""

    def __init__(self, process: subprocess.Popen[bytes], program: Program, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = process.pid
        self._process = process
        self._program = program
        self._loop = loop
        self._ended: asyncio.Future[int] = loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # What it left behind in its session goes with it; before it is reaped, while its number is still its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended.set_result(self._process.wait())

    @property
    def running(self) -> bool:
        return not self._ended.done()

    async def wait(self) -> int:
        """The exit status, negative for the signal that ended it. Any number of tasks may wait."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Ask it to end, and after its time is up, end it. Returns when it is gone."""
        if self.running:
            self._process.send_signal(self._program.stop_signal)
            await asyncio.wait([self._ended], timeout=self._program.stop_seconds)
        if self.running:
            self._process.kill()
        await self.wait()

    async def until(self, answers: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Wait until `answers()`. Raises `ChildEnded` if it ends before, `TimeoutError` after `seconds`."""
        async with asyncio.timeout(seconds):
            while not await answers():
                await asyncio.wait([self._ended], timeout=ASK_SECONDS)
                if not self.running:
                    raise ChildEnded(self._ended.result())


def spawn(program: Program) -> Child:
    """Start it. Raises `OSError` when it cannot be run, `StartedOutsideTheMainThread`."""
    if threading.current_thread() is not threading.main_thread():
        raise StartedOutsideTheMainThread(f"{program.argv[0]} must be started from the main thread")
    loop, account = asyncio.get_running_loop(), program.account
    process = subprocess.Popen(  # noqa: S603  no shell, and no argument comes from outside
        program.argv,
        executable=program.executable,
        cwd=program.folder,
        env=program.environment,
        stdin=subprocess.PIPE if program.stdin else subprocess.DEVNULL,
        stdout=program.output,
        stderr=program.output,
        pass_fds=program.keep_open,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=_die_with(os.getpid(), program),
    )
    if process.stdin:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(program.stdin)
    return Child(process, program, loop)


def _die_with(parent: int, program: Program) -> Callable[[], None]:
    """What the child does between fork and exec: after the change of user, which would undo it."""

    def tie_to_parent() -> None:
        if program.before_exec:
            program.before_exec()
        if _libc.prctl(PR_SET_PDEATHSIG, int(program.stop_signal), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:  # it died in between, and its death has been told to nobody
            os._exit(1)

    return tie_to_parent


class Supervisor:
    """Keeps one child running: `start` it, and it is started again with a growing delay until `stop`.

    `start_child` starts the child, waits until it is of use, and cleans up after itself where it fails.
    """

    def __init__(self, name: str, start_child: Callable[[], Awaitable[Child]], *, log: Any = None) -> None:
        self._name = name
        self._start_child = start_child
        self._log = log or structlog.get_logger()
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process, None while there is none."""
        return self._child.pid if self._child and self._child.running else None

    async def start(self) -> None:
        """The first start, whose failure is the caller's; later ones are logged and tried again."""
        self._child = await self._start_child()
        self._watch = asyncio.create_task(self._keep_running(), name=f"keep {self._name} running")

    async def stop(self) -> None:
        """End the child for good. Doing it twice is harmless."""
        if self._watch:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._child:
            await self._child.stop()

    async def _keep_running(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            started = asyncio.get_running_loop().time()
            if self._child:
                status = await self._child.wait()
                self._log.warning("child.exited", child=self._name, pid=self._child.pid, status=status)
                self._child = None
            if asyncio.get_running_loop().time() - started >= SETTLED_SECONDS:
                delay = FIRST_DELAY_SECONDS
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_SECONDS)
            try:
                self._child = await self._start_child()
                self._log.info("child.restarted", child=self._name, pid=self._child.pid)
            except Exception as error:  # whatever it was, giving up would leave the product without its engine
                self._log.error("child.start_failed", child=self._name, reason=str(error))
