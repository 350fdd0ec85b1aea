"""What is true of tracks without a database: visibility, version kinds, and the rules for a person's words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from domain.errors import Refusal, RequestCode, RequestFailed, invalid


class Visibility(StrEnum):
    """PRIVATE: the owner. UNLISTED: whoever has the id. PUBLIC: listed for everybody."""

    PRIVATE = "PRIVATE"
    UNLISTED = "UNLISTED"
    PUBLIC = "PUBLIC"


class VersionKind(StrEnum):
    ORIGINAL = "ORIGINAL"
    EXTEND = "EXTEND"
    COVER = "COVER"
    REMIX = "REMIX"


UNDELETE = timedelta(days=30)  # how long a deleted track can be restored

MAX_PROMPT = 3000  # the longest prompt any of the vendors takes
MAX_LYRICS = 5000
MAX_TITLE = 100
MAX_TAGS, MAX_TAG = 20, 50
MAX_CHOICE = 20  # values of one filter: more than there are states, kinds or providers
MAX_SEARCH = 200  # characters: twice the longest title


def check_text(text: str | None, limit: int, *path: str) -> list[Refusal]:
    """Text is stored as it was written; control characters and excess length are refused, not mended."""
    if text is None:
        return []
    if len(text) > limit:
        return [invalid(f"At most {limit} characters fit here; this has {len(text)}.", *path)]
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\r\t" for c in text):
        return [invalid("Control characters are not accepted; remove them.", *path)]
    return []


def check_prompt(prompt: str) -> list[Refusal]:
    if not prompt.strip():
        return [invalid("Say in words what the music should be.", "prompt")]
    return check_text(prompt, MAX_PROMPT, "prompt")


def check_title(title: str | None) -> list[Refusal]:
    if title is not None and not title.strip():
        return [invalid("A title cannot be empty; leave it out to have one made from the prompt.", "title")]
    return check_text(title, MAX_TITLE, "title")


def check_tags(tags: tuple[str, ...]) -> list[Refusal]:
    problems = []
    if len(tags) > MAX_TAGS:
        problems.append(invalid(f"At most {MAX_TAGS} tags fit on a track; this has {len(tags)}.", "tags"))
    for index, tag in enumerate(tags[:MAX_TAGS]):
        if not tag:
            problems.append(invalid("A tag cannot be empty.", "tags", str(index)))
        problems += check_text(tag, MAX_TAG, "tags", str(index))
    return problems


def normal_tags(tags: list[str] | None) -> tuple[str, ...]:
    """Tags without surrounding space and repetitions (whatever their case), in the order given."""
    seen: dict[str, str] = {}
    for tag in tags or ():
        seen.setdefault(tag.strip().lower(), tag.strip())
    return tuple(seen.values())


def choice(field: str, values: Sequence[str] | None) -> list[str] | None:
    """The values of which one must fit, each once; None for whatever there is. Raises BAD_USER_INPUT for too many."""
    if values is None:
        return None
    if len(values) > MAX_CHOICE:
        raise _bad(f"`filter.{field}` takes at most {MAX_CHOICE} values; this has {len(values)}.")
    return [str(value) for value in dict.fromkeys(values)]


def search_tags(tags: Sequence[str] | None) -> list[str] | None:
    """The tags that a track must carry, all of them; None when none is asked for. Raises BAD_USER_INPUT for what no
    track could carry: the limits are those of a track's own tags."""
    wanted = normal_tags(list(tags or ()))
    if problems := check_tags(wanted):
        raise _bad(f"`filter.tags`: {problems[0].message}")
    return list(wanted) or None


def search_text(search: str | None) -> str | None:
    """The text whose words a track must have, all of them; None when there is no word in it, as before the first
    letter is typed. The database takes it apart, by the function that takes tracks apart (`plain_words`), so quotes
    and operators mean nothing. Raises BAD_USER_INPUT."""
    if problems := check_text(search, MAX_SEARCH):
        raise _bad(f"`filter.search`: {problems[0].message}")
    if search is None or not any(character.isalnum() for character in unicodedata.normalize("NFKD", search)):
        return None
    return search


def _bad(message: str) -> RequestFailed:
    return RequestFailed(RequestCode.BAD_USER_INPUT, message)


def title_from(prompt: str) -> str:
    """A title for a track that was given none: the prompt's first words, at most 60 characters."""
    line = " ".join(prompt.split())
    if len(line) <= 60:
        return line
    return line[:59].rsplit(" ", 1)[0].rstrip(",.;:- ") + "…"
