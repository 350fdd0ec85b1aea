"""Times as the contract has them: RFC 3339, UTC, `Z`, always six digits of fraction: text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime

import strawberry


def write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(text: object) -> datetime:
    """Refuses what has no zone: guessing one is how times go wrong."""
    if not isinstance(text, str):
        raise ValueError("A DateTime is a string such as 2026-01-31T12:00:00Z.")
    try:
        moment = datetime.fromisoformat(text)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a time; write it as 2026-01-31T12:00:00Z.") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone; end it with Z or an offset such as +02:00.")
    return in_utc


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC by RFC 3339, with six digits of fraction and `Z`: 2026-01-31T12:00:00.000000Z.",
    specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
    serialize=write_time,
    parse_value=read_time,
)
