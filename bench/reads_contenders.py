"""Who is measured, how each is started, and how each is asked for the same.

Ours and the documented way have the product's names; PostGraphile has names of its own, so its documents rename. All
answer in the same form but for the text of ids, cursors and times: see `bench/reads_answers.py`.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.reads_seed import Ground, Viewer, node_id
from bench.serving import OURS, REPOSITORY

PEERS = REPOSITORY / "bench" / "peers"

TRACK = "title prompt status visibility instrumental provider model likeCount playCount revision createdAt"
VERSION = "number variant kind createdAt"
OWNER = "owner { username displayName avatarUrl }"
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"

Q1, Q2, Q3, Q4 = QUERIES = ("Q1", "Q2", "Q3", "Q4")
SIZES = {Q2: 20, Q3: 20, Q4: 100}

COMPILED, ORDINARY, DOCUMENTED = "Antiphon", "Antiphon, not compiled", "Strawberry, documented"
POSTGRAPHILE, MERCURIUS, LIMIT = "PostGraphile", "mercurius", "limit"
SERVERS = 6


@dataclass(frozen=True)
class Dialect:
    """How a server wants to be asked. `page` is the field `tracks` up to its size, `one` the field `track`."""

    one: str
    page: str
    parameters: Mapping[str, str]  # of Q1 and of the others
    id: str = "id"
    versions: str = "versions(first: 5)"
    duration: str = "durationSeconds"
    track_id: Callable[[str], str] = str

    def document(self, query: str) -> str:
        version = f"{self.versions} {{ nodes {{ {self.id} {VERSION} {self.duration} }} }}"
        beside = {Q3: f"{version} {OWNER}", Q4: version}.get(query, "")
        track = f"{{ {self.id} {TRACK} {beside} }}"
        if query == Q1:
            return f"query Q1{self.parameters[Q1]} {{ {self.one} {track} }}"
        page = f"{self.page}first: {SIZES[query]}) {{ edges {{ cursor node {track} }} {PAGE_INFO} }}"
        return f"query {query}{self.parameters[Q2]} {{ {page} }}"

    def variables(self, query: str, viewer: Viewer, track: str) -> dict[str, str]:
        if query == Q1:
            return {"id": self.track_id(track)}
        return {"userId": viewer.user_id} if self.parameters[Q2] else {}


OURS_DIALECT = Dialect(
    one="track(id: $id)",
    page="tracks(",
    parameters={Q1: "($id: ID!)", Q2: ""},
    track_id=lambda id: node_id("Track", id),
)
PLAIN_DIALECT = Dialect(
    one="track(id: $id)",
    page="tracks(userId: $userId, ",
    parameters={Q1: "($id: ID!)", Q2: "($userId: ID!)"},
)
POSTGRAPHILE_DIALECT = Dialect(
    one="track: trackByRowId(rowId: $id)",
    page="tracks: allTracks(condition: {userId: $userId, deletedAt: null}, orderBy: [CREATED_AT_DESC, ROW_ID_DESC], ",
    parameters={Q1: "($id: UUID!)", Q2: "($userId: UUID!)"},
    id="id: rowId",
    versions="versions(first: 5, orderBy: [NUMBER_ASC, VARIANT_ASC])",
    duration="durationMs",
)


@dataclass(frozen=True)
class Contender:
    """A server to start and the way to ask it. `signs_in`: whether it wants to know who asks."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    port: int
    dialect: Dialect
    signs_in: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, query: str, viewer: Viewer, track: str) -> bytes:
        """An HTTP request, whole."""
        asks: dict[str, Any] = {"query": self.dialect.document(query), "operationName": query}
        body = json.dumps({**asks, "variables": self.dialect.variables(query, viewer, track)}).encode()
        head = [
            "POST /graphql HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Accept: application/json",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Authorization: Bearer {viewer.token}"] if self.signs_in else ()),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


def ours(ground: Ground, folder: Path, ports: Iterator[int]) -> list[Contender]:
    """The product as in production, with and without its compiled reads. One key signs for both."""
    key = secrets.token_urlsafe(48)

    def server(name: str, compiled: str) -> Contender:
        port = next(ports)
        environment = {
            **_kept(),
            "ANTIPHON_ENV": "production",
            "ANTIPHON_SECRET_KEY": key,
            "ANTIPHON_DATA_DIR": str(folder),
            "ANTIPHON_PORT": str(port),
            "ANTIPHON_COMPILED_READS": compiled,
            "DATABASE_URL": ground.database_url,
            "REDIS_URL": ground.redis_url,
        }
        return Contender(name, (sys.executable, "server.py"), environment, port, OURS_DIALECT, signs_in=True)

    return [server(COMPILED, "on"), server(ORDINARY, "off")]


def others(ground: Ground, node: Path | None, ports: Iterator[int]) -> list[Contender]:
    """Everybody else. `node` runs the peers; None leaves them out."""

    def server(name: str, argv: Sequence[str], dialect: Dialect = PLAIN_DIALECT) -> Contender:
        port = next(ports)
        environment = {
            **_kept(),
            "NODE_ENV": "production",
            "GRAPHILE_ENV": "production",
            "DATABASE_URL": ground.peer_url,
            "PORT": str(port),
        }
        return Contender(name, argv, environment, port, dialect)

    peers = [
        server(POSTGRAPHILE, (str(node), str(PEERS / "postgraphile.mjs")), POSTGRAPHILE_DIALECT),
        server(MERCURIUS, (str(node), str(PEERS / "mercurius.mjs"))),
    ]
    return [
        server(LIMIT, (sys.executable, "-m", "bench.peers.limit")),
        *(peers if node else ()),
        server(DOCUMENTED, (sys.executable, "-m", "bench.peers.documented")),
    ]


def _kept() -> dict[str, str]:
    """The caller's environment, less what steers the product or Node."""
    return {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "NODE_"))}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface, all different: each is held until the last is found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
