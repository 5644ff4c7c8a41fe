"""Orientation of a batch: every finding as a row."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import polars as pl

from mm_assets.aligned.objects.anchoring.lexical import NONE
from mm_assets.aligned.objects.anchoring.verdicts import ANCHORED, MISMATCHED
from mm_assets.aligned.objects.orientation.findings import Finding, Verdict
from mm_assets.aligned.objects.orientation.orientation import Orientation, parse_orientation
from mm_assets.aligned.objects.orientation.orientation_rules import check_declared, check_markers
from mm_assets.aligned.objects.orientation.patient_orientation import is_medical
from mm_assets.aligned.objects.orientation.side_claims import Anchor, check_claims
from mm_assets.aligned.objects.orientation.side_markers import MARKER_SCHEMA, SideMarker
from mm_assets.cleaned.decoding import DICOM
from mm_assets.errors import CrossModalCode
from mm_assets.policy import OrientationPolicy
from mm_assets.schemas import TABLES

_TABLE: Final = TABLES["orientation_checks"]
_NAMES_A_SIDE: Final = r"(?i)\b(?:left|right)"
_DECLARES: Final = pl.col("annotations_json").str.contains('"orientation"', literal=True).fill_null(value=False)


class _Annotations(msgspec.Struct):
    orientation: dict[str, Any] | None = None


_ANNOTATIONS: Final = msgspec.json.Decoder(_Annotations)


def list_medical(images: pl.DataFrame, policy: OrientationPolicy) -> pl.DataFrame:
    """Images whose side markers are worth reading: medical, and of a modality that carries markers if it is known.

    An image is medical if it declares an orientation, as a delivery's manifest or a DICOM header does, or is DICOM.

    Args:
        images: rows of ``images``, or at least ``image_id``, ``format`` and ``annotations_json``.
        policy: modalities; with ``ocr_enabled`` off, no image is listed.

    Returns:
        The rows of those images.
    """
    if not policy.ocr_enabled:
        return images.clear()
    declared = {image_id: orientation.modality for image_id, orientation in _declared(images)}
    silent = images.filter(pl.col("format") == DICOM, ~pl.col("image_id").is_in(list(declared)))
    declared |= dict.fromkeys(silent["image_id"])
    wanted = [name for name, modality in declared.items() if modality is None or modality in policy.ocr_modalities]
    return images.filter(pl.col("image_id").is_in(wanted))


def list_declared(images: pl.DataFrame) -> list[str]:
    """Ids of the images that declare an orientation; columns ``image_id`` and ``annotations_json``."""
    return [image_id for image_id, _ in _declared(images)]


def mentions_orientation() -> pl.Expr:
    """Which rows of ``images`` may be medical, without parsing what they declare."""
    return _DECLARES | (pl.col("format") == DICOM)


def names_a_side() -> pl.Expr:
    """Which rows of ``captions`` may claim anything about left or right."""
    return pl.col("text").str.contains(_NAMES_A_SIDE)


def check_orientation(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    alignments: pl.DataFrame,
    markers: pl.DataFrame,
    policy: OrientationPolicy,
) -> pl.DataFrame:
    """Check declared orientation, side markers and captions of the images given.

    Args:
        images: rows of ``images``: batch, image_id, position, width, annotations_json.
        captions: rows of ``captions``: caption_id, image_id, text.
        alignments: rows of ``object_alignments``: caption_id, image_id, phrase_start, phrase_end, x1, x2,
            lexical, verdict; and ``label`` of the box where it is known, which tells two cats apart.
        markers: rows of `MARKER_SCHEMA`.
        policy: margin and confidences.

    Returns:
        Rows of ``orientation_checks``, in the table's order.
    """
    places = images.select("batch", "image_id", "position", "width")
    found = [*_medical_findings(images, markers, policy), *_caption_findings(images, captions, alignments, policy)]
    rows = pl.DataFrame(
        [
            {
                "image_id": image_id,
                "caption_id": finding.caption_id,
                "subject": finding.subject.value,
                "evidence": finding.evidence,
                "confidence": finding.confidence,
                "verdict": finding.verdict.value,
                "code": CrossModalCode.MIRROR.value if finding.verdict is Verdict.CONTRADICTED else None,
            }
            for image_id, finding in found
        ],
        schema={name: dtype for name, dtype in _TABLE.schema.items() if name not in {"batch", "position"}},
    )
    joined = rows.join(places.drop("width"), on="image_id", how="inner")
    return _TABLE.conform(joined).sort(_TABLE.order_by, nulls_last=False)


def _declared(images: pl.DataFrame) -> Iterator[tuple[str, Orientation]]:
    """Images that declare an orientation."""
    for image_id, text in images.filter(_DECLARES).select("image_id", "annotations_json").iter_rows():
        orientation = _ANNOTATIONS.decode(text).orientation
        if orientation is not None and is_medical(orientation):
            yield image_id, parse_orientation(orientation)


def _medical_findings(
    images: pl.DataFrame, markers: pl.DataFrame, policy: OrientationPolicy
) -> Iterator[tuple[str, Finding]]:
    widths: dict[str, int] = dict(images.select("image_id", "width").iter_rows())
    read: dict[str, list[SideMarker]] = {}
    for image_id, side, text, reads, confidence, *box in markers.select(MARKER_SCHEMA.names()).iter_rows():
        read.setdefault(image_id, []).append(
            SideMarker(side, text, reads, confidence, (box[0], box[1], box[2], box[3]))
        )
    declared = dict(_declared(images))
    for image_id, orientation in declared.items():
        for finding in check_declared(orientation):
            yield image_id, finding
    for image_id, found in read.items():
        if image_id in widths:
            orientation = declared.get(image_id, Orientation())
            for finding in check_markers(orientation, found, widths[image_id], policy.side_margin):
                yield image_id, finding


def _caption_findings(
    images: pl.DataFrame, captions: pl.DataFrame, alignments: pl.DataFrame, policy: OrientationPolicy
) -> Iterator[tuple[str, Finding]]:
    """Captions that name a side, each with its anchored phrases; nothing else is taken apart in Python."""
    named = captions.filter(names_a_side()).select("caption_id", "image_id", "text")
    label = pl.col("label") if "label" in alignments.columns else pl.lit(None, pl.String).alias("label")
    anchored = (
        alignments.filter(_names_its_box() & pl.col("phrase_start").is_not_null() & pl.col("caption_id").is_not_null())
        .join(named.select("caption_id"), on="caption_id", how="semi")
        .join(images.select("image_id", "width"), on="image_id", how="inner")
        .select(
            "caption_id",
            "phrase_start",
            "phrase_end",
            ((pl.col("x1") + pl.col("x2")) / 2.0 / pl.col("width")).cast(pl.Float64).alias("middle"),
            label,
        )
        .group_by("caption_id", "phrase_start", "phrase_end", maintain_order=True)
        .agg(pl.col("middle").sort(), pl.col("label").drop_nulls().first())
    )
    phrases: dict[str, list[Anchor]] = {}
    for caption_id, start, end, middles, category in anchored.iter_rows():
        phrases.setdefault(caption_id, []).append(Anchor(start, end, tuple(middles), category))
    for caption_id, image_id, text in named.iter_rows():
        for finding in check_claims(text, caption_id, phrases.get(caption_id, []), policy.side_margin):
            yield image_id, finding


def _names_its_box() -> pl.Expr:
    """A box under a phrase of another place is mismatched, which is the very thing to find: its words still agree."""
    verdict = pl.col("verdict")
    return (verdict == ANCHORED) | ((verdict == MISMATCHED) & (pl.col("lexical") != NONE))
