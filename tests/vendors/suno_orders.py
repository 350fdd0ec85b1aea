"""What sunoapi.org takes: its paths, what each needs, how long texts may be, what the answers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.vendors.script import Ending, Refusal

MODELS = ("V4", "V4_5", "V4_5PLUS", "V4_5ALL", "V5", "V5_5")
SHORT_TITLES = ("V4", "V4_5ALL")


@dataclass(frozen=True)
class Kind:
    """A task of Suno's. `credits`: about 12 for music; no price is published for the others, 1 makes each visible."""

    name: str
    needs: tuple[str, ...]
    failed: str = "GENERATE_AUDIO_FAILED"
    music: bool = False
    credits: int = 1


def music(name: str, *needs: str) -> Kind:
    return Kind(name, needs, music=True, credits=12)


CLIP = ("taskId", "audioId")
KINDS = {  # path under /api/v1 → what it makes
    "generate": music("generate", "customMode", "instrumental", "model", "callBackUrl"),
    "generate/extend": music("extend", "defaultParamFlag", "audioId", "model", "callBackUrl"),
    "generate/upload-cover": music("upload_cover", "uploadUrl", "customMode", "instrumental", "model", "callBackUrl"),
    "generate/upload-extend": music("upload_extend", "uploadUrl", "defaultParamFlag", "model", "callBackUrl"),
    "generate/add-instrumental": music("add_instrumental", "uploadUrl", "title", "negativeTags", "tags", "callBackUrl"),
    "generate/add-vocals": music("add_vocals", "uploadUrl", "prompt", "title", "negativeTags", "style", "callBackUrl"),
    "generate/replace-section": music(
        "replace_section", *CLIP, "prompt", "tags", "title", "infillStartS", "infillEndS"
    ),
    "lyrics": Kind("lyrics", ("prompt", "callBackUrl"), "GENERATE_LYRICS_FAILED"),
    "wav/generate": Kind("wav", (*CLIP, "callBackUrl"), "GENERATE_WAV_FAILED"),
    "vocal-removal/generate": Kind("stems", (*CLIP, "callBackUrl")),
    "mp4/generate": Kind("mp4", (*CLIP, "callBackUrl"), "GENERATE_MP4_FAILED"),
    "suno/cover/generate": Kind("cover", ("taskId", "callBackUrl"), "3"),
}
RECORDS = {  # path under /api/v1 → the kinds that are read there
    "generate/record-info": {kind.name for kind in KINDS.values() if kind.music},
    "lyrics/record-info": {"lyrics"},
    "wav/record-info": {"wav"},
    "vocal-removal/record-info": {"stems"},
    "mp4/record-info": {"mp4"},
    "suno/cover/record-info": {"cover"},
}
TWO_STEMS = ("vocal", "instrumental")
ALL_STEMS = (
    *("vocal", "backing_vocals", "bass", "brass", "drums", "fx", "guitar", "keyboard", "percussion", "strings"),
    *("synth", "woodwinds"),
)
ABSENT_STEMS = ("brass", "woodwinds")  # no such instrument in these songs: "" in callbacks, null in records

CODES = {
    Refusal.BAD_KEY: (401, "You do not have access permissions"),
    Refusal.NO_CREDITS: (429, "The current credits are insufficient. Please top up."),
    Refusal.RATE_LIMITED: (405, "The call frequency is too high. Please try again later."),
    Refusal.BAD_INPUT: (400, "Parameter error"),
    Refusal.TOO_LONG: (413, "The prompt is too long."),
    Refusal.MODERATED: (400, "Song Description flagged for moderation"),
    Refusal.NOT_FOUND: (404, "Not Found"),
    Refusal.CONFLICT: (409, "The record already exists."),
    Refusal.MAINTENANCE: (455, "The system is being maintained."),
    Refusal.SERVER_ERROR: (500, "Internal Error, Please try again later."),
}
# Ending → (callback code, message); the record's status is the kind's own word for a failure but for these two.
ENDINGS = {
    Ending.MODERATED: (400, "Song Description flagged for moderation"),
    Ending.BAD_INPUT: (400, "Failed to create task: the parameters are not valid"),
    Ending.FAILED: (500, "Internal Error, Please try again later."),
    Ending.TIMED_OUT: (500, "Generation timed out"),
}
STATUSES = {Ending.MODERATED: "SENSITIVE_WORD_ERROR", Ending.BAD_INPUT: "CREATE_TASK_FAILED"}


def complaint(kind: Kind, order: dict[str, Any]) -> tuple[int, str] | None:
    """Why an order is refused, as (code, message); None when it is taken."""
    for name in kind.needs:
        if order.get(name) in (None, ""):
            return 400, "Please enter callBackUrl." if name == "callBackUrl" else f"{name} is required"
    if "model" in order and order["model"] not in MODELS:
        return 400, f"The model {order['model']} is not supported"
    if kind.name in ("generate", "upload_cover"):
        return _of_song(order)
    if kind.name in ("extend", "upload_extend") and order["defaultParamFlag"]:
        missing = [name for name in ("prompt", "style", "title", "continueAt") if order.get(name) in (None, "")]
        return (400, f"{missing[0]} is required") if missing else _too_long(order)
    if kind.name == "replace_section" and not 6 <= order["infillEndS"] - order["infillStartS"] <= 60:
        return 400, "The section must be between 6 and 60 seconds long"
    return _too_long(order)


def _of_song(order: dict[str, Any]) -> tuple[int, str] | None:
    if not order["customMode"]:
        if not order.get("prompt"):
            return 400, "prompt is required"
        return (413, CODES[Refusal.TOO_LONG][1]) if len(order["prompt"]) > 500 else None
    needed = ("style", "title") if order["instrumental"] else ("style", "title", "prompt")
    for name in needed:
        if not order.get(name):
            return 400, f"{name} is required"
    return _too_long(order)


def _too_long(order: dict[str, Any]) -> tuple[int, str] | None:
    old = order.get("model") == "V4"
    limits = {
        "prompt": 3000 if old else 5000,
        "style": 200 if old else 1000,
        "title": 80 if order.get("model") in SHORT_TITLES else 100,
    }
    long = [name for name, limit in limits.items() if len(str(order.get(name) or "")) > limit]
    return (413, f"The {long[0]} is too long.") if long else None
