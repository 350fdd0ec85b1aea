"""Many connections that ask as soon as they were answered, from requests that were made beforehand.

`reads_load.c` does it where there is a C compiler; without one Python does, twice as dear, which shows in the figures
of whatever answers fast: the load shares a core with the database.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.serving import MeasurementFailed

CONNECTIONS = 32
PATIENCE_SECONDS = 20.0  # for one answer: past it there is no figure, only a fault
PROGRAM = Path(__file__).parent / "reads_load.c"
END_OF_HEAD, LENGTH = b"\r\n\r\n", b"content-length:"


@dataclass(frozen=True)
class Target:
    """Requests to one server, each with the bytes of the body that answers it; `file` is where C finds them."""

    url: str
    requests: Sequence[bytes]
    lengths: Sequence[int]
    file: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    @property
    def mean_length(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    def write(self) -> None:
        pairs = zip(self.requests, self.lengths, strict=True)
        self.file.write_bytes(b"".join(struct.pack("=II", len(asks), length) + asks for asks, length in pairs))


@dataclass
class Load:
    """Milliseconds that each answer took, and the seconds that all of them took."""

    latencies: array[float] = field(default_factory=lambda: array("f"))
    seconds: float = 0.0


def compiled(folder: Path) -> Path | None:
    """The load as a program, or None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    program = folder / "load"
    argv = [compiler, "-O2", "-D_GNU_SOURCE", "-o", str(program), str(PROGRAM)]
    return program if subprocess.run(argv, capture_output=True, check=False).returncode == 0 else None


async def run_load(program: Path | None, target: Target, seconds: float) -> Load:
    """Ask for `seconds`, and wait for what is on its way then. Raises `MeasurementFailed`, `OSError`."""
    if program is None:
        return await _in_python(target, seconds)
    argv = [program, target.file, target.port, CONNECTIONS, seconds]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*map(str, argv), stdout=pipe, stderr=pipe)
    try:
        latencies, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise MeasurementFailed(f"The load on {target.url} failed: {told.decode(errors='replace')}")
    load = Load(seconds=float(told))
    load.latencies.frombytes(latencies)
    return load


async def _in_python(target: Target, seconds: float) -> Load:
    loop, address = asyncio.get_running_loop(), urlsplit(target.url)
    load, begin = Load(), time.perf_counter()
    askers = [
        Asker(target, load, number * len(target.requests) // CONNECTIONS, end=begin + seconds)
        for number in range(CONNECTIONS)
    ]
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker, address.hostname, address.port)
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(asker.done for asker in askers))
    load.seconds = time.perf_counter() - begin
    return load


class Asker(asyncio.Protocol):
    """One connection in a closed loop, from `first` on through the requests, until `end` by `perf_counter`."""

    def __init__(self, target: Target, load: Load, first: int, *, end: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests, self._lengths, self._next = target.requests, target.lengths, first
        self._load, self._end = load, end
        self._missing = 0
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        try:
            self._missing = (self._missing or _size_of(data, self._lengths[self._next])) - len(data)
        except MeasurementFailed as fault:
            self.done.set_exception(fault)
            self._transport.abort()
            return
        if self._missing == 0:
            self._answered(time.perf_counter())

    def _answered(self, now: float) -> None:
        self._load.latencies.append((now - self._asked) * 1000)
        if now >= self._end:
            self.done.set_result(None)
            self._transport.close()
            return
        self._next = (self._next + 1) % len(self._requests)
        self._ask()

    def connection_lost(self, fault: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(fault or MeasurementFailed("A server closed the connection in the middle."))


def _size_of(data: bytes, expected: int) -> int:
    """How long head and body are that `data` begins with. Raises `MeasurementFailed` for what was not expected."""
    end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
    head = data[:end].lower()
    at = head.find(LENGTH) + len(LENGTH)
    length = int(head[at : head.find(b"\r", at)]) if at >= len(LENGTH) else -1
    if length != expected or not data.startswith(b"HTTP/1.1 200 "):
        raise MeasurementFailed(f"{expected} bytes were expected, and this came: {data[:500]!r}")
    return end + length
