"""What is done to a file before it is stored: looked at, encoded, hashed. Plain functions for the process pool.

They stand here, and not beside the jobs, so that a pool process imports audio and nothing else: 23 MiB instead of 70.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from providers.audio import AudioFacts, encode_flac, encode_mp3, examine, peaks
from providers.images import to_webp

COVER_PIXELS = 1024


@dataclass(frozen=True)
class Prepared:
    """A file ready to be stored. `size` in bytes, `sha256` in hex, `peaks` where a waveform is wanted."""

    path: Path
    size: int
    sha256: str
    facts: AudioFacts
    peaks: bytes | None = None


def look_at(path: Path) -> Prepared:
    """An audio file as it is. Raises `NotPlayable`."""
    return Prepared(path, *_hashed(path), examine(path), peaks(path))


def deliverable(source: Path, target: Path) -> tuple[Prepared, Prepared]:
    """The delivery format of a lossless file, MP3 at 128 kbps, and the lossless file itself. Raises `NotPlayable`."""
    lossless = look_at(source)
    _need_room(source)
    encode_mp3(source, target)
    delivered = Prepared(target, *_hashed(target), examine(target), lossless.peaks)
    return delivered, replace(lossless, peaks=None)


def packed(source: Path, target: Path) -> Prepared:
    """The same samples as FLAC. What is true of the one is true of the other, but for the type."""
    facts = examine(source)
    _need_room(source)
    encode_flac(source, target)
    return Prepared(target, *_hashed(target), replace(facts, content_type="audio/flac"))


def drawn(source: Path, target: Path) -> tuple[int, str]:
    """A cover as WebP without metadata; its size and hash. Raises `NotAnImage`."""
    to_webp(source, target, COVER_PIXELS)
    return _hashed(target)


def _need_room(source: Path) -> None:
    """Raises ENOSPC unless a file as large as `source` fits beside it: the encoder would tell of a damaged file."""
    if shutil.disk_usage(source.parent).free < source.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source.parent))


def _hashed(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
