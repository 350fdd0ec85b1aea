from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile
from PIL import Image

from providers.audio import AudioFacts, NotPlayable, encode_mp3, examine, peaks
from providers.images import NotAnImage, to_webp

RATE = 44_100
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
TYPES = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg"}


def tone(seconds: float, *, channels: int = 2, rate: int = RATE) -> np.ndarray:
    moments = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(7).standard_normal((len(moments), channels)) * 0.02
    return (0.5 * np.sin(2 * np.pi * 220 * moments)[:, None] + noise).astype(np.float32)


def write(path, samples, *, rate=RATE):
    kind, subtype = FORMATS[path.suffix[1:]]
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path


def boxes(*, brand: bytes = b"M4A ", seconds: int = 3) -> bytes:
    """A small MP4: its header, the description of one stereo AAC track, and media bytes."""

    def box(name: bytes, *inner: bytes) -> bytes:
        body = b"".join(inner)
        return struct.pack(">I4s", len(body) + 8, name) + body

    mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000) + bytes(80))
    esds = box(b"esds", bytes(4), b"\x03\x16\0\0\0", b"\x04\x0d\x40\x15", bytes(11), b"\x06\x01\x02")
    entry = bytes(6) + struct.pack(">HQHHHHI", 1, 0, 2, 16, 0, 0, RATE << 16)
    mp4a = box(b"mp4a", entry, esds)
    stsd = box(b"stsd", struct.pack(">II", 0, 1), mp4a)
    mdhd = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, RATE, seconds * RATE, 0))
    moov = box(b"moov", mvhd, box(b"trak", box(b"mdia", mdhd, box(b"minf", box(b"stbl", stsd)))))
    return box(b"ftyp", brand, bytes(4)) + moov + box(b"mdat", bytes(5000))


@pytest.mark.parametrize("extension", FORMATS)
def test_facts_are_true_for_each_decoded_format(tmp_path, extension):
    path = write(tmp_path / f"tone.{extension}", tone(2.5))
    assert examine(path) == AudioFacts(TYPES[extension], 2500, RATE, 2)


def test_an_m4a_has_facts_but_no_peaks(tmp_path):
    path = tmp_path / "song.part"
    path.write_bytes(boxes())
    assert examine(path) == AudioFacts("audio/mp4", 3000, RATE, 2)
    assert peaks(path) is None


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_truncated_file_is_not_playable(tmp_path, extension, kept):
    path = write(tmp_path / f"tone.{extension}", tone(10))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(NotPlayable, match=r"cut short|cannot be decoded"):
        examine(path)


def test_a_truncated_m4a_is_not_playable(tmp_path):
    path = tmp_path / "song.m4a"
    path.write_bytes(boxes()[:-1000])
    with pytest.raises(NotPlayable, match="cut short"):
        examine(path)


def test_an_mp3_damaged_in_the_middle_is_not_playable(tmp_path):
    path = write(tmp_path / "tone.mp3", tone(10))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    path.write_bytes(data)
    with pytest.raises(NotPlayable, match=r"cut short|cannot be decoded"):
        examine(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"<html>gone</html>", "not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not audio"),
        (b"ID3\x04" + bytes(4000), "cannot be decoded"),
        (b"RIFF\xff\xff\xff\x7fWAVEfmt " + bytes(60), "cannot be decoded"),
        (b"fLaC" + b"\xff" * 200, "cannot be decoded"),
        (b"\x00\x00\x00\x10ftypM4A \x00\x00\x00\x00", "cut short"),
    ],
)
def test_what_only_pretends_to_be_audio_is_not_playable(tmp_path, content, sentence):
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(NotPlayable, match=sentence):
        examine(path)


def test_a_file_without_a_frame_is_not_playable(tmp_path):
    with pytest.raises(NotPlayable, match="no sound"):
        examine(write(tmp_path / "none.wav", np.zeros((0, 2), np.float32)))


def test_a_small_file_of_endless_silence_is_not_playable(tmp_path):
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC", subtype="PCM_16") as bomb:
        for _ in range(190):
            bomb.write(np.zeros(60 * 8000, np.int16))
    assert path.stat().st_size < 2_000_000
    with pytest.raises(NotPlayable, match="longer than 3 hours"):
        examine(path)


def test_peaks_follow_the_loudness(tmp_path):
    quiet_then_loud = np.concatenate([np.full((RATE, 2), 0.1), np.full((RATE, 2), -0.8)]).astype(np.float32)
    found = peaks(write(tmp_path / "step.wav", quiet_then_loud), points=10)
    assert found == bytes([25] * 5 + [204] * 5)


@pytest.mark.parametrize("frames", [3, 999, 1000, 65_537, 150_001])
def test_peaks_equal_those_of_the_whole_file_at_once(tmp_path, frames):
    samples = np.random.default_rng(frames).uniform(-1, 1, (frames, 2)).astype(np.float32)
    path = write(tmp_path / "noise.wav", samples)
    loud = np.abs(soundfile.read(path, dtype="float32")[0]).max(axis=1)
    points = min(1000, frames)
    share = np.arange(frames) * points // frames
    wanted = [round(float(min(loud[share == point].max(), 1)) * 255) for point in range(points)]
    assert peaks(path) == bytes(wanted)


def test_peaks_survive_samples_that_are_no_numbers(tmp_path):
    samples = np.full((1000, 1), np.nan, np.float32)
    samples[500:] = 4.0
    soundfile.write(tmp_path / "odd.wav", samples, RATE, subtype="FLOAT")
    assert peaks(tmp_path / "odd.wav", points=2) == bytes([0, 255])


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (32_000, 2), (22_050, 1)])
def test_an_mp3_has_128_kbps_and_the_length_of_its_source(tmp_path, rate, channels):
    source = write(tmp_path / "source.wav", tone(6, channels=channels, rate=rate), rate=rate)
    target = tmp_path / "target.mp3"
    encode_mp3(source, target)
    facts = examine(target)
    assert facts == AudioFacts("audio/mpeg", 6000, rate, channels)
    assert target.stat().st_size * 8 / facts.duration_ms == pytest.approx(128, rel=0.03)


def test_an_mp3_sounds_like_its_source_and_starts_with_it(tmp_path):
    source = write(tmp_path / "source.wav", tone(3))
    encode_mp3(source, tmp_path / "target.mp3")
    heard = np.stack([soundfile.read(path)[0][:, 0] for path in (source, tmp_path / "target.mp3")])
    assert np.corrcoef(heard).min() > 0.99


def test_an_mp3_that_cannot_be_is_refused(tmp_path):
    for name, samples, rate in (("wide.wav", tone(0.1, channels=6), RATE), ("fast.wav", tone(0.1), 96_000)):
        source = write(tmp_path / name, samples, rate=rate)
        with pytest.raises(NotPlayable, match="up to 48 kHz"):
            encode_mp3(source, tmp_path / "target.mp3")


def test_a_cover_becomes_a_small_webp_without_its_secrets(tmp_path):
    source, target = tmp_path / "cover.jpg", tmp_path / "cover.webp"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90°
    exif[0x013B] = "the artist's name"
    Image.new("RGB", (1600, 800), (200, 30, 60)).save(source, exif=exif)
    assert to_webp(source, target, 512) == (256, 512)
    with Image.open(target) as cover:
        assert (cover.format, cover.size, len(cover.getexif())) == ("WEBP", (256, 512), 0)
    assert b"artist" not in target.read_bytes()


def test_a_transparent_cover_stays_transparent(tmp_path):
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "cover.png")
    assert to_webp(tmp_path / "cover.png", tmp_path / "cover.webp", 512) == (40, 40)
    with Image.open(tmp_path / "cover.webp") as cover:
        assert cover.getchannel("A").getextrema() == (0, 0)


def test_pictures_that_are_none_are_refused(tmp_path):
    png = tmp_path / "cover.png"
    Image.effect_noise((200, 200), 90).save(png)
    whole = png.read_bytes()
    bomb = bytearray(whole)
    bomb[16:24] = struct.pack(">II", 7000, 7000)
    huge = bytearray(whole)
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    for content in (
        b"",
        b"<svg/>",
        whole[: len(whole) // 2],
        bytes(bomb),
        bytes(huge),
        b"GIF89a" + bytes(50),
    ):
        png.write_bytes(content)
        with pytest.raises(NotAnImage):
            to_webp(png, tmp_path / "cover.webp", 512)
    assert not (tmp_path / "cover.webp").exists()
