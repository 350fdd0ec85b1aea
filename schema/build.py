"""The whole API on one page: every noun's fields, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import strawberry
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    lexicographic_sort_schema,
    print_schema,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from domain.errors import RequestCode, RequestFailed
from models.accounts import User as UserRow
from models.base import Row
from models.generations import Generation as GenerationRow
from models.tracks import Track as TrackRow
from models.versions import Stem as StemRow
from models.versions import Version as VersionRow
from schema.accounts import AccountMutations, AccountQueries, User
from schema.context import Info, RequestContext
from schema.errors import ERROR_TYPES
from schema.events import TrackSubscriptions
from schema.generations import Generation, GenerationMutations, GenerationQueries
from schema.ids import decode_id
from schema.nodes import Node
from schema.providers import ProviderQueries
from schema.scalars import DATE_TIME
from schema.tracks import Track, TrackMutations, TrackQueries
from schema.versions import Stem, TrackVersion

NODE_TYPES: Mapping[str, tuple[type[Row], type[Node]]] = {
    "User": (UserRow, User),
    "Track": (TrackRow, Track),
    "TrackVersion": (VersionRow, TrackVersion),
    "Stem": (StemRow, Stem),
    "Generation": (GenerationRow, Generation),
}

# Strawberry checks these two kinds of input by rules of its own, beside the specified ones.
RULES = (MaybeNullValidationRule, OneOfInputValidationRule)

MAX_NODES = 100  # as many as a page has


@strawberry.type(description="What can be asked.")
class Query(AccountQueries, TrackQueries, GenerationQueries, ProviderQueries):
    @strawberry.field(description="Anything by its id; null when there is no such thing, or none that you may see.")
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")]
    ) -> Node | None:
        return await _find(info.context, id)

    @strawberry.field(
        description=f"Up to {MAX_NODES} things by their ids, in that order; null in the place of what there is not."
    )
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="Their ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_NODES:
            raise RequestFailed(RequestCode.BAD_USER_INPUT, f"`ids` names at most {MAX_NODES} things.")
        return await asyncio.gather(*(_find(info.context, id) for id in ids))


@strawberry.type(description="What can be done.")
class Mutation(AccountMutations, TrackMutations, GenerationMutations):
    pass


@strawberry.type(description="What can be followed live.")
class Subscription(TrackSubscriptions):
    pass


async def _find(context: RequestContext, id: str) -> Node | None:
    type_name, row_id = decode_id(id) or ("", None)
    if type_name not in NODE_TYPES:
        return None
    kind, shows = NODE_TYPES[type_name]
    row = await context.read.one(kind, row_id)
    in_bin = row is not None and getattr(row, "deleted_at", None) is not None
    return None if row is None or in_bin else shows.of(row)


def build_schema() -> GraphQLSchema:
    """The executable schema. Strawberry is where it is written; graphql-core is what runs it."""
    types = [shows for _, shows in NODE_TYPES.values()] + list(ERROR_TYPES)
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=types,
        config=StrawberryConfig(scalar_map={datetime: DATE_TIME}),
    )
    return _without_null_defaults(schema._schema)


def _without_null_defaults(schema: GraphQLSchema) -> GraphQLSchema:
    """Strawberry writes `= null` where a Python default is None; what is meant, and in the contract, is "not given"."""
    for kind in schema.type_map.values():
        fields = kind.fields.values() if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType) else ()
        for field in fields:
            for given in field.args.values() if isinstance(field, GraphQLField) else (field,):
                if given.default_value is None:
                    given.default_value = Undefined
    return schema


def print_sdl() -> str:
    """The committed contract, sorted, so that its differences are the changes. (Sorted *and executable* it breaks.)"""
    return print_schema(lexicographic_sort_schema(build_schema())) + "\n"
