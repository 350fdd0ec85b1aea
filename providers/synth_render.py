"""One variant from spec to files. Runs in a pool process: takes and gives only plain values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from domain.composition import Spec, compose
from domain.composition_arrange import arrange
from domain.composition_notes import STEMS
from providers.synth_cover import draw
from providers.synth_master import master, save_raw, write_mix, write_stems
from providers.synth_mix import render_stem
from providers.synth_tones import RATE

CANCELED = ".canceled"  # a file of this name in the task's folder stops its renders between two stages
STAGES = (*(f"{stem}.raw" for stem in STEMS), "mix.wav", *(f"{stem}.wav" for stem in STEMS), "cover.webp")


class RenderCanceled(Exception):
    """The task was cancelled while this variant was being made."""


def render(spec: Mapping[str, Any], variant: int, working: str, final: str) -> None:
    """Make `final` (a folder with mix, stems and cover) by way of `working` beside it, renamed when whole.

    If somebody else finished the same variant first, theirs stays: the bytes are the same. Raises
    RenderCanceled, OSError.
    """
    folder, goal = Path(working), Path(final)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _make(Spec.from_json(spec), variant, folder)
        if not goal.exists():
            folder.rename(goal)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(spec: Spec, variant: int, folder: Path) -> None:
    piece = compose(spec, variant)
    score = arrange(piece)
    total = round(score.duration_seconds * RATE)
    mix = np.zeros((2, total), dtype=np.float32)
    raw = {stem: folder / f"{stem}.raw" for stem in STEMS}
    for name, path in raw.items():
        _go_on(folder)
        stem = render_stem(score, name)
        mix += stem
        save_raw(stem, path)
        del stem  # before the next is made: at 480 s each weighs 170 MB
    _go_on(folder)
    curve = master(mix, score.fade_from_seconds)
    write_mix(mix, folder / "mix.wav")
    del mix
    _go_on(folder)
    write_stems(raw, curve, folder, total)
    draw(score, piece.salt, folder / "cover.webp")
    for path in raw.values():
        path.unlink()


def _go_on(folder: Path) -> None:
    if (folder.parent / CANCELED).exists():
        raise RenderCanceled
