"""How long until it answers, how long a track takes, how many can be asked for, and what it costs in memory.

`python -m bench.first_light [--quick] [--json FILE]`. `docs/benchmarks.md` says what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
import websockets

from bench.serving import (
    ROLES,
    MeasurementFailed,
    Memory,
    Place,
    Started,
    memory,
    paused_worker,
    processor_seconds,
    serving,
    temporary_place,
)

AUDIO_SECONDS = 30.0
PROMPT = {"prompt": "rainy lo-fi evening, warm piano", "tags": ["lo-fi", "calm"], "durationSeconds": AUDIO_SECONDS}
MIB = 1024 * 1024
MADE = 0.75  # a generation's progress once the provider has made everything and only the storing is left

CONNECTIONS = 16  # enough to keep two cores busy; more only wait longer
WARM_SECONDS = 1.0  # in which connections to the database open; not counted
PATIENCE_SECONDS = 60.0  # for one answer, or one track: past it there is no figure, only a fault
SAMPLE_SECONDS = 0.2  # between two looks at the memory; one look takes 16 ms

# What a run may end in besides: no disk, or a server that went away in the middle.
FAULTS = (OSError, EOFError, httpx.HTTPError, websockets.WebSocketException)

REGISTER = """mutation ($email: String!) { register(input: {email: $email, password: "a long enough secret"}) {
  session { accessToken } errors { code message } } }"""
GENERATE = """mutation ($input: GenerateTrackInput!) { generateTrack(input: $input) {
  track { id } generation { id status } errors { code message } } }"""
FOLLOW = """subscription { trackUpdates { kind trackId
  track { status generations(first: 1) { nodes { status progress error { code message } } } } } }"""


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    starts: int = 5
    tracks: int = 15
    load_seconds: float = 10.0


QUICK = Amount(starts=2, tracks=3, load_seconds=3.0)


@dataclass(frozen=True)
class Splits:
    """When a subscriber saw a track get there, in seconds since just before it was asked for."""

    processing: float
    made: float
    completed: float


@dataclass(frozen=True)
class Tracks:
    """`processor_seconds` is what one of them took of the processors, which other work on the machine sways least."""

    splits: list[Splits]
    processor_seconds: float


@dataclass(frozen=True)
class Load:
    """Answers to `generateTrack` in `seconds`: `latencies` in seconds of those that made a track, `errors` by code."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


@dataclass
class Report:
    """Every figure, as it is written by `--json`."""

    machine: dict[str, Any]
    starts: dict[str, list[Started]] = field(default_factory=dict)
    memory: dict[str, dict[str, Memory]] = field(default_factory=dict)
    tracks: Tracks | None = None
    load: Load | None = None


class Studio:
    """One signed-in user of the server at `url`."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url, self.token = url, token

    @classmethod
    async def register(cls, url: str, name: str) -> Studio:
        payload = await cls(url).ask(REGISTER, {"email": f"{name}@bench.example"}, "register")
        return cls(url, payload["session"]["accessToken"])

    async def ask(self, document: str, variables: dict[str, Any], name: str) -> dict[str, Any]:
        """The payload of the mutation `name`. Raises `MeasurementFailed` when it was refused."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            answer = await client.post(f"{self.url}/graphql", json={"query": document, "variables": variables})
        payload = (answer.json().get("data") or {}).get(name)
        if not payload or payload["errors"]:
            raise MeasurementFailed(f"{name} was refused: {answer.text[:500]}")
        return dict(payload)

    async def updates(self) -> AsyncGenerator[dict[str, Any]]:
        """What `trackUpdates` says, READY first."""
        address = self.url.replace("http", "ws", 1) + "/graphql"
        protocol = websockets.Subprotocol("graphql-transport-ws")
        async with websockets.connect(address, subprotocols=[protocol], proxy=None) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": self.bearer}}))
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": FOLLOW}}))
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "next":
                    yield message["payload"]["data"]["trackUpdates"]
                elif message["type"] not in ("connection_ack", "ping"):
                    raise MeasurementFailed(f"The subscription ended: {text[:500]!r}")
        raise MeasurementFailed("The server closed the subscription.")

    @property
    def bearer(self) -> str:
        return f"Bearer {self.token}"


async def measure(place: Place, amount: Amount, report: Report) -> None:
    """Fill the report; what was measured before a failure is in it."""
    await measure_starts(place, amount.starts, report)
    tell("Starting the server that is measured from here on …")
    async with serving(place, "studio") as server:
        studio = await Studio.register(server.url, "listener")
        report.memory["fresh"] = memory(server.pid)
        async with aclosing(studio.updates()) as updates:
            await anext(updates)
            await make_track(studio, updates, 0)  # the pool's processes start with the first one, which is not counted
            report.tracks = await measure_tracks(server.pid, studio, updates, amount.tracks)
            report.memory["idle"] = memory(server.pid)
            tell("Memory while it works …")
            report.memory["busy"] = await highest_memory(server.pid, make_track(studio, updates, amount.tracks + 1))
        tell(f"generateTrack over {CONNECTIONS} connections, the worker paused …")
        with paused_worker(server.pid):
            report.load = await measure_load(server.url, amount.load_seconds)


async def measure_starts(place: Place, runs: int, report: Report) -> None:
    for kind, directories in {
        "nothing compiled": ["compile"],
        "empty data": [f"empty-{number}" for number in range(runs)],
        "same data": ["empty-0"] * runs,
    }.items():
        report.starts[kind] = []
        for number, directory in enumerate(directories):
            tell(f"Start {number + 1} of {len(directories)}, {kind} …")
            async with serving(place, directory) as server:
                report.starts[kind].append(server)


async def measure_tracks(pid: int, studio: Studio, updates: AsyncIterator[dict[str, Any]], count: int) -> Tracks:
    splits, used = [], processor_seconds(pid)
    for seed in range(1, count + 1):  # a piece each, and the same ones in every run
        tell(f"Track {seed} of {count} …")
        splits.append(await make_track(studio, updates, seed))
    return Tracks(splits, (processor_seconds(pid) - used) / count)


async def make_track(studio: Studio, updates: AsyncIterator[dict[str, Any]], seed: int) -> Splits:
    """Ask for a track and follow it to its end. Raises `MeasurementFailed` when that is not COMPLETED."""
    seen: dict[str, float] = {}
    asked = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await studio.ask(GENERATE, {"input": {**PROMPT, "seed": seed}}, "generateTrack")
            while "completed" not in seen:
                update = await anext(updates)
                if update["trackId"] == answer["track"]["id"]:  # news of the track before may still come
                    for milestone in milestones(update["track"]):
                        seen.setdefault(milestone, time.perf_counter() - asked)
    except TimeoutError:
        raise MeasurementFailed(f"A track was not made within {PATIENCE_SECONDS:g} s; it had reached {seen}.") from None
    return Splits(**seen)


def milestones(track: dict[str, Any]) -> list[str]:
    """Which of the `Splits` have been reached; each covers those before it, as updates may be merged."""
    generation = track["generations"]["nodes"][0]
    if generation["status"] in ("FAILED", "CANCELED"):
        raise MeasurementFailed(f"A track ended as {generation['status']}: {generation['error']}")
    if generation["status"] == "PENDING":
        return []
    done = [True, generation["progress"] >= MADE, track["status"] == "COMPLETED"]
    return [name for name, reached in zip(("processing", "made", "completed"), done, strict=True) if reached]


async def highest_memory(pid: int, work: Coroutine[Any, Any, Any]) -> dict[str, Memory]:
    """By role, at the moment of the highest total while `work` goes on."""
    task, samples = asyncio.create_task(work), [memory(pid)]
    while not task.done():
        samples.append(await asyncio.to_thread(memory, pid))
        await asyncio.wait([task], timeout=SAMPLE_SECONDS)
    await task
    return max(samples, key=lambda sample: total(sample).pss)


def total(sample: dict[str, Memory]) -> Memory:
    return sum(sample.values(), start=Memory(0, 0))


async def measure_load(url: str, seconds: float) -> Load:
    """A closed loop: each connection, with a user of its own, asks again as soon as it was answered."""
    studios = await asyncio.gather(*(Studio.register(url, f"user-{number}") for number in range(CONNECTIONS)))
    load = Load(seconds)
    begin = time.perf_counter() + WARM_SECONDS
    async with asyncio.timeout(WARM_SECONDS + seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(ask_again_and_again(studio, begin, load) for studio in studios))
    return load


async def ask_again_and_again(studio: Studio, begin: float, load: Load) -> None:
    """HTTP by hand: a request costs httpx 1.1 ms of the processors that the server needs too, and this 0.3 ms."""
    address = urlsplit(studio.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    number = 0
    while (asked := time.perf_counter()) < begin + load.seconds:
        number += 1
        asks = {"query": GENERATE, "variables": {"input": {**PROMPT, "idempotencyKey": f"{number}"}}}
        status, answer = await post(reader, writer, json.dumps(asks).encode(), studio.bearer)
        answered = time.perf_counter()
        if not begin <= answered < begin + load.seconds:
            continue
        if (problem := refusal(status, answer)) is None:
            load.latencies.append(answered - asked)
        else:
            load.errors[problem] += 1
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, authorization: str
) -> tuple[int, bytes]:
    """One request to `/graphql` on a connection that stays open."""
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def refusal(status: int, answer: bytes) -> str | None:
    """The code of the first error in an answer; None when a track was made."""
    if status != 200:
        return f"HTTP {status}"
    told = json.loads(answer)
    if told.get("errors"):
        return str(told["errors"][0].get("extensions", {}).get("code", "an error without a code"))
    refused = told["data"]["generateTrack"]["errors"]
    return str(refused[0]["code"]) if refused else None


def lines(report: Report) -> list[str]:
    """The report as people read it."""
    return [
        *machine_lines(report.machine),
        *(start_lines(report.starts) if report.starts else ()),
        *(track_lines(report.tracks) if report.tracks else ()),
        *(load_lines(report.load) if report.load else ()),
        *(memory_lines(report.memory) if report.memory else ()),
    ]


def machine_lines(machine: dict[str, Any]) -> list[str]:
    load = " ".join(f"{average:.2f}" for average in machine["load_average"])
    return [
        f"First light, {machine['at']}: {machine['cores']} cores, Python {machine['python']}, {machine['system']}",
        f"Load average at the start (1, 5, 15 minutes): {load}",
    ]


def start_lines(starts: dict[str, list[Started]]) -> list[str]:
    def row(kind: str, runs: list[Started]) -> str:
        answers, workers = [run.answer_seconds for run in runs], [run.worker_seconds for run in runs]
        spread = f"{min(answers):.2f} – {max(answers):.2f}"
        return f"  {kind:<28}{median(answers):>9.2f}{spread:>16}{median(workers):>12.2f}{len(runs):>7}"

    head = f"  {'':<28}{'median':>9}{'spread':>16}{'worker up':>12}{'runs':>7}"
    return ["", "Start → first GraphQL answer, s", head, *(row(kind, runs) for kind, runs in starts.items() if runs)]


def track_lines(tracks: Tracks) -> list[str]:
    parts = {
        "asked → PROCESSING": [track.processing for track in tracks.splits],
        "→ provider done": [track.made - track.processing for track in tracks.splits],
        "→ COMPLETED (stored)": [track.completed - track.made for track in tracks.splits],
        "asked → COMPLETED": [track.completed for track in tracks.splits],
    }
    head = f"  {'':<28}{'p50':>9}{'p95':>9}"
    rows = [f"  {name:<28}{share(times, 0.5):>9.2f}{share(times, 0.95):>9.2f}" for name, times in parts.items()]
    title = (
        f"{AUDIO_SECONDS:g} s of audio as a subscriber sees it, s ({len(tracks.splits)} tracks, one after the other)"
    )
    return ["", title, head, *rows, f"  {'processor time of one track':<28}{tracks.processor_seconds:>9.2f}"]


def load_lines(load: Load) -> list[str]:
    refused = ", ".join(f"{count} × {code}" for code, count in load.errors.items()) or "none"
    latencies = load.latencies or [float("nan")]
    times = ", ".join(f"{name} {share(latencies, at) * 1000:.0f} ms" for name, at in (("p50", 0.5), ("p99", 0.99)))
    return [
        "",
        f"generateTrack, {CONNECTIONS} connections for {load.seconds:g} s, the worker paused",
        f"  {load.per_second:.0f} per second, {times}, errors: {refused}",
    ]


def memory_lines(samples: dict[str, dict[str, Memory]]) -> list[str]:
    def row(name: str, values: Sequence[Memory]) -> str:
        return f"  {name:<16}" + "".join(f"{value.pss / MIB:>12.0f}{value.rss / MIB:>8.0f}" for value in values)

    title = "Memory, MiB: PSS, whose sum is true, and RSS, which counts shared pages again and again"
    head = f"  {'':<16}" + "".join(f"{name:>12}{'RSS':>8}" for name in samples)
    rows = [row(role, [sample[role] for sample in samples.values()]) for role in ROLES]
    return ["", title, head, *rows, row("total", [total(sample) for sample in samples.values()])]


def share(values: Sequence[float], at: float) -> float:
    """The value that the share `at` of all does not exceed (nearest rank: one that was measured)."""
    return sorted(values)[ceil(at * len(values)) - 1]


def machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_average": os.getloadavg(),
    }


def tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


async def run(amount: Amount, report: Report) -> None:
    """Measure until done or told to stop; SIGTERM ends it as Ctrl-C does, with everything that was started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with temporary_place() as place:
        await measure(place, amount, report)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.first_light", description="Antiphon's first benchmark.")
    parser.add_argument("--quick", action="store_true", help="a third of the time; the figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    options = parser.parse_args(argv)
    report, failure = Report(machine()), ""
    try:
        if options.json:
            options.json.open("a").close()  # what cannot be written is refused now, not after minutes
        asyncio.run(run(QUICK if options.quick else Amount(), report))
    except MeasurementFailed as reason:
        failure = f"The benchmark ended early. {reason}"
    except FAULTS as fault:
        failure = (
            f"The benchmark ended early: the server or a file it needs is gone ({str(fault) or type(fault).__name__})."
        )
    except (KeyboardInterrupt, asyncio.CancelledError):
        failure = "The benchmark was stopped."
    print("\n".join(lines(report)))
    if options.json and not failure:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    if failure:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
