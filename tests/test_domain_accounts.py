"""What an account's e-mail, password and user name may be."""

from __future__ import annotations

import string
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.accounts import ACCESS_LIFE, REFRESH_LIFE, SESSION_LIFE, check_registration, is_email, normal_email
from domain.errors import ErrorCode

EMAIL, PASSWORD = "name@example.com", "correct horse"

EMAILS = [
    "a@b",
    EMAIL,
    "first.last+tag@sub.example.co.uk",
    "o'neil@example.com",
    "demo@antiphon.local",
    "jürgen@bücher.example",
]
NOT_EMAILS = [
    "",
    "name",
    "@example.com",
    "name@",
    "name@@example.com",
    "name@.example.com",
    "name@example..com",
    "name@example.com.",
    "two words@example.com",
    "name@exam ple.com",
    "name@example.com\nbcc: other@example.com",
    "na\0me@example.com",
    "na\x1bme@example.com",
    "na\x85me@example.com",
    '"name"@example.com',
    "Name <name@example.com>",
    "one@example.com,two@example.com",
    "name@" + "x" * 250,
    "é" * 126 + "@example.com",
]
USERNAMES = ["abc", "a-b", "A_b.C-9", "x" * 30, "007"]
NOT_USERNAMES = ["", "ab", "x" * 31, ".abc", "abc.", "-abc", "abc_", "a b c", "jürgen", "abc\n", "a/b", "a@b", "а" * 5]


def paths(email: str = EMAIL, password: str = PASSWORD, username: str | None = None) -> list[tuple[str, ...] | None]:
    refusals = check_registration(normal_email(email), password, username)
    assert all(refusal.code is ErrorCode.INVALID_INPUT for refusal in refusals)
    return [refusal.path for refusal in refusals]


@pytest.mark.parametrize("email", EMAILS)
def test_an_address_is_accepted(email: str) -> None:
    assert paths(email=email) == []


@pytest.mark.parametrize("email", NOT_EMAILS)
def test_what_is_no_address_is_refused_by_its_field(email: str) -> None:
    assert paths(email=email) == [("input", "email")]


@pytest.mark.parametrize("username", USERNAMES)
def test_a_user_name_is_accepted(username: str) -> None:
    assert paths(username=username) == []


@pytest.mark.parametrize("username", NOT_USERNAMES)
def test_what_is_no_user_name_is_refused_by_its_field(username: str) -> None:
    assert paths(username=username) == [("input", "username")]


def test_a_password_has_8_to_128_characters() -> None:
    assert [length for length in range(140) if paths(password="é" * length) == []] == list(range(8, 129))


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    assert paths(email="x", password="x", username="x") == [
        ("input", "email"),
        ("input", "password"),
        ("input", "username"),
    ]


def test_a_mailbox_has_one_spelling() -> None:
    decomposed = unicodedata.normalize("NFD", "Jürgen@Example.COM")
    assert {normal_email(" jürgen@example.com\n"), normal_email(decomposed)} == {"jürgen@example.com"}


@given(st.text(max_size=300))
@example("İ@example.com")
def test_a_normal_address_is_normal(email: str) -> None:
    assert normal_email(normal_email(email)) == normal_email(email)


@given(st.text(max_size=300))
def test_no_address_that_is_accepted_holds_a_space_or_a_control_character(text: str) -> None:
    if is_email(text):
        assert not any(c.isspace() or unicodedata.category(c) == "Cc" for c in text)


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=3, max_size=30))
def test_every_plain_word_of_3_to_30_characters_is_a_user_name(username: str) -> None:
    assert paths(username=username) == []


def test_lives_are_those_that_clients_were_promised() -> None:
    minutes = [life / timedelta(minutes=1) for life in (ACCESS_LIFE, REFRESH_LIFE, SESSION_LIFE)]
    assert minutes == [15, 7 * 24 * 60, 90 * 24 * 60]
