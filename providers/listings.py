"""Which providers this installation offers: what the API shows and checks requests against, without calling anybody."""

from __future__ import annotations

from collections.abc import Mapping

from core.settings import Settings
from domain.providers import Listing
from providers import synth_facts


def list_providers(settings: Settings) -> Mapping[str, Listing]:
    """The listings by name."""
    synth = Listing(synth_facts.NAME, synth_facts.DESCRIPTION, synth_facts.synth_capabilities(settings.variants))
    return {synth.name: synth}
