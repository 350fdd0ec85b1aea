"""When to try again, as arithmetic."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.generations import (
    ACTIVE,
    BACKOFF_CAP,
    RETRIES,
    AttemptState,
    GenerationStatus,
    backoff_seconds,
)


class _Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class _Lowest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.mark.parametrize(("retry", "longest"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (1000, 60)])
def test_the_longest_pause_doubles_with_each_retry_up_to_a_minute(retry: int, longest: float) -> None:
    assert backoff_seconds(retry, _Highest()) == longest


@given(st.integers(1, 100), st.randoms(use_true_random=False))
def test_a_pause_is_never_negative_and_never_longer_than_the_cap(retry: int, rng: random.Random) -> None:
    assert 0 <= backoff_seconds(retry, rng) <= BACKOFF_CAP


def test_the_jitter_is_full_so_that_a_crowd_does_not_come_back_at_once() -> None:
    assert backoff_seconds(RETRIES, _Lowest()) == 0
    pauses = [backoff_seconds(RETRIES, random.Random(seed)) for seed in range(1000)]
    assert min(pauses) < 0.5
    assert max(pauses) > 7.5
    assert 3.7 < sum(pauses) / len(pauses) < 4.3


def test_a_generation_is_either_active_or_over() -> None:
    ended = {GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELED}
    assert set(ACTIVE) | ended == set(GenerationStatus)
    assert not set(ACTIVE) & ended


def test_an_attempt_that_is_live_may_have_been_charged() -> None:
    assert set(AttemptState) - set(AttemptState.live()) == {
        AttemptState.SUCCEEDED,
        AttemptState.FAILED,
        AttemptState.CANCELED,
    }
