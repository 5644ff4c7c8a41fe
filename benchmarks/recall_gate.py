"""How often the recall gate holds a sound batch, finds a spoiled one, and names the right cause.

Pairs come from a Gaussian model at two signal strengths, in random order and sorted by subject, and from the demo's
real pictures and captions, embedded by the embedded encoder. Each trial draws a batch, spoils it, and asks the gate.

Usage: python benchmarks/recall_gate.py [--clean 400] [--spoiled 60] [--sizes 40 70] [--sources NAME …] [--json]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mm_assets.errors import DecodeError
from mm_assets.features.decode import decode_square
from mm_assets.gates.recall import evaluate_recall
from mm_assets.gates.recall_baseline import Baseline, floor_baseline
from mm_assets.gates.recall_input import RecallInput
from mm_assets.gates.recall_verdict import RecallVerdict
from mm_assets.policy import Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.reading import read_batch
from resources.image_text_encoder import build_encoder
from resources.object_store import open_landing

POLICY = Policy()
DIMENSION = 64
LARGE = 500
"""From this size on a quarter of the trials is run."""


@dataclass(frozen=True)
class Material:
    """Sound pairs in delivery order."""

    images: np.ndarray
    captions: np.ndarray
    texts: list[str]

    def __len__(self) -> int:
        return len(self.images)


Fault = Callable[[Material, np.random.Generator], tuple[Material, Callable[[RecallVerdict], bool]]]


# -- where sound pairs come from


def model_pairs(count: int, generator: np.random.Generator, *, noise: float, run: int = 1) -> Material:
    """Pairs with a common latent; with ``run`` > 1 neighbours share half of it, as in a delivery sorted by subject."""
    own = generator.normal(size=(count, DIMENSION))
    subjects = np.repeat(generator.normal(size=(-(-count // run), DIMENSION)), run, axis=0)[:count]
    latent = own if run == 1 else (own + subjects) / np.sqrt(2.0)
    views = [latent + noise * generator.normal(size=(count, DIMENSION)) for _ in range(2)]
    return Material(_unit(views[0]), _unit(views[1]), [_sentence(generator) for _ in range(count)])


def _sentence(generator: np.random.Generator) -> str:
    return " ".join("".join(map(chr, 97 + generator.integers(0, 26, 5))) for _ in range(4))


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@cache
def real_pairs() -> Material:
    """Pictures and main captions of the demo's sound deliveries, embedded as the demo embeds them."""
    landing = open_landing(str(ROOT / "demo" / "data" / "landing"))
    spoiled = set(json.loads((ROOT / "demo" / "expected.json").read_text(encoding="utf-8"))["spoiled"])
    encoder = build_encoder("bridge-lite0-minilm")
    squares: list[np.ndarray] = []
    texts: list[str] = []
    for batch in sorted(set(landing.batches()) - spoiled):
        for chunk in read_batch(landing, read_contract(landing, batch, POLICY.ingest), POLICY.ingest):
            captions = dict(
                chunk.captions.sort("caption_index", descending=True).select("image_id", "text").iter_rows()
            )
            for image_id, reference in chunk.images.select("image_id", "source_ref").iter_rows():
                data = landing.read(landing.key(reference["uri"]), reference["byte_offset"], reference["byte_size"])
                try:
                    square = decode_square(data, encoder.input_side_px, encoder.resize_mode, encoder.padding_rgb)
                except DecodeError:
                    continue
                if image_id in captions:
                    squares.append(square)
                    texts.append(captions[image_id])
    blocks = [np.stack(squares[start : start + 32]) for start in range(0, len(squares), 32)]
    images = np.concatenate([encoder.encode_images(block).embedding for block in blocks])
    return Material(images, encoder.encode_texts(texts), texts)


def draw_real(count: int, generator: np.random.Generator, *, in_order: bool) -> Material:
    """A sample of the real pairs, in the order of their deliveries or in random order."""
    pool = real_pairs()
    chosen = generator.choice(len(pool), size=count, replace=False)
    if in_order:
        chosen.sort()
    return Material(pool.images[chosen], pool.captions[chosen], [pool.texts[row] for row in chosen])


SOURCES: dict[str, Callable[[int, np.random.Generator], Material]] = {
    "model, weak": lambda count, generator: model_pairs(count, generator, noise=2.0),
    "model, medium": lambda count, generator: model_pairs(count, generator, noise=1.6),
    "model, sorted": lambda count, generator: model_pairs(count, generator, noise=1.6, run=10),
    "demo, shuffled": lambda count, generator: draw_real(count, generator, in_order=False),
    "demo, in order": lambda count, generator: draw_real(count, generator, in_order=True),
}


# -- what goes wrong


def _dealt(material: Material, order: np.ndarray) -> Material:
    return Material(material.images, material.captions[order], [material.texts[row] for row in order])


def _is_shift(offset: int) -> Callable[[RecallVerdict], bool]:
    def judge(verdict: RecallVerdict) -> bool:
        found = verdict.diagnosis
        return found is not None and found.kind == "shift" and found.details["shift"] == offset

    return judge


def _is(*kinds: str) -> Callable[[RecallVerdict], bool]:
    return lambda verdict: verdict.diagnosis is not None and verdict.diagnosis.kind in kinds


def clean(material: Material, _: np.random.Generator) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """Nothing is wrong."""
    return material, _is("in_place")


def shift(material: Material, generator: np.random.Generator) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """All captions 1 to 5 rows up or down."""
    offset = int(generator.choice([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]))
    return _dealt(material, np.roll(np.arange(len(material)), offset)), _is_shift(offset)


def shift_share(share: float) -> Fault:
    """The last rows of the batch shifted by one."""

    def spoil(material: Material, _: np.random.Generator) -> tuple[Material, Callable[[RecallVerdict], bool]]:
        order = np.arange(len(material))
        start = round(len(material) * (1.0 - share))
        order[start:] = np.roll(order[start:], 1)
        return _dealt(material, order), _is_shift(1)

    return spoil


def lose_line(material: Material, generator: np.random.Generator) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """One caption line lost in the first two thirds; the last image gets a caption from elsewhere."""
    count = len(material)
    lost = int(generator.integers(count // 10, 2 * count // 3))
    return _dealt(material, np.append(np.delete(np.arange(count), lost), lost)), _is_shift(-1)


def reverse(material: Material, _: np.random.Generator) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """Captions in reversed order."""
    return _dealt(material, np.arange(len(material))[::-1]), _is("reversed")


def shuffle_blocks(
    material: Material, generator: np.random.Generator
) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """Blocks of a tenth to a quarter of the rows, 64 at most, in random order; at least half of them move."""
    count = len(material)
    size = int(np.clip(generator.integers(max(count // 10, 4), count // 4 + 1), 4, 64))
    blocks = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    while True:
        dealt = generator.permutation(len(blocks))
        if (dealt != np.arange(len(blocks))).mean() >= 0.5:
            return _dealt(material, np.concatenate([blocks[block] for block in dealt])), _is("shuffled_blocks")


def deal_at_random(
    material: Material, generator: np.random.Generator
) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """Captions dealt at random."""
    return _dealt(material, generator.permutation(len(material))), _is("random_pairing", "weakly_related")


def fill_template(
    material: Material, generator: np.random.Generator
) -> tuple[Material, Callable[[RecallVerdict], bool]]:
    """Four of five captions replaced by one sentence with a number in it, embedded alike."""
    count = len(material)
    hit = generator.random(count) < 0.8
    sentence = material.captions.mean(axis=0)
    captions = material.captions.copy()
    near = sentence / np.linalg.norm(sentence) + 0.02 * generator.normal(size=(int(hit.sum()), len(sentence)))
    captions[hit] = _unit(near)
    texts = [
        f"Vehicles pass the crossing number {row}" if is_hit else material.texts[row] for row, is_hit in enumerate(hit)
    ]
    return Material(material.images, captions, texts), _is("templated")


FAULTS: dict[str, Fault] = {
    "clean": clean,
    "shift by 1-5": shift,
    "shift of 50 %": shift_share(0.5),
    "shift of 30 %": shift_share(0.3),
    "shift of 15 %": shift_share(0.15),
    "lost line": lose_line,
    "reversed": reverse,
    "shuffled blocks": shuffle_blocks,
    "random": deal_at_random,
    "templated": fill_template,
}


# -- the trials


def ask_gate(material: Material, baseline: Baseline) -> RecallVerdict:
    """The gate's verdict on a batch in this order."""
    count = len(material)
    ids = tuple(map(str, range(count)))
    batch = RecallInput(
        images=material.images,
        positions=np.arange(count, dtype=np.int64),
        captions=material.captions,
        caption_images=np.arange(count, dtype=np.int64),
        caption_index=np.zeros(count, dtype=np.int64),
        texts=tuple(material.texts),
        image_ids=ids,
        caption_ids=ids,
    )
    return evaluate_recall(batch, baseline, POLICY.recall_gate, POLICY.captions)


def run_trials(source: str, size: int, fault: str, trials: int) -> dict[str, Any]:
    """Counts and medians of one row of the table."""
    held = right = 0
    recalls: list[float] = []
    milliseconds: list[float] = []
    baseline = floor_baseline(POLICY.recall_gate)
    for trial in range(trials):
        generator = np.random.default_rng([trial, size, list(SOURCES).index(source), list(FAULTS).index(fault)])
        material, judge = FAULTS[fault](SOURCES[source](size, generator), generator)
        started = time.process_time()
        verdict = ask_gate(material, baseline)
        milliseconds.append(1e3 * (time.process_time() - started))
        held += not verdict.passed
        right += judge(verdict) and (fault == "clean" or not verdict.passed)
        recalls.append(verdict.recall_at_1)
    return {
        "source": source,
        "pairs": size,
        "fault": fault,
        "trials": trials,
        "held": held,
        "right_cause": right,
        "median_recall": round(float(np.median(recalls)), 3),
        "cpu_ms": round(float(np.median(milliseconds)), 1),
    }


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows of the table."""
    for source in arguments.sources:
        available = len(real_pairs()) if source.startswith("demo") else sys.maxsize
        for size in arguments.sizes:
            if size > available:
                continue
            for fault in FAULTS:
                trials = arguments.clean if fault == "clean" else arguments.spoiled
                yield run_trials(source, size, fault, trials if size < LARGE else max(1, trials // 4))


def main() -> None:
    """Print one row per source, size and fault."""
    parser = argparse.ArgumentParser(description="False holds, power and right causes of the recall gate")
    parser.add_argument("--clean", type=int, default=400, help="trials of sound batches")
    parser.add_argument("--spoiled", type=int, default=60, help="trials of each fault")
    parser.add_argument("--sizes", type=int, nargs="+", default=[40, 70, 200, 1000])
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if not arguments.json:
        print(f"{'source':16} {'pairs':>5} {'fault':16} {'held':>9} {'right cause':>12} {'R@1':>6} {'CPU ms':>7}")
    for row in measure(arguments):
        rows.append(row)
        if not arguments.json:
            counts = f"{row['held']}/{row['trials']}", f"{row['right_cause']}/{row['trials']}"
            print(
                f"{row['source']:16} {row['pairs']:5} {row['fault']:16} {counts[0]:>9} {counts[1]:>12} "
                f"{row['median_recall']:6.3f} {row['cpu_ms']:7.1f}",
                flush=True,
            )
    sound = [row for row in rows if row["fault"] == "clean"]
    held, trials = sum(row["held"] for row in sound), sum(row["trials"] for row in sound)
    if arguments.json:
        print(json.dumps({"rows": rows, "false_holds": held, "sound_batches": trials}))
    else:
        print(f"false holds: {held} of {trials} sound batches")


if __name__ == "__main__":
    main()
