"""What a job may use, as values: built once when the worker starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from arq.connections import ArqRedis

from core.clock import Clock
from core.db import Database
from core.pool import WorkPool
from providers.music import MusicProvider
from providers.storage import Storage


@dataclass(frozen=True)
class WorkerContext:
    """`scratch` is a folder on a local disk where downloads land before they are stored."""

    db: Database
    redis: ArqRedis
    storage: Storage
    providers: Mapping[str, MusicProvider]
    pool: WorkPool
    scratch: Path
    media_url: Callable[[str], str]
    clock: Clock
    new_id: Callable[[], UUID]
    rng: random.Random
