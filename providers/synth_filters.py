"""Linear effects: every equaliser, room and echo of a stem is one stereo impulse response, applied in
blocks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from providers.synth_tones import RATE, Audio, f32

_FFT = 1 << 18  # at least; bigger ones leave the processor's cache and take half as long again


def minimum_phase(gain: NDArray[np.float64]) -> Audio:
    """The impulse response with this magnitude (bins 0…size/2) whose energy comes first: an equaliser without delay."""
    size = 2 * (gain.size - 1)
    cepstrum = np.fft.irfft(np.log(np.maximum(gain, 1e-5)), size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size).astype(np.float32)


def band(low_hz: float, high_hz: float, *, size: int = 4096, tilt_db: float = 0.0) -> Audio:
    """An equaliser: 12 dB an octave below `low_hz`, 24 above `high_hz`, `tilt_db` more at 10 kHz than at 1 kHz."""
    hz = np.fft.rfftfreq(size, 1.0 / RATE) + 1e-6
    gain = 1.0 / np.sqrt((1.0 + (low_hz / hz) ** 4) * (1.0 + (hz / high_hz) ** 8))
    gain *= 10.0 ** (tilt_db / 20.0 * np.clip(np.log10(hz / 1000.0), 0.0, 1.0))
    return minimum_phase(gain)


@lru_cache(maxsize=2)  # the four stems of a piece stand in the same room
def room(seconds: float, seed: int) -> Audio:
    """A stereo reverberation (2, n): early reflections, then noise that dies in `seconds` to −60 dB, treble
    sooner.

    Its energy is 1, so that the wet level means the same for every room.
    """
    n = int(min(seconds * 1.1, 6.0) * RATE)
    dice = np.random.default_rng(seed)
    t = np.arange(n) / RATE
    size = 1 << int(np.ceil(np.log2(n)))
    hz = np.fft.rfftfreq(size, 1.0 / RATE)
    tail = np.zeros((2, n))
    for low, high, life in ((150.0, 900.0, 1.0), (900.0, 3500.0, 0.8), (3500.0, 9000.0, 0.45)):
        spectrum = np.fft.rfft(dice.standard_normal((2, size)))
        shaped = np.fft.irfft(spectrum * ((hz >= low) & (hz < high)), size)[:, :n]
        tail += shaped * 10.0 ** (-3.0 * t / (seconds * life))
    tail *= np.clip((t - 0.008) / 0.03, 0.0, 1.0)  # the diffuse part builds up behind the first reflections
    for delay in dice.uniform(0.009, 0.06, 7):
        tail[int(dice.integers(2)), int(delay * RATE)] += 0.35 * np.abs(tail).max() * (1.0 - delay * 9.0) * 4.0
    return f32(tail / np.sqrt((tail**2).sum() / 2.0))


def echo(seconds: float, level: float, length: int) -> Audio:
    """A ping-pong delay as an impulse response (2, length): each repeat half as loud, on the other side."""
    response = np.zeros((2, length), dtype=np.float32)
    gain, at = level, int(seconds * RATE)
    for turn in range(8):
        position = at * (turn + 1)
        if position >= length or gain < 0.01:
            break
        response[turn % 2, position] = gain
        response[1 - turn % 2, position] = 0.3 * gain
        gain *= 0.5
    return response


def joined(first: Audio, second: Audio) -> Audio:
    """Two effects in a row as one response: the convolution of both, along the last axis."""
    length = first.shape[-1] + second.shape[-1] - 1
    size = 1 << int(np.ceil(np.log2(length)))
    whole = np.fft.irfft(np.fft.rfft(first, size) * np.fft.rfft(second, size), size)[..., :length]
    return whole.astype(np.float32)


def process(stem: Audio, direct: Audio, wet: Audio) -> None:
    """In place: each channel through `direct` (n,), plus both together through `wet` (2, m). What rings over
    is lost.

    Overlap-add in blocks, so that memory does not grow with the piece.
    """
    taps = max(direct.size, wet.shape[1])
    size = max(_FFT, 2 << int(np.ceil(np.log2(taps))))
    block = size - taps + 1
    through, around = np.fft.rfft(direct, size), np.fft.rfft(wet, size)
    carried = np.zeros((2, taps - 1), dtype=np.float32)
    total = stem.shape[1]
    for start in range(0, total, block):
        piece = stem[:, start : start + block]
        spectrum = np.fft.rfft(piece, size)
        middle = 0.5 * (spectrum[0] + spectrum[1])
        out = np.fft.irfft(spectrum * through + middle * around, size)
        out[:, : taps - 1] += carried
        carried = out[:, block:]
        stem[:, start : start + block] = out[:, : piece.shape[1]]
