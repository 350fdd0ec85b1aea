"""Reading a request: prompt, tags and title become a `Brief`, what is asked for in musical terms.

Tags weigh more than the prompt and the prompt more than the title: a tag is a decision, a title often an
image. What the words leave open is decided by hash in `domain/composition.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from domain import composition_vocabulary as vocabulary
from domain.harmony import MODES

TAG_WEIGHT, PROMPT_WEIGHT, TITLE_WEIGHT = 2.0, 1.0, 0.4
PIANO_SHARE = 0.3  # "piano" is a style only where no other is named: mostly it is an instrument
SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0  # outside, a beat is no longer felt as one

_BPM = re.compile(
    r"(\d{2,3}(?:[.,]\d{1,2})?)\s*-?(?:bpm|beats per minute)|(?:bpm|tempo)\s*[:=]?\s*(\d{2,3}(?:\.\d{1,2})?)"
)
_ANY_MODE = "|".join(vocabulary.MODE_WORDS.values())
_KEY = re.compile(
    rf"(?<!\w)([a-h])\s?(#|♯|-?\s?sharp|♭|b|-?\s?flat)?[\s-]?({_ANY_MODE})(?!\w)(?!\s+(?:key|mode|scale|chord))"
)
_KEY_OF = re.compile(r"key(?:\s+of|:)?\s+([a-g])\s?(#|♯|\s?sharp|♭|b|\s?flat)?(?!\w)")
_SHORT_KEY = re.compile(r"([a-g])(#|♯|b|♭)?m")
_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11, "h": 11}


@dataclass(frozen=True)
class Mood:
    """Four feelings between −1 and 1: sad–happy, calm–energetic, bright–dark, close–spacious."""

    valence: float = 0.0
    energy: float = 0.0
    darkness: float = 0.0
    space: float = 0.0


@dataclass(frozen=True)
class Brief:
    """What the words ask for; None and empty mean that they leave it open."""

    styles: tuple[str, ...] = ()  # best first
    mood: Mood = field(default_factory=Mood)
    bpm: float | None = None
    tonic: int | None = None
    mode: str | None = None
    waltz: bool = False
    instruments: tuple[tuple[str, str], ...] = ()  # (layer, instrument); layers are bass, chords, pads, lead
    muted: frozenset[str] = frozenset()  # stems that must be silent


def read(prompt: str, tags: Sequence[str], title: str | None) -> Brief:
    """The brief in a request's words. Never fails: any text, in any language, is a brief, if an empty one."""
    texts = [(fold(tag), TAG_WEIGHT) for tag in tags]
    texts += [(fold(prompt), PROMPT_WEIGHT), (fold(title or ""), TITLE_WEIGHT)]
    whole = " \n ".join(text for text, _ in texts)
    muted, rest = _muted(whole)
    tonic, mode = _key(rest, tags)
    return Brief(
        styles=_styles([(_muted(text)[1], weight) for text, weight in texts]),
        mood=_mood([(_muted(text)[1], weight) for text, weight in texts]),
        bpm=_bpm(rest),
        tonic=tonic,
        mode=mode or _mode(rest),
        waltz=_found(vocabulary.WALTZ, rest),
        instruments=_instruments(rest),
        muted=muted,
    )


def fold(text: str) -> str:
    """Case-folded text in one Unicode form, so that `É` typed in two ways matches one pattern."""
    return unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=512)
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{words})(?!\w)")


def _found(words: str, text: str) -> bool:
    return _pattern(words).search(text) is not None


def _muted(text: str) -> tuple[frozenset[str], str]:
    """The stems refused by "no drums", and the text without these phrases."""
    muted = set()
    for stem, words in vocabulary.PART_WORDS.items():
        phrase = _pattern(rf"{vocabulary.NEGATION}\s+(?:any\s+)?(?:{words})")
        if phrase.search(text):
            muted.add(stem)
            text = phrase.sub(" ", text)
    if _found(r"drumless|beatless", text):
        muted.add("drums")
    return frozenset(muted), text


def _styles(texts: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    scores = {
        style: sum(weight for text, weight in texts if _found(words, text))
        for style, words in vocabulary.STYLE_WORDS.items()
    }
    scores["piano"] *= PIANO_SHARE
    return tuple(sorted((s for s, score in scores.items() if score), key=lambda s: -scores[s]))


def _mood(texts: Sequence[tuple[str, float]]) -> Mood:
    sums = [0.0, 0.0, 0.0, 0.0]
    for words, feelings in vocabulary.MOOD_WORDS.items():
        weight = max((min(1.0, w) for text, w in texts if _found(words, text)), default=0.0)
        sums = [total + weight * feeling for total, feeling in zip(sums, feelings, strict=True)]
    return Mood(*(max(-1.0, min(1.0, value)) for value in sums))


def _bpm(text: str) -> float | None:
    match = _BPM.search(text)
    if match is None:
        return None
    return max(SLOWEST_BPM, min(FASTEST_BPM, float((match[1] or match[2]).replace(",", "."))))


def _key(text: str, tags: Sequence[str]) -> tuple[int | None, str | None]:
    match = _KEY.search(text)
    if match is not None:
        return _pitch_class(match[1], match[2]), _mode(match[3])
    match = _KEY_OF.search(text)
    if match is not None:
        return _pitch_class(match[1], match[2]), None
    for tag in tags:  # "F#m" stands alone only as a tag; in a sentence it could be anything
        match = _SHORT_KEY.fullmatch(fold(tag).strip())
        if match is not None:
            return _pitch_class(match[1], match[2]), "minor"
    return None, None


def _pitch_class(letter: str, accidental: str | None) -> int:
    mark = (accidental or "").strip(" -")
    shift = 1 if mark in {"#", "♯", "sharp"} else -1 if mark else 0
    return (_LETTERS[letter] + shift) % 12


def _mode(text: str) -> str | None:
    return next((mode for mode in MODES if _found(vocabulary.MODE_WORDS[mode], text)), None)


def _instruments(text: str) -> tuple[tuple[str, str], ...]:
    """Instruments in the order in which they are named, each in the best layer still free."""
    named: list[tuple[int, str, tuple[str, ...]]] = []
    for words, (instrument, layers) in vocabulary.INSTRUMENT_WORDS.items():
        match = _pattern(words).search(text)
        if match is not None:
            named.append((match.start(), instrument, layers))
            text = text[: match.start()] + " " * (match.end() - match.start()) + text[match.end() :]
    taken: dict[str, str] = {}
    for _, instrument, layers in sorted(named):
        layer = next((name for name in layers if name not in taken), None)
        if layer is not None:
            taken[layer] = instrument
    return tuple(taken.items())
