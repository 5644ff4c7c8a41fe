"""Run every benchmark in turn, shortened where it takes long. Usage: python benchmarks/run.py [NAME …]."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "overhead": (),
    "features": (),
    "cleaning": (),
    "near_duplicates": (),
    "lint": (),
    "training_reader": ("--samples", "10000"),
    "sampling": (),
    "packing": ("--texts", "20000", "100000", "--images", "20000", "60000"),
    "recall_gate": (),
    "warping": (),
    "anchoring": (),
    "side_claims": ("--seeds", "5"),
    "side_markers": ("--pictures", "40"),
    "object_gate": ("--kinds", "plain", "--shares", "1.0", "--seeds", "2", "--clean", "10", "--cost", "200"),
    "faithfulness": ("--batches", "50"),
    "batch_memory": ("--few", "500", "--many", "2000"),
}
"""What runs without a name, and the settings that keep it to minutes; alone, each takes its own arguments."""


def main() -> int:
    """Run the named benchmarks, or all; returns how many missed their bound or failed."""
    missed = 0
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(FOLDER / f"{name}.py"), *BENCHMARKS.get(name, ())]
        missed += subprocess.run(command, check=False).returncode != 0
    print(f"\n{missed} benchmarks missed a bound" if missed else "\nevery benchmark met its bounds")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
