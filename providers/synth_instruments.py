"""The instruments by name: what a style or a prompt may ask for, and the voice and settings that play it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from providers.synth_tones import Audio, Crowd, Dice, String
from providers.synth_voices import Analogue, Bar, Breath, Ensemble, analogue, bar, blown, ensemble, guitar, piano, sub

Instrument = Callable[[float, float, float, Dice], Audio]  # frequency, seconds, velocity, dice


def _analogue(wave: str, voices: int = 1, **settings: float) -> Instrument:
    return partial(analogue, Analogue(wave, voices, **settings))


def _bar(ratios: tuple[float, ...], strengths: tuple[float, ...], life: float, **more: float) -> Instrument:
    return partial(bar, Bar(ratios, strengths, life, **more))


def _string(ring: float, bright: float, release: float, pick: float = 0.13, tone_hz: float = 5000.0) -> Instrument:
    return partial(guitar, String(ring, bright, release, pick, tone_hz))


def _breath(wave: str, bright_hz: float, attack: float, **more: float) -> Instrument:
    return partial(blown, Breath(wave, bright_hz, attack, **more))


def _many(attack: float, release: float, *crowd: Any, shimmer: float = 0.0) -> Instrument:
    return partial(ensemble, Ensemble(Crowd(*crowd), attack, release, shimmer))


INSTRUMENTS: dict[str, Instrument] = {
    "piano": partial(piano, 0.0),
    "felt_piano": partial(piano, 1.0),
    "rhodes": _bar((1.0, 2.0, 3.0, 6.9, 13.8), (1.0, 0.25, 0.12, 0.1, 0.04), 1.6, tremolo=0.18, release=0.25),
    "vibraphone": _bar((1.0, 3.98, 9.8), (1.0, 0.25, 0.06), 1.8, tremolo=0.12, release=0.8),
    "marimba": _bar((1.0, 3.93, 9.2), (1.0, 0.3, 0.12), 0.32, release=0.3),
    "kalimba": _bar((1.0, 2.0, 5.4, 8.8), (1.0, 0.15, 0.22, 0.08), 0.6, release=0.5),
    "bells": _bar((1.0, 2.0, 2.76, 5.4, 8.9), (0.9, 0.3, 0.35, 0.18, 0.08), 1.5, release=1.0),
    "steel": _string(2.6, 0.86, 0.25),
    "nylon": _string(1.8, 0.6, 0.2, 0.22, 2600.0),
    "electric": _string(3.0, 0.74, 0.12, 0.17, 3200.0),
    "drive": _string(4.5, 0.8, 0.05, 0.12),
    "drive_lead": _string(6.0, 0.8, 0.08, 0.2),
    "harp": _string(2.4, 0.7, 0.9, 0.3, 3000.0),
    "pizzicato": _string(0.5, 0.5, 0.2, 0.3, 1800.0),
    "harpsichord": _string(2.2, 0.96, 0.12, 0.08, 9000.0),
    "upright": _string(1.5, 0.3, 0.1, 0.25, 420.0),
    "finger": _string(2.4, 0.45, 0.06, 0.2, 650.0),
    "pick_bass": _string(2.8, 0.72, 0.05, 0.1, 1500.0),
    "strings": _many(0.22, 0.4, 1.05, 17.0, (700.0, 1500.0, 3000.0)),
    "choir": _many(0.3, 0.6, 0.9, 22.0, (520.0, 1050.0, 2700.0)),
    "warm_pad": _many(0.5, 0.9, 1.7, 20.0),
    "dark_pad": _many(0.4, 0.8, 2.1, 26.0),
    "glass_pad": _many(0.6, 1.2, 1.5, 9.0, shimmer=0.35),
    "organ": _analogue(
        "organ", voices=2, cents=6.0, open_hz=5000.0, rest_hz=5000.0, sustain=1.0, release=0.06, gain=0.8
    ),
    "supersaw": _analogue(
        "saw", voices=5, cents=26.0, open_hz=9000.0, rest_hz=4200.0, attack=0.012, sustain=0.85, release=0.25
    ),
    "stab": _analogue(
        "saw",
        voices=3,
        cents=14.0,
        open_hz=5200.0,
        rest_hz=500.0,
        closing=0.09,
        resonance=1.6,
        decay=0.18,
        sustain=0.25,
    ),
    "brass_synth": _analogue(
        "saw", voices=3, cents=10.0, open_hz=1500.0, rest_hz=2600.0, closing=0.15, attack=0.05, sustain=0.9, release=0.2
    ),
    "pluck": _analogue(
        "saw",
        voices=2,
        cents=8.0,
        open_hz=7000.0,
        rest_hz=600.0,
        closing=0.12,
        resonance=1.4,
        decay=0.22,
        sustain=0.12,
        release=0.2,
    ),
    "saw_lead": _analogue(
        "saw",
        voices=3,
        cents=12.0,
        open_hz=6500.0,
        rest_hz=3000.0,
        closing=0.4,
        resonance=1.2,
        vibrato=14.0,
        sustain=0.85,
        attack=0.015,
    ),
    "square_lead": _analogue(
        "square", voices=2, cents=7.0, open_hz=5000.0, rest_hz=2200.0, vibrato=12.0, sustain=0.85, attack=0.01
    ),
    "sine_lead": _analogue(
        "triangle", open_hz=2500.0, rest_hz=1800.0, vibrato=18.0, attack=0.12, sustain=0.9, release=0.5
    ),
    "chip": _analogue(
        "pulse", open_hz=12000.0, rest_hz=12000.0, attack=0.001, decay=0.12, sustain=0.6, release=0.01, gain=0.8
    ),
    "chip_lead": _analogue(
        "square", open_hz=14000.0, rest_hz=14000.0, attack=0.001, sustain=0.8, release=0.02, vibrato=16.0
    ),
    "saw_bass": _analogue(
        "saw", voices=1, open_hz=2200.0, rest_hz=350.0, closing=0.12, resonance=1.3, sub=0.15, decay=0.4, release=0.05
    ),
    "square_bass": _analogue("square", open_hz=1800.0, rest_hz=420.0, closing=0.15, decay=0.5, release=0.05),
    "warm_bass": _analogue(
        "triangle", open_hz=700.0, rest_hz=300.0, closing=0.8, attack=0.08, sustain=0.9, release=0.5
    ),
    "acid": _analogue(
        "saw", open_hz=3400.0, rest_hz=260.0, closing=0.09, resonance=4.5, decay=0.35, sustain=0.5, release=0.03
    ),
    "reese": _analogue(
        "saw", voices=3, cents=32.0, open_hz=900.0, rest_hz=420.0, closing=0.8, attack=0.02, sustain=0.9, sub=0.25
    ),
    "sub": sub,
    "flute": _breath("flute", 3500.0, 0.06, air=0.07, vibrato=10.0, gain=1.1),
    "whistle": _breath("sine", 3000.0, 0.03, air=0.05, vibrato=8.0),
    "clarinet": _breath("clarinet", 2600.0, 0.04, vibrato=4.0),
    "oboe": _breath("reed", 4000.0, 0.04, vibrato=9.0),
    "sax": _breath("reed", 2600.0, 0.035, air=0.05, vibrato=14.0),
    "trumpet": _breath("saw", 4200.0, 0.035, vibrato=8.0, swell=0.35),
    "horn": _breath("saw", 1500.0, 0.08, vibrato=3.0, swell=0.5, gain=1.2),
    "brass": _analogue(
        "saw", voices=3, cents=9.0, open_hz=1600.0, rest_hz=3400.0, closing=0.08, attack=0.04, sustain=0.9
    ),
    "harmonica": _breath("pulse", 3800.0, 0.04, vibrato=16.0),
    "violin": _breath("bowed", 5200.0, 0.07, vibrato=16.0, swell=0.4),
    "fiddle": _breath("bowed", 6000.0, 0.03, vibrato=10.0),
    "cello": _breath("bowed", 2800.0, 0.08, vibrato=14.0, swell=0.4),
    "contrabass": _breath("bowed", 1400.0, 0.1, vibrato=6.0),
}
