"""What a person may write on a track, and the title that is made when none was given."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ErrorCode
from domain.tracks import (
    MAX_LYRICS,
    MAX_PROMPT,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    check_prompt,
    check_tags,
    check_text,
    check_title,
    normal_tags,
    title_from,
)


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\r\n\twith a tab", "été 音楽 🎧 e\u0301", "x" * MAX_LYRICS])
def test_text_is_accepted_as_it_was_written(text):
    assert check_text(text, MAX_LYRICS, "lyrics") == []
    assert check_text(None, MAX_LYRICS, "lyrics") == []


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31m", "\x7f", "\x85", "\ud800", "x" * (MAX_LYRICS + 1)])
def test_control_characters_and_excess_are_refused_by_the_field_they_are_in(text):
    (refusal,) = check_text(text, MAX_LYRICS, "lyrics")
    assert (refusal.code, refusal.path) == (ErrorCode.INVALID_INPUT, ("input", "lyrics"))


@given(st.text())
def test_whatever_is_accepted_can_be_stored_as_utf_8_without_nul(text):
    if not check_text(text, MAX_LYRICS, "lyrics"):
        assert b"\0" not in text.encode()


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_a_prompt_needs_words(prompt):
    assert [refusal.path for refusal in check_prompt(prompt)] == [("input", "prompt")]


def test_the_limits_are_the_last_that_fit():
    assert check_prompt("x" * MAX_PROMPT) == check_title("x" * MAX_TITLE) == []
    assert check_tags(tuple("x" * (MAX_TAG - 2) + f"{n:02}" for n in range(MAX_TAGS))) == []
    assert len(check_prompt("x" * (MAX_PROMPT + 1))) == len(check_title("x" * (MAX_TITLE + 1))) == 1


@pytest.mark.parametrize("title", ["", "  ", "\n"])
def test_a_title_is_left_out_or_says_something(title):
    assert check_title(None) == []
    assert [refusal.path for refusal in check_title(title)] == [("input", "title")]


def test_each_tag_is_judged_and_named_by_its_place():
    refusals = check_tags(("fine", "", "x" * (MAX_TAG + 1), "a\0b"))
    assert [refusal.path for refusal in refusals] == [("input", "tags", str(place)) for place in (1, 2, 3)]
    assert [refusal.path for refusal in check_tags(("tag",) * (MAX_TAGS + 1))] == [("input", "tags")]


def test_tags_lose_space_around_them_and_repetitions_of_any_case_but_not_their_order():
    assert normal_tags([" Lo-Fi", "jazz ", "lo-fi", "JAZZ", "piano"]) == ("Lo-Fi", "jazz", "piano")
    assert normal_tags(None) == normal_tags([]) == ()


@given(st.lists(st.text()))
def test_normal_tags_are_normal_already(tags):
    once = normal_tags(tags)
    assert normal_tags(list(once)) == once


@given(st.text(min_size=1))
def test_the_title_made_from_a_prompt_is_one_short_line_that_would_be_accepted(prompt):
    if check_prompt(prompt):
        return
    title = title_from(prompt)
    assert check_title(title) == []
    assert 0 < len(title) <= 60
    assert not any(unicodedata.category(c) == "Cc" for c in title)


def test_a_long_prompt_gives_a_title_of_whole_words():
    assert title_from("  a quiet\n song ") == "a quiet song"
    assert title_from("slow piano over soft rain, with a cello that answers every phrase, at night") == (
        "slow piano over soft rain, with a cello that answers every…"
    )
    assert title_from("x" * 70) == "x" * 59 + "…"
