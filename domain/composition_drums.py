"""Drum patterns, fills, and what of them plays at which energy.

A pattern is sixteen positions to a bar of four beats: `X` accent, `x` stroke, `-` soft, `o` ghost, `.` rest.
In three-four time the kits play the waltz patterns below.
"""

from __future__ import annotations

from random import Random

from domain.composition_notes import Note

LOUDNESS = {"X": 1.0, "x": 0.78, "-": 0.56, "o": 0.32}

PATTERNS: dict[str, dict[str, str]] = {
    "none": {},
    "lofi": {"kick": "X......x..x.....", "snare": "....X.......X...", "hat": "x.-.x.-.x.-.x.-o"},
    "boombap": {"kick": "X.....x...x.....", "snare": "....X..o....X..o", "hat": "x.x.x.x.x.x.x.x."},
    "boombap_lazy": {"kick": "X..x......x..o..", "snare": "....X.......X.o.", "hat": "x.-.x.-.x.-.x.-."},
    "four": {
        "kick": "X...X...X...X...",
        "clap": "....x.......x...",
        "open": "..x...x...x...x.",
        "hat": "o.o-o.o-o.o-o.o-",
    },
    "four_driving": {
        "kick": "X...X...X...X...",
        "hat": "-oxo-oxo-oxo-oxo",
        "open": "..x...x...x...x.",
        "perc": "...x..x....x..x.",
        "clap": "............x...",
    },
    "four_broken": {
        "kick": "X...X...X..xX...",
        "clap": "....X.......X...",
        "hat": "..x...x...x...xo",
        "perc": "x..x..x..x..x.x.",
    },
    "four_house": {
        "kick": "X...X...X...X...",
        "clap": "....X.......X...",
        "open": "..x...x...x...x.",
        "shaker": "-oxo-oxo-oxo-oxo",
    },
    "disco": {
        "kick": "X...X...X...X...",
        "snare": "....X.......X..o",
        "open": "..x...x...x...x.",
        "hat": "x..ox..ox..ox..o",
        "tamb": "....x.......x...",
    },
    "dust": {"shaker": "....o.......o...", "perc": "..........o....."},
    "heartbeat": {"kick": "-..o............", "shaker": "....o...o...o..."},
    "rock": {"kick": "X.....x.X.......", "snare": "....X.......X...", "hat": "x.-.x.-.x.-.x.-."},
    "rock_drive": {
        "kick": "X..x..x.X..x..x.",
        "snare": "....X.......X...",
        "open": "x...x...x...x...",
        "hat": "..x...x...x...x.",
    },
    "rock_half": {"kick": "X.....x...x.....", "snare": "........X.......", "ride": "x...x...x...x..."},
    "metal": {"kick": "X.xxX.xxX.xxX.xx", "snare": "....X.......X...", "open": "x...x...x...x..."},
    "blast_half": {"kick": "XxXxXxXxXxXxXxXx", "snare": "........X.......", "ride": "X...X...X...X..."},
    "swing": {
        "ride": "X...x.-.X...x.-.",
        "hat": "....x.......x...",
        "kick": "o.......o.......",
        "snare": "......o.......o.",
    },
    "swing_brush": {
        "ride": "x...x.-.x...x.-.",
        "hat": "....x.......x...",
        "brush": "x...x...x...x...",
        "kick": "o...o...o...o...",
    },
    "shuffle": {"ride": "x.-.x.-.x.-.x.-.", "kick": "X.......X.x.....", "snare": "....X.......X..."},
    "bossa": {"kick": "x..-x...x..-x...", "rim": "x..x..x...x..x..", "shaker": "-oxo-oxo-oxo-oxo"},
    "timpani": {"timpani": "-...............", "cymbal": "................"},
    "epic": {"timpani": "X..x..x.X..x..x.", "tom": "....x.x.....x.xx", "taiko": "X.......X......."},
    "epic_half": {"taiko": "X.......x.......", "timpani": "........x.x.x.x.", "tom": "............xxxx"},
    "trap": {
        "kick": "X......x..x.....",
        "clap": "........X.......",
        "hat": "x.x.x.x.x.x.x.x.",
        "open": "..............-.",
    },
    "trap_bounce": {
        "kick": "X..x......x..x..",
        "clap": "........X.......",
        "hat": "x.xxx.x.x.x.xxx.",
        "rim": "......o......o..",
    },
    "trap_slow": {
        "kick": "X.........x.....",
        "clap": "........X.......",
        "hat": "x...x.x.x...x.x.",
        "perc": "......-.........",
    },
    "stomp": {"stomp": "X.......X.......", "clap": "....-.......-...", "shaker": "o.-.o.-.o.-.o.-."},
    "shaker": {"shaker": "-oxo-oxo-oxo-oxo", "stomp": "x.......x......."},
    "train": {"snare": "o-ooX-ooo-ooX-oo", "kick": "x.......x.......", "stomp": "................"},
    "synthwave": {"kick": "X.......X.......", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
    "synthwave_drive": {
        "kick": "X...X...X...X...",
        "snare": "....X.......X...",
        "hat": "..x...x...x...x.",
        "tom": "..............xx",
    },
    "amen": {"kick": "X.x.......xx....", "snare": "....X..o.o..X..o", "ride": "x.x.x.x.x.x.x.x."},
    "two_step": {
        "kick": "X.........x.....",
        "snare": "....X.......X...",
        "hat": "x.x.x.x.x.x.x.x.",
        "shaker": "..o...o...o...o.",
    },
    "two_step_busy": {"kick": "X.........x..x..", "snare": "....X..o.o..X..o", "hat": "xoxox.xoxoxox.xo"},
    "pop": {
        "kick": "X.....x.X.x.....",
        "clap": "....X.......X...",
        "hat": "x.x.x.x.x.x.x.x.",
        "shaker": "o.o.o.o.o.o.o.o.",
    },
    "funk": {
        "kick": "X.x...x..x....x.",
        "snare": "....X..o.o.oX..o",
        "hat": "x-xox-xox-xox-x.",
        "open": "..............x.",
    },
    "soul": {"kick": "X.....x..x......", "rim": "....X.......X...", "hat": "x.-ox.-.x.-ox.-."},
    "one_drop": {"kick": "........X.......", "rim": "........X.......", "hat": "x.-.x.-.x.-.x.-."},
    "steppers": {"kick": "X...X...X...X...", "rim": "........X.......", "hat": "x.-.x.-.x.-.x.-."},
}

# Three-four, twelve positions, by what a kit has to say it with.
WALTZ: dict[str, dict[str, str]] = {
    "none": {},
    "orchestra": {"timpani": "-...........", "cymbal": "............"},
    "dust": {"shaker": "....o...o..."},
    "hands": {"stomp": "X...........", "shaker": "o...x...x.o."},
    "brushes": {"kick": "x...........", "brush": "x...x...x...", "ride": "x...x.-.x..."},
    "909": {"kick": "X...........", "clap": "........x...", "hat": "..x.x.x.x.x."},
    "": {"kick": "X...........", "snare": "....-...x...", "hat": "x.-.x.-.x.-."},
}

LIGHT = frozenset({"hat", "ride", "shaker", "brush", "perc", "rim", "tamb", "timpani"})
FILLS: dict[str, tuple[str, ...]] = {  # the last four positions of a section's last bar, by the voice that plays them
    "lofi": ("snare:..xo", "kick:x..x"),
    "909": ("clap:..xx", "snare:xxxX", "perc:x.xx"),
    "808": ("hat:xxxx", "snare:..xX"),
    "rock": ("tom:xxxX", "snare:xxXX", "tom:x.xx"),
    "acoustic": ("tom:x.xx", "snare:.xxX", "snare:x.xX"),
    "brushes": ("snare:.o-x", "brush:xxxx"),
    "electro": ("tom:xxxx", "snare:..xX"),
    "dnb": ("snare:xxoX", "snare:.xxX"),
    "orchestra": ("timpani:-xxX", "cymbal:..x."),
    "hands": ("tamb:xxxX", "stomp:..xx"),
    "chip": ("snare:xxxx", "tom:xxXX"),
}
CRASHING = frozenset({"909", "rock", "acoustic", "electro", "dnb", "808", "chip"})


def beat(pattern: str, kit: str, meter: int) -> dict[str, str]:
    """The pattern's voices for this metre."""
    if meter == 4:
        return PATTERNS[pattern]
    return WALTZ.get(kit, WALTZ[""])


def play(voices: dict[str, str], kit: str, bars: int, energy: float, rng: Random) -> list[Note]:
    """The hits of one section, as notes whose `voice` is the drum. Beats count from the section's start."""
    if not voices:
        return []
    steps = len(next(iter(voices.values())))
    sounding = {v: p for v, p in voices.items() if energy >= 0.45 or v in LIGHT or kit in {"dust", "orchestra"}}
    notes = _crash(kit, energy)
    for bar in range(bars):
        fill = bar == bars - 1 and bars > 1 and kit in FILLS and energy > 0.3
        end = steps - 4 if fill else steps
        for voice, pattern in sounding.items():
            notes += _bar(voice, pattern[:end], bar * steps, rng)
        if fill:
            voice, strokes = rng.choice(FILLS[kit]).split(":")
            notes += _bar(voice, strokes, bar * steps + end, rng)
        if kit == "808" and "hat" in sounding:
            notes += _hat_roll(bar * steps, rng)
    return notes


def _bar(voice: str, pattern: str, offset: int, rng: Random) -> list[Note]:
    notes = []
    for step, mark in enumerate(pattern):
        if mark == "." or (mark == "o" and rng.random() < 0.25):  # ghosts come and go
            continue
        notes.append(Note((offset + step) / 4, 0.25, 0, LOUDNESS[mark], voice))
    return notes


def _crash(kit: str, energy: float) -> list[Note]:
    return [Note(0.0, 2.0, 0, 0.7, "crash")] if kit in CRASHING and energy >= 0.7 else []


def _hat_roll(offset: int, rng: Random) -> list[Note]:
    """Trap's rolling hats: now and then a beat of triplets or thirty-seconds."""
    if rng.random() > 0.55:
        return []
    start, count = offset / 4 + rng.choice((1.5, 2.5, 3.0, 3.5)), rng.choice((3, 4, 6))
    return [Note(start + 0.5 * i / count, 0.1, 0, 0.45 + 0.4 * i / count, "hat") for i in range(count)]
