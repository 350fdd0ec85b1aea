"""Ways of making a tone, as pure functions on arrays: swept wavetables, struck modes, plucked strings,
clouds.

Audio is float32 at 44.1 kHz, mono (n,) or stereo (2, n). Everything is vectorised: no loop runs per sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Dice = np.random.Generator

RATE = 44_100
TABLE = 4096  # samples of one cycle: 800 harmonics of the lowest bass still have five samples each
LEVELS = 41  # quarter octaves of filter cutoff, from the fundamental to its 1024th harmonic
HIGHEST_HZ = 19_000.0  # partials above are inaudible, and would alias as soon as anything bends them
CLOUD = 1 << 17  # three seconds before a cloud repeats
_BLOCK = 512  # of `struck`: two small matrices instead of one long sum


def f32(values: Any) -> Audio:
    """The values as audio samples."""
    return np.asarray(values, dtype=np.float32)


def seconds_axis(n: int) -> Audio:
    return np.arange(n, dtype=np.float32) / np.float32(RATE)


def envelope(n: int, attack: float, decay: float, sustain: float, release: float) -> Audio:
    """Attack, decay to `sustain`, and a release that takes the last `release` seconds of the `n` samples."""
    t = seconds_axis(n)
    shape = np.minimum(1.0, t / max(attack, 1e-4)) * (
        sustain + (1.0 - sustain) * np.exp(-np.maximum(0.0, t - attack) / decay)
    )
    return f32(shape * fade_out(n, release))


def fade_out(n: int, seconds: float) -> Audio:
    """One, and a raised cosine to zero over the last `seconds`."""
    length = min(n, max(2, int(seconds * RATE)))
    gain = np.ones(n, dtype=np.float32)
    gain[n - length :] = 0.5 + 0.5 * np.cos(np.linspace(0.0, np.pi, length, dtype=np.float32))
    return gain


_SPECTRA: dict[str, Callable[[Any], Any]] = {
    "saw": lambda h: 1.0 / h,
    "square": lambda h: (h % 2) / h,
    "triangle": lambda h: (h % 2) / h**2 * (-1.0) ** ((h - 1) // 2),
    "pulse": lambda h: np.sin(np.pi * h * 0.2) / h,
    "sine": lambda h: (h == 1) * 1.0,
    "flute": lambda h: np.where(
        h <= 6, np.array([0, 1, 0.35, 0.16, 0.06, 0.03, 0.015])[np.minimum(h, 6).astype(int)], 0.0
    ),
    "clarinet": lambda h: np.where(h % 2 == 1, 1.0, 0.12) / h**1.1,
    "reed": lambda h: np.sin(np.pi * h * 0.13) / h**0.85,
    "bowed": lambda h: (1.0 + 0.5 * np.cos(h * 1.9)) / h**1.05,
    "organ": lambda h: np.where((h & (h - 1)) == 0, 1.0, 0.08) / h**0.8,
}


@lru_cache(maxsize=24)
def bank(wave: str, resonance: float) -> Audio:
    """One cycle of `wave` behind a two-pole low-pass at each of `LEVELS` cutoffs, flat (LEVELS × TABLE)."""
    h = np.arange(1, TABLE // 2)
    amplitude = _SPECTRA[wave](h)
    cutoff = 2.0 ** (np.arange(LEVELS) / 4.0)[:, None]
    ratio = h[None, :] / cutoff
    response = 1.0 / np.sqrt((1.0 - ratio**2) ** 2 + (ratio / resonance) ** 2)
    spectrum = np.zeros((LEVELS, TABLE // 2 + 1), dtype=np.complex128)
    spectrum[:, 1:-1] = -0.5j * TABLE * amplitude * response
    cycles = np.fft.irfft(spectrum, TABLE)
    full = np.sqrt(np.mean(cycles[-1] ** 2))
    return np.ascontiguousarray((cycles / full * 0.35).astype(np.float32).ravel())


def swept(table: Audio, hz: Audio | float, cutoff_hz: Audio | float, n: int, phase: float = 0.0) -> Audio:
    """`n` samples of a `bank`'s wave, whose pitch and cutoff may move (arrays of n). `phase` is in cycles."""
    if isinstance(hz, np.ndarray):
        cycles = np.cumsum(hz, dtype=np.float64) / RATE + phase
        lowest = float(hz.min())
    else:
        cycles = np.arange(n, dtype=np.float64) * (hz / RATE) + phase
        lowest = hz
    index = (cycles * TABLE).astype(np.int64) & (TABLE - 1)
    bounded = np.clip(np.asarray(cutoff_hz, dtype=np.float32), lowest, HIGHEST_HZ / 1.5)
    level = np.clip(4.0 * np.log2(bounded / lowest), 0.0, LEVELS - 1.001)
    step = level.astype(np.int64)
    part = (level - step).astype(np.float32)
    index += step * TABLE
    low = table.take(index)
    return f32(low + (table.take(index + TABLE) - low) * part)


def struck(hz: Any, amplitude: Any, decay: Any, n: int) -> Audio:
    """A sum of dying sines: frequencies, amplitudes and decay times (to 1/e, seconds) of the modes of a
    struck body.

    exp(s·(aB+b)) = exp(s·aB)·exp(s·b), so the sum over modes is a product of two small matrices: 60 modes
    over four seconds take 2 ms instead of 40.
    """
    rate = (-1.0 / np.asarray(decay) + 2j * np.pi * np.asarray(hz)) / RATE
    rows = -(-n // _BLOCK)
    outer = np.exp(np.arange(rows)[:, None] * _BLOCK * rate[None, :]).astype(np.complex64)
    inner = (-1j * np.asarray(amplitude)[:, None] * np.exp(rate[:, None] * np.arange(_BLOCK)[None, :])).astype(
        np.complex64
    )
    # einsum, not @: the product must not depend on how many threads a BLAS happens to use.
    whole = np.einsum("ak,kb->ab", outer.real, inner.real) - np.einsum("ak,kb->ab", outer.imag, inner.imag)
    return f32(whole.ravel()[:n])


@dataclass(frozen=True)
class String:
    """A string: seconds to −60 dB, brightness 0–1, seconds of damping at the end, where along it is plucked,
    and above which frequency finger or plectrum dull the pluck."""

    ring: float
    bright: float
    release: float
    pick: float = 0.13
    tone_hz: float = 5000.0


def plucked(string: String, hz: float, n: int, bright: float, dice: Dice) -> Audio:
    """A Karplus–Strong string: a snap (and a little noise) in a loop of one period that a low-pass dulls at
    each turn.

    The loop is solved in the frequency domain, X / (1 − g·z^−T), so that the period T need not be whole
    samples and the tuning is exact. It is evaluated on a circle a little outside the unit circle: what would
    wrap around is damped.
    """
    size = 1 << int(np.ceil(np.log2(n)))
    period = RATE / hz
    radius = 100.0 ** (1.0 / size)
    omega = 2.0 * np.pi * np.arange(size // 2 + 1) / size
    burst = np.zeros(size)
    burst[: int(period)] = dice.uniform(-0.2, 0.2, int(period))  # alone it would make each pitch another instrument
    burst[64] += np.sqrt(period)  # 64: room for the ringing of the filters, which have no phase
    burst *= radius ** -np.arange(size)
    dull = np.cos(np.minimum(omega / 2.0, np.pi / 2)) ** (2.0 * (1.0 - bright))
    loss = 10.0 ** (-3.0 / (string.ring * hz))
    turn = loss * dull * radius**-period * np.exp(-1j * omega * period)
    pluck = 1.0 - 0.9 * radius ** (-string.pick * period) * np.exp(-1j * omega * string.pick * period)
    soft = 1.0 / (1.0 + (omega * RATE / (2 * np.pi) / string.tone_hz) ** 2)
    wave = np.fft.irfft(np.fft.rfft(burst) * pluck * soft / (1.0 - turn), size)[:n] * radius ** np.arange(n)
    return f32(wave / (np.abs(wave[: RATE // 4]).max() + 1e-9))


@dataclass(frozen=True)
class Crowd:
    """Players in unison: the fall of their harmonics (1 like a saw, 2 like a triangle), how many cents they
    disagree, and the formants (Hz) of what they play or sing with."""

    tilt: float
    cents: float
    formants: tuple[float, ...] = ()


def cloud(crowd: Crowd, hz: float, n: int, dice: Dice) -> Audio:
    """An ensemble: every harmonic smeared into a band of random phases (PADsynth), in stereo, repeating after 3 s."""
    spectrum = np.zeros((2, CLOUD // 2 + 1), dtype=np.complex64)
    bins_per_hz = CLOUD / RATE
    for h in range(1, min(60, int(14_000 / hz)) + 1):
        centre, width = h * hz * bins_per_hz, max(1.5, h * hz * (2 ** (crowd.cents / 1200) - 1) * bins_per_hz)
        low, high = max(1, int(centre - 3 * width)), min(CLOUD // 2, int(centre + 3 * width) + 2)
        if low >= high:
            break
        band = np.exp(-0.5 * ((np.arange(low, high) - centre) / width) ** 2) / np.sqrt(width)
        phase = np.exp(2j * np.pi * dice.random((2, high - low)))
        spectrum[:, low:high] += band * phase * (h**-crowd.tilt * _voiced(h * hz, crowd.formants))
    wave = np.fft.irfft(spectrum, CLOUD)
    wave = (wave / np.sqrt(np.mean(wave**2)) * 0.25).astype(np.float32)
    turns = -(-n // CLOUD)
    return np.ascontiguousarray(np.tile(wave, (1, turns))[:, :n])


def _voiced(hz: float, formants: tuple[float, ...]) -> float:
    """The gain of a throat, or of a violin's body, at `hz`: a floor with a hill at each formant."""
    if not formants:
        return 1.0
    return 0.12 + sum(float(np.exp(-0.5 * ((hz - f) / (0.18 * f)) ** 2)) for f in formants)


def noise(n: int, dice: Dice, low_hz: float, high_hz: float) -> Audio:
    """Noise between two frequencies, with soft edges, RMS about 0.3."""
    size = 1 << int(np.ceil(np.log2(n)))  # a prime length would take fifty times as long
    spectrum = np.fft.rfft(dice.standard_normal(size, dtype=np.float32))
    hz = np.fft.rfftfreq(size, 1.0 / RATE) + 1e-6
    spectrum *= 1.0 / np.sqrt((1.0 + (low_hz / hz) ** 4) * (1.0 + (hz / high_hz) ** 4))
    wave = np.fft.irfft(spectrum, size)[:n]
    return f32(wave / (np.sqrt(np.mean(wave**2)) + 1e-9) * 0.3)
