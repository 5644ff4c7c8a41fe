"""Kill a batch run with SIGKILL at random moments, rerun it, and compare every table with an undisturbed run.

Every other run is killed on a machine that has seen nothing yet, so that even Dagster's home is made under fire; the
others are killed while they replace an earlier delivery of the batch. Tables are read twice, as the kill left them
(no orphans) and after the rerun (no orphans, and bit for bit the undisturbed run's content).

With ``--media N`` the delivery also holds the first N constructed clips of the demo, with their cues.

Usage: python benchmarks/kill_and_rerun.py [--trials 50] [--seed 1] [--batch NAME] [--images 12] [--media 0]
    [--scenario both|new|changed] [--first-seconds S] [--json]
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.demo_deliveries import add_media, first_clean_batch, write_delivery
from benchmarks.lake_examination import examine

NEW, CHANGED = "new", "changed"
CHANGED_RECORDS = 3
NEVER_EMPTY = ("images", "captions", "texts", "boxes", "image_embeddings", "visual_codes", "fusion_samples", "codebook")
NEVER_EMPTY_OF_MEDIA = (
    "video_clips",
    "cues",
    "clip_pieces",
    "transcripts",
    "segment_offsets",
    "audio_codes",
    "segment_alignments",
)
LOG_LINES = 40


@dataclass(frozen=True)
class Site:
    """Where one run works."""

    landing: Path
    home: Path
    lake: Path
    log: Path

    @classmethod
    def named(cls, work: Path, name: str) -> "Site":
        """A site of its own on the common landing area."""
        return cls(work / "landing", work / f"home-{name}", work / f"lake-{name}", work / "logs" / f"{name}.log")

    def copy_from(self, other: "Site") -> None:
        """Start from what another run left."""
        shutil.copytree(other.home, self.home)
        shutil.copytree(other.lake, self.lake)

    def remove(self) -> None:
        """Give the disk space back."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.lake, ignore_errors=True)


@dataclass
class Outcome:
    """What one trial found."""

    trial: int
    scenario: str
    moment_s: float
    killed: bool = False
    rerun_status: int = 0
    differing: list[str] = field(default_factory=list)
    orphans_when_killed: dict[str, int] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)

    @property
    def faulty(self) -> bool:
        """Whether anything is not as an undisturbed run leaves it."""
        return bool(self.rerun_status or self.differing or self.orphans_when_killed or self.orphans)


def in_child(log: Path, work: Callable[[], int]) -> int:
    """Fork a child that does the work, its output going to the log; returns its process id.

    A fork spares every child the import of Dagster, and keeps the threads of polars and delta-rs out of the parent.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        status = work()
    except BaseException:  # noqa: BLE001 - a forked child must not return to the parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int) -> int:
    """Exit status of the child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_batch(site: Site, batch: str) -> int:
    """Fork a child that runs the batch to its end, as ``mm run --batch`` does."""

    def work() -> int:
        os.environ |= {"DAGSTER_HOME": str(site.home), "MM_LANDING": str(site.landing), "MM_LAKE": str(site.lake)}
        tempfile.tempdir = str(site.landing.parent / "spool")  # a killed run cannot remove what it spooled
        from rich.console import Console

        from mm_assets.commands.progress_bars import ConsoleBars
        from mm_assets.commands.run import Runner
        from mm_assets.commands.workspace import open_workspace

        summary = Runner(open_workspace(), ConsoleBars(Console(quiet=True))).run([batch], None)
        if summary.failed or summary.refused:
            print("failed", summary.failed, "refused", summary.refused, file=sys.stderr)
        return 1 if summary.failed or summary.refused else 0

    return in_child(site.log, work)


def read_tables(site: Site, batch: str) -> dict[str, Any]:
    """Digest of every table's content and of every shard, and the orphans, as a reader of this moment finds them."""
    found = site.lake.with_name(f"found-{site.lake.name}.json")

    def work() -> int:
        found.write_text(json.dumps(examine(site.lake, batch)), encoding="utf-8")
        return 0

    if wait(in_child(site.log, work)) != 0:
        raise SystemExit(f"the tables could not be read:\n{tail(site.log)}")
    return json.loads(found.read_text(encoding="utf-8"))


def tail(log: Path) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


class Trials:
    """Undisturbed runs to compare with, and runs that are killed."""

    def __init__(self, work: Path, batch: str, images: int, media: int = 0) -> None:
        self.work, self.batch, self.media = work, batch, media
        self.undisturbed_s: dict[str, float] = {}
        self.expected: dict[str, dict[str, str]] = {}
        self.earlier = Site.named(work, "earlier")
        (work / "logs").mkdir()
        (work / "spool").mkdir()
        self._deliver(images, skip=0)
        self._undisturbed(self.earlier)
        self._deliver(images, skip=CHANGED_RECORDS)

    def _deliver(self, images: int, *, skip: int) -> None:
        write_delivery(self.work / "landing", self.batch, images, skip)
        if self.media:
            add_media(self.work / "landing", self.batch, self.media, min(skip, 1))

    def measure(self, scenario: str) -> None:
        """Run undisturbed, remember how long it takes and what it leaves."""
        site = self._site(f"undisturbed-{scenario}", scenario)
        self.undisturbed_s[scenario] = self._undisturbed(site)
        found = read_tables(site, self.batch)
        wanted = {*NEVER_EMPTY, *(NEVER_EMPTY_OF_MEDIA if self.media else ())}
        lacking = wanted & set(found["empty"])
        if lacking or found["orphans"] or found["stray_shards"]:
            raise SystemExit(
                f"the undisturbed run left empty {lacking}, orphans {found['orphans']}; nothing to compare"
            )
        self.expected[scenario] = found["digests"]
        site.remove()

    def _undisturbed(self, site: Site) -> float:
        started = time.monotonic()
        if wait(run_batch(site, self.batch)) != 0:
            raise SystemExit(f"an undisturbed run failed:\n{tail(site.log)}")
        return time.monotonic() - started

    def _site(self, name: str, scenario: str) -> Site:
        site = Site.named(self.work, name)
        if scenario == CHANGED:
            site.copy_from(self.earlier)
        return site

    def kill_once(self, number: int, scenario: str, moment_s: float) -> Outcome:
        """Kill one run after this many seconds, rerun it, and compare; a run that ended before is not compared."""
        outcome = Outcome(number, scenario, round(moment_s, 2))
        site = self._site(str(number), scenario)
        child = run_batch(site, self.batch)
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        status = wait(child)
        outcome.killed = status == -signal.SIGKILL
        if not outcome.killed:
            outcome.rerun_status = status
            site.remove()
            return outcome
        outcome.orphans_when_killed = read_tables(site, self.batch)["orphans"]
        again = replace(site, log=site.log.with_suffix(".rerun.log"))
        outcome.rerun_status = wait(run_batch(again, self.batch))
        if outcome.rerun_status == 0:
            found = read_tables(again, self.batch)
            expected = self.expected[scenario]
            named = expected.keys() | found["digests"].keys()
            outcome.differing = sorted(name for name in named if found["digests"].get(name) != expected.get(name))
            stray = {"feature shards nobody names": found["stray_shards"]} if found["stray_shards"] else {}
            outcome.orphans = found["orphans"] | stray
        if outcome.faulty:
            print(f"trial {number}, killed run:\n{tail(site.log)}\nrerun:\n{tail(again.log)}", file=sys.stderr)
        else:
            site.remove()
        return outcome


@contextmanager
def kept_on_failure(outcomes: list[Outcome]) -> Iterator[Path]:
    """A working folder, removed at the end unless a trial went wrong: then its logs, home and lake stay for a look."""
    work = Path(tempfile.mkdtemp(prefix="mm-kill-"))
    try:
        yield work
    finally:
        if any(outcome.faulty for outcome in outcomes):
            print(f"the logs, homes and lakes of the faulty trials are in {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)


def run_trials(arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill until enough runs were killed while they ran; returns the report."""
    generator = random.Random(arguments.seed)  # noqa: S311 - moments, not secrets
    scenarios = (NEW, CHANGED) if arguments.scenario == "both" else (arguments.scenario,)
    outcomes: list[Outcome] = []
    with kept_on_failure(outcomes) as work:
        trials = Trials(work, arguments.batch or first_clean_batch(), arguments.images, arguments.media)
        for scenario in scenarios:
            trials.measure(scenario)
        limits = {name: min(trials.undisturbed_s[name], arguments.first_seconds) for name in scenarios}
        for number, scenario in enumerate(itertools.cycle(scenarios), start=1):
            outcome = trials.kill_once(number, scenario, generator.uniform(0.0, limits[scenario]))
            outcomes.append(outcome)
            ending = f"rerun exited {outcome.rerun_status}" if outcome.rerun_status else "rerun as undisturbed"
            left = [*outcome.differing, *outcome.orphans_when_killed, *outcome.orphans]
            state = f"killed at {outcome.moment_s:.2f} s, {ending}" if outcome.killed else "ended before its moment"
            print(f"trial {number} ({scenario}): {state}{', found ' if left else ''}{left or ''}", file=sys.stderr)
            if not outcome.killed:  # the machine is less busy now: draw from a shorter span
                limits[scenario] = outcome.moment_s
            if sum(each.killed for each in outcomes) == arguments.trials:
                break
    return {
        "undisturbed_s": {name: round(seconds, 2) for name, seconds in trials.undisturbed_s.items()},
        "trials": len(outcomes),
        "killed": sum(outcome.killed for outcome in outcomes),
        "differences": sum(bool(outcome.differing) for outcome in outcomes),
        "orphans": sum(bool(outcome.orphans or outcome.orphans_when_killed) for outcome in outcomes),
        "failed_reruns": sum(outcome.rerun_status != 0 for outcome in outcomes),
        "faulty": [asdict(outcome) for outcome in outcomes if outcome.faulty],
    }


def main() -> int:
    """Run the trials and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50, help="runs to kill while they run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", default=None)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--media", type=int, default=0, help="clips of the demo to deliver beside the pictures")
    parser.add_argument("--scenario", choices=("both", NEW, CHANGED), default="both")
    parser.add_argument("--first-seconds", type=float, default=float("inf"), help="draw moments from these alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    import mm_assets.commands.run  # noqa: F401 - imported once, so that every child starts at once

    report = run_trials(arguments)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            "undisturbed runs {undisturbed_s} s; {killed} of {trials} runs killed: {differences} with differing "
            "tables, {orphans} with orphans, {failed_reruns} failed reruns".format(**report)
        )
    return 1 if report["faulty"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
