"""The synthesizer's sound, measured, and its provider, driven as a worker drives it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from core.pool import WorkPool
from domain.composition import Spec, compose
from domain.generations import FailureCode, GenerationKind, StemKind
from providers.music import CallbackRefused, MusicRequest, SourceAudio, SubmitFailed, Task, TaskPhase, TaskUpdate
from providers.synth import NoOutputOfOurs, Synth, sweep
from providers.synth_filters import band, process, room
from providers.synth_loudness import HOP, at_samples, block_powers, integrated, limiting, peaks, true_peak
from providers.synth_render import render
from providers.synth_tones import RATE

STEM_NAMES = ("drums", "bass", "chords", "lead")
Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Take:
    folder: Path

    def wave(self, name: str = "mix") -> Wave:
        """Frames × 2."""
        samples, rate = soundfile.read(self.folder / f"{name}.wav", always_2d=True)
        assert rate == RATE
        return np.asarray(samples, dtype=np.float64)

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


def spec_of(prompt: str, seconds: float, seed: int = 5) -> Spec:
    return Spec(GenerationKind.GENERATE, prompt, seed=seed, duration_seconds=seconds)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Take]:
    """Renders, each made once for all tests of this file."""
    scratch = tmp_path_factory.mktemp("takes")
    made: dict[tuple[str, float, int, int], Take] = {}

    def make(prompt: str, seconds: float = 8.0, variant: int = 0, seed: int = 5) -> Take:
        key = (prompt, seconds, variant, seed)
        if key not in made:
            folder = scratch / str(len(made))
            render(spec_of(prompt, seconds, seed).to_json(), variant, str(scratch / "working"), str(folder))
            made[key] = Take(folder)
        return made[key]

    return make


def spectrum(wave: Wave) -> tuple[Wave, Wave]:
    """Frequencies, and the mean power at each."""
    frames = wave.mean(axis=1)[: len(wave) // 4096 * 4096].reshape(-1, 4096) * np.hanning(4096)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)
    return np.asarray(np.fft.rfftfreq(4096, 1 / RATE), dtype=np.float64), np.asarray(power, dtype=np.float64)


def strokes(wave: Wave) -> float:
    """Onsets a second: how often the energy of 10 ms at least doubles over that of the 30 ms before, treble first."""
    sharp = np.diff(wave.mean(axis=1), append=0.0)
    energy = (sharp[: len(wave) // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1)
    before = np.convolve(energy, np.ones(3) / 3)[: len(energy) - 1]
    risen = (energy[1:] > 2.0 * before) & (energy[1:] > energy.max() / 1000)
    return float((risen[1:] & ~risen[:-1]).sum() / (len(wave) / RATE))


def oversampled_peak(wave: Wave) -> float:
    """The peak of the fourfold oversampled wave, by a transform of the whole: slow, and not the code under test."""
    bins = np.fft.rfft(wave, axis=0)
    return float(np.abs(np.fft.irfft(bins, 4 * len(wave), axis=0) * 4.0).max())


LOUD_STYLES = ("lofi", "dark techno", "ambient", "rock", "jazz", "solo piano", "trap", "folk", "synthwave")
LOUD_EXTREMES = ("drum and bass", "epic orchestral", "metal", "3/4 waltz", "rock, no drums, no bass")


@pytest.mark.parametrize("prompt", [*LOUD_STYLES, *LOUD_EXTREMES])
def test_every_style_is_as_loud_as_streaming_wants_and_never_clips(take: Callable[..., Take], prompt: str) -> None:
    wave = take(prompt).wave()
    assert pyloudnorm.Meter(RATE).integrated_loudness(wave) == pytest.approx(-14.0, abs=1.0)
    assert 20 * np.log10(oversampled_peak(wave)) <= -0.95


@pytest.mark.parametrize("seconds", [5.0, 5.5, 8.0, 61.3])
def test_a_track_lasts_as_long_as_was_asked_and_ends_in_silence(take: Callable[..., Take], seconds: float) -> None:
    wave = take("house", seconds).wave()
    assert len(wave) / RATE == pytest.approx(seconds, abs=0.001)
    assert np.abs(wave[-RATE // 100 :]).max() < 0.01
    assert np.abs(wave[: RATE // 2]).max() > 0.02


@pytest.mark.parametrize("prompt", ["lofi", "jazz", "rock"])
def test_the_stems_sum_to_the_mix(take: Callable[..., Take], prompt: str) -> None:
    made = take(prompt)
    together = sum(made.wave(name) for name in STEM_NAMES)
    assert np.abs(together - made.wave()).max() < 8 / 32768  # five roundings and ditherings
    assert all(np.abs(made.wave(name)).max() > 0.01 for name in STEM_NAMES)


def test_two_variants_are_really_two_takes(take: Callable[..., Take]) -> None:
    one, other = take("jazz", variant=0).wave("lead")[:, 0], take("jazz", variant=1).wave("lead")[:, 0]
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


def test_a_lofi_track_does_not_sound_like_a_techno_one(take: Callable[..., Take]) -> None:
    slow, fast = compose(spec_of("lofi", 8.0), 0), compose(spec_of("techno", 8.0), 0)
    assert fast.tempo > 1.4 * slow.tempo
    soft, hard = take("lofi").wave(), take("techno").wave()
    assert strokes(take("techno").wave("drums")) > 1.2 * strokes(take("lofi").wave("drums"))
    treble = []
    for wave in (soft, hard):
        hz, power = spectrum(wave)
        treble.append(power[hz > 9000].sum() / power[hz > 300].sum())
    assert treble[1] > 4 * treble[0]


@pytest.mark.parametrize(("mode", "third", "other"), [("major", 4, 3), ("minor", 3, 4)])
def test_major_and_minor_are_heard_in_the_chords(take: Callable[..., Take], mode: str, third: int, other: int) -> None:
    hz, power = spectrum(take(f"organ house in C {mode}", 12.0).wave("chords"))
    audible = (hz > 120) & (hz < 2000)
    classes = np.round(12 * np.log2(hz[audible] / 261.626)).astype(int) % 12
    strength = np.bincount(classes, weights=power[audible], minlength=12)
    assert strength[third] > 2 * strength[other]


def test_an_explicit_tempo_is_heard_in_the_kick(take: Callable[..., Take]) -> None:
    wave = take("techno 120 bpm, no bass", 12.0).wave("drums").mean(axis=1)
    energy = (wave[: len(wave) // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1)  # every 10 ms
    energy = energy - energy.mean()
    likeness = [float((energy[lag:] * energy[:-lag]).sum()) for lag in range(40, 61)]
    assert 40 + int(np.argmax(likeness)) == 50  # a beat of 0.5 s


def test_the_same_request_is_the_same_bytes_in_every_process(take: Callable[..., Take], tmp_path: Path) -> None:
    async def elsewhere() -> None:
        pool = WorkPool(1)
        try:
            spec = spec_of("lofi", 8.0).to_json()
            await pool.run(render, spec, 0, str(tmp_path / "working"), str(tmp_path / "done"))
        finally:
            await pool.aclose()

    asyncio.run(elsewhere())
    assert Take(tmp_path / "done").bytes() == take("lofi").bytes()


def test_another_seed_is_another_recording(take: Callable[..., Take]) -> None:
    assert take("lofi", seed=6).bytes()["mix.wav"] != take("lofi").bytes()["mix.wav"]


def test_the_cover_is_a_square_picture_of_many_colours(take: Callable[..., Take]) -> None:
    with Image.open(take("lofi").folder / "cover.webp") as image:
        assert (image.size, image.format) == ((1024, 1024), "WEBP")
        assert len(set(image.resize((64, 64)).get_flattened_data())) > 500
    assert take("lofi").bytes()["cover.webp"] != take("jazz").bytes()["cover.webp"]


@pytest.mark.parametrize("seconds", [1.0, 3.3, 7.0])
def test_our_loudness_is_that_of_an_independent_meter(seconds: float) -> None:
    dice = np.random.default_rng(1)
    brown = np.cumsum(dice.standard_normal((2, int(seconds * RATE))), axis=1)
    wave = (0.002 * (brown - brown.mean(axis=1, keepdims=True)) * np.linspace(0.02, 1.0, brown.shape[1])).astype("f4")
    expected = pyloudnorm.Meter(RATE).integrated_loudness(wave.T.astype("f8"))
    # pyloudnorm's high-pass lacks the standard's normalisation, which is worth 0.04 dB
    assert integrated(block_powers(wave)) == pytest.approx(expected, abs=0.1)


def test_silence_has_no_loudness() -> None:
    assert integrated(block_powers(np.zeros((2, RATE), dtype=np.float32))) == -np.inf


def test_nothing_slips_through_the_limiter() -> None:
    wave = np.random.default_rng(2).standard_normal((2, 3 * RATE)).astype("f4") ** 3
    curve = limiting(peaks(wave), 0.5)
    assert np.abs(wave * at_samples(curve, 0, wave.shape[1])).max() <= 0.5 + 1e-6
    assert curve.max() <= 1.0
    assert at_samples(curve, 5 * HOP, 9 * HOP) == pytest.approx(at_samples(curve, 0, 20 * HOP)[5 * HOP : 9 * HOP])


def test_the_true_peak_between_samples_is_found() -> None:
    phase = 2 * np.pi * np.arange(RATE) / 4 + np.pi / 4  # every sample at 0.707 of the wave's height
    wave = np.array([np.sin(phase)] * 2, dtype=np.float32)
    assert true_peak(wave, 0.5) == pytest.approx(1.0, abs=0.01)


def test_effects_in_blocks_are_one_long_convolution() -> None:
    dice = np.random.default_rng(3)
    wave = dice.standard_normal((2, 700_000)).astype("f4")
    direct, wet = band(100.0, 8000.0), room(0.3, 1)
    size = 1 << 20
    bins = np.fft.rfft(wave.astype("f8"), size)
    expected = np.fft.irfft(bins * np.fft.rfft(direct, size) + bins.mean(axis=0) * np.fft.rfft(wet, size), size)
    process(wave, direct, wet)
    assert np.abs(wave - expected[:, : wave.shape[1]]).max() < 1e-3


# The provider


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def pool(loop: asyncio.AbstractEventLoop) -> Iterator[WorkPool]:
    pool = WorkPool(1)
    yield pool
    loop.run_until_complete(pool.aclose())


Play = Callable[[Awaitable[object]], object]


def request(prompt: str = "lofi", reference: str = "a", **values: Any) -> MusicRequest:
    settings: dict[str, Any] = {"kind": GenerationKind.GENERATE, "duration_seconds": 5.0, "variants": 1, **values}
    return MusicRequest(prompt=prompt, reference=reference, **settings)


async def finish(synth: Synth, task: Task) -> TaskUpdate:
    while True:
        update = await synth.poll(task)
        if update.phase is not TaskPhase.RUNNING:
            return update


def source_of(task: Task, update: TaskUpdate, index: int = 0) -> SourceAudio:
    output = update.outputs[index]
    assert output.audio_url is not None
    assert output.duration_seconds is not None
    return SourceAudio(output.audio_url, output.duration_seconds, task, output.key)


def test_a_task_ends_with_two_takes_four_stems_and_a_cover(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        synth = Synth(pool, tmp_path, 2)
        task = await synth.submit(request(variants=2, title="Rain", lyrics="la la"))
        seen = []
        while (update := await synth.poll(task)).phase is TaskPhase.RUNNING:
            assert update.progress is not None
            seen.append(update.progress)
        assert update.phase is TaskPhase.SUCCEEDED
        assert seen == sorted(seen)
        assert all(0.0 <= progress < 1.0 for progress in seen)
        assert [output.index for output in update.outputs] == [0, 1]
        for output in update.outputs:
            assert (output.title, output.lyrics, output.duration_seconds) == ("Rain", "la la", 5.0)
            assert [stem.kind for stem in output.stems] == [StemKind(name.upper()) for name in STEM_NAMES]
            for url in (output.audio_url, output.lossless_url, output.cover_url, *(s.url for s in output.stems)):
                assert url is not None
                content = b"".join([chunk async for chunk in synth.open_output(url)])
                assert content[:4] == b"RIFF"  # WAV and WebP both
        await synth.discard(task)
        assert list(tmp_path.iterdir()) == []

    loop.run_until_complete(scene())


def test_a_worker_that_knows_nothing_finishes_the_task_to_the_same_bytes(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        first, second = Synth(pool, tmp_path / "one", 1), Synth(pool, tmp_path / "two", 1)
        task = await first.submit(request())
        done = await finish(first, task)
        stored = Task(task.id, dict(task.state))
        assert await finish(second, stored) == done
        assert Take(tmp_path / "one" / task.id / "0").bytes() == Take(tmp_path / "two" / task.id / "0").bytes()

    loop.run_until_complete(scene())


def test_submitting_twice_is_one_task_and_find_knows_it(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        synth = Synth(pool, tmp_path, 1)
        assert await synth.find(request()) == await synth.submit(request()) == await synth.submit(request())
        assert (await synth.submit(request(reference="b"))).id != (await synth.submit(request())).id
        assert await synth.find(request(reference="")) is None
        assert (await synth.submit(request(reference=""))).id != (await synth.submit(request(reference=""))).id
        await synth.aclose()

    loop.run_until_complete(scene())


def test_a_canceled_task_stops(loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path) -> None:
    async def scene() -> None:
        synth = Synth(pool, tmp_path, 2)
        task = await synth.submit(request(variants=4, duration_seconds=60.0))
        await asyncio.sleep(0.1)
        await synth.cancel(task)
        assert (await synth.poll(task)).phase is TaskPhase.CANCELED
        assert (await Synth(pool, tmp_path, 2).poll(task)).phase is TaskPhase.CANCELED
        await pool.run(abs, 1)  # the pool of one is free again: nothing of the task is left in it
        assert sorted(path.name for path in (tmp_path / task.id).iterdir()) == [".canceled"]

    loop.run_until_complete(scene())


@pytest.mark.parametrize(
    "url",
    [
        "synth://../../etc/passwd",
        "synth://" + "a" * 32 + "/0/../../x.wav",
        "synth://" + "a" * 32 + "/0/other.wav",
        "synth://" + "a" * 32 + "/0/mix.wav\n",
        "file:///etc/passwd",
        "https://example.org/mix.wav",
        "",
    ],
)
def test_a_url_of_somebody_else_is_refused(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path, url: str
) -> None:
    async def scene() -> None:
        with pytest.raises(NoOutputOfOurs):
            async for _ in Synth(pool, tmp_path, 1).open_output(url):
                pass

    loop.run_until_complete(scene())


def test_a_task_id_that_is_a_path_is_refused(loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path) -> None:
    async def scene() -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        with pytest.raises(NoOutputOfOurs):
            await Synth(pool, tmp_path / "scratch", 1).discard(Task("../outside"))
        assert outside.is_dir()

    loop.run_until_complete(scene())


def test_a_song_can_be_extended_covered_remixed_and_taken_apart(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        synth = Synth(pool, tmp_path, 1)
        song = await synth.submit(request("synthwave", "song", duration_seconds=12.0))
        source = source_of(song, await finish(synth, song))
        longer = await synth.submit(
            request("", "longer", kind=GenerationKind.EXTEND, source=source, continue_at_seconds=7.0)
        )
        extended = await finish(synth, longer)
        cover = await synth.submit(
            request(
                "jazz", "cover", kind=GenerationKind.COVER, source=source_of(longer, extended), duration_seconds=None
            )
        )
        covered = await finish(synth, cover)
        apart = await synth.submit(
            request("", "apart", kind=GenerationKind.STEMS, source=source_of(cover, covered), variants=2)
        )
        stems = await finish(synth, apart)
        _keeps_the_beginning(tmp_path / song.id, tmp_path / longer.id, extended.outputs[0].duration_seconds)
        assert len(stems.outputs) == 1
        assert stems.outputs[0].audio_url is None
        assert len(stems.outputs[0].stems) == 4
        assert Take(tmp_path / apart.id / "0").bytes() == Take(tmp_path / cover.id / "0").bytes()

    loop.run_until_complete(scene())


def _keeps_the_beginning(song: Path, longer: Path, seconds: float | None) -> None:
    """Up to the bar nearest 7 s the two sound alike; the mastering may differ by a little gain."""
    before, after = Take(song / "0").wave()[:, 0], Take(longer / "0").wave()[:, 0]
    assert seconds is not None
    kept = seconds - 5.0
    assert kept == pytest.approx(7.0, abs=1.5)
    until = int((kept - 0.1) * RATE)
    assert np.corrcoef(before[:until], after[:until])[0, 1] > 0.98


def test_what_cannot_be_made_is_refused_in_a_sentence(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def refusal(**values: Any) -> str:
        with pytest.raises(SubmitFailed) as refused:
            await Synth(pool, tmp_path, 2).submit(request(**values))
        assert refused.value.failure.code is FailureCode.BAD_REQUEST
        return refused.value.failure.message

    async def scene() -> None:
        foreign = SourceAudio("https://example.org/a.mp3", 30.0, Task("x", {"suno": 1}), "y")
        for kind in (GenerationKind.EXTEND, GenerationKind.COVER, GenerationKind.REMIX, GenerationKind.STEMS):
            assert "made itself" in await refusal(kind=kind, source=foreign)
            assert "made itself" in await refusal(kind=kind, source=None)
        broken = SourceAudio("synth://a", 30.0, Task("x", {"spec": {"kind": "?"}}), "y-0")
        assert "cannot read" in await refusal(kind=GenerationKind.COVER, source=broken)
        assert "between 5 and 480" in await refusal(duration_seconds=481.0)
        assert "variants" in await refusal(variants=9)
        whole = SourceAudio("synth://a", 470.0, Task("x", {"spec": spec_of("house", 470.0).to_json()}), "x-0")
        assert "480" in await refusal(kind=GenerationKind.EXTEND, source=whole, duration_seconds=60.0)

    loop.run_until_complete(scene())


def test_the_event_loop_runs_on_while_music_is_made(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        synth = Synth(pool, tmp_path, 1)
        await pool.run(abs, 1)
        began = last = time.monotonic()
        longest = 0.0
        job = asyncio.ensure_future(finish(synth, await synth.submit(request("jazz", duration_seconds=30.0))))
        while not job.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest < 0.5 * (last - began)

    loop.run_until_complete(scene())


def test_a_full_disk_is_an_error_that_a_later_poll_may_not_meet(
    loop: asyncio.AbstractEventLoop, pool: WorkPool, tmp_path: Path
) -> None:
    async def scene() -> None:
        blocked = tmp_path / "scratch"
        synth = Synth(pool, blocked, 1)
        task = await synth.submit(request())
        await synth.discard(task)
        blocked.write_text("not a folder")
        with pytest.raises(OSError):  # noqa: PT011 - whichever the file system gives
            await finish(synth, task)
        blocked.unlink()
        assert (await finish(synth, task)).phase is TaskPhase.SUCCEEDED

    loop.run_until_complete(scene())


def test_old_scratch_is_swept_and_strange_files_are_left(tmp_path: Path) -> None:
    for name in ("a" * 32, "b" * 32, "somebody-elses"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ("a" * 32), (1.0, 1.0))
    os.utime(tmp_path / "somebody-elses", (1.0, 1.0))
    sweep(tmp_path, time.time() - 3600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b" * 32, "somebody-elses"]


def test_nobody_calls_the_synthesizer_back(pool: WorkPool, tmp_path: Path) -> None:
    with pytest.raises(CallbackRefused):
        Synth(pool, tmp_path, 2).read_callback({}, b"{}")


def test_its_capabilities_say_that_it_does_not_sing(pool: WorkPool, tmp_path: Path) -> None:
    synth = Synth(pool, tmp_path, 3)
    assert "not sing" in synth.description
    assert not synth.capabilities.sings
    assert synth.capabilities.outputs == 3
    assert synth.capabilities.kinds == frozenset(GenerationKind)
