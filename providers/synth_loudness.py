"""Loudness after ITU-R BS.1770-4, a true-peak estimate, and a limiter that is a gain curve.

The limiter gives a gain for each moment instead of changing samples: the same curve is laid over the mix and
over each stem, and so the stems still sum to the mix.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from providers.synth_tones import RATE, Audio, f32

_STEP = RATE // 10  # gating blocks of 400 ms begin every 100 ms
_TAPS = 8192  # the K filter's response is below −100 dB after that
_FFT = 1 << 17
_CHUNK = _FFT - _TAPS + 1  # samples a step: with the filter's tail they just fill the FFT
HOP = 64  # samples per point of the limiter's curve
ATTACK_POINTS = 14  # 20 ms of looking ahead, and of smoothing: short enough to keep the punch, too long to distort bass


@lru_cache(maxsize=1)
def _k_filter() -> NDArray[np.complex64]:
    """The K weighting (both biquads of BS.1770, for 44.1 kHz after its analogue prototypes) at the FFT's bins."""
    w = np.exp(-2j * np.pi * np.fft.rfftfreq(_FFT))
    gain_db, q, hz = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * hz / RATE)
    high, boost = 10 ** (gain_db / 20), (10 ** (gain_db / 20)) ** 0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf_up = (high + boost * k / q + k * k) + 2 * (k * k - high) * w + (high - boost * k / q + k * k) * w**2
    shelf_down = a0 + 2 * (k * k - 1) * w + (1 - k / q + k * k) * w**2
    q, hz = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * hz / RATE)
    pass_down = (1 + k / q + k * k) + 2 * (k * k - 1) * w + (1 - k / q + k * k) * w**2
    pass_up = (1 - 2 * w + w**2) * (1 + k / q + k * k)  # the standard's numerator is 1 −2 1 over a normalised divisor
    response = np.fft.irfft(shelf_up / shelf_down * pass_up / pass_down, _FFT)
    response[_TAPS:] = 0.0
    return np.fft.rfft(response.astype(np.float32)).astype(np.complex64)


def block_powers(audio: Audio) -> NDArray[np.float64]:
    """K-weighted power, both channels together, of each whole 100 ms of stereo audio (2, n)."""
    total = audio.shape[1]
    steps = total // _STEP
    powers = np.zeros(steps)
    carried = np.zeros((2, _TAPS - 1), dtype=np.float32)
    pending = np.zeros((2, 0), dtype=np.float32)
    done = 0
    for start in range(0, total, _CHUNK):
        piece = audio[:, start : start + _CHUNK]
        heard = np.fft.irfft(np.fft.rfft(piece, _FFT) * _k_filter(), _FFT)
        heard[:, : _TAPS - 1] += carried
        carried = f32(heard[:, _CHUNK:].copy())
        pending = np.concatenate([pending, heard[:, : piece.shape[1]]], axis=1)
        whole = min(pending.shape[1] // _STEP, steps - done)
        cut = pending[:, : whole * _STEP].reshape(2, whole, _STEP)
        powers[done : done + whole] = np.einsum("cwn,cwn->w", cut, cut) / _STEP
        pending, done = pending[:, whole * _STEP :], done + whole
    return powers


def integrated(powers: NDArray[np.float64]) -> float:
    """Gated loudness (LUFS) from `block_powers`; −inf for silence."""
    if powers.size < 4:
        return -np.inf
    blocks = np.convolve(powers, np.full(4, 0.25), "valid") + 1e-20
    lufs = -0.691 + 10.0 * np.log10(blocks)
    loud = lufs > -70.0
    if not loud.any():
        return -np.inf
    gate = -0.691 + 10.0 * np.log10(blocks[loud].mean()) - 10.0
    kept = blocks[loud & (lufs > gate)]
    return float(-0.691 + 10.0 * np.log10(kept.mean()))


def peaks(audio: Audio) -> Audio:
    """The highest absolute sample of both channels in each `HOP` samples (the last hop padded)."""
    total = audio.shape[1]
    points = -(-total // HOP)
    heights = np.zeros(points, dtype=np.float32)
    for start in range(0, total, HOP << 11):
        piece = np.abs(audio[:, start : start + (HOP << 11)]).max(axis=0)
        piece = np.concatenate([piece, np.zeros(-piece.size % HOP, dtype=np.float32)]).reshape(-1, HOP).max(axis=1)
        heights[start // HOP : start // HOP + piece.size] = piece
    return heights


def limiting(heights: Audio, ceiling: float) -> Audio:
    """A gain per hop under which peaks of `heights` stay below `ceiling`: minimum ahead and behind, then a
    mean.

    The mean of gains that are each low enough over the whole window is low enough as well, so nothing slips
    through.
    """
    wanted = np.minimum(1.0, ceiling / np.maximum(heights, 1e-9)).astype(np.float32)
    span = 2 * ATTACK_POINTS + 1
    padded = np.pad(wanted, ATTACK_POINTS + 1, mode="edge")
    lowest = np.lib.stride_tricks.sliding_window_view(padded, span).min(axis=1)
    padded = np.pad(lowest, ATTACK_POINTS - 1, mode="edge")
    kernel = np.hanning(span)[1:-1]
    smooth = np.convolve(padded, kernel / kernel.sum(), "same")[ATTACK_POINTS : ATTACK_POINTS + heights.size]
    return smooth.astype(np.float32)


def at_samples(curve: Audio, start: int, stop: int) -> Audio:
    """The curve, straight between its points (the middles of the hops), for samples `start` (a multiple of
    `HOP`) to `stop`."""
    points = np.concatenate([curve[:1], curve, curve[-1:]])[start // HOP : -(-stop // HOP) + 2]
    part = (np.arange(HOP, dtype=np.float32) + np.float32(0.5)) / np.float32(HOP)
    lines = points[:-1, None] * (1.0 - part) + points[1:, None] * part
    return f32(lines.ravel()[HOP // 2 : HOP // 2 + stop - start])


@lru_cache(maxsize=1)
def _between() -> Audio:
    """Windowed-sinc filters for the three points between two samples (12 taps a phase)."""
    offsets = np.arange(-5, 7)
    rows = []
    for phase in (0.25, 0.5, 0.75):
        x = offsets - phase
        rows.append(np.sinc(x) * (0.5 + 0.5 * np.cos(np.pi * x / 6.5)))
    return np.array(rows, dtype=np.float32)


def true_peak(audio: Audio, floor: float) -> float:
    """The highest value of the fourfold oversampled wave; only around samples above `floor`, where it can matter."""
    highest = float(np.abs(audio).max(initial=0.0))
    for channel in audio:
        near = np.flatnonzero(np.abs(channel) >= floor)
        near = near[(near >= 6) & (near < channel.size - 7)]
        for start in range(0, near.size, _CHUNK):
            windows = channel[near[start : start + _CHUNK, None] + np.arange(-6, 7)]
            for first in (0, 1):  # the gap before the sample, and the one behind it
                between = np.einsum("ws,ps->wp", windows[:, first : first + 12], _between())
                highest = max(highest, float(np.abs(between).max()))
    return highest
