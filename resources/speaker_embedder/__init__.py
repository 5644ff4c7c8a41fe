"""Who speaks: the policy's choice, loaded on first use."""

import functools
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.aligned.segments.interfaces import SpeakerEmbedder
from mm_assets.errors import PolicyError
from mm_assets.models import ModelIdentity
from mm_assets.policy import SpeechPolicy
from resources.speaker_embedder import pyannote_diarization, resemblyzer

NONE: Final = "none"
_DEFAULTS: Final = SpeechPolicy()


class SpeakerEmbedderResource(dg.ConfigurableResource):
    """Gives assets a `SpeakerEmbedder`, or none."""

    speakers: str = Field(default=_DEFAULTS.speakers, description="As speech.speakers in the policy.")
    device: str = Field(default=_DEFAULTS.device, description="auto, cpu or cuda.")

    @property
    def handle(self) -> SpeakerEmbedder | None:
        """The model, one per process; its weights load on the first call.

        Raises:
            PolicyError: the configured name is not one of ours.
        """
        return build_embedder(self.speakers, device=self.device)

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where the policy names none."""
        handle = self.handle
        return ModelIdentity(NONE, "0", "0" * 64) if handle is None else handle.identity


@functools.lru_cache(maxsize=4)
def build_embedder(speakers: str, *, device: str) -> SpeakerEmbedder | None:
    """The model a policy string names, with nothing loaded yet; equal arguments share one.

    Args:
        speakers: ``resemblyzer``, ``pyannote:FOLDER`` or ``none``.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        PolicyError: the name is not one of ours.
    """
    if speakers == NONE:
        return None
    if speakers == resemblyzer.NAME:
        return resemblyzer.ResemblyzerEmbedder(device=device)
    folder = speakers.removeprefix(pyannote_diarization.PREFIX)
    if speakers.startswith(pyannote_diarization.PREFIX) and folder:
        return pyannote_diarization.PyannoteDiarizer(Path(folder).expanduser(), device=device)
    raise PolicyError(
        f"speech.speakers {speakers!r} is unknown; use {resemblyzer.NAME!r}, 'pyannote:FOLDER' or {NONE!r}"
    )
