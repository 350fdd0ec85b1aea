"""Reading a request for the synthesizer: what it asks for as a `Spec`, or a refusal that says what would
do."""

from __future__ import annotations

from dataclasses import replace

from domain.composition import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, Spec, compose
from domain.generations import FailureCode, GenerationKind
from providers.music import Failure, MusicRequest, SourceAudio, SubmitFailed

MOST_VARIANTS = 8  # more takes of one idea begin to repeat themselves: the choices of a style are few


def read_request(request: MusicRequest) -> tuple[Spec, int]:
    """The spec and the number of variants. Raises SubmitFailed."""
    spec = Spec(
        kind=request.kind,
        prompt=request.prompt,
        title=request.title,
        tags=request.tags,
        seed=request.seed,
        duration_seconds=_checked(request.duration_seconds),
        continue_at_seconds=request.continue_at_seconds,
        strength=request.strength if request.strength is None else max(0.0, min(1.0, request.strength)),
    )
    if not 1 <= request.variants <= MOST_VARIANTS:
        raise _refused(f"Ask for 1 to {MOST_VARIANTS} variants, not {request.variants}.")
    if request.kind is GenerationKind.GENERATE:
        return spec, request.variants
    source, variant = _source(request.source)
    spec = replace(spec, source=source, source_variant=variant)
    if request.kind is GenerationKind.EXTEND:
        _check_length(spec)
    return spec, 1 if request.kind is GenerationKind.STEMS else request.variants


def _checked(seconds: float | None) -> float | None:
    if seconds is None or SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return seconds
    raise _refused(f"A duration must be between {SHORTEST_SECONDS:g} and {LONGEST_SECONDS:g} seconds.")


def _source(audio: SourceAudio | None) -> tuple[Spec, int]:
    """The spec of the source, and which of its variants."""
    if audio is None or audio.task is None or "spec" not in audio.task.state:
        raise _refused(
            "The built-in synthesizer can only extend, cover, remix or take apart what it made itself, "
            "and this version came from elsewhere."
        )
    try:
        spec = Spec.from_json(audio.task.state["spec"])
        variant = int((audio.output_key or "0").rpartition("-")[2])
    except (KeyError, TypeError, ValueError) as error:
        raise _refused("The source was made by a version of the synthesizer that this one cannot read.") from error
    return spec, variant


def _check_length(spec: Spec) -> None:
    seconds = compose(spec, 0).duration_seconds
    if seconds > LONGEST_SECONDS:
        added = spec.duration_seconds or DEFAULT_SECONDS
        raise _refused(
            f"The whole track would last {seconds:.0f} seconds, and {LONGEST_SECONDS:g} is the most: "
            f"add less than {added:g} seconds or continue earlier."
        )


def _refused(message: str) -> SubmitFailed:
    return SubmitFailed(Failure(FailureCode.BAD_REQUEST, message, charged=False))
