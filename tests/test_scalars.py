"""Times and ids as texts: one form out, and nothing but a clear refusal for what does not fit in."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestCode, RequestFailed
from schema.ids import decode_id, encode_id, required_row_id, row_id
from schema.scalars import read_time, write_time

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=ZONES).filter(lambda moment: 1 < moment.year < 9999)


@given(MOMENTS)
def test_a_time_is_read_back_from_its_text_to_the_microsecond(moment):
    text = write_time(moment)
    assert len(text) == len("2026-01-31T12:00:00.000000Z")
    assert text.endswith("Z")
    assert read_time(text) == moment


@given(MOMENTS, MOMENTS)
def test_the_order_of_texts_is_the_order_of_times(one, other):
    assert (write_time(one) < write_time(other)) == (one < other)


@pytest.mark.parametrize("text", ["2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"])
def test_any_offset_is_read_as_utc(text):
    moment = read_time(text)
    assert (moment, moment.tzinfo) == (datetime(2026, 1, 31, 12, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "12:00:00Z",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "now",
        "",
        "\0",
        5,
        None,
        True,
        [],
    ],
)
def test_what_is_no_moment_is_refused_with_words(text):
    with pytest.raises(ValueError, match=r".+"):
        read_time(text)


@given(st.text())
def test_any_text_is_a_time_or_refused(text):
    with suppress(ValueError):
        assert read_time(text).tzinfo is UTC


@given(st.sampled_from(["Track", "Stem", "User"]), st.uuids())
def test_an_id_names_its_row_and_only_as_its_own_type(kind, id):
    text = encode_id(kind, id)
    assert decode_id(text) == (kind, id)
    assert row_id(kind, text) == required_row_id(kind, text) == id
    assert row_id("Generation", text) is None
    with pytest.raises(RequestFailed) as refused:
        required_row_id("Generation", text)
    assert refused.value.code is RequestCode.BAD_USER_INPUT


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_as_an_id_is_an_id_or_nothing(text):
    found = decode_id(text)
    assert found is None or isinstance(found[1], UUID)
