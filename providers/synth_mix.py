"""Playing a score: each stem's notes on its instruments, then its sound: warmth, equaliser, room, echo,
pumping."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from domain.composition_notes import Note, Part, Score
from providers.synth_filters import band, echo, joined, process, room
from providers.synth_instruments import INSTRUMENTS
from providers.synth_kits import hit
from providers.synth_loudness import block_powers, integrated
from providers.synth_tones import RATE, Audio, f32, seconds_axis

SHADES = 4  # velocities that an instrument is really played at; between them only the gain changes
LENGTH_GRID = 0.02  # seconds: notes whose lengths differ by less share one recording
LOWEST_HZ = {"drums": 25.0, "bass": 28.0, "chords": 130.0, "lead": 180.0}  # below is the next stem's room
HIGHEST_HZ = {"drums": 20_000.0, "bass": 6_000.0, "chords": 20_000.0, "lead": 20_000.0}
WET = {"drums": 0.35, "bass": 0.08, "chords": 1.0, "lead": 0.9}  # share of the style's reverberation
ECHOING = frozenset({"chords", "lead"})
AMPLIFIED = {"drive": 9.0, "drive_lead": 6.0, "electric": 1.5}  # how hard a guitar drives its amplifier
QUIET_LUFS = -23.0  # every stem is brought here, plus its style's balance, before the master


def render_stem(score: Score, stem: str) -> Audio:
    """The stem (2, n) with its effects, at its place in the balance; zeros where the score has no part for it."""
    total = round(score.duration_seconds * RATE)
    whole = np.zeros((2, total), dtype=np.float32)
    parts = [part for part in score.parts if part.stem == stem and part.notes]
    for part in parts:
        if part.instrument in AMPLIFIED:
            whole += _amplified(_played(part, np.zeros((2, total), dtype=np.float32)), part.instrument)
        else:
            _played(part, whole)
    if stem == "drums" and parts and score.sound.crackle:
        _add_crackle(whole, score)
    if not parts:
        return whole
    _saturate(whole, score.sound.drive)
    _place_in_room(whole, score, stem)
    if stem != "drums" and score.sound.duck:
        _duck(whole, score)
    _balance(whole, score, stem)
    return whole


def _played(part: Part, onto: Audio) -> Audio:
    """Lay every note of the part on the bus. Equal notes are made once: a loop of four bars costs four bars."""
    recordings: dict[tuple[object, ...], Audio] = {}
    for note in part.notes:
        key = _recording_key(part, note)
        if key not in recordings:
            recordings[key] = _record(part, key)
        gain = part.gain * note.velocity ** (1.4 if part.stem == "drums" else 1.2)
        _lay(onto, recordings[key], round(note.start * RATE), gain, part.pan)
    return onto


def _recording_key(part: Part, note: Note) -> tuple[object, ...]:
    if part.stem == "drums":
        return (note.voice,)
    grid = max(1, round(note.length / LENGTH_GRID))
    return (note.pitch, grid, min(SHADES - 1, int(note.velocity * SHADES)), note.glide)


def _record(part: Part, key: tuple[object, ...]) -> Audio:
    if part.stem == "drums":
        return hit(part.instrument, str(key[0]))
    pitch, grid, shade, glide = (int(str(value)) for value in key)
    dice = np.random.default_rng(crc32(f"{part.instrument} {key}".encode()))
    hz = 440.0 * 2.0 ** ((pitch - 69) / 12.0)
    tone = INSTRUMENTS[part.instrument](hz, grid * LENGTH_GRID, (shade + 0.5) / SHADES, dice)
    return _slid(tone, glide) if glide else tone


def _slid(tone: Audio, semitones: int) -> Audio:
    """The tone played from `semitones` away into its pitch within 90 ms, by reading it at a changing speed."""
    n = tone.shape[-1]
    speed = 2.0 ** (semitones / 12.0 * np.clip(1.0 - seconds_axis(n) / 0.09, 0.0, 1.0))
    places = np.minimum(np.cumsum(speed), n - 1)
    if tone.ndim == 1:
        return f32(np.interp(places, np.arange(n), tone))
    return np.array([np.interp(places, np.arange(n), side) for side in tone], dtype=np.float32)


def _lay(onto: Audio, tone: Audio, start: int, gain: float, pan: float) -> None:
    stop = min(onto.shape[1], start + tone.shape[-1])
    if stop <= start:
        return
    left, right = gain * min(1.0, 1.0 - pan), gain * min(1.0, 1.0 + pan)
    one, other = (tone, tone) if tone.ndim == 1 else (tone[0], tone[1])
    onto[0, start:stop] += np.float32(left) * one[: stop - start]
    onto[1, start:stop] += np.float32(right) * other[: stop - start]


def _amplified(guitar: Audio, instrument: str) -> Audio:
    """A valve amplifier and its cabinet: the whole chord through one bend, which is what makes it growl."""
    level = float(np.sqrt(np.mean(guitar**2))) + 1e-9
    drive = AMPLIFIED[instrument]
    np.multiply(guitar, 0.25 * drive / level, out=guitar)
    np.tanh(guitar, out=guitar)
    process(guitar, band(90.0, 4800.0, tilt_db=-3.0), np.zeros((2, 1), dtype=np.float32))
    # Two takes a little apart on the two sides: how records make one guitar wide.
    late = int(0.011 * RATE)
    guitar[1, late:] = 0.4 * guitar[1, late:] + 0.6 * guitar[0, :-late].copy()
    return guitar * np.float32(0.5)


def _saturate(stem: Audio, drive: float) -> None:
    """Tape-like warmth in place: peaks are bent, loudness stays about the same."""
    if not drive:
        return
    peak = float(np.abs(stem).max()) + 1e-9
    push = 1.0 + 2.2 * drive
    np.multiply(stem, push / peak, out=stem)
    np.tanh(stem, out=stem)


def _place_in_room(stem: Audio, score: Score, stem_name: str) -> None:
    sound = score.sound
    top = min(HIGHEST_HZ[stem_name], sound.top_hz)
    direct = band(LOWEST_HZ[stem_name], top)
    wet = room(sound.room_seconds, 7) * np.float32(sound.wet * WET[stem_name])
    if stem_name in ECHOING and sound.echo:
        length = int(min(4.0, 6.0 * sound.echo_beats * 60.0 / score.tempo) * RATE)
        repeats = echo(sound.echo_beats * 60.0 / score.tempo, sound.echo, length)
        wet = _sum(wet, repeats)
    process(stem, direct, joined(wet, band(220.0, min(top, 9000.0))))


def _sum(one: Audio, other: Audio) -> Audio:
    whole = np.zeros((2, max(one.shape[1], other.shape[1])), dtype=np.float32)
    whole[:, : one.shape[1]] += one
    whole[:, : other.shape[1]] += other
    return whole


def _duck(stem: Audio, score: Score) -> None:
    """Push the stem down at each kick and let it swell back within half a beat: the pump of dance music."""
    length = int(0.5 * 60.0 / score.tempo * RATE)
    curve = 1.0 - score.sound.duck * (1.0 - np.linspace(0.0, 1.0, length, dtype=np.float32) ** 1.5)
    curve[:64] = np.linspace(1.0, curve[64], 64)  # 1.5 ms down: faster would click
    for start in _kicks(score.parts):
        stop = min(stem.shape[1], start + length)
        stem[:, start:stop] *= curve[: max(0, stop - start)]


def _kicks(parts: Sequence[Part]) -> list[int]:
    return [
        round(n.start * RATE)
        for p in parts
        if p.stem == "drums"
        for n in p.notes
        if n.voice == "kick" and n.velocity > 0.4
    ]


def _balance(stem: Audio, score: Score, stem_name: str) -> None:
    """Bring the stem to its style's loudness. The limit of +30 dB keeps a nearly silent stem nearly silent."""
    loudness = integrated(block_powers(stem))
    if not np.isfinite(loudness):
        return
    wanted = QUIET_LUFS + score.sound.balance[("drums", "bass", "chords", "lead").index(stem_name)]
    stem *= np.float32(10.0 ** (min(30.0, wanted - loudness) / 20.0))


def _add_crackle(stem: Audio, score: Score) -> None:
    """The dust of a record: faint hiss and about twelve ticks a second, from the tempo's seed."""
    dice = np.random.default_rng(crc32(f"dust {score.tempo}".encode()))
    level = np.float32(0.012 * score.sound.crackle)
    tile = dice.standard_normal(RATE * 3, dtype=np.float32) * level * np.float32(0.3)
    for start in range(0, stem.shape[1], tile.size):
        stem[:, start : start + tile.size] += tile[: stem.shape[1] - start]
    for place in dice.integers(0, stem.shape[1], int(12 * score.duration_seconds)):
        stem[:, place : place + 3] += level * np.float32(dice.normal(0.0, 6.0))
