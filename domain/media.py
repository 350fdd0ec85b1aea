"""What is true of a media object without a store: its type, by its first bytes; its key; its row's facts."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Everything the product keeps and serves. SVG and HTML are missing on purpose: they can carry scripts.
EXTENSIONS = {
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "video/mp4": "mp4",
}

# `sniff` decides by these first bytes; an Ogg page with its codec's name is the longest thing it looks for.
SNIFFED_BYTES = 512

_KEY = re.compile(rf"[0-9a-f]{{64}}\.(?:{'|'.join(EXTENSIONS.values())})", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAGIC = (
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)
_RIFF_FORMS = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_OGG_CODECS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC")
_AUDIO_BRANDS = (b"M4A ", b"M4B ")
_VIDEO_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ")


@dataclass(frozen=True)
class MediaRecord:
    """What the row says of a stored object: all that is needed to serve it."""

    key: str
    content_type: str
    size_bytes: int


def content_key(sha256: str, content_type: str) -> str:
    """The public key of the object with this hash: `<sha256 in hex>.<extension>`, one path segment.

    Raises `ValueError` for anything that is no SHA-256 or no type that the product keeps.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a key is made from 64 lower-case hexadecimal digits")
    if content_type not in EXTENSIONS:
        raise ValueError(f"{content_type!r} is not among the kept types: {', '.join(EXTENSIONS)}")
    return f"{sha256}.{EXTENSIONS[content_type]}"


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key of ours; everything else never reaches the store."""
    return _KEY.fullmatch(text) is not None


def sniff(head: bytes) -> str | None:
    """The content type that the first `SNIFFED_BYTES` show; None for what is not kept (HTML, JSON, SVG).

    Names and headers are not asked: a vendor's error page, too, arrives as `song.mp3`, `audio/mpeg`.
    """
    for magic, content_type in _MAGIC:
        if head.startswith(magic):
            return content_type
    if head.startswith((b"RIFF", b"RF64")):
        return _RIFF_FORMS.get(head[8:12])
    if head.startswith(b"OggS"):
        return "audio/ogg" if any(codec in head[:SNIFFED_BYTES] for codec in _OGG_CODECS) else None
    if head[4:8] == b"ftyp":
        return _mp4_type(head[8:12])
    return "audio/mpeg" if _starts_mp3_frame(head) else None


def _mp4_type(brand: bytes) -> str | None:
    if brand in _AUDIO_BRANDS:
        return "audio/mp4"
    return "video/mp4" if brand in _VIDEO_BRANDS else None


def _starts_mp3_frame(head: bytes) -> bool:
    """An MPEG audio frame header of layer III with a legal bitrate and sample rate (ADTS AAC has layer 0)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and sample_rate != 3
