"""Keys, modes, chords and voice leading: what is true of harmony, as plain numbers.

A pitch is a MIDI note number (60 is middle C), a pitch class is a pitch modulo 12, a degree counts scale
steps from the tonic (0 is the tonic, 7 the tonic an octave higher).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
BRIGHT_MODES = frozenset({"major", "lydian", "mixolydian"})

# Scale steps that leave out the two which clash most easily: the pentatonic of each family of modes.
PENTATONIC = {True: (0, 1, 2, 4, 5), False: (0, 2, 3, 4, 6)}

NOTE_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Chord qualities that a progression may force, as semitones above the root.
QUALITIES: dict[str, tuple[int, ...]] = {
    "": (),
    "M": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7b5": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "9": (0, 4, 7, 10, 14),
    "13": (0, 4, 10, 14, 21),
    "sus4": (0, 5, 7),
}

# How many thirds a style stacks on a degree; "power" and "add9" are built apart.
STACK = {"triad": 3, "seventh": 4, "ninth": 5}

_TOKEN = re.compile(r"([b#]?)([1-7])(?::(\w+))?")


@dataclass(frozen=True)
class Chord:
    """One chord of a progression: scale degree 0–6, an accidental in semitones, and a forced quality or `""`.

    With an accidental the degree is counted in the major scale, whatever the mode: `b7` is always a tone
    below the tonic.
    """

    degree: int
    shift: int = 0
    quality: str = ""


@dataclass(frozen=True)
class Key:
    """A tonic (pitch class) and a mode."""

    tonic: int
    mode: str

    @property
    def scale(self) -> tuple[int, ...]:
        return MODES[self.mode]

    @property
    def bright(self) -> bool:
        return self.mode in BRIGHT_MODES

    @property
    def name(self) -> str:
        return f"{NOTE_NAMES[self.tonic]} {self.mode}"

    def pitch(self, degree: int, octave: int = 5) -> int:
        """The pitch of a scale degree; degree 0 in octave 5 lies in the octave above middle C."""
        turns, step = divmod(degree, 7)
        return 12 * (octave + turns) + self.tonic + self.scale[step]

    def pentatonic(self, degree: int) -> int:
        """The nearest degree at or below that belongs to the pentatonic scale of this mode."""
        turns, step = divmod(degree, 7)
        return turns * 7 + max(s for s in PENTATONIC[self.bright] if s <= step)


def progression(text: str) -> tuple[Chord, ...]:
    """Read `"1 b7 4:m 5:7"`: degrees, with an accidental before and a forced quality after the colon."""
    chords = []
    for token in text.split():
        match = _TOKEN.fullmatch(token)
        if match is None or (match[3] or "") not in QUALITIES:
            raise ValueError(f"no such chord in a progression: {token}")
        shift = {"": 0, "b": -1, "#": 1}[match[1]]
        quality = match[3] or ("M" if shift else "")  # borrowed chords are major unless said otherwise
        chords.append(Chord(int(match[2]) - 1, shift, quality))
    return tuple(chords)


def root(chord: Chord, key: Key) -> int:
    """The pitch class of the chord's root."""
    scale = MODES["major"] if chord.shift else key.scale
    return (key.tonic + scale[chord.degree] + chord.shift) % 12


def tones(chord: Chord, key: Key, color: str) -> tuple[int, ...]:
    """Pitch classes of the chord, root first. `color` is triad, seventh, ninth, add9 or power."""
    base = root(chord, key)
    if color == "power":
        return (base, (base + 7) % 12)
    if chord.quality:
        intervals = QUALITIES[chord.quality]
        kept = intervals[:3] if color in {"triad", "add9"} and chord.quality != "7" else intervals
        return tuple((base + i) % 12 for i in kept)
    steps = [0, 2, 4, 1] if color == "add9" else [2 * i for i in range(STACK[color])]
    return tuple(key.pitch(chord.degree + s) % 12 for s in steps if _sounds_well(chord, key, s))


def _sounds_well(chord: Chord, key: Key, step: int) -> bool:
    """A ninth a semitone above the root (on the third degree of major, say) is left out: it only grates."""
    if step not in {1, 8}:
        return True
    return (key.pitch(chord.degree + step) - key.pitch(chord.degree)) % 12 != 1


def voice(classes: Sequence[int], previous: Sequence[int], low: int, high: int) -> tuple[int, ...]:
    """Pitches for the pitch classes within `low`–`high`, each voice moving as little as it can from
    `previous`.

    With no previous chord the close position nearest the middle of the range is taken. Every rotation of the
    chord in close position, at every octave that fits, is tried: a dozen or two, so nothing cleverer pays.
    """
    middle = (low + high) / 2
    best: tuple[float, tuple[int, ...]] | None = None
    for turn in range(len(classes)):
        rotated = [*classes[turn:], *classes[:turn]]
        for start in range(low, low + 12):
            if start % 12 != rotated[0]:
                continue
            for octave in range(0, high - start, 12):
                pitches = _stack(rotated, start + octave)
                if pitches[-1] > high + 4:  # a top voice just above the range beats a leap of all the others
                    continue
                cost = 0.25 * abs(sum(pitches) / len(pitches) - middle) + _movement(pitches, previous)
                if best is None or cost < best[0]:
                    best = (cost, pitches)
    return best[1] if best else _stack(classes, low)


def _stack(classes: Sequence[int], start: int) -> tuple[int, ...]:
    pitches = [start]
    for pitch_class in classes[1:]:
        pitches.append(pitches[-1] + ((pitch_class - pitches[-1]) % 12 or 12))
    return tuple(pitches)


def _movement(pitches: Sequence[int], previous: Sequence[int]) -> float:
    if not previous:
        return 0.0
    return sum(min(abs(p - q) for q in previous) for p in pitches) / len(pitches) * 2


def nearest(classes: Sequence[int], pitch: float) -> int:
    """The pitch closest to `pitch` (the lower one of two) whose class is among `classes`."""
    around = range(int(pitch) - 7, int(pitch) + 8)
    return min((p for p in around if p % 12 in classes), key=lambda p: (abs(p - pitch), p))


def fit(pitch: int, classes: Sequence[int], key: Key) -> int:
    """Bend a scale pitch to a chord tone from outside the scale a semitone away (the raised seventh over a minor V)."""
    outside = {c for c in classes if (c - key.tonic) % 12 not in key.scale}
    if pitch % 12 in classes:
        return pitch
    for bend in (1, -1):
        if (pitch + bend) % 12 in outside:
            return pitch + bend
    return pitch
