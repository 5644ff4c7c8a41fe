# pyright: strict
"""Texts a recogniser invents where nothing is said."""

import zlib
from typing import Literal

from mm_assets.aligned.segments.interfaces import RecognizedSpeech
from mm_assets.aligned.segments.speech.windows import Window
from mm_assets.policy import SpeechPolicy

Doubt = Literal["empty", "improbable", "no_voice", "repeated", "too_fast"]


def doubt_text(heard: RecognizedSpeech, window: Window, policy: SpeechPolicy) -> Doubt | None:
    """Why a text is not what is said, or None.

    Args:
        heard: what the recogniser made of the window.
        window: where it is, and how much of it is voice.
        policy: what is not believed.

    >>> window = Window(0, 4_000_000, 500_000, 3_500_000, 0.9)
    >>> doubt_text(RecognizedSpeech("Press one.", "en", 0.9, -0.1, 0.01), window, SpeechPolicy())
    >>> doubt_text(RecognizedSpeech("Thank you.", "en", 0.3, -1.4, 0.5), window, SpeechPolicy())
    'improbable'
    """
    if not any(character.isalnum() for character in heard.text):
        return "empty"
    if heard.avg_logprob < policy.min_avg_logprob:
        return "improbable"
    hears_none = (heard.no_speech_probability or 0.0) > policy.max_no_speech_probability
    if heard.avg_logprob < policy.doubtful_avg_logprob and (hears_none or window.voice_share < policy.min_voice_share):
        return "no_voice"
    written = heard.text.encode()
    if len(written) > policy.max_compression * len(zlib.compress(written)):
        return "repeated"
    seconds = (window.end_us - window.start_us) / 1e6
    if len(heard.text.split()) > max(1.0, policy.max_words_per_second * seconds):
        return "too_fast"
    return None
