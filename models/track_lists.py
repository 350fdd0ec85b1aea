"""Which tracks a list shows: each scope and each filter as a condition, and the documents that searches look through.

A condition is made from SQL, not from a value: hand over a bind parameter, and the statement depends on *which* filters
are given alone. Row-level security decides what is seen; nothing here does.

Before a row's policies have let it pass, PostgreSQL looks at it with leakproof operators alone, whatever index there
is: `=` and `<` of text, uuid and timestamptz are, those of arrays and of full text are not. Hence columns are compared
by `=` and `<`, and words by way of `find_tracks`, a function in the database (docs/decisions/0010-track-lists.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Index, Text, any_, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeEngine, Uuid

from domain.tracks import Visibility
from models.base import Owner, Row, owned_by_the_owner_of
from models.tracks import Track

SQL = ColumnElement[Any]
Condition = ColumnElement[bool]


class TrackDocument(Row):
    """What a track can be found by, written by triggers on `tracks` and read by `find_tracks` alone.

    Lexemes: `@<owner>`, or `-<owner>` in the bin; `@public` as long as everybody finds it; `=<kind>` of the primary
    version; `#<tag>` for each tag as a whole; the words of title, prompt and tags in small letters, without accents.
    """

    __tablename__ = "track_documents"
    __table_args__ = (
        owned_by_the_owner_of("track_id", "tracks"),
        # Without the list of what is still to be indexed, which each search would have to read: tracks are written
        # rarely, and searched with every key.
        Index("ix_track_documents_document", "document", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index("ix_track_documents_user_id", "user_id"),
    )

    track_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[Owner]
    document: Mapped[str] = mapped_column(TSVECTOR())


@dataclass(frozen=True)
class Scope:
    """Whose tracks a list shows. `mark` is the lexeme that they have in common: with it, a search costs what it finds
    in the list, and not what it would find among everybody's tracks."""

    condition: Condition
    mark: SQL


def library(owner: SQL) -> Scope:
    """What `owner` (uuid) has, but for the bin: `ix_tracks_library`, `ix_tracks_library_updated`."""
    return Scope((Track.user_id == owner) & Track.deleted_at.is_(None), func.concat("@", cast(owner, Text())))


def bin_of(owner: SQL) -> Scope:
    """What `owner` (uuid) has put into the bin: `ix_tracks_bin`, `ix_tracks_bin_updated`."""
    return Scope((Track.user_id == owner) & Track.deleted_at.is_not(None), func.concat("-", cast(owner, Text())))


def public() -> Scope:
    """What everybody finds: `ix_tracks_public`, `ix_tracks_public_updated`. No parameters: a partial index is used
    where the statement itself says what it is an index of."""
    for_all = Track.visibility == literal_column(f"'{Visibility.PUBLIC}'", Text())
    return Scope(for_all & Track.deleted_at.is_(None), literal_column("'@public'", Text()))


def stands(statuses: SQL) -> Condition:
    """Its status is one of these (text[]): `ix_tracks_status`, `ix_tracks_public_status`."""
    return Track.status == any_(statuses)


def made_by(providers: SQL) -> Condition:
    """Its provider is one of these (text[]): `ix_tracks_provider`, `ix_tracks_public_provider`."""
    return Track.provider == any_(providers)


def created_from(moment: SQL) -> Condition:
    """Asked for at this moment (timestamptz) or later: the scope's own index."""
    return Track.created_at >= moment


def created_until(moment: SQL) -> Condition:
    """Asked for before this moment (timestamptz): the scope's own index."""
    return Track.created_at < moment


def of_kind(kinds: SQL, mark: SQL) -> SQL:
    """The query for tracks whose primary version's kind is one of these (text[])."""
    return func.kinds_query(mark, kinds)


def tagged(tags: SQL, mark: SQL) -> SQL:
    """The query for tracks that carry all of these tags (text[])."""
    return func.tags_query(mark, tags)


def says(search: SQL, mark: SQL) -> SQL:
    """The query for tracks that have all words of this text, the last one as a beginning."""
    return func.words_query(mark, search)


def found_by(queries: Iterable[SQL]) -> Condition:
    """It answers all of these queries: `ix_track_documents_document`, read once for all of them.

    As an array and not by a join: a plan made without the values takes every library for small and reads through it,
    139 ms for 50,000 tracks, where this is 1 ms for a rare word and 60 to 150 ms for one that most of them have. In a
    subquery, or the planner runs the search as well, to estimate what it finds.
    """
    query = reduce(lambda one, other: one.op("&&")(other), queries)
    found = select(func.find_tracks(query, type_=ARRAY(Uuid()))).scalar_subquery()
    return Track.id == any_(cast(found, ARRAY(Uuid())))


COMPARED = {
    "status": stands,
    "provider": made_by,
    "created_after": created_from,
    "created_before": created_until,
}
SEARCHED = {"kind": of_kind, "tags": tagged, "search": says}

TYPES: Mapping[str, TypeEngine[Any]] = {
    "status": ARRAY(Text()),
    "provider": ARRAY(Text()),
    "created_after": DateTime(timezone=True),
    "created_before": DateTime(timezone=True),
    "kind": ARRAY(Text()),
    "tags": ARRAY(Text()),
    "search": Text(),
}


def listed(scope: Scope, given: Mapping[str, SQL]) -> list[Condition]:
    """The conditions of a list: of its scope, and of the filters that are given, each a value of the type in TYPES."""
    conditions = [scope.condition]
    conditions += [compared(given[name]) for name, compared in COMPARED.items() if name in given]
    queries = [searched(given[name], scope.mark) for name, searched in SEARCHED.items() if name in given]
    return [*conditions, found_by(queries)] if queries else conditions
