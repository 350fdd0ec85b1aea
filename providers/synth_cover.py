"""Cover art from the same seed: ribbons of light over a sky, in colours that fit the key, the style and the
mood."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domain.composition_notes import Score
from providers.synth_tones import f32

SIDE = 1024
_DRAWN = 512  # the picture is soft: drawn at half size and enlarged, it takes a quarter of the time

Picture = NDArray[np.float32]

# Hue in turns and how far the palette ranges around it; bright keys get lighter skies than dark ones.
HUES = {
    "lofi": 0.06,
    "techno": 0.75,
    "house": 0.88,
    "trance": 0.6,
    "ambient": 0.52,
    "rock": 0.01,
    "metal": 0.99,
    "jazz": 0.11,
    "bossa": 0.16,
    "blues": 0.62,
    "piano": 0.58,
    "classical": 0.1,
    "cinematic": 0.57,
    "trap": 0.8,
    "hiphop": 0.09,
    "folk": 0.25,
    "country": 0.12,
    "synthwave": 0.87,
    "dnb": 0.4,
    "pop": 0.93,
    "funk": 0.07,
    "disco": 0.83,
    "soul": 0.03,
    "reggae": 0.33,
    "chiptune": 0.45,
}


def draw(score: Score, seed: str, path: Path) -> None:
    """Write a WebP of 1024 × 1024."""
    dice = np.random.default_rng(crc32(seed.encode()))
    bright = score.key.endswith(("major", "lydian", "mixolydian"))
    hue = (HUES.get(score.style, 0.5) + dice.normal(0.0, 0.035)) % 1.0
    y, x = np.mgrid[0:_DRAWN, 0:_DRAWN].astype(np.float32) / _DRAWN
    picture = _sky(x, y, hue, bright)
    picture += _sun(x, y, hue, dice)
    strings = 7 + int(score.tempo // 16)
    for index in range(strings):
        picture += _ribbon(x, y, index / strings, hue, dice)
    picture = 1.0 - np.exp(-1.25 * np.clip(picture, 0.0, None))  # like film: light adds up, white is never reached
    image = Image.fromarray((255.0 * picture).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain = np.tile(dice.integers(-4, 5, (SIDE // 4, SIDE // 4, 1), dtype=np.int16), (4, 4, 1))
    pixels = np.clip(np.asarray(image, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, "WEBP", quality=88, method=1)


def _colour(hue: float, saturation: float, value: float) -> Picture:
    """RGB (3,) of a hue in turns."""
    wheel = np.abs((hue * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    return (value * (1.0 - saturation * (1.0 - np.clip(wheel, 0.0, 1.0)))).astype(np.float32)


def _sky(x: Picture, y: Picture, hue: float, bright: bool) -> Picture:
    top = _colour(hue + 0.08, 0.75, 0.42 if bright else 0.1)
    bottom = _colour(hue - 0.06, 0.6, 0.75 if bright else 0.28)
    place = (y + 0.15 * np.sin(3.0 * x + 6.0 * hue))[..., None]
    return f32(top * (1.0 - place) + bottom * place)


def _sun(x: Picture, y: Picture, hue: float, dice: np.random.Generator) -> Picture:
    cx, cy, radius = dice.uniform(0.3, 0.7), dice.uniform(0.22, 0.5), dice.uniform(0.1, 0.2)
    away = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
    disc = np.clip(0.5 - (away - radius) * 60.0, 0.0, 1.0) * (0.55 + 0.45 * (cy + radius - y) / (2 * radius))
    halo = 0.45 * np.exp(-away / (2.2 * radius))
    return f32((disc + halo)[..., None] * _colour(hue + 0.02, 0.45, 1.0))


def _ribbon(x: Picture, y: Picture, place: float, hue: float, dice: np.random.Generator) -> Picture:
    """One string: a sum of three swings across the picture, bright where it is thin."""
    height = (
        0.45
        + 0.5 * place
        + sum(
            dice.uniform(0.01, 0.06) / k * np.sin(2.0 * np.pi * (k * x * dice.uniform(0.5, 1.1) + dice.random()))
            for k in (1, 2, 3)
        )
    )
    width = 0.004 + 0.02 * (0.5 + 0.5 * np.sin(2.0 * np.pi * (x * dice.uniform(0.3, 0.9) + dice.random())))
    glow = np.exp(-(((y - height) / width) ** 2)) * (0.006 / width)
    under = np.clip((y - height) * 3.0, 0.0, 1.0) * 0.035
    light = (0.9 * glow)[..., None] * _colour(hue + dice.normal(0.0, 0.07), 0.5, 1.0)
    return f32(light - under[..., None])
