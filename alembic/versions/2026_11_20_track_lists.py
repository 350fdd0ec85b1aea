"""Lists of tracks: what they are found by, and an index for each filter and order

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-20 10:31:07.402118
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

VIEWER = "nullif(current_setting('app.user_id', true), '')::uuid"
ACTOR = "current_setting('app.actor', true)"
LIVE, BIN = "deleted_at is null", "deleted_at is not null"
PUBLIC = f"visibility = 'PUBLIC' and {LIVE}"

# Two words are the same when these say so, of a track's text and of a search alike: neither case nor accents count.
# Words are what letters and digits make; a run of more than 50, such as a sentence in a script without spaces, is cut,
# since a lexeme takes 2,046 bytes. A tag is one lexeme, whatever it consists of, so it is quoted as the parser of queries
# reads it. A query that looks for nothing is null, and finds nothing.
FUNCTIONS = {
    "plain_text(words text) returns text immutable strict": r"""
      lower(regexp_replace(normalize(words, nfkd), U&'[\0300-\036F]+', '', 'g'))""",
    "plain_words(words text) returns text[] immutable strict": """
      array(select left(word, 50) from string_to_table(regexp_replace(plain_text(words), '[^[:alnum:]]+', ' ', 'g'), ' ') word
            where word <> '')""",
    "tag_lexeme(tag text) returns text immutable strict": """
      '#' || left(plain_text(btrim(tag)), 500)""",
    "quoted_lexeme(lexeme text) returns text immutable strict": r"""
      $$'$$ || replace(replace(lexeme, $$\$$, $$\\$$), $$'$$, $$''$$) || $$'$$""",
    "words_query(mark text, words text) returns tsquery immutable strict": """
      (quoted_lexeme(mark) || ' & ' || nullif(array_to_string(plain_words(words), ' & '), '') || ':*')::tsquery""",
    "tags_query(mark text, tags text[]) returns tsquery immutable strict": """
      (select (quoted_lexeme(mark) || ' & ' || string_agg(quoted_lexeme(tag_lexeme(tag)), ' & '))::tsquery
       from unnest(tags) tag)""",
    "kinds_query(mark text, kinds text[]) returns tsquery immutable strict": """
      (select (quoted_lexeme(mark) || ' & (' || string_agg(quoted_lexeme('=' || kind), ' | ') || ')')::tsquery
       from unnest(kinds) kind)""",
    "track_document(track tracks) returns tsvector stable": f"""
      array_to_tsvector(
        array[case when (track).deleted_at is null then '@' else '-' end || (track).user_id]
        || array(select '@public' from (select (track).*) listed where {PUBLIC})
        || array(select '=' || kind from versions where id = (track).primary_version_id)
        || array(select tag_lexeme(tag) from unnest((track).tags) tag)
        || plain_words(concat_ws(' ', (track).title, (track).prompt, array_to_string((track).tags, ' ')))
      )""",
}

DOCUMENTED = ("user_id", "title", "prompt", "tags", "visibility", "deleted_at", "primary_version_id")
OLD, NEW = (", ".join(f"{row}.{name}" for name in DOCUMENTED) for row in ("old", "new"))
TRIGGERS = [
    """create function write_track_document() returns trigger language plpgsql as $$
    begin
      insert into track_documents (track_id, user_id, document) values (new.id, new.user_id, track_document(new))
        on conflict (track_id) do update set user_id = excluded.user_id, document = excluded.document;
      return null;
    end
    $$""",
    """create trigger tracks_are_documented after insert on tracks
    for each row execute function write_track_document()""",
    f"""create trigger tracks_stay_documented after update of {", ".join(DOCUMENTED)} on tracks
    for each row when (({OLD}) is distinct from ({NEW})) execute function write_track_document()""",
]

# Before a row's policies have let it pass, PostgreSQL looks at it with leakproof operators alone, whatever index there
# is, and `@@` is not one. But policies are looked at in turn, restrictive ones first: hence the search itself is one. It
# can use the index, and what it finds passes the policies about owners next, like any row. `find_tracks` alone says what
# is searched for; as long as nobody does, the policy lets pass everything ("not /", which is no lexeme). Without
# sequential scans, since it is planned once a connection, for whatever word comes first.
SEARCH = "coalesce(nullif(current_setting('app.search', true), ''), '!/')::tsquery"
SECURITY = [
    "alter table track_documents enable row level security",
    "alter table track_documents force row level security",
    f"create policy track_documents_owner on track_documents using (user_id = {VIEWER})",
    f"create policy track_documents_system on track_documents using ({ACTOR} = 'system')",
    f"create policy track_documents_admin on track_documents for select using ({ACTOR} = 'admin')",
    "create policy track_documents_readers on track_documents for select"
    f" using ({ACTOR} <> '' and document @@ $$'@public'$$)",
    f"create policy track_documents_search on track_documents as restrictive for select using (document @@ {SEARCH})",
    """create function find_tracks(query tsquery) returns uuid[] language plpgsql stable strict set enable_seqscan = off as $$
    declare
      found uuid[];
    begin
      perform set_config('app.search', query::text, true);
      found := array(select track_id from track_documents);
      perform set_config('app.search', '', true);
      return found;
    end
    $$""",
]

LAST_CHANGED = [sa.literal_column("updated_at desc"), sa.literal_column("id desc")]
INDEXES = {
    "ix_tracks_library_updated": (["user_id", *LAST_CHANGED], LIVE),
    "ix_tracks_bin_updated": (["user_id", *LAST_CHANGED], BIN),
    "ix_tracks_public_updated": (LAST_CHANGED, PUBLIC),
    "ix_tracks_status": (["user_id", "status", "created_at"], LIVE),
    "ix_tracks_provider": (["user_id", "provider", "created_at"], LIVE),
    "ix_tracks_public_status": (["status", "created_at"], PUBLIC),
    "ix_tracks_public_provider": (["provider", "created_at"], PUBLIC),
}


def upgrade() -> None:
    # A migration that waits behind a long query must not block the rest.
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "track_documents",
        sa.Column("track_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("document", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_id", "user_id"],
            ["tracks.id", "tracks.user_id"],
            name=op.f("fk_track_documents_track_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_track_documents_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_track_documents")),
    )
    for name, body in FUNCTIONS.items():
        op.execute(f"create function {name} parallel safe return {body}")
    for statement in (*TRIGGERS, *SECURITY):
        op.execute(statement)
    op.execute("select set_config('app.actor', 'system', true)")
    op.execute("insert into track_documents select id, user_id, track_document(tracks) from tracks")
    # After the rows, which is quicker.
    op.create_index("ix_track_documents_user_id", "track_documents", ["user_id"], unique=False)
    op.create_index(
        "ix_track_documents_document",
        "track_documents",
        ["document"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "tracks", columns, unique=False, postgresql_where=sa.text(where))


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    for name in INDEXES:
        op.drop_index(name, table_name="tracks")
    for trigger in ("tracks_are_documented", "tracks_stay_documented"):
        op.execute(f"drop trigger {trigger} on tracks")
    op.execute("drop function write_track_document()")
    op.execute("drop function find_tracks(tsquery)")
    for name in reversed(FUNCTIONS):
        op.execute(f"drop function {name.partition(' returns ')[0]}")
    op.drop_table("track_documents")
