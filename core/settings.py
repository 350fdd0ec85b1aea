"""Every setting, read once from the environment. Nothing else in the product reads it.

`read_settings` reports all that is malformed or missing at once, before anything starts. Secrets do not print.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from domain.addresses import FetchAllow, parse_fetch_allow
from domain.providers import ProviderName
from domain.storage import parse_storage_url

T = TypeVar("T")

ENVIRONMENTS = ("development", "production")

# A name, an IPv4 or an IPv6 address; whether this machine has it, listening tells.
HOST = re.compile(r"[A-Za-z0-9_.:%-]+")


class SettingsRefused(Exception):
    """The environment does not fit; `problems` has one sentence for each variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems) if len(problems) == 1 else "\n  " + "\n  ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Vendors:
    """Keys and addresses of the vendors' services. A vendor without a key is not offered."""

    suno_base_url: str
    replicate_base_url: str
    fal_queue_url: str
    fal_jwks_url: str
    suno_api_key: str | None = field(repr=False)
    replicate_api_token: str | None = field(repr=False)
    replicate_webhook_secret: str | None = field(repr=False)
    fal_key: str | None = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """What the environment says. A URL that is None means: the embedded engine, or the folder in `data_dir`."""

    env: str
    host: str
    port: int
    data_dir: Path
    public_url: str
    default_provider: str
    variants: int
    compiled_reads: bool
    cors_origins: tuple[str, ...] | None  # None: any localhost origin (development)
    fetch_allow: FetchAllow
    vendors: Vendors
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    storage_url: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def media_store(self) -> str:
        return self.storage_url or (self.data_dir / "media").as_uri()

    @property
    def runs_worker(self) -> bool:
        """Whether the server starts a worker: always but in production on engines that others can reach."""
        return self.embeds_engines or not self.production

    @property
    def embeds_engines(self) -> bool:
        return self.database_url is None or self.redis_url is None


class _Reader:
    """Casts variables and keeps the complaints, so that all are told at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def read(self, name: str, cast: Callable[[str], T], default: T) -> T:
        text = self.environ.get(name, "").strip()
        if not text:
            return default
        try:
            return cast(text)
        except ValueError as problem:
            self.problems.append(f"{name} {problem}")
            return default


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` holds. Raises `SettingsRefused` with every problem in it."""
    reader = _Reader(environ)
    env = reader.read("ANTIPHON_ENV", _one_of(ENVIRONMENTS), "development")
    host = reader.read("ANTIPHON_HOST", _host, "127.0.0.1")
    port = reader.read("ANTIPHON_PORT", _whole(0, 65535), 8000)
    no_origins: tuple[str, ...] | None = () if env == "production" else None
    settings = Settings(
        env=env,
        host=host,
        port=port,
        data_dir=reader.read("ANTIPHON_DATA_DIR", _folder, Path(".antiphon")).absolute(),
        public_url=reader.read("PUBLIC_URL", _base_url, f"http://{_bracketed(host)}:{port}"),
        default_provider=reader.read("DEFAULT_PROVIDER", _one_of(tuple(ProviderName)), "synth"),
        variants=reader.read("ANTIPHON_VARIANTS", _whole(1, 8), 2),
        compiled_reads=reader.read("ANTIPHON_COMPILED_READS", _switch, True),
        cors_origins=reader.read("ANTIPHON_CORS_ORIGINS", _origins, no_origins),
        fetch_allow=reader.read("ANTIPHON_FETCH_ALLOW", parse_fetch_allow, parse_fetch_allow("")),
        vendors=_vendors(reader),
        database_url=reader.read("DATABASE_URL", _database_url, None),
        redis_url=reader.read("REDIS_URL", _url("redis", "rediss"), None),
        storage_url=reader.read("STORAGE_URL", _storage_url, None),
        secret_key=reader.read("ANTIPHON_SECRET_KEY", _secret, None),
    )
    if settings.production and settings.secret_key is None and not _named(reader.problems, "ANTIPHON_SECRET_KEY"):
        reader.problems.append(
            "ANTIPHON_SECRET_KEY is required in production: set it to at least 32 random characters, "
            "for example the output of `openssl rand -base64 48`"
        )
    if reader.problems:
        raise SettingsRefused(reader.problems)
    return settings


def _vendors(reader: _Reader) -> Vendors:
    return Vendors(
        suno_base_url=reader.read("SUNO_BASE_URL", _base_url, "https://api.sunoapi.org"),
        replicate_base_url=reader.read("REPLICATE_BASE_URL", _base_url, "https://api.replicate.com"),
        fal_queue_url=reader.read("FAL_QUEUE_URL", _base_url, "https://queue.fal.run"),
        fal_jwks_url=reader.read("FAL_JWKS_URL", _base_url, "https://rest.fal.ai/.well-known/jwks.json"),
        suno_api_key=reader.read("SUNO_API_KEY", _key, None),
        replicate_api_token=reader.read("REPLICATE_API_TOKEN", _key, None),
        replicate_webhook_secret=reader.read("REPLICATE_WEBHOOK_SECRET", _key, None),
        fal_key=reader.read("FAL_KEY", _key, None),
    )


def _named(problems: list[str], name: str) -> bool:
    return any(problem.startswith(name) for problem in problems)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def cast(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text.lower()

    return cast


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("must be `on` or `off`")
    return text == "on"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def cast(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return cast


def _host(text: str) -> str:
    if not HOST.fullmatch(text):
        raise ValueError(f"must be a host name or an address without port or brackets, not {text!r}")
    return text


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"must be a folder; {text!r} begins with ~ and names nobody who has a home here") from None


def _key(text: str) -> str:
    # It goes into a header, and is never quoted in a message.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of printable ASCII; copy it again from the vendor's page")
    return text


def _url(*schemes: str) -> Callable[[str], str]:
    """What is wrong is told without the text, since it may hold a password."""
    like = " or ".join(f"{scheme}://host" for scheme in schemes)

    def cast(text: str) -> str:
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            raise ValueError(f"has a host or port that does not fit: must be a URL like {like}:1234") from None
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be a URL like {like}")
        return text.rstrip("/")

    return cast


def _base_url(text: str) -> str:
    """A web address that paths are added to."""
    url = _url("http", "https")(text)
    if "?" in url or "#" in url or "@" in urlsplit(url).netloc:
        raise ValueError("must be a URL without user, query and fragment")
    return url


def _database_url(text: str) -> str:
    """libpq's form: the host may stand in the query (a socket's folder), and there may be several."""
    scheme, _, rest = text.partition("://")
    if scheme in ("postgresql", "postgres") and (rest.startswith("/") or "," in rest.partition("/")[0]):
        return text
    return _url("postgresql", "postgres", "postgresql+asyncpg")(text)


def _storage_url(text: str) -> str:
    parse_storage_url(text)
    return text


def _secret(text: str) -> str:
    # 32 characters of base64 hold 192 bits; shorter keys are words that people type.
    # Repeated words and placeholders have few different characters; of 32 random hex digits 8 or more are different.
    if len(text) < 32 or len(set(text)) < 8:
        raise ValueError("must have at least 32 random characters, such as `openssl rand -base64 48` prints")
    return text


def _origins(text: str) -> tuple[str, ...]:
    # In lower case, as browsers send them.
    origins = tuple(part.strip().rstrip("/").lower() for part in text.split(",") if part.strip())
    for origin in origins:
        try:
            fits = urlsplit(_base_url(origin)).path == ""
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"must list origins like https://studio.example, not {origin!r}")
    return origins
