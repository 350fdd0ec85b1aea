"""The contract: what clients rely on is there with that type, described, guarded, and committed as it is served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
    parse,
    print_ast,
)
from graphql.utilities import ast_from_value
from sqlalchemy import inspect
from strawberry.types.base import StrawberryOptional, get_object_definition
from strawberry.types.field import StrawberryField

from domain.errors import RequestCode
from schema.build import NODE_TYPES, SHOWS, Mutation, Query, Subscription, build_schema, print_sdl
from schema.fields import Anyone, Permission
from schema.nodes import OfRow, plain_fields
from tests.studio import Studio

SCHEMA = build_schema()
COMMITTED = Path(__file__).parent.parent / "schema.graphql"

# What clients, integrators and other test suites are written against: add to it, but change nothing.
CONTRACT = """
type Query {
  viewer: User
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  track(id: ID!): Track
  tracks(first: Int, after: String, last: Int, before: String, filter: TrackFilter, orderBy: TrackOrder):
    TrackConnection!
  generation(id: ID!): Generation
  providers: [Provider!]!
}
type Mutation {
  register(input: RegisterInput!): SessionPayload!
  login(input: LoginInput!): SessionPayload!
  refreshSession(input: RefreshSessionInput!): SessionPayload!
  logout: LogoutPayload!
  generateTrack(input: GenerateTrackInput!): GenerateTrackPayload!
  extendTrack(input: ExtendTrackInput!): GenerationPayload!
  coverTrack(input: CoverTrackInput!): GenerationPayload!
  remixTrack(input: RemixTrackInput!): GenerationPayload!
  separateStems(input: SeparateStemsInput!): GenerationPayload!
  cancelGeneration(input: CancelGenerationInput!): GenerationPayload!
  retryGeneration(input: RetryGenerationInput!): GenerationPayload!
  updateTrack(input: UpdateTrackInput!): TrackPayload!
  setPrimaryVersion(input: SetPrimaryVersionInput!): TrackPayload!
  deleteTrack(input: DeleteTrackInput!): TrackPayload!
  restoreTrack(input: RestoreTrackInput!): TrackPayload!
}
type Subscription { trackUpdates(trackIds: [ID!], after: String): TrackUpdate! }

input GenerateTrackInput {
  prompt: String!
  title: String
  lyrics: String
  tags: [String!]
  instrumental: Boolean = false
  provider: ProviderName
  model: String
  durationSeconds: Float
  seed: Int
  idempotencyKey: String
}
type GenerateTrackPayload { track: Track generation: Generation errors: [UserError!]! }
type GenerationPayload { track: Track generation: Generation errors: [UserError!]! }
type TrackPayload { track: Track errors: [UserError!]! }
type SessionPayload { session: Session errors: [UserError!]! }
type Session { accessToken: String! refreshToken: String! expiresAt: DateTime! user: User! }

interface Node { id: ID! }
type Track implements Node {
  id: ID! title: String! prompt: String! lyrics: String tags: [String!]! instrumental: Boolean!
  status: GenerationStatus! visibility: Visibility! provider: ProviderName model: String
  durationSeconds: Float audioUrl: String coverUrl: String waveform(points: Int = 200): [Float!]
  primaryVersion: TrackVersion
  versions(first: Int, after: String, last: Int, before: String): TrackVersionConnection!
  generations(first: Int, after: String): GenerationConnection!
  owner: PublicProfile!
  likeCount: Int! playCount: Int!
  revision: Int! createdAt: DateTime! updatedAt: DateTime! deletedAt: DateTime
}
type TrackVersion implements Node {
  id: ID! track: Track! number: Int! variant: Int! kind: VersionKind!
  parent: TrackVersion audioUrl: String contentType: String sizeBytes: Int sha256: String
  durationSeconds: Float waveform(points: Int = 200): [Float!] stems: [Stem!]! createdAt: DateTime!
}
type Stem implements Node { id: ID! kind: StemKind! audioUrl: String durationSeconds: Float }
type Generation implements Node {
  id: ID! kind: GenerationKind! status: GenerationStatus! progress: Float! provider: ProviderName! model: String
  attempts: Int! queuePosition: Int error: GenerationError track: Track! versions: [TrackVersion!]!
  createdAt: DateTime! startedAt: DateTime completedAt: DateTime
}
type GenerationError { code: String! message: String! retryable: Boolean! }
type TrackUpdate { cursor: String! kind: TrackUpdateKind! track: Track trackId: ID }

enum GenerationStatus { PENDING PROCESSING COMPLETED FAILED CANCELED }
enum Visibility { PRIVATE UNLISTED PUBLIC }
enum TrackUpdateKind { READY CREATED UPDATED DELETED }
enum VersionKind { ORIGINAL EXTEND COVER REMIX }
enum ProviderName { SYNTH SUNO REPLICATE FAL }

interface UserError { code: ErrorCode! message: String! path: [String!] }
type InvalidInput implements UserError { code: ErrorCode! message: String! path: [String!] }
type NotFound implements UserError { code: ErrorCode! message: String! path: [String!] }
type Conflict implements UserError { code: ErrorCode! message: String! path: [String!] current: Node }
type LimitReached implements UserError { limit: Int! used: Int! resetsAt: DateTime }
type NotAllowed implements UserError { code: ErrorCode! message: String! path: [String!] }
type UpgradeRequired implements UserError { code: ErrorCode! message: String! path: [String!] }

type PublicProfile { username: String! displayName: String avatarUrl: String }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type TrackConnection { edges: [TrackEdge!]! pageInfo: PageInfo! }
type TrackEdge { node: Track! cursor: String! }
type TrackVersionConnection { edges: [TrackVersionEdge!]! pageInfo: PageInfo! }
type GenerationConnection { edges: [GenerationEdge!]! pageInfo: PageInfo! }
"""

# Inputs whose fields the contract names without their types; `!` where one has to be given.
INPUTS = {
    "RegisterInput": "email! password! username",
    "LoginInput": "email! password!",
    "RefreshSessionInput": "refreshToken!",
    "ExtendTrackInput": "trackId! versionId continueAt prompt tags lyrics",
    "CoverTrackInput": "trackId! versionId tags! prompt",
    "RemixTrackInput": "trackId! versionId tags! strength",
    "SeparateStemsInput": "trackId! versionId mode!",
    "UpdateTrackInput": "trackId! title tags visibility expectedRevision",
    "SetPrimaryVersionInput": "trackId! versionId!",
    "DeleteTrackInput": "trackId!",
    "RestoreTrackInput": "trackId!",
    "CancelGenerationInput": "generationId!",
    "RetryGenerationInput": "generationId!",
}

# Whoever has no account yet, or only a refresh token.
OPEN_TO_ANYONE = {"register", "login", "refreshSession"}


def promises() -> dict[str, str]:
    """What the contract says, place by place: `Track.title` is `String!`."""
    said: dict[str, str] = {}
    for definition in parse(CONTRACT).definitions:
        node: Any = definition
        name = node.name.value
        said |= {f"{name} implements {face.name.value}": "yes" for face in getattr(node, "interfaces", None) or ()}
        said |= {f"{name}.{value.name.value}": "value" for value in getattr(node, "values", None) or ()}
        for field in getattr(node, "fields", None) or ():
            place = f"{name}.{field.name.value}"
            said[place] = _promised(field)
            said |= {f"{place}({a.name.value})": _promised(a) for a in getattr(field, "arguments", None) or ()}
    return said


def _promised(node: Any) -> str:
    default = getattr(node, "default_value", None)
    return print_ast(node.type) + (f" = {print_ast(default)}" if default else "")


def served() -> dict[str, str]:
    """What the schema says, place by place."""
    said: dict[str, str] = {}
    for name, kind in SCHEMA.type_map.items():
        if isinstance(kind, GraphQLEnumType):
            said |= {f"{name}.{value}": "value" for value in kind.values}
        if isinstance(kind, GraphQLObjectType):
            said |= {f"{name} implements {face.name}": "yes" for face in kind.interfaces}
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in kind.fields.items():
                arguments = field.args if isinstance(field, GraphQLField) else {}
                said[f"{name}.{field_name}"] = str(field.type) if isinstance(field, GraphQLField) else _served(field)
                said |= {f"{name}.{field_name}({given})": _served(a) for given, a in arguments.items()}
    return said


def _served(given: Any) -> str:
    default = ast_from_value(given.default_value, given.type)
    return str(given.type) + (f" = {print_ast(default)}" if default else "")


def fields_of(kind: Any) -> dict[str, Any]:
    assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType)
    return dict(kind.fields)


def described() -> Iterator[tuple[str, Any]]:
    """Everything that a person who builds a front end reads of, by its place."""
    for name, kind in SCHEMA.type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        yield name, kind
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in kind.fields.items():
                yield f"{name}.{field_name}", field
                for argument_name, given in getattr(field, "args", {}).items():
                    yield f"{name}.{field_name}({argument_name})", given


def guarded(root: type) -> dict[str, list[Permission]]:
    """The permissions of each of a root's fields."""
    definition = get_object_definition(root, strict=True)
    return {
        field_name(field): [e for e in field.extensions if isinstance(e, Permission)] for field in definition.fields
    }


def field_name(field: StrawberryField) -> str:
    head, *tail = field.python_name.split("_")
    return head + "".join(word.title() for word in tail)


def test_the_committed_contract_is_the_one_that_is_served() -> None:
    assert COMMITTED.read_text() == print_sdl(), "run `make schema` and look at the difference"


async def test_the_contract_is_served_as_text(studio: Studio) -> None:
    answer = await studio.http.get("/schema.graphql")
    assert answer.status_code == 200
    assert answer.text == COMMITTED.read_text()


def test_every_type_field_and_argument_is_described() -> None:
    silent = [place for place, thing in described() if not (thing.description or "").strip()]
    assert silent == []


@pytest.mark.parametrize("name", sorted({place.partition(".")[0].partition(" ")[0] for place in promises()}))
def test_what_clients_were_promised_is_there(name: str) -> None:
    of_this = {place: text for place, text in promises().items() if re.match(rf"{name}\b", place)}
    there = served()
    assert {place: there.get(place) for place in of_this} == of_this


def test_no_field_asks_for_an_argument_that_clients_do_not_know_of() -> None:
    known = promises()
    fields = {place for place in known if "(" not in place}
    asked = {place for place, text in served().items() if place.partition("(")[0] in fields and text.endswith("!")}
    assert {place for place in asked if "(" in place} <= set(known)


@pytest.mark.parametrize(("name", "words"), INPUTS.items(), ids=INPUTS)
def test_an_input_asks_for_what_clients_send(name: str, words: str) -> None:
    fields = fields_of(SCHEMA.type_map[name])
    promised_fields = {word.rstrip("!"): word.endswith("!") for word in words.split()}
    assert {field: isinstance(fields[field].type, GraphQLNonNull) for field in promised_fields} == promised_fields
    required = {field for field, kind in fields.items() if isinstance(kind.type, GraphQLNonNull)}
    assert required <= set(promised_fields), "clients know of no other field that has to be given"


def test_the_codes_of_request_errors_are_the_closed_list() -> None:
    assert {code.value for code in RequestCode} == {
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "BAD_USER_INPUT",
        "RATE_LIMITED",
        "TOO_COMPLEX",
        "PERSISTED_QUERY_NOT_FOUND",
        "RESUME_EXPIRED",
        "UNAVAILABLE",
        "INTERNAL",
    }


def test_connections_have_the_shape_of_relay_and_page_both_ways_or_forward() -> None:
    connections = {name for name in SCHEMA.type_map if name.endswith("Connection")}
    assert connections
    for name in connections:
        fields = fields_of(SCHEMA.type_map[name])
        edge = get_named_type(fields["edges"].type)
        assert {"edges", "pageInfo", "nodes", "totalCount"} == set(fields)
        assert {"node", "cursor"} == set(fields_of(edge))


def test_every_payload_says_what_went_wrong_and_its_objects_can_be_null() -> None:
    for field in fields_of(SCHEMA.mutation_type).values():
        assert isinstance(field.type, GraphQLNonNull)
        payload = fields_of(field.type.of_type)
        assert str(payload["errors"].type) == "[UserError!]!"
        assert [name for name, kind in payload.items() if isinstance(kind.type, GraphQLNonNull)] == ["errors"]


@pytest.mark.parametrize("root", [Mutation, Subscription])
def test_every_mutation_and_subscription_says_who_may_call_it(root: type) -> None:
    assert guarded(root)
    assert {name: len(permissions) for name, permissions in guarded(root).items()} == dict.fromkeys(guarded(root), 1)


def test_only_signing_in_is_open_to_anyone() -> None:
    open_fields = {name for name, (permission,) in guarded(Mutation).items() if type(permission) is Anyone}
    assert open_fields == OPEN_TO_ANYONE
    assert set(guarded(Mutation)) == set(fields_of(SCHEMA.mutation_type))


async def test_a_stranger_without_an_account_is_told_to_sign_in_by_every_other_mutation(studio: Studio) -> None:
    for name, field in fields_of(SCHEMA.mutation_type).items():
        if name in OPEN_TO_ANYONE:
            continue
        payload = field.type.of_type
        given = ", ".join(f"{n}: {example(a.type)}" for n, a in field.args.items())
        call = f"{name}({given})" if given else name
        body = await studio.ask(f"mutation {{ {call} {{ {next(iter(payload.fields))} {{ __typename }} }} }}")
        assert [error["extensions"]["code"] for error in body["errors"]] == ["UNAUTHENTICATED"], name


def example(kind: Any) -> str:
    """Anything that fits, with what has to be given and no more."""
    kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(kind, GraphQLInputObjectType):
        needed = {n: f for n, f in kind.fields.items() if isinstance(f.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{n}: {example(f.type)}" for n, f in needed.items()) + "}"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    return {"Int": "1", "Float": "1.0", "Boolean": "true"}.get(str(kind), '"x"')


@pytest.mark.parametrize("shows", SHOWS.values(), ids=lambda shows: shows.__name__)
def test_every_plain_field_of_a_type_is_a_column_of_its_row(shows: type[OfRow]) -> None:
    columns = {attribute.key: attribute.columns[0] for attribute in inspect(shows.rows).column_attrs}
    fields = {field.python_name: field for field in get_object_definition(shows, strict=True).fields}
    plain = [name for name, _ in plain_fields(shows)]  # type: ignore[arg-type]
    assert plain
    assert set(plain) <= set(columns)
    for name in plain:
        assert isinstance(fields[name].type, StrawberryOptional) == bool(columns[name].nullable), name


def test_every_type_with_an_id_can_be_found_again_by_it() -> None:
    nodes = {kind.name for kind in SCHEMA.get_possible_types(SCHEMA.type_map["Node"])}  # type: ignore[arg-type]
    assert nodes == set(NODE_TYPES)
    assert {field_name(field) for field in get_object_definition(Query, strict=True).fields} >= {"node", "nodes"}
