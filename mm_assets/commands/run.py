"""Run what is due: ingest, the first codebook, assembly, and a release."""

import gc
import uuid
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError  # raised by a blocking check; not public in dagster 1.13
from sqlalchemy.exc import OperationalError

from mm_assets.commands.batch_groups import COMPARED_PARTS, group_batches
from mm_assets.commands.polling import polled
from mm_assets.commands.progress_bars import Bars
from mm_assets.commands.run_summary import RunSummary
from mm_assets.commands.run_workers import RunWorkers
from mm_assets.commands.workspace import Workspace, open_workspace
from mm_assets.errors import BatchContractError, InputError
from mm_assets.identifiers import validate_batch_id
from mm_assets.jobs import assets_of
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.partitions import batches, releases
from mm_assets.raw_pools.contract import landing_signature, parts_of, read_contract
from mm_assets.steps import ASSEMBLY_STEPS, GATE_STEPS, INGEST_STEPS, gates_of
from resources.provenance import RELEASE_STEP
from resources.release_store import releases_of_lake
from sensors.runs import fail_interrupted_runs

BATCH_JOB = "batch_pipeline"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Runner:
    """Runs jobs of the definitions in this process, against the shared instance and lake."""

    def __init__(self, workspace: Workspace, bars: Bars) -> None:
        self._workspace = workspace
        self._bars = bars
        self.summary = RunSummary()

    def run(self, chosen: Sequence[str] | None, release: str | None, processes: int = 1) -> RunSummary:
        """Run what is due of the chosen batches, or of all landed ones, and then the release if one is named.

        Args:
            chosen: batches; None: all that landed.
            release: drawn at the end, if it is named.
            processes: how many groups of batches, that are compared with no other, run at once; with more than one, the
                workspace has to be that of the environment.
        """
        gc.freeze()  # half a million objects that stay: the collector need not walk them again and again
        instance = self._workspace.instance
        fail_interrupted_runs(instance)
        landed = self._landed(chosen)
        workers = RunWorkers(processes - 1, self._bars, _open_runner) if processes > 1 else None
        with self._bars.shown(), workers or nullcontext():
            self._run_groups(landed, INGEST_STEPS, workers)
            self._train_first_codebooks()
            held = self._workspace.holds.held_batches()
            passed = [batch for batch in landed if batch not in held and batch not in self.summary.failed]
            self._run_groups(passed, ASSEMBLY_STEPS, workers)
            if release is not None:
                self._make_release(release)
            if self.summary.ran:
                self._run_job("refresh_views", "views", None, None)
        self.summary.held = self._workspace.holds.held_batches()
        return self.summary

    def rerun(self, batch: str, steps: tuple[str, ...]) -> RunSummary:
        """Run what is due of these steps although the batch is held: it was corrected, and the guard knows."""
        self._workspace.instance.add_dynamic_partitions(batches.name or "", [batch])
        with self._bars.shown():
            self._run_due(batch, steps)
        return self.summary

    def run_group(self, group: Sequence[str], steps: tuple[str, ...]) -> RunSummary:
        """Run what is due of batches, one after the other; holds that are due are placed in between."""
        for batch in group:
            self._run_steps(batch, steps)
            if steps == INGEST_STEPS:
                self._workspace.holds.place_due(by="mm run", batches=[batch])
        return self.summary

    def run_alone(self, group: Sequence[str], steps: tuple[str, ...]) -> RunSummary:
        """As `run_group`, with a summary of this group only."""
        self.summary = RunSummary()
        return self.run_group(group, steps)

    def _run_groups(self, chosen: Sequence[str], steps: tuple[str, ...], workers: RunWorkers | None) -> None:
        groups = self._groups(chosen, steps) if workers else []
        if workers is None or len(groups) == 1:
            self.run_group(chosen, steps)
            return
        busy = {batch for group in groups for batch in group}
        self.run_group([batch for batch in chosen if batch not in busy], steps)
        if groups:
            for summary in workers.run(groups, steps, lambda group: self.run_group(group, steps)):
                self.summary.take(summary)

    def _groups(self, chosen: Sequence[str], steps: tuple[str, ...]) -> list[list[str]]:
        """Groups of batches with something due, the largest first."""
        held = self._workspace.holds.held_batches()
        due = [batch for batch in chosen if batch not in held and self._due(batch, steps)]
        groups = group_batches(due, {batch: self._marks(batch) for batch in due})
        return sorted(groups, key=lambda group: (-sum(map(self._size_of, group)), group))

    def _marks(self, batch: str) -> set[str]:
        """The source of a batch, whose baselines it is judged by, and its parts that are compared."""
        landing = self._workspace.landing
        shared = {f"part {part}" for part in parts_of(landing_signature(landing, batch)) & COMPARED_PARTS}
        try:
            return {*shared, f"source {read_contract(landing, batch, self._workspace.policy.ingest).source}"}
        except InputError:  # the run says why
            return shared

    def _size_of(self, batch: str) -> int:
        return sum(landed.size_bytes for landed in self._workspace.landing.objects(f"{batch}/"))

    def _landed(self, chosen: Sequence[str] | None) -> list[str]:
        present = self._workspace.landing.batches()
        valid: list[str] = []
        for batch in chosen or present:
            try:
                validate_batch_id(batch)
                if batch not in present:
                    raise BatchContractError(
                        "UNFINISHED_BATCH",
                        f"no finished delivery {batch!r} has landed; deliver it and write _SUCCESS last",
                    )
                valid.append(batch)
            except InputError as error:
                self.summary.refused[batch] = error.reason
        if valid:
            self._workspace.instance.add_dynamic_partitions(batches.name or "", valid)
        return valid

    def _run_steps(self, batch: str, steps: tuple[str, ...]) -> None:
        workspace = self._workspace
        if batch in workspace.holds.held_batches():
            self._bars.start(batch, 1, "held")
            return
        self._run_due(batch, steps)

    def _run_due(self, batch: str, steps: tuple[str, ...]) -> None:
        """Run the stale ones of these steps."""
        stale = self._due(batch, steps)
        if not stale:
            self._bars.start(batch, 1, "up to date")
            self._bars.end(batch, "up to date")
            if batch not in self.summary.ran and batch not in self.summary.current:
                self.summary.current.append(batch)
            return
        reason = self._run_job(BATCH_JOB, batch, batch, assets_of(stale))
        self.summary.ran.setdefault(batch, []).extend(stale)
        if batch in self.summary.current:
            self.summary.current.remove(batch)
        if reason is not None:
            self.summary.failed[batch] = reason

    def _due(self, batch: str, steps: tuple[str, ...]) -> list[str]:
        """The stale ones of these steps, and those whose gate has not judged yet."""
        workspace = self._workspace
        signature = landing_signature(workspace.landing, batch)
        stale = workspace.provenance.stale(batch, signature, workspace.models.by_name, steps)
        gates = gates_of(parts_of(signature))
        unjudged = [GATE_STEPS[gate] for gate in workspace.holds.unjudged(batch, gates)]
        return stale + [step for step in unjudged if step in steps and step not in stale]

    def _train_first_codebooks(self) -> None:
        held = self._workspace.holds.held_batches()
        for name in self._workspace.provenance.untrained_codebooks(held):
            reason = self._run_job("train_codebook", name.replace("_", " "), None, [dg.AssetKey(name)])
            if reason is not None:
                self.summary.failed[name] = reason

    def _make_release(self, release: str) -> None:
        validate_batch_id(release)
        self._workspace.instance.add_dynamic_partitions(releases.name or "", [release])
        provenance = self._workspace.provenance
        digest = provenance.release_digest(release, exclusions(self._workspace.holds))
        made = releases_of_lake(provenance.lake.root).exists(release)
        self.summary.release = release
        if made and provenance.recorded(release).get(RELEASE_STEP) == digest:
            self._bars.start(f"release {release}", 1, "up to date")
            self._bars.end(f"release {release}", "up to date")
            return
        reason = self._run_job("make_release", f"release {release}", release, None)
        if reason is not None:
            self.summary.failed[f"release {release}"] = reason

    def _run_job(
        self, job_name: str, label: str, partition: str | None, selection: Iterable[dg.AssetKey] | None
    ) -> str | None:
        """Run a job in this process; returns why it failed, or None if it did not or the batch is held for it."""
        job = self._workspace.definitions.resolve_job_def(job_name)
        chosen = None if selection is None else list(selection)
        instance, run_id = self._workspace.instance, str(uuid.uuid4())

        def move_bar() -> None:
            with suppress(OperationalError):  # a busy database only delays the bar
                if instance.has_run(run_id):
                    self._bars.move(label, instance.get_run_stats(run_id).steps_succeeded)

        self._bars.start(label, self._steps_in(job, chosen), "running")
        with polled(move_bar):
            result = job.execute_in_process(
                run_config=_QUIET,
                instance=instance,
                partition_key=partition,
                asset_selection=chosen,
                raise_on_error=False,
                run_id=run_id,
            )
        if result.success:
            self._bars.end(label, "done")
            return None
        held = job_name == BATCH_JOB and partition in self._workspace.holds.held_batches()
        reason = failure_beside_gates(result) if held else failure_reason(result)
        self._bars.end(label, "failed" if reason is not None else "held", full=False)
        return reason

    @staticmethod
    def _steps_in(job: dg.JobDefinition, chosen: list[dg.AssetKey] | None) -> int:
        subset = job if chosen is None else job.get_subset(asset_selection=set(chosen))
        return len(subset.nodes)


def _open_runner(bars: Bars) -> Runner:
    """A runner in the workspace of the environment."""
    return Runner(open_workspace(), bars)


def failure_reason(result: dg.ExecuteInProcessResult) -> str:
    """The first failure's own words: of a step, else of a resource or the run."""
    return next(
        (words for event in result.all_events if event.is_failure and (words := _own_words(event))),
        "the run failed without a word; see its log in the UI",
    )


def failure_beside_gates(result: dg.ExecuteInProcessResult) -> str | None:
    """The first failure of a held batch's run that is neither a check's verdict nor a refusal, or None."""
    failures = [event for event in result.all_events if event.is_step_failure]
    if not failures:
        return failure_reason(result)
    return next((_own_words(event) for event in failures if not _is_verdict(event)), None)


def _is_verdict(event: dg.DagsterEvent) -> bool:
    failure = event.step_failure_data
    judged = failure.error is not None and failure.error.cls_name == DagsterAssetCheckFailedError.__name__
    return judged or failure.user_failure_data is not None


def _own_words(event: dg.DagsterEvent) -> str | None:
    data: Any = event.event_specific_data
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    if event.is_step_failure and described:
        return str(described)
    error = getattr(data, "error", None)
    if error is None:
        return None
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()
