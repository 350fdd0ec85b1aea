"""What is true of accounts without a database: roles, tiers, the rules for e-mail, password and user name."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from enum import StrEnum

from domain.errors import Refusal, invalid


class Role(StrEnum):
    USER = "USER"
    MODERATOR = "MODERATOR"
    ADMIN = "ADMIN"


class Tier(StrEnum):
    FREE = "FREE"
    STARTER = "STARTER"
    PRO = "PRO"
    STUDIO = "STUDIO"


ACCESS_LIFE = timedelta(minutes=15)  # short, because a signed token cannot be called back
REFRESH_LIFE = timedelta(days=7)  # sliding: each use starts it again
SESSION_LIFE = timedelta(days=90)  # absolute: even a session in daily use signs in again after this

MAX_EMAIL = 254  # octets, RFC 5321: a path of 256 less its angle brackets
MIN_PASSWORD, MAX_PASSWORD = 8, 128  # NIST 800-63B: at least 8; the top bounds what argon2 is fed
USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{1,28}[A-Za-z0-9])")
_NOT_IN_EMAIL = r"\s\x00-\x1f\x7f-\x9f@<>()\[\],;:\\\""
EMAIL = re.compile(rf"[^{_NOT_IN_EMAIL}]+@[^{_NOT_IN_EMAIL}.]+(?:\.[^{_NOT_IN_EMAIL}.]+)*")


def normal_email(email: str) -> str:
    """One spelling per mailbox: no surrounding space, lower case, accents composed (RFC 6532 asks for NFC)."""
    return unicodedata.normalize("NFC", email.strip().lower())


def is_email(email: str) -> bool:
    """Whether a normal address can belong to an account."""
    return len(email.encode(errors="replace")) <= MAX_EMAIL and EMAIL.fullmatch(email) is not None


def check_registration(email: str, password: str, username: str | None) -> list[Refusal]:
    """What does not fit in a registration; empty when all does. `email` is already normal."""
    problems = []
    if not is_email(email):
        problems.append(invalid("Give an e-mail address such as name@example.com.", "email"))
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        problems.append(invalid(f"The password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters.", "password"))
    if username is not None and not USERNAME.fullmatch(username):
        problems.append(
            invalid(
                "The user name must have 3 to 30 letters, digits, dots, dashes or underscores, "
                "and begin and end with a letter or digit.",
                "username",
            )
        )
    return problems
