"""Lists of tracks: a library, a bin, what is public; narrowed and sorted.

Conditions and their indexes in `models/track_lists.py`, what may be looked for in `domain/tracks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from sqlalchemy import ColumnElement

from domain.generations import GenerationStatus
from domain.providers import ProviderName
from domain.tracks import VersionKind, choice, search_tags, search_text
from models import track_lists
from models.tracks import Track as TrackRow
from planner.declarations import Filter, Listing, Viewer
from planner.keyset import Order
from schema.connections import Connection
from schema.reads import listing
from schema.tracks import Track


@strawberry.enum(description="How a list of tracks is sorted.")
class TrackOrder(Enum):
    NEWEST = "newest"
    OLDEST = "oldest"
    RECENTLY_UPDATED = "recently_updated"


@strawberry.enum(description="Whose tracks a list shows.")
class TrackScope(Enum):
    MINE = "mine"
    PUBLIC = "public"


@strawberry.input(
    description="Which tracks a list shows: those that fit all that is given. Null is the same as not given."
)
class TrackFilter:
    scope: TrackScope | None = strawberry.field(
        default=None,
        description="Your own (also when null), or everybody's public ones. Without a sign-in always the latter.",
    )
    status: list[GenerationStatus] | None = strawberry.field(
        default=None, description="Only those that stand in one of these ways, 20 at most; null for all."
    )
    kind: list[VersionKind] | None = strawberry.field(
        default=None,
        description="Only those whose primary version is of one of these kinds, 20 at most; null for all, also those "
        "that have no version yet.",
    )
    provider: list[ProviderName] | None = strawberry.field(
        default=None, description="Only those made by one of these, 20 at most; null for all."
    )
    tags: list[str] | None = strawberry.field(
        default=None,
        description="Only those that carry every one of these tags, 20 at most, in whatever case; null for all.",
    )
    created_after: datetime | None = strawberry.field(
        default=None, description="Only those asked for at this moment or later; null for no such bound."
    )
    created_before: datetime | None = strawberry.field(
        default=None, description="Only those asked for before this moment, not at it; null for no such bound."
    )
    search: str | None = strawberry.field(
        default=None,
        description="Only those with all of these words in title, prompt or tags, up to 200 characters. Case and "
        "accents do not matter; the last word may be the beginning of one. Null or without a word: all.",
    )
    deleted: bool | None = strawberry.field(default=False, description="Your bin instead of your library.")


def _within(
    choices: Mapping[str, Any], viewer: Viewer, given: Mapping[str, ColumnElement[Any]]
) -> list[ColumnElement[bool]]:
    """Nobody in particular sees what is public."""
    if not viewer.signed_in or choices.get("scope") == TrackScope.PUBLIC.name:
        scope = track_lists.public()
    else:
        scope = track_lists.bin_of(viewer.id) if choices.get("deleted") else track_lists.library(viewer.id)
    return track_lists.listed(scope, given)


def _one_of(field: str, states: type[Enum]) -> Callable[[list[str]], list[str] | None]:
    return lambda names: choice(field, [states[name].value for name in names])


# What is made of a client's value; the names are those of `models/track_lists.py`.
READ: Mapping[str, Callable[[Any], Any]] = {
    "status": _one_of("status", GenerationStatus),
    "kind": _one_of("kind", VersionKind),
    "provider": _one_of("provider", ProviderName),
    "tags": search_tags,
    "created_after": lambda moment: moment,
    "created_before": lambda moment: moment,
    "search": search_text,
}

TRACKS = Listing(
    rows=TrackRow,
    within=_within,
    filters={name: Filter(track_lists.TYPES[name], read) for name, read in READ.items()},
    orders={
        TrackOrder.NEWEST.name: Order("newest", (TrackRow.created_at, TrackRow.id), descending=True),
        TrackOrder.OLDEST.name: Order("oldest", (TrackRow.created_at, TrackRow.id), descending=False),
        TrackOrder.RECENTLY_UPDATED.name: Order(
            "recently_updated", (TrackRow.updated_at, TrackRow.id), descending=True
        ),
    },
    default_order=TrackOrder.NEWEST.name,
)

Wish = Annotated[TrackFilter | None, strawberry.argument(description="Which ones; null for your library.")]
Sorting = Annotated[
    TrackOrder | None, strawberry.argument(description="How they are sorted; null for the newest first.")
]


@strawberry.type
class TrackListQueries:
    tracks: Connection[Track] = listing(
        TRACKS,
        Track,
        filter=Wish,
        order_by=Sorting,
        description="Your library, your bin, or everybody's public tracks; see the filter.",
    )
