"""Notes, parts and the score: what a synthesizer, or anybody else, needs to play a piece."""

from __future__ import annotations

from dataclasses import dataclass

from domain.styles import Sound

STEMS = ("drums", "bass", "chords", "lead")


@dataclass(frozen=True)
class Note:
    """A note, in beats within a section or (in a `Part`) in seconds within the piece."""

    start: float
    length: float
    pitch: int  # MIDI number; 0 for drums
    velocity: float  # 0–1
    voice: str = ""  # the drum, in a drum part
    glide: int = 0  # semitones below or above from which a bass note slides in


@dataclass(frozen=True)
class Part:
    """One player: a stem it belongs to, an instrument (for drums: the kit) and its notes in seconds."""

    stem: str
    instrument: str
    notes: tuple[Note, ...]
    gain: float = 1.0
    pan: float = 0.0  # −1 left … 1 right


@dataclass(frozen=True)
class Score:
    """A whole piece in seconds, ready to be rendered."""

    key: str  # "D minor"
    style: str
    tempo: float
    meter: int
    bars: int
    duration_seconds: float
    fade_from_seconds: float  # the last chord begins here
    parts: tuple[Part, ...]
    sound: Sound
    section_starts: tuple[tuple[str, float], ...]  # role and second
