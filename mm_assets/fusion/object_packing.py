"""Join boxes and the phrases they are anchored to into fusion samples: captions with tags around what has a box.

One sample per caption with an anchored box: its image, and the caption with ``<box>…</box>`` around each phrase. One
sample per image with boxes that no caption names: the image, and their labels, each between tags. So every box that may
be used stands in a sample, and none in a label sample that a caption names.

Rows in = boxes in samples + rejected: every row of ``object_alignments`` is a box of one sample or one rejected row.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl

from mm_assets.errors import ContractError
from mm_assets.fusion.box_markup import BOX_END, BOX_START
from mm_assets.fusion.packed_samples import PackedSamples, join_features, make_rejected, make_samples, one_row_per_image
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE
from mm_assets.fusion.rendering import image_block
from mm_assets.fusion.samples import Pool
from mm_assets.policy import FusionPolicy

_POOL: Final[Pool] = "fine_grained_interleaved"
_LABELS_BETWEEN: Final = " "
_TAGS: Final = len(BOX_START) + len(BOX_END)
_REASONS: Final[Mapping[str, str]] = {
    "NO_IMAGE": "box of record {} belongs to no kept image; see why the image was rejected",
    "NO_CODES": "image of record {} has no visual codes or spatial features; materialize them again",
    "NO_CAPTION": "box of record {} is anchored to a caption that is not there; materialize its alignments again",
    "NO_LABEL": "box of record {} has no label and no caption names it; label it, or name it in a caption",
    "PHRASE_AMBIGUOUS": "box of record {} may be one of several phrases; tell them apart in the caption",
    "PHRASE_MISMATCHED": "box of record {} contradicts its caption; correct the box, the label or the caption",
    "PHRASE_OVERLAPS": "the phrase of a box of record {} overlaps another that is used; name the two things apart",
    "CAPTION_TOO_LONG": "caption or labels of record {} are longer than fusion.max_caption_characters; shorten them",
    "PLACEHOLDER_IN_TEXT": "caption or label of record {} holds what reads as a placeholder; reword it",
}
_VERDICT_CODES: Final = {"ambiguous": "PHRASE_AMBIGUOUS", "mismatched": "PHRASE_MISMATCHED"}


def pack_objects(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    alignments: pl.DataFrame,
    visual_codes: pl.DataFrame,
    image_embeddings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
    *,
    codebook_size: int,
) -> PackedSamples:
    """Pack the boxes of some images.

    Args:
        images: rows of table ``images``.
        captions: rows of table ``captions``.
        alignments: rows of table ``object_alignments``.
        visual_codes: rows of table ``visual_codes``.
        image_embeddings: rows of table ``image_embeddings``; only the place of the spatial features is read.
        checks: gate values of the batch, stored with every sample.
        policy: syntax and bounds.
        codebook_size: number of codes; every code must be below it.

    Returns:
        Samples in the order of their ids, and a rejected row of kind ``box`` for each alignment that is in none:
        ``NO_IMAGE``, ``NO_CODES``, ``NO_CAPTION``, ``NO_LABEL``, ``PHRASE_AMBIGUOUS``, ``PHRASE_MISMATCHED``,
        ``PHRASE_OVERLAPS`` (of two overlapping phrases the one that starts first stays, then the longer),
        ``CAPTION_TOO_LONG``, ``PLACEHOLDER_IN_TEXT``.

    Raises:
        ContractError: an image occurs twice, a code lies outside the codebook, or a phrase is not what stands at its
            place in the caption.
    """
    features = join_features(visual_codes, image_embeddings, codebook_size)
    kept = one_row_per_image(images.select("image_id", "source", "license", "record_ref"), "images")
    written = captions.select("caption_id", "language", caption_text="text")
    rows = (
        alignments.select(
            "batch", "sample_id", "image_id", "caption_id", "phrase", "phrase_start", "phrase_end", "box_index", "x1",
            "y1", "x2", "y2", "verdict",
        )
        .join(kept, on="image_id", how="left", maintain_order="left")
        .join(features, on="image_id", how="left", maintain_order="left")
        .join(written, on="caption_id", how="left", maintain_order="left")
    )  # fmt: skip
    rows = _place_labels(rows).with_columns(
        code=_first_fault(policy), record_ref=pl.col("record_ref").fill_null(pl.format("of image {}", "image_id"))
    )
    _refuse_shifted_phrases(rows)
    rows = _reject_overlaps(rows)
    good = rows.filter(pl.col("code").is_null())
    packed = _mark_up(good).with_columns(
        kind=pl.lit("object"),
        modalities=pl.lit(["image", "text"], dtype=pl.List(pl.String)),
        text_id=pl.lit(None, dtype=pl.String),
        pool=pl.lit(_POOL),
        text_kind=pl.lit(None, dtype=pl.String),
    )
    samples = make_samples(packed, checks, policy, "image_id", "caption_id", "codebook_version", "boxes_json")
    return PackedSamples(
        samples, make_rejected(rows.filter(pl.col("code").is_not_null()), "box", "sample_id", _REASONS)
    )


def pack_object_chunks(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    alignments: pl.DataFrame,
    visual_codes: pl.DataFrame,
    image_embeddings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
    *,
    codebook_size: int,
    chunk_images: int = 2_048,
) -> Iterator[PackedSamples]:
    """`pack_objects` over slices of the images, so that the contents of a large batch are never held at once.

    Alignments that belong to no image come with the last slice.
    """
    orphans = alignments.join(images, on="image_id", how="anti")
    for start in range(0, max(images.height, 1), chunk_images):
        chunk = images.slice(start, chunk_images)
        own = alignments.join(chunk, on="image_id", how="semi")
        yield pack_objects(
            chunk,
            captions.join(chunk, on="image_id", how="semi"),
            own if start + chunk_images < images.height else pl.concat([own, orphans]),
            visual_codes.join(chunk, on="image_id", how="semi"),
            image_embeddings.join(chunk, on="image_id", how="semi"),
            checks,
            policy,
            codebook_size=codebook_size,
        )


def _place_labels(rows: pl.DataFrame) -> pl.DataFrame:
    """Give boxes without a caption a text of their own, the labels of their image, and their place in it.

    Adds ``text`` (null where a caption is missing), ``start``, ``end`` and ``group``, which is the sample.
    """
    rows = rows.with_row_index("row").with_columns(
        text=pl.col("caption_text"), start=pl.col("phrase_start"), end=pl.col("phrase_end"), group=pl.col("caption_id")
    )
    usable = (pl.col("phrase") != "") & ~pl.col("phrase").str.contains(PLACEHOLDER_LIKE)
    bare = rows.filter(pl.col("caption_id").is_null() & usable).sort("image_id", "box_index", "sample_id")
    length = pl.col("phrase").str.len_chars().cast(pl.Int32)
    before = (length + len(_LABELS_BETWEEN)).cum_sum().over("image_id") - length - len(_LABELS_BETWEEN)
    placed = bare.select(
        "row",
        label_text=pl.col("phrase").str.join(_LABELS_BETWEEN).over("image_id"),
        label_start=before,
        label_end=before + length,
        label_group=pl.col("image_id"),
    )
    joined = rows.join(placed, on="row", how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce(name, f"label_{name}").alias(name) for name in ("text", "start", "end", "group")
    )


def _first_fault(policy: FusionPolicy) -> pl.Expr:
    labelled = pl.col("caption_id").is_null()
    placeholder = pl.when(labelled).then(pl.col("phrase")).otherwise(pl.col("text")).str.contains(PLACEHOLDER_LIKE)
    return (
        pl.when(pl.col("source").is_null())
        .then(pl.lit("NO_IMAGE"))
        .when(pl.col("codes").list.len().fill_null(0) == 0)
        .then(pl.lit("NO_CODES"))
        .when(pl.col("verdict").is_in(list(_VERDICT_CODES)))
        .then(pl.col("verdict").replace_strict(_VERDICT_CODES, default=None, return_dtype=pl.String))
        .when(labelled & (pl.col("phrase") == ""))
        .then(pl.lit("NO_LABEL"))
        .when(pl.col("caption_text").is_null() & ~labelled)
        .then(pl.lit("NO_CAPTION"))
        .when(placeholder)
        .then(pl.lit("PLACEHOLDER_IN_TEXT"))
        .when(pl.col("text").str.len_chars() > policy.max_caption_characters)
        .then(pl.lit("CAPTION_TOO_LONG"))
    )


def _refuse_shifted_phrases(rows: pl.DataFrame) -> None:
    wrong = rows.filter(
        pl.col("code").is_null()
        & (pl.col("text").str.slice("start", pl.col("end") - pl.col("start")) != pl.col("phrase"))
    )
    if wrong.height:
        sample_id, phrase, text = wrong.select("sample_id", "phrase", "text").row(0)
        raise ContractError(
            f"alignment {sample_id}: {phrase!r} does not stand at its place in {text[:80]!r}; anchor its boxes again"
        )


def _reject_overlaps(rows: pl.DataFrame) -> pl.DataFrame:
    """Mark phrases that overlap one used before them in their caption."""
    spans = (
        rows.filter(pl.col("code").is_null())
        .select("group", "start", "end")
        .unique()
        .sort("group", "start", "end", descending=[False, False, True])
    )
    reach = pl.col("end").cum_max().shift(1).over("group")
    crossed = spans.filter(pl.col("start") < reach).select("group").unique()
    if crossed.is_empty():
        return rows
    lost: list[tuple[str, int, int]] = []
    group_before, behind = None, 0
    for group, start, end in spans.join(crossed, on="group", how="semi", maintain_order="left").iter_rows():
        if group == group_before and start < behind:
            lost.append((group, start, end))
        else:
            group_before, behind = group, end
    schema = {"group": pl.String, "start": pl.Int32, "end": pl.Int32}
    overlapping = pl.DataFrame(lost, schema=schema, orient="row").with_columns(overlap=pl.lit("PHRASE_OVERLAPS"))
    joined = rows.join(overlapping, on=["group", "start", "end"], how="left", maintain_order="left")
    return joined.with_columns(code=pl.coalesce("code", "overlap")).drop("overlap")


def _mark_up(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per sample, with ``content`` and ``boxes_json``."""
    spans = (
        rows.select("group", "start", "end", "text")
        .unique()
        .sort("group", "start")
        .with_columns(
            tag=pl.int_range(pl.len(), dtype=pl.Int32).over("group"),
            behind=pl.col("end").shift(1).over("group").fill_null(0),
        )
    )
    pieces = spans.with_columns(
        piece=pl.col("text").str.slice("behind", pl.col("start") - pl.col("behind"))
        + BOX_START
        + pl.col("text").str.slice("start", pl.col("end") - pl.col("start"))
        + BOX_END
    )
    marked = pieces.group_by("group").agg(
        marked=pl.col("piece").str.join("") + pl.col("text").last().str.slice(pl.col("end").last()),
    )
    images = rows.unique("group", keep="first", maintain_order=True).with_columns(
        block=image_block(pl.col("codes")) + " "
    )
    shift = images.select("group", prefix=pl.col("block").str.len_chars().cast(pl.Int32))
    boxes = (
        rows.join(spans.select("group", "start", "end", "tag"), on=["group", "start", "end"])
        .join(shift, on="group")
        .sort("group", "start", "box_index", "sample_id")
        .with_columns(moved=pl.col("prefix") + pl.col("tag") * _TAGS + len(BOX_START))
        .with_columns(box=_box_json())
        .group_by("group", maintain_order=True)
        .agg(boxes_json=pl.lit("[") + pl.col("box").str.join(",") + pl.lit("]"))
    )
    return (
        images.join(marked, on="group").join(boxes, on="group").with_columns(content=pl.col("block") + pl.col("marked"))
    )


def _box_json() -> pl.Expr:
    """One box as JSON; a float32 is written with as many digits as tell it from its neighbours."""
    numbers = [
        pl.col("start") + pl.col("moved"),
        pl.col("end") + pl.col("moved"),
        *map(pl.col, ("x1", "y1", "x2", "y2")),
    ]
    between = ('{"phrase":[', ",", '],"xyxy":[', ",", ",", ",")
    parts = [
        part for text, number in zip(between, numbers, strict=True) for part in (pl.lit(text), number.cast(pl.String))
    ]
    return pl.concat_str([*parts, pl.lit("]}")])
