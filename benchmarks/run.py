"""Run every benchmark in turn, each beside its named peer. Usage: python benchmarks/run.py [NAME …]."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = ("overhead", "features", "cleaning", "near_duplicates", "lint", "recall_gate", "warping")


def main() -> int:
    """Run the named benchmarks, or all; returns how many missed their bound or failed."""
    missed = 0
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        missed += subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], check=False).returncode != 0
    print(f"\n{missed} benchmarks missed a bound" if missed else "\nevery benchmark met its bounds")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
