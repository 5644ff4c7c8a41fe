"""The word aligner: the policy's choice, loaded on first use."""

import functools
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.aligned.segments.interfaces import RECOGNISER_METHOD, WordAligner
from mm_assets.errors import PolicyError
from mm_assets.models import ModelIdentity
from mm_assets.policy import SpeechPolicy
from resources.word_aligner import pocketsphinx, whisperx_aligner

_DEFAULTS: Final = SpeechPolicy()


class WordAlignerResource(dg.ConfigurableResource):
    """Gives assets a `WordAligner`, or none where the recogniser's own times will do."""

    aligner: str = Field(default=_DEFAULTS.aligner, description="As speech.aligner in the policy.")
    device: str = Field(default=_DEFAULTS.device, description="auto, cpu or cuda.")
    max_unknown_share: float = Field(default=_DEFAULTS.max_unknown_share, description="As in the policy.")
    min_word_logprob: float = Field(default=_DEFAULTS.min_word_logprob, description="As in the policy.")

    @property
    def handle(self) -> WordAligner | None:
        """The aligner, one per process; its weights load on the first call.

        Raises:
            PolicyError: the configured name is not one of ours.
        """
        return build_aligner(
            self.aligner,
            device=self.device,
            max_unknown_share=self.max_unknown_share,
            min_word_logprob=self.min_word_logprob,
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where the recogniser's own times will do."""
        handle = self.handle
        return ModelIdentity("none", "0", "0" * 64) if handle is None else handle.identity


@functools.lru_cache(maxsize=4)
def build_aligner(
    aligner: str, *, device: str, max_unknown_share: float, min_word_logprob: float
) -> WordAligner | None:
    """The aligner a policy string names, with nothing loaded yet; equal arguments share one.

    Args:
        aligner: ``pocketsphinx``, ``whisperx:LANGUAGE:FOLDER`` or ``recogniser``.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_unknown_share: of words without a pronunciation, above which pocketsphinx refuses a text.
        min_word_logprob: below which pocketsphinx refuses a text as not what is said.

    Raises:
        PolicyError: the name is not one of ours.
    """
    if aligner == RECOGNISER_METHOD:
        return None
    if aligner == pocketsphinx.NAME:
        return pocketsphinx.PocketSphinxAligner(max_unknown_share=max_unknown_share, min_word_logprob=min_word_logprob)
    if aligner.startswith(whisperx_aligner.PREFIX):
        language, _, folder = aligner.removeprefix(whisperx_aligner.PREFIX).partition(":")
        if language and folder:
            return whisperx_aligner.WhisperXAligner(Path(folder).expanduser(), language, device=device)
    raise PolicyError(
        f"speech.aligner {aligner!r} is unknown; use {pocketsphinx.NAME!r}, 'whisperx:LANGUAGE:FOLDER' or "
        f"{RECOGNISER_METHOD!r}"
    )
