"""Melody: motifs that are repeated, moved and varied, in phrases that ask and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from domain.harmony import Key, fit, nearest


@dataclass(frozen=True)
class Tone:
    """One note of a melody: beats from the section's start, a pitch, and how much it is leaned on (0–1)."""

    start: float
    length: float
    pitch: int
    accent: float


@dataclass(frozen=True)
class Motif:
    """One bar of rhythm and shape: (onset, length, scale steps above the bar's anchor) for each note."""

    notes: tuple[tuple[float, float, int], ...]

    def inverted(self) -> Motif:
        return Motif(tuple((onset, length, -step) for onset, length, step in self.notes))

    def thinned(self) -> Motif:
        """Every other note, each held until the next: the motif remembered."""
        kept = self.notes[::2]
        ends = [*(onset for onset, _, _ in kept[1:]), self.notes[-1][0] + self.notes[-1][1]]
        return Motif(tuple((on, end - on, step) for (on, _, step), end in zip(kept, ends, strict=True)))


# Rhythms of one beat as (onset, length), by how busy they are; an empty one is a rest.
_CELLS: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = (
    (0.0, ()),
    (0.2, ((0.0, 1.0),)),
    (0.5, ((0.5, 0.5),)),
    (0.6, ((0.0, 0.5), (0.5, 0.5))),
    (0.8, ((0.0, 0.75), (0.75, 0.25))),
    (1.0, ((0.0, 0.5), (0.5, 0.25), (0.75, 0.25))),
)
_STEPS = (-1, 1, -1, 1, 1, -1, 2, -2, 0, 3, -3, 4)  # mostly steps, sometimes a third, seldom a leap


def invent(rng: Random, density: float, meter: int) -> Motif:
    """A new motif of one bar. `density` 0 gives one or two long notes, 1 a run."""
    rhythm = _slow_rhythm(rng, meter) if density < 0.25 else _rhythm(rng, density, meter)
    steps = [0]
    while len(steps) < len(rhythm):
        last = steps[-1] - steps[-2] if len(steps) > 1 else 0
        # After a leap a melody turns back by step: what singers do, and ears expect.
        steps.append(steps[-1] + (-1 if last > 0 else 1) if abs(last) > 2 else steps[-1] + rng.choice(_STEPS))
    return Motif(tuple((on, length, step) for (on, length), step in zip(rhythm, steps, strict=True)))


def _slow_rhythm(rng: Random, meter: int) -> list[tuple[float, float]]:
    half = meter / 2 if meter % 2 == 0 else meter - 1.0
    return rng.choice([[(0.0, float(meter))], [(0.0, half), (half, meter - half)], [(1.0, meter - 1.0)]])


def _rhythm(rng: Random, density: float, meter: int) -> list[tuple[float, float]]:
    rhythm: list[tuple[float, float]] = []
    for beat in range(meter):
        weights = [max(0.02, 1.0 - 2.2 * abs(busy - density)) for busy, _ in _CELLS]
        weights[0] *= 0.3 if beat in {0, 1} else 1.0
        _, cell = rng.choices(_CELLS, weights)[0]
        if not cell and rhythm and rng.random() < 0.6:  # hold the note before instead of a rest
            onset, length = rhythm[-1]
            rhythm[-1] = (onset, length + 1.0)
        rhythm += [(beat + onset, length) for onset, length in cell]
    return rhythm if len(rhythm) > 1 else [(0.0, 1.5), (1.5, meter - 1.5)]


@dataclass(frozen=True)
class Ground:
    """What a melody stands on: the key, the chord's pitch classes at a beat, and where it lies."""

    key: Key
    classes_at: Callable[[float], tuple[int, ...]]
    meter: int
    centre: int  # scale degree around which the phrase moves
    octave: int
    pentatonic: bool


SCHEMES = ("aabc", "abac", "aaac", "aabc")  # c is the cadence
ARCH = (0, 1, 2, 0)  # how far each bar of a phrase leans upwards, in scale steps


def sing(bars: int, motifs: Sequence[Motif], ground: Ground, rng: Random) -> tuple[Tone, ...]:
    """A melody of `bars` from two motifs: phrases of four bars, the odd ones left open, the even ones closed."""
    scheme, direction = rng.choice(SCHEMES), rng.choice((1, 1, -1))
    tones: list[Tone] = []
    for bar in range(bars):
        place = bar % 4
        letter = "c" if bar == bars - 1 and bars > 1 else scheme[place]
        if letter == "c":
            closed = (bar // 4) % 2 == 1 or bar == bars - 1
            tones += _cadence(bar, ground, closed, rng)
        else:
            anchor = _anchor(bar, ground, ground.centre + direction * ARCH[place])
            tones += _place(motifs["ab".index(letter)], bar, anchor, ground)
    return tuple(tones)


def _anchor(bar: int, ground: Ground, wish: int) -> int:
    """The scale degree nearest to `wish` that the bar's chord contains."""
    classes = ground.classes_at(float(bar * ground.meter))
    around = sorted(range(wish - 3, wish + 4), key=lambda d: abs(d - wish))
    return next((d for d in around if ground.key.pitch(d) % 12 in classes), wish)


def _place(motif: Motif, bar: int, anchor: int, ground: Ground) -> list[Tone]:
    tones = []
    for onset, length, step in motif.notes:
        degree = ground.key.pentatonic(anchor + step) if ground.pentatonic else anchor + step
        start = bar * ground.meter + onset
        strong = onset == 0 or length >= 1.0
        pitch = _settle(ground.key.pitch(degree, ground.octave), start, strong, ground)
        tones.append(Tone(start, length, pitch, 0.85 if strong else 0.65))
    return tones


def _settle(pitch: int, start: float, strong: bool, ground: Ground) -> int:
    """Fit the pitch to the chord of the moment: closely on strong beats, loosely between them."""
    classes = ground.classes_at(start)
    if not strong:
        return fit(pitch, classes, ground.key)
    chordal = nearest(classes, pitch)
    return chordal if abs(chordal - pitch) <= 2 else fit(pitch, classes, ground.key)


def _cadence(bar: int, ground: Ground, closed: bool, rng: Random) -> list[Tone]:
    """The phrase's end: one step and a held note, the tonic if closed, else the fifth or the second."""
    start, meter = float(bar * ground.meter), ground.meter
    goal = _anchor(bar, ground, 0 if closed else rng.choice((4, 1)))
    goal += 7 * round((ground.centre - goal) / 7)
    pitch = _settle(ground.key.pitch(goal, ground.octave), start + 1, True, ground)
    if rng.random() < 0.4:
        return [Tone(start, meter * 0.75, pitch, 0.85)]
    before = _settle(ground.key.pitch(goal + rng.choice((1, -1, 2)), ground.octave), start, False, ground)
    return [Tone(start, 1.0, before, 0.75), Tone(start + 1.0, meter - 1.75, pitch, 0.85)]


def vary(tones: Sequence[Tone], rng: Random) -> tuple[Tone, ...]:
    """The same melody told again: a long note is split or approached from its neighbour, a weak one left out."""
    varied: list[Tone] = []
    for tone in tones:
        chance = rng.random()
        if tone.length >= 1.0 and chance < 0.22:
            half = tone.length / 2
            varied += [replace(tone, length=half), Tone(tone.start + half, half, tone.pitch, 0.6)]
        elif tone.accent < 0.7 and chance < 0.1:
            continue
        else:
            varied.append(tone)
    return tuple(varied)
