"""Accounts: registering, signing in, and what strangers and the log learn of it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from argon2 import PasswordHasher, extract_parameters
from sqlalchemy import update
from structlog.testing import capture_logs

from auth import passwords
from auth.passwords import AT_ONCE, HASHER, NOBODY, outdated
from auth.tokens import refresh_hash
from auth.viewer import Viewer
from core.db import DatabaseRefused
from core.ids import new_id
from domain.accounts import Role
from domain.errors import Refused
from models.accounts import User, UserRole
from resolvers import accounts
from schema.ids import decode_id, encode_id
from tests.studio import ANONYMOUS, PASSWORD, REGISTER, Person, Studio

SESSION = """session { accessToken refreshToken expiresAt user { id email tier roles profile { username } } }
  errors { __typename code message path ... on Conflict { current { id } } }"""
REGISTER_NAMED = f"mutation ($input: RegisterInput!) {{ register(input: $input) {{ {SESSION} }} }}"
LOGIN = f"mutation ($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}"
REFRESH = f"mutation ($input: RefreshSessionInput!) {{ refreshSession(input: $input) {{ {SESSION} }} }}"
LOGOUT = "mutation { logout { errors { message } } }"
VIEWER = "{ viewer { id email } }"

ROOT = Path(__file__).parent.parent

# The cheapest that argon2 takes: for tests that sign in often and are not about the hash.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class WatchedHasher(PasswordHasher):
    """Today's hasher, which also notes what it verified against, in which thread, and how many at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=HASHER.time_cost, memory_cost=HASHER.memory_cost, parallelism=HASHER.parallelism)
        self.verified: list[str | bytes] = []
        self.threads: set[int] = set()
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        with self._lock:
            self.verified.append(hash)
            self.threads.add(threading.get_ident())
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return super().verify(hash, password)
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> WatchedHasher:
    hasher = WatchedHasher()
    monkeypatch.setattr(passwords, "HASHER", hasher)
    return hasher


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "HASHER", QUICK)


async def register(studio: Studio, **input: Any) -> dict[str, Any]:
    made: dict[str, Any] = await studio.get(REGISTER_NAMED, {"input": {"password": PASSWORD, **input}})
    return made


async def login(studio: Studio, email: str, password: str = PASSWORD) -> Person:
    made = await studio.get(LOGIN, {"input": {"email": email, "password": password}})
    assert made["errors"] == []
    return person(made["session"])


async def refresh(studio: Studio, token: str) -> Person | None:
    """Whom the new tokens are for; None when the token was refused."""
    made = await studio.get(REFRESH, {"input": {"refreshToken": token}})
    assert (made["session"] is None) == ([error["code"] for error in made["errors"]] == ["NOT_ALLOWED"])
    return person(made["session"]) if made["session"] else None


def person(session: dict[str, Any]) -> Person:
    user = session["user"]
    return Person(session["accessToken"], user["email"], user["id"], session["refreshToken"])


def user_id(somebody: Person) -> UUID:
    decoded = decode_id(somebody.user_id)
    assert decoded
    return decoded[1]


async def signed_in(studio: Studio, by: Person) -> bool:
    """Whether the access token is still worth something; where it is not, it is refused and not ignored."""
    body = await studio.ask(VIEWER, by=by)
    if "errors" in body:
        assert [error["extensions"]["code"] for error in body["errors"]] == ["UNAUTHENTICATED"]
        return False
    return bool(body["data"]["viewer"]["id"] == by.user_id)


async def count(studio: Studio, table: str) -> int:
    (row,) = await studio.sql(f"select count(*) as n from {table}")
    return int(row["n"])


# Registering


async def test_registering_makes_a_user_a_profile_a_role_and_a_session(studio: Studio) -> None:
    made = await register(studio, email="new@example.com", username="New.Comer")
    assert made["errors"] == []
    user = made["session"]["user"]
    assert user == {**user, "email": "new@example.com", "tier": "FREE", "roles": ["USER"]}
    assert user["profile"] == {"username": "New.Comer"}
    assert [await count(studio, table) for table in ("users", "profiles", "user_roles", "sessions")] == [1, 1, 1, 1]
    assert await signed_in(studio, person(made["session"]))


async def test_whoever_gives_no_user_name_gets_one_that_tells_nothing(studio: Studio) -> None:
    made = await register(studio, email="telling@example.com")
    username = made["session"]["user"]["profile"]["username"]
    assert username.startswith("listener-")
    assert "telling" not in username


async def test_the_access_token_ends_15_minutes_after_registering(studio: Studio) -> None:
    before = datetime.now(UTC)
    made = await register(studio, email="new@example.com")
    left = datetime.fromisoformat(made["session"]["expiresAt"]) - before
    assert timedelta(minutes=14, seconds=50) < left < timedelta(minutes=15, seconds=10)


async def test_an_address_is_one_account_however_it_is_written(studio: Studio) -> None:
    made = await register(studio, email="  Jürgen@Example.COM ")
    assert made["session"]["user"]["email"] == "jürgen@example.com"
    again = await register(studio, email="JÜRGEN@example.com")
    assert again["session"] is None
    (error,) = again["errors"]
    assert (error["__typename"], error["path"]) == ("Conflict", ["input", "email"])
    assert error["current"] is None
    assert (await login(studio, "jürgen@EXAMPLE.com")).user_id == made["session"]["user"]["id"]
    assert await count(studio, "users") == 1


async def test_a_taken_user_name_is_told_by_its_field_and_leaves_no_user(studio: Studio) -> None:
    await register(studio, email="first@example.com", username="Duke")
    second = await register(studio, email="second@example.com", username="dUKE")
    (error,) = second["errors"]
    assert (second["session"], error["code"], error["path"]) == (None, "CONFLICT", ["input", "username"])
    assert [await count(studio, table) for table in ("users", "profiles", "user_roles", "sessions")] == [1, 1, 1, 1]


async def test_a_registration_that_dies_on_the_way_leaves_nothing(studio: Studio) -> None:
    ids = iter([new_id()])  # one for the user, none for the session
    with pytest.raises(RuntimeError):
        await accounts.register(replace(studio.api.context, new_id=lambda: next(ids)), "new@example.com", PASSWORD)
    assert [await count(studio, table) for table in ("users", "profiles", "user_roles", "sessions")] == [0, 0, 0, 0]


async def test_the_same_address_registered_at_once_is_one_account(studio: Studio, quick_hashes: None) -> None:
    made = await asyncio.gather(*(register(studio, email="new@example.com") for _ in range(8)))
    assert [len(answer["errors"]) for answer in made].count(0) == 1
    assert {error["code"] for answer in made for error in answer["errors"]} == {"CONFLICT"}
    assert await count(studio, "users") == 1


async def test_bad_input_names_every_field_at_once_and_hashes_nothing(studio: Studio, watched: WatchedHasher) -> None:
    made = await register(studio, email="nobody", password="short", username="-")
    assert {error["__typename"] for error in made["errors"]} == {"InvalidInput"}
    assert [error["path"][-1] for error in made["errors"]] == ["email", "password", "username"]


@pytest.mark.parametrize("email", ["na\0me@example.com", "\0", "na\x1bme@example.com", "x" * 100_000 + "@example.com"])
async def test_an_address_that_no_database_would_take_is_bad_input_and_no_bug(studio: Studio, email: str) -> None:
    made = await register(studio, email=email)
    assert [error["path"] for error in made["errors"]] == [["input", "email"]]
    body = await studio.ask(LOGIN, {"input": {"email": email, "password": PASSWORD}})
    assert body["data"]["login"]["errors"][0]["code"] == "INVALID_INPUT"


# Signing in


async def test_signing_in_opens_a_session_of_its_own(studio: Studio) -> None:
    first = await studio.register()
    second = await login(studio, first.email)
    assert second.token != first.token
    assert await signed_in(studio, first)
    assert await signed_in(studio, second)
    assert await count(studio, "sessions") == 2


async def test_an_unknown_address_and_a_wrong_password_answer_byte_for_byte_alike(studio: Studio) -> None:
    known = await studio.register()
    answers = []
    for email in (known.email, "unknown@example.com", "no address"):
        variables = {"input": {"email": email, "password": "wrong horse"}}
        answers.append(await studio.http.post("/graphql", json={"query": LOGIN, "variables": variables}))
    assert len({answer.content for answer in answers}) == 1
    assert json.loads(answers[0].content)["data"]["login"]["errors"][0]["path"] is None
    headers = [{**answer.headers, "x-request-id": "", "date": ""} for answer in answers]
    assert headers[0] == headers[1] == headers[2]


async def test_every_failed_sign_in_costs_one_hash_of_the_same_strength(studio: Studio, watched: WatchedHasher) -> None:
    known = await studio.register()
    for email in (known.email, "unknown@example.com", "no address"):
        watched.verified.clear()
        with pytest.raises(Refused):
            await accounts.login(studio.api.context, email, "wrong horse")
        (stored,) = watched.verified
        assert extract_parameters(str(stored)) == extract_parameters(HASHER.hash("any"))


def test_the_hash_of_nobody_has_todays_strength() -> None:
    assert extract_parameters(NOBODY) == extract_parameters(HASHER.hash("any"))
    assert not outdated(NOBODY)


async def test_passwords_are_hashed_off_the_event_loop_and_few_at_once(studio: Studio, watched: WatchedHasher) -> None:
    attempts = [accounts.login(studio.api.context, f"{n}@example.com", "wrong horse") for n in range(2 * AT_ONCE + 1)]
    await asyncio.gather(*attempts, return_exceptions=True)
    assert threading.get_ident() not in watched.threads
    assert len(watched.verified) == len(attempts)
    assert watched.most_at_once == AT_ONCE


async def test_a_hash_of_less_strength_is_made_anew_at_sign_in(studio: Studio) -> None:
    known = await studio.register()
    await studio.sql("update users set password_hash = $1", QUICK.hash(PASSWORD))
    await login(studio, known.email)
    (row,) = await studio.sql("select password_hash from users")
    assert not outdated(row["password_hash"])
    await login(studio, known.email)
    assert await studio.sql("select password_hash from users") == [row]


async def test_a_password_is_stored_as_an_argon2id_hash_and_a_refresh_token_as_a_digest(studio: Studio) -> None:
    known = await studio.register()
    (user,) = await studio.sql("select * from users")
    assert user["password_hash"].startswith("$argon2id$")
    (session,) = await studio.sql("select * from sessions")
    assert session["refresh_hash"] == refresh_hash(known.refresh_token)
    stored = repr([*user.values(), *session.values()])
    assert PASSWORD not in stored
    assert known.refresh_token not in stored


# Who sees whom


async def test_a_stranger_sees_no_other_account(studio: Studio) -> None:
    owner, stranger = await studio.register("owner"), await studio.register("stranger")
    ask = "query ($id: ID!) { node(id: $id) { id ... on User { email } } }"
    assert (await studio.get(ask, {"id": owner.user_id}, by=owner))["email"] == owner.email
    for somebody in (stranger, ANONYMOUS):
        assert await studio.get(ask, {"id": owner.user_id}, by=somebody) is None
        assert await studio.get(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [owner.user_id]}, by=somebody
        ) == [None]
    assert await studio.get(ask, {"id": encode_id("Profile", user_id(owner))}, by=stranger) is None


async def test_an_anonymous_viewer_is_nobody(studio: Studio) -> None:
    await studio.register()
    assert await studio.get(VIEWER) is None


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer ", "bearer x", "x.y.z", "Bearer a.b.c", "Bearer é"])
async def test_a_bad_authorization_header_is_refused_and_never_ignored(studio: Studio, header: str) -> None:
    for media_type in ("application/json", "application/graphql-response+json", "text/event-stream"):
        answer = await studio.http.post(
            "/graphql",
            json={"query": "{ providers { name } }"},
            headers=[(b"authorization", header.encode()), (b"accept", media_type.encode())],
        )
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert "data" not in answer.json()


async def test_roles_are_rows_and_an_admin_reads_what_a_stranger_does_not(studio: Studio) -> None:
    owner, admin = await studio.register("owner"), await studio.register("admin")
    await studio.sql("insert into user_roles (user_id, role) values ($1, $2)", user_id(admin), Role.ADMIN)
    assert (await studio.get("{ viewer { roles } }", by=admin))["roles"] == ["ADMIN", "USER"]
    ask = "query ($id: ID!) { node(id: $id) { ... on User { email } } }"
    assert await studio.get(ask, {"id": owner.user_id}, by=admin) == {"email": owner.email}


async def test_nobody_gives_themselves_a_role_a_tier_or_a_session(studio: Studio) -> None:
    climber = user_id(await studio.register("stranger"))
    viewer = Viewer("user", climber)
    with pytest.raises(DatabaseRefused, match="42501"):  # insufficient_privilege, by row-level security
        async with studio.api.context.db.begin(viewer) as tx:
            tx.add(UserRole(user_id=climber, role=Role.ADMIN))
    async with studio.api.context.db.begin(viewer) as tx:
        changed = await tx.scalars(update(User).values(tier="STUDIO").returning(User.id))
        assert changed.all() == []
    assert await studio.sql("select role, tier from user_roles join users on id = user_id") == [("USER", "FREE")]


# What is logged


async def test_no_address_password_hash_or_token_is_logged(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as events:
        known = await studio.register("logged")
        again = await login(studio, known.email)
        renewed = await refresh(studio, again.refresh_token)
        assert renewed
        await studio.ask(LOGIN, {"input": {"email": known.email, "password": "wrong horse"}})
        await studio.ask(VIEWER, by=Person("forged.access.token"))
        await studio.get(LOGOUT, by=renewed)
    (row,) = await studio.sql("select password_hash from users")
    secrets = [known.email, PASSWORD, "wrong horse", row["password_hash"], "forged.access.token"]
    secrets += [token for by in (known, again, renewed) for token in (by.token or "", by.refresh_token)]
    text = caplog.text + repr(events)
    assert "request.served" in text
    assert [secret for secret in secrets if secret in text] == []


async def test_not_even_a_bug_in_the_database_logs_an_address_or_a_hash(studio: Studio) -> None:
    connection = await asyncpg.connect(studio.database_url)
    await connection.execute("alter table users add constraint unforeseen check (tier <> 'FREE') not valid")
    try:
        with capture_logs() as events:
            body = await studio.ask(REGISTER, {"input": {"email": "secretive@example.com", "password": PASSWORD}})
    finally:
        await connection.execute("alter table users drop constraint unforeseen")
        await connection.close()
    assert body["errors"][0]["extensions"]["code"] == "INTERNAL"
    faults = [event["exc_info"] for event in events if "exc_info" in event]
    assert faults
    text = repr(events) + "".join("".join(traceback.format_exception(fault)) for fault in faults)
    assert "unforeseen" in text  # it does say what happened
    assert "secretive" not in text
    assert "$argon2id$" not in text


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_in_the_log_shows_no_values(json: bool) -> None:
    """In a process of its own, since logging is configured for good."""
    program = f"""
import structlog
from core.log import configure_logs

def sign_in(password):
    raise RuntimeError("something broke")

configure_logs(json={json})
try:
    sign_in("hunter" + "2")
except RuntimeError as fault:
    structlog.get_logger().error("graphql.failed", exc_info=fault)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "something broke" in done.stderr
    assert "hunter2" not in done.stderr
