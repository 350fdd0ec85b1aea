"""Ids: UUIDv7, rising, and opaque where clients see them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import new_id
from domain.errors import RequestCode, RequestFailed
from schema.ids import decode_id, encode_id, required_row_id, row_id


def test_an_id_is_a_uuid_of_version_7_that_tells_its_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after + 1


def test_ids_rise_strictly_also_within_a_millisecond() -> None:
    made = [new_id() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert [str(one) for one in made] == sorted(str(one) for one in made)


def test_ids_of_several_threads_are_all_different() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: [new_id() for _ in range(2_000)], range(8)))
    assert len({one for some in made for one in some}) == 16_000


def test_the_random_part_is_not_guessable_from_the_last_one() -> None:
    made = [new_id().int & (1 << 62) - 1 for _ in range(1_000)]
    assert len(set(made)) == 1_000
    seen_as_one = sum(value.bit_count() for value in made) / (62 * 1_000)
    assert 0.45 < seen_as_one < 0.55  # 31,000 bits of one, give or take 125: this is 25 times as wide


@given(st.sampled_from(["Track", "User", "TrackVersion"]), st.uuids())
def test_an_opaque_id_leads_back_to_its_row(type_name: str, id: UUID) -> None:
    opaque = encode_id(type_name, id)
    assert decode_id(opaque) == (type_name, id)
    assert row_id(type_name, opaque) == id
    assert row_id("Stem", opaque) is None
    assert required_row_id(type_name, opaque) == id


ALMOST = st.from_regex(r"(Track|T|)[_:]?[0-9a-fA-F-]{30,40}", fullmatch=True)


@given(st.text(max_size=200) | ALMOST)
def test_what_is_no_id_of_ours_to_the_letter_names_nothing(text: str) -> None:
    found = decode_id(text)
    if found is not None:
        assert encode_id(*found) == text
    else:
        assert row_id("Track", text) is None
        with pytest.raises(RequestFailed) as failed:
            required_row_id("Track", text)
        assert failed.value.code is RequestCode.BAD_USER_INPUT
        assert len(failed.value.message) < 1_200
