"""Suno's uploads, three ways; on the real service they have a host of their own."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.vendors.forms import read_form
from tests.vendors.script import Call

if TYPE_CHECKING:
    from tests.vendors.suno import Suno


def uploads(suno: Suno) -> list[Route]:
    """The routes; all are calls named "upload"."""

    def kept(body: bytes, name: str, folder: str) -> Response:
        path = f"{folder}/{uuid4().hex}/{name}".strip("/")
        url = suno.shelf.put(path, "audio/mpeg", body)
        facts: dict[str, Any] = {
            "fileName": name,
            "originalName": name,
            "fileSize": len(body),
            "mimeType": "audio/mpeg",
            "uploadPath": folder,
            "fileUrl": url,
            "downloadUrl": url,
            "uploadedAt": "2026-01-01T00:00:00.000Z",
        }
        return JSONResponse({"success": True, "code": 200, "msg": "File uploaded successfully", "data": facts})

    async def by_stream(call: Call, request: Request) -> Response:
        form = read_form(call.headers.get("content-type", ""), call.body)
        named = form["fileName"].body.decode() if "fileName" in form else form["file"].file_name
        return kept(form["file"].body, named or "upload.mp3", form["uploadPath"].body.decode())

    async def by_base64(call: Call, request: Request) -> Response:
        body = base64.b64decode(call.json["base64Data"].split(",")[-1])
        return kept(body, call.json.get("fileName") or "upload.mp3", call.json["uploadPath"])

    async def by_url(call: Call, request: Request) -> Response:
        fetched = await suno.client.get(call.json["fileUrl"])
        name = call.json.get("fileName") or call.json["fileUrl"].rsplit("/", 1)[-1].split("?")[0]
        return kept(fetched.content, name, call.json["uploadPath"])

    ways = {"file-stream-upload": by_stream, "file-base64-upload": by_base64, "file-url-upload": by_url}
    return [Route(f"/api/{path}", suno.hears("upload", way), methods=["POST"]) for path, way in ways.items()]
