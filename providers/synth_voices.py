"""Ways of playing: each gives a note of an instrument, from frequency (Hz), seconds, velocity (0–1) and dice.

A note lasts its seconds and rings on for the instrument's release; it is mono (n,) or stereo (2, n). Levels
are calibrated to about the same loudness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from providers.synth_tones import (
    RATE,
    Audio,
    Crowd,
    Dice,
    String,
    bank,
    cloud,
    envelope,
    f32,
    fade_out,
    noise,
    plucked,
    seconds_axis,
    struck,
    swept,
)


@dataclass(frozen=True)
class Analogue:
    """A subtractive voice: oscillators, a filter that opens and closes, an amplifier."""

    wave: str
    voices: int = 1
    cents: float = 0.0  # spread of the voices
    open_hz: float = 4000.0  # the filter at the height of its envelope
    rest_hz: float = 1200.0
    closing: float = 0.3  # seconds from one to the other
    resonance: float = 0.8
    attack: float = 0.005
    decay: float = 0.5
    sustain: float = 0.7
    release: float = 0.12
    vibrato: float = 0.0  # cents
    sub: float = 0.0  # share of a sine an octave below
    gain: float = 1.0


def analogue(voice: Analogue, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    n = int((seconds + voice.release) * RATE)
    t = seconds_axis(n)
    opened = voice.open_hz * (0.35 + 0.65 * velocity)
    cutoff = voice.rest_hz + (opened - voice.rest_hz) * np.exp(-t / voice.closing)
    cutoff *= (hz / 220.0) ** 0.3  # the filter follows the keyboard a little
    shape = envelope(n, voice.attack, voice.decay, voice.sustain, voice.release)
    bend: Audio | float = _vibrato(t, voice.vibrato) if voice.vibrato else 1.0
    table = bank(voice.wave, voice.resonance)
    sides = []
    for side in (-1.0, 1.0) if voice.voices > 1 else (0.0,):
        tones = np.zeros(n, dtype=np.float32)
        for index in range(voice.voices):
            spread = voice.cents * (index - (voice.voices - 1) / 2 + 0.23 * side) / max(1, voice.voices - 1)
            pitch = hz * 2.0 ** (spread / 1200.0) * bend
            tones += swept(table, pitch, cutoff, n, float(dice.random()))
        sides.append(tones / np.sqrt(voice.voices))
    whole = np.array(sides if len(sides) > 1 else sides[0])
    if voice.sub:
        whole = whole + voice.sub * np.sin(np.pi * hz * t)
    return f32(whole * shape * voice.gain)


def _vibrato(t: Audio, cents: float) -> Audio:
    """Vibrato that comes in after the note has spoken."""
    depth = cents * np.clip((t - 0.25) / 0.5, 0.0, 1.0)
    return f32(2.0 ** (depth * np.sin(2.0 * np.pi * 5.3 * t) / 1200.0))


def piano(soft: float, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    """Two slightly mistuned strings a note, stiff (so partials are sharp), hammered at an eighth; `soft` is felt."""
    k = np.arange(1, max(4, min(26, int(9000 / hz))) + 1)
    partials = hz * k * np.sqrt(1.0 + 0.0004 * (hz / 261.0) * k**2)
    hardness = (900.0 + 3800.0 * velocity) * (1.0 - 0.6 * soft)
    strength = np.abs(np.sin(np.pi * k / 8.3)) * np.exp(-partials / hardness) / k**0.4
    life = 3.2 * (220.0 / hz) ** 0.55 / (1.0 + 0.16 * (k - 1))
    n = int(min(seconds + 0.25, 6.0) * RATE)
    modes = np.concatenate([partials, partials * 2 ** (0.9 / 1200)])
    body = struck(modes, np.concatenate([strength, 0.7 * strength]), np.concatenate([life, 0.35 * life]), n)
    knock = noise(n if n < 2048 else 2048, dice, 80.0, 900.0 + 1500.0 * (1.0 - soft)) * (0.25 + 0.35 * soft)
    body = body / (np.abs(body[: RATE // 5]).max() + 1e-6)
    body[: knock.size] += knock * np.exp(-seconds_axis(knock.size) / 0.008) * 0.35
    return f32(body * fade_out(n, 0.22) * 0.8)


@dataclass(frozen=True)
class Bar:
    """A struck bar, tine or bell: its modes relative to the lowest, their strengths, its life in seconds at 440 Hz."""

    ratios: tuple[float, ...]
    strengths: tuple[float, ...]
    life: float
    tremolo: float = 0.0
    release: float = 0.5


def bar(voice: Bar, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    """The higher modes are louder when struck harder."""
    n = int((seconds + voice.release) * RATE)
    ratio = np.array(voice.ratios)
    strength = np.array(voice.strengths) * (0.35 + 0.65 * velocity) ** (ratio > 1.5)
    audible = ratio * hz < 18_000
    lives = voice.life * (440.0 / hz) ** 0.35 / (1.0 + 0.5 * (ratio - 1.0))
    tone = struck(hz * ratio[audible], strength[audible], lives[audible], n)
    tone *= np.float32(0.6) * fade_out(n, min(voice.release, 0.3))
    if voice.tremolo:
        swing = voice.tremolo * np.sin(2.0 * np.pi * 4.6 * seconds_axis(n))
        return np.array([tone * (1.0 + swing), tone * (1.0 - swing)], dtype=np.float32)
    return tone


def guitar(string: String, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    n = int((seconds + string.release) * RATE)
    tone = plucked(string, hz, n, string.bright * (0.75 + 0.25 * velocity), dice)
    return f32(tone * fade_out(n, string.release) * 0.7)


@dataclass(frozen=True)
class Breath:
    """A blown or bowed voice: a wave whose brightness follows the breath, vibrato, air."""

    wave: str
    bright_hz: float
    attack: float
    air: float = 0.0
    vibrato: float = 12.0
    swell: float = 0.25
    gain: float = 1.0


def blown(voice: Breath, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    n = int((seconds + 0.16) * RATE)
    t = seconds_axis(n)
    breath = envelope(n, voice.attack, 0.5, 0.8, 0.16) * (
        1.0 - voice.swell * np.cos(np.pi * np.minimum(1.0, t / 0.7)) * 0.5
    )
    scoop = 1.0 - 0.012 * np.exp(-t / 0.03)  # the note is reached from a little below
    pitch = (hz * scoop * _vibrato(t, voice.vibrato)).astype(np.float32)
    cutoff = hz + voice.bright_hz * (0.4 + 0.6 * velocity) * breath
    tone = swept(bank(voice.wave, 0.75), pitch, cutoff, n, float(dice.random()))
    if voice.air:
        tone = tone + voice.air * noise(n, dice, hz, hz * 6.0)
    return f32(tone * breath * voice.gain)


@dataclass(frozen=True)
class Ensemble:
    """Many players, or a pad."""

    crowd: Crowd
    attack: float
    release: float
    shimmer: float = 0.0  # share of the same an octave higher


def ensemble(voice: Ensemble, hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    n = int((seconds + voice.release) * RATE)
    tone = cloud(replace(voice.crowd, tilt=voice.crowd.tilt - 0.25 * velocity), hz, n, dice)
    if voice.shimmer:
        tone += voice.shimmer * cloud(replace(voice.crowd, tilt=voice.crowd.tilt + 0.4), 2.0 * hz, n, dice)
    attack = min(voice.attack, 0.5 * seconds)
    return f32(tone * envelope(n, attack, 1.0, 0.92, voice.release) * 0.9)


def sub(hz: float, seconds: float, velocity: float, dice: Dice) -> Audio:
    """The 808: a sine that falls into its pitch, warmed so that small loudspeakers can tell it."""
    n = int((seconds + 0.1) * RATE)
    t = seconds_axis(n)
    phase = hz * t + hz * 0.35 * 0.03 * (1.0 - np.exp(-t / 0.03))
    tone = np.tanh(1.8 * np.sin(2.0 * np.pi * phase)) / np.tanh(1.8)
    return f32(0.6 * tone * envelope(n, 0.004, 1.6, 0.35, 0.1))
