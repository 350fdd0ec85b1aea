"""Arranging: a `Piece` becomes a `Score`, every note in seconds, played by people (or not) in time (or
not)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from domain.composition import Piece
from domain.composition_dice import dice
from domain.composition_drums import beat, play
from domain.composition_form import Section
from domain.composition_notes import Note, Part, Score
from domain.composition_parts import Harmony, bass_line, comp
from domain.harmony import Chord, root, tones, voice
from domain.styles import Style

COMP_LOW, COMP_HIGH = 53, 74  # the chords lie between bass and melody
GUITAR_LOW, GUITAR_HIGH = 43, 67
PAD_LOW, PAD_HIGH = 50, 72
POWER_LOW, POWER_HIGH = 38, 55  # power chords on the low strings
GUITARS = frozenset({"steel", "nylon", "electric", "drive"})

# Semitones by which an instrument's own register differs from the one melodies are written in.
TRANSPOSITION = {
    "cello": -12,
    "horn": -12,
    "sax": -12,
    "bells": 12,
    "whistle": 12,
    "chip_lead": 12,
    "flute": 12,
    "violin": 12,
    "fiddle": 12,
}

# A part and who plays it, by section role: absent roles are played by everybody.
SILENT: dict[str, frozenset[str]] = {
    "break": frozenset({"bass"}),
    "outro": frozenset({"lead"}),
}
PADS_FROM_ENERGY = 0.7  # the sustained layer joins in the refrain


def arrange(piece: Piece) -> Score:
    """Write out the four stems of the piece. Notes that would begin after the end are left out."""
    ending = piece.bars * piece.meter
    timed = partial(_timed, piece)
    style = piece.style
    chords, pads = _chord_notes(piece)
    parts = [
        Part("drums", style.groove.kit, timed("drums", [*_each(piece, _drums), *_last_hit(piece)])),
        Part("bass", _first(style.bass.instruments), timed("bass", [*_each(piece, _bass), *_last_root(piece)])),
        Part("chords", _first(style.comp.instruments), timed("chords", chords), pan=-0.12),
        Part(
            "lead",
            _first(style.lead.instruments),
            timed("lead", [*_each(piece, _lead), *_last_tonic(piece)]),
            pan=0.1,
        ),
    ]
    if pads:
        parts.append(Part("chords", style.comp.pads[0], timed("pads", pads), gain=0.5))
    return Score(
        key=piece.key.name,
        style=style.name,
        tempo=piece.tempo,
        meter=piece.meter,
        bars=piece.bars,
        duration_seconds=piece.duration_seconds,
        fade_from_seconds=min(ending * 60.0 / piece.tempo, piece.duration_seconds - 0.5),
        parts=tuple(part for part in parts if part.stem not in piece.muted),
        sound=style.sound,
        section_starts=_section_starts(piece),
    )


def _first(instruments: tuple[str, ...]) -> str:
    return instruments[0]


def _section_starts(piece: Piece) -> tuple[tuple[str, float], ...]:
    starts, bar = [], 0
    for section in piece.sections:
        starts.append((section.role, bar * piece.bar_seconds))
        bar += section.bars
    return tuple(starts)


def _plays(stem: str, section: Section, style: Style) -> bool:
    if section.role == "intro":
        return stem in style.opening
    return stem not in SILENT.get(section.role, frozenset())


def _each(piece: Piece, write: Callable[[Piece, Section], list[Note]]) -> list[Note]:
    """What `write` gives for each section, cut to the bars that sound and moved to its place, in beats of the piece."""
    notes, offset = [], 0
    for section in piece.sections:
        notes += _placed(write(piece, section), section, offset, piece.meter)
        offset += section.bars * piece.meter
    return notes


def _placed(notes: Iterable[Note], section: Section, offset: int, meter: int) -> list[Note]:
    end = section.bars * meter
    if section.bars == section.composed_bars:  # what rings over the end of a whole section may do so
        return [replace(n, start=n.start + offset) for n in notes]
    return [replace(n, start=n.start + offset, length=min(n.length, end - n.start)) for n in notes if n.start < end]


def _harmony(piece: Piece, section: Section) -> Harmony:
    return Harmony(section.chords, piece.key, piece.style.harmony.color, piece.meter)


def _drums(piece: Piece, section: Section) -> list[Note]:
    if not _plays("drums", section, piece.style):
        return []
    groove = piece.style.groove
    voices = beat(_first(groove.patterns), groove.kit, piece.meter)
    if groove.kit == "909" and section.role == "intro":  # club music opens on the kick: the next record mixes into it
        return play(voices, groove.kit, section.composed_bars, 0.5, dice(section.salt, "drums"))
    return play(voices, groove.kit, section.composed_bars, section.energy, dice(section.salt, "drums"))


def _bass(piece: Piece, section: Section) -> list[Note]:
    if not _plays("bass", section, piece.style):
        return []
    pattern = _first(piece.style.bass.patterns)
    return bass_line(pattern, _harmony(piece, section), dice(section.salt, "bass"))


def _lead(piece: Piece, section: Section) -> list[Note]:
    if not _plays("lead", section, piece.style):
        return []
    layer = piece.style.lead
    shift = TRANSPOSITION.get(_first(layer.instruments), 0)
    return [
        Note(t.start, t.length * layer.legato, t.pitch + shift, t.accent * (0.75 + 0.25 * section.energy))
        for t in section.melody
    ]


def _chord_notes(piece: Piece) -> tuple[list[Note], list[Note]]:
    """The accompaniment and the sustained layer, each led on from section to section, and their last chords."""
    chords: list[Note] = []
    pads: list[Note] = []
    low, high = _register(piece.style)
    voicing: tuple[int, ...] = ()
    pad_voicing: tuple[int, ...] = ()
    offset = 0
    for section in piece.sections:
        harmony = _harmony(piece, section)
        notes, voicing = comp(_first(piece.style.comp.patterns), harmony, voicing, low, high)
        if _plays("chords", section, piece.style):
            chords += _placed(notes, section, offset, piece.meter)
        if piece.style.comp.pads and (section.energy >= PADS_FROM_ENERGY or section.role == "break"):
            triads = replace(harmony, color="triad")
            notes, pad_voicing = comp("sustain", triads, pad_voicing, PAD_LOW, PAD_HIGH)
            pads += _placed(notes, section, offset, piece.meter)
        offset += section.bars * piece.meter
    return chords + _last_chord(piece, voicing, low, high), pads


def _register(style: Style) -> tuple[int, int]:
    if style.harmony.color == "power":
        return POWER_LOW, POWER_HIGH
    return (GUITAR_LOW, GUITAR_HIGH) if _first(style.comp.instruments) in GUITARS else (COMP_LOW, COMP_HIGH)


def _tail_beats(piece: Piece) -> float:
    return max(0.5, piece.duration_seconds * piece.tempo / 60.0 - piece.bars * piece.meter)


def _last_hit(piece: Piece) -> list[Note]:
    kit, start = piece.style.groove.kit, float(piece.bars * piece.meter)
    ends = {"none": (), "dust": (), "orchestra": ("timpani", "cymbal"), "hands": ("stomp", "tamb")}
    voices = ends.get(kit, ("kick", "crash"))
    return [Note(start, 4.0, 0, 0.8, voice) for voice in voices]


def _last_root(piece: Piece) -> list[Note]:
    low = 28 + (piece.key.tonic - 28) % 12
    return [Note(float(piece.bars * piece.meter), _tail_beats(piece), low, 0.85)]


def _last_tonic(piece: Piece) -> list[Note]:
    sung = [tone.pitch for section in piece.sections for tone in section.melody] or [72]
    shift = TRANSPOSITION.get(_first(piece.style.lead.instruments), 0)
    third_root_fifth = tones(Chord(0), piece.key, "triad")
    goal = min((p for p in range(sung[-1] - 7, sung[-1] + 8) if p % 12 == third_root_fifth[0]), default=sung[-1])
    return [Note(float(piece.bars * piece.meter), _tail_beats(piece), goal + shift, 0.75)]


def _last_chord(piece: Piece, voicing: tuple[int, ...], low: int, high: int) -> list[Note]:
    """The tonic, held, gently broken from below where an instrument could do that."""
    start, home = float(piece.bars * piece.meter), Chord(0)
    pitches = voice(tones(home, piece.key, piece.style.harmony.color)[:4], voicing, low, high)
    if piece.style.harmony.color == "power":
        low_root = low + (root(home, piece.key) - low) % 12
        pitches = (low_root, low_root + 7, low_root + 12)
    return [Note(start + 0.05 * i, _tail_beats(piece), pitch, 0.8) for i, pitch in enumerate(pitches)]


def _timed(piece: Piece, name: str, notes: Iterable[Note]) -> tuple[Note, ...]:
    """Notes in seconds: swung, a little late or early, a little louder or softer, as the style's people are.

    The dice are cast for each note by its own place, so that a longer piece plays its common part alike.
    """
    groove, beat_seconds = piece.style.groove, 60.0 / piece.tempo
    tightness = 0.5 if name == "drums" else 1.0  # drummers keep time better than the rest
    timed = []
    for index, note in enumerate(sorted(notes, key=lambda n: (n.start, n.pitch, n.voice))):
        hand = dice(piece.salt, name, index)
        late = hand.gauss(0.0, groove.human_ms * tightness) / 1000.0
        start = max(0.0, _swung(note.start, groove.swing, groove.grid) * beat_seconds + late)
        if start >= piece.duration_seconds - 0.05:
            continue
        velocity = max(0.08, min(1.0, note.velocity * (1.0 + hand.gauss(0.0, groove.loose))))
        timed.append(replace(note, start=start, length=max(0.03, note.length * beat_seconds), velocity=velocity))
    return tuple(timed)


def _swung(position: float, swing: float, grid: float) -> float:
    """Delay the off-beats: the second half of each pair of grid steps begins late, and what lies between
    moves along."""
    if not swing:
        return position
    pair = 2.0 * grid
    whole, inside = divmod(position, pair)
    split = grid * (1.0 + swing)
    warped = inside * split / grid if inside <= grid else split + (inside - grid) * (pair - split) / grid
    return whole * pair + warped
