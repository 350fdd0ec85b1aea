"""Decisions that words and seed make together: style, key, tempo, and one of each of a style's choices."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TypeVar

from domain.composition_vocabulary import STYLES_BY_MOOD
from domain.composition_words import Brief
from domain.harmony import BRIGHT_MODES, Key
from domain.styles import STYLES, Style

T = TypeVar("T")

CLEAR = 0.3  # a feeling weaker than this leaves the choice to the dice
STYLES_BY_INSTRUMENT = {
    "piano": ("piano", "lofi"),
    "felt_piano": ("piano", "lofi"),
    "steel": ("folk",),
    "nylon": ("folk", "bossa"),
    "electric": ("rock", "soul"),
    "drive": ("rock",),
    "rhodes": ("soul", "lofi"),
    "strings": ("cinematic", "classical"),
    "violin": ("classical", "folk"),
    "cello": ("classical", "piano"),
    "flute": ("classical", "folk"),
    "sax": ("jazz", "soul"),
    "trumpet": ("jazz",),
    "upright": ("jazz",),
    "saw_lead": ("synthwave",),
    "choir": ("cinematic", "ambient"),
    "harp": ("classical",),
    "kalimba": ("lofi", "folk"),
    "sub": ("trap",),
}


def choose_style(brief: Brief, dice: Random, unlike: str | None = None) -> Style:
    """The first style that the words name; else one that suits instruments and mood. `unlike` is avoided when
    it can be."""
    named = [name for name in brief.styles if name != unlike] or list(brief.styles)
    if named:
        dice.random()  # the dice stand the same whether or not a style was named
        return STYLES[named[0]]
    by_instrument = next((STYLES_BY_INSTRUMENT[i] for _, i in brief.instruments if i in STYLES_BY_INSTRUMENT), ())
    suited = by_instrument or STYLES_BY_MOOD[_sign(brief.mood.valence), _sign(brief.mood.energy)]
    choices = [name for name in suited if name != unlike] or list(suited)
    return STYLES[choices[int(dice.random() * len(choices))]]


def _sign(value: float) -> int:
    return 0 if abs(value) < CLEAR else 1 if value > 0 else -1


def choose_key(brief: Brief, style: Style, dice: Random) -> Key:
    """The key asked for; an open mode follows the mood within the style, an open tonic the dice."""
    tonic, pick = dice.randrange(12), dice.random()
    modes = style.harmony.modes
    if brief.mood.valence > CLEAR:
        modes = tuple(m for m in modes if m in BRIGHT_MODES) or ("major",)
    elif brief.mood.valence < -CLEAR or brief.mood.darkness > CLEAR:
        modes = tuple(m for m in modes if m not in BRIGHT_MODES) or ("minor",)
    mode = brief.mode or modes[int(pick * len(modes))]
    return Key(tonic if brief.tonic is None else brief.tonic, mode)


def target_tempo(brief: Brief, style: Style, dice: Random) -> float:
    """Beats a minute to aim at: the one asked for, or a place in the style's range that follows the energy."""
    low, high = style.tempo
    place = 0.5 + 0.45 * brief.mood.energy + dice.uniform(-0.25, 0.25)
    return brief.bpm or low + (high - low) * max(0.0, min(1.0, place))


def tempos(brief: Brief, style: Style) -> tuple[float, ...]:
    """The tempi among which the form may choose: whole numbers of the style's range, or just the one asked for."""
    return (brief.bpm,) if brief.bpm else tuple(float(t) for t in range(style.tempo[0], style.tempo[1] + 1))


def resolve(style: Style, brief: Brief, roll: int, variant: int) -> Style:
    """The style with one choice left of each: neighbours for neighbouring variants, so that takes differ.

    Instruments that the words name replace the style's own.
    """
    asked = dict(brief.instruments)

    def one(choices: tuple[T, ...], turn: int) -> tuple[T, ...]:
        return (choices[((roll >> turn) + variant) % len(choices)],) if choices else ()

    def instrument(layer: str, choices: tuple[str, ...], turn: int) -> tuple[str, ...]:
        return (asked[layer],) if layer in asked else one(choices, turn)

    comp = replace(
        style.comp,
        instruments=instrument("chords", style.comp.instruments, 0),
        patterns=one(style.comp.patterns, 2),
        pads=instrument("pads", style.comp.pads, 4),
    )
    return replace(
        style,
        groove=replace(style.groove, patterns=one(style.groove.patterns, 6)),
        bass=replace(
            style.bass,
            instruments=instrument("bass", style.bass.instruments, 8),
            patterns=one(style.bass.patterns, 10),
        ),
        comp=comp,
        lead=replace(style.lead, instruments=instrument("lead", style.lead.instruments, 12)),
    )
