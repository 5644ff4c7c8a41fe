# pyright: strict
"""Anchor the boxes of some pictures: words first, and only what they leave open is encoded."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mm_assets.aligned.objects.anchoring.anchors import anchor_boxes, find_candidates, keep_plausible
from mm_assets.aligned.objects.anchoring.phrases import PhraseExtractor, extract_phrases
from mm_assets.aligned.objects.boxes.readings import AS_GIVEN
from mm_assets.aligned.objects.boxes.regions import RegionEncoder, read_pictures
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.landing import Landing
from mm_assets.policy import Policy


@dataclass(frozen=True)
class AlignedObjects:
    """Anchored boxes, and what it took.

    Attributes:
        rows: rows of ``object_alignments``.
        verdicts: rows per verdict.
        crops_encoded: crops encoded for this.
        crops_saved: boxes decided without an encoder call, or by a crop made before.
    """

    rows: pl.DataFrame
    verdicts: dict[str, int]
    crops_encoded: int
    crops_saved: int


def align_objects(
    boxes: pl.DataFrame,
    captions: pl.DataFrame,
    known: pl.DataFrame,
    images: pl.DataFrame,
    landing: Landing,
    encoder: ImageTextEncoder,
    extractor: PhraseExtractor,
    policy: Policy,
) -> AlignedObjects:
    """Anchor boxes to the phrases of their pictures' captions.

    Args:
        boxes: rows of ``boxes``; all of a picture belong together.
        captions: rows of ``captions`` of these pictures.
        known: rows of ``region_embeddings`` made before with the same encoder and margin.
        images: rows of ``images`` of these pictures.
        landing: where their ``source_ref`` points.
        encoder: the image-text model.
        extractor: finds noun phrases.
        policy: sections ``anchoring``, ``object_gate`` (context margin), ``images`` and ``features``.

    Raises:
        ContractError: a picture is gone or does not decode.
        ModelError: a model failed.
    """
    candidates = find_candidates(boxes, extract_phrases(captions, extractor), policy.anchoring)
    candidates = keep_plausible(candidates, _encode_texts(encoder, candidates.words), policy.anchoring)
    needed = boxes.filter(pl.col("box_id").is_in(candidates.box_ids))
    missing = needed.join(known.filter(pl.col("reading") == AS_GIVEN), on="box_id", how="anti", maintain_order="left")
    regions = RegionEncoder(encoder, policy.object_gate.context_margin, policy.features.batch_size)
    if missing.height:
        places = missing.with_row_index("row").partition_by("image_id", as_dict=True, maintain_order=True)
        ids = [str(key[0]) for key in places]
        for image_id, pixels in read_pictures(images, ids, landing, policy.images):
            for row, *corners in places[(image_id,)].select("row", "x1", "y1", "x2", "y2").iter_rows():
                regions.add(AS_GIVEN, row, pixels, np.array(corners, dtype=np.float64))
        regions.flush()
    embedded = pl.concat([known, regions.table(AS_GIVEN, missing)], how="vertical_relaxed")
    phrases = _encode_texts(encoder, candidates.phrase_texts)
    anchored = anchor_boxes(candidates, embedded, phrases, policy.anchoring)
    return AlignedObjects(
        rows=anchored.rows,
        verdicts=anchored.verdicts,
        crops_encoded=missing.height,
        crops_saved=boxes.height - missing.height,
    )


def _encode_texts(encoder: ImageTextEncoder, texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return encoder.encode_texts(texts) if texts else np.zeros((0, encoder.dimension), np.float32)
