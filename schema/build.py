"""The whole API on one page: every noun's fields, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

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
from models.base import Row
from planner.declarations import AllById, AnyById, Catalog
from schema.accounts import AccountMutations, AccountQueries, PublicProfile, User
from schema.compiled import catalog
from schema.context import Info, RequestContext
from schema.errors import ERROR_TYPES
from schema.events import TrackSubscriptions
from schema.generations import Generation, GenerationError, GenerationMutations, GenerationQueries
from schema.ids import decode_id
from schema.nodes import Node, OfRow
from schema.providers import ProviderQueries
from schema.reads import declared
from schema.scalars import DATE_TIME
from schema.track_lists import TrackListQueries
from schema.tracks import Track, TrackMutations, TrackQueries
from schema.versions import Stem, TrackVersion

# Which type shows which rows.
SHOWS: Mapping[type[Row], type[OfRow]] = {
    shows.rows: shows for shows in (User, PublicProfile, Track, TrackVersion, Stem, Generation)
}
NODE_TYPES: Mapping[str, type[Node]] = {shows.__name__: shows for shows in SHOWS.values() if issubclass(shows, Node)}

# Strawberry checks these two kinds of input by rules of its own, beside the specified ones.
RULES = (MaybeNullValidationRule, OneOfInputValidationRule)

MAX_NODES = 100  # as many as a page has


async def _find(context: RequestContext, id: str) -> Node | None:
    type_name, row_id = decode_id(id) or ("", None)
    shows = NODE_TYPES.get(type_name)
    return None if shows is None else shows.maybe(await context.read.found(shows, row_id))


async def _node(info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")]) -> Any:
    return await _find(info.context, id)


async def _nodes(info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="Their ids.")]) -> Any:
    if len(ids) > MAX_NODES:
        raise RequestFailed(RequestCode.BAD_USER_INPUT, f"`ids` names at most {MAX_NODES} things.")
    return await asyncio.gather(*(_find(info.context, id) for id in ids))


@strawberry.type(description="What can be asked.")
class Query(AccountQueries, TrackQueries, TrackListQueries, GenerationQueries, ProviderQueries):
    node: Node | None = declared(
        AnyById(),
        _node,
        description="Anything by its id; null when there is no such thing, or none that you may see.",
    )
    nodes: list[Node | None] = declared(
        AllById(MAX_NODES),
        _nodes,
        description=f"Up to {MAX_NODES} things by their ids, in that order; null in the place of what there is not.",
    )


@strawberry.type(description="What can be done.")
class Mutation(AccountMutations, TrackMutations, GenerationMutations):
    pass


@strawberry.type(description="What can be followed live.")
class Subscription(TrackSubscriptions):
    pass


def build_schema() -> GraphQLSchema:
    """The executable schema. Strawberry is where it is written; graphql-core is what runs it."""
    types = [*NODE_TYPES.values(), *ERROR_TYPES]
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=types,
        config=StrawberryConfig(scalar_map={datetime: DATE_TIME}),
    )
    return _without_null_defaults(schema._schema)


def build_catalog() -> Catalog:
    """What the planner compiles queries from."""
    return catalog(Query, SHOWS, (GenerationError,))


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
