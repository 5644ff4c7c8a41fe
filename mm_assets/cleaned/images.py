"""Clean images: decode every one completely, fingerprint it, and score its safety, a chunk at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from time import perf_counter
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.decoding import decode_image, quiet_decoders
from mm_assets.cleaned.fingerprints import Fingerprint, fingerprint_of
from mm_assets.cleaned.interfaces import SafetyModel
from mm_assets.errors import DecodeError, InputError
from mm_assets.features.decode import use_calling_thread_only
from mm_assets.landing import Landing
from mm_assets.policy import ImagePolicy
from mm_assets.schemas import TABLES

STAGE: Final = "cleaned_images"
_SCORED_TOGETHER: Final = 16
_DECODED_TOGETHER: Final = 8
_DECODED_AHEAD: Final = 32


@dataclass(frozen=True)
class InspectedChunk:
    """What became of a chunk of image records.

    Attributes:
        kept: rows of ``images``, near-duplicates still among them.
        fingerprints: rows of ``image_fingerprints``, one per kept image.
        rejected: rows of ``rejected``.
        scored: pictures the safety model scored.
        model_seconds: wall time inside the safety model.
    """

    kept: pl.DataFrame
    fingerprints: pl.DataFrame
    rejected: pl.DataFrame
    scored: int
    model_seconds: float


@dataclass(frozen=True)
class _Inspected:
    row: dict[str, Any]
    format: str
    width: int
    height: int
    fingerprint: Fingerprint
    prepared: NDArray[np.float32] | None


Outcome: TypeAlias = _Inspected | tuple[dict[str, Any], InputError]


def clean_images(
    chunks: Iterable[pl.DataFrame],
    landing: Landing,
    safety: SafetyModel | None,
    policy: ImagePolicy,
    *,
    threads: int = 2,
) -> Iterator[InspectedChunk]:
    """Inspect images in their order; decoding threads run ahead while the safety model scores.

    Args:
        chunks: rows of ``raw_images``.
        landing: where their ``source_ref`` points; read from several threads.
        safety: the safety model, or None to leave ``nsfw_score`` empty.
        policy: what a clean image is.
        threads: decoding threads.

    Raises:
        ModelError: the safety model failed.
    """
    use_calling_thread_only()
    with ThreadPoolExecutor(threads, thread_name_prefix="clean") as pool:
        for chunk in chunks:
            with quiet_decoders():
                outcomes = _run_ahead(
                    pool, lambda row: _inspect(row, landing, safety, policy), chunk.iter_rows(named=True)
                )
                inspected = _judge(outcomes, safety, policy)
            yield inspected


def _run_ahead(
    pool: ThreadPoolExecutor, inspect: Callable[[dict[str, Any]], Outcome], rows: Iterable[dict[str, Any]]
) -> Iterator[Outcome]:
    """Outcomes in the order of rows; decoding is faster than scoring, and prepared pictures are large."""
    running: deque[Future[list[Outcome]]] = deque()
    remaining = iter(rows)
    while some := list(islice(remaining, _DECODED_TOGETHER)):  # one at a time costs a tenth of its decoding
        running.append(pool.submit(lambda rows: [inspect(row) for row in rows], some))
        if len(running) * _DECODED_TOGETHER > _DECODED_AHEAD:
            yield from running.popleft().result()
    while running:
        yield from running.popleft().result()


def _inspect(row: dict[str, Any], landing: Landing, safety: SafetyModel | None, policy: ImagePolicy) -> Outcome:
    reference = row["source_ref"]
    try:
        data = landing.read(landing.key(reference["uri"]), reference["byte_offset"], reference["byte_size"])
        decoded = decode_image(data, row["record_ref"], policy)
    except InputError as error:
        return row, error
    height, width = decoded.pixels.shape[:2]
    prepared = None if safety is None else safety.prepare(decoded.pixels)
    return _Inspected(row, decoded.format, width, height, fingerprint_of(decoded.pixels), prepared)


def _judge(
    outcomes: Iterable[Outcome],
    safety: SafetyModel | None,
    policy: ImagePolicy,
) -> InspectedChunk:
    decoded: list[_Inspected] = []
    scores: list[float | None] = []
    rejected: list[dict[str, Any]] = []
    waiting: list[NDArray[np.float32]] = []
    seconds = 0.0

    def score_waiting() -> float:
        if safety is None or not waiting:
            return 0.0
        started = perf_counter()
        scores.extend(safety.score(waiting).tolist())
        waiting.clear()
        return perf_counter() - started

    for outcome in outcomes:
        if isinstance(outcome, tuple):
            rejected.append(_rejection(*outcome))
            continue
        if outcome.prepared is None:
            scores.append(None)
        else:
            waiting.append(outcome.prepared)
        decoded.append(
            _Inspected(outcome.row, outcome.format, outcome.width, outcome.height, outcome.fingerprint, None)
        )
        if len(waiting) == _SCORED_TOGETHER:
            seconds += score_waiting()
    seconds += score_waiting()

    kept: list[dict[str, Any]] = []
    fingerprints: list[dict[str, Any]] = []
    for item, score in zip(decoded, scores, strict=True):
        if score is not None and score > policy.max_nsfw:
            error = DecodeError(
                "NSFW",
                f"{item.row['record_ref']}: unsafe content scored {score:.2f}, at most {policy.max_nsfw:g} is kept; "
                "remove the picture or raise [images] max_nsfw",
            )
            rejected.append(_rejection(item.row, error))
            continue
        size = {"width": item.width, "height": item.height}
        kept.append(item.row | size | {"format": item.format, "nsfw_score": score})
        identity = {name: item.row[name] for name in ("batch", "image_id", "position", "sha256")}
        fingerprints.append(identity | size | asdict(item.fingerprint))
    return InspectedChunk(
        kept=pl.DataFrame(kept, schema=TABLES["images"].schema),
        fingerprints=pl.DataFrame(fingerprints, schema=TABLES["image_fingerprints"].schema),
        rejected=pl.DataFrame(rejected, schema=TABLES["rejected"].schema),
        scored=0 if safety is None else len(decoded),
        model_seconds=seconds,
    )


def _rejection(row: dict[str, Any], error: InputError) -> dict[str, Any]:
    return {
        "batch": row["batch"],
        "stage": STAGE,
        "record_kind": "image",
        "record_ref": row["record_ref"],
        "record_id": row["image_id"],
        "code": error.code,
        "reason": error.reason,
    }


def reject_duplicates(images: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows for images that repeat another.

    Args:
        images: rows of ``images``.
        duplicates: what `mm_assets.cleaned.duplicates.find_duplicates` found among them.
    """
    found = images.join(duplicates, on="image_id", how="inner", maintain_order="left")
    return found.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("image").alias("record_kind"),
        "record_ref",
        pl.col("image_id").alias("record_id"),
        pl.when(pl.col("kind") == "exact")
        .then(pl.lit("EXACT_DUPLICATE"))
        .otherwise(pl.lit("NEAR_DUPLICATE"))
        .alias("code"),
        pl.format(
            "{}: the same picture as {} of batch {} (similarity {}); deliver each picture once",
            "record_ref",
            "duplicate_of",
            "duplicate_batch",
            pl.col("similarity").round(3),
        ).alias("reason"),
    )
