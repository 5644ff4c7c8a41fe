"""Cleaning of image-text records: ours beside a plain loop and Data-Juicer, on the same files, CPU seconds.

Usage: python benchmarks/cleaning.py [FOLDER] [--records 1000] [--rounds 3] [--json]

A delivery is built from the pictures of FOLDER (default: the demo's), with repeats of bytes, tiny pictures, truncated
pictures and overlong captions among them. Every contender applies the same rules: complete decode, shorter side,
aspect, caption length, repeats of pictures. The safety model is off.

- *cleaning*: our cleaning stage, without Dagster. It also repairs captions and looks for junk, templates and
  near-duplicates by pixels.
- *reading + cleaning*: the same with the reading of the delivery, which checks its contract and hashes every file.
- *plain loop*: json, Pillow, the rules, a set of SHA-256 and a set of perceptual hashes (DCT, equal hashes only).
- *plain loop, bytes only*: the same without the perceptual hash.
- *Data-Juicer*: its text length, image shape and aspect filters and its image deduplicator (pHash), one process. It is
  spared the truncated pictures: where one does not open, it drops all records read together with it. Needs
  MM_BENCH_DATA_JUICER, the Python of an environment with py-data-juicer 1.6.1.

Each contender runs in a process of its own, in turn, every round: once, counted from its start (*with start-up*), then
once more, warm (*ms/record*); medians of the rounds. Data-Juicer is measured as a whole process only.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cleaning_delivery import BATCH, build, is_truncated

MIN_SIDE_PX, MAX_ASPECT, MIN_CHARACTERS, MAX_CHARACTERS = 32, 5.0, 3, 2_000
MAX_RATIO_TO_LOOP, MIN_RATIO_OF_DATA_JUICER = 1.3, 3.0
DATA_JUICER = """
project_name: cleaning
dataset_path: {records}
export_path: {target}
np: 1
open_tracer: false
use_cache: false
image_key: images
text_keys: text
process:
  - text_length_filter: {{min_len: 3, max_len: 2000}}
  - image_shape_filter: {{min_width: 32, min_height: 32}}
  - image_aspect_ratio_filter: {{min_ratio: 0.2, max_ratio: 5.0}}
  - image_deduplicator: {{method: phash, consider_text: false}}
"""
HOW = (
    "uv venv peers; uv pip install --python peers/bin/python py-data-juicer==1.6.1 imagededup; "
    "export MM_BENCH_DATA_JUICER=peers/bin/python"
)


class NoLanguageToName:
    """Stands for the language model, which is not asked where the delivery declares its language, as here."""

    identity = None

    def identify(self, texts: list[str]) -> list[Any]:
        """Nothing to name."""
        if texts:
            raise AssertionError(f"asked for the language of {len(texts)} captions")
        return []


def ours(landing_root: Path) -> dict[str, Any]:
    """Our reading and cleaning."""
    import polars as pl  # start-up counts for the process that runs this only

    from mm_assets.cleaned.captions import clean_captions
    from mm_assets.cleaned.duplicates import find_duplicates
    from mm_assets.cleaned.fingerprint_spool import reader_of
    from mm_assets.cleaned.images import clean_images, reject_duplicates
    from mm_assets.policy import Policy
    from mm_assets.raw_pools.contract import read_contract
    from mm_assets.raw_pools.reading import read_batch
    from resources.local_landing import LocalLanding

    policy = Policy()
    started = time.process_time()
    landing = LocalLanding(landing_root)
    raw = list(read_batch(landing, read_contract(landing, BATCH, policy.ingest), policy.ingest))
    read = time.process_time()
    chunks = list(clean_images((chunk.images for chunk in raw), landing, None, policy.images, threads=1))
    fingerprints = pl.concat([chunk.fingerprints for chunk in chunks])
    inspected = pl.concat([chunk.kept for chunk in chunks])
    decoded = time.process_time()
    duplicates = find_duplicates(fingerprints, [], reader_of(fingerprints), policy.duplicates)
    images = inspected.join(duplicates, on="image_id", how="anti", maintain_order="left")
    found = time.process_time()
    captions, turned_away = clean_captions(
        pl.concat([chunk.captions for chunk in raw]),
        images["image_id"],
        NoLanguageToName(),
        policy.captions,
        max_template_share=1.0,
    )
    ended = time.process_time()
    rejected = pl.concat(
        [
            *(chunk.rejected for chunk in raw),
            *(chunk.rejected for chunk in chunks),
            reject_duplicates(inspected, duplicates),
        ]
    )
    return {
        "cpu": ended - read,
        "cpu with reading": ended - started,
        "parts": {"decode": decoded - read, "duplicates": found - decoded, "captions": ended - found},
        "kept": captions.height,
        "rejected": dict(sorted(pl.concat([rejected, turned_away])["code"].value_counts().iter_rows())),
    }


def plain_loop(landing_root: Path, *, perceptual: bool) -> dict[str, Any]:
    """What one writes in an afternoon."""
    import numpy as np
    import scipy.fft
    from PIL import Image

    started = time.process_time()
    folder = landing_root / BATCH / "images"
    kept, rejected, digests, hashes = [], {}, set(), set()

    def reject(code: str) -> None:
        rejected[code] = rejected.get(code, 0) + 1

    for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        text = " ".join(record["text"].split())
        if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
            reject("LENGTH")
            continue
        data = (folder / record["file_name"]).read_bytes()
        digest = hashlib.sha256(data).digest()
        if digest in digests:
            reject("EXACT_DUPLICATE")
            continue
        digests.add(digest)
        try:
            with Image.open(folder / record["file_name"]) as opened:
                image = opened.convert("RGB")
        except (OSError, SyntaxError):
            reject("TRUNCATED_IMAGE")
            continue
        width, height = image.size
        if min(width, height) < MIN_SIDE_PX:
            reject("TOO_SMALL")
            continue
        if max(width, height) > MAX_ASPECT * min(width, height):
            reject("EXTREME_ASPECT")
            continue
        if perceptual:
            gray = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
            low = scipy.fft.dctn(gray)[:8, :8]
            key = np.packbits(low > np.median(low)).tobytes()
            if key in hashes:
                reject("NEAR_DUPLICATE")
                continue
            hashes.add(key)
        kept.append({**record, "text": text, "width": width, "height": height})
    return {"cpu": time.process_time() - started, "kept": len(kept), "rejected": dict(sorted(rejected.items()))}


CONTENDERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cleaning": ours,
    "plain loop": lambda landing: plain_loop(landing, perceptual=True),
    "plain loop, bytes only": lambda landing: plain_loop(landing, perceptual=False),
}


def in_own_process(command: list[str], folder: Path) -> tuple[str, float]:
    """Standard output and CPU seconds of a process and its children."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with (folder / "stdout").open("w+") as output, (folder / "stderr").open("w+") as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors, cwd=folder, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            tail = " | ".join(errors.read().strip().splitlines()[-3:])
            raise RuntimeError(f"{' '.join(command[:3])} ended with {child.returncode}: {tail}")
        return output.read(), used.ru_utime + used.ru_stime


def data_juicer(python: str, landing: Path, folder: Path) -> tuple[dict[str, Any], float]:
    """One run of dj-process on the same records."""
    images = landing / BATCH / "images"
    records, target = folder / "records.jsonl", folder / "out" / "kept.jsonl"
    with records.open("w", encoding="utf-8") as file:
        for line in (images / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            picture = images / record["file_name"]
            if not is_truncated(picture):
                file.write(json.dumps({"text": record["text"], "images": [str(picture)]}) + "\n")
    recipe = folder / "recipe.yaml"
    recipe.write_text(DATA_JUICER.format(records=records, target=target), encoding="utf-8")
    program = Path(python).parent / "dj-process"
    _, cpu = in_own_process([python, str(program), "--config", str(recipe)], folder)
    kept = target.read_text(encoding="utf-8").splitlines()
    if not kept:
        raise RuntimeError(f"Data-Juicer kept nothing; see {target.parent}")
    return {"kept": len(kept)}, cpu


def measure(landing: Path, records: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Every contender in turn, every round."""
    python = os.environ.get("MM_BENCH_DATA_JUICER")
    inside: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(rounds):
            for name in CONTENDERS:
                command = [sys.executable, str(Path(__file__).resolve()), "--contender", name, str(landing)]
                output, _ = in_own_process(command, Path(scratch))
                answers[name] = json.loads(output)
                inside.setdefault(name, []).append(answers[name]["cpu"])
                whole.setdefault(name, []).append(answers[name]["cpu with start-up"])
                if "cpu with reading" in answers[name]:
                    inside.setdefault("reading + cleaning", []).append(answers[name]["cpu with reading"])
                    whole.setdefault("reading + cleaning", []).append(answers[name]["cpu with start-up"])
            if python:
                with tempfile.TemporaryDirectory() as folder:
                    answers["Data-Juicer"], cpu = data_juicer(python, landing, Path(folder))
                whole.setdefault("Data-Juicer", []).append(cpu)
    rows: dict[str, dict[str, Any]] = {}
    for name, seconds in whole.items():
        rows[name] = {"ms/record with start-up": statistics.median(seconds) / records * 1_000}
        if name in inside:
            rows[name]["ms/record"] = statistics.median(inside[name]) / records * 1_000
        rows[name] |= {key: value for key, value in answers.get(name, {}).items() if not key.startswith("cpu")}
    return rows


def report(shape: dict[str, int], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Figures, ratios and whether they meet their targets."""
    ratios: dict[str, dict[str, Any]] = {}
    for peer in ("plain loop", "plain loop, bytes only"):
        ratios[f"cleaning / {peer}"] = {"ratio": rows["cleaning"]["ms/record"] / rows[peer]["ms/record"]}
    ratios["cleaning / plain loop"] |= {
        "target": f"<= {MAX_RATIO_TO_LOOP}",
        "met": ratios["cleaning / plain loop"]["ratio"] <= MAX_RATIO_TO_LOOP,
    }
    if "Data-Juicer" in rows:
        # Ours with reading and start-up too: both are whole processes from files to records.
        ratio = rows["Data-Juicer"]["ms/record with start-up"] / rows["reading + cleaning"]["ms/record with start-up"]
        ratios["Data-Juicer / reading + cleaning, with start-up"] = {
            "ratio": ratio,
            "target": f">= {MIN_RATIO_OF_DATA_JUICER}",
            "met": ratio >= MIN_RATIO_OF_DATA_JUICER,
        }
    return {"delivery": shape, "rows": rows, "ratios": ratios}


def print_table(figures: dict[str, Any]) -> None:
    """The report for a person."""
    print(", ".join(f"{count} {name}" for name, count in figures["delivery"].items()))
    print(f"{'':26s}{'ms/record':>12s}{'with start-up':>16s}{'kept':>8s}")
    for name, row in figures["rows"].items():
        alone = f"{row['ms/record']:.2f}" if "ms/record" in row else "-"
        print(f"{name:26s}{alone:>12s}{row['ms/record with start-up']:16.2f}{row.get('kept', ''):>8}")
        for label in ("parts", "rejected"):
            if label in row:
                shown = row[label]
                if label == "parts":
                    shown = {
                        part: round(seconds / figures["delivery"]["records"] * 1_000, 2)
                        for part, seconds in shown.items()
                    }
                print(f"    {label}: {shown}")
    if "Data-Juicer" not in figures["rows"]:
        print(f"Data-Juicer               not measured: {HOW}")
    for name, ratio in figures["ratios"].items():
        verdict = f"  target {ratio['target']}: {'met' if ratio['met'] else 'MISSED'}" if "target" in ratio else ""
        print(f"{name}: {ratio['ratio']:.2f}{verdict}")


def main() -> int:
    """Measure and report; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "demo" / "data" / "landing")
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contender", choices=tuple(CONTENDERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        CONTENDERS[arguments.contender](arguments.folder)
        used = resource.getrusage(resource.RUSAGE_SELF)
        again = CONTENDERS[arguments.contender](arguments.folder)
        print(json.dumps(again | {"cpu with start-up": used.ru_utime + used.ru_stime}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / "landing"
        shape = build(arguments.folder, landing, arguments.records)
        rows = measure(landing, shape["records"], arguments.rounds)
    figures = report(shape, rows)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table(figures)
    return 0 if all(ratio.get("met", True) for ratio in figures["ratios"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
