"""Speech side by side with bare faster-whisper: word error rate, word times, throughput, and what each model costs.

    python benchmarks/speech.py --prompts FOLDER [--limit N] [--seed N]

FOLDER holds Debian's Asterisk prompts, unpacked; nothing of them is kept here::

    apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-g722
    for package in asterisk-core-sounds-en*.deb; do dpkg -x $package FOLDER; done

Measured are the prompts whose keys start with a to m and that have four words or more; limits were chosen on n to z.
Word times are measured on *constructed* clips: prompts laid one after the other between known silences, so that the
first word of each starts, and its last ends, at a time known to the sample, as far as a prompt's own edges are.
"""

import argparse
import gzip
import itertools
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import jiwer
import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import Waveform
from mm_assets.aligned.segments.speech.agreement import plain_words
from mm_assets.aligned.segments.speech.hearing import HearingFigures, SpeechModels, hear_windows
from mm_assets.aligned.segments.speech.windows import Window
from mm_assets.aligned.segments.speech.word_times import trim_silence
from mm_assets.policy import SpeechPolicy
from resources.image_text_encoder.model_cache import cache_root
from resources.speaker_embedder import build_embedder
from resources.speech_recognizer import build_recognizer
from resources.speech_recognizer.whisper_weights import embedded_whisper
from resources.word_aligner import build_aligner

RATE = 16_000
POLICY = SpeechPolicy()
LIBRIVOX = Path(__file__).resolve().parents[1] / "tests" / "data" / "librivox"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Prompt:
    """A prompt: its key, what is said in it, and its sound."""

    key: str
    text: str
    sound: Waveform


def read_sound(path: Path) -> Waveform:
    """Mono at 16 kHz."""
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)


def read_prompts(folder: Path, first: str, last: str, least_words: int = 4) -> list[Prompt]:
    """Prompts of some keys, no longer than a window; stage directions and sounds are left out."""
    listing = next(folder.rglob("core-sounds-en.txt.gz"))
    sounds = {path.stem: path for path in folder.rglob("*.g722") if path.parent.name.startswith("en_US")}
    prompts: list[Prompt] = []
    with gzip.open(listing, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line in lines:
        key, colon, text = line.partition(":")
        if line.startswith(";") or not colon or "[" in text or not first <= key[0] <= last or key not in sounds:
            continue
        if len(text.split()) >= least_words:
            sound = read_sound(sounds[key])
            if len(sound) <= 30 * RATE:
                prompts.append(Prompt(key, text.strip(), sound))
    return prompts


def spoken(text: str) -> str:
    """Words as they are said: what both sides write as a number up to twelve or as a word counts as the same."""
    words = plain_words(re.sub(r"(\d)-(\d)", r"\1 \2", text)).split()
    return " ".join(_DIGITS[int(word)] if word.isdigit() and int(word) < len(_DIGITS) else word for word in words)


def rate_of_errors(pairs: Sequence[tuple[str, str]]) -> float:
    """Word error rate of (said, heard)."""
    return float(jiwer.wer([spoken(said) for said, _ in pairs], [spoken(heard) for _, heard in pairs]))


def busy(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def make_models(seconds_of: dict[str, float]) -> SpeechModels:
    """The embedded defaults, loaded."""
    recognizer = build_recognizer(
        POLICY.recognizer,
        threads=POLICY.threads,
        beam_size=POLICY.beam_size,
        padding_seconds=POLICY.padding_seconds,
        least_seconds=POLICY.least_seconds,
    )
    aligner = build_aligner(
        POLICY.aligner,
        device="cpu",
        max_unknown_share=POLICY.max_unknown_share,
        min_word_logprob=POLICY.min_word_logprob,
    )
    models = SpeechModels(recognizer, aligner, build_embedder(POLICY.speakers, device="cpu"))
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) / 10
    seconds_of["loading"] = busy(lambda: _hear([noise], models, HearingFigures()))[0]
    return models


def _hear(sounds: Sequence[Waveform], models: SpeechModels, figures: HearingFigures) -> list[str]:
    windows = [Window(0, end, 0, end, 1.0) for end in (round(len(sound) / RATE * 1e6) for sound in sounds)]
    heard = hear_windows(windows, sounds, ["en"] * len(sounds), models, POLICY, figures)
    return [result.heard.text if result.doubt is None else "" for result in heard]


def measure_errors(prompts: list[Prompt], models: SpeechModels) -> dict[str, object]:
    """Word error rates and the cost of each model, then bare faster-whisper on the same files in the same batches."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    prompts = sorted(prompts, key=lambda prompt: len(prompt.sound))  # as the step gathers them; the peer pads to 30 s
    sounds, batch = [prompt.sound for prompt in prompts], POLICY.batch_size
    seconds = sum(map(len, sounds)) / RATE
    figures, heard, texts = HearingFigures(), [], []

    def ours() -> None:
        for at in range(0, len(sounds), batch):
            heard.extend(_hear(sounds[at : at + batch], models, figures))

    def recognizer_only() -> None:
        for at in range(0, len(sounds), batch):
            models.recognizer.recognize(sounds[at : at + batch], ["en"] * len(sounds[at : at + batch]))

    whisper = WhisperModel(
        str(embedded_whisper(cache_root(""))), device="cpu", compute_type="int8", cpu_threads=POLICY.threads
    )
    pipeline = BatchedInferencePipeline(whisper)

    def bare() -> None:
        for at in range(0, len(sounds), batch):
            part = sounds[at : at + batch]
            edges = np.cumsum([0, *map(len, part)]) / RATE
            spans = [{"start": a, "end": b} for a, b in itertools.pairwise(edges.tolist())]
            found, _ = pipeline.transcribe(
                np.concatenate(part), language="en", clip_timestamps=spans, batch_size=batch, beam_size=POLICY.beam_size
            )
            texts.extend(segment.text for segment in found)

    busy(lambda: whisper.encode(np.zeros((1, 80, 3_000), np.float32)))
    step, alone, peer = busy(ours), busy(recognizer_only), busy(bare)
    said = [prompt.text for prompt in prompts]
    return {
        "prompts": len(prompts),
        "audio_seconds": round(seconds, 1),
        "words": sum(len(spoken(text).split()) for text in said),
        "word_error_rate": round(rate_of_errors(list(zip(said, heard, strict=True))), 4),
        "word_error_rate_bare": round(rate_of_errors(list(zip(said, texts, strict=True))), 4)
        if len(texts) == len(said)
        else None,
        "dropped": dict(figures.doubts),
        "refused_alignments": dict(figures.refusals),
        "cpu_seconds": {"whole": round(step[0], 1), "recogniser": round(alone[0], 1), "bare": round(peer[0], 1)},
        "wall_seconds": {"whole": round(step[1], 1), "recogniser": round(alone[1], 1), "bare": round(peer[1], 1)},
        "throughput_over_bare": {
            "recogniser": round(peer[0] / alone[0], 2),
            "with_words_voices_and_prosody": round(peer[0] / step[0], 2),
        },
        "real_time_factors": {name: round(float(value) / seconds, 4) for name, value in sorted(figures.busy.items())},
    }


def sounding(sound: Waveform) -> tuple[int, int]:
    """First and last sample (exclusive) of a prompt that is heard: 5 ms over a hundredth of its loudest 5 ms."""
    size = RATE // 200
    levels = np.square(sound[: len(sound) // size * size]).reshape(-1, size).mean(axis=1)
    loud = np.flatnonzero(levels > levels.max() * 1e-3)
    return int(loud[0]) * size, int(loud[-1] + 1) * size


def lay_out(prompts: list[Prompt], rng: np.random.Generator) -> tuple[Waveform, list[tuple[float, float]]]:
    """Prompts between silences of 0.3 to 1.2 s, and when each is heard, seconds."""
    parts: list[NDArray[np.float32]] = []
    spans: list[tuple[float, float]] = []
    at = 0
    for prompt in prompts:
        first, last = sounding(prompt.sound)
        silence = rng.standard_normal(round(rng.uniform(0.3, 1.2) * RATE)).astype(np.float32) * np.float32(1e-4)
        parts += [silence, prompt.sound[first:last]]
        at += len(silence)
        spans.append((at / RATE, (at + last - first) / RATE))
        at += last - first
    parts.append(np.zeros(RATE // 2, np.float32))
    return np.concatenate(parts), spans


def measure_times(prompts: list[Prompt], models: SpeechModels, seed: int) -> dict[str, object]:
    """Errors of the first word's start and the last word's end of each prompt, in constructed clips."""
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = {"forced": [], "recogniser": [], "delivered text": []}
    order = rng.permutation(len(prompts))
    refused = clips = 0
    for at in range(0, len(order) - 2, 3):
        chosen = [prompts[place] for place in order[at : at + 3]]
        sound, spans = lay_out(chosen, rng)
        if len(sound) > 30 * RATE:
            continue
        clips += 1
        (heard,) = models.recognizer.recognize([sound], ["en"])
        text = " ".join(prompt.text for prompt in chosen)
        counts = [len(prompt.text.split()) for prompt in chosen]
        matches = spoken(heard.text).split() == spoken(text).split() and len(heard.text.split()) == sum(counts)
        if models.aligner is None:
            raise SystemExit("the policy names no aligner")
        (of_text,) = models.aligner.align([sound], [text], ["en"])
        if of_text.refusal is None:
            errors["delivered text"] += _errors(of_text.words, counts, spans)
        if not matches:
            continue
        (aligned,) = models.aligner.align([sound], [heard.text], ["en"])
        refused += aligned.refusal is not None
        if aligned.refusal is None:
            errors["forced"] += _errors(aligned.words, counts, spans)
        (own,) = models.recognizer.time_words([sound], [heard.text], ["en"])
        if len(own) == sum(counts):
            errors["recogniser"] += _errors(trim_silence(own, sound), counts, spans)
    return {
        "label": "constructed",
        "clips": clips,
        "refused": refused,
        "median_absolute_error_ms": {
            name: round(statistics.median(values), 1) for name, values in errors.items() if values
        },
        "90th_percentile_ms": {
            name: round(float(np.percentile(values, 90)), 1) for name, values in errors.items() if values
        },
        "edges": {name: len(values) for name, values in errors.items()},
        "bound_ms": 80,
    }


def _errors(words: Sequence, counts: list[int], spans: list[tuple[float, float]]) -> list[float]:
    ends = np.cumsum(counts)
    found: list[float] = []
    for first, last, (start, end) in zip(ends - counts, ends, spans, strict=True):
        found += [abs(words[first].start_us / 1e3 - start * 1e3), abs(words[last - 1].end_us / 1e3 - end * 1e3)]
    return found


def measure_librivox(models: SpeechModels) -> dict[str, object]:
    """Word error rate on the real sentences of tests/data, and how far two ways of timing their words are apart.

    Nobody knows when each of these words is said; forced alignment and the recogniser's attention at least know
    nothing of each other.
    """
    if models.aligner is None:
        raise SystemExit("the policy names no aligner")
    listed = re.findall(r"`(\S+\.flac)`: (.+)", (LIBRIVOX / "README.md").read_text(encoding="utf-8"))
    sounds = [read_sound(LIBRIVOX / name) for name, _ in listed]
    heard = _hear(sounds, models, HearingFigures())
    apart: list[float] = []
    for sound, (_, said) in zip(sounds, listed, strict=True):
        (forced,) = models.aligner.align([sound], [said], ["en"])
        (own,) = models.recognizer.time_words([sound], [said], ["en"])
        if forced.refusal is None and len(forced.words) == len(own):
            apart += [abs(one.start_us - other.start_us) / 1e3 for one, other in zip(forced.words, own, strict=True)]
    return {
        "label": "real",
        "clips": len(listed),
        "word_error_rate": round(
            rate_of_errors([(said, text) for (_, said), text in zip(listed, heard, strict=True)]), 4
        ),
        "words_timed_both_ways": len(apart),
        "median_difference_of_starts_ms": round(statistics.median(apart), 1) if apart else None,
    }


def main() -> int:
    """Measure, print one JSON document, and exit 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, help="folder with the unpacked Asterisk prompts")
    parser.add_argument("--limit", type=int, default=0, help="measure this many prompts only, evenly chosen")
    parser.add_argument("--seed", type=int, default=0, help="of the constructed clips")
    arguments = parser.parse_args()
    seconds_of: dict[str, float] = {}
    models = make_models(seconds_of)
    report: dict[str, object] = {"loading_cpu_seconds": round(seconds_of["loading"], 1)}
    report["librivox"] = measure_librivox(models)
    missed: list[str] = []
    if arguments.prompts is not None:
        prompts = read_prompts(arguments.prompts, "a", "m")
        if arguments.limit:
            prompts = prompts[:: max(1, len(prompts) // arguments.limit)][: arguments.limit]
        errors = measure_errors(prompts, models)
        times = measure_times(prompts, models, arguments.seed)
        report |= {"prompts": errors, "word_times": times}
        if errors["throughput_over_bare"]["with_words_voices_and_prosody"] < 0.9:
            missed.append("throughput")
        if times["median_absolute_error_ms"]["forced"] > times["bound_ms"]:
            missed.append("word times")
    else:
        print("no --prompts folder: see --help for how to get it", file=sys.stderr)
    report["missed"] = missed
    print(json.dumps(report, indent=2))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
