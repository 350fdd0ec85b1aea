"""First light: accounts, tracks, generations, media and the event log, each row secured from the start

Revision ID: 0001
Revises:
Create Date: 2026-11-20 07:14:50.823293
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Who asks is said by settings that are local to each transaction. After one that was local, a setting is '' and not
# null, so the cast needs the nullif.
VIEWER = "nullif(current_setting('app.user_id', true), '')::uuid"
ACTOR = "current_setting('app.actor', true)"
SHARED = "visibility in ('PUBLIC', 'UNLISTED') and deleted_at is null"
OF_SHARED_TRACK = f"exists (select 1 from tracks where tracks.id = track_id and {SHARED})"
OF_SHARED_VERSION = (
    "exists (select 1 from versions join tracks on tracks.id = versions.track_id "
    f"where versions.id = version_id and {SHARED})"
)


def secure(table: str, *, owner: str = "user_id", owner_may: str = "all", readers: str | None = None) -> None:
    """Row-level security: the system does everything, the owner too unless `owner_may` says less, an admin reads, and
    `readers` read what they may. Who has not said who they are reads nothing, not even what is public.

    Forced, since the role that owns the tables is the one that the product works as.
    """
    mine = f"{owner} = {VIEWER}"
    check = f"with check ({mine})" if owner_may == "all" else ""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy {table}_owner on {table} for {owner_may} using ({mine}) {check}")
    op.execute(f"create policy {table}_system on {table} using ({ACTOR} = 'system')")
    op.execute(f"create policy {table}_admin on {table} for select using ({ACTOR} = 'admin')")
    if readers is not None:
        op.execute(f"create policy {table}_readers on {table} for select using ({ACTOR} <> '' and ({readers}))")


def upgrade() -> None:
    # A migration that waits behind a long query must not block the rest.
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), server_default="FREE", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("tier in ('FREE', 'STARTER', 'PRO', 'STUDIO')", name=op.f("ck_users_tier_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "position",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("track_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('CREATED', 'UPDATED', 'DELETED')", name=op.f("ck_events_kind_is_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_events_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_created_at", "events", ["created_at"], unique=False)
    op.create_index("ix_events_track_feed", "events", ["track_id", "position", "id"], unique=False)
    op.create_index("ix_events_user_feed", "events", ["user_id", "position", "id"], unique=False)
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["users.id"], name=op.f("fk_profiles_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
    )
    op.create_index("uq_profiles_username", "profiles", [sa.literal_column("lower(username)")], unique=True)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("family_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("refresh_hash", name=op.f("uq_sessions_refresh_hash")),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False)
    op.create_index("ix_sessions_family_id", "sessions", ["family_id"], unique=False)
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "tracks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("lyrics", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("instrumental", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), server_default="PRIVATE", nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("primary_version_id", sa.Uuid(), nullable=True),
        sa.Column("cover_media_id", sa.Uuid(), nullable=True),
        sa.Column("like_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("play_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status <> 'COMPLETED' or primary_version_id is not null",
            name=op.f("ck_tracks_completed_has_version"),
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELED')",
            name=op.f("ck_tracks_status_is_known"),
        ),
        sa.CheckConstraint(
            "visibility in ('PRIVATE', 'UNLISTED', 'PUBLIC')", name=op.f("ck_tracks_visibility_is_known")
        ),
        sa.CheckConstraint("revision > 0", name=op.f("ck_tracks_revision_is_positive")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tracks_user_id"), ondelete="CASCADE"),
        sa.UniqueConstraint("id", "user_id", name=op.f("uq_tracks_id_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracks")),
    )
    op.create_index(
        "ix_tracks_bin",
        "tracks",
        ["user_id", sa.literal_column("created_at desc"), sa.literal_column("id desc")],
        unique=False,
        postgresql_where=sa.text("deleted_at is not null"),
    )
    op.create_index(
        "ix_tracks_library",
        "tracks",
        ["user_id", sa.literal_column("created_at desc"), sa.literal_column("id desc")],
        unique=False,
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.create_index(
        "ix_tracks_public",
        "tracks",
        [sa.literal_column("created_at desc"), sa.literal_column("id desc")],
        unique=False,
        postgresql_where=sa.text("visibility = 'PUBLIC' and deleted_at is null"),
    )
    op.create_table(
        "user_roles",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role in ('USER', 'MODERATOR', 'ADMIN')", name=op.f("ck_user_roles_role_is_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_roles_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "role", name=op.f("pk_user_roles")),
    )
    op.create_table(
        "generations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("track_id", sa.Uuid(), nullable=False),
        sa.Column("source_version_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("progress", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queue_position", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("retries_left", sa.SmallInteger(), nullable=False),
        sa.Column("step", sa.Text(), server_default="SUBMIT", nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("strikes", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_retryable", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'FAILED') = (error_code is not null)", name=op.f("ck_generations_failed_has_reason")
        ),
        sa.CheckConstraint(
            "(status in ('COMPLETED', 'FAILED', 'CANCELED')) = (completed_at is not null)",
            name=op.f("ck_generations_ended_has_time"),
        ),
        sa.CheckConstraint(
            "(status in ('PENDING', 'PROCESSING')) = (step is not null)",
            name=op.f("ck_generations_active_has_step"),
        ),
        sa.CheckConstraint(
            "error_code in ('BAD_REQUEST', 'MODERATED', 'CREDITS_EXHAUSTED', 'PROVIDER_UNAVAILABLE', 'PROVIDER_FAILED', 'RATE_LIMITED', 'BAD_OUTPUT', 'TIMEOUT', 'INTERNAL')",
            name=op.f("ck_generations_error_code_is_known"),
        ),
        sa.CheckConstraint(
            "kind in ('GENERATE', 'EXTEND', 'COVER', 'REMIX', 'STEMS')",
            name=op.f("ck_generations_kind_is_known"),
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELED')",
            name=op.f("ck_generations_status_is_known"),
        ),
        sa.CheckConstraint("step in ('SUBMIT', 'POLL', 'INGEST')", name=op.f("ck_generations_step_is_known")),
        sa.CheckConstraint(
            "(idempotency_key is null) = (request_hash is null)", name=op.f("ck_generations_key_has_request")
        ),
        sa.CheckConstraint("progress between 0 and 1", name=op.f("ck_generations_progress_is_a_share")),
        sa.ForeignKeyConstraint(
            ["track_id", "user_id"],
            ["tracks.id", "tracks.user_id"],
            name=op.f("fk_generations_track_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_generations_user_id"), ondelete="CASCADE"),
        sa.UniqueConstraint("id", "user_id", name=op.f("uq_generations_id_user_id")),
        sa.UniqueConstraint("track_id", "id", name=op.f("uq_generations_track_id_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_generations_user_id_idempotency_key")),
    )
    op.create_index(
        "ix_generations_due",
        "generations",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("step is not null"),
    )
    op.create_index("ix_generations_source_version_id", "generations", ["source_version_id"], unique=False)
    op.create_index("ix_generations_track_id", "generations", ["track_id", "id"], unique=False)
    op.create_index("ix_generations_user_id", "generations", ["user_id", "id"], unique=False)
    op.create_table(
        "media_objects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("track_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("peaks", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "purpose in ('AUDIO', 'LOSSLESS', 'STEM', 'COVER')",
            name=op.f("ck_media_objects_purpose_is_known"),
        ),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_media_objects_size_is_positive")),
        sa.ForeignKeyConstraint(
            ["track_id", "user_id"],
            ["tracks.id", "tracks.user_id"],
            name=op.f("fk_media_objects_track_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_media_objects_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media_objects")),
        sa.UniqueConstraint("track_id", "id", name=op.f("uq_media_objects_track_id_id")),
        sa.UniqueConstraint("track_id", "key", name=op.f("uq_media_objects_track_id_key")),
    )
    op.create_index("ix_media_objects_key", "media_objects", ["key"], unique=False)
    op.create_index("ix_media_objects_user_id", "media_objects", ["user_id"], unique=False)
    op.create_table(
        "generation_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="SUBMITTING", nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("task_state", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("outputs", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("provider_status", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('SUBMITTING', 'SUBMITTED', 'IN_DOUBT', 'SUCCEEDED', 'FAILED', 'CANCELED')",
            name=op.f("ck_generation_attempts_state_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["generation_id", "user_id"],
            ["generations.id", "generations.user_id"],
            name=op.f("fk_generation_attempts_generation_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_generation_attempts_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generation_attempts")),
        sa.UniqueConstraint("generation_id", "number", name=op.f("uq_generation_attempts_generation_id_number")),
    )
    op.create_index(
        "ix_generation_attempts_task",
        "generation_attempts",
        ["provider", "task_id"],
        unique=False,
        postgresql_where=sa.text("task_id is not null"),
    )
    op.create_index("ix_generation_attempts_user_id", "generation_attempts", ["user_id"], unique=False)
    op.create_index(
        "uq_generation_attempts_live",
        "generation_attempts",
        ["generation_id"],
        unique=True,
        postgresql_where=sa.text("state in ('SUBMITTING', 'SUBMITTED', 'IN_DOUBT')"),
    )
    op.create_table(
        "provider_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("generation_id", sa.Uuid(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_provider_events_generation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_provider_events_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_events")),
    )
    op.create_index("ix_provider_events_generation_id", "provider_events", ["generation_id"], unique=False)
    op.create_index(
        "ix_provider_events_unjudged",
        "provider_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("judged_at is null"),
    )
    op.create_index("ix_provider_events_user_id", "provider_events", ["user_id"], unique=False)
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("track_id", sa.Uuid(), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("variant", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("lossless_media_id", sa.Uuid(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("output_key", sa.Text(), nullable=False),
        sa.Column("lyrics", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('ORIGINAL', 'EXTEND', 'COVER', 'REMIX')", name=op.f("ck_versions_kind_is_known")),
        sa.CheckConstraint("duration_ms > 0", name=op.f("ck_versions_duration_is_positive")),
        sa.CheckConstraint("number > 0 and variant > 0", name=op.f("ck_versions_counted_from_one")),
        sa.ForeignKeyConstraint(
            ["track_id", "generation_id"],
            ["generations.track_id", "generations.id"],
            name=op.f("fk_versions_track_id_generation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["versions.id"], name=op.f("fk_versions_parent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["track_id", "lossless_media_id"],
            ["media_objects.track_id", "media_objects.id"],
            name="fk_versions_lossless_media",
        ),
        sa.ForeignKeyConstraint(
            ["track_id", "media_id"], ["media_objects.track_id", "media_objects.id"], name="fk_versions_media"
        ),
        sa.ForeignKeyConstraint(
            ["track_id", "user_id"],
            ["tracks.id", "tracks.user_id"],
            name=op.f("fk_versions_track_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_versions_user_id"), ondelete="CASCADE"),
        sa.UniqueConstraint("id", "user_id", name=op.f("uq_versions_id_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("generation_id", "variant", name=op.f("uq_versions_generation_id_variant")),
        sa.UniqueConstraint("track_id", "id", name=op.f("uq_versions_track_id_id")),
        sa.UniqueConstraint("track_id", "number", "variant", name=op.f("uq_versions_track_id_number_variant")),
    )
    op.create_index("ix_versions_parent_id", "versions", ["parent_id"], unique=False)
    op.create_index("ix_versions_user_id", "versions", ["user_id"], unique=False)
    op.create_table(
        "stems",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind in ('VOCALS', 'BACKING_VOCALS', 'INSTRUMENTAL', 'DRUMS', 'BASS', 'CHORDS', 'LEAD', 'GUITAR', 'KEYBOARD', 'PERCUSSION', 'STRINGS', 'SYNTH', 'BRASS', 'WOODWINDS', 'FX', 'OTHER')",
            name=op.f("ck_stems_kind_is_known"),
        ),
        sa.ForeignKeyConstraint(["media_id"], ["media_objects.id"], name=op.f("fk_stems_media_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_stems_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["version_id", "user_id"],
            ["versions.id", "versions.user_id"],
            name=op.f("fk_stems_version_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stems")),
        sa.UniqueConstraint("version_id", "kind", name=op.f("uq_stems_version_id_kind")),
    )
    op.create_index("ix_stems_media_id", "stems", ["media_id"], unique=False)
    op.create_index("ix_stems_user_id", "stems", ["user_id"], unique=False)

    op.create_foreign_key(
        "fk_tracks_primary_version", "tracks", "versions", ["id", "primary_version_id"], ["track_id", "id"]
    )
    op.create_foreign_key(
        "fk_tracks_cover_media", "tracks", "media_objects", ["id", "cover_media_id"], ["track_id", "id"]
    )
    op.create_foreign_key(
        "fk_generations_source_version",
        "generations",
        "versions",
        ["source_version_id"],
        ["id"],
        ondelete="SET NULL",
    )

    secure("users", owner="id", owner_may="select")  # tier and password are not for a plain update
    secure("profiles", owner="id", readers="true")  # the public face: nothing private stands in it
    secure("user_roles", owner_may="select")
    secure("sessions", owner_may="select")
    secure("tracks", readers=SHARED)
    secure("versions", readers=OF_SHARED_TRACK)
    secure("stems", readers=OF_SHARED_VERSION)
    secure("media_objects", readers=OF_SHARED_TRACK)
    secure("generations")
    secure("generation_attempts")
    secure("provider_events", owner_may="select")
    secure("events", readers=OF_SHARED_TRACK)


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    for table, constraint in (
        ("tracks", "fk_tracks_primary_version"),
        ("tracks", "fk_tracks_cover_media"),
        ("generations", "fk_generations_source_version"),
    ):
        op.drop_constraint(constraint, table, type_="foreignkey")
    for table in (
        "events",
        "stems",
        "versions",
        "provider_events",
        "generation_attempts",
        "media_objects",
        "generations",
        "user_roles",
        "tracks",
        "sessions",
        "profiles",
        "users",
    ):
        op.drop_table(table)
