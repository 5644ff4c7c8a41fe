"""The lines of a release and the features they point to."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import REMEDIES, CrossModalCode, ReleaseError
from mm_assets.fusion.box_markup import decode_boxes
from mm_assets.fusion.negative_texts import decode_negatives
from mm_assets.fusion.release_format import SAMPLES_FOLDER
from mm_assets.fusion.samples import SPLITS, DocumentDetails, DocumentLine, SegmentDetails, SegmentLine, SplitLine
from mm_assets.mixtures.line_spool import LineSpool
from mm_assets.mixtures.segment_features import FeatureReader, SegmentFeatures
from mm_assets.mixtures.shard_writer import ShardWriter
from mm_assets.policy import MixturePolicy

_SCRATCH: Final = ".lines"
_READ_ROWS: Final = 256
_UNREVIEWED: Final = "unreviewed"
_SEGMENTS: Final = msgspec.json.Decoder(SegmentDetails)
_DOCUMENTS: Final = msgspec.json.Decoder(DocumentDetails)


def write_sample_files(
    folder: Path,
    drawn: Iterable[pl.DataFrame],
    features: FeatureReader,
    shards: ShardWriter,
    segments: SegmentFeatures,
    policy: MixturePolicy,
    placeholder_version: str,
) -> None:
    """Write ``samples/``, and hand the features of every image and segment to the shards, once each.

    Args:
        folder: release folder in the making.
        drawn: one frame per batch with ``position``, ``weight`` and ``split``.
        features: reads the features of the samples.
        shards: takes features and codes of images.
        segments: copies those of segments.
        policy: layout.
        placeholder_version: version every line declares.

    Raises:
        ReleaseError: a feature is not finite, or images differ in number of codes.
        ContractError: positions are not 0 to N - 1.
    """
    scratch = folder / _SCRATCH
    scratch.mkdir()
    spool = LineSpool(scratch, policy.samples_per_file)
    for frame in drawn:
        placed = _place_features(frame, features, shards).join(
            segments.place(frame), on="sample_id", how="left", maintain_order="left"
        )
        spool.add(
            _lines(
                placed.with_columns(visual_features_path=pl.coalesce("visual_features_path", "video_path")),
                placeholder_version,
            )
        )
    shards.flush()
    segments.flush()
    (folder / SAMPLES_FOLDER).mkdir()
    spool.write(folder / SAMPLES_FOLDER)
    scratch.rmdir()


def _place_features(frame: pl.DataFrame, features: FeatureReader, shards: ShardWriter) -> pl.DataFrame:
    """Copy the features of a batch, each image once, and put the new references beside the rows."""
    images = (
        frame.filter(pl.col("spatial_features").is_not_null())
        .unique("spatial_features", keep="any", maintain_order=False)
        .sort("spatial_features")
        .select("spatial_features", "codes")
    )
    placed: list[str] = []
    for start in range(0, images.height, _READ_ROWS):
        block = images.slice(start, _READ_ROWS)
        references = block["spatial_features"].to_list()
        rows = features.read(references)
        _refuse_if_not_finite(rows, references)
        if block["codes"].list.len().n_unique() != 1:
            raise ReleaseError(f"images {references[0]} and others differ in number of codes; encode them alike")
        codes = np.asarray(block["codes"].explode().to_numpy(), dtype=np.int32).reshape(block.height, -1)
        placed += shards.append(rows, codes)
    new = images.select("spatial_features").with_columns(visual_features_path=pl.Series(placed, dtype=pl.String))
    return frame.join(new, on="spatial_features", how="left", maintain_order="left")


def _refuse_if_not_finite(rows: NDArray[np.float16], references: Sequence[str]) -> None:
    finite = np.isfinite(rows).all(axis=(1, 2))
    if not finite.all():
        culprit = references[int(np.flatnonzero(~finite)[0])]
        raise ReleaseError(
            f"{CrossModalCode.FUSION}: features {culprit} are not finite; {REMEDIES[CrossModalCode.FUSION].fix}"
        )


def _lines(frame: pl.DataFrame, placeholder_version: str) -> Iterator[tuple[int, bytes]]:
    columns = ("position", "sample_id", "kind", "modalities", "content", "visual_features_path", "audio_features_path",
               "pool", "weight", "batch", "source", "license", "checks_json", "boxes_json", "segment_json",
               "document_json", "negatives_json", "split")  # fmt: skip
    if "split" not in frame.columns:
        frame = frame.with_columns(split=pl.lit(SPLITS[0]))
    checks_of = {text: msgspec.json.decode(text, type=dict[str, object]) for text in frame["checks_json"].unique()}
    statuses = frame["review_status"] if "review_status" in frame.columns else [_UNREVIEWED] * frame.height
    encoder = msgspec.json.Encoder()
    for row, status in zip(frame.select(columns).iter_rows(), statuses, strict=True):
        (position, sample_id, kind, modalities, content, visual, audio, pool, weight, batch, source, license_, checks,
         boxes, segment, document, negatives, split) = row  # fmt: skip
        details = None if segment is None else _SEGMENTS.decode(segment)
        fields = SplitLine(
            id=sample_id,
            kind=kind,
            modalities=modalities,
            content=content,
            visual_features_path=visual,
            audio_features_path=audio,
            boxes=decode_boxes(boxes),
            times=[] if details is None else details.times,
            negatives=decode_negatives(negatives),
            pool=pool,
            weight=weight,
            batch=batch,
            source=source,
            license=license_,
            placeholder_version=placeholder_version,
            checks=checks_of[checks],
            review_status=status,
            split=split or SPLITS[0],
        )
        line = fields
        if details is not None:
            line = SegmentLine(**msgspec.structs.asdict(fields), segment=details)
        elif document is not None:
            line = DocumentLine(**msgspec.structs.asdict(fields), document=_DOCUMENTS.decode(document))
        yield position, encoder.encode(line)
