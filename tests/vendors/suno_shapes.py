"""How sunoapi.org shows its tasks: camelCase when it is read, snake_case when it calls back, and neither everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.vendors.script import Ending
from tests.vendors.server import Task
from tests.vendors.suno_orders import ABSENT_STEMS, ENDINGS, STATUSES, Kind

Url = Callable[[Task, str], str]  # (task, role) → the file's URL that is valid now
DONE = "All generated successfully."
SAYINGS = {
    "text": "Text generation completed successfully.",
    "first": "First audio generated successfully.",
    "complete": DONE,
}
CALLBACK_NAMES = {
    "id": "id",
    "audioUrl": "audio_url",
    "sourceAudioUrl": "source_audio_url",
    "streamAudioUrl": "stream_audio_url",
    "sourceStreamAudioUrl": "source_stream_audio_url",
    "imageUrl": "image_url",
    "sourceImageUrl": "source_image_url",
    "prompt": "prompt",
    "modelName": "model_name",
    "title": "title",
    "tags": "tags",
    "createTime": "createTime",
    "duration": "duration",
}


def millis(at: float) -> int:
    return int(at * 1000)


def text_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def failed(task: Task) -> bool:
    return task.over and task.story.ending in ENDINGS


def clips(task: Task, url: Url) -> list[dict[str, Any]]:
    """The songs as they stand: the text first, then the first one's sound, then all; a stream from the text on."""
    ready = len(task.facts["clips"]) if task.over else 1 if "FIRST_SUCCESS" in task.times else 0
    return [_clip(task, index, url, index < ready) for index in range(len(task.facts["clips"]))]


def _clip(task: Task, index: int, url: Url, ready: bool) -> dict[str, Any]:
    order, at = task.input, task.created_at
    audio = url(task, f"clip-{index}") if ready and task.story.ending is not Ending.WITHOUT_OUTPUT else ""
    told = {
        "id": task.facts["clips"][index],
        "audioUrl": audio,
        "streamAudioUrl": url(task, f"stream-{index}"),
        "sourceStreamAudioUrl": url(task, f"stream-{index}"),
        "imageUrl": url(task, f"image-{index}"),
        "sourceImageUrl": url(task, f"image-{index}"),
        "prompt": "" if order.get("instrumental") else order.get("prompt") or "[Verse]\nLa la la",
        "modelName": "chirp-crow",
        "title": order.get("title") or "Untitled",
        "tags": order.get("style") or order.get("tags") or "electronic",
        "createTime": text_time(at) if task.facts.get("times_as_text") else millis(at),
    }
    return told | {"sourceAudioUrl": audio, "duration": task.facts.get("duration", 0.5)} if audio else told


def status(task: Task) -> str:
    """The record's word for where the task stands."""
    kind: Kind = task.facts["kind"]
    if failed(task):
        return STATUSES.get(task.story.ending, kind.failed)
    if task.over and task.story.ending is Ending.CALLBACK_FAILED:
        return "CALLBACK_EXCEPTION"
    return task.state


def errors(task: Task) -> dict[str, Any]:
    code, text = ENDINGS[task.story.ending] if failed(task) else (None, None)
    return {"errorCode": code, "errorMessage": text}


def record(task: Task, url: Url) -> dict[str, Any]:
    """`data` of a record-info."""
    kind: Kind = task.facts["kind"]
    whole = task.over and not failed(task)
    base = {"taskId": task.id, "param": json.dumps(task.input), **errors(task)}
    if kind.music:
        response: Any = None
        if task.step and not failed(task):
            response = {"taskId": task.id, "sunoData": clips(task, url)}
        if task.facts.get("response_as_text") and response is not None:
            response = json.dumps(response)
        facts = {"parentMusicId": "", "type": "GENERATE", "operationType": kind.name}
        return base | facts | {"response": response, "status": status(task), "createTime": millis(task.created_at)}
    if kind.name == "lyrics":
        response = {"taskId": task.id, "data": lyrics(task)} if whole else None
        return base | {"response": response, "status": status(task), "type": "LYRICS"}
    if kind.name == "cover":
        flag = 3 if failed(task) else 1 if whole else 2 if task.step else 0
        response = {"images": [url(task, f"image-{index}") for index in range(2)]} if whole else None
        return base | {"parentTaskId": task.input["taskId"], "response": response, "successFlag": flag}
    return _made(task, url, base) if whole else _made(task, url, base) | {"response": None}


def _made(task: Task, url: Url, base: dict[str, Any]) -> dict[str, Any]:
    kind: Kind = task.facts["kind"]
    done = task.times.get(task.state) if task.over else None
    shown = millis if kind.name == "stems" else text_time
    response: dict[str, Any] = {}
    if task.succeeded:
        if kind.name == "stems":
            response = {camel(name): value or None for name, value in stems(task, url).items()}
        else:
            response = {"audioWavUrl" if kind.name == "wav" else "videoUrl": url(task, kind.name)}
    return base | {
        "musicId": task.input["audioId"],
        "callbackUrl": task.callback_url,
        "response": response,
        "successFlag": status(task),
        "createTime": shown(task.created_at),
        "completeTime": shown(done) if done else None,
    }


def lyrics(task: Task) -> list[dict[str, Any]]:
    text = f"[Verse]\n{task.input['prompt']}\n[Chorus]\nLa la la"
    return [{"text": text, "title": f"Song {n}", "status": "complete", "errorMessage": ""} for n in (1, 2)]


def stems(task: Task, url: Url) -> dict[str, str]:
    """Stem → URL; "" for what the song does not have."""
    return {"origin_url": ""} | {
        f"{name}_url": "" if name in ABSENT_STEMS else url(task, name) for name in task.facts["stems"]
    }


def callback(task: Task, event: str, url: Url) -> dict[str, Any]:
    """The body of a callback."""
    kind: Kind = task.facts["kind"]
    code, text = ENDINGS[task.story.ending] if event == "error" else (200, SAYINGS[event])
    data: dict[str, Any]
    told = event.upper() if task.facts.get("upper_case") else event
    if kind.music:
        data = {
            "callbackType": told,
            "task_id": task.id,
            "data": None if code != 200 else _told_clips(task, event, url),
        }
    elif kind.name == "lyrics":
        data = {"callbackType": told, "taskId": task.id, "data": lyrics(task) if code == 200 else None}
    elif kind.name == "stems":
        text = "vocal Removal generated successfully." if code == 200 else text
        data = {"task_id": task.id, "vocal_removal_info": stems(task, url) if code == 200 else None}
    elif kind.name == "wav":
        data = {"audioWavUrl": url(task, "wav") if code == 200 else None, "task_id": task.id}
    elif kind.name == "mp4":
        data = {"task_id": task.id, "video_url": url(task, "mp4") if code == 200 else None}
    else:
        images = [url(task, f"image-{index}") for index in range(2)] if code == 200 else None
        data = {"taskId": task.id, "images": images}
    return {"code": code, "msg": text, "data": data}


def _told_clips(task: Task, event: str, url: Url) -> list[dict[str, Any]]:
    if event == "text" and not task.facts.get("text_clips"):
        return []
    return [{CALLBACK_NAMES[name]: value for name, value in clip.items()} for clip in clips(task, url)]
