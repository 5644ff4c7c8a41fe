"""Walk from a sample of a release to the raw bytes it was made of."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from mm_assets.commands.workspace import ResourceSet
from mm_assets.errors import LineageError
from mm_assets.fusion.release_format import REVOKED_NAME
from mm_assets.lineage.ancestors import Stage, Thing
from mm_assets.lineage.release_lines import ReleaseLine, find_line
from mm_assets.lineage.trace import Place, Trace, trace_sample
from resources.delta_lake import DeltaLake
from resources.release_store import releases_of_lake

_SHOWN_CHARACTERS: Final = 110
_SHOWN_ALIKE: Final = 6
_SECOND_US: Final = 1_000_000
_FORMATS: Final = {"verified": "green", "read": "yellow", "changed": "red", "missing": "red"}


@dataclass(frozen=True)
class TracedRelease:
    """A release that holds the sample.

    Attributes:
        release: its name.
        position: place of the sample in the mixture as it is drawn now; None if it is drawn no more.
        weight: its weight.
        line: where it stands in the release's files; None if the folder does not hold it.
        revoked: whether the release was revoked.
        delta_versions: version of each table that the release was made from.
        code_version: version of the code that wrote it.
    """

    release: str
    position: int | None
    weight: float | None
    line: ReleaseLine | None
    revoked: bool
    delta_versions: dict[str, int]
    code_version: str


@dataclass(frozen=True)
class Traced:
    """A trace, and the releases the sample is in."""

    trace: Trace
    releases: list[TracedRelease]

    def to_document(self) -> dict[str, Any]:
        """JSON-able form."""
        things = [
            {"id": thing.id, "made_of": thing.made_of, "tables": [asdict(stage) for stage in thing.stages]}
            for thing in self.trace.things
        ]
        return asdict(self.trace) | {
            "things": things,
            "whole": self.trace.whole,
            "releases": [asdict(release) for release in self.releases],
        }


def trace(workspace: ResourceSet, sample_id: str, release: str | None = None) -> Traced:
    """Trace a sample.

    Args:
        workspace: where lake and landing area are.
        sample_id: the sample, as a release's line names it.
        release: only this release; None: every release that drew it.

    Raises:
        LineageError: there is no such sample, or it is not in the release.
    """
    lake = workspace.lake
    found = trace_sample(lake, workspace.landing, sample_id)
    drawn = lake.scan("mixtures").filter(pl.col("sample_id") == sample_id)
    places: dict[str, tuple[int, float]] = {
        name: (position, weight)
        for name, position, weight in drawn.select("release", "position", "weight").collect().iter_rows()
    }
    names = sorted(places) if release is None else [release]
    releases = [traced for name in names if (traced := _find_in(lake, name, sample_id, places.get(name)))]
    if release is not None and not releases:
        known = ", ".join(sorted(places)) or "none"
        raise LineageError(f"sample {sample_id!r} is not in release {release!r}; releases that drew it: {known}")
    return Traced(found, releases)


def _find_in(lake: DeltaLake, release: str, sample_id: str, place: tuple[int, float] | None) -> TracedRelease | None:
    store = releases_of_lake(lake.root)
    position, weight = place or (None, None)
    if not store.exists(release):
        return None if place is None else TracedRelease(release, position, weight, None, False, {}, "")
    manifest = store.read_manifest(release)
    revoked = lake.files.exists(f"releases/{release}/{REVOKED_NAME}")
    line = None
    if not revoked:
        line = find_line(release, manifest, lambda path: lake.files.get_bytes(f"releases/{release}/{path}"), sample_id)
    if line is None and place is None:
        return None
    declared = json.loads(manifest)
    return TracedRelease(release, position, weight, line, revoked, declared["delta_versions"], declared["code_version"])


def print_trace(traced: Traced, console: Console) -> None:
    """Show a trace as a tree: the sample, what it was made of, the bytes, and who judged it."""
    found = traced.trace
    by_id = {thing.id: thing for thing in found.things}
    top = by_id[found.sample_id]
    tree = Tree(f"[bold]{found.sample_id}[/bold]  {found.kind} of batch {found.batch}")
    for release in traced.releases:
        tree.add(_told_release(release))
    _add_stages(tree, top)
    shown = {found.sample_id}
    _add_parents(tree, top, by_id, shown, {place.id: place for place in found.places})
    raw = tree.add("raw bytes")
    for item in found.bytes:
        member = f"!{item.member}" if item.member else ""
        span = f"bytes {item.byte_offset} to {item.byte_offset + item.byte_size}"
        state = f"[{_FORMATS[item.state]}]{item.state}[/]"
        told = f"SHA-256 {item.sha256}  {escape(item.told)}"
        raw.add(f"{state} {item.role} of {item.record_id}, {span}\n{escape(item.uri + member)}\n{told}")
    _add_judgements(tree, found)
    console.print(tree, highlight=False)


def _told_release(release: TracedRelease) -> str:
    place = "no more drawn" if release.position is None else f"position {release.position}, weight {release.weight:g}"
    where = "not in its files" if release.line is None else f"{release.line.file}:{release.line.line}"
    features = "" if release.line is None else "".join(f", {path}" for path in release.line.features)
    revoked = "  [red]revoked[/red]" if release.revoked else ""
    return f"release [bold]{release.release}[/bold] ({place}): {where}{features}  code {release.code_version}{revoked}"


def _add_stages(branch: Tree, thing: Thing) -> None:
    for stage in thing.stages:
        branch.add(_told_stage(stage))


def _told_stage(stage: Stage) -> str:
    version = "" if stage.version is None else f" v{stage.version}"
    models = f"  models {', '.join(stage.models)}" if stage.models else ""
    code = f"  by {stage.asset} code {stage.code_version}" if stage.asset else ""
    if stage.rows > 1:
        return f"[dim]{stage.table}{version}[/dim]: {stage.rows} rows{code}{models}"
    telling = {
        name: value
        for name, value in stage.values.items()
        if name in {"record_ref", "source", "license", "text", "content", "verdict", "codebook_version", "model",
                    "checks_json", "sha256", "correction_id", "score", "offset_us", "label"}
    }  # fmt: skip
    told = "; ".join(f"{name} {_shorten(value)}" for name, value in telling.items())
    return f"[dim]{stage.table}{version}[/dim]{code}{escape(models)}\n{escape(told)}".rstrip()


def _shorten(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _add_parents(
    branch: Tree, thing: Thing, by_id: dict[str, Thing], shown: set[str], places: dict[str, Place]
) -> None:
    alike: dict[str, int] = {}
    for name in thing.made_of:
        parent, kind = by_id.get(name), name.partition("_")[0]
        if parent is None or name in shown:
            continue
        shown.add(name)
        alike[kind] = alike.get(kind, 0) + 1
        if alike[kind] > _SHOWN_ALIKE:
            continue
        place = places.get(name)
        told = f"  {_told_place(place.at)}" if place else ""
        twig = branch.add(f"[bold]{name}[/bold]{escape(told)}")
        _add_stages(twig, parent)
        _add_parents(twig, parent, by_id, shown, places)
    for kind, count in alike.items():
        if count > _SHOWN_ALIKE:
            branch.add(f"… and {count - _SHOWN_ALIKE} more of {kind}_…, see --json")


def _told_place(at: dict[str, Any]) -> str:
    parts: list[str] = []
    if "page" in at:
        parts.append(f"page {at['page']}")
    if "x1" in at:
        parts.append("box " + " ".join(f"{at[name]:g}" for name in ("x1", "y1", "x2", "y2")))
    if "phrase" in at:
        parts.append(f"phrase {at['phrase']!r}")
    if "start_us" in at:
        parts.append(f"{at['start_us'] / _SECOND_US:g} s to {at['end_us'] / _SECOND_US:g} s")
    if "time_us" in at:
        parts.append(f"at {at['time_us'] / _SECOND_US:g} s")
    return ", ".join(parts)


def _add_judgements(tree: Tree, found: Trace) -> None:
    gates = tree.add("gates")
    for verdict in found.gates:
        told = "[green]passed[/green]" if verdict.passed else "[red]failed[/red]"
        figure = "" if verdict.measured is None else f" {verdict.measured:.4g} against {verdict.threshold}"
        twig = gates.add(f"{verdict.gate} {told}{figure}  {verdict.evaluation_id}")
        if verdict.waived_by:
            twig.add(f"waived by {escape(verdict.waived_by)}: {escape(verdict.waived_reason or '')}")
    for title, rows, line in (
        ("corrections", found.corrections, "{correction_id} {kind} of {rows} rows by {by}: {reason}"),
        ("reviews", found.reviews, "{subject_id} {decision} by {by}: {reason}"),
        ("negatives", found.negatives, "{negative_id} {strategy}: {text}"),
    ):
        if rows:
            twig = tree.add(title)
            for row in rows[:_SHOWN_ALIKE]:
                twig.add(escape(_shorten(line.format_map({"text": "", **row}))))
            if len(rows) > _SHOWN_ALIKE:
                twig.add(f"… and {len(rows) - _SHOWN_ALIKE} more, see --json")
