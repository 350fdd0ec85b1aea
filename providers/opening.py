"""The adapters of this installation, ready to be called. Workers alone call them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.pool import WorkPool
from core.settings import Settings
from providers.music import MusicProvider
from providers.synth import Synth


def open_providers(settings: Settings, pool: WorkPool, scratch: Path) -> Mapping[str, MusicProvider]:
    """By name, as in the listings. `scratch` is a folder on a local disk."""
    synth = Synth(pool, scratch / "synth", settings.variants)
    return {synth.name: synth}
