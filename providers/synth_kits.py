"""The drums: eleven kits from a dozen recipes. A hit is stereo audio at full velocity, made once per kit and
render."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from providers.synth_tones import RATE, Audio, Dice, f32, fade_out, noise, seconds_axis, struck


@dataclass(frozen=True)
class Kit:
    """How a kit's drums are tuned and damped; each entry names what it overrides of a recipe."""

    kick_hz: float = 52.0
    kick_drop: float = 160.0  # Hz above, at the stroke
    kick_life: float = 0.22
    kick_click: float = 0.3
    snare_hz: float = 190.0
    snare_noise: float = 0.7
    snare_life: float = 0.14
    snare_low: float = 900.0
    hat_low: float = 7000.0
    hat_life: float = 0.045
    tom_hz: float = 110.0
    gains: dict[str, float] = field(default_factory=dict)


KITS: dict[str, Kit] = {
    "lofi": Kit(
        kick_hz=58,
        kick_drop=70,
        kick_click=0.12,
        snare_hz=210,
        snare_life=0.11,
        snare_low=700,
        hat_low=5500,
        hat_life=0.035,
        gains={"kick": 0.75},
    ),
    "808": Kit(
        kick_hz=46,
        kick_drop=120,
        kick_life=0.4,
        kick_click=0.15,
        snare_hz=230,
        snare_life=0.12,
        hat_low=8500,
        hat_life=0.03,
    ),
    "909": Kit(kick_hz=50, kick_drop=230, kick_life=0.24, kick_click=0.45, snare_hz=200, hat_low=8000, hat_life=0.035),
    "rock": Kit(
        kick_hz=62,
        kick_drop=90,
        kick_life=0.16,
        kick_click=0.5,
        snare_hz=185,
        snare_life=0.2,
        snare_noise=0.8,
        hat_low=6000,
        gains={"kick": 0.7},
    ),
    "acoustic": Kit(
        kick_hz=60,
        kick_drop=80,
        kick_life=0.15,
        kick_click=0.35,
        snare_hz=205,
        snare_life=0.15,
        hat_low=6500,
        gains={"kick": 0.75},
    ),
    "brushes": Kit(
        kick_hz=64,
        kick_drop=40,
        kick_life=0.18,
        kick_click=0.08,
        snare_life=0.1,
        snare_noise=0.9,
        snare_low=1500,
        gains={"kick": 0.7},
    ),
    "electro": Kit(
        kick_hz=52, kick_drop=140, kick_life=0.2, snare_hz=180, snare_life=0.3, snare_noise=0.85, hat_life=0.04
    ),
    "dnb": Kit(
        kick_hz=56,
        kick_drop=150,
        kick_life=0.13,
        kick_click=0.5,
        snare_hz=225,
        snare_life=0.16,
        snare_noise=0.75,
        hat_life=0.03,
    ),
    "orchestra": Kit(kick_hz=50, kick_life=0.5),
    "hands": Kit(snare_noise=0.9, snare_low=2500, snare_life=0.08, gains={"snare": 0.5, "stomp": 0.6}),
    "dust": Kit(kick_hz=44, kick_drop=20, kick_life=0.4, kick_click=0.0, gains={"shaker": 0.6, "perc": 0.5}),
    "chip": Kit(
        kick_hz=60, kick_drop=300, kick_life=0.08, kick_click=0.0, snare_noise=1.0, snare_life=0.07, hat_life=0.02
    ),
    "none": Kit(),
}

# How loud a drum is beside the kick, and where it stands (−1 left … 1 right).
PLACES: dict[str, tuple[float, float]] = {
    "kick": (0.8, 0.0),
    "snare": (0.85, 0.05),
    "clap": (0.75, -0.05),
    "rim": (0.6, 0.15),
    "hat": (0.42, 0.25),
    "open": (0.42, 0.25),
    "ride": (0.36, -0.3),
    "crash": (0.55, -0.25),
    "shaker": (0.4, -0.35),
    "tamb": (0.42, 0.35),
    "tom": (0.7, -0.2),
    "stomp": (0.9, 0.0),
    "brush": (0.45, 0.1),
    "perc": (0.42, -0.45),
    "timpani": (0.8, 0.2),
    "taiko": (1.0, -0.1),
    "cymbal": (0.4, 0.3),
}


def hit(kit_name: str, drum: str) -> Audio:
    """The drum's stroke, stereo (2, n), placed and balanced within the kit."""
    kit = KITS[kit_name]
    dice = np.random.default_rng(crc32(f"{kit_name} {drum}".encode()))
    gain, pan = PLACES[drum]
    mono = _RECIPES[drum](kit, dice)
    mono = mono / (np.abs(mono).max() + 1e-9) * gain * kit.gains.get(drum, 1.0)
    angle = (pan + 1.0) * np.pi / 4.0
    return np.array([mono * np.cos(angle), mono * np.sin(angle)], dtype=np.float32) * np.float32(np.sqrt(2.0))


def _decay(n: int, life: float) -> Audio:
    return f32(np.exp(-seconds_axis(n) / life) * fade_out(n, 0.01))


def _thump(hz: float, drop: float, life: float, fall: float = 0.03) -> Audio:
    """A membrane: a sine that falls `drop` Hz to `hz`."""
    n = int(life * 5.0 * RATE)
    t = seconds_axis(n)
    phase = hz * t + drop * fall * (1.0 - np.exp(-t / fall))
    return f32(np.sin(2.0 * np.pi * phase) * _decay(n, life))


def _burst(dice: Dice, low: float, high: float, life: float) -> Audio:
    n = max(256, int(life * 6.0 * RATE))
    return noise(n, dice, low, high) * _decay(n, life)


def _over(one: Audio, other: Audio, gain: float) -> Audio:
    """Two sounds at once."""
    whole = np.zeros(max(one.size, other.size), dtype=np.float32)
    whole[: one.size] += one
    whole[: other.size] += gain * other
    return whole


def _kick(kit: Kit, dice: Dice) -> Audio:
    body = _thump(kit.kick_hz, kit.kick_drop, kit.kick_life)
    click = _burst(dice, 1500.0, 6000.0, 0.006)
    return f32(np.tanh(1.4 * _over(body, click, kit.kick_click * 2.0)))


def _snare(kit: Kit, dice: Dice) -> Audio:
    drum = _over(_thump(kit.snare_hz, 60.0, 0.07, 0.02), _thump(kit.snare_hz * 1.6, 40.0, 0.05, 0.02), 0.5)
    return _over(
        drum * (1.1 - kit.snare_noise), _burst(dice, kit.snare_low, 9000.0, kit.snare_life), kit.snare_noise * 2.5
    )


def _clap(kit: Kit, dice: Dice) -> Audio:
    """Three hands and the room."""
    whole = _burst(dice, 900.0, 5500.0, 0.11) * 0.8
    for late in (0.0, 0.011, 0.023):
        start, hand = int(late * RATE), _burst(dice, 1000.0, 6000.0, 0.006)
        whole[start : start + hand.size] += 1.2 * hand[: whole.size - start]
    return whole


def _metal(dice: Dice, low: float, life: float) -> Audio:
    """A cymbal: many inharmonic modes under noise."""
    n = int(life * 5.0 * RATE)
    modes = dice.uniform(low * 0.6, 15_000.0, 40)
    ring = struck(modes, dice.uniform(0.3, 1.0, 40) / 8.0, np.full(40, life), n)
    return _over(ring * _decay(n, life), _burst(dice, low, 14_000.0, life), 1.6)[:n]


def _rim(kit: Kit, dice: Dice) -> Audio:
    return _over(struck([520.0, 1720.0], [0.8, 0.7], [0.012, 0.02], 4000), _burst(dice, 2000.0, 8000.0, 0.004), 0.8)


def _shaker(kit: Kit, dice: Dice) -> Audio:
    grain = _burst(dice, 5000.0, 12_000.0, 0.035)
    return f32(grain * np.minimum(1.0, seconds_axis(grain.size) / 0.018))


def _stomp(kit: Kit, dice: Dice) -> Audio:
    return _over(_thump(72.0, 25.0, 0.11), _burst(dice, 100.0, 700.0, 0.04), 0.8)


def _brush(kit: Kit, dice: Dice) -> Audio:
    swish = _burst(dice, 1800.0, 7500.0, 0.12)
    return f32(swish * np.minimum(1.0, seconds_axis(swish.size) / 0.05))


def _drumhead(hz: float, life: float) -> Audio:
    """A kettledrum's modes, which are nearly harmonic."""
    n = int(life * 4.0 * RATE)
    return struck(
        hz * np.array([1.0, 1.5, 1.99, 2.44]), [1.0, 0.6, 0.35, 0.2], [life, life * 0.8, life * 0.5, life * 0.4], n
    )


def _swell(kit: Kit, dice: Dice) -> Audio:
    wash = _metal(dice, 3500.0, 0.9)
    return f32(wash * np.minimum(1.0, seconds_axis(wash.size) / 0.25))


_RECIPES: dict[str, Callable[[Kit, Dice], Audio]] = {
    "kick": _kick,
    "snare": _snare,
    "clap": _clap,
    "rim": _rim,
    "hat": lambda kit, dice: _metal(dice, kit.hat_low, kit.hat_life),
    "open": lambda kit, dice: _metal(dice, kit.hat_low, 0.16),
    "ride": lambda kit, dice: _metal(dice, 4500.0, 0.4),
    "crash": lambda kit, dice: _metal(dice, 3000.0, 0.7),
    "shaker": _shaker,
    "tamb": lambda kit, dice: _metal(dice, 7000.0, 0.09),
    "tom": lambda kit, dice: _thump(kit.tom_hz, 45.0, 0.18),
    "stomp": _stomp,
    "brush": _brush,
    "perc": lambda kit, dice: _over(_thump(420.0, 90.0, 0.05), _burst(dice, 3000.0, 9000.0, 0.02), 0.3),
    "timpani": lambda kit, dice: _over(_drumhead(98.0, 0.55), _burst(dice, 80.0, 600.0, 0.03), 0.5),
    "taiko": lambda kit, dice: _over(_thump(62.0, 45.0, 0.35), _burst(dice, 120.0, 1500.0, 0.05), 0.9),
    "cymbal": _swell,
}
