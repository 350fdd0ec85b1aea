"""Multipart forms by the standard library: Starlette wants a package for them that nothing else here needs."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes


@dataclass(frozen=True)
class Part:
    name: str
    file_name: str | None
    content_type: str
    body: bytes


def read_form(content_type: str, body: bytes) -> dict[str, Part]:
    """The parts of a multipart/form-data body by name."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = {}
    for part in message.get_payload() if message.is_multipart() else []:
        assert not isinstance(part, str)
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        parts[name] = Part(name, part.get_filename(), part.get_content_type(), payload)
    return parts
