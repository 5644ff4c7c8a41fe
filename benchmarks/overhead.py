"""What a batch costs beside decoding and models: Dagster, Delta, checks, gates, packing and the release.

Imports and lexicons are start-up, once per process, and done before the clock starts: that of the definitions, of
matplotlib, which the first figure of a process loads, and of scikit-learn and WordNet, which the first negatives load.

A record is a picture with its caption, or a text; a release of both needs some of either.

Usage: python benchmarks/overhead.py [--records 1000] [--texts 100] [--json]
"""

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from demo_pictures import demo_pairs
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BATCH = "measured"
LIMIT_S = 10.0
SIDE_PX = 96


def write_delivery(landing: Path, pictures: int, texts: int) -> None:
    """Pairs of demo pictures side by side with both captions, so that a sound batch is judged, and texts."""
    choice = random.Random(1)  # noqa: S311 - a delivery, no secret
    pairs = demo_pairs(SIDE_PX)
    images, prose = landing / BATCH / "images", landing / BATCH / "text"
    images.mkdir(parents=True)
    prose.mkdir()
    contract = {"contract": "mm-batch/1", "source": "synthetic", "license": "CC0-1.0"}
    (landing / BATCH / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    lines, lemmas = [], []
    chosen = choice.sample([*itertools.combinations(pairs, 2)], max(pictures, texts))
    for number, (one, other) in enumerate(chosen):
        caption = f"{one[1]}, and {other[1][:1].lower()}{other[1][1:]}."
        if number < texts:
            lemmas.append(json.dumps({"text": f"Lemma {number}: {caption} Proof by inspection.", "kind": "math"}))
        if number >= pictures:
            continue
        both = Image.new("RGB", (2 * SIDE_PX, SIDE_PX))
        both.paste(one[0], (0, 0))
        both.paste(other[0], (SIDE_PX, 0))
        both.save(images / f"{number:05d}.png")
        lines.append(json.dumps({"file_name": f"{number:05d}.png", "text": caption}))
    (images / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (prose / "lemmas.jsonl").write_text("\n".join(lemmas) + "\n", encoding="utf-8")
    (landing / BATCH / "_SUCCESS").touch()


def measure(records: int, texts: int) -> dict[str, float | int | str]:
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
        write_delivery(work / "landing", records - texts, texts)
        (work / "policy.toml").write_text("[images]\nnsfw_enabled = false\n", encoding="utf-8")
        files = [path.read_bytes() for path in sorted((work / "landing" / BATCH / "images").glob("*.png"))]
        decoding = time.perf_counter()
        for data in files:  # cleaning, the detector of claims and the encoder each decode a picture
            decode_image(data, "picture", Policy().images)
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
            summary = Runner(workspace, ConsoleBars(Console(quiet=True))).run(None, "measured")
            wall = time.perf_counter() - started
            training = sum(
                (record.end_time or 0.0) - (record.start_time or 0.0)
                for record in instance.get_run_records(dg.RunsFilter(job_name="train_codebook"))
            )
        if summary.failed or summary.held:
            raise SystemExit(f"the batch did not pass: {summary.failed or summary.held}")
        model = float(lake.scan("costs").collect()["device_seconds"].sum())
        samples = lake.count("fusion_samples", BATCH)
    rest = wall - model - decoding - training
    return {
        "records": records,
        "texts": texts,
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
    parser.add_argument("--records", type=int, default=1_000, help="pictures and texts")
    parser.add_argument("--texts", type=int, default=100, help="texts among them")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report = measure(arguments.records, arguments.texts)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            "{records} records, {texts} of them texts: {wall_s} s in all, {model_s} s models, {decode_s} s decoding, "
            "{codebook_s} s training the first codebook, "
            "{neither_s} s neither (limit {limit_s} s)".format(**report)
        )
    return 0 if float(report["neither_s"]) < LIMIT_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
