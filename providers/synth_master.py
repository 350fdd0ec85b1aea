"""Mastering: four stems become a mix of −14 LUFS that does not clip, and files that sum to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from providers.synth_loudness import HOP, at_samples, block_powers, integrated, limiting, peaks, true_peak
from providers.synth_tones import RATE, Audio, f32

TARGET_LUFS = -14.0  # what streaming services play at
CEILING = 10.0 ** (-1.6 / 20.0)  # of samples; the wave between them rises up to 0.6 dB higher in our material
TRUE_CEILING = 10.0 ** (-1.2 / 20.0)  # by our twelve-tap estimate, which was up to 0.11 dB below a perfect one
PASSES = 4  # each pass makes up for what the limiter took; three come within 0.1 LU, a fourth is for sparse piano
CHUNK = HOP << 12  # samples a step: 6 s, so that 480 s need no more scratch than 30
DITHER_TILE = 1 << 16


def master(mix: Audio, fade_from_seconds: float) -> Audio:
    """Master the sum of the stems (2, n) in place, and give the gain that did it: one point per `HOP` samples."""
    ending = _ending(mix.shape[1], fade_from_seconds)
    _apply(mix, ending)
    heights, powers = peaks(mix), block_powers(mix)
    loudness = integrated(powers)
    if not np.isfinite(loudness):  # every part muted: silence is mastered as it is
        return ending
    gain_db = TARGET_LUFS - loudness
    for _ in range(PASSES):
        gain = np.float32(10.0 ** (gain_db / 20.0))
        curve = gain * limiting(heights * gain, CEILING)
        reached = integrated(powers * _mean_square(curve, powers.size))
        gain_db += TARGET_LUFS - reached
    _apply(mix, curve)
    highest = true_peak(mix, 0.7 * TRUE_CEILING)
    if highest > TRUE_CEILING:
        trim = np.float32(TRUE_CEILING / highest)
        mix *= trim
        curve = curve * trim
    return f32(curve * ending)


def _ending(total: int, fade_from_seconds: float) -> Audio:
    """One, then from a third of the last chord a fall to silence, per hop."""
    points = -(-total // HOP)
    seconds = (np.arange(points, dtype=np.float32) + 1.0) * HOP / RATE
    end = total / RATE
    start = fade_from_seconds + (end - fade_from_seconds) / 3.0
    place = np.clip((seconds - start) / max(end - start - 0.02, 0.1), 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * place)).astype(np.float32)


def _mean_square(curve: Audio, blocks: int) -> Audio:
    """The curve's effect on the power of each 100 ms."""
    edges = (np.arange(blocks + 1) * (RATE // 10) / HOP).astype(np.int64)
    summed = np.concatenate([[0.0], np.cumsum(curve.astype(np.float64) ** 2)])
    return f32((summed[edges[1:]] - summed[edges[:-1]]) / (edges[1:] - edges[:-1]))


def _apply(audio: Audio, curve: Audio) -> None:
    for start in range(0, audio.shape[1], CHUNK):
        stop = min(audio.shape[1], start + CHUNK)
        audio[:, start:stop] *= at_samples(curve, start, stop)


def write_stems(stems: Mapping[str, Path], curve: Audio, folder: Path, total: int) -> None:
    """Write each raw stem (float32, frames × 2) as `{name}.wav` under the master's gain: together they are the mix."""
    for number, (name, raw) in enumerate(stems.items()):
        with raw.open("rb") as source, _wav(folder / f"{name}.wav") as target:
            for start in range(0, total, CHUNK):
                stop = min(total, start + CHUNK)
                frames = np.fromfile(source, dtype=np.float32, count=2 * (stop - start)).reshape(-1, 2)
                target.write(_dithered(frames * at_samples(curve, start, stop)[:, None], number + 1, start))


def write_mix(mix: Audio, path: Path) -> None:
    with _wav(path) as target:
        for start in range(0, mix.shape[1], CHUNK):
            target.write(_dithered(mix[:, start : start + CHUNK].T, 0, start))


def save_raw(stem: Audio, path: Path) -> None:
    """Keep a stem unmastered, as frames of float32, until the master's gain is known."""
    with path.open("wb") as target:
        for start in range(0, stem.shape[1], CHUNK):
            np.ascontiguousarray(stem[:, start : start + CHUNK].T).tofile(target)


def _wav(path: Path) -> soundfile.SoundFile:
    return soundfile.SoundFile(path, "w", samplerate=RATE, channels=2, subtype="PCM_16", format="WAV")


def _dithered(frames: Audio, seed: int, start: int) -> NDArray[np.int16]:
    """16-bit integers with triangular dither of ±1 step, the same on every run; silence stays digital silence."""
    noise = np.random.default_rng([seed, start]).random((2, DITHER_TILE, 2), dtype=np.float32)
    tile = noise[0] - noise[1]
    turns = -(-frames.shape[0] // DITHER_TILE)
    dither = np.tile(tile, (turns, 1))[: frames.shape[0]]
    dither[(frames[:, 0] == 0.0) & (frames[:, 1] == 0.0)] = 0.0
    steps = np.clip(np.rint(frames * 32767.0 + dither), -32768, 32767)
    return np.asarray(steps, dtype=np.int16)
