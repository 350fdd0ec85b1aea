"""Queries that are easily answered wrong. `@Track/3` stands for the id of a track, `@newest/2` for a list's cursor.

COVERED are compiled, whole or in part. EXECUTED are not, since they fail, or ask for nothing that is read from rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from schema.ids import encode_id
from tests.reads_world import USERS

NOBODY, OWNER = UUID(int=5), USERS["owner"]

# A query, and the variables that it is asked with, one after the other; None stands for none.
Case = tuple[str, Sequence[dict[str, Any] | None]]

PAGE = """totalCount nodes { id } edges { cursor node { id } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
TRACKS = f"""query ($first: Int, $after: String, $last: Int, $before: String, $filter: TrackFilter,
    $orderBy: TrackOrder) {{
  tracks(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {{
    {PAGE} }} }}"""
VERSIONS = f"""query ($first: Int, $after: String, $last: Int, $before: String) {{ tracks(first: 12) {{ nodes {{
  versions(first: $first, after: $after, last: $last, before: $before) {{ {PAGE} }} }} }} }}"""
ALL = """
fragment All on Track { __typename id title prompt lyrics tags instrumental status visibility provider model likeCount
  playCount revision createdAt updatedAt deletedAt audioUrl coverUrl durationSeconds waveform(points: 3)
  owner { __typename username displayName avatarUrl } primaryVersion { ...Take }
  versions { totalCount nodes { ...Take } } generations { totalCount nodes { ...Made } } }
fragment Take on TrackVersion { __typename id number variant kind createdAt audioUrl losslessUrl contentType sizeBytes
  sha256 durationSeconds waveform(points: 2) stems { __typename id kind audioUrl durationSeconds } parent { id number }
  track { id deletedAt } }
fragment Made on Generation { __typename id kind status progress provider model attempts queuePosition createdAt
  startedAt completedAt error { __typename code message retryable } seed track { id } versions { id } }
"""
NESTED = "".join(f"versions(first: 1) {{ nodes {{ track {{ {level} " for level in ("id", "title", "id", "status"))

COVERED: dict[str, Case] = {
    "everything of a page": ("{ tracks(first: 15) { edges { cursor node { ...All } } } }" + ALL, [None]),
    "everything public": ("{ tracks(filter: {scope: PUBLIC}, first: 20) { nodes { ...All } } }" + ALL, [None]),
    "everything of the bin": ("{ tracks(filter: {deleted: true}) { nodes { ...All } } }" + ALL, [None]),
    "the viewer": ("{ viewer { __typename id email tier createdAt roles profile { username displayName } } }", [None]),
    "aliases": (
        "{ b: tracks(first: 2) { n: nodes { x: id y: title id } } a: tracks(first: 1) { nodes { id } } "
        "me: viewer { mail: email } }",
        [None],
    ),
    "equal keys with different selections": (
        "{ tracks(first: 3) { nodes { id versions { nodes { id } } } } tracks(first: 3) { nodes { title versions "
        "{ totalCount nodes { number } } } edges { cursor } nodes { id } } viewer { email } viewer { id } }",
        [None],
    ),
    "keys in the order in which they come first": (
        "{ tracks(first: 2) { ...A nodes { status id ...B } totalCount } } "
        "fragment A on TrackConnection { nodes { ... on Node { id } title } } fragment B on Track { title prompt }",
        [None],
    ),
    "fragments on interfaces and types": (
        "query ($id: ID!) { node(id: $id) { __typename id ... on Track { title ...T } ... on TrackVersion { number "
        "track { ...T } } ... on Generation { status k: kind } ... on Stem { kind } ... on User { email profile "
        "{ username } } ... on Node { again: id } ... { id } } } fragment T on Track { ... on Node { id ...N } } "
        "fragment N on Node { n: __typename }",
        [{"id": f"@{kind}/{n}"} for kind in ("Track", "TrackVersion", "Generation", "Stem", "User") for n in (0, 1, 3)],
    ),
    "skip and include": (
        "query ($yes: Boolean!, $no: Boolean = false, $maybe: Boolean = true) { tracks(first: 2) @include(if: $yes) "
        "{ nodes { id @skip(if: true) title @include(if: false) prompt @skip(if: $no) ... @include(if: $maybe) "
        "{ status } ...F @skip(if: $yes) tags @skip(if: $maybe) @include(if: $yes) } } viewer { id } } "
        "fragment F on Track { revision }",
        [{"yes": yes, **more} for yes in (True, False) for more in ({}, {"no": True}, {"no": False, "maybe": False})],
    ),
    "a selection of which nothing is left": (
        "{ tracks(first: 2) { nodes { id @skip(if: true) } pageInfo { endCursor "
        "@include(if: false) } } viewer { profile { username @skip(if: true) } } }",
        [None],
    ),
    "fields that are skipped at the root": ("{ viewer { id } tracks @skip(if: true) { totalCount } }", [None]),
    "the name of the type everywhere": (
        "{ __typename q: __typename tracks(first: 1) { __typename edges { __typename node { __typename owner "
        "{ __typename } } } pageInfo { __typename } nodes { versions { __typename edges { __typename } } } } }",
        [None],
    ),
    "nothing but the name of the type below": ("{ tracks { __typename } viewer { __typename } }", [None]),
    "pages of the library": (
        TRACKS,
        [
            None,
            {},
            {"first": None, "after": None, "filter": None, "orderBy": None},
            {"first": 0},
            {"last": 0},
            {"first": 100},
            {"last": 100},
            {"first": 3, "after": "@newest/0"},
            {"first": 3, "after": "@newest/99"},
            {"after": "@newest/50"},
            {"after": "@newest/50", "last": None, "before": None},
            {"last": 3, "before": "@newest/50"},
            {"last": 3, "before": "@newest/0"},
            {"before": "@newest/2"},
            {"first": 0, "after": "@newest/3"},
            {"last": 0, "before": "@newest/3"},
            {"last": 5},
            {"first": 5, "orderBy": "OLDEST"},
            {"first": 5, "orderBy": "OLDEST", "after": "@oldest/4"},
            {"last": 5, "orderBy": "OLDEST", "before": "@oldest/8"},
            {"last": 5, "orderBy": "RECENTLY_UPDATED", "before": "@updated/20"},
            {"first": 30, "orderBy": "RECENTLY_UPDATED", "after": "@updated/0"},
        ],
    ),
    "filters of the library": (
        TRACKS,
        [
            {"filter": {}},
            {"filter": {"scope": "PUBLIC"}},
            {"filter": {"scope": "MINE", "deleted": True}},
            {"filter": {"scope": None, "deleted": None, "status": None, "tags": None, "search": None}},
            {"filter": {"createdAfter": None, "createdBefore": None, "kind": None, "provider": None}},
            {"filter": {"scope": "PUBLIC", "deleted": True}},
            {"filter": {"status": ["COMPLETED"]}},
            {"filter": {"status": []}},
            {"filter": {"status": ["FAILED", "PENDING", "FAILED"]}},
            {"filter": {"kind": ["COVER", "ORIGINAL"]}},
            {"filter": {"provider": ["SYNTH"], "status": ["COMPLETED"]}},
            {"filter": {"tags": ["CALM"]}},
            {"filter": {"tags": ["calm", "夜"]}},
            {"filter": {"tags": ['{"'], "scope": "PUBLIC"}},
            {"filter": {"search": "words ünïcödé"}},
            {"filter": {"search": "unicode wor"}},
            {"filter": {"search": "'; drop table tracks --"}},
            {"filter": {"createdAfter": "2026-03-01T12:59:50+01:00", "createdBefore": "2026-03-01T11:59:59.999999Z"}},
            {"filter": {"createdBefore": "2026-03-01T06:29:50-05:30", "search": "words", "tags": ["calm"]}},
            {"filter": {"createdBefore": "0001-01-01T00:00:00.000002Z"}},
        ],
    ),
    "filters that are partly variables": (
        "query ($status: [GenerationStatus!], $one: GenerationStatus!, $tag: String!, $scope: TrackScope, $time: "
        "DateTime, $bin: Boolean) { a: tracks(filter: {status: $status, scope: $scope, createdBefore: $time, deleted: "
        '$bin}, first: 3) { nodes { id } } b: tracks(filter: {tags: [$tag, "calm"], status: [$one, FAILED]}) '
        '{ totalCount } c: tracks(filter: {status: FAILED, tags: "calm", search: "words"}) { totalCount } }',
        [
            {"one": "FAILED", "tag": "calm"},
            {"one": "COMPLETED", "tag": "夜", "status": None, "scope": None, "time": None, "bin": None},
            {"one": "COMPLETED", "tag": "夜", "status": ["FAILED"], "scope": "PUBLIC", "bin": True},
            {"one": "COMPLETED", "tag": "夜", "time": "2026-03-01T12:00:00Z", "bin": True},
        ],
    ),
    "defaults of variables": (
        'query ($first: Int = 2, $after: String = "@newest/1", $order: TrackOrder = NEWEST, $scope: TrackScope '
        "= null, $points: Int = 4, $filter: TrackFilter = {status: [FAILED], deleted: false}) { tracks(first: $first, "
        "after: $after, orderBy: $order, filter: {scope: $scope}) { nodes { id waveform(points: $points) } } "
        "b: tracks(filter: $filter) { totalCount } }",
        [
            None,
            {"first": None, "after": None, "order": None, "points": None, "filter": None},
            {"first": 1, "scope": "PUBLIC", "points": 1, "filter": {"deleted": True}},
            {"order": "OLDEST", "after": "@oldest/1"},
        ],
    ),
    "pages below each track": (
        VERSIONS,
        [
            None,
            {"first": None, "last": None, "after": None},
            {"first": 0},
            {"first": 2},
            {"last": 2},
            {"first": 1, "after": "@versions/1"},
            {"last": 4, "before": "@versions/3"},
            {"after": "@versions/0"},
            {"before": "@versions/5"},
            {"first": 100},
        ],
    ),
    "pages of pages": (
        "query ($n: Int, $after: String) { tracks(first: 4) { nodes { a: versions(first: 1) { pageInfo { hasNextPage } "
        "nodes { track { versions(last: $n) { edges { cursor node { number stems { kind } } } } } } } b: versions("
        "last: 2) { nodes { number } } generations(first: $n, after: $after) { totalCount edges { cursor } pageInfo "
        "{ hasNextPage hasPreviousPage } } } } }",
        [None, {"n": 2}, {"n": 1, "after": "@generations/1"}],
    ),
    "waveforms": (
        "query ($p: Int, $d: Int = 3) { tracks(first: 6) { nodes { waveform a: waveform(points: 1) b: waveform(points: "
        "$p) c: waveform(points: null) d: waveform(points: $d) primaryVersion { waveform(points: 1000) } } } }",
        [None, {"p": None, "d": None}, {"p": 7, "d": 2}],
    ),
    "one by its id": (
        "query ($id: ID!) { track(id: $id) { ...All } generation(id: $id) { ...Made } }" + ALL,
        [
            {"id": id}
            for id in ("@Track/0", "@Track/1", "@Track/4", "@Track/9", "@Generation/3", "@Generation/6", "@User/0")
        ],
    ),
    "ids that name nothing": (
        "query ($id: ID!) { track(id: $id) { id } generation(id: $id) { id } node(id: $id) { id } "
        "nodes(ids: [$id]) { id } }",
        [
            {"id": id}
            for id in (
                "",
                "x",
                "%%%",
                "é",
                "Track_",
                "Track_x",
                str(OWNER),
                encode_id("Track", NOBODY),
                encode_id("PublicProfile", OWNER),
                encode_id("GenerationError", OWNER),
                encode_id("Song", OWNER),
                encode_id("track", OWNER),
                "@Track/4",
            )
        ],
    ),
    "nodes of several types": (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Track { title versions { nodes { id } } } "
        "... on TrackVersion { number stems { id } } ... on Generation { status } ... on Stem { kind } "
        "... on User { email } } }",
        [
            {"ids": []},
            {"ids": ["@Track/1", "@TrackVersion/9", "@Generation/1", "@Stem/2", "@User/0", "x", "@Track/1"]},
            {"ids": ["@Track/0"] * 100},
            {"ids": [f"@TrackVersion/{n}" for n in range(60)]},
        ],
    ),
    "ids as a list of variables": (
        'query ($a: ID!, $b: ID! = "x") { nodes(ids: [$a, "@Stem/1", $b]) { id } one: nodes(ids: "@Track/2") { id } }',
        [{"a": "@Track/1"}, {"a": "@Track/1", "b": "@Track/2"}],
    ),
    "what is read beside what is executed": (
        "{ providers { name } tracks(first: 1) { nodes { id } } __schema { queryType { name } } __typename "
        'viewer { id } __type(name: "Track") { kind } p: providers { isDefault } }',
        [None],
    ),
    "what is executed, in fragments and with variables": (
        "query ($deep: Boolean!, $n: Int) { ...Q tracks(first: $n) { totalCount } } fragment Q on Query { providers "
        '@include(if: $deep) { name ...P } viewer { ...V } t: __type(name: "User") { name } } fragment P on Provider '
        "{ available } fragment V on User { email }",
        [{"deep": True}, {"deep": False, "n": 3}],
    ),
    "variables that nothing takes": ("query ($n: Int) { tracks(first: $n) { totalCount } }", [{"x": 1, "y": [{}]}]),
    "as deep as it may be": ("{ tracks(first: 1) { nodes { " + NESTED + "}" * 12 + "} } }", [None]),
}

EXECUTED: dict[str, Case] = {
    "pages that cannot be": (
        TRACKS,
        [
            {"first": 101},
            {"first": -1},
            {"last": 101},
            {"first": 1, "last": 1},
            {"first": 1, "before": "@newest/1"},
            {"last": 1, "after": "@newest/1"},
            {"after": "@newest/1", "before": "@newest/1"},
            {"after": "@oldest/1"},
            {"after": "@versions/1"},
            {"after": ""},
            {"after": "x"},
            {"after": "W10"},
            {"after": "WzEsIm5ld2VzdCIsMSwyXQ"},
            {"after": "é"},
            {"after": "@newest/1", "orderBy": "OLDEST"},
            {"first": 2**31},
            {"first": 1.5},
            {"first": "1"},
            {"first": True},
            {"first": [1]},
            {"after": 1},
            {"orderBy": "newest"},
            {"orderBy": 1},
            {"filter": {"scope": "x"}},
            {"filter": {"unknown": 1}},
            {"filter": []},
            {"filter": {"status": ["FAILED", None]}},
            {"filter": {"tags": [None]}},
            {"filter": {"tags": [""]}},
            {"filter": {"tags": ["x" * 51]}},
            {"filter": {"tags": [str(n) for n in range(21)]}},
            {"filter": {"status": ["FAILED"] * 21}},
            {"filter": {"search": "x" * 201}},
            {"filter": {"search": "\0"}},
            {"filter": {"createdAfter": "2026-03-01"}},
            {"filter": {"createdAfter": "2026-03-01T12:00:00"}},
            {"filter": {"createdAfter": 1}},
        ],
    ),
    "pages below that cannot be": (
        VERSIONS,
        [
            {"first": 101},
            {"first": 1, "last": 1},
            {"after": "@newest/1"},
            {"after": "WzEsIm51bWJlciIsNDAwMDAsMV0"},
        ],
    ),
    "waveforms that cannot be": (
        "query ($p: Int) { tracks(first: 3) { nodes { title waveform(points: $p) } } }",
        [{"p": 0}, {"p": 1001}, {"p": -1}, {"p": 1.5}],
    ),
    "nodes that cannot be": (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        [{"ids": ["x"] * 101}, {"ids": [None]}, {"ids": [1.5]}, {"ids": None}, {}],
    ),
    "an argument that is missing for want of a variable": (
        "query ($id: ID = null) { track(id: $id) { id } }",
        [None, {"id": None}],
    ),
    "numbers that GraphQL's Int has not": (
        '{ node(id: "@TrackVersion/70") { ... on TrackVersion { sizeBytes id } } viewer { id } }',
        [None],
    ),
    "nothing that is read": ("{ __typename }", [None]),
    "nothing at all": ("{ viewer @skip(if: true) { id } }", [None]),
    "no rows": (
        "query ($on: Boolean!) { providers @include(if: $on) { name isDefault } __schema { queryType { name } } }",
        [{"on": True}, {"on": False}, {"on": None}],
    ),
    "too deep": ("{ tracks(first: 1) { nodes { " + NESTED * 2 + "}" * 24 + "} } }", [None]),
    "too dear": (
        "query ($n: Int = 100) { tracks(first: $n) { nodes { versions(first: $n) { nodes { stems { id } } } } } }",
        [None, {"n": 99}],
    ),
    "not valid": ('{ tracks(first: "1") { nodes { name } } viewer }', [None]),
    "not GraphQL": ("{ tracks", [None]),
    "a mutation": ('mutation { deleteTrack(input: {trackId: "x"}) { errors { message } track { id } } }', [None]),
}

# Numbers and texts in forms that execution takes too, and some that are compiled.
EITHER: dict[str, Case] = {
    "an Int as 1.0": ("query ($n: Int) { tracks(first: $n) { totalCount nodes { id } } }", [{"n": 1.0}, {"n": 3}]),
    "an id as a number": ("query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }", [{"id": 5}]),
    "null within a list": (
        'query ($id: ID = "x", $tag: String = "calm", $status: GenerationStatus = FAILED) { nodes(ids: [$id]) '
        "{ id } a: tracks(filter: {tags: [$tag]}) { totalCount } "
        "b: tracks(filter: {status: [$status]}) { totalCount } }",
        [{"id": None}, {"tag": None}, {"status": None}],
    ),
    "one value for a list": (TRACKS, [{"filter": {"status": "FAILED", "tags": "calm"}}]),
    "searches for nothing": (TRACKS, [{"filter": {"search": " "}}, {"filter": {"tags": []}}]),
    "null for a variable that has a default": (
        'query ($a: Boolean = true, $id: ID = "x") { viewer @include(if: $a) { id } track(id: $id) { id } }',
        [None, {"a": None}, {"id": None}],
    ),
    "errors in what is executed beside what is read": (
        "query ($n: String!) { viewer { id } __type(name: $n) { name fields { name } } providers { name } "
        'track(id: "x") { id } }',
        [{"n": "Track"}, {"n": "x"}, {"n": None}, {"n": 5}, {}],
    ),
    "an error in one of several fields": (
        "query ($p: Int) { viewer { id } tracks(first: 1) { nodes { id } } t: tracks(first: 2) "
        "{ nodes { waveform(points: $p) } } providers { name } }",
        [{"p": 0}, {"p": 3}],
    ),
}

BROKEN: Case = ('{ node(id: "@Odd/0") { id ... on Generation { seed } } viewer { id } }', [None])
SEVERAL = """
query One($n: Int) { tracks(first: $n) { nodes { ...F } } } query Two { viewer { ...G } }
query Three { providers { name } }
fragment F on Track { id title } fragment G on User { email }
"""
