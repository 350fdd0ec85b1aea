"""The figures of reads: how they are put together, compared and printed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from bench.first_light import share
from bench.reads_contenders import COMPILED, DOCUMENTED, LIMIT, MERCURIUS, ORDINARY, POSTGRAPHILE, QUERIES
from bench.reads_load import CONNECTIONS, Load

PEERS = (POSTGRAPHILE, MERCURIUS)


@dataclass
class Figures:
    """One contender at one query. `rounds` are answers a second, the `…_us` processor microseconds an answer."""

    answer_bytes: float
    rounds: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)

    def add(self, load: Load, *, server: float, database: float) -> None:
        """`server` and `database` are the seconds of processor time that all answers took."""
        self.rounds.append(len(load.latencies) / load.seconds)
        self.latencies_ms.extend(load.latencies)
        self.server_us.append(server / len(load.latencies) * 1e6)
        self.database_us.append(database / len(load.latencies) * 1e6)

    def summary(self) -> dict[str, Any]:
        latencies = self.latencies_ms or [float("nan")]
        return {
            "rps": median(self.rounds),
            "rounds": self.rounds,
            "p50_ms": share(latencies, 0.5),
            "p99_ms": share(latencies, 0.99),
            "server_cpu_us": median(self.server_us),
            "database_cpu_us": median(self.database_us),
            "answer_bytes": self.answer_bytes,
        }


Table = dict[str, dict[str, Figures]]  # by contender, then by query


def ratio(table: Table, query: str, name: str, others: tuple[str, ...]) -> float | None:
    """How many times as many answers `name` gives as the best of `others`; None without any.

    Rounds are compared one by one, since a machine that others use has faster and slower minutes, and the median is
    taken of that.
    """
    present = [table[other][query] for other in others if other in table]
    if not present:
        return None
    best = max(present, key=lambda figures: median(figures.rounds))
    pairs = zip(table[name][query].rounds, best.rounds, strict=True)
    return median(ours / theirs for ours, theirs in pairs)


def cheaper(table: Table, query: str, name: str, others: tuple[str, ...]) -> float | None:
    """The least processor time of a server among `others`, by that of `name`: what the ratio is on idle machines."""
    present = [median(table[other][query].server_us) for other in others if other in table]
    return min(present) / median(table[name][query].server_us) if present else None


def as_json(table: Table, conditions: dict[str, Any]) -> dict[str, Any]:
    def each(figure: Any, name: str, others: tuple[str, ...]) -> dict[str, float | None]:
        return {query: figure(table, query, name, others) for query in QUERIES}

    return {
        "ratios": each(ratio, COMPILED, PEERS),
        "ratios_by_server_cpu": each(cheaper, COMPILED, PEERS),
        "times_documented": each(ratio, COMPILED, (DOCUMENTED,)),
        "times_not_compiled": each(ratio, COMPILED, (ORDINARY,)),
        "share_of_limit": each(ratio, COMPILED, (LIMIT,)),
        "figures": {name: {query: table[name][query].summary() for query in QUERIES} for name in table},
        "conditions": conditions,
    }


def lines(report: dict[str, Any]) -> list[str]:
    """The report as people read it."""
    figures, conditions = report["figures"], report["conditions"]
    blocks = (
        ("answers a second, median", "rps", ",.0f"),
        ("p50, ms", "p50_ms", ".1f"),
        ("p99, ms", "p99_ms", ".1f"),
        ("server, µs of processor an answer", "server_cpu_us", ",.0f"),
        ("PostgreSQL, µs of processor an answer", "database_cpu_us", ",.0f"),
    )
    text = [
        f"Reads, {conditions['at']}: {conditions['cores']} cores, {conditions['system']}",
        ", ".join(f"{name} {version}" for name, version in conditions["versions"].items()),
        f"{CONNECTIONS} connections, {conditions['rounds']} rounds of {conditions['seconds']:g} s; load of the machine "
        f"before and after: {conditions['load_before']:.2f}, {conditions['load_after']:.2f}",
    ]
    for title, figure, form in blocks:
        text += ["", f"  {title:<40}" + "".join(f"{query:>10}" for query in QUERIES)]
        for name, queries in figures.items():
            text.append(f"    {name:<38}" + "".join(f"{queries[query][figure]:>10{form}}" for query in QUERIES))
    return [*text, *ratio_lines(report)]


def ratio_lines(report: dict[str, Any]) -> list[str]:
    rows = {
        "÷ the better peer": "ratios",
        "÷ the better peer, by the server's processor": "ratios_by_server_cpu",
        "÷ Strawberry, documented": "times_documented",
        "÷ not compiled": "times_not_compiled",
        "÷ the limit": "share_of_limit",
    }
    head = f"  {'Antiphon, answers a second':<46}" + "".join(f"{query:>8}" for query in QUERIES)
    text = ["", head]
    for title, name in rows.items():
        values = report[name].values()
        text.append(f"    {title:<44}" + "".join(f"{'–' if v is None else format(v, '.2f'):>8}" for v in values))
    return text


def conditions(versions: dict[str, str]) -> dict[str, Any]:
    """Where and when. The rest is added by who measures."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": {"Python": platform.python_version(), **versions},
        "load_before": os.getloadavg()[0],
    }
