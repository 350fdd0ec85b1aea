"""What is true of a composed piece, before a single sample is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.composition import Spec, compose
from domain.composition_arrange import arrange
from domain.composition_drums import FILLS, PATTERNS, WALTZ
from domain.composition_form import extension, outline
from domain.composition_parts import BASS, COMP
from domain.composition_words import read
from domain.generations import GenerationKind
from domain.harmony import BRIGHT_MODES, MODES, Chord, Key, nearest, progression, root, tones, voice
from domain.styles import STYLES

PROMPTS = {
    "lofi": "lo-fi beats to study to",
    "techno": "dark techno",
    "house": "deep house",
    "ambient": "ambient soundscape",
    "rock": "indie rock",
    "jazz": "smoky jazz trio",
    "piano": "solo piano nocturne",
    "classical": "baroque chamber music",
    "cinematic": "epic film score",
    "trap": "trap banger",
    "hiphop": "boom bap hip hop",
    "folk": "acoustic folk song",
    "synthwave": "retrowave 80s drive",
    "dnb": "liquid drum and bass",
}


def generate(prompt: str, seed: int = 1, seconds: float | None = 30.0, tags: tuple[str, ...] = ()) -> Spec:
    return Spec(GenerationKind.GENERATE, prompt, tags=tags, seed=seed, duration_seconds=seconds)


def made_from(source: Spec, kind: GenerationKind, prompt: str = "", **values: Any) -> Spec:
    return replace(Spec(kind, prompt, source=source), **values)


@pytest.mark.parametrize(("style", "prompt"), PROMPTS.items())
def test_a_prompt_that_names_a_style_gets_it(style: str, prompt: str) -> None:
    piece = compose(generate(prompt), 0)
    assert piece.style.name == style
    assert STYLES[style].tempo[0] <= piece.tempo <= STYLES[style].tempo[1]


@pytest.mark.parametrize(
    ("prompt", "bpm"),
    [("techno 131 bpm", 131.0), ("lofi at 72.5bpm", 72.5), ("Tempo: 96, folk", 96.0), ("bpm 300 gabber", 240.0)],
)
def test_a_tempo_in_the_prompt_is_kept_to_the_beat(prompt: str, bpm: float) -> None:
    assert compose(generate(prompt), 0).tempo == bpm


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a ballad in D minor", "D minor"),
        ("F# major house", "F# major"),
        ("cis, no: c-sharp minor", "C# minor"),
        ("Walzer in B-flat major", "A# major"),
        ("something in e dorian", "E dorian"),
        ("Sonate in C-Dur", "C major"),
    ],
)
def test_a_key_in_the_prompt_is_the_key(prompt: str, name: str) -> None:
    assert compose(generate(prompt), 0).key.name == name


def test_a_minor_key_without_a_letter_leaves_the_tonic_open() -> None:
    brief = read("something in a minor key", (), None)
    assert (brief.tonic, brief.mode) == (None, "minor")


def test_a_waltz_has_three_beats() -> None:
    piece = compose(generate("a 3/4 waltz for violin"), 0)
    assert piece.meter == 3
    assert all(chord[0] % 3 == 0 for section in piece.sections for chord in section.chords)
    assert next(part for part in arrange(piece).parts if part.stem == "lead").instrument == "violin"


def test_named_instruments_play() -> None:
    parts = arrange(compose(generate("calm tune with rhodes, flute and upright bass"), 0)).parts
    assert {"rhodes", "flute", "upright"} <= {part.instrument for part in parts}


def test_refused_parts_are_silent() -> None:
    stems = {part.stem for part in arrange(compose(generate("rock without drums, no bass"), 0)).parts}
    assert stems == {"chords", "lead"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("noun", ["song", "pop", "rock", "piano"])
def test_happy_is_major_and_sad_is_minor(noun: str, seed: int) -> None:
    assert compose(generate(f"happy {noun}", seed), 0).key.mode in BRIGHT_MODES
    assert compose(generate(f"sad {noun}", seed), 0).key.mode not in BRIGHT_MODES


def test_an_energetic_take_is_faster_than_a_calm_one() -> None:
    fast = [compose(generate("energetic rock", seed, 60.0), 0).tempo for seed in range(5)]
    calm = [compose(generate("calm rock", seed, 60.0), 0).tempo for seed in range(5)]
    assert min(fast) > max(calm)


def test_tags_outweigh_the_prompt() -> None:
    assert compose(generate("a techno dream", tags=("jazz",)), 0).style.name == "jazz"


@pytest.mark.parametrize("prompt", ["", "xyzzy", "海の歌", "أغنية", "Πού πας;", "🙂" * 50])
def test_any_text_is_a_piece_and_the_same_one_each_time(prompt: str) -> None:
    assert compose(generate(prompt), 0) == compose(generate(prompt), 0)


def test_unknown_prompts_lead_to_many_styles() -> None:
    assert len({compose(generate(f"zq{n}"), 0).style.name for n in range(30)}) >= 4


def test_seed_and_words_both_matter() -> None:
    melodies = {compose(spec, 0).sections for spec in (generate("jazz", 1), generate("jazz", 2), generate("jazz x", 1))}
    assert len(melodies) == 3


@pytest.mark.parametrize("prompt", PROMPTS.values())
def test_variants_are_takes_of_one_idea(prompt: str) -> None:
    one, other = compose(generate(prompt), 0), compose(generate(prompt), 1)
    assert (one.tempo, one.key, one.meter, one.style.name) == (other.tempo, other.key, other.meter, other.style.name)
    assert [s.melody for s in one.sections] != [s.melody for s in other.sections]
    assert one.motifs != other.motifs


@pytest.mark.parametrize("style", STYLES)
def test_every_name_in_the_style_table_exists(style: str) -> None:
    row = STYLES[style]
    assert set(row.groove.patterns) <= set(PATTERNS)
    assert set(row.bass.patterns) <= set(BASS)
    assert set(row.comp.patterns) <= set(COMP)
    assert set(row.harmony.modes) <= set(MODES)
    assert all(progression(text) for text in (*row.harmony.bright, *row.harmony.dark))


def test_every_drum_pattern_is_one_bar() -> None:
    assert {len(bar) for voices in PATTERNS.values() for bar in voices.values()} == {16}
    assert {len(bar) for voices in WALTZ.values() for bar in voices.values()} == {12}
    assert {len(fill.split(":")[1]) for fills in FILLS.values() for fill in fills} == {4}


@given(bars=st.integers(1, 400))
def test_the_form_fills_its_bars(bars: int) -> None:
    for form in (outline(bars), extension(bars)):
        assert sum(length for _, length, _ in form) == bars
        assert all(length > 0 for _, length, _ in form)


def test_a_long_form_has_beginning_contrast_and_end() -> None:
    roles = [role for role, _, _ in outline(32)]
    assert roles[0] == "intro"
    assert roles[-1] == "outro"
    assert {"A", "B"} <= set(roles)


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(5.0, 120.0),
    prompt=st.sampled_from([*PROMPTS.values(), "40 bpm drone", "waltz", "240 bpm chiptune"]),
    seed=st.integers(0, 2**31),
)
def test_every_note_lies_within_the_asked_time(seconds: float, prompt: str, seed: int) -> None:
    score = arrange(compose(generate(prompt, seed, seconds), 0))
    notes = [note for part in score.parts for note in part.notes]
    assert score.duration_seconds == seconds
    assert all(0.0 <= note.start < seconds for note in notes)
    assert all(0.0 < note.velocity <= 1.0 and note.length > 0.0 for note in notes)
    assert {"bass", "chords", "lead"} <= {part.stem for part in score.parts if part.notes}


def test_eight_minutes_are_composed_like_thirty_seconds() -> None:
    score = arrange(compose(generate("house", seconds=480.0), 0))
    assert score.duration_seconds == 480.0
    assert 3.0 >= 480.0 - score.bars * 4 * 60.0 / score.tempo >= 1.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tonic", range(12))
def test_chords_move_by_small_steps(tonic: int, mode: str) -> None:
    key = Key(tonic, mode)
    chords = progression("1 6 4 5 2 3 1")
    voicing: tuple[int, ...] = ()
    for chord in chords:
        following = voice(tones(chord, key, "triad"), voicing, 53, 74)
        if voicing:
            moves = [min(abs(a - b) for b in voicing) for a in following]
            assert max(moves) <= 4
        voicing = following


def test_a_forced_dominant_has_its_leading_note() -> None:
    assert tones(Chord(4, 0, "7"), Key(9, "minor"), "seventh") == (4, 8, 11, 2)  # E G# B D in A minor


def test_a_flat_seventh_is_a_tone_below_the_tonic_in_every_mode() -> None:
    assert {root(Chord(6, -1), Key(0, mode)) for mode in MODES} == {10}


def test_nearest_finds_the_closest_pitch_of_a_chord() -> None:
    assert nearest((0, 4, 7), 65) == 64


@pytest.mark.parametrize("prompt", PROMPTS.values())
def test_melodies_repeat_their_motifs(prompt: str) -> None:
    piece = compose(generate(prompt, seconds=60.0), 0)
    verse = next(section for section in piece.sections if section.role == "A")
    bars: dict[int, list[tuple[float, float]]] = {}
    for tone in verse.melody:
        bars.setdefault(int(tone.start // piece.meter), []).append((tone.start % piece.meter, tone.length))
    rhythms = [tuple(bar) for bar in bars.values()]
    assert len(set(rhythms)) < len(rhythms)


def test_melodies_lean_on_chord_tones() -> None:
    leaned = []
    for seed in range(5):
        piece = compose(generate("pop", seed, 60.0), 0)
        for section in piece.sections:
            for tone in section.melody:
                chord = next(c for start, length, c in section.chords if start <= tone.start < start + length)
                if tone.start % piece.meter == 0:
                    leaned.append(tone.pitch % 12 in tones(chord, piece.key, piece.style.harmony.color))
    assert sum(leaned) / len(leaned) > 0.8


def test_a_spec_survives_json_with_all_its_sources() -> None:
    spec = generate("lofi", tags=("calm",))
    for kind in (GenerationKind.EXTEND, GenerationKind.COVER, GenerationKind.REMIX, GenerationKind.STEMS):
        spec = made_from(spec, kind, "techno", source_variant=1, strength=0.3)
    assert Spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("at", [3.0, 11.7, 18.0, None])
def test_an_extension_keeps_its_beginning_note_for_note(at: float | None) -> None:
    source = generate("synthwave", seconds=24.0)
    before, after = compose(source, 0), compose(made_from(source, GenerationKind.EXTEND, continue_at_seconds=at), 0)
    kept = round((at if at is not None else before.bars * before.bar_seconds) / before.bar_seconds)
    seconds = kept * before.bar_seconds
    assert after.duration_seconds == pytest.approx(seconds + 30.0)
    assert (after.tempo, after.key, after.style) == (before.tempo, before.key, before.style)
    for one, other in zip(arrange(before).parts, arrange(after).parts, strict=True):
        early = [(n.start, n.pitch, n.velocity, n.voice) for n in one.notes if n.start < seconds - 0.1]
        assert early == [(n.start, n.pitch, n.velocity, n.voice) for n in other.notes if n.start < seconds - 0.1]


def test_an_extension_brings_new_sections_on_known_motifs() -> None:
    source = generate("synthwave", seconds=24.0)
    before, after = compose(source, 0), compose(made_from(source, GenerationKind.EXTEND), 0)
    assert len(after.sections) > len(before.sections)
    assert after.motifs[:3] == before.motifs[:3]
    assert compose(made_from(source, GenerationKind.EXTEND), 1).sections != after.sections


def test_a_cover_keeps_the_song_and_changes_the_style() -> None:
    source = generate("folk ballad", seconds=30.0)
    song, cover = compose(source, 1), compose(made_from(source, GenerationKind.COVER, "techno", source_variant=1), 0)
    assert cover.style.name == "techno"
    assert cover.key == song.key
    assert [s.melody for s in cover.sections] == [s.melody for s in song.sections]
    assert [s.chords for s in cover.sections] == [s.chords for s in song.sections]
    assert cover.tempo != song.tempo


def test_a_cover_of_unspoken_style_is_in_another_one() -> None:
    source = generate("jazz")
    assert all(
        compose(made_from(source, GenerationKind.COVER, seed=seed), 0).style.name != "jazz" for seed in range(10)
    )


def test_a_remix_goes_as_far_as_its_strength() -> None:
    source = generate("folk ballad")
    song = compose(source, 0)
    mild, half, full = (
        compose(made_from(source, GenerationKind.REMIX, "techno", strength=s), 0) for s in (0.0, 0.5, 1.0)
    )
    assert (mild.style, mild.tempo) == (song.style, song.tempo)
    assert half.style.groove.kit == "909"
    assert half.style.lead == song.style.lead
    assert full.style.lead != song.style.lead
    assert song.tempo < half.tempo < full.tempo
    assert all(remix.motifs == song.motifs and remix.key == song.key for remix in (mild, half, full))


def test_stems_are_those_of_the_named_variant() -> None:
    source = generate("jazz")
    assert compose(made_from(source, GenerationKind.STEMS, source_variant=1), 0) == compose(source, 1)


def test_chains_of_every_kind_compose() -> None:
    spec = generate("lofi", seconds=12.0)
    for kind, prompt in [
        (GenerationKind.EXTEND, ""),
        (GenerationKind.COVER, "jazz waltz"),
        (GenerationKind.EXTEND, ""),
        (GenerationKind.REMIX, "dnb"),
        (GenerationKind.COVER, "ambient"),
    ]:
        spec = made_from(spec, kind, prompt, source_variant=1, strength=0.7)
    piece = compose(spec, 1)
    score = arrange(piece)
    assert piece.style.name == "ambient"
    assert score.duration_seconds > 60.0
    assert all(note.start < score.duration_seconds for part in score.parts for note in part.notes)


def test_a_cover_of_an_asked_length_has_it() -> None:
    source = generate("folk", seconds=20.0)
    for seconds in (7.0, 20.0, 95.5):
        piece = compose(made_from(source, GenerationKind.COVER, "house", duration_seconds=seconds), 0)
        assert piece.duration_seconds == seconds
        assert 0.8 <= seconds - piece.bars * piece.bar_seconds < 6.0
