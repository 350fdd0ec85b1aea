"""A real `python server.py` on a data directory of its own: started, watched from outside, stopped with all it started.

Of the product only `core.children` is imported, for a child that does not outlive us; what is measured is what users
run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.children import Child, Program, spawn

REPOSITORY = Path(__file__).parent.parent

# What would make the server work elsewhere, or otherwise, than as it comes.
OURS = ("ANTIPHON_", "DATABASE_URL", "REDIS_URL", "STORAGE_URL", "PUBLIC_URL", "DEFAULT_PROVIDER")

ANSWER_SECONDS = 60.0  # the slowest start seen took 6.3 s: nothing compiled, and a machine busy with other work
STOP_SECONDS = 30.0  # the server itself gives its worker 15 s
ASK_SECONDS = 0.02  # between two looks at a starting server: finer than the spread of the figures

API, WORKER, POOL, POSTGRES, VALKEY = "API", "worker", "pool", "PostgreSQL", "Valkey"
ROLES = (API, WORKER, POOL, POSTGRES, VALKEY)


class MeasurementFailed(Exception):
    """Why there is no figure, in a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    role: str


@dataclass(frozen=True)
class Memory:
    """Bytes resident. `pss` divides a common page among its users, so that sums are true; `rss` counts it for each."""

    rss: int
    pss: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss)


@dataclass(frozen=True)
class Started:
    """A running server. Seconds are counted from just before it was spawned."""

    url: str
    pid: int
    answer_seconds: float
    worker_seconds: float


@dataclass(frozen=True)
class Place:
    """Where servers of one benchmark keep their files: `root` is removed with everything in it."""

    root: Path

    def data(self, name: str) -> Path:
        return self.root / name

    @property
    def log(self) -> Path:
        return self.root / "server.log"


@contextmanager
def temporary_place() -> Iterator[Place]:
    """Below TMPDIR. Raises `MeasurementFailed` when that cannot be written to."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="antiphon-bench-", ignore_cleanup_errors=True)
    except OSError as fault:
        raise MeasurementFailed(f"No temporary directory can be made ({fault}): set TMPDIR to one with room.") from None
    with folder as root:
        os.chmod(root, 0o711)  # started by root, the engines run under another user id and must pass through
        yield Place(Path(root))


@asynccontextmanager
async def serving(place: Place, data: str) -> AsyncIterator[Started]:
    """The server on the data directory `data`, with its worker up. Raises `MeasurementFailed`."""
    port = _free_port()
    with place.log.open("ab") as log:
        program = Program(
            argv=(sys.executable, "server.py"),
            folder=REPOSITORY,
            environment=_environment(place, data, port),
            output=log.fileno(),
            stop_seconds=STOP_SECONDS,
        )
        spawned = time.perf_counter()
        child = spawn(program)
    try:
        yield await _until_up(child, place, f"http://127.0.0.1:{port}", spawned)
    finally:
        await child.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(place: Place, data: str, port: int) -> dict[str, str]:
    """The caller's, less what steers the product; Python's bytecode goes to a cache that begins empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # it costs 3 s a start, which no installation has
    return kept | {
        "PYTHONPYCACHEPREFIX": str(place.root / "bytecode"),
        "ANTIPHON_PORT": str(port),
        "ANTIPHON_DATA_DIR": str(place.data(data)),
    }


async def _until_up(child: Child, place: Place, url: str, spawned: float) -> Started:
    try:
        async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS, trust_env=False) as client:
            await child.until(lambda: _answers(client), seconds=ANSWER_SECONDS)
            answered = time.perf_counter()
            await child.until(lambda: _worker_lives(client), seconds=ANSWER_SECONDS)
            return Started(url, child.pid, answered - spawned, time.perf_counter() - spawned)
    except Exception as fault:
        reason = str(fault) or type(fault).__name__
        raise MeasurementFailed(f"The server did not come up ({reason}). It said last:\n{_tail(place.log)}") from fault


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
    except httpx.TransportError:
        return False
    return bool(answer.json() == {"data": {"__typename": "Query"}})


async def _worker_lives(client: httpx.AsyncClient) -> bool:
    await asyncio.sleep(ASK_SECONDS)
    return bool((await client.get("/health")).json()["services"]["worker"] == "up")


def _tail(log: Path, lines: int = 10) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def processes(root: int) -> list[Process]:
    """The process `root` and everything below it, with what each is for."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            below.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [Process(root, 0, API)]
    for process in found:  # it grows while we walk: breadth first, so a parent's role is known before its children's
        found += [Process(pid, process.pid, _role(pid, process.role)) for pid in below.get(process.pid, ())]
    return found


def _stat(pid: int) -> list[str]:
    """The words of proc_pid_stat(5) from the third on; none for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _role(pid: int, parent_role: str) -> str:
    """What the server starts is told apart by its command, what those start by who did."""
    if parent_role != API:
        return POOL if parent_role == WORKER else parent_role
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return API
    if "jobs.worker.WorkerSettings" in command:
        return WORKER
    program = command[0].rpartition("/")[2]  # Valkey writes its address after its name
    return {"postgres": POSTGRES, "valkey-server": VALKEY}.get(program.partition(" ")[0], API)


def memory(root: int) -> dict[str, Memory]:
    """What each role takes now. Raises `MeasurementFailed` where the kernel does not tell."""
    taken = {role: Memory(0, 0) for role in ROLES}
    for process in processes(root):
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError as fault:
            raise MeasurementFailed(f"The memory of process {process.pid} cannot be read ({fault}).") from fault
        taken[process.role] += _memory(rollup)
    return taken


def _memory(rollup: str) -> Memory:
    """Empty for a process that is just ending."""
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in rollup.splitlines()[1:])}
    return Memory(kib.get("Rss", 0) * 1024, kib.get("Pss", 0) * 1024)


def processor_seconds(root: int) -> float:
    """What `root` and everything below it that still runs have used of the processors so far."""
    ticks = sum(int(used) for process in processes(root) for used in _stat(process.pid)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def paused_worker(server: int) -> Iterator[None]:
    """The worker below `server` and its pool stand still meanwhile."""
    with ExitStack() as stack:
        stopped = [process.pid for process in processes(server) if process.role in (WORKER, POOL)]
        if not stopped:
            raise MeasurementFailed("The server runs no worker that could be paused.")
        for pid in stopped:
            _pause(stack, pid)
        yield


def _pause(stack: ExitStack, pid: int) -> None:
    """Until `stack` closes. By descriptor, as a number may have become another process's by then."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        stack.callback(os.close, handle)
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        stack.callback(_go_on, handle)


def _go_on(handle: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGCONT)
