"""Copying a provider's outputs into our own storage: fetch, sniff, hash, probe, encode, store. Twice is once.

Files are stored under their hash before any row names them; a run that is killed in between leaves a file without a
row, which is never served and is swept away later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.generations import StemKind
from domain.media import content_key
from jobs.context import WorkerContext
from models.media import MediaPurpose
from providers.fetch import save
from providers.music import Output, StemOutput
from providers.preparing import Prepared, deliverable, drawn, look_at, packed

# Eight minutes of 16-bit stereo WAV are 85 MB, and twice that in 24 bits at 48 kHz with room to spare.
MAX_AUDIO_BYTES = 256 * 1024 * 1024
MAX_IMAGE_BYTES = 20 * 1024 * 1024
# A slow vendor CDN gives some 2 Mbit/s: MAX_AUDIO_BYTES would take 17 min, a real 8-minute MP3 half a minute.
FETCH_SECONDS = 300.0
LOSSLESS = ("audio/wav", "audio/flac")

Open = Callable[[str], AsyncIterator[bytes]]


@dataclass(frozen=True)
class Kept:
    """A file in our storage, as its row will describe it."""

    key: str
    purpose: MediaPurpose
    content_type: str
    size_bytes: int
    sha256: str
    duration_ms: int | None = None
    peaks: bytes | None = None


@dataclass(frozen=True)
class Take:
    """One output, stored whole: what a version is made from. `variant` counts from 1."""

    variant: int
    output_key: str
    audio: Kept | None  # None when only stems were asked for
    lossless: Kept | None
    stems: tuple[tuple[StemKind, Kept], ...]
    cover: Kept | None
    lyrics: str | None


async def keep_output(worker: WorkerContext, open_url: Open, output: Output, *, folder: Path, with_cover: bool) -> Take:
    """Store everything that belongs to one output. Raises `OutputNotSaved`, `NotPlayable`, `StorageUnavailable`."""
    (audio, lossless), cover, stems = await together(
        _keep_audio(worker, open_url, output, folder),
        _keep_cover(worker, open_url, output.cover_url if with_cover else None, folder),
        together(*(_keep_stem(worker, open_url, stem, folder) for stem in output.stems)),
    )
    return Take(output.index + 1, output.key, audio, lossless, tuple(stems), cover, output.lyrics)


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results, in order; when one fails, the others are stopped before its error goes on: no stragglers."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_audio(
    worker: WorkerContext, open_url: Open, output: Output, folder: Path
) -> tuple[Kept | None, Kept | None]:
    """The delivery file and, where there is one, the lossless master. What comes compressed is delivered as it is."""
    if output.audio_url is None:
        return None, None
    source = folder / "audio"
    if await _fetch(open_url, output.audio_url, source, "audio/", MAX_AUDIO_BYTES) in LOSSLESS:
        encoded, found = await worker.pool.run(deliverable, source, folder / "audio.mp3")
        return await _store(worker, encoded, MediaPurpose.AUDIO), await _store(worker, found, MediaPurpose.LOSSLESS)
    found = await worker.pool.run(look_at, source)
    return await _store(worker, found, MediaPurpose.AUDIO), await _keep_master(worker, open_url, output, folder)


async def _keep_master(worker: WorkerContext, open_url: Open, output: Output, folder: Path) -> Kept | None:
    if output.lossless_url is None:
        return None
    await _fetch(open_url, output.lossless_url, folder / "master", "audio/", MAX_AUDIO_BYTES)
    return await _store(worker, await worker.pool.run(look_at, folder / "master"), MediaPurpose.LOSSLESS)


async def _keep_stem(worker: WorkerContext, open_url: Open, stem: StemOutput, folder: Path) -> tuple[StemKind, Kept]:
    """A stem, without loss: as FLAC when it comes as WAV, which saves about half."""
    source = folder / f"stem-{stem.kind.value.lower()}"
    saved = await _fetch(open_url, stem.url, source, "audio/", MAX_AUDIO_BYTES)
    if saved == "audio/wav":
        found = await worker.pool.run(packed, source, source.with_suffix(".flac"))
    else:
        found = await worker.pool.run(look_at, source)
    return stem.kind, await _store(worker, found, MediaPurpose.STEM)


async def _keep_cover(worker: WorkerContext, open_url: Open, url: str | None, folder: Path) -> Kept | None:
    if url is None:
        return None
    await _fetch(open_url, url, folder / "cover", "image/", MAX_IMAGE_BYTES)
    size, sha256 = await worker.pool.run(drawn, folder / "cover", folder / "cover.webp")
    key = content_key(sha256, "image/webp")
    await worker.storage.put_file(folder / "cover.webp", key, "image/webp")
    return Kept(key, MediaPurpose.COVER, "image/webp", size, sha256)


async def _fetch(open_url: Open, url: str, target: Path, accept: str, max_bytes: int) -> str:
    saved = await save(open_url(url), target, max_bytes=max_bytes, timeout_seconds=FETCH_SECONDS, accept=accept)
    return saved.content_type


async def _store(worker: WorkerContext, found: Prepared, purpose: MediaPurpose) -> Kept:
    key = content_key(found.sha256, found.facts.content_type)
    await worker.storage.put_file(found.path, key, found.facts.content_type)
    return Kept(key, purpose, found.facts.content_type, found.size, found.sha256, found.facts.duration_ms, found.peaks)
