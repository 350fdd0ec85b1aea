from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.waveforms import resample_peaks


def test_each_point_is_the_loudest_of_its_share():
    assert resample_peaks(bytes([0, 255, 51, 0]), 2) == [1.0, 0.2]


def test_more_points_than_stored_repeat_the_nearest():
    assert resample_peaks(bytes([255, 0]), 4) == [1.0, 1.0, 0.0, 0.0]


def test_no_stored_peaks_give_an_empty_list():
    assert resample_peaks(b"", 200) == []


def test_less_than_one_point_is_refused():
    with pytest.raises(ValueError, match="at least one point"):
        resample_peaks(b"\x01", 0)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 1000))
def test_any_number_of_points_comes_back_within_range_and_keeps_the_loudest(peaks, points):
    resampled = resample_peaks(peaks, points)
    assert len(resampled) == points
    assert max(resampled) == round(max(peaks) / 255, 3)
    assert min(resampled) >= 0
