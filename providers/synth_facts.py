"""What the synthesizer can do, as data: the API lists it without loading the synthesizer itself."""

from __future__ import annotations

from domain.composition import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from domain.generations import GenerationKind
from domain.providers import Capabilities, Model, ProviderName

NAME = ProviderName.SYNTH.value
DESCRIPTION = (
    "The built-in composer and synthesizer: free, offline, deterministic by seed, with true stems. "
    "It understands styles, moods, instruments, keys and tempi in prompt and tags; it does not sing."
)
MODEL = Model(
    "antiphon-1",
    "Antiphon's own composer and synthesizer. Instrumental only: lyrics are kept as text and not sung.",
    max_duration_seconds=LONGEST_SECONDS,
)


def synth_capabilities(variants: int) -> Capabilities:
    """`variants` takes a request."""
    return Capabilities(
        kinds=frozenset(GenerationKind),
        models=(MODEL,),
        default_model=MODEL.name,
        min_duration_seconds=SHORTEST_SECONDS,
        max_duration_seconds=LONGEST_SECONDS,
        default_duration_seconds=DEFAULT_SECONDS,
        outputs=variants,
        sings=False,
        seeds=True,
        cancels=True,
    )
