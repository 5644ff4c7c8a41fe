"""Speech: what recognises it, what is not believed, how words are timed and voices told apart."""

from typing import Annotated, Literal

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class SpeechPolicy(Section):
    """How speech becomes text with times and voices."""

    recognizer: str = Field(
        default="whisper-base",
        description="whisper-base (embedded) or whisperx:SIZE-OR-FOLDER, any Whisper for CTranslate2.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where speech models run.")
    compute_type: str = Field(
        default="default",
        description="Arithmetic of the recogniser; default: float16 on a GPU, int8 on a CPU, at half the time of "
        "float32 and the same word error rate.",
    )
    threads: PositiveInt = Field(default=2, description="Threads of the recogniser on a CPU.")
    batch_size: PositiveInt = Field(default=8, description="Windows recognised at once; 8 of 30 s hold 15 MB of sound.")
    gathered_batches: PositiveInt = Field(
        default=4,
        description="Batches gathered to put windows of like length together; each is as long as its longest.",
    )
    beam_size: PositiveInt = Field(default=5, description="Hypotheses kept while decoding; Whisper's own 5.")
    window_seconds: Annotated[float, Field(gt=1.0, le=30.0)] = Field(
        default=30.0, description="Longest window; Whisper hears 30 s at once."
    )
    padding_seconds: NonNegativeFloat | None = Field(
        default=3.0,
        description="Silence behind the longest window of a batch; none: up to the 30 s Whisper was trained on. With "
        "3 s sentences have the same word error rate at a third of the time, with 1 s a higher one.",
    )
    least_seconds: NonNegativeFloat = Field(
        default=12.0,
        description="Windows are padded to this at least: with less behind them single words come out repeated.",
    )
    speech_probability: Share = Field(default=0.5, description="Of 32 ms, from which they are speech; Silero's own.")
    min_speech_seconds: NonNegativeFloat = Field(default=0.1, description="Shorter bursts of it are none.")
    join_seconds: NonNegativeFloat = Field(
        default=2.0, description="Pauses up to this long stay inside a window; Whisper reads on over a breath."
    )
    margin_seconds: NonNegativeFloat = Field(
        default=0.3, description="Sound kept around speech; soft first and last sounds score low."
    )
    min_avg_logprob: float = Field(
        default=-1.1,
        description="Mean log probability of its tokens below which a text is invented; sentences lie above -0.4, "
        "single words above -0.9, music and noise about -1.4.",
    )
    doubtful_avg_logprob: float = Field(
        default=-0.25,
        description="Below it a text is invented too if there is little voice behind it, or the recogniser itself "
        "hears no speech; loops in silence and buzzing reach -0.3.",
    )
    max_no_speech_probability: Share = Field(
        default=0.5,
        description="The recogniser's, from which it hears no speech: 0.57 or more in silence, music and noise, 0.38 "
        "at most in single words, 0.02 in sentences.",
    )
    max_compression: NonNegativeFloat = Field(
        default=2.4,
        description="Length of a text over its length compressed; loops reach more. Whisper's own threshold.",
    )
    min_voice_share: Share = Field(
        default=0.3, description="Share of the window with voice that stands behind a doubtful text."
    )
    max_words_per_second: NonNegativeFloat = Field(
        default=8.0, description="Of speech; nobody speaks faster, but loops of a recogniser do."
    )
    language_certainty: Share = Field(
        default=0.9,
        description="Probability from which the recogniser's language stands against the delivered one; below it "
        "short windows are named after chance.",
    )
    aligner: str = Field(
        default="pocketsphinx",
        description="pocketsphinx (embedded, English), whisperx:LANGUAGE:FOLDER (of a wav2vec 2.0 model), or "
        "recogniser: its own times.",
    )
    max_unknown_share: Share = Field(
        default=0.5,
        description="Of words whose pronunciation is guessed, above which there is too little to hold on to.",
    )
    min_word_logprob: float = Field(
        default=-2.0,
        description="Log likelihood of 10 ms of the median word of an alignment, relative to the best state: -1.1 for "
        "what is said, -1.88 at the least of 52 prompts; of 59 other texts 29 lead nowhere, and all but one of "
        "the rest lie below -2.1.",
    )
    speakers: str = Field(
        default="resemblyzer", description="resemblyzer (embedded), pyannote:FOLDER (diarization), or none."
    )
    min_speaker_similarity: Share = Field(
        default=0.74,
        description="Mean cosine of two groups of utterances from which they are one voice. Of 2 s, one voice has 0.84 "
        "in the middle and 0.77 at the 5th percentile, two have 0.65 at the 99th; of 5 s, one has 0.85 and more.",
    )
    min_speaker_seconds: NonNegativeFloat = Field(
        default=1.6, description="Shorter utterances found no voice of their own, they join the nearest; one part."
    )
    utterance_gap_seconds: NonNegativeFloat = Field(
        default=0.6, description="Pause between words that ends an utterance; breaths inside sentences are shorter."
    )
    min_pitch_hz: PositiveInt = Field(default=65, description="Lowest fundamental of a voice, Hz.")
    max_pitch_hz: PositiveInt = Field(default=500, description="Highest; children reach it.")
    min_voicing: Share = Field(
        default=0.6, description="Autocorrelation at the pitch from which 40 ms are voiced; noise has 0.3."
    )
