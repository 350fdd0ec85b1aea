from __future__ import annotations

import pytest

from domain.media import content_key, is_key, sniff

SHA256 = "ab" * 32
FTYP = b"\x00\x00\x00\x20ftyp"


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x44\x00", "audio/mpeg"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"OggS" + bytes(24) + b"OpusHead", "audio/ogg"),
        (b"OggS" + bytes(25) + b"\x01vorbis", "audio/ogg"),
        (FTYP + b"M4A \x00\x00\x00\x00", "audio/mp4"),
        (FTYP + b"isom\x00\x00\x02\x00", "video/mp4"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_kept_types_are_known_by_their_first_bytes(head, content_type):
    assert sniff(head) == content_type


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"<!doctype html><title>404</title>",
        b'{"error": "expired"}',
        b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
        b"\xff\xf1\x50\x80",  # AAC in ADTS, not MP3
        b"\xff\xfe<\x00h\x00t\x00m\x00l\x00",  # UTF-16 text
        b"\xff\xfb\xf0\x00",  # a bitrate that does not exist
        b"\x1f\x8b\x08\x00",  # gzip
        b"OggS" + bytes(24) + b"\x80theora",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        FTYP + b"qt  ",
        b"MZ\x90\x00",
    ],
)
def test_anything_else_is_no_media(head):
    assert sniff(head) is None


def test_a_key_is_the_hash_and_the_extension():
    assert content_key(SHA256, "audio/mpeg") == f"{SHA256}.mp3"


@pytest.mark.parametrize(
    ("sha256", "content_type"), [("AB" * 32, "audio/mpeg"), ("ab", "audio/mpeg"), (SHA256, "image/svg+xml")]
)
def test_no_key_is_made_from_anything_else(sha256, content_type):
    with pytest.raises(ValueError, match=r"key is made|kept types"):
        content_key(sha256, content_type)


@pytest.mark.parametrize(
    "text",
    ["", SHA256, f"{SHA256}.svg", f"{SHA256}.mp3\n", f"../{SHA256}.mp3", f"{SHA256.upper()}.mp3", "a/b.mp3"],
)
def test_only_the_exact_form_is_a_key(text):
    assert is_key(f"{SHA256}.mp3")
    assert not is_key(text)
