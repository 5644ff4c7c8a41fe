"""What a batch costs beside decoding and models: Dagster, Delta, checks, gates, packing and the release.

Imports and lexicons are start-up, once per process, and done before the clock starts: that of the definitions, of
matplotlib, which the first figure of a process loads, and of scikit-learn and WordNet, which the first negatives load.

Usage: python benchmarks/overhead.py [--records 1000] [--json]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BATCH = "measured"
LIMIT_S = 10.0
_WORDS = ("red", "green", "blue", "old", "new", "small", "large", "round", "flat", "bright", "dark", "soft")
_THINGS = ("lamp", "boat", "house", "tree", "chair", "wheel", "bottle", "clock", "drum", "ladder", "kite", "bell")


def write_delivery(landing: Path, records: int) -> None:
    """Distinct pictures of random shapes with distinct captions, and as many texts."""
    random = np.random.default_rng(1)
    images, text = landing / BATCH / "images", landing / BATCH / "text"
    images.mkdir(parents=True)
    text.mkdir()
    contract = {"contract": "mm-batch/1", "source": "synthetic", "license": "CC0-1.0"}
    (landing / BATCH / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    lines, texts = [], []
    for number in range(records):
        coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(images / f"{number:05d}.png")
        adjective, thing = random.choice(_WORDS), random.choice(_THINGS)
        caption = f"A {adjective} {thing} number {number} beside a {random.choice(_THINGS)}."
        lines.append(json.dumps({"file_name": f"{number:05d}.png", "text": caption}))
        texts.append(json.dumps({"text": f"Lemma {number}: {caption} Proof by inspection.", "kind": "math"}))
    (images / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (text / "lemmas.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (landing / BATCH / "_SUCCESS").touch()


def measure(records: int) -> dict[str, float | int | str]:
    """Run one batch to a release; wall seconds in all, in models and their training, decoding, and what is left."""
    sys.path.insert(0, str(ROOT))
    import dagster as dg
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401 - matplotlib loads it with the first figure
    import sklearn.linear_model  # noqa: F401 - the audit of negatives loads it
    from rich.console import Console

    from mm_assets.cleaned.decoding import decode_image
    from mm_assets.commands.progress_bars import ConsoleBars
    from mm_assets.commands.run import Runner
    from mm_assets.commands.workspace import Workspace, dagster_home
    from mm_assets.definitions import define
    from mm_assets.features.decode import decode_square
    from mm_assets.policy import Policy
    from resources.delta_lake import DeltaLake
    from resources.wordnet import read_wordnet

    read_wordnet()
    with tempfile.TemporaryDirectory(prefix="mm-overhead-") as folder:
        work = Path(folder)
        write_delivery(work / "landing", records)
        (work / "policy.toml").write_text("[images]\nnsfw_enabled = false\n", encoding="utf-8")
        files = [path.read_bytes() for path in sorted((work / "landing" / BATCH / "images").glob("*.png"))]
        decoding = time.perf_counter()
        for data in files:
            decode_image(data, "picture", Policy().images)
            decode_square(data, 224, "squash", (255, 255, 255))
        decoding = time.perf_counter() - decoding
        definitions = define(str(work / "landing"), str(work / "lake"), str(work / "policy.toml"))
        lake = DeltaLake(root=str(work / "lake"))
        os.environ["DAGSTER_HOME"] = str(work / "home")
        dagster_home()
        with dg.DagsterInstance.get() as instance:
            workspace = Workspace(instance, definitions)
            started = time.perf_counter()
            Runner(workspace, ConsoleBars(Console(quiet=True))).run(None, None)
            while (active := workspace.holds.active()).height:  # a gate behind another is measured once that is waived
                for batch, gate in active.select("batch", "gate").iter_rows():
                    workspace.holds.release(batch, gate, "benchmark", "synthetic pictures have no meaning")
                Runner(workspace, ConsoleBars(Console(quiet=True))).run(None, None)
            summary = Runner(workspace, ConsoleBars(Console(quiet=True))).run(None, "measured")
            wall = time.perf_counter() - started
            training = sum(
                (record.end_time or 0.0) - (record.start_time or 0.0)
                for record in instance.get_run_records(dg.RunsFilter(job_name="train_codebook"))
            )
        if summary.failed:
            raise SystemExit(f"the run failed: {summary.failed}")
        model = float(lake.scan("costs").collect()["device_seconds"].sum())
        samples = lake.count("fusion_samples", BATCH)
    rest = wall - model - decoding - training
    return {
        "records": records,
        "samples": samples,
        "wall_s": round(wall, 2),
        "model_s": round(model, 2),
        "decode_s": round(decoding, 2),
        "codebook_s": round(training, 2),
        "neither_s": round(rest, 2),
        "limit_s": LIMIT_S,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report = measure(arguments.records)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            "{records} image records and as many texts: {wall_s} s in all, {model_s} s models, {decode_s} s decoding, "
            "{codebook_s} s training the first codebook, "
            "{neither_s} s neither (limit {limit_s} s)".format(**report)
        )
    return 0 if float(report["neither_s"]) < LIMIT_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
