"""Where media are kept, read from `STORAGE_URL`: a folder, or a bucket that speaks S3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

FORMS = "file:///folder or s3://bucket/prefix?endpoint=https://…&region=…"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*", re.ASCII)


@dataclass(frozen=True)
class Folder:
    """A folder on this machine, absolute."""

    path: str


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3-compatible service; None means what the standard AWS variables or AWS itself say."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None


def parse_storage_url(text: str) -> Folder | Bucket:
    """Read a `STORAGE_URL`. Raises `ValueError` whose text continues the variable's name ("must be …")."""
    parts = urlsplit(text)
    if parts.scheme == "file":
        return _folder(parts)
    if parts.scheme == "s3":
        return _bucket(parts)
    raise ValueError(f"must be {FORMS}")


def _folder(parts: SplitResult) -> Folder:
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost"):
        raise ValueError("needs three slashes before the folder, as in file:///srv/antiphon/media")
    if parts.query or parts.fragment:
        raise ValueError("must name a folder only; write ? as %3F and # as %23")
    if not PurePosixPath(path).is_absolute() or path == "/" or "\0" in path:
        raise ValueError("must name an absolute folder, as in file:///srv/antiphon/media")
    return Folder(path)


def _bucket(parts: SplitResult) -> Bucket:
    prefix = unquote(parts.path).strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(
            "must name a bucket of 3 to 63 lower-case letters, digits, dots and dashes after s3://; "
            "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if prefix and (not _PREFIX.fullmatch(prefix) or ".." in prefix):
        raise ValueError("must have a prefix of letters, digits, dots, dashes and single slashes")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - {"endpoint", "region"})
    if unknown or parts.fragment:
        raise ValueError(f"must have no other options than endpoint and region: {FORMS}")
    return Bucket(parts.netloc, prefix, _endpoint(options.get("endpoint")), options.get("region") or None)


def _endpoint(text: str | None) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise ValueError(f"needs an endpoint like https://s3.example or http://127.0.0.1:9000, not {text!r}")
    return text.rstrip("/")
