"""What fal's models need and give. The queue takes any body: what is missing shows in the result, as 422."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEYS = {"audio": "audio/wav", "image": "image/png", "video": "video/mp4"}
STEMS = ("vocals", "drums", "bass", "other", "guitar", "piano")


@dataclass(frozen=True)
class FalModel:
    """`outputs`: the files by role, as (where in the answer, kind). A list's files share its role."""

    needs: tuple[str, ...] = ("prompt",)
    field: str = "audio"
    kind: str = "audio"
    echoes: tuple[str, ...] = ()  # inputs that the answer repeats


MODELS = {
    "CassetteAI/music-generator": FalModel(("prompt", "duration"), "audio_file"),
    "cassetteai/sound-effects-generator": FalModel(("prompt", "duration"), "audio_file"),
    "fal-ai/stable-audio": FalModel(field="audio_file"),
    "fal-ai/stable-audio-25/text-to-audio": FalModel(echoes=("seed",)),
    "fal-ai/minimax-music": FalModel(("prompt", "reference_audio_url")),
    "fal-ai/minimax-music/v1.5": FalModel(("prompt", "lyrics_prompt")),
    "fal-ai/minimax-music/v2": FalModel(("prompt", "lyrics_prompt")),
    "fal-ai/minimax-music/v2.5": FalModel(),
    "fal-ai/minimax-music/v2.6": FalModel(),
    "fal-ai/lyria2": FalModel(),
    "fal-ai/ace-step": FalModel(("tags",), echoes=("seed", "tags", "lyrics")),
    "fal-ai/ace-step/prompt-to-audio": FalModel(echoes=("seed", "tags", "lyrics")),
    "fal-ai/elevenlabs/music": FalModel(()),
    "fal-ai/demucs": FalModel(("audio_url",), "stems"),
    "fal-ai/minimax/video-01": FalModel(field="video", kind="video"),
    "fal-ai/minimax/video-01/image-to-video": FalModel(("prompt", "image_url"), "video", "video"),
    "fal-ai/minimax/hailuo-02/standard/image-to-video": FalModel(("prompt", "image_url"), "video", "video"),
    "fal-ai/kling-video/v2.5-turbo/pro/image-to-video": FalModel(("prompt", "image_url"), "video", "video"),
    "fal-ai/flux/dev": FalModel(field="images", kind="image"),
    "fal-ai/flux/schnell": FalModel(field="images", kind="image"),
    "fal-ai/mmaudio-v2": FalModel(("video_url", "prompt"), "video", "video"),
    "fal-ai/wizper": FalModel(("audio_url",), "text"),
}
# Durations of these are words, "5" or "10"; numbers are refused.
WORDED_DURATIONS = ("fal-ai/kling-video/", "fal-ai/minimax/hailuo-02/")

Keep = Callable[[str, str], dict[str, Any]]  # (role, media type) → the file as fal shows it


def complaints(name: str, input: dict[str, Any]) -> list[dict[str, Any]]:
    """The `detail` of a 422, empty when the model takes this input."""
    wrong = [
        {"loc": ["body", field], "msg": "Field required", "type": "missing", "input": input}
        for field in MODELS[name].needs
        if input.get(field) in (None, "")
    ]
    duration = input.get("duration")
    if name.startswith(WORDED_DURATIONS) and duration is not None and not isinstance(duration, str):
        text = "Input should be a valid string"
        wrong.append({"loc": ["body", "duration"], "msg": text, "type": "string_type", "input": duration})
    return wrong


def result(name: str, input: dict[str, Any], keep: Keep) -> dict[str, Any]:
    """The model's answer; `keep` is asked for each file in it."""
    model = MODELS[name]
    echoed = {field: input.get(field, 7 if field == "seed" else "") for field in model.echoes}
    if model.field == "text":
        return {"text": "la la la", "chunks": [{"timestamp": [0.0, 0.5], "text": "la la la"}], "languages": ["en"]}
    if model.field == "stems":
        return {stem: keep(stem, KEYS["audio"]) for stem in input.get("stems") or STEMS}
    if model.field == "images":
        images = [
            keep(f"image-{index}", KEYS["image"]) | {"width": 64, "height": 64}
            for index in range(input.get("num_images", 1))
        ]
        unsafe = [False] * len(images)
        facts = {"timings": {"inference": 0.1}, "seed": 7, "has_nsfw_concepts": unsafe, "prompt": input["prompt"]}
        return {"images": images} | facts
    return {model.field: keep(model.field, KEYS[model.kind])} | echoed
