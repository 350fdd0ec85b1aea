"""What Replicate's models take: meta/musicgen by its published input schema, others whatever they are given."""

from __future__ import annotations

from typing import Any

MUSICGEN = "meta/musicgen"
MUSICGEN_VERSION = "671ac645ce5e552cc63a54a2bbff63fcf798043055d2dac5fc9e36a837eedcfb"
VERSIONS = {MUSICGEN_VERSION: MUSICGEN}

CHOICES = {
    "model_version": {"stereo-melody-large", "stereo-large", "melody-large", "large"},
    "normalization_strategy": {"loudness", "clip", "peak", "rms"},
    "output_format": {"wav", "mp3"},
}
INTEGERS = {"duration", "continuation_start", "continuation_end", "top_k", "classifier_free_guidance", "seed"}
NUMBERS = {"top_p", "temperature"}
BOOLEANS = {"continuation", "multi_band_diffusion"}
TEXTS = {"prompt", "input_audio"}
AT_LEAST_ZERO = {"continuation_start", "continuation_end"}

COMPLAINTS = {
    "nothing": "Must provide either `prompt` or `input_audio`.",
    "continuation": "Must provide `input_audio` if `continuation` is `True`.",
    "melody": "Model does not support melody conditioning, choose one of the melody models.",
    "deadline": "Prediction was aborted: the deadline was reached before it started.",
}


def invalid_fields(version: str, input: dict[str, Any]) -> list[tuple[str, str]]:
    """What the schema refuses before anything is accepted, as (field, complaint). Unknown fields pass, as there."""
    if version != MUSICGEN_VERSION:
        return []
    found = ((f"input.{name}", complaint(name, value)) for name, value in input.items() if value is not None)
    return [(name, text) for name, text in found if text]


def complaint(name: str, value: Any) -> str | None:
    if name in CHOICES and value not in CHOICES[name]:
        return f"Must be one of {sorted(CHOICES[name])}"
    if name in INTEGERS and (not isinstance(value, int) or isinstance(value, bool)):
        return f"Invalid type. Expected: integer, given: {type(value).__name__}"
    if name in NUMBERS and not isinstance(value, int | float):
        return f"Invalid type. Expected: number, given: {type(value).__name__}"
    if name in BOOLEANS and not isinstance(value, bool):
        return f"Invalid type. Expected: boolean, given: {type(value).__name__}"
    if name in TEXTS and not isinstance(value, str):
        return f"Invalid type. Expected: string, given: {type(value).__name__}"
    if name in AT_LEAST_ZERO and value < 0:
        return "Must be greater than or equal to 0"
    return None


def logical_error(model: str, input: dict[str, Any]) -> str | None:
    """What the model itself raises: the prediction was accepted, and fails."""
    if model != MUSICGEN:
        return None
    if not input.get("prompt") and not input.get("input_audio"):
        return COMPLAINTS["nothing"]
    if input.get("continuation") and not input.get("input_audio"):
        return COMPLAINTS["continuation"]
    melody = "melody" in input.get("model_version", "stereo-melody-large")
    if input.get("input_audio") and not input.get("continuation") and not melody:
        return COMPLAINTS["melody"]
    return None
