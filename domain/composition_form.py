"""Form: how many bars at which tempo fill the asked time, and which sections they make."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from domain.composition_melody import Tone
from domain.harmony import Chord

SHORTEST_TAIL_SECONDS = 1.6  # the last chord must ring at least this long to sound like an ending
WELCOME_TAIL_SECONDS = 3.2  # longer than this it begins to sound like waiting


@dataclass(frozen=True)
class Plan:
    """A tempo and a number of whole bars; what is left of the time belongs to the last chord."""

    tempo: float
    bars: int


@dataclass(frozen=True)
class Section:
    """Some bars of one character. Beats count from the section's start; `salt` seeds its details.

    A section that was cut short sounds for `bars` of the `composed_bars` that were written: it is written out
    whole and then cut, so that what remains is note for note what it was.
    """

    role: str  # intro, A, B, C, break, outro
    bars: int
    composed_bars: int
    energy: float  # 0–1
    chords: tuple[tuple[float, float, Chord], ...]  # start, length, chord
    melody: tuple[Tone, ...]
    salt: str


def plan(seconds: float, meter: int, tempos: tuple[float, ...], target: float) -> Plan:
    """The best of `tempos` for a piece of `seconds`: near `target`, in phrases of four bars, with a fitting tail."""
    return min(
        (Plan(tempo, whole_bars(seconds, meter * 60.0 / tempo)) for tempo in tempos),
        key=lambda p: _awkwardness(p, seconds, meter, target),
    )


def whole_bars(seconds: float, bar_seconds: float) -> int:
    """Bars before the last chord. At least one, even where a single slow bar fills the time."""
    tail = min(SHORTEST_TAIL_SECONDS, 0.24 * seconds)
    return max(1, floor((seconds - tail) / bar_seconds + 1e-9))


def _awkwardness(candidate: Plan, seconds: float, meter: int, target: float) -> float:
    tail = seconds - candidate.bars * meter * 60.0 / candidate.tempo
    phrase = 0.0 if candidate.bars % 4 == 0 else 0.03 if candidate.bars % 2 == 0 else 0.07
    return abs(candidate.tempo - target) / target + phrase + 0.04 * max(0.0, tail - WELCOME_TAIL_SECONDS)


def outline(bars: int) -> tuple[tuple[str, int, float], ...]:
    """Sections as (role, bars, energy) that fill `bars` exactly: intro, A, B … outro, as far as there is room."""
    if bars < 4:
        return (("A", bars, 0.7),)
    if bars < 8:
        return (("A", bars // 2, 0.6), ("B", bars - bars // 2, 0.9))
    intro = 4 if bars >= 20 else 2
    outro = 4 if bars >= 28 else 2 if bars >= 16 else 0
    body = _body(bars - intro - outro)
    return (("intro", intro, 0.35), *body, *((("outro", outro, 0.45),) if outro else ()))


def extension(bars: int) -> tuple[tuple[str, int, float], ...]:
    """Sections that continue a piece: contrast and development first, the refrain to close."""
    if bars < 4:
        return (("C", bars, 0.8),)
    if bars < 8:
        return (("C", bars // 2, 0.7), ("B", bars - bars // 2, 0.95))
    outro = 2 if bars >= 16 else 0
    return (*_body(bars - outro, "CBABCB"), *((("outro", outro, 0.45),) if outro else ()))


ENERGY = {"A": 0.6, "B": 0.9, "C": 0.75}


def _body(bars: int, cycle: str = "ABABCB") -> tuple[tuple[str, int, float], ...]:
    """Blocks of eight (short pieces: four) bars through the cycle; what is left over becomes a break before
    the last."""
    size = 8 if bars >= 24 else 4
    count, rest = divmod(bars, size)
    blocks = [(cycle[i % len(cycle)], size) for i in range(max(1, count))]
    if count < 2:
        role, _ = blocks[0]
        return ((role, bars, ENERGY[role]),) if bars < 6 else ((role, 4, 0.6), ("B", bars - 4, 0.9))
    if blocks[-1][0] == "A":  # end on the strongest section, never on the verse
        blocks[-1] = ("B", size)
    body = [(role, length, min(1.0, ENERGY[role] + 0.04 * (i // 2))) for i, (role, length) in enumerate(blocks)]
    if rest:
        body.insert(len(body) - 1, ("break", rest, 0.35))
    return tuple(body)
