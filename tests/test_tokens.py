"""Access tokens: none but ours is believed, whatever it says of itself, over HTTP and on a WebSocket."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jwt
from joserfc.jwk import OctKey, RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from auth.keys import derive_key
from auth.tokens import CLOCK_SKEW, AccessTokens, TokenRefused, new_refresh_token, refresh_hash
from domain.accounts import ACCESS_LIFE
from tests.studio import SECRET, Person, Studio

KEY = derive_key(SECRET, "access-token")
NOW = datetime.now(UTC)
USER, SESSION = uuid4(), uuid4()
VIEWER = "{ viewer { id } }"

Claims = Mapping[str, Any]
Forgery = Callable[[Claims], str]


def claims(user: UUID = USER, session: UUID = SESSION) -> dict[str, Any]:
    """What a good token says."""
    now = int(datetime.now(UTC).timestamp())
    return {"iss": "antiphon", "aud": "antiphon", "sub": str(user), "sid": str(session), "iat": now, "exp": now + 600}


def signed(said: Claims, *, key: bytes = KEY, algorithm: str = "HS256", **header: Any) -> str:
    """A token with this key, which by default is the right one; `typ` and the rest of the header as wished."""
    wanted = {"alg": algorithm, "typ": "at+jwt", **header}
    kept = {name: value for name, value in wanted.items() if value is not None}
    return jwt.encode(kept, dict(said), OctKey.import_key(key), algorithms=[algorithm], default_type=None)


def by_hand(header: Any, payload: Any, signature: bytes = b"") -> str:
    """Three parts of anything."""
    return ".".join(map(_part, (header, payload, signature)))


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_with_nothing(said: Claims, **header: Any) -> str:
    """Signed with the content of an empty file, which no library would take for a key."""
    text = by_hand({"alg": "HS256", "typ": "at+jwt", **header}, said).removesuffix(".")
    return f"{text}.{_part(hmac.digest(b'', text.encode(), 'sha256'))}"


def rsa_signed(said: Claims) -> str:
    key = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "typ": "at+jwt", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, dict(said), key, algorithms=["RS256"])


def encrypted(said: Claims) -> str:
    """A token encrypted with the signing key: right key, wrong construction."""
    header = {"alg": "dir", "enc": "A128CBC-HS256", "typ": "at+jwt"}
    return jwe.encrypt_compact(header, json.dumps(dict(said)), OctKey.import_key(KEY))


def without(said: Claims, name: str) -> Claims:
    return {key: value for key, value in said.items() if key != name}


def other_claims(said: Claims, **changes: Any) -> str:
    """Somebody else's claims under the signature of a good token."""
    header, _, signature = signed(said).split(".")
    return f"{header}.{_part({**said, **changes})}.{signature}"


def past(seconds: float) -> int:
    return int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp())


FORGED_SIGNATURE: dict[str, Forgery] = {
    "alg none": lambda said: by_hand({"alg": "none", "typ": "at+jwt"}, said),
    "alg NoNe": lambda said: by_hand({"alg": "NoNe", "typ": "at+jwt"}, said),
    "alg none with a good signature": lambda said: by_hand({"alg": "none", "typ": "at+jwt"}, said, b"x" * 32),
    "no alg": lambda said: by_hand({"typ": "at+jwt"}, said, b"x" * 32),
    "alg a list": lambda said: by_hand({"alg": ["HS256"], "typ": "at+jwt"}, said, b"x" * 32),
    "another HMAC with our key": lambda said: signed(said, algorithm="HS512"),
    "an RSA key of their own in the header": rsa_signed,
    "encrypted with our key": encrypted,
    "an octet key of their own in the header": lambda said: signed(
        said, key=b"k" * 32, jwk={"kty": "oct", "k": _part(b"k" * 32)}
    ),
    "the signing root itself": lambda said: signed(said, key=SECRET.encode()),
    "the key of media URLs": lambda said: signed(said, key=derive_key(SECRET, "media")),
    "a key of zeros": lambda said: signed(said, key=bytes(32)),
    "kid that names an empty file": lambda said: signed_with_nothing(said, kid="../../../../dev/null"),
    "kid that is SQL": lambda said: signed(said, key=b"k" * 32, kid="' union select 'k' --"),
    "kid that is a list": lambda said: by_hand({"alg": "HS256", "typ": "at+jwt", "kid": [1]}, said, b"x" * 32),
    "crit that asks for an unsigned payload": lambda said: signed(said, key=b"k" * 32, b64=False, crit=["b64"]),
    "another user in the payload": lambda said: other_claims(said, sub=str(uuid4())),
    "a later end in the payload": lambda said: other_claims(said, exp=said["exp"] + 1),
    "no signature": lambda said: signed(said).rpartition(".")[0] + ".",
    "half a signature": lambda said: signed(said)[:-22],
    "header that is a list": lambda said: by_hand([], said, b"x" * 32),
    "header that is deep": lambda said: by_hand(b"[" * 20_000, said, b"x" * 32),
    "header that is UTF-16": lambda said: by_hand('{"alg":"HS256"}'.encode("utf-16"), said, b"x" * 32),
    "two parts": lambda said: signed(said).rpartition(".")[0],
    "six parts": lambda said: signed(said) + ".a.b.c",
    "dots": lambda _: "..",
    "long": lambda said: signed(said) + "A" * 100_000,
    "not ASCII": lambda said: signed(said) + "é",
    "a refresh token": lambda _: new_refresh_token(),
}
WRONG_CLAIMS: dict[str, Forgery] = {
    "typ JWT": lambda said: signed(said, typ="JWT"),
    "no typ": lambda said: signed(said, typ=None),
    "typ of a refresh token": lambda said: signed(said, typ="rt+jwt"),
    "another audience": lambda said: signed({**said, "aud": "media"}),
    "an audience that is an object": lambda said: signed({**said, "aud": {"antiphon": True}}),
    "no audience": lambda said: signed(without(said, "aud")),
    "another issuer": lambda said: signed({**said, "iss": "https://accounts.example"}),
    "an issuer that is a list": lambda said: signed({**said, "iss": ["antiphon"]}),
    "no issuer": lambda said: signed(without(said, "iss")),
    "over": lambda said: signed({**said, "exp": past(CLOCK_SKEW + 1)}),
    "no end": lambda said: signed(without(said, "exp")),
    "an end that is text": lambda said: signed({**said, "exp": "never"}),
    "an end that is true": lambda said: signed({**said, "exp": True}),
    "an end beyond all calendars": lambda said: signed({**said, "exp": 10**30}),
    "not yet": lambda said: signed({**said, "nbf": past(-600)}),
    "issued in the future": lambda said: signed({**said, "iat": past(-600)}),
    "no user": lambda said: signed(without(said, "sub")),
    "a user that is no id": lambda said: signed({**said, "sub": "admin"}),
    "no session": lambda said: signed(without(said, "sid")),
    "a session that is a number": lambda said: signed({**said, "sid": 7}),
    "a session that is null": lambda said: signed({**said, "sid": None}),
}
FORGERIES = {**FORGED_SIGNATURE, **WRONG_CLAIMS}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_token_is_refused(forge: Forgery) -> None:
    with pytest.raises(TokenRefused):
        AccessTokens(KEY).read(forge(claims()), datetime.now(UTC))


def test_the_token_that_the_forgeries_start_from_is_believed() -> None:
    read = AccessTokens(KEY).read(signed(claims()), datetime.now(UTC))
    assert (read.user_id, read.session_id) == (USER, SESSION)


def test_a_token_says_who_and_until_when_and_nothing_else() -> None:
    token, expires_at = AccessTokens(KEY).issue(USER, SESSION, NOW)
    assert expires_at == (NOW + ACCESS_LIFE).replace(microsecond=0)
    read = AccessTokens(KEY).read(token, NOW)
    assert (read.user_id, read.session_id, read.expires_at) == (USER, SESSION, expires_at)
    said = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert set(said) == {"iss", "aud", "sub", "sid", "iat", "exp"}


def test_a_token_ends_with_its_time_but_for_the_skew_between_our_machines() -> None:
    token, expires_at = AccessTokens(KEY).issue(USER, SESSION, NOW)
    assert AccessTokens(KEY).read(token, expires_at + timedelta(seconds=CLOCK_SKEW - 1)).user_id == USER
    with pytest.raises(TokenRefused):
        AccessTokens(KEY).read(token, expires_at + timedelta(seconds=CLOCK_SKEW + 1))


def test_a_token_that_was_believed_ends_with_its_time_all_the_same() -> None:
    tokens = AccessTokens(KEY)
    token, expires_at = tokens.issue(USER, SESSION, NOW)
    for seconds in range(CLOCK_SKEW + 1):
        assert tokens.read(token, expires_at + timedelta(seconds=seconds)).user_id == USER
    for fresh in (tokens, AccessTokens(KEY)):
        with pytest.raises(TokenRefused):
            fresh.read(token, expires_at + timedelta(seconds=CLOCK_SKEW + 1))


def test_a_believed_token_lends_nothing_to_one_that_differs_in_a_letter() -> None:
    tokens = AccessTokens(KEY)
    token, _ = tokens.issue(USER, SESSION, NOW)
    assert tokens.read(token, NOW).user_id == USER
    for place in (0, token.index(".") + 5, len(token) - 10):
        letter = "A" if token[place] != "A" else "B"
        with pytest.raises(TokenRefused):
            tokens.read(token[:place] + letter + token[place + 1 :], NOW)


def test_the_tokens_used_last_are_the_ones_that_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.tokens.REMEMBERED_TOKENS", 2)
    tokens = AccessTokens(KEY)
    first, second, third = (tokens.issue(USER, uuid4(), NOW)[0] for _ in range(3))
    for token in (first, second, first, third):
        tokens.read(token, NOW)
    assert list(tokens._verified) == [first, third]


def test_a_token_of_another_installation_is_refused() -> None:
    theirs = AccessTokens(derive_key("another secret of forty characters......", "access-token"))
    with pytest.raises(TokenRefused):
        AccessTokens(KEY).read(theirs.issue(USER, SESSION, NOW)[0], NOW)


@given(st.text() | st.text(alphabet="abAB01-_.=", min_size=2).map(lambda text: text + ".."))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        AccessTokens(KEY).read(text, NOW)


def test_refresh_tokens_are_long_different_and_stored_as_digests() -> None:
    tokens = {new_refresh_token() for _ in range(100)}
    assert len(tokens) == len({refresh_hash(token) for token in tokens}) == 100
    assert min(map(len, tokens)) >= 43  # 256 bits


def test_keys_of_different_purposes_have_nothing_in_common() -> None:
    purposes = ["access-token", "media", "demo-password", ""]
    assert len({derive_key(SECRET, purpose) for purpose in purposes}) == len(purposes)
    assert {len(derive_key(SECRET, purpose)) for purpose in purposes} == {32}


async def own_claims(studio: Studio, by: Person) -> dict[str, Any]:
    """What a good token of this person says."""
    assert by.token
    read = AccessTokens(KEY).read(by.token, datetime.now(UTC))
    return claims(read.user_id, read.session_id)


async def test_forgeries_of_a_live_session_are_refused_over_http(studio: Studio) -> None:
    victim = await studio.register()
    said = await own_claims(studio, victim)
    assert (await studio.get(VIEWER, by=Person(signed(said))))["id"] == victim.user_id
    for name, forge in FORGERIES.items():
        header = f"Bearer {forge(said)}".encode()
        answer = await studio.http.post("/graphql", json={"query": VIEWER}, headers=[(b"authorization", header)])
        assert answer.status_code == 401, name
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", name
        assert "data" not in answer.json(), name


async def test_forgeries_of_a_live_session_are_refused_in_connection_init(studio: Studio) -> None:
    victim = await studio.register()
    said = await own_claims(studio, victim)
    async with studio.served() as address:
        for spelling in ("authorization", "Authorization"):
            assert await greeted(address, {spelling: f"Bearer {signed(said)}"}) == "connection_ack"
        for name, forge in FORGERIES.items():
            assert await greeted(address, {"authorization": f"Bearer {forge(said)}"}) == 4403, name
        assert await greeted(address, {"authorization": signed(said)}) == 4403
        assert await greeted(address, {"authorization": 7}) == 4400


async def greeted(address: str, payload: dict[str, Any]) -> str | int:
    """The answer to `connection_init`: the type of a message, or the code of the close."""
    async with connect(f"ws://{address}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]) as client:
        await client.send(json.dumps({"type": "connection_init", "payload": payload}))
        try:
            return str(json.loads(await client.recv())["type"])
        except ConnectionClosed:
            return client.close_code or 0


async def test_an_address_of_keys_in_a_token_is_never_called(studio: Studio) -> None:
    victim = await studio.register()
    said = await own_claims(studio, victim)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = "http://{}:{}/keys.json".format(*trap.getsockname())
        for header in ({"jku": url}, {"x5u": url}, {"kid": url}, {"jku": url, "alg": "RS256"}):
            forged = by_hand({"alg": "HS256", "typ": "at+jwt", **header}, said, b"x" * 32)
            body = await studio.ask(VIEWER, by=Person(forged))
            assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        with pytest.raises(BlockingIOError):
            trap.accept()


async def test_a_token_of_a_session_that_never_was_is_refused(studio: Studio) -> None:
    victim = await studio.register()
    said = {**await own_claims(studio, victim), "sid": str(uuid4())}
    body = await studio.ask(VIEWER, by=Person(signed(said)))
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_tokens_of_the_two_kinds_are_not_taken_for_each_other(studio: Studio) -> None:
    victim = await studio.register()
    body = await studio.ask(VIEWER, by=Person(victim.refresh_token))
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    asked = """mutation ($input: RefreshSessionInput!) {
      refreshSession(input: $input) { session { expiresAt } errors { code } } }"""
    payload = await studio.get(asked, {"input": {"refreshToken": victim.token}})
    assert payload == {"session": None, "errors": [{"code": "NOT_ALLOWED"}]}
    assert (await studio.get(VIEWER, by=victim))["id"] == victim.user_id


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(studio: Studio, scheme: str) -> None:
    known = await studio.register()
    headers = {"Authorization": f"{scheme} {known.token}"}
    answer = await studio.http.post("/graphql", json={"query": VIEWER}, headers=headers)
    assert answer.json()["data"]["viewer"]["id"] == known.user_id
