"""Composing: a request's words and seed become a `Piece`, deterministically.

A piece is the idea (key, tempo, form, chords, melody) with the style that will play it; what the players play
is written out in `domain/composition_arrange.py`. Because a piece follows from its `Spec` alone, extending,
covering or remixing one means composing the source again and changing what was asked: no file of the source
is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from domain.composition_choices import choose_key, choose_style, resolve, target_tempo, tempos
from domain.composition_dice import dice
from domain.composition_form import Section, extension, outline, plan, whole_bars
from domain.composition_melody import Ground, Motif, Tone, invent, sing, vary
from domain.composition_words import Brief, fold, read
from domain.generations import GenerationKind
from domain.harmony import Chord, Key, progression, tones
from domain.styles import Style
from domain.styles_blend import blend, tint

DEFAULT_SECONDS = 30.0
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 480.0  # below, no phrase fits; above, no vendor goes either
COVER_TAIL_SECONDS = 3.0  # the last chord of a cover whose length nobody asked for
LEAD_CENTRE = {
    "A": 4,
    "B": 7,
    "C": 5,
    "break": 4,
    "intro": 4,
    "outro": 2,
}  # scale degrees: the refrain lies highest


@dataclass(frozen=True)
class Spec:
    """All that determines a piece. `source` and `source_variant` name what a piece made from another starts from."""

    kind: GenerationKind
    prompt: str
    title: str | None = None
    tags: tuple[str, ...] = ()
    seed: int = 0
    duration_seconds: float | None = None
    continue_at_seconds: float | None = None
    strength: float | None = None
    source: Spec | None = None
    source_variant: int = 0

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        source = self.source.to_json() if self.source else None
        return {**values, "kind": self.kind.value, "tags": list(self.tags), "source": source}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spec:
        """The reverse of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        known = {name: values[name] for name in cls.__dataclass_fields__}
        source = cls.from_json(known["source"]) if known["source"] is not None else None
        kind, tags = GenerationKind(known["kind"]), tuple(str(tag) for tag in known["tags"])
        return cls(**{**known, "kind": kind, "tags": tags, "source": source})


@dataclass(frozen=True)
class Piece:
    """A composed piece. `salt` seeds its recurring ideas, each section's own salt its details."""

    key: Key
    meter: int
    tempo: float
    duration_seconds: float
    style: Style
    sections: tuple[Section, ...]
    progressions: tuple[tuple[Chord, ...], ...]  # verse, refrain
    motifs: tuple[Motif, ...]  # two for the verse, two for the refrain
    muted: frozenset[str]
    salt: str

    @property
    def bars(self) -> int:
        return sum(section.bars for section in self.sections)

    @property
    def bar_seconds(self) -> float:
        return self.meter * 60.0 / self.tempo


def compose(spec: Spec, variant: int) -> Piece:
    """The piece for one variant (0-based). Variants share tempo, key, metre and style, and differ in the rest."""
    if spec.kind is GenerationKind.GENERATE:
        return _generate(spec, variant)
    if spec.source is None:
        raise ValueError(f"a {spec.kind.value} needs a source")
    source = compose(spec.source, spec.source_variant)
    if spec.kind is GenerationKind.STEMS:
        return source
    if spec.kind is GenerationKind.EXTEND:
        return _extend(spec, source, variant)
    return _restyle(spec, source, variant)


def _generate(spec: Spec, variant: int) -> Piece:
    brief, shared = _open(spec)
    style = tint(choose_style(brief, shared), brief.mood)
    key = choose_key(brief, style, shared)
    meter = 3 if brief.waltz else 4
    seconds = spec.duration_seconds or DEFAULT_SECONDS
    fitted = plan(seconds, meter, tempos(brief, style), target_tempo(brief, style, shared))
    salt = f"{shared.random()}|{variant}"
    own = dice(salt)
    style = resolve(style, brief, shared.randrange(1 << 16), variant)
    verse, refrain = _progressions(style, key, own)
    motifs = _motifs(style, meter, own)
    piece = Piece(key, meter, fitted.tempo, seconds, style, (), (verse, refrain), motifs, brief.muted, salt)
    return replace(piece, sections=_sections(piece, outline(fitted.bars), salt))


def _open(spec: Spec) -> tuple[Brief, Random]:
    """The brief, and the dice for whatever it leaves open: cast by the seed and every word, known or not."""
    words = "\x1f".join((fold(spec.prompt), *sorted(fold(t) for t in spec.tags), fold(spec.title or "")))
    return read(spec.prompt, spec.tags, spec.title), dice(spec.seed, words)


def _progressions(style: Style, key: Key, own: Random) -> tuple[tuple[Chord, ...], tuple[Chord, ...]]:
    choices = style.harmony.bright if key.bright else style.harmony.dark
    verse = own.choice(choices)
    refrain = own.choice([c for c in choices if c != verse] or [verse])
    return progression(verse), progression(refrain)


def _motifs(style: Style, meter: int, own: Random) -> tuple[Motif, ...]:
    density = style.lead.density
    verse = [invent(own, density, meter), invent(own, density * 0.8, meter)]
    return (*verse, invent(own, min(1.0, density * 1.15), meter), verse[0].inverted())


def _sections(piece: Piece, roles: Sequence[tuple[str, int, float]], salt: str) -> tuple[Section, ...]:
    seen: set[str] = set()
    sections = []
    for index, (role, bars, energy) in enumerate(roles):
        section_salt = f"{salt}|{index}"
        chords = _chords(piece, role, bars)
        if index == len(roles) - 1 and bars > 1:
            chords = _towards_the_end(chords, piece)
        silent = Section(role, bars, bars, energy, chords, (), section_salt)
        sections.append(replace(silent, melody=_melody(piece, silent, told_before=role in seen)))
        seen.add(role)
    return tuple(sections)


def _chords(piece: Piece, role: str, bars: int) -> tuple[tuple[float, float, Chord], ...]:
    chords = piece.progressions[1] if role == "B" else piece.progressions[0]
    if role == "C":  # the verse's chords from their middle: known, but from elsewhere
        chords = (*chords[len(chords) // 2 :], *chords[: len(chords) // 2])
    step = max(1, round(piece.style.harmony.bars_per_chord))
    laid = []
    for start in range(0, bars, step):
        length = min(step, bars - start) * float(piece.meter)
        laid.append((start * float(piece.meter), length, chords[(start // step) % len(chords)]))
    return tuple(laid)


def _towards_the_end(
    chords: tuple[tuple[float, float, Chord], ...], piece: Piece
) -> tuple[tuple[float, float, Chord], ...]:
    """Put a chord that wants to go home before the last one."""
    start, length, _ = chords[-1]
    functional = any(chord.quality == "7" for line in piece.progressions for chord in line)
    going = Chord(4, 0, "7") if functional else Chord(4) if piece.key.bright else Chord(6)
    if piece.key.mode in {"lydian", "phrygian"}:
        going = Chord(1)
    return (*chords[:-1], (start, length, going))


def _melody(piece: Piece, section: Section, *, told_before: bool) -> tuple[Tone, ...]:
    """The section's tune: each role has one, sung anew the first time and varied whenever it comes back."""
    role = section.role
    color = "triad" if piece.style.harmony.color == "power" else piece.style.harmony.color

    def classes_at(beat: float) -> tuple[int, ...]:
        chord = next(c for start, length, c in section.chords if start <= beat < start + length)
        return tones(chord, piece.key, color)[:4]

    octave = 5 if piece.key.tonic <= 7 else 4  # keeps every key's melody in the same register
    ground = Ground(piece.key, classes_at, piece.meter, LEAD_CENTRE[role], octave, piece.style.lead.pentatonic)
    motifs = piece.motifs[2:] if role == "B" else piece.motifs[:2]
    if role == "C":
        motifs = (piece.motifs[0].inverted(), piece.motifs[2])
    if role in {"break", "intro", "outro"}:
        motifs = tuple(motif.thinned() for motif in motifs)
    tune = sing(section.bars, motifs, ground, dice(piece.salt, "tune", role))
    return vary(tune, dice(section.salt, "vary")) if told_before else tune


def _extend(spec: Spec, source: Piece, variant: int) -> Piece:
    """The source up to the bar nearest `continue_at_seconds`, then new sections on its motifs."""
    at = source.bars if spec.continue_at_seconds is None else round(spec.continue_at_seconds / source.bar_seconds)
    kept = cut(source.sections, max(1, min(source.bars, at)))
    added = spec.duration_seconds or DEFAULT_SECONDS
    kept_seconds = sum(section.bars for section in kept) * source.bar_seconds
    salt = f"{source.salt}|extend|{spec.seed}|{variant}"
    # The refrain's second idea is new in each take; the rest is remembered.
    fresh = (*source.motifs[:3], invent(dice(salt), source.style.lead.density, source.meter))
    piece = replace(source, motifs=fresh, duration_seconds=kept_seconds + added)
    bars = whole_bars(added, source.bar_seconds)
    return replace(piece, sections=(*kept, *_sections(piece, extension(bars), salt)))


def _restyle(spec: Spec, source: Piece, variant: int) -> Piece:
    """A cover (key, chords, melody, form in another style) or a remix (some layers of it, by `strength`)."""
    brief, shared = _open(spec)
    style = tint(choose_style(brief, shared, unlike=source.style.name), brief.mood)
    target = target_tempo(brief, style, shared)
    other = resolve(style, brief, shared.randrange(1 << 16), variant)
    strength = 1.0
    if spec.kind is GenerationKind.REMIX:
        strength = 0.6 if spec.strength is None else spec.strength
        target = source.tempo * (target / source.tempo) ** strength
    else:
        other = replace(other, harmony=replace(other.harmony, bars_per_chord=source.style.harmony.bars_per_chord))
    mixed = blend(source.style, other, strength)
    tempo, bars, seconds = _refit(spec, brief, source, target)
    salt = f"{spec.kind.value}|{shared.random()}|{variant}"
    sections = tuple(
        replace(section, salt=f"{salt}|{index}") for index, section in enumerate(cut(source.sections, bars))
    )
    return replace(
        source, tempo=tempo, duration_seconds=seconds, style=mixed, sections=sections,
        muted=brief.muted, salt=f"{source.salt}|{salt}",
    )  # fmt: skip


def _refit(spec: Spec, brief: Brief, source: Piece, target: float) -> tuple[float, int, float]:
    """Tempo, bars and seconds of a restyled piece: the source's bars, unless another length was asked for."""
    tempo = brief.bpm or float(round(target))
    natural = source.bars * source.meter * 60.0 / tempo + COVER_TAIL_SECONDS
    if spec.duration_seconds is None and natural <= LONGEST_SECONDS:
        return tempo, source.bars, natural
    seconds = spec.duration_seconds or LONGEST_SECONDS
    near = (tempo,) if brief.bpm else tuple(float(t) for t in range(round(target * 0.94), round(target * 1.06) + 1))
    fitted = plan(seconds, source.meter, near, target)
    return fitted.tempo, fitted.bars, seconds


def cut(sections: Sequence[Section], bars: int) -> tuple[Section, ...]:
    """The first `bars` bars; past the end the piece begins again after its intro."""
    again = [s for s in sections if s.role not in {"intro", "outro"}] or list(sections)
    taken: list[Section] = []
    for index in range(bars):  # each section has at least one bar
        section = sections[index] if index < len(sections) else again[(index - len(sections)) % len(again)]
        length = min(section.bars, bars - sum(s.bars for s in taken))
        if length <= 0:
            break
        taken.append(replace(section, bars=length))
    return tuple(taken)
