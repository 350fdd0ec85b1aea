"""The environment: every variable's default, what is accepted, what is refused, and that all is told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import SettingsRefused, read_settings

KEY = "0123456789abcdef0123456789abcdef"

DEFAULTS = {
    "env": "development",
    "host": "127.0.0.1",
    "port": 8000,
    "data_dir": Path.cwd() / ".antiphon",
    "public_url": "http://127.0.0.1:8000",
    "default_provider": "synth",
    "variants": 2,
    "compiled_reads": True,
    "cors_origins": None,
    "database_url": None,
    "redis_url": None,
    "storage_url": None,
    "secret_key": None,
}

VENDOR_DEFAULTS = {
    "suno_api_key": None,
    "suno_base_url": "https://api.sunoapi.org",
    "replicate_api_token": None,
    "replicate_base_url": "https://api.replicate.com",
    "replicate_webhook_secret": None,
    "fal_key": None,
    "fal_queue_url": "https://queue.fal.run",
    "fal_jwks_url": "https://rest.fal.ai/.well-known/jwks.json",
}

ACCEPTED = [
    ("ANTIPHON_ENV", "Development", "env", "development"),
    ("ANTIPHON_HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("ANTIPHON_HOST", "::1", "host", "::1"),
    ("ANTIPHON_HOST", "studio.local", "host", "studio.local"),
    ("ANTIPHON_PORT", "0", "port", 0),
    ("ANTIPHON_PORT", " 65535 ", "port", 65535),
    ("ANTIPHON_DATA_DIR", "/srv/antiphon", "data_dir", Path("/srv/antiphon")),
    ("ANTIPHON_DATA_DIR", "~/music", "data_dir", Path.home() / "music"),
    ("ANTIPHON_DATA_DIR", "music", "data_dir", Path.cwd() / "music"),
    ("ANTIPHON_SECRET_KEY", KEY, "secret_key", KEY),
    ("PUBLIC_URL", "https://studio.example/api/", "public_url", "https://studio.example/api"),
    ("DATABASE_URL", "postgresql://u:p@db:5432/a?sslmode=require", "database_url", None),
    ("DATABASE_URL", "postgres://db/a", "database_url", None),
    ("DATABASE_URL", "postgresql+asyncpg://u@db/a", "database_url", None),
    ("DATABASE_URL", "postgresql:///a?host=/var/run/postgresql", "database_url", None),
    ("DATABASE_URL", "postgresql://u@one:5432,two:5433/a", "database_url", None),
    ("REDIS_URL", "redis://:secret@cache:6379/0", "redis_url", None),
    ("REDIS_URL", "rediss://cache:6380", "redis_url", None),
    ("STORAGE_URL", "file:///srv/media", "storage_url", None),
    ("STORAGE_URL", "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-1", "storage_url", None),
    ("DEFAULT_PROVIDER", "SUNO", "default_provider", "suno"),
    ("ANTIPHON_VARIANTS", "1", "variants", 1),
    ("ANTIPHON_COMPILED_READS", "off", "compiled_reads", False),
    (
        "ANTIPHON_CORS_ORIGINS",
        "https://A.example, http://b:3000/",
        "cors_origins",
        ("https://a.example", "http://b:3000"),
    ),
    ("SUNO_API_KEY", "sk-1", "suno_api_key", "sk-1"),
    ("SUNO_BASE_URL", "http://127.0.0.1:9/", "suno_base_url", "http://127.0.0.1:9"),
    ("REPLICATE_API_TOKEN", "r8_x", "replicate_api_token", "r8_x"),
    ("REPLICATE_BASE_URL", "https://r.example", "replicate_base_url", "https://r.example"),
    ("REPLICATE_WEBHOOK_SECRET", "whsec_a/b+c=", "replicate_webhook_secret", "whsec_a/b+c="),
    ("FAL_KEY", "id:secret", "fal_key", "id:secret"),
    ("FAL_QUEUE_URL", "https://q.example", "fal_queue_url", "https://q.example"),
    ("FAL_JWKS_URL", "https://j.example/keys.json", "fal_jwks_url", "https://j.example/keys.json"),
]

REFUSED = [
    ("ANTIPHON_ENV", "staging"),
    ("ANTIPHON_HOST", "http://localhost"),
    ("ANTIPHON_HOST", "two words"),
    ("ANTIPHON_PORT", "65536"),
    ("ANTIPHON_PORT", "-1"),
    ("ANTIPHON_PORT", "٨٠"),
    ("ANTIPHON_PORT", "80.0"),
    ("ANTIPHON_DATA_DIR", "~nobody-of-this-name/data"),
    ("ANTIPHON_SECRET_KEY", "too short"),
    ("PUBLIC_URL", "studio.example"),
    ("PUBLIC_URL", "ftp://studio.example"),
    ("PUBLIC_URL", "http://:8000"),
    ("PUBLIC_URL", "http://[::1"),
    ("PUBLIC_URL", "https://studio.example?x=1"),
    ("DATABASE_URL", "mysql://db/a"),
    ("DATABASE_URL", "postgresql:db"),
    ("DATABASE_URL", "postgresql://u:hunter2@db:99999/a"),
    ("REDIS_URL", "http://cache"),
    ("REDIS_URL", "redis://:hunter2@cache:port"),
    ("STORAGE_URL", "/srv/media"),
    ("STORAGE_URL", "s3://"),
    ("DEFAULT_PROVIDER", "udio"),
    ("ANTIPHON_FETCH_ALLOW", "http://internal"),
    ("ANTIPHON_CORS_ORIGINS", "*"),
    ("ANTIPHON_CORS_ORIGINS", "https://a.example/path"),
    ("ANTIPHON_CORS_ORIGINS", "https://a.example:99999"),
    ("ANTIPHON_VARIANTS", "0"),
    ("ANTIPHON_COMPILED_READS", "false"),
    ("ANTIPHON_VARIANTS", "two"),
    ("SUNO_API_KEY", "hunter2 hunter2"),
    ("SUNO_BASE_URL", "api.sunoapi.org"),
    ("REPLICATE_API_TOKEN", "hunter2\u2026"),
    ("REPLICATE_BASE_URL", "//api"),
    ("REPLICATE_WEBHOOK_SECRET", "hunter2\thunter2"),
    ("FAL_KEY", "hunter2\u00a0x"),
    ("FAL_QUEUE_URL", "https://"),
    ("FAL_JWKS_URL", "jwks.json"),
]


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        read_settings(environ)
    return refused.value.problems


def told_of(environ: dict[str, str]) -> list[str]:
    try:
        read_settings(environ)
    except SettingsRefused as refused:
        return refused.problems
    return []


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read_settings({})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert {name: getattr(settings.vendors, name) for name in VENDOR_DEFAULTS} == VENDOR_DEFAULTS
    assert settings.media_store == (Path.cwd() / ".antiphon" / "media").as_uri()
    assert settings.fetch_allow == read_settings({"ANTIPHON_FETCH_ALLOW": ""}).fetch_allow


def test_a_blank_variable_is_as_good_as_none() -> None:
    assert read_settings({name: "  " for name, _ in REFUSED}) == read_settings({})


@pytest.mark.parametrize(("name", "text", "attribute", "value"), ACCEPTED)
def test_what_fits_is_taken(name: str, text: str, attribute: str, value: Any) -> None:
    settings = read_settings({name: text})
    holder = settings.vendors if hasattr(settings.vendors, attribute) else settings
    assert getattr(holder, attribute) == (text if value is None else value)


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_what_does_not_fit_is_told_in_one_sentence_that_begins_with_the_name(name: str, text: str) -> None:
    (told,) = problems({name: text})
    assert re.match(rf"{name} (must|has|needs) ", told)
    assert "hunter2" not in told


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = dict(REFUSED)
    assert {told.split()[0] for told in problems(wrong)} == set(wrong)


def test_production_asks_for_a_secret_key_beside_everything_else_that_is_wrong() -> None:
    told = problems({"ANTIPHON_ENV": "production", "ANTIPHON_PORT": "x"})
    assert [line.split()[0] for line in told] == ["ANTIPHON_PORT", "ANTIPHON_SECRET_KEY"]


def test_a_short_secret_key_is_told_once_in_production() -> None:
    assert len(problems({"ANTIPHON_ENV": "production", "ANTIPHON_SECRET_KEY": "short"})) == 1


def test_production_lets_no_foreign_page_call_unless_it_is_named() -> None:
    production = {"ANTIPHON_ENV": "production", "ANTIPHON_SECRET_KEY": KEY}
    assert read_settings(production).cors_origins == ()
    named = read_settings({**production, "ANTIPHON_CORS_ORIGINS": "https://a.example"})
    assert named.cors_origins == ("https://a.example",)


def test_the_public_url_follows_host_and_port_and_brackets_ipv6() -> None:
    assert read_settings({"ANTIPHON_HOST": "::1", "ANTIPHON_PORT": "9000"}).public_url == "http://[::1]:9000"


@pytest.mark.parametrize("key", ["a" * 40, "changeme" * 5])
def test_a_key_that_is_no_secret_is_refused(key: str) -> None:
    with pytest.raises(SettingsRefused, match="ANTIPHON_SECRET_KEY must have"):
        read_settings({"ANTIPHON_ENV": "production", "ANTIPHON_SECRET_KEY": key})


def test_secrets_do_not_print() -> None:
    secret = {
        "ANTIPHON_SECRET_KEY": "hunter2 and other words that nobody guesses",
        "DATABASE_URL": "postgresql://u:hunter2@db/a",
        "REDIS_URL": "redis://:hunter2@cache",
        "STORAGE_URL": "s3://hunter2-bucket",
        "SUNO_API_KEY": "hunter2",
        "REPLICATE_API_TOKEN": "hunter2",
        "REPLICATE_WEBHOOK_SECRET": "hunter2",
        "FAL_KEY": "hunter2",
    }
    settings = read_settings(secret)
    assert "hunter2" not in f"{settings!r} {settings} {settings.vendors!r}"


def test_engines_are_embedded_unless_both_are_named() -> None:
    database, redis = {"DATABASE_URL": "postgresql://db/a"}, {"REDIS_URL": "redis://cache"}
    assert read_settings({}).embeds_engines
    assert read_settings(database).embeds_engines
    assert read_settings(redis).embeds_engines
    assert not read_settings({**database, **redis}).embeds_engines


@given(st.dictionaries(st.sampled_from(sorted({name for name, _ in REFUSED})), st.text(max_size=60)))
def test_whatever_the_environment_holds_is_read_or_refused(environ: dict[str, str]) -> None:
    assert {told.split()[0] for told in told_of(environ)} <= {*environ, "ANTIPHON_SECRET_KEY"}
