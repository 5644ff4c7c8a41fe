"""Kill a batch run with SIGKILL at random moments, rerun it, and compare every table with an undisturbed run.

Usage: python benchmarks/kill_and_rerun.py [--trials 50] [--seed 1] [--batch NAME] [--images 12] [--json]
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTENT_TABLES = (
    "raw_images",
    "raw_captions",
    "raw_texts",
    "images",
    "image_fingerprints",
    "captions",
    "texts",
    "rejected",
    "image_embeddings",
    "caption_embeddings",
    "visual_codes",
    "image_text_recall",
    "fusion_samples",
    "codebook",
    "batches",
)
# child table, its column, parent table, its column
REFERENCES = (
    ("captions", "image_id", "images", "image_id"),
    ("image_embeddings", "image_id", "images", "image_id"),
    ("caption_embeddings", "caption_id", "captions", "caption_id"),
    ("visual_codes", "image_id", "image_embeddings", "image_id"),
    ("fusion_samples", "image_id", "images", "image_id"),
    ("fusion_samples", "text_id", "texts", "text_id"),
)


def small_landing(folder: Path, batch: str, images: int) -> None:
    """A landing area with the first records of one demo batch and a few texts."""
    source = ROOT / "demo" / "data" / "landing" / batch
    target = folder / batch
    (target / "images").mkdir(parents=True)
    (target / "text").mkdir()
    shutil.copy(source / "batch.json", target / "batch.json")
    lines = (source / "images" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[:images]
    for line in lines:
        name = json.loads(line)["file_name"]
        if (source / "images" / name).is_file():
            shutil.copy(source / "images" / name, target / "images" / name)
    (target / "images" / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = [{"text": f"A lemma about the number {number} and its divisors.", "kind": "math"} for number in range(20)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (target / "text" / "lemmas.jsonl").write_text(text, encoding="utf-8")
    (target / "_SUCCESS").touch()


def run_in_child(home: Path, landing: Path, lake: Path, batch: str | None) -> int:
    """Fork a child that runs the batch to its end, or only sets up Dagster's home; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ |= {"DAGSTER_HOME": str(home), "MM_LANDING": str(landing), "MM_LAKE": str(lake)}
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        from rich.console import Console  # noqa: PLC0415

        from mm_assets.commands.run import Runner  # noqa: PLC0415
        from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415

        workspace = open_workspace()
        if batch is None:
            status = min(workspace.instance.get_runs_count(), 1)
        else:
            summary = Runner(workspace, Console(stderr=True)).run([batch], None)
            status = 1 if summary.failed or summary.refused else 0
    finally:
        os._exit(status)


def wait(child: int) -> int:
    """Exit status of the child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_in_child(lake: Path, batch: str, out: Path, reference: Path | None = None) -> None:
    """Write every content table, what differs from a reference, and orphans; in a child, which keeps us fork-safe."""
    child = os.fork()
    if child:
        if wait(child) != 0:
            raise SystemExit("the tables could not be read")
        return
    status = 1
    try:
        import polars as pl  # noqa: PLC0415

        from mm_assets.schemas import TABLES  # noqa: PLC0415
        from resources.delta_lake import DeltaLake  # noqa: PLC0415

        store = DeltaLake(root=str(lake))
        out.mkdir()
        differing: list[str] = []
        for table in CONTENT_TABLES:
            rows = store.read(table, batch if "batch" in TABLES[table].columns else None)
            keys = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
            rows = rows.sort(keys)
            rows.write_ipc(out / f"{table}.arrow")
            if reference is not None and not rows.equals(pl.read_ipc(reference / f"{table}.arrow")):
                differing.append(table)
        orphans: dict[str, int] = {}
        for child_table, column, parent, key in REFERENCES:
            references = store.scan(child_table, batch).drop_nulls(column)
            dangling = references.join(store.scan(parent, batch), left_on=column, right_on=key, how="anti").collect()
            orphans[f"{child_table}.{column}"] = dangling.height
        shards = store.read("image_embeddings", batch)["spatial_features"].str.split("#").list.first().unique()
        missing = [path for path in shards if not (lake / path).is_file()]
        stray = len(list((lake / "features" / batch).glob("*"))) - (len(shards) - len(missing))
        orphans |= {"feature shards missing": len(missing), "feature shards nobody names": stray}
        found = {"orphans": orphans, "differing": differing}
        (out / "found.json").write_text(json.dumps(found), encoding="utf-8")
        status = 0
    finally:
        os._exit(status)


def main() -> int:
    """Run the trials and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", default=None)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import mm_assets.commands.run  # noqa: F401, PLC0415 - imported once, so that every child starts at once

    expected = json.loads((ROOT / "demo" / "expected.json").read_text(encoding="utf-8"))
    landing_root = ROOT / "demo" / "data" / "landing"
    batch = arguments.batch or next(
        name
        for name in sorted(expected["batches"])
        if name not in expected["spoiled"] and (landing_root / name / "images" / "metadata.jsonl").is_file()
    )
    generator = random.Random(arguments.seed)  # noqa: S311 - moments, not secrets
    work = Path(tempfile.mkdtemp(prefix="mm-kill-"))
    try:
        small_landing(work / "landing", batch, arguments.images)
        started = time.monotonic()
        if wait(run_in_child(work / "home-0", work / "landing", work / "lake-0", batch)) != 0:
            raise SystemExit("the undisturbed run failed")
        whole = time.monotonic() - started
        read_in_child(work / "lake-0", batch, work / "tables-0")
        outcomes: list[dict] = []
        while sum(outcome["killed"] for outcome in outcomes) < arguments.trials:
            outcomes.append(trial(work, batch, len(outcomes) + 1, generator.uniform(0.0, whole)))
            if not outcomes[-1]["killed"]:  # it ended before the moment: draw from a shorter span
                whole = min(whole, outcomes[-1]["moment_s"])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    killed = sum(outcome["killed"] for outcome in outcomes)
    faulty = [outcome for outcome in outcomes if outcome["differing"] or any(outcome["orphans"].values())]
    report = {"undisturbed_s": round(whole, 2), "trials": len(outcomes), "killed": killed, "faulty": faulty}
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            f"undisturbed run {whole:.1f} s; {killed} of {len(outcomes)} runs killed; {len(faulty)} left a difference"
        )
        for outcome in faulty:
            print(outcome)
    return 1 if faulty else 0


def trial(work: Path, batch: str, number: int, after_s: float) -> dict:
    """Kill one run after this many seconds, rerun it, and compare."""
    home, lake, tables = work / f"home-{number}", work / f"lake-{number}", work / f"tables-{number}"
    if wait(run_in_child(home, work / "landing", lake, None)) != 0:
        raise SystemExit(f"trial {number}: Dagster's home could not be set up")
    child = run_in_child(home, work / "landing", lake, batch)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    killed = wait(child) == -signal.SIGKILL
    if wait(run_in_child(home, work / "landing", lake, batch)) != 0:
        raise SystemExit(f"trial {number}: the rerun failed after a kill at {after_s:.2f} s")
    read_in_child(lake, batch, tables, work / "tables-0")
    found = json.loads((tables / "found.json").read_text(encoding="utf-8"))
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(lake, ignore_errors=True)
    print(f"trial {number}: killed at {after_s:.2f} s, differing {found['differing'] or 'nothing'}", file=sys.stderr)
    return {"moment_s": round(after_s, 2), "killed": killed, **found}


if __name__ == "__main__":
    raise SystemExit(main())
