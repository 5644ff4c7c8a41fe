"""Draw releases of up to a million samples: seconds of CPU and peak memory, by what the policy asks for.

Run with ``python benchmarks/sampling.py [SAMPLES …]``; each size runs in a process of its own, so that its peak is
its own. Samples are synthetic rows of ``fusion_samples`` without content; decontamination is timed on generated text.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import polars as pl

from mm_assets.mixtures.decontamination import EvaluationTexts
from mm_assets.mixtures.recipes import Recipe
from mm_assets.mixtures.selection import draw_release
from mm_assets.mixtures.splits import GroupFinder, assign_splits
from mm_assets.policy import MixturePolicy
from mm_assets.policy.mixtures import BalancePolicy, DecontaminationPolicy, SplitPolicy

_SIZES = (10_000, 100_000, 1_000_000)
_POOLS = ("text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue")
_KINDS = ("text", "image_text", "object", "dialogue")
_SHARES = (0.3, 0.35, 0.2, 0.15)
_SAMPLES_PER_ANCHOR = 2
_TEXTS_TIMED = 20_000
_WORDS_PER_TEXT = 120
_MIB = 1_048_576
_JUDGED_FROM = 1_000_000  # samples; before that the interpreter's own growth is most of it
_MAX_CPU_US = 20  # measured 4; a loaded machine takes twice that
_MAX_BYTES = 600  # measured 220, the rows passed in not counted


def make_samples(count: int) -> pl.DataFrame:
    """Rows of ``fusion_samples``, the columns that drawing looks at."""
    generator = np.random.default_rng(count)
    pool = generator.choice(len(_POOLS), count, p=(0.25, 0.5, 0.2, 0.05))
    hashes = generator.integers(0, 2**60, (2, count), dtype=np.uint64)
    anchors = hashes[1][np.arange(count) // _SAMPLES_PER_ANCHOR]
    return pl.DataFrame(
        {
            "sample_id": [f"mm_{value:015x}{n:09x}" for n, value in enumerate(hashes[0])],
            "anchor": [f"img_{value:015x}000000000" for value in anchors],
            "batch": pl.Series(np.arange(count) // 5_000).cast(pl.String).str.pad_start(6, "0"),
            "kind": pl.Series(_KINDS).gather(pool),
            "pool": pl.Series(_POOLS).gather(pool),
            "source": pl.Series([f"source-{n}" for n in range(40)]).gather(generator.geometric(0.1, count) % 40),
            "license": pl.Series(["CC0-1.0", "CC-BY-4.0", "MIT"]).gather(generator.integers(0, 3, count)),
            "language": pl.Series(["en", "de", "zh", None]).gather(generator.integers(0, 4, count)),
        }
    )


def measure(count: int) -> dict[str, Any]:
    """CPU seconds of splitting and drawing one release, and the peak memory of all of it."""
    samples = make_samples(count)
    rows_bytes = samples.estimated_size()
    before = peak_mib()
    started = time.process_time()
    finder = GroupFinder(samples["anchor"])
    finder.link(samples.select("anchor", key=pl.col("sample_id").str.slice(3, 4)).head(count // 10))
    splits = assign_splits(samples, finder.groups(), SplitPolicy())
    split_seconds = time.process_time() - started
    recipe = Recipe(dict(zip(_POOLS, _SHARES, strict=True)), "by_hand")
    policy = MixturePolicy(balance=BalancePolicy(source_exponent=0.7, max_source_share=0.2), curriculum="staged")
    started = time.process_time()
    draw = draw_release([samples], policy, "r1", {}, recipe=recipe, splits=splits.samples)
    draw_seconds = time.process_time() - started
    total = sum(one.draws for one in draw.plan)
    off = max(abs(one.draws - one.asked * total) for one in draw.plan)
    if off > 1.0 or draw.mixtures.height + draw.exclusions.height != count:
        raise SystemExit(f"{count} samples: a pool is {off} draws off, or samples were lost")
    return {
        "samples": count,
        "split_cpu_s": round(split_seconds, 2),
        "draw_cpu_s": round(draw_seconds, 2),
        "cpu_us_per_sample": round((split_seconds + draw_seconds) / count * 1e6, 2),
        "input_mib": round(rows_bytes / _MIB, 1),
        "peak_growth_mib": round(peak_mib() - before, 1),
        "bytes_per_sample": round((peak_mib() - before) * _MIB / count),
        "largest_miss_draws": round(off, 3),
    }


def measure_decontamination() -> dict[str, Any]:
    """CPU seconds of comparing texts with an evaluation set of 1,000 questions."""
    generator = np.random.default_rng(1)
    vocabulary = np.array([f"word{n}" for n in range(5_000)])
    texts = [" ".join(row) for row in vocabulary[generator.integers(0, 5_000, (_TEXTS_TIMED, _WORDS_PER_TEXT))]]
    questions = [" ".join(vocabulary[generator.integers(0, 5_000, 4 + n % 40)]) for n in range(1_000)]
    planted = range(0, _TEXTS_TIMED, 97)
    for n in planted:
        texts[n] += "\n" + questions[n % 1_000]
    index = EvaluationTexts((("questions", question) for question in questions), DecontaminationPolicy())
    started = time.process_time()
    hits = index.find(pl.Series(texts))
    seconds = time.process_time() - started
    if hits["row"].to_list() != list(planted):
        raise SystemExit(f"{hits.height} texts were found of {len(planted)} planted ones")
    return {
        "texts": _TEXTS_TIMED,
        "words": _TEXTS_TIMED * _WORDS_PER_TEXT,
        "lengths_looked_up": len(index.lengths),
        "cpu_s": round(seconds, 2),
        "texts_per_cpu_s": round(_TEXTS_TIMED / seconds),
        "planted": len(planted),
        "found": hits.height,
    }


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def main() -> int:
    """Print one JSON line per size, then one for decontamination; returns how many bounds were missed."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
        return 0
    measured: list[dict[str, Any]] = []
    for size in [int(argument) for argument in sys.argv[1:]] or _SIZES:
        command = [sys.executable, __file__, "--one", str(size)]
        measured.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        print(json.dumps(measured[-1]), flush=True)
    print(json.dumps(measure_decontamination()))
    largest = max(measured, key=lambda one: one["samples"])
    missed = [
        name
        for name, bound in (("cpu_us_per_sample", _MAX_CPU_US), ("bytes_per_sample", _MAX_BYTES))
        if largest["samples"] >= _JUDGED_FROM and largest[name] > bound
    ]
    print(f"missed: {', '.join(missed) or 'nothing'} (bounds: {_MAX_CPU_US} us and {_MAX_BYTES} bytes a sample)")
    return len(missed)


if __name__ == "__main__":
    raise SystemExit(main())
