"""What the tables make impossible, whoever writes to them: each wrong state is tried, and refused by its constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from core.ids import new_id
from tests.test_migrations import CONSTRAINTS, INDEXES, fetch


class Seeded:
    """A user with a track and its version, and another user, alone in a transaction that is never committed."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection
        self.names: dict[str, UUID] = {}

    def __getattr__(self, name: str) -> UUID:
        return self.names.setdefault(name, new_id())

    async def run(self, statement: str) -> None:
        """`{name}` stands for an id: the same for the same name."""
        words = statement.split("{")
        text = words[0] + "".join(
            f"'{getattr(self, word.partition('}')[0])}'{word.partition('}')[2]}" for word in words[1:]
        )
        await self.connection.execute(text)


@pytest.fixture
async def seeded(database_url: str) -> AsyncIterator[Seeded]:
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("select set_config('app.actor', 'system', true); delete from users")
        rows = Seeded(connection)
        for statement in SEED:
            await rows.run(statement)
        yield rows
    finally:
        await transaction.rollback()
        await connection.close()


TRACK = "insert into tracks (id, user_id, title, prompt, instrumental, status) values"
GENERATION = "insert into generations (id, user_id, track_id, kind, provider, params, retries_left) values"
MEDIA = "insert into media_objects (id, user_id, track_id, key, purpose, content_type, size_bytes, sha256) values"
VERSION = """insert into versions
  (id, user_id, track_id, generation_id, number, variant, kind, media_id, duration_ms, output_key) values"""
STEM = "insert into stems (id, user_id, version_id, kind, media_id, duration_ms) values"
ATTEMPT = "insert into generation_attempts (id, user_id, generation_id, number, provider, state) values"
SESSION = "insert into sessions (id, user_id, family_id, refresh_hash, family_created_at, expires_at) values"

SEED = [
    "insert into users (id, email, password_hash) values ({user}, 'a@x', ''), ({other}, 'b@x', '')",
    "insert into profiles (id, username) values ({user}, 'Duke')",
    "insert into user_roles (user_id, role) values ({user}, 'USER')",
    f"{SESSION} ({{session}}, {{user}}, {{session}}, 'h', now(), now())",
    f"{TRACK} ({{track}}, {{user}}, 't', 'p', true, 'PENDING'), ({{track2}}, {{user}}, 't', 'p', true, 'PENDING')",
    f"{GENERATION} ({{gen}}, {{user}}, {{track}}, 'GENERATE', 'synth', '{{}}', 3)".replace("'{}'", "'[]'"),
    f"{MEDIA} ({{media}}, {{user}}, {{track}}, 'k', 'AUDIO', 'audio/mpeg', 1, 's')",
    f"{MEDIA} ({{media2}}, {{user}}, {{track2}}, 'k', 'AUDIO', 'audio/mpeg', 1, 's')",
    f"{VERSION} ({{version}}, {{user}}, {{track}}, {{gen}}, 1, 1, 'ORIGINAL', {{media}}, 1, 'o')",
    f"{STEM} ({{stem}}, {{user}}, {{version}}, 'DRUMS', {{media}}, 1)",
    f"{ATTEMPT} ({{attempt}}, {{user}}, {{gen}}, 1, 'synth', 'SUBMITTED')",
    "update generations set idempotency_key = 'key', request_hash = 'h'",
]

WRONG = {
    "one address, two accounts": (
        "insert into users (id, email, password_hash) values ({x}, 'a@x', '')",
        "uq_users_email",
    ),
    "one user name, two profiles": (
        "insert into profiles (id, username) values ({other}, 'dUKE')",
        "uq_profiles_username",
    ),
    "one role twice": ("insert into user_roles (user_id, role) values ({user}, 'USER')", "pk_user_roles"),
    "a role that there is not": (
        "insert into user_roles (user_id, role) values ({user}, 'OWNER')",
        "ck_user_roles_role_is_known",
    ),
    "a tier that there is not": ("update users set tier = 'GOLD'", "ck_users_tier_is_known"),
    "one refresh token, two sessions": (
        f"{SESSION} ({{x}}, {{user}}, {{x}}, 'h', now(), now())",
        "uq_sessions_refresh_hash",
    ),
    "a session of nobody": (f"{SESSION} ({{x}}, {{x}}, {{x}}, 'i', now(), now())", "fk_sessions_user_id"),
    "a track in a state that there is not": ("update tracks set status = 'DONE'", "ck_tracks_status_is_known"),
    "a track seen by whom there is not": ("update tracks set visibility = 'FRIENDS'", "ck_tracks_visibility_is_known"),
    "a finished track without a version": ("update tracks set status = 'COMPLETED'", "ck_tracks_completed_has_version"),
    "a revision below one": ("update tracks set revision = 0", "ck_tracks_revision_is_positive"),
    "a generation of somebody else's track": (
        f"{GENERATION} ({{x}}, {{other}}, {{track}}, 'GENERATE', 'synth', '[]', 3)",
        "fk_generations_track_id_user_id",
    ),
    "a version of somebody else's track": (
        f"{VERSION} ({{x}}, {{other}}, {{track}}, {{gen}}, 1, 2, 'ORIGINAL', {{media}}, 1, 'o')",
        "fk_versions_track_id_user_id",
    ),
    "a version by another track's generation": (
        f"{VERSION} ({{x}}, {{user}}, {{track2}}, {{gen}}, 1, 2, 'ORIGINAL', {{media2}}, 1, 'o')",
        "fk_versions_track_id_generation_id",
    ),
    "a stem of somebody else's version": (
        f"{STEM} ({{x}}, {{other}}, {{version}}, 'BASS', {{media}}, 1)",
        "fk_stems_version_id_user_id",
    ),
    "a file of somebody else's track": (
        f"{MEDIA} ({{x}}, {{other}}, {{track}}, 'n', 'AUDIO', 'audio/mpeg', 1, 's')",
        "fk_media_objects_track_id_user_id",
    ),
    "an attempt at somebody else's generation": (
        f"{ATTEMPT} ({{x}}, {{other}}, {{gen}}, 2, 'synth', 'FAILED')",
        "fk_generation_attempts_generation_id_user_id",
    ),
    "a primary version of another track": (
        "update tracks set primary_version_id = {version} where id = {track2}",
        "fk_tracks_primary_version",
    ),
    "a cover of another track": (
        "update tracks set cover_media_id = {media} where id = {track2}",
        "fk_tracks_cover_media",
    ),
    "a primary version that is taken away": (
        "update tracks set primary_version_id = {version} where id = {track}; delete from versions",
        "fk_tracks_primary_version",
    ),
    "a version number twice": (
        f"{GENERATION} ({{gen2}}, {{user}}, {{track}}, 'EXTEND', 'synth', '[]', 3);"
        f"{VERSION} ({{x}}, {{user}}, {{track}}, {{gen2}}, 1, 1, 'EXTEND', {{media}}, 1, 'o')",
        "uq_versions_track_id_number_variant",
    ),
    "a variant of a generation twice": (
        f"{VERSION} ({{x}}, {{user}}, {{track}}, {{gen}}, 2, 1, 'ORIGINAL', {{media}}, 1, 'o')",
        "uq_versions_generation_id_variant",
    ),
    "a version counted from nought": ("update versions set number = 0", "ck_versions_counted_from_one"),
    "a variant counted from nought": ("update versions set variant = 0", "ck_versions_counted_from_one"),
    "a version that plays no time": ("update versions set duration_ms = 0", "ck_versions_duration_is_positive"),
    "a version of no known kind": ("update versions set kind = 'MASHUP'", "ck_versions_kind_is_known"),
    "a version with audio of another track": ("update versions set media_id = {media2}", "fk_versions_media"),
    "a version with a master of another track": (
        "update versions set lossless_media_id = {media2}",
        "fk_versions_lossless_media",
    ),
    "a stem twice": (f"{STEM} ({{x}}, {{user}}, {{version}}, 'DRUMS', {{media}}, 1)", "uq_stems_version_id_kind"),
    "a stem of no known kind": ("update stems set kind = 'TRIANGLE'", "ck_stems_kind_is_known"),
    "a file of no bytes": ("update media_objects set size_bytes = 0", "ck_media_objects_size_is_positive"),
    "a file of no known purpose": ("update media_objects set purpose = 'VIDEO'", "ck_media_objects_purpose_is_known"),
    "a file twice for one track": (
        f"{MEDIA} ({{x}}, {{user}}, {{track}}, 'k', 'AUDIO', 'audio/mpeg', 1, 's')",
        "uq_media_objects_track_id_key",
    ),
    "an idempotency key twice for one user": (
        f"{GENERATION} ({{x}}, {{user}}, {{track}}, 'GENERATE', 'synth', '[]', 3);"
        "update generations set idempotency_key = 'key', request_hash = 'i' where id = {x}",
        "uq_generations_user_id_idempotency_key",
    ),
    "a key without the request it was for": (
        "update generations set request_hash = null",
        "ck_generations_key_has_request",
    ),
    "a generation in a state that there is not": (
        "update generations set status = 'DONE', step = null",
        "ck_generations_status_is_known",
    ),
    "a generation of no known kind": ("update generations set kind = 'REVERSE'", "ck_generations_kind_is_known"),
    "a step that there is not": ("update generations set step = 'REST'", "ck_generations_step_is_known"),
    "a failure without a reason": (
        "update generations set status = 'FAILED', step = null, completed_at = now()",
        "ck_generations_failed_has_reason",
    ),
    "a reason without a failure": ("update generations set error_code = 'TIMEOUT'", "ck_generations_failed_has_reason"),
    "a reason that there is not": (
        "update generations set status = 'FAILED', step = null, completed_at = now(), error_code = 'BAD LUCK'",
        "ck_generations_error_code_is_known",
    ),
    "an end without its time": (
        "update generations set status = 'CANCELED', step = null",
        "ck_generations_ended_has_time",
    ),
    "a time without its end": ("update generations set completed_at = now()", "ck_generations_ended_has_time"),
    "an active generation without a next step": (
        "update generations set step = null",
        "ck_generations_active_has_step",
    ),
    "an ended generation with a next step": (
        "update generations set status = 'CANCELED', completed_at = now()",
        "ck_generations_active_has_step",
    ),
    "more progress than there is": ("update generations set progress = 1.01", "ck_generations_progress_is_a_share"),
    "progress that is no number": ("update generations set progress = 'NaN'", "ck_generations_progress_is_a_share"),
    "two live attempts": (
        f"{ATTEMPT} ({{x}}, {{user}}, {{gen}}, 2, 'synth', 'IN_DOUBT')",
        "uq_generation_attempts_live",
    ),
    "one number, two attempts": (
        f"{ATTEMPT} ({{x}}, {{user}}, {{gen}}, 1, 'synth', 'FAILED')",
        "uq_generation_attempts_generation_id_number",
    ),
    "an attempt in a state that there is not": (
        "update generation_attempts set state = 'LOST'",
        "ck_generation_attempts_state_is_known",
    ),
    "an event of no known kind": (
        "insert into events (user_id, track_id, kind) values ({user}, {track}, 'LIKED')",
        "ck_events_kind_is_known",
    ),
}

RIGHT = {
    "the key of another user": f"{TRACK} ({{y}}, {{other}}, 't', 'p', true, 'PENDING');"
    f"{GENERATION} ({{x}}, {{other}}, {{y}}, 'GENERATE', 'synth', '[]', 3);"
    "update generations set idempotency_key = 'key', request_hash = 'i' where id = {x}",
    "no key at all, twice": f"{GENERATION} ({{x}}, {{user}}, {{track}}, 'GENERATE', 'synth', '[]', 3),"
    f" ({{y}}, {{user}}, {{track}}, 'GENERATE', 'synth', '[]', 3)",
    "an attempt after a failed one": "update generation_attempts set state = 'FAILED';"
    f"{ATTEMPT} ({{x}}, {{user}}, {{gen}}, 2, 'synth', 'SUBMITTING')",
    "a second variant": f"{VERSION} ({{x}}, {{user}}, {{track}}, {{gen}}, 1, 2, 'ORIGINAL', {{media}}, 1, 'o')",
    "a finished track": "update tracks set status = 'COMPLETED', primary_version_id = {version} where id = {track}",
    "the same file for two tracks": f"{MEDIA} ({{x}}, {{user}}, {{track}}, 'm', 'AUDIO', 'audio/mpeg', 1, 's'),"
    f" ({{y}}, {{user}}, {{track2}}, 'm', 'AUDIO', 'audio/mpeg', 1, 's')",
    "an account that goes, with all that is its": "update tracks set status = 'COMPLETED',"
    " primary_version_id = {version}, cover_media_id = {media} where id = {track}; delete from users where id = {user}",
}


@pytest.mark.parametrize(("statement", "constraint"), WRONG.values(), ids=WRONG)
async def test_the_tables_refuse(seeded: Seeded, statement: str, constraint: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await seeded.run(statement)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize("statement", RIGHT.values(), ids=RIGHT)
async def test_the_tables_take(seeded: Seeded, statement: str) -> None:
    await seeded.run(statement)


async def test_every_check_and_unique_constraint_is_among_those_that_were_tried(database_url: str) -> None:
    rules = await fetch(database_url, CONSTRAINTS)
    unique = {name for _, name, rule in rules if rule.startswith(("UNIQUE", "CHECK"))}
    unique |= {
        name
        for _, name, rule in await fetch(database_url, INDEXES)
        if "UNIQUE INDEX" in rule and name.startswith("uq_")
    }
    # Targets of foreign keys: with the primary key beside them, they can hardly be hurt.
    unique -= {"uq_versions_track_id_id", "uq_media_objects_track_id_id", "uq_generations_track_id_id"}
    unique -= {f"uq_{table}_id_user_id" for table in ("tracks", "versions", "generations")}
    assert unique <= {constraint for _, constraint in WRONG.values()}
