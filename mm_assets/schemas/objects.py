"""Tables of object alignment: boxes, their phrases, what captions claim, and corrections."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, CAPTION_ID, IMAGE_ID, POSITION, RECORD_REF, SOURCE
from mm_assets.schemas.table import Column, Table

_BOX_ID: Final = Column(pl.String, "Hash of image, place in the record and declared numbers.")
_X1: Final = Column(pl.Float32, "Left edge, pixels of the stored image, origin top left.")
_Y1: Final = Column(pl.Float32, "Upper edge, pixels.")
_X2: Final = Column(pl.Float32, "Right edge, pixels.")
_Y2: Final = Column(pl.Float32, "Lower edge, pixels.")
_BOX: Final = {"x1": _X1, "y1": _Y1, "x2": _X2, "y2": _Y2}
_INSIDE: Final = {
    "box_has_an_area": "x1 < x2 AND y1 < y2",
    "box_is_inside": "x1 >= 0 AND y1 >= 0 AND x2 <= image_width AND y2 <= image_height",
}
_KINDS: Final = {
    "declared": "medical pictures whose declared orientation can be compared with itself",
    "marker": "medical pictures with a readable side marker",
    "caption": "captions whose claims about sides have their boxes",
}
_AGREEMENT: Final = {
    f"{kind}_{name}": Column(dtype, description.format(noun=noun))
    for kind, noun in _KINDS.items()
    for name, dtype, description in (
        ("decided", pl.Int64, "Decided: {noun}."),
        ("contradicted", pl.Int64, "Those of them with a contradiction that counts: gated."),
        ("low", pl.Float64, "Lower end of the share's Clopper-Pearson interval."),
        ("high", pl.Float64, "Upper end of the interval."),
        ("null_rate", pl.Float64, "Share that slips explain."),
        ("p_value", pl.Float64, "Chance of as many or more at that share."),
    )
}
_IMAGE_SIZE: Final = {
    "image_width": Column(pl.Int32, "Width of the stored image, pixels."),
    "image_height": Column(pl.Int32, "Height of the stored image, pixels."),
}

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="boxes",
        grain="One row per declared box of a kept image, in pixels of the stored image.",
        columns={
            "batch": BATCH,
            "box_id": _BOX_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "box_index": Column(pl.Int32, "Place among the boxes of its record, from 0, rejected ones counted."),
            "record_ref": RECORD_REF,
            "source": SOURCE,
            "annotator": Column(pl.String, "Who drew the box, where the delivery says.", nullable=True),
            "label": Column(pl.String, "Declared category; null if the box has none.", nullable=True),
            **_BOX,
            **_IMAGE_SIZE,
            "clipped": Column(pl.Boolean, "Whether the declared box reached outside the image and was cut."),
            "declared": Column(pl.List(pl.Float64), "The four numbers as delivered."),
            "source_convention": Column(pl.String, "Convention of the declared numbers."),
            "drawn_width": Column(
                pl.Int32, "Width of the picture the numbers were drawn on, if other than the stored.", nullable=True
            ),
            "drawn_height": Column(pl.Int32, "Height of that picture; the box was scaled from it.", nullable=True),
            "conversion_version": Column(pl.String, "Version of the conversion to pixel corners."),
            "correction_id": Column(pl.String, "Correction in force on the box.", nullable=True),
        },
        order_by=("position", "box_index"),
        constraints=_INSIDE,
    ),
    Table(
        name="object_alignments",
        grain="One row per box and caption that names it, or per box alone where none does.",
        columns={
            "batch": BATCH,
            "sample_id": Column(pl.String, "Hash of box, caption and phrase."),
            "box_id": _BOX_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "box_index": Column(pl.Int32, "Place among the boxes of its record, from 0."),
            "caption_id": Column(pl.String, "Caption that names the box.", nullable=True),
            "phrase": Column(pl.String, "Phrase of the caption, or the label where no caption names the box."),
            "phrase_start": Column(pl.Int32, "First character of the phrase in the caption.", nullable=True),
            "phrase_end": Column(pl.Int32, "Character after the phrase.", nullable=True),
            **_BOX,
            "score": Column(
                pl.Float32,
                "Cosine of crop and phrase; null where words decided or the crop was not encoded.",
                nullable=True,
            ),
            "lexical": Column(pl.String, "How phrase and label agree: exact, lemma, head, synonym, kind or none."),
            "verdict": Column(pl.String, "anchored, label_only, ambiguous or mismatched."),
        },
        order_by=("position", "box_index", "caption_id"),
        constraints={
            "box_has_an_area": "x1 < x2 AND y1 < y2",
            "phrase_is_a_span": "phrase_start IS NULL OR phrase_start < phrase_end",
        },
    ),
    Table(
        name="region_embeddings",
        grain="One row per box and reading of its coordinates: the unit-length embedding of the crop.",
        columns={
            "batch": BATCH,
            "box_id": _BOX_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "box_index": Column(pl.Int32, "Place among the boxes of its record, from 0."),
            "reading": Column(pl.String, "as_given, or the hypothesis that moved the box."),
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("position", "box_index", "reading"),
    ),
    Table(
        name="object_recall",
        grain="One row per batch: region retrieval, its null, baseline, and the hypotheses about its boxes.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": SOURCE,
            "boxes": Column(pl.Int64, "Labelled boxes evaluated."),
            "images": Column(pl.Int64, "Images they lie in."),
            "labels": Column(pl.Int64, "Distinct labels among them."),
            "pool_size": Column(pl.Int64, "Labels per query, the right one among them."),
            "region_r1": Column(pl.Float64, "Share of crops whose label ranks first among those of the batch: gated."),
            "region_low": Column(pl.Float64, "Lower end of its bootstrap interval."),
            "region_high": Column(pl.Float64, "Upper end of its bootstrap interval."),
            "hard_r1": Column(pl.Float64, "The same among the labels of the crop's own image."),
            "hard_low": Column(pl.Float64, "Lower end of its bootstrap interval."),
            "hard_high": Column(pl.Float64, "Upper end of its bootstrap interval."),
            "null_mean": Column(pl.Float64, "Mean region R@1 under permuted labels."),
            "null_p_value": Column(pl.Float64, "Permutation p-value of the measured region R@1."),
            "baseline": Column(pl.Float64, "Region R@1 the batch must not be significantly below."),
            "baseline_kind": Column(pl.String, "policy_floor or trusted_batches."),
            "baseline_batches": Column(pl.List(pl.String), "Batches the baseline was taken from."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in one sentence."),
            "hypothesis": Column(pl.String, "Best explanation of a failure, such as mirror_x.", nullable=True),
            "likelihood_ratio": Column(
                pl.Float64, "Natural logarithm of its likelihood over that of the boxes as given.", nullable=True
            ),
            "rows_explained": Column(pl.Float64, "Share of boxes the hypothesis explains, 0 to 1.", nullable=True),
            "affected_boxes": Column(pl.List(pl.String), "Ids of the boxes it moves."),
            "affected_confidence": Column(pl.List(pl.Float64), "Posterior probability of each of them."),
            "encoder_calls": Column(pl.Int64, "Crops encoded for the verdict."),
            "diagnosis_json": Column(pl.String, "Every hypothesis with its evidence, and examples, JSON."),
        },
    ),
    Table(
        name="orientation_checks",
        grain="One row per finding about sides: of declared orientation, of side markers, or of a caption's claim.",
        columns={
            "batch": BATCH,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "caption_id": Column(pl.String, "Caption the finding is about, if it is about one.", nullable=True),
            "subject": Column(pl.String, "declared, marker or caption: what was checked."),
            "evidence": Column(pl.String, "What speaks for or against, in one sentence."),
            "confidence": Column(pl.Float64, "How sure the finding is, 0 to 1."),
            "verdict": Column(pl.String, "consistent, contradicted or undecided."),
            "code": Column(pl.String, "Cross-modal code of a contradiction.", nullable=True),
        },
        order_by=("position", "subject", "caption_id", "evidence"),
    ),
    Table(
        name="orientation_agreement",
        grain="One row per batch: how often sides are contradicted, declared, burned in or claimed, and whether it is "
        "held.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": SOURCE,
            "pictures_read": Column(pl.Int64, "Medical pictures whose side markers were looked for."),
            **_AGREEMENT,
            "measured": Column(pl.Float64, "Contradicted share of the kind that was judged."),
            "threshold": Column(pl.Float64, "Share that slips explain of that kind."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in a sentence or two."),
            "diagnosis_json": Column(pl.String, "Figures by kind, contradicted images and examples, JSON."),
        },
    ),
    Table(
        name="caption_claims",
        grain="One row per caption: the objects it names, those nobody knows of, and its conflicts with its siblings.",
        columns={
            "batch": BATCH,
            "caption_id": CAPTION_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "caption_index": Column(pl.Int32, "0 for the main text, then one per further description."),
            "source": SOURCE,
            "annotator": Column(pl.String, "Who wrote the caption, where the delivery says.", nullable=True),
            "read": Column(pl.Boolean, "Whether the rules read its language."),
            "mentioned": Column(pl.List(pl.String), "Objects the caption names, canonical, sorted."),
            "checked": Column(pl.List(pl.String), "Those of them somebody could have known of."),
            "known": Column(pl.List(pl.String), "Labels of the picture, and named objects a detector saw, sorted."),
            "knowledge": Column(pl.String, "annotated, detected, both or none: what they were held against."),
            "invented": Column(pl.List(pl.String), "Named objects that nobody knows of."),
            "weights": Column(pl.List(pl.Float64), "How much each counts: 1 for annotations, less for a detector."),
            "evidence_weight": Column(pl.Float64, "The largest of the weights; 0 without an invention."),
            "blindness": Column(pl.Float64, "Chance that a true caption of these objects is taken to invent one."),
            "conflicts_with": Column(pl.List(pl.String), "Sibling captions it contradicts."),
            "conflicts": Column(pl.List(pl.String), "One sentence per contradiction: rule, words, confidence."),
            "conflict_confidence": Column(pl.Float64, "Confidence of the surest of them; 0 without one."),
            "verdict": Column(pl.String, "supported, invented, contradicted, unverified."),
            "action": Column(pl.String, "keep, review or reject: what is to become of the caption."),
        },
        order_by=("position", "caption_index"),
    ),
    Table(
        name="caption_faithfulness",
        grain="One row per batch: how many captions invent objects or contradict one another.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": SOURCE,
            "captions": Column(pl.Int64, "Captions with an object that could be checked."),
            "images": Column(pl.Int64, "Pictures of these captions."),
            "chair_instance": Column(pl.Float64, "CHAIR-i: weighted inventions over mentions that could be checked."),
            "chair_sentence": Column(pl.Float64, "CHAIR-s: weighted captions with an invention over captions: gated."),
            "chair_low": Column(pl.Float64, "Lower end of CHAIR-s' interval."),
            "chair_high": Column(pl.Float64, "Upper end of CHAIR-s' interval."),
            "chair_blindness": Column(pl.Float64, "Expected share of true captions taken to invent."),
            "pairs": Column(pl.Int64, "Pairs of captions of one picture."),
            "conflict_rate": Column(pl.Float64, "Contradicting pairs over pairs: gated."),
            "conflict_low": Column(pl.Float64, "Lower end of its interval."),
            "conflict_high": Column(pl.Float64, "Upper end of its interval."),
            "chair_baseline": Column(
                pl.Float64, "CHAIR-s the batch must not be significantly above, blindness of the evidence included."
            ),
            "chair_p_value": Column(pl.Float64, "P-value that a batch at the baseline measures this much."),
            "conflict_baseline": Column(pl.Float64, "Conflict rate it must not be significantly above."),
            "conflict_p_value": Column(pl.Float64, "P-value that a batch at the baseline measures this much."),
            "baseline_kind": Column(pl.String, "policy_ceiling or trusted_batches."),
            "baseline_batches": Column(pl.List(pl.String), "Batches the baselines were taken from."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in one sentence."),
            "breakdown_json": Column(pl.String, "Both rates by source and annotator, and examples, JSON."),
        },
    ),
    Table(
        name="caption_rewrites",
        grain="One row per bad caption a vision-language model was asked to rewrite; a proposal, it replaces nothing.",
        columns={
            "batch": BATCH,
            "caption_id": CAPTION_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "source": SOURCE,
            "annotator": Column(pl.String, "Who wrote the caption, where the delivery says.", nullable=True),
            "action": Column(pl.String, "review or reject: what became of the caption."),
            "before": Column(pl.String, "The caption as it stands."),
            "after": Column(pl.String, "The last rewrite the model gave; empty if it gave none."),
            "accepted": Column(pl.Boolean, "Whether it passes the checks that the caption failed."),
            "verdict": Column(pl.String, "supported, invented, contradicted, unverified, unusable or unanswered."),
            "reason": Column(pl.String, "Why it was taken or not."),
            "attempts": Column(pl.Int32, "Requests made for it."),
            "model": Column(pl.String, "Model and endpoint."),
        },
        order_by=("position", "caption_id"),
    ),
    Table(
        name="corrections",
        grain="One row per correction event: applied or withdrawn. Append-only; raw data is never touched.",
        columns={
            "event": Column(pl.String, "applied or withdrawn."),
            "correction_id": Column(pl.String, "Hash of batch, kind, parameters and rows."),
            "evaluation_id": Column(pl.String, "Verdict whose diagnosis the correction follows."),
            "batch": BATCH,
            "level": Column(pl.String, "object, segment or document."),
            "kind": Column(pl.String, "Hypothesis that is undone, such as mirror_x."),
            "parameters_json": Column(pl.String, "Its parameters, JSON object."),
            "rows": Column(pl.List(pl.String), "Ids of the corrected rows as delivered; empty corrects all."),
            "by": Column(pl.String, "Who."),
            "reason": Column(pl.String, "Why."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
)
