# pyright: strict
"""The lineage of every table, said once: which id a row carries, and the ids of what it was made of.

Ids are hashes with a prefix of their kind, so an id names one thing in all tables, and tables that carry the same id
tell of the same thing at several stages: ``raw_images``, ``images`` and ``image_embeddings`` of one picture. Following
the ids up leads from a sample to its records; following them down leads from a record to all that was made of it.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Lineage:
    """How the rows of a table descend from others.

    Attributes:
        key: column of the id that rows made of this one name; None if there are none.
        made_of: columns of the ids of what a row holds content of: the row cannot outlive any of them. A list column
            stands for its ids, ``column.field`` for a field of a JSON object.
        told_by: column under which a row belongs to the thing it tells of, where it carries no id of its own.
        quotes: columns of text or JSON that may quote other records by id, name or words.
        features: columns of references to shards.
    """

    key: str | None = None
    made_of: tuple[str, ...] = ()
    told_by: str | None = None
    quotes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


def _of(column: str, *further: str, key: str | None = None, features: tuple[str, ...] = ()) -> Lineage:
    """Rows that belong to one thing, and may be made of further ones."""
    return Lineage(key, (column, *further), None if key else column, features=features)


RECORDS: Final[dict[str, str]] = {
    "raw_images": "image_id",
    "raw_texts": "text_id",
    "raw_audio": "clip_id",
    "raw_videos": "clip_id",
    "raw_documents": "document_id",
}
"""Tables of delivered records and the ids of their rows: where every lineage begins."""

_RECORD: Final = {table: Lineage(key) for table, key in RECORDS.items()}
_CLEANED: Final = {
    "images": Lineage("image_id"),
    "texts": Lineage("text_id"),
    "audio_clips": Lineage("clip_id"),
    "video_clips": Lineage("clip_id"),
    "documents": Lineage("document_id"),
}
_MEASURED: Final = Lineage(quotes=("reason", "diagnosis_json"))
_ACCOUNT: Final = Lineage()

LINEAGE: Final[dict[str, Lineage]] = {
    **_RECORD,
    **_CLEANED,
    "raw_captions": _of("image_id", key="caption_id"),
    "captions": _of("image_id", key="caption_id"),
    "image_fingerprints": _of("image_id"),
    "text_fingerprints": _of("text_id"),
    "document_fingerprints": _of("text_id"),
    "rejected": Lineage(made_of=("record_id",), quotes=("reason",)),
    "raw_subtitles": _of("clip_id"),
    "raw_cues": _of("clip_id", key="cue_id"),
    "cues": _of("clip_id", key="cue_id"),
    "shots": _of("clip_id"),
    "clip_tracks": _of("clip_id"),
    "pauses": _of("clip_id"),
    "clip_pieces": _of("clip_id", key="piece_id"),
    "transcripts": _of("clip_id"),
    "utterances": _of("clip_id", key="utterance_id"),
    "clip_offsets": _of("clip_id"),
    "audio_embeddings": _of("piece_id", "clip_id", features=("features",)),
    "audio_codes": _of("piece_id", "clip_id"),
    "key_frames": _of("piece_id", "clip_id", key="frame_id", features=("spatial_features",)),
    "key_frame_codes": _of("frame_id", "piece_id", "clip_id"),
    "segment_alignments": _of("piece_id", "clip_id", "cue_ids", key="sample_id"),
    "document_blocks": _of("document_id", key="block_id"),
    "document_pages": _of("document_id"),
    "document_figures": _of("block_id", "document_id", features=("spatial_features",)),
    "figure_codes": _of("block_id", "document_id"),
    "caption_bindings": _of("block_id", "document_id", "caption_id"),
    "document_references": _of("document_id"),
    "document_windows": _of("document_id", key="window_id"),
    "document_checks": _of("document_id"),
    "image_embeddings": _of("image_id", features=("spatial_features",)),
    "caption_embeddings": _of("caption_id", "image_id"),
    "visual_codes": _of("image_id"),
    "boxes": _of("image_id", key="box_id"),
    "object_alignments": _of("box_id", "image_id", "caption_id", key="sample_id"),
    "region_embeddings": _of("box_id", "image_id"),
    "orientation_checks": Lineage(made_of=("image_id", "caption_id"), told_by="image_id"),
    "caption_claims": Lineage(made_of=("caption_id", "image_id"), told_by="caption_id"),
    "caption_rewrites": _of("caption_id", "image_id"),
    "hard_negatives": _of("positive_id", "image_id", "donor_id", key="negative_id"),
    "fusion_samples": Lineage(
        "sample_id",
        ("image_id", "caption_id", "text_id", "segment_id", "segment_json.clip_id", "document_json.document_id"),
        features=("spatial_features", "frame_features", "audio_features"),
    ),
    "mixtures": _of("sample_id"),
    "mixture_exclusions": _of("sample_id"),
    "review_decisions": Lineage(made_of=("subject_id",), told_by="subject_id"),
    **dict.fromkeys(
        (
            "image_text_recall",
            "orientation_agreement",
            "hard_negative_audit",
            "gate_evaluations",
            "holds",
        ),
        _MEASURED,
    ),
    "object_recall": Lineage(quotes=("reason", "diagnosis_json", "affected_boxes")),
    "segment_offsets": Lineage(quotes=("reason", "diagnosis_json", "affected_clips")),
    "document_order": Lineage(quotes=("reason", "diagnosis_json", "affected_documents")),
    "caption_faithfulness": Lineage(quotes=("reason", "breakdown_json")),
    "corrections": Lineage(quotes=("reason", "parameters_json")),
    **dict.fromkeys(
        (
            "codebook",
            "audio_codebook",
            "batches",
            "text_batches",
            "document_batches",
            "provenance",
            "costs",
            "recipes",
            "mixture_ablations",
            "takedowns",
        ),
        _ACCOUNT,
    ),
}
"""Every table. Those without ids hold figures over many records, or keep account; centroids, too, are such figures."""

DELETED_LAST: Final[tuple[str, ...]] = (
    "fusion_samples",
    "hard_negatives",
    "object_alignments",
    "segment_alignments",
    "document_windows",
    "key_frames",
    "utterances",
    "cues",
    "boxes",
    "clip_pieces",
    "document_blocks",
    "captions",
    "raw_cues",
    "raw_captions",
    *_CLEANED,
    *_RECORD,
)
"""Tables with ids of their own, children before parents: while a row stands, so does the way that leads to it."""


def deletion_order() -> list[str]:
    """Every table with rows that can be forgotten, those that nothing is made of first."""
    leaves = [table for table, lineage in LINEAGE.items() if lineage.made_of and not lineage.key]
    return [*leaves, *DELETED_LAST]
