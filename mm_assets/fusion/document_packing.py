# pyright: strict
"""Join windows of documents with the codes of their figures into fusion samples: pictures in place, in reading order.

One sample per window; elements are apart by an empty line::

    4.1 Water mills

    The wheel turns as Figure 3 shows.

    <|image_start|><IMG_TK_3>…<|image_end|>

    Figure 3. A wheel.

Rows in = samples + rejected: every window becomes one of either.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import polars as pl

from mm_assets.errors import ContractError
from mm_assets.fusion.packed_samples import PackedSamples, make_rejected, make_samples
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE
from mm_assets.fusion.rendering import image_block
from mm_assets.policy import FusionPolicy

_POOL: Final = "fine_grained_interleaved"
_BETWEEN: Final = "\n\n"
_REASONS: Final[Mapping[str, str]] = {
    "NO_DOCUMENT": "a window of record {} belongs to no kept document; materialize its windows again",
    "NO_VISUAL_CODES": "a figure in a window of record {} has no visual codes; materialize them again",
    "PLACEHOLDER_IN_TEXT": "the text of a window of record {} holds what reads as a placeholder; reword it",
}


def pack_documents(
    windows: pl.DataFrame,
    documents: pl.DataFrame,
    figures: pl.DataFrame,
    bindings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
) -> PackedSamples:
    """Pack one sample per window.

    Args:
        windows: rows of ``document_windows``, of each window all.
        documents: document_id, source, license, language and record_ref of the kept documents.
        figures: as `join_figures` gives them.
        bindings: rows of ``caption_bindings``; document_id, position, caption_position and score are read.
        checks: gate values of the batch, stored with every sample.
        policy: syntax.

    Returns:
        Samples in the order of their ids, and rejected rows of kind ``window``: ``NO_DOCUMENT``, ``NO_VISUAL_CODES``,
        ``PLACEHOLDER_IN_TEXT``.

    Raises:
        ContractError: a document or a figure occurs twice.
    """
    for frame, name in ((documents, "document_id"), (figures, "block_id")):
        if frame[name].is_duplicated().any():
            raise ContractError(f"{name} {frame.filter(pl.col(name).is_duplicated())[name][0]} occurs more than once")
    shows = pl.col("modality") == "image"
    rows = (
        windows.sort("window_id", "position")
        .join(figures, left_on="image_ref", right_on="block_id", how="left", maintain_order="left")
        .with_columns(
            code=pl.when(shows & (pl.col("codes").list.len().fill_null(0) == 0))
            .then(pl.lit("NO_VISUAL_CODES"))
            .when(pl.col("text").str.contains(PLACEHOLDER_LIKE))
            .then(pl.lit("PLACEHOLDER_IN_TEXT")),
            piece=pl.when(shows).then(image_block(pl.col("codes"))).otherwise("text"),
        )
        .with_columns(length=pl.col("piece").str.len_chars().cast(pl.Int64))
        .with_columns(
            end=(pl.col("length") + len(_BETWEEN)).cum_sum().over("window_id") - len(_BETWEEN),
        )
        .with_columns(start_in_content=pl.col("end") - pl.col("length"))
    )
    packed = (
        rows.group_by("window_id", maintain_order=True)
        .agg(
            pl.col("batch", "document_id", "window_index").first(),
            pl.col("code").drop_nulls().sort().first(),
            content=pl.col("piece").str.join(_BETWEEN),
            codes=pl.col("codes").explode().drop_nulls(),
            frame_features=pl.col("spatial_features").drop_nulls(),
            codebook_version=pl.col("codebook_version").drop_nulls().first(),
            first_page=pl.col("page").min(),
            last_page=pl.col("page").max(),
            tokens=pl.col("tokens").sum(),
            has_text=(~shows).any(),
        )
        .join(documents, on="document_id", how="left", maintain_order="left")
        .with_columns(
            code=pl.when(pl.col("source").is_null()).then(pl.lit("NO_DOCUMENT")).otherwise("code"),
            record_ref=pl.col("record_ref").fill_null(pl.format("of document {}", "document_id")),
        )
    )
    good = packed.filter(pl.col("code").is_null())
    anchors = _find_anchors(rows.join(good, on="window_id", how="semi"), bindings)
    shown = pl.col("codes").list.len() > 0
    samples = good.with_columns(
        kind=pl.lit("document"),
        pool=pl.lit(_POOL),
        modalities=pl.concat_list(
            pl.when(shown).then(pl.lit("image")), pl.when(pl.col("has_text")).then(pl.lit("text"))
        ).list.drop_nulls(),
        codes=pl.when(shown).then("codes"),
        frame_features=pl.when(shown).then("frame_features"),
        document_json=pl.Series(_describe(good, anchors), dtype=pl.String),
    )
    return PackedSamples(
        make_samples(samples, checks, policy, "window_id", "codebook_version"),
        make_rejected(packed.filter(pl.col("code").is_not_null()), "window", "window_id", _REASONS),
    )


def pack_document_chunks(
    windows: Iterator[pl.DataFrame],
    documents: pl.DataFrame,
    figures: pl.DataFrame,
    bindings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
) -> Iterator[PackedSamples]:
    """`pack_documents` over chunks of whole windows, so that the contents of a large batch are never held at once."""
    for chunk in windows:
        yield pack_documents(
            chunk,
            documents,
            figures.join(chunk, left_on="block_id", right_on="image_ref", how="semi"),
            bindings.join(chunk, on="document_id", how="semi"),
            checks,
            policy,
        )


def join_figures(figures: pl.DataFrame, codes: pl.DataFrame, codebook_size: int) -> pl.DataFrame:
    """Codes and place of the features of each figure that has both, with the codebook's version.

    Args:
        figures: block_id and spatial_features of embedded figures.
        codes: block_id, codes and codebook_version.
        codebook_size: number of codes; every code must be below it.

    Raises:
        ContractError: a code lies outside the codebook.
    """
    joined = codes.select("block_id", "codes", "codebook_version").join(
        figures.select("block_id", "spatial_features"), on="block_id", how="inner"
    )
    outside = joined.filter((pl.col("codes").list.min() < 0) | (pl.col("codes").list.max() >= codebook_size))
    if outside.height:
        raise ContractError(
            f"figure {outside['block_id'][0]}: a code lies outside the codebook of {codebook_size} codes; "
            "encode it with the codebook it is packed with"
        )
    return joined


def _find_anchors(rows: pl.DataFrame, bindings: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """By window, its figures with their captions and the texts that refer to them, as characters of the content."""
    placed = rows.select(
        "window_id", "document_id", "position", "block_position", "image_ref", "refers_to", "modality",
        span=pl.concat_list("start_in_content", "end"),
    )  # fmt: skip
    captions = bindings.drop_nulls("caption_position").select(
        "document_id", "score", block_position="position", caption="caption_position"
    )
    figures = placed.filter(pl.col("modality") == "image").join(
        captions, on=["document_id", "block_position"], how="left", maintain_order="left"
    )
    texts = placed.filter(pl.col("modality") == "text").unique(
        ["window_id", "block_position"], keep="first", maintain_order=True
    )
    with_captions = figures.join(
        texts.select("window_id", caption="block_position", caption_at="position", caption_span="span"),
        on=["window_id", "caption"],
        how="left",
        maintain_order="left",
    )
    uses = (
        placed.select("window_id", "refers_to", user="position", use="span")
        .explode("refers_to")
        .drop_nulls("refers_to")
    )
    anchors: dict[str, list[dict[str, Any]]] = {}
    by_target: dict[tuple[str, int], list[tuple[int, list[int]]]] = {}
    for window, target, user, span in uses.iter_rows():
        by_target.setdefault((window, target), []).append((user, span))
    for row in with_captions.iter_rows(named=True):
        window, own = row["window_id"], {row["position"], row["caption_at"]} - {None}
        found = {user: span for target in own for user, span in by_target.get((window, target), []) if user not in own}
        anchors.setdefault(window, []).append(
            {
                "figure": row["image_ref"],
                "span": row["span"],
                "caption": row["caption_span"],
                "caption_score": row["score"] if row["caption_at"] is not None else None,
                "referring": [found[user] for user in sorted(found)],
            }
        )
    return anchors


def _describe(rows: pl.DataFrame, anchors: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    columns = ("document_id", "window_id", "window_index", "first_page", "last_page", "tokens")
    return [
        msgspec.json.encode(
            {
                "document_id": document,
                "window_id": window,
                "window_index": index,
                "pages": [first, last],
                "tokens": tokens,
                "anchors": anchors.get(window, []),
            }
        ).decode()
        for document, window, index, first, last, tokens in rows.select(columns).iter_rows()
    ]
