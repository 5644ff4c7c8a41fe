"""Peak memory of a whole batch run (ingest, first codebook, assembly) for few and for many records.

Each size runs in a fresh process, whose high-water mark (VmHWM) is read and set back as every step begins and ends, so
that the step that holds the peak is known by name. The records are real pictures and captions of the demo, mixed two
by two at 64 px so that none repeats another; the models are the embedded ones.

The detector looks at every picture, the larger number takes it about an hour of CPU; ``--no-detector`` switches it off,
as a policy may, for both sizes.

Usage: python benchmarks/batch_memory.py [--few 1000] [--many 20000] [--no-detector] [--json]
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from demo_pictures import demo_pairs
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BATCH = "measured"
SIDE_PX = 64
LIMIT = 0.20
BETWEEN = "between steps"
STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


def write_delivery(landing: Path, records: int) -> None:
    """Mixtures of two demo pictures, each turned, mirrored, its channels exchanged and noise laid over it."""
    choice, noise = random.Random(records), np.random.default_rng(records)  # noqa: S311 - a delivery, no secret
    pairs = demo_pairs(SIDE_PX)
    images, text = landing / BATCH / "images", landing / BATCH / "text"
    images.mkdir(parents=True)
    text.mkdir()
    contract = {"contract": "mm-batch/1", "source": "mixed-demo", "license": "CC0-1.0", "language": "en"}
    (landing / BATCH / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    with (images / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(records):
            (first, says), (second, adds) = choice.sample(pairs, 2)
            mixed = _turned(first, choice) * 0.5 + _turned(second, choice) * 0.5
            mixed += noise.normal(0.0, 8.0, mixed.shape)
            picture = io.BytesIO()
            Image.fromarray(mixed.clip(0, 255).astype(np.uint8)).save(picture, "JPEG", quality=85)
            (images / f"{number:06d}.jpg").write_bytes(picture.getvalue())
            caption = f"{says}, beside {adds[:1].lower()}{adds[1:]}, number {number}."
            lines.write(json.dumps({"file_name": f"{number:06d}.jpg", "text": caption}) + "\n")
    with (text / "lemmas.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(records):
            record = {"text": f"Lemma {number}: the number {number * 7} has seven as a divisor.", "kind": "math"}
            lines.write(json.dumps(record) + "\n")
    (landing / BATCH / "_SUCCESS").touch()


def _turned(picture: Image.Image, choice: random.Random) -> np.ndarray:
    pixels = np.asarray(picture, dtype=np.float32)[..., choice.sample(range(3), 3)]
    if choice.random() < 0.5:
        pixels = pixels[:, ::-1]
    shifted = np.roll(pixels, (choice.randrange(SIDE_PX), choice.randrange(SIDE_PX)), (0, 1))
    return np.rot90(shifted, choice.randrange(4))


class Peaks:
    """High-water mark of this process's memory, step by step."""

    def __init__(self) -> None:
        self.by_step_mib: dict[str, float] = {}
        self._step = BETWEEN

    def turn(self, step: str) -> None:
        """Book the peak since the last turn to the step that was running, and start anew."""
        lines = STATUS.read_text(encoding="ascii").splitlines()
        peak = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
        self.by_step_mib[self._step] = max(round(peak, 1), self.by_step_mib.get(self._step, 0.0))
        RESET.write_text("5", encoding="ascii")
        self._step = step


def run_whole_batch(work: Path) -> dict:
    """Ingest, release what the gate holds (mixtures say little), assemble; returns peaks and row counts."""
    os.environ |= {
        "DAGSTER_HOME": str(work / "home"),
        "MM_LANDING": str(work / "landing"),
        "MM_LAKE": str(work / "lake"),
    }
    if (work / "policy.toml").exists():
        os.environ["MM_POLICY"] = str(work / "policy.toml")
    sys.path.insert(0, str(ROOT))
    import dagster as dg
    from rich.console import Console

    from mm_assets.commands.progress_bars import ConsoleBars
    from mm_assets.commands.run import Runner
    from mm_assets.commands.workspace import open_workspace

    workspace = open_workspace()
    peaks = Peaks()
    peaks.turn(BETWEEN)
    handle = workspace.instance.handle_new_event

    def watch(event: dg.EventLogEntry, **options: object) -> None:
        if event.dagster_event_type == dg.DagsterEventType.STEP_START:
            peaks.turn(str(event.step_key))
        elif event.dagster_event_type in {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}:
            peaks.turn(BETWEEN)
        handle(event, **options)  # pyright: ignore[reportArgumentType] - passed on as it came

    workspace.instance.handle_new_event = watch
    started = time.monotonic()
    summary = Runner(workspace, ConsoleBars(Console(quiet=True))).run([BATCH], None)
    while (active := workspace.holds.active()).height:  # a gate behind another is measured once that is waived
        for batch, gate in active.select("batch", "gate").iter_rows():
            workspace.holds.release(batch, gate, "benchmark", "mixtures of two pictures say little")
        summary = Runner(workspace, ConsoleBars(Console(quiet=True))).run([BATCH], None)
    seconds = time.monotonic() - started
    peaks.turn(BETWEEN)
    if summary.failed or summary.refused or summary.held:
        raise SystemExit(f"the run failed: {summary.failed or summary.refused or summary.held}")
    lake = workspace.provenance.lake
    counted = ("images", "captions", "texts", "image_embeddings", "visual_codes", "fusion_samples")
    return {
        "peaks_mib": peaks.by_step_mib,
        "rows": {table: lake.count(table, BATCH) for table in counted},
        "seconds": round(seconds, 1),
    }


def measure(records: int, *, detector: bool) -> dict:
    """Run one size in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="mm-memory-") as folder:
        write_delivery(Path(folder) / "landing", records)
        if not detector:
            (Path(folder) / "policy.toml").write_text('[faithfulness]\ndetector = ""\n', encoding="utf-8")
        command = [sys.executable, __file__, "--run-in", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the run of {records} records failed")
    found = json.loads(done.stdout.splitlines()[-1])
    kept = found["rows"]["images"]
    if kept < 0.9 * records:
        raise SystemExit(f"only {kept} of {records} pictures were kept; the sizes would not be those compared")
    step, peak = max(found["peaks_mib"].items(), key=lambda item: item[1])
    return {"records": records, "peak_mib": peak, "peak_step": step, **found}


def main() -> int:
    """Measure both sizes and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--no-detector", dest="detector", action="store_false")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run-in", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_in is not None:
        print(json.dumps(run_whole_batch(arguments.run_in)))
        return 0
    few, many = (measure(size, detector=arguments.detector) for size in (arguments.few, arguments.many))
    growth = many["peak_mib"] / few["peak_mib"] - 1.0
    report = {"few": few, "many": many, "growth": round(growth, 3), "limit": LIMIT}
    if arguments.json:
        print(json.dumps(report))
        return int(growth > LIMIT)
    print(f"{'peak MiB by step':<44}{few['records']:>9,}{many['records']:>9,}")
    for step in many["peaks_mib"]:
        print(f"{step:<44}{few['peaks_mib'].get(step, 0.0):>9.0f}{many['peaks_mib'][step]:>9.0f}")
    print(
        f"whole run: {few['peak_mib']:.0f} MiB ({few['peak_step']}, {few['seconds']} s) and {many['peak_mib']:.0f} MiB "
        f"({many['peak_step']}, {many['seconds']} s): {growth:+.1%} (limit {LIMIT:+.0%})"
    )
    return int(growth > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
