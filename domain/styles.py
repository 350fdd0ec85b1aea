"""Musical styles as data: what a lo-fi piece is made of, and what a techno one.

A style is six independent layers (groove, bass, chords, lead, harmony, sound), so that a remix can take some
from one style and some from another. Each tuple of names is a choice left to the seed. Instruments, kits and
patterns are named here and made elsewhere: patterns in `domain/composition_drums.py` and
`domain/composition_parts.py`, instruments and kits by the synthesizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain import styles_table


@dataclass(frozen=True)
class Groove:
    """The drums, and how strictly everybody keeps time."""

    kit: str
    patterns: tuple[str, ...]
    swing: float = 0.0  # how late an off-beat comes, as a fraction of the grid (0.33 is a triplet)
    grid: float = 0.25  # beats between straight positions that swing applies to
    human_ms: float = 4.0  # standard deviation of a note's lateness
    loose: float = 0.08  # standard deviation of velocity, relative


@dataclass(frozen=True)
class BassLayer:
    instruments: tuple[str, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class CompLayer:
    """The chords: how they are played, on what, and which sustained layer lies under them."""

    instruments: tuple[str, ...]
    patterns: tuple[str, ...]
    pads: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeadLayer:
    instruments: tuple[str, ...]
    density: float = 0.5  # 0 one long note a bar, 1 a run of short ones
    pentatonic: bool = False
    legato: float = 0.9  # sounding part of a note's length


@dataclass(frozen=True)
class HarmonyLayer:
    modes: tuple[str, ...]
    bright: tuple[str, ...]  # progressions for major, lydian, mixolydian
    dark: tuple[str, ...]  # progressions for minor, dorian, phrygian
    color: str = "triad"
    bars_per_chord: float = 1.0


@dataclass(frozen=True)
class Sound:
    """Mixing: the room, the echo, pumping, warmth and the balance of the four stems."""

    room_seconds: float = 1.4
    wet: float = 0.16
    echo_beats: float = 0.75
    echo: float = 0.0
    duck: float = 0.0  # how far the kick pushes the other stems down, 0–1
    drive: float = 0.0  # saturation of the stems, 0–1
    top_hz: float = 18_000.0
    crackle: float = 0.0
    balance: tuple[float, float, float, float] = (
        -3.0,
        -5.0,
        -7.0,
        -5.0,
    )  # drums, bass, chords, lead: LU apart


@dataclass(frozen=True)
class Style:
    name: str
    tempo: tuple[int, int]  # beats a minute, lowest and highest
    groove: Groove
    bass: BassLayer
    comp: CompLayer
    lead: LeadLayer
    harmony: HarmonyLayer
    sound: Sound
    opening: tuple[str, ...] = ("drums", "chords")  # who plays in the intro


def _style(name: str, row: dict[str, Any]) -> Style:
    return Style(
        name,
        row["tempo"],
        Groove(*row["groove"]),
        BassLayer(*row["bass"]),
        CompLayer(*row["comp"]),
        LeadLayer(*row["lead"]),
        HarmonyLayer(*row["harmony"]),
        Sound(**row["sound"]),
        row.get("opening", ("drums", "chords")),
    )


STYLES: dict[str, Style] = {name: _style(name, row) for name, row in styles_table.ROWS.items()}
