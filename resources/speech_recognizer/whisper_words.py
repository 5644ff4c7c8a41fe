"""When Whisper itself takes each word of a text to be said: dynamic time warping of its cross-attention."""

from typing import Any, Final

from mm_assets.aligned.segments.interfaces import TimedWord, Waveform

_SAMPLE_RATE: Final = 16_000
_SAMPLES_PER_FRAME: Final = 160


def time_words(
    model: Any,  # noqa: ANN401 - a faster_whisper.WhisperModel, loaded by the caller
    tokenizer: Any,  # noqa: ANN401 - its tokenizer
    encoded: Any,  # noqa: ANN401 - what its encoder made of the waveform
    waveform: Waveform,
    text: str,
) -> tuple[TimedWord, ...]:
    """Time every word of a text.

    Words are split at white space; in a language that writes none, where Whisper's tokenizer splits them.
    """
    tokens = tokenizer.encode(f" {text.strip()}")
    if not text.strip():
        return ()
    frames = max(1, len(waveform) // _SAMPLES_PER_FRAME)
    (pieces,) = model.find_alignment(tokenizer, [tokens], encoded, frames)
    end_us = round(len(waveform) / _SAMPLE_RATE * 1e6)
    words: list[list[Any]] = []
    unspaced = tokenizer.language_code in {"zh", "ja", "th", "lo", "my", "yue"}
    for piece in pieces:
        written = piece["word"]
        if not written.strip():
            continue
        opens = not words or unspaced or written[0].isspace()
        if opens and any(character.isalnum() for character in written):
            words.append([written.strip(), piece["start"], piece["end"], [piece["probability"]]])
        elif words:
            words[-1][0] += written if not opens else written.strip()
            words[-1][2] = piece["end"]
        else:
            words.append([written.strip(), piece["start"], piece["end"], [piece["probability"]]])
    return tuple(
        TimedWord(
            word,
            min(round(start * 1e6), end_us),
            min(round(end * 1e6), end_us),
            float(sum(probabilities) / len(probabilities)),
        )
        for word, start, end, probabilities in words
    )
