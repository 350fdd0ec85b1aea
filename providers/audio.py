"""Facts, peaks and MP3s of audio files that strangers made. Plain functions: run them in a process pool.

A decoder that meets a hostile file may eat a core or die; in a pool that costs one task, not the worker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
from numpy.typing import NDArray
from tinytag import TinyTag

from domain.media import SNIFFED_BYTES, sniff
from domain.waveforms import FULL_SCALE, STORED_POINTS

# 65,536 frames of 8 channels in float32 are 2 MiB: all the memory that one file needs, however long it is.
BLOCK_FRAMES = 65_536
MAX_CHANNELS = 8
# Three hours are a long concert; they decode in about 8 s. What claims or unpacks to more is not a track.
MAX_DURATION_SECONDS = 3 * 3600
# An MP3 without a length in its header is estimated up to 0.07 s too long; a real cut is longer than this.
CUT_TOLERANCE_SECONDS = 0.25
# What libsndfile decodes; AAC in MP4 has no free decoder here, so its facts come from the container alone.
DECODED = frozenset({"audio/mpeg", "audio/wav", "audio/flac", "audio/ogg"})
# libsndfile maps its level 0–1 linearly onto 320–32 kbps (MPEG-1), and onto 160–8 for the lower sample rates.
_MP3_RANGES = {48_000: (320, 32), 44_100: (320, 32), 32_000: (320, 32)}
_MP3_LOW_RANGES = {24_000: (160, 8), 22_050: (160, 8), 16_000: (160, 8)}
# Streaming encoders that do not know the size in advance write these into a WAV's header.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_OGG_MAX_PAGE = 65_307
_OGG_LAST_PAGE = 0x04

Samples = NDArray[np.float32]


class NotPlayable(Exception):
    """The file is not audio that the product can keep. The text is a sentence for the log and the user."""


@dataclass(frozen=True)
class AudioFacts:
    """What a file is. `duration_ms` counts decoded frames wherever we can decode: what a listener hears."""

    content_type: str
    duration_ms: int
    sample_rate: int  # Hz
    channels: int


def examine(path: Path) -> AudioFacts:
    """Decode the file once, end to end. Raises `NotPlayable` for what is empty, cut, damaged or no audio."""
    content_type = _content_type(path)
    if content_type in DECODED:
        return _examine_decoded(path, content_type)
    if content_type in ("audio/mp4", "video/mp4"):
        return _examine_container(path, content_type)
    raise NotPlayable("The file is not audio.")


def peaks(path: Path, points: int = STORED_POINTS) -> bytes | None:
    """`points` peaks over all channels, a byte each (`domain.waveforms`); fewer when frames are fewer.

    None for audio that has no decoder here (AAC). Raises `NotPlayable` for a damaged file.
    """
    if _content_type(path) not in DECODED:
        return None
    with _opened(path) as sound:
        frames = sound.frames
        points = min(points, frames)
        loudest = np.zeros(points, dtype=np.float32)
        position = 0
        for block in _blocks(sound):
            loud = np.abs(block[: frames - position])
            if not len(loud):
                break
            first, last = position * points // frames, (position + len(loud) - 1) * points // frames
            # A point begins at the first frame f with f * points // frames == point.
            starts = [-(-point * frames // points) - position for point in range(first, last + 1)]
            starts[0] = 0
            shares = np.fmax.reduce(np.fmax.reduceat(loud, starts), axis=1)  # fmax passes over what is no number
            loudest[first : last + 1] = np.fmax(loudest[first : last + 1], shares)
            position += len(loud)
    return np.rint(np.clip(loudest, 0, 1) * FULL_SCALE).astype(np.uint8).tobytes()


def encode_mp3(source: Path, target: Path, *, kbps: int = 128) -> None:
    """Write `source` as an MP3 of constant `kbps`. Raises `NotPlayable` for what an MP3 cannot hold.

    The encoder's delay (25 ms) is noted in the file's first frame: decoders that read it, libsndfile and
    browsers among them, play exactly the source's length; others play up to 50 ms of silence more.
    """
    with _opened(source) as sound:
        rate, channels = sound.samplerate, sound.channels
        span = _MP3_RANGES.get(rate) or _MP3_LOW_RANGES.get(rate)
        if span is None or channels > 2:
            raise NotPlayable(f"An MP3 holds one or two channels up to 48 kHz, not {channels} at {rate} Hz.")
        highest, lowest = span
        with soundfile.SoundFile(
            target,
            "w",
            samplerate=rate,
            channels=channels,
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=(highest - min(max(kbps, lowest), highest)) / (highest - lowest),
            bitrate_mode="CONSTANT",
        ) as mp3:
            for block in _blocks(sound):
                mp3.write(np.clip(np.nan_to_num(block), -1, 1))


def encode_flac(source: Path, target: Path) -> None:
    """Write `source` as FLAC, without loss up to 24 bits: about half of a WAV's size. Raises `NotPlayable`."""
    with _opened(source) as sound:
        subtype = "PCM_16" if sound.subtype in ("PCM_16", "PCM_U8", "PCM_S8") else "PCM_24"
        with soundfile.SoundFile(
            target, "w", samplerate=sound.samplerate, channels=sound.channels, format="FLAC", subtype=subtype
        ) as flac:
            for block in _blocks(sound):
                flac.write(np.clip(np.nan_to_num(block), -1, 1))


def _content_type(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
    if not head:
        raise NotPlayable("The file is empty.")
    return sniff(head)


def _examine_decoded(path: Path, content_type: str) -> AudioFacts:
    with _opened(path) as sound:
        rate, channels, promised = sound.samplerate, sound.channels, sound.frames
        frames = sum(len(block) for block in _blocks(sound))
    if frames == 0:
        raise NotPlayable("The file has no sound in it.")
    if (promised - frames) / rate > CUT_TOLERANCE_SECONDS or _cut_short(path, content_type):
        raise NotPlayable(f"The file is cut short or damaged after {frames / rate:.1f} s.")
    return AudioFacts(content_type, round(frames * 1000 / rate), rate, channels)


def _examine_container(path: Path, content_type: str) -> AudioFacts:
    if _mp4_cut_short(path):
        raise NotPlayable("The file is cut short.")
    try:
        tag = TinyTag.get(path, tags=False)
    except Exception as error:  # a parser on a stranger's bytes: whatever it raises, the file is to blame
        raise NotPlayable("The file's container cannot be read.") from error
    if not tag.duration or not tag.samplerate or not tag.channels:
        raise NotPlayable("The file has no sound in it.")
    if tag.duration > MAX_DURATION_SECONDS:
        raise NotPlayable(f"The file is longer than {MAX_DURATION_SECONDS // 3600} hours.")
    return AudioFacts(content_type, round(tag.duration * 1000), tag.samplerate, tag.channels)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(path) as sound:
            if sound.channels > MAX_CHANNELS:
                raise NotPlayable(f"The file has {sound.channels} channels, more than {MAX_CHANNELS}.")
            yield sound
    except soundfile.SoundFileError as error:
        raise NotPlayable("The file cannot be decoded.") from error


def _blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    """All frames as float32 of shape (n, channels); raises `NotPlayable` past `MAX_DURATION_SECONDS`."""
    left = MAX_DURATION_SECONDS * sound.samplerate
    while len(block := cast("Samples", sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True))):
        left -= len(block)
        if left < 0:
            raise NotPlayable(f"The file is longer than {MAX_DURATION_SECONDS // 3600} hours.")
        yield block


def _cut_short(path: Path, content_type: str) -> bool:
    """Whether the end is missing in a way that libsndfile forgives."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if content_type == "audio/wav":
            riff = file.read(8)
            promised = int.from_bytes(riff[4:], "little")
            known = riff.startswith(b"RIFF") and promised not in _UNKNOWN_SIZES
            return known and promised + len(riff) > size
        if content_type == "audio/ogg":
            file.seek(max(0, size - _OGG_MAX_PAGE))
            page = file.read().rpartition(b"OggS")[2]
            return len(page) < 2 or not page[1] & _OGG_LAST_PAGE
    return False


def _mp4_cut_short(path: Path) -> bool:
    """Walk the outermost boxes: each must end within the file, and one of them must describe the tracks."""
    size = path.stat().st_size
    position, names = 0, set[bytes]()
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(16).ljust(16, b"\0")
            length, name = struct.unpack(">I4s", header[:8])
            if length == 1:  # a 64-bit length follows
                length = int.from_bytes(header[8:], "big")
            elif length == 0:  # up to the end of the file
                length = size - position
            if length < 8:
                return True
            names.add(name)
            position += length
    return position != size or not {b"moov", b"mdat"} <= names
