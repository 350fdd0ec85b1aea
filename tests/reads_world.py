"""A world to read: everything that a column may hold, of several people, in one go.

The owner has RICH tracks with all that hangs on tracks, and PLAIN ones that fill pages. Two rows are odd, and no field
can show them: a size above GraphQL's Int, on a track of its own at the end of every list, so that few documents meet
it; and a request without a seed, which breaks the list that it is in. Somebody who never asks has that one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg

from schema.ids import encode_id

RICH, PLAIN = 15, 110
HUGE, ADMINS, SEEDLESS = RICH + PLAIN, RICH + PLAIN + 1, RICH + PLAIN + 2  # numbers of tracks
BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)
BORN = datetime(2020, 2, 29, tzinfo=UTC)

USERS = {
    name: UUID(int=number)
    for number, name in enumerate(("owner", "stranger", "admin", "newcomer", "elsewhere"), start=1)
}
SESSIONS = {name: UUID(int=id.int + 100) for name, id in USERS.items()}
ANYBODY = ("owner", "stranger", "admin", "newcomer", "anonymous")

Row = dict[str, Any]

# Whole seconds, trailing zeros and single microseconds are written by two programs, which must agree.
FRACTIONS = (0, 500_000, 1, 999_999, 0, 120_000)
TITLES = (
    "Quoted \"thrice\" \\ and 'once'",
    "Ünïcödé — 夜想曲 🎹🎶",
    "line\nbreak\ttab\u2028and\u0001bell",
    "</script><b>&amp;",
    " ",
    "e\u0301 and \u00e9",
)
TAGS: tuple[list[str], ...] = ([], ["calm"], ["Calm", 'a "b"', "夜", "NULL", ""], ["{,}", "\\"])
LYRICS = (None, "", "la la\nla")
STATUSES = ("PENDING", "COMPLETED", "FAILED", "CANCELED", "PROCESSING")
KINDS = ("ORIGINAL", "EXTEND", "COVER", "REMIX")
PEAKS = (bytes(range(256)) * 4, None, b"", b"\xff\x00\x80")


def key(kind: int, number: int) -> UUID:
    """Ids that are the same in every run; those of one kind are not in the order of their numbers."""
    return UUID(int=kind << 120 | (number * 0x9E3779B97F4A7C15) % 2**64 << 40 | number)


def at(number: int) -> datetime:
    """Three share each moment."""
    return BEGINNING - timedelta(seconds=number // 3) + timedelta(microseconds=FRACTIONS[number // 3 % len(FRACTIONS)])


def of(number: int, values: Sequence[Any]) -> Any:
    return values[number % len(values)]


def people() -> Iterator[tuple[str, Row]]:
    for number, (name, id) in enumerate(USERS.items()):
        tier = of(number, ("FREE", "STUDIO", "PRO"))
        email = f"{name}@example.com"
        yield "users", {"id": id, "email": email, "password_hash": "", "tier": tier, "created_at": BORN}
        display_name = of(number, ('Zoë "Q" O\'Neil 🎧', None))
        avatar_url = of(number, (None, "https://example.com/a?b=c&d=é"))
        yield "profiles", {"id": id, "username": name, "display_name": display_name, "avatar_url": avatar_url}
        held = {"owner": ("USER", "MODERATOR"), "admin": ("USER", "ADMIN")}.get(name, ("USER",))
        for role in held:
            yield "user_roles", {"user_id": id, "role": role}
        yield (
            "sessions",
            {
                "id": SESSIONS[name],
                "user_id": id,
                "family_id": SESSIONS[name],
                "refresh_hash": name.encode(),
                "family_created_at": BORN,
                "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
            },
        )


def track(number: int, user: str, **columns: Any) -> Row:
    return {
        "id": key(1, number),
        "user_id": USERS[user],
        "title": of(number, TITLES),
        "prompt": f"words of {number}, {of(number, TITLES)}",
        "lyrics": of(number, LYRICS),
        "tags": of(number, TAGS),
        "instrumental": number % 2 == 0,
        "status": of(number, ("PENDING", "FAILED", "CANCELED", "PROCESSING")),
        "visibility": of(number, ("PRIVATE", "PUBLIC", "UNLISTED")),
        "provider": of(number, ("synth", None, "suno", "fal", "replicate")),
        "model": of(number, (None, "pulse-1")),
        "like_count": number * 1000,
        "play_count": 2**31 - 1 if number % 7 == 0 else number,
        "revision": number + 1,
        "created_at": at(number),
        "updated_at": at(number * 7 % 50),
        "deleted_at": at(number) if number % 5 == 4 else None,
        **columns,
    }


def tracks() -> Iterator[tuple[str, Row]]:
    for number in range(RICH):
        yield "tracks", track(number, "owner" if number % 5 else "stranger")
    for number in range(RICH, RICH + PLAIN):
        yield "tracks", track(number, "owner", deleted_at=None, visibility=of(number, ("PRIVATE", "PUBLIC")))
    ancient = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    last = {"created_at": ancient, "updated_at": ancient}
    yield "tracks", track(HUGE, "owner", deleted_at=None, visibility="PUBLIC", **last)
    yield "tracks", track(ADMINS, "admin", deleted_at=None, visibility="PRIVATE")
    yield "tracks", track(SEEDLESS, "elsewhere", deleted_at=None, visibility="PRIVATE")


def generation(number: int, track: Row, status: str, **columns: Any) -> Row:
    failed, active = status == "FAILED", status in ("PENDING", "PROCESSING")
    return {
        "id": key(2, number),
        "user_id": track["user_id"],
        "track_id": track["id"],
        "kind": of(number, ("GENERATE", "EXTEND", "COVER", "REMIX", "STEMS")),
        "status": status,
        "provider": of(number, ("synth", "suno")),
        "model": of(number, (None, "V5", "ünï")),
        "params": {"seed": number * 12_345, "prompt": of(number, TITLES).replace("\0", "")},
        "progress": of(number, (0.0, 1.0, 0.1, 1 / 3, 5e-324)),
        "queue_position": of(number, (None, 0, 7)),
        "attempts": number % 4,
        "retries_left": 3,
        "step": "SUBMIT" if active else None,
        "due_at": datetime(2100, 1, 1, tzinfo=UTC),
        "error_code": of(number, ("MODERATED", "TIMEOUT")) if failed else None,
        "error_message": of(number // 3, ('Not "that" word.', None)) if failed else None,
        "error_retryable": of(number // 2, (None, True, False)) if failed else None,
        "created_at": at(number),
        "started_at": None if number % 3 == 0 else at(number * 5),
        "completed_at": None if active else at(number + 1),
        **columns,
    }


def media(number: int, track: Row, purpose: str, **columns: Any) -> Row:
    digest = sha256(str(number).encode()).hexdigest()
    audio = purpose != "COVER"
    return {
        "id": key(3, number),
        "user_id": track["user_id"],
        "track_id": track["id"],
        "key": f"{digest}.{'mp3' if audio else 'png'}",
        "purpose": purpose,
        "content_type": "audio/mpeg" if audio else "image/png",
        "size_bytes": 2**31 - 1 - number,
        "sha256": digest,
        "duration_ms": of(number, (None, 1, 61_234)),
        "peaks": of(number, PEAKS),
        **columns,
    }


def version(number: int, made: Row, audio: Row, **columns: Any) -> Row:
    return {
        "id": key(4, number),
        "user_id": made["user_id"],
        "track_id": made["track_id"],
        "generation_id": made["id"],
        "number": number // 2 % 3 + 1,
        "variant": number % 2 + 1,
        "kind": of(number, KINDS),
        "parent_id": None,
        "media_id": audio["id"],
        "lossless_media_id": None,
        "duration_ms": number * 333 + 1,
        "output_key": "o",
        "created_at": at(number),
        **columns,
    }


def hanging(number: int, track: Row) -> Iterator[tuple[str, Row]]:
    """What belongs to a rich track: five generations, six versions of three numbers with parents, stems, a cover."""
    made = [generation(number * 5 + n, track, status) for n, status in enumerate(STATUSES)]
    yield from (("generations", row) for row in made)
    lossless = media(number * 100 + 90, track, "LOSSLESS", peaks=None)
    cover = media(number * 100 + 91, track, "COVER", peaks=None)
    yield from (("media_objects", row) for row in (lossless, cover))
    for n in range(6 if number % 4 else 1):
        # The first one's parent is a version of the track before, which may be somebody else's: not all see it.
        parent = key(4, number * 6 + n - 2) if n >= 2 else key(4, number * 6 - 6) if n == 0 and number else None
        audio = media(number * 100 + n, track, "AUDIO")
        yield "media_objects", audio
        shown = {"parent_id": parent, "lossless_media_id": lossless["id"] if n % 2 else None}
        by = made[1] if n < 2 else made[2] if n < 4 else made[3]
        yield "versions", version(number * 6 + n, by, audio, **shown)
        for m, kind in enumerate(("VOCALS", "DRUMS", "OTHER")[: n % 4]):
            stem = media(number * 100 + 10 + n * 4 + m, track, "STEM")
            yield "media_objects", stem
            row = {"id": key(5, number * 100 + n * 4 + m), "user_id": track["user_id"], "kind": kind}
            row |= {"version_id": key(4, number * 6 + n), "media_id": stem["id"], "duration_ms": m * 7 + 1}
            yield "stems", row
    if number % 5 != 3:
        chosen = {"primary_version_id": key(4, number * 6), "status": "COMPLETED"}
        yield "tracks", {"id": track["id"], "cover_media_id": cover["id"] if number % 2 else None, **chosen}


def odd() -> Iterator[tuple[str, Row]]:
    huge, seedless = track(HUGE, "owner"), track(SEEDLESS, "elsewhere")
    made = generation(900, huge, "COMPLETED")
    audio = media(9_000, huge, "AUDIO", size_bytes=2**31)
    yield from (("generations", made), ("media_objects", audio), ("versions", version(900, made, audio)))
    chosen = {"primary_version_id": key(4, 900), "status": "COMPLETED"}
    yield "tracks", {"id": huge["id"], "cover_media_id": None, **chosen}
    yield "generations", generation(901, seedless, "COMPLETED", params={})


def rows() -> Iterator[tuple[str, Row]]:
    """All of it: names of tables and rows; one of `tracks` without a title changes the row of that id."""
    yield from people()
    made = list(tracks())
    yield from made
    for number in range(RICH):
        yield from hanging(number, made[number][1])
    yield from odd()


TYPES = {"tracks": "Track", "generations": "Generation", "versions": "TrackVersion", "stems": "Stem", "users": "User"}
TABLES = (
    "users",
    "profiles",
    "user_roles",
    "sessions",
    "tracks",
    "generations",
    "media_objects",
    "versions",
    "stems",
)
CHOOSE = "update tracks set cover_media_id = $2, primary_version_id = $3, status = $4 where id = $1"


async def fill(url: str) -> Mapping[str, list[str]]:
    """Insert it into an empty database, as the system; the ids by the names of their types, the first ones first.
    `Odd` has that of the request without a seed."""
    world: dict[str, list[Row]] = {table: [] for table in TABLES}
    changes = []
    for table, row in rows():
        if table == "tracks" and "title" not in row:
            changes.append(tuple(row.values()))
        else:
            world[table].append(row)
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        async with connection.transaction():
            await connection.execute("select set_config('app.actor', 'system', true)")
            for table, found in world.items():
                names = [*found[0]]
                places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
                insert = f"insert into {table} ({', '.join(names)}) values ({places})"
                await connection.executemany(insert, [[row[name] for name in names] for row in found])
            await connection.executemany(CHOOSE, changes)
        await connection.execute("analyze")
    finally:
        await connection.close()
    shown = {table: [row["id"] for row in world[table] if row.get("user_id") != USERS["elsewhere"]] for table in TYPES}
    ids = {kind: [str(encode_id(kind, id)) for id in shown[table]] for table, kind in TYPES.items()}
    return {**ids, "Odd": [str(encode_id("Generation", key(2, 901)))]}
