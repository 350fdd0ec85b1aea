"""Bass lines and accompaniments: patterns of a bar, played over whatever chord sounds.

A pattern is a line of `onset:length:what:velocity` in beats. For the bass `what` is r (root), 8 (octave), 3,
5, 6 or a (a step from below to the next root). For chords it is * (all voices), u (the upper ones), s and d
(all, strummed down or up) or the number of a voice from below, counted round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from domain.composition_notes import Note
from domain.harmony import Chord, Key, root, tones, voice


def _run(onsets: Sequence[float], length: float, what: str, soft: float = 0.75) -> str:
    """One line for equal strokes; `what` is dealt out round by round, the beats are stressed."""
    return " ".join(
        f"{on}:{length}:{what[i % len(what)]}:{0.9 if on == int(on) else soft}" for i, on in enumerate(onsets)
    )


_EIGHTHS = [i / 2 for i in range(8)]
_SIXTEENTHS = [i / 4 for i in range(16)]
_OFFBEATS = [0.5, 1.5, 2.5, 3.5]

BASS: dict[str, str] = {
    "long": "0:4:r:.85",
    "drone": "0:4:r:.8",
    "octave_long": "0:4:r:.8 2:2:8:.55",
    "root_fifth": "0:1.8:r:.9 2:1.7:5:.75",
    "march": "0:.8:r:.9 1:.6:5:.6 2:.8:r:.8 3:.6:5:.6",
    "pizz": "0:.5:r:.9 1:.5:5:.65 2:.5:8:.75 3:.5:5:.65",
    "eighths": _run(_EIGHTHS, 0.44, "r"),
    "sixteenths": _run(_SIXTEENTHS, 0.21, "rrr8", 0.65),
    "octaves": _run(_EIGHTHS, 0.4, "r8"),
    "offbeat": _run(_OFFBEATS, 0.42, "r", 0.9),
    "rolling16": _run([on for on in _SIXTEENTHS if on % 1], 0.2, "rrr", 0.8),
    "acid": "0:.2:r:.9 .25:.2:r:.6 .5:.2:8:.8 .75:.3:r:.7 1.25:.2:r:.7 1.5:.2:5:.9 1.75:.2:r:.6 2:.2:r:.8 2.5:.2:8:.9 "
    "2.75:.2:r:.6 3:.2:3:.7 3.25:.2:r:.7 3.5:.4:8:.9",
    "syncopated": "0:.7:r:.9 .75:.4:r:.7 1.5:.5:5:.8 2.5:.5:r:.85 3:.4:8:.7 3.5:.45:a:.7",
    "lazy": "0:1.4:r:.9 1.5:.4:5:.6 2.75:.7:r:.8 3.5:.4:a:.6",
    "kick_lock": "0:.9:r:.95 1.5:.4:r:.8 2:.9:r:.9 3.5:.45:5:.75",
    "gallop": " ".join(f"{b}:.4:r:.95 {b + 0.5}:.2:r:.7 {b + 0.75}:.2:r:.75" for b in range(4)),
    "walking": "0:.95:r:.9 1:.95:3:.75 2:.95:5:.85 3:.95:a:.75",
    "boogie": "0:.6:r:.9 .5:.4:r:.6 1:.6:3:.8 1.5:.4:3:.6 2:.6:5:.9 2.5:.4:5:.6 3:.6:6:.8 3.5:.4:5:.6",
    "bossa": "0:1.4:r:.9 1.5:.45:5:.7 2:1.4:5:.85 3.5:.45:r:.7",
    "ostinato_low": _run(_EIGHTHS, 0.4, "r", 0.6),
    "eight08": "0:1.6:r:.95 1.75:.7:r:.8 2.5:1.4:r:.9",
    "eight08_slide": "0:2.2:r:.95 2.5:.5:8:.8 3:.9:r:.9",
    "reese": "0:2.5:r:.9 2.75:1.2:r:.8",
    "dnb_syncopated": "0:.7:r:.95 1.25:.5:r:.8 2.5:.9:8:.85 3.5:.4:5:.75",
    "funk": "0:.4:r:.95 .75:.2:8:.8 1.5:.3:r:.8 2.25:.25:r:.7 2.75:.2:8:.85 3.25:.2:5:.7 3.5:.4:a:.8",
    "reggae": "0:.9:r:.9 1.5:.4:r:.75 2:.4:3:.8 2.5:.4:5:.8 3:.8:r:.85",
}

COMP: dict[str, str] = {
    "sustain": "0:4:*:.75",
    "swell": "0:4:*:.65",
    "lazy": "0:1.8:*:.8 2.5:1.3:u:.65",
    "charleston": "0:.9:*:.8 1.5:2.2:*:.7",
    "jazz_comp": ".5:.4:*:.7 1.5:.9:*:.8 3.5:.4:*:.65",
    "quarters": "0:.9:*:.85 1:.9:u:.65 2:.9:*:.75 3:.9:u:.65",
    "house": "0:.5:*:.9 .75:.5:*:.8 1.5:.7:*:.85 2.5:.4:*:.75 3.25:.5:*:.8",
    "stab": "0:.3:*:.9",
    "stab_off": _run(_OFFBEATS, 0.3, "*", 0.85),
    "stab_dotted": "0:.25:*:.9 .75:.25:*:.8 1.5:.25:*:.85 2.25:.25:*:.8 3:.25:*:.85",
    "sixteenths": _run(_SIXTEENTHS, 0.2, "0213", 0.65),
    "skank": _run(_OFFBEATS, 0.22, "*", 0.85),
    "funk": "0:.15:*:.8 .5:.12:u:.6 .75:.12:u:.7 1.5:.15:*:.85 2.25:.12:u:.6 2.5:.15:*:.8 3.25:.12:u:.7 3.75:.12:u:.6",
    "shuffle": "0:.6:*:.8 .5:.35:u:.55 1:.6:*:.8 1.5:.35:u:.55 2:.6:*:.8 2.5:.35:u:.55 3:.6:*:.8 3.5:.35:u:.55",
    "power_eighths": _run(_EIGHTHS, 0.48, "*"),
    "power_accents": "0:1.4:*:.95 1.5:.45:*:.8 2:.9:*:.9 3:.45:*:.75 3.5:.45:*:.85",
    "chug": " ".join(f"{b}:.22:*:.95 {b + 0.25}:.2:*:.6 {b + 0.5}:.22:*:.8 {b + 0.75}:.2:*:.6" for b in range(4)),
    "strum": "0:1:s:.85 1:.5:s:.7 1.5:.5:d:.55 2.5:.5:d:.6 3:.5:s:.75 3.5:.5:d:.55",
    "boom_chick": "0:.4:0:.8 .5:.45:u:.65 1:.4:1:.6 1.5:.45:u:.6 2:.4:0:.75 2.5:.45:u:.65 3:.5:s:.6 3.5:.4:d:.5",
    "fingerpick": "0:1.9:0:.8 .5:1.4:2:.55 1:1:1:.6 1.5:.9:3:.6 2:1.8:0:.75 2.5:1.4:2:.55 3:.9:1:.6 3.5:.5:3:.55",
    "travis": "0:1:0:.85 .5:1:2:.55 1:1:1:.65 1.75:.6:3:.6 2:1:0:.8 2.5:.9:2:.55 3:.9:1:.65 3.5:.5:3:.6",
    "alberti": _run(_EIGHTHS, 0.55, "0212", 0.6),
    "broken": "0:3.8:0:.75 .5:3.3:1:.6 1:2.8:2:.65 1.5:2.3:3:.6 2.5:1.3:2:.55 3:.9:1:.55",
    "arp_up": _run(_EIGHTHS, 0.6, "01234567", 0.65),
    "arp_updown": _run(_SIXTEENTHS, 0.3, "0123456543210123"[:16], 0.6),
    "arp_wide": "0:2:0:.75 .5:1.8:2:.55 1:1.6:3:.6 1.5:1.6:4:.6 2:1.8:5:.65 2.5:1.4:4:.55 3:1:3:.55 3.5:.6:2:.5",
    "arp_sparse": "0:1.4:0:.8 .75:1.4:1:.6 1.5:1.4:2:.7 2.75:1:3:.6",
    "arp_fast": _run([i / 8 for i in range(32)], 0.13, "012", 0.8),
    "ostinato": _run(_SIXTEENTHS, 0.2, "0012", 0.6),
    "bossa": "0:.9:*:.75 1.5:.4:u:.7 2:.4:*:.6 2.75:.7:u:.75 3.5:.5:u:.65",
    "acid": _run(_OFFBEATS, 0.2, "*", 0.8),
}

BASS_LOW, BASS_HIGH = 28, 43  # roots from E1: below it small loudspeakers give nothing
STRUM_BEATS = 0.028  # between two strings


@dataclass(frozen=True)
class Harmony:
    """The chords of a section, as the players see them."""

    chords: tuple[tuple[float, float, Chord], ...]
    key: Key
    color: str
    meter: int


def bass_line(pattern: str, harmony: Harmony, rng: Random) -> list[Note]:
    """The bass of a section; beats count from the section's start."""
    notes = []
    slides = pattern.endswith("slide")
    for index, (start, length, chord) in enumerate(harmony.chords):
        after = harmony.chords[(index + 1) % len(harmony.chords)][2]
        classes = tones(chord, harmony.key, harmony.color)
        low = _bass_root(root(chord, harmony.key))
        for onset, held, what, velocity in _strokes(BASS[pattern], length, harmony.meter):
            pitch = _bass_pitch(what, low, classes, _bass_root(root(after, harmony.key)))
            glide = -12 if slides and what == "8" else 0
            notes.append(Note(start + onset, held, pitch, velocity * rng.uniform(0.94, 1.0), glide=glide))
    if pattern in {"drone", "long"}:
        return _tied(notes)
    return notes


def _bass_root(pitch_class: int) -> int:
    return BASS_LOW + (pitch_class - BASS_LOW) % 12


def _bass_pitch(what: str, low: int, classes: Sequence[int], following: int) -> int:
    if what == "a":  # one step below the next root, or above when that is where the line comes from
        return following - 1 if low < following else following + 2
    if what == "8":
        return low + 12
    if what == "6":
        return low + 9
    place = {"r": 0, "3": 1, "5": 2}[what]
    if what == "5" and len(classes) == 2:
        place = 1
    if place >= len(classes):
        return low
    return low + (classes[place] - low) % 12


def _tied(notes: list[Note]) -> list[Note]:
    """Repeated long notes become one: a drone is not struck again each bar."""
    tied: list[Note] = []
    for note in notes:
        last = tied[-1] if tied else None
        if last and last.pitch == note.pitch and abs(last.start + last.length - note.start) < 1e-6:
            tied[-1] = Note(last.start, last.length + note.length, last.pitch, last.velocity)
        else:
            tied.append(note)
    return tied


def comp(
    pattern: str, harmony: Harmony, previous: Sequence[int], low: int, high: int
) -> tuple[list[Note], tuple[int, ...]]:
    """The accompaniment of a section and the last voicing, from which the next section leads on."""
    notes: list[Note] = []
    voicing = tuple(previous)
    for start, length, chord in harmony.chords:
        classes = tones(chord, harmony.key, harmony.color)
        # The bass has the root of a ninth chord: without it four voices say more in the same room.
        classes = classes[1:] if len(classes) > 4 else classes
        voicing = voice(classes, voicing, low, high)
        whole = _power(voicing) if harmony.color == "power" else voicing
        for onset, held, what, velocity in _strokes(COMP[pattern], length, harmony.meter):
            notes += _chord_notes(whole, what, start + onset, held, velocity)
    return notes, voicing


def _power(voicing: Sequence[int]) -> tuple[int, ...]:
    """Root, fifth, octave, from the root: what a distorted guitar can bear."""
    return (voicing[0], voicing[1], voicing[0] + 12)


def _chord_notes(voicing: Sequence[int], what: str, start: float, held: float, velocity: float) -> list[Note]:
    if what.isdigit():
        turns, place = divmod(int(what), len(voicing))
        return [Note(start, held, voicing[place] + 12 * turns, velocity)]
    chosen = voicing[1:] if what in {"u", "d"} and len(voicing) > 2 else voicing
    spread = STRUM_BEATS if what in {"s", "d"} else 0.0
    ordered = tuple(reversed(chosen)) if what == "d" else chosen
    return [Note(start + i * spread, held, pitch, velocity) for i, pitch in enumerate(ordered)]


def _strokes(pattern: str, length: float, meter: int) -> list[tuple[float, float, str, float]]:
    """The pattern's strokes over a chord of `length` beats, bar after bar; a three-four bar takes its first
    three beats."""
    strokes = []
    for bar in range(max(1, round(length / meter))):
        for token in pattern.split():
            onset, held, what, velocity = token.split(":")
            start = float(onset)
            if start < meter:
                held_beats = min(float(held), meter - start if float(held) > 1 else float(held))
                strokes.append((bar * meter + start, held_beats, what, float(velocity)))
    return strokes
