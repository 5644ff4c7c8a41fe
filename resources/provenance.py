"""What the present rows of every batch were made from, and the lock under which they are made."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl
from filelock import FileLock

from mm_assets.identifiers import validate_batch_id
from mm_assets.mixtures.evaluation_sets import digest_of
from mm_assets.models import Identified
from mm_assets.raw_pools.contract import parts_of
from mm_assets.schemas import TABLES
from mm_assets.steps import (
    AUDIO_CODEBOOK,
    CODEBOOK,
    CODEBOOKS,
    CORRECTIONS,
    LANDING,
    RAW_POOLS,
    REVIEWS,
    STEPS,
    Step,
    downstream_steps,
    expected_digests,
    stale_steps,
    step_digest,
    steps_of,
)
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake, Written
from resources.policy_file import PolicyFile

NO_CODEBOOK = "none"
NO_REVIEWS = "none"
_TRAINED_ON = {CODEBOOK: ("image_embeddings", "key_frames", "document_figures"), AUDIO_CODEBOOK: ("audio_embeddings",)}
RELEASE_STEP = "release_packages"
RELEASE_CODE_VERSION = "2"


@dataclass
class Writing:
    """One step at work on one batch: what it will record once its rows stand."""

    step: Step
    batch: str
    digest: str
    upstream: Mapping[str, str]
    models: tuple[str, ...]
    written: list[Written] = field(default_factory=list[Written])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def data_version(self) -> dg.DataVersion:
        """The digest as Dagster's data version."""
        return dg.DataVersion(self.digest)


def _counted(writing: Writing) -> dict[str, int]:
    """Rows written per table, and records seen per kind as ``seen:KIND``."""
    rows = {item.table: item.rows for item in writing.written}
    return rows | {f"seen:{kind}": count for kind, count in writing.seen.items()}


class Provenance(dg.ConfigurableResource):
    """Records digests, finds stale steps, and keeps two writers off one batch."""

    lake: dg.ResourceDependency[DeltaLake]
    policy_file: dg.ResourceDependency[PolicyFile]
    corrections: dg.ResourceDependency[Corrections]

    def recorded(self, batch: str) -> dict[str, str]:
        """Digest of each step as last written for the batch."""
        return self._state(batch)[0]

    def parts(self, batch: str) -> frozenset[str]:
        """Parts of the delivery that the batch's raw pools were read from."""
        return parts_of(self._state(batch)[1])

    def _state(self, batch: str) -> tuple[dict[str, str], str]:
        """Recorded digests, and the signature of the delivery that was read."""
        rows = self.lake.scan("provenance", batch).select("asset", "digest", "upstream_json").collect()
        landing = rows.filter(pl.col("asset") == RAW_POOLS)["upstream_json"].to_list()
        return dict(rows.select("asset", "digest").iter_rows()), json.loads(landing[0])[LANDING] if landing else ""

    def recorded_all(self) -> dict[str, dict[str, str]]:
        """`recorded` of every batch, in one read."""
        found: dict[str, dict[str, str]] = {}
        for batch, asset, digest in (
            self.lake.scan("provenance").select("batch", "asset", "digest").collect().iter_rows()
        ):
            found.setdefault(batch, {})[asset] = digest
        return found

    def landing_signatures(self) -> dict[str, str]:
        """The delivery's signature that each batch's raw pools were read from."""
        rows = self.lake.scan("provenance").filter(pl.col("asset") == RAW_POOLS).select("batch", "upstream_json")
        return {batch: json.loads(upstream)[LANDING] for batch, upstream in rows.collect().iter_rows()}

    def codebook_versions(self) -> dict[str, str]:
        """Version of each codebook in force."""
        found: dict[str, str] = {}
        for name in CODEBOOKS:
            rows = self.lake.scan(name).select("version", "sequence").collect()
            found[name] = rows.sort("sequence")["version"][-1] if rows.height else NO_CODEBOOK
        return found

    def untrained_codebooks(self, held: Iterable[str]) -> list[str]:
        """Codebooks that were never trained though batches that are not held have features for them."""
        versions, excluded = self.codebook_versions(), list(held)
        return [name for name in CODEBOOKS if versions[name] == NO_CODEBOOK and self._has_features(name, excluded)]

    def _has_features(self, codebook: str, held: list[str]) -> bool:
        return any(
            self.lake.scan(table).filter(~pl.col("batch").is_in(held)).select(pl.len()).collect().item()
            for table in _TRAINED_ON[codebook]
        )

    def review_digest(self, batch: str) -> str:
        """Hash of the latest decision on each hard negative of the batch; who decided and when does not count."""
        made = self.lake.scan("hard_negatives", batch).select(subject_id="negative_id")
        decided = self.lake.scan("review_decisions").join(made, on="subject_id", how="semi").collect()
        latest = decided.sort("at_us", maintain_order=True).group_by("subject_id").agg(pl.col("decision").last())
        if latest.is_empty():
            return NO_REVIEWS
        return hashlib.sha256(json.dumps(latest.sort("subject_id").rows()).encode()).hexdigest()[:32]

    def stale(self, batch: str, landing: str, models: Mapping[str, Identified], among: tuple[str, ...]) -> list[str]:
        """Steps of the batch that have something to do and are not up to date, in graph order."""
        identities = {name: str(model.identity) for name, model in models.items()}
        beside = {LANDING: landing, **self.codebook_versions(), **self.corrections.digests(batch)}
        beside[REVIEWS] = self.review_digest(batch)
        expected = expected_digests(self.policy_file.policy, identities, beside, parts_of(landing))
        return stale_steps(expected, self.recorded(batch), among)

    def release_digest(self, release: str, excluded: Mapping[str, str]) -> str:
        """Hash of everything a release drawn now would depend on.

        Args:
            release: its name.
            excluded: batches left out, and why.
        """
        samples = {
            batch: digests["fusion_samples"]
            for batch, digests in self.recorded_all().items()
            if "fusion_samples" in digests and batch not in excluded
        }
        policy = self.policy_file.policy
        settings = [policy.fusion.model_dump(mode="json"), policy.mixtures.model_dump(mode="json")]
        stored = self.lake.scan("recipes").filter(pl.col("release") == release).sort("pool").collect().rows()
        settings += [policy.packing.model_dump(mode="json"), {"tokenizer": policy.windows.tokenizer}]
        compared = [digest_of(one) for one in policy.mixtures.evaluation_sets]
        parts = [RELEASE_CODE_VERSION, samples, dict(excluded), settings, stored, compared]
        document = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:32]

    def record_release(self, release: str, digest: str, models: tuple[str, ...]) -> None:
        """Remember what a release was made from, once it is published."""
        row = {
            "batch": release,
            "asset": RELEASE_STEP,
            "digest": digest,
            "code_version": RELEASE_CODE_VERSION,
            "models": list(models),
            "upstream_json": "{}",
            "rows_json": "{}",
            "versions_json": "{}",
        }
        rows = pl.DataFrame([row], schema=TABLES["provenance"].schema)
        self.lake.replace("provenance", release, rows, within={"asset": RELEASE_STEP})

    @contextlib.contextmanager
    def writing(
        self,
        name: str,
        batch: str,
        *,
        models: Mapping[str, Identified] | None = None,
        landing: str | None = None,
    ) -> Iterator[Writing]:
        """Hold the batch's lock while a step writes, and record what it wrote.

        If the step would now write other rows than last time, the rows of every step that stands on it are cleared
        first, children before parents, so that no reader ever meets a row whose parent is gone.
        """
        step = STEPS[name]
        with self.lock(batch):
            recorded, read_before = self._state(batch)
            upstream = self._upstream(step, batch, recorded, read_before if landing is None else landing)
            identities = {key: str(model.identity) for key, model in (models or {}).items()}
            digest = step_digest(step, self.policy_file.policy, identities, upstream)
            if name in recorded and recorded[name] != digest:
                self._invalidate(step, batch)
            writing = Writing(step, batch, digest, upstream, tuple(identities.values()))
            yield writing
            self._record(writing)

    def _upstream(self, step: Step, batch: str, recorded: Mapping[str, str], landing: str) -> dict[str, str]:
        """Digest of everything the step reads; of a step without work on this delivery, nothing."""
        at_work = steps_of(parts_of(landing), STEPS.keys() & set(step.upstream))
        upstream = {parent: recorded.get(parent, "") if parent in at_work else "" for parent in step.upstream}
        if LANDING in upstream:
            upstream[LANDING] = landing
        if upstream.keys() & set(CODEBOOKS):
            upstream |= {name: version for name, version in self.codebook_versions().items() if name in upstream}
        if upstream.keys() & set(CORRECTIONS):
            upstream |= {name: digest for name, digest in self.corrections.digests(batch).items() if name in upstream}
        if REVIEWS in upstream:
            upstream[REVIEWS] = self.review_digest(batch)
        return upstream

    def _invalidate(self, step: Step, batch: str) -> None:
        for stale in reversed((step, *downstream_steps(step.name))):
            self.lake.replace("provenance", batch, TABLES["provenance"].empty(), within={"asset": stale.name})
            self.lake.replace("rejected", batch, TABLES["rejected"].empty(), within={"stage": stale.name})
            for table in reversed(stale.tables):
                self.lake.clear(table, batch)

    def _record(self, writing: Writing) -> None:
        row = {
            "batch": writing.batch,
            "asset": writing.step.name,
            "digest": writing.digest,
            "code_version": writing.step.code_version,
            "models": list(writing.models),
            "upstream_json": json.dumps(dict(writing.upstream), sort_keys=True),
            "rows_json": json.dumps(_counted(writing), sort_keys=True),
            "versions_json": json.dumps({item.table: item.version for item in writing.written}, sort_keys=True),
        }
        rows = pl.DataFrame([row], schema=TABLES["provenance"].schema)
        self.lake.replace("provenance", writing.batch, rows, within={"asset": writing.step.name})

    @contextlib.contextmanager
    def lock(self, batch: str) -> Iterator[None]:
        """Serialise the writers of one batch on this machine; the operating system frees it when a process dies."""
        validate_batch_id(batch)
        root = self.lake.root
        folder = Path(tempfile.gettempdir()) / "mm-locks" if root.startswith("s3://") else Path(root) / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{batch}.lock"):
            yield
