"""Changing a style: coloured by a mood, or mixed with another for a remix."""

from __future__ import annotations

from dataclasses import replace

from domain.composition_words import Mood
from domain.styles import Style

# At which strength a remix takes each layer from the other style: the groove first, what sings last.
TAKES_GROOVE, TAKES_BASS, TAKES_COMP, TAKES_SOUND, TAKES_HARMONY, TAKES_LEAD = 0.15, 0.3, 0.45, 0.6, 0.7, 0.8


def blend(own: Style, other: Style, strength: float) -> Style:
    """`own` with the layers of `other` that `strength` (0–1) reaches: 0 leaves it as it is, 1 is the other style."""

    def reaches(threshold: float) -> bool:
        return strength >= threshold

    return Style(
        name=other.name if reaches(0.5) else own.name,
        tempo=other.tempo if reaches(0.5) else own.tempo,
        groove=other.groove if reaches(TAKES_GROOVE) else own.groove,
        bass=other.bass if reaches(TAKES_BASS) else own.bass,
        comp=other.comp if reaches(TAKES_COMP) else own.comp,
        sound=other.sound if reaches(TAKES_SOUND) else own.sound,
        harmony=other.harmony if reaches(TAKES_HARMONY) else own.harmony,
        lead=other.lead if reaches(TAKES_LEAD) else own.lead,
        opening=other.opening if reaches(TAKES_GROOVE) else own.opening,
    )


def tint(style: Style, mood: Mood) -> Style:
    """The style in a mood: dark is duller, spacious wetter, energetic busier and drier."""
    sound = style.sound
    return replace(
        style,
        lead=replace(style.lead, density=max(0.05, min(1.0, style.lead.density * (1.0 + 0.3 * mood.energy)))),
        sound=replace(
            sound,
            top_hz=min(18_000.0, sound.top_hz * (1.0 - 0.35 * mood.darkness if mood.darkness > 0 else 1.0)),
            wet=min(0.6, sound.wet * (1.0 + 0.7 * max(0.0, mood.space)) * (1.0 - 0.2 * max(0.0, mood.energy))),
            room_seconds=sound.room_seconds * (1.0 + 0.5 * max(0.0, mood.space)),
        ),
    )
