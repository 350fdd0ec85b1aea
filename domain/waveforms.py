"""Waveform peaks: kept as one byte a point (0 silence, 255 full scale), answered as numbers from 0 to 1."""

from __future__ import annotations

from itertools import pairwise

# Points stored per object: as many bars as a wide player draws, and 1000 bytes stay in the row (no TOAST).
STORED_POINTS = 1000
FULL_SCALE = 255


def resample_peaks(peaks: bytes, points: int) -> list[float]:
    """`points` peaks from 0 to 1, rounded to three digits (a byte holds no more).

    Fewer points than stored: each is the loudest of its share, so no hit is lost. More: each is repeated.
    No stored peaks give an empty list. Raises `ValueError` for less than one point.
    """
    if points < 1:
        raise ValueError("at least one point is needed")
    if not peaks:
        return []
    stored = len(peaks)
    edges = [index * stored // points for index in range(points + 1)]
    return [round(max(peaks[start : max(end, start + 1)]) / FULL_SCALE, 3) for start, end in pairwise(edges)]
