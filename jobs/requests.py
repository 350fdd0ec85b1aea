"""Between our rows and the provider's port: which provider, what it is asked, and which task it gave."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from auth.viewer import SYSTEM
from domain.generations import AttemptState, GenerationKind
from jobs.context import WorkerContext
from models.generations import Attempt, Generation
from models.media import MediaObject
from models.versions import Version
from providers.music import MusicProvider, MusicRequest, SourceAudio, Task


class ProviderUnavailable(Exception):
    """The provider cannot be used on this installation; the message is a sentence for the user."""


def provider_of(worker: WorkerContext, name: str) -> MusicProvider:
    """The provider of this name, ready for use. Raises `ProviderUnavailable`."""
    provider = worker.providers.get(name)
    reason = "it is not set up on this worker." if provider is None else provider.unavailable_because()
    if provider is None or reason is not None:
        raise ProviderUnavailable(f"{name} cannot be used: {reason}")
    return provider


def task_of(attempt: Attempt) -> Task | None:
    """The provider's task; None while nobody knows whether there is one."""
    return None if attempt.task_id is None else Task(attempt.task_id, attempt.task_state or {})


async def request_for(worker: WorkerContext, generation: Generation, attempt: Attempt) -> MusicRequest:
    """What the provider is asked. The attempt's id is the reference, so no two attempts look alike to it."""
    params = generation.params
    return MusicRequest(
        kind=GenerationKind(generation.kind),
        prompt=params["prompt"],
        title=params["title"],
        lyrics=params["lyrics"],
        tags=tuple(params["tags"]),
        instrumental=params["instrumental"],
        model=generation.model,
        duration_seconds=params["duration_seconds"],
        seed=params["seed"],
        variants=params["variants"],
        source=await _source(worker, generation.source_version_id),
        continue_at_seconds=params["continue_at_seconds"],
        strength=params["strength"],
        stem_mode=params["stem_mode"],
        reference=str(attempt.id),
    )


async def _source(worker: WorkerContext, version_id: UUID | None) -> SourceAudio | None:
    """What an extension, cover, remix or separation starts from: our own file, and the provider's name for it."""
    if version_id is None:
        return None
    made_by = (Attempt.generation_id == Version.generation_id) & (Attempt.state == AttemptState.SUCCEEDED)
    async with worker.db.read(SYSTEM) as session:
        version, key, attempt = (
            await session.execute(
                select(Version, MediaObject.key, Attempt)
                .join(MediaObject, MediaObject.id == Version.media_id)
                .join(Attempt, made_by)
                .where(Version.id == version_id)
            )
        ).one()
    return SourceAudio(worker.media_url(key), version.duration_ms / 1000, task_of(attempt), version.output_key)
