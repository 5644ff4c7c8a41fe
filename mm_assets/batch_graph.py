"""The steps a batch goes through: what each reads, writes and depends on."""

from dataclasses import dataclass
from typing import Final

LANDING: Final = "landing"
RAW_POOLS: Final = "raw_pools"
CODEBOOK: Final = "codebook"
AUDIO_CODEBOOK: Final = "audio_codebook"
CODEBOOKS: Final = (CODEBOOK, AUDIO_CODEBOOK)
BOX_CORRECTIONS: Final = "box_corrections"
CUE_CORRECTIONS: Final = "cue_corrections"
SOUND_CORRECTIONS: Final = "sound_corrections"
REVIEWS: Final = "reviews"
"""People's decisions on a batch's hard negatives."""
CORRECTIONS: Final = (BOX_CORRECTIONS, CUE_CORRECTIONS, SOUND_CORRECTIONS)
"""Parts of the correction layer: correcting cues must not have the sound recognised again."""

IMAGES: Final = ("images",)
TEXTS: Final = ("text",)
MEDIA: Final = ("audio", "video")
DOCUMENTS: Final = ("documents",)


@dataclass(frozen=True)
class Step:
    """One step of the batch graph: one Dagster op, one or more assets.

    Attributes:
        name: step name; equal to the asset's where there is only one.
        assets: asset keys it materializes.
        tables: tables it writes, parents before children.
        upstream: steps it reads, or ``landing``, codebooks and parts of the correction layer.
        parts: folders of a delivery it works on; without them in a delivery it has nothing to do. Empty: any.
        policy: policy sections, or ``section.field``, its rows depend on.
        models: models its rows depend on.
        code_version: raised whenever the same inputs would give other rows.
    """

    name: str
    assets: tuple[str, ...]
    tables: tuple[str, ...]
    upstream: tuple[str, ...]
    parts: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    code_version: str = "1"


BATCH_STEPS: Final[tuple[Step, ...]] = (
    Step(
        name=RAW_POOLS,
        assets=("raw_images", "raw_captions", "raw_texts"),
        tables=("raw_images", "raw_captions", "raw_texts"),
        upstream=(LANDING,),
        policy=("ingest",),
        code_version="4",
    ),
    Step(
        name="cleaned_images",
        assets=("image_fingerprints", "images", "captions"),
        tables=("image_fingerprints", "images", "captions"),
        upstream=("raw_pools",),
        parts=IMAGES,
        policy=("images", "duplicates", "captions", "recall_gate.max_template_share"),
        models=("safety", "language"),
        code_version="2",
    ),
    Step(
        name="texts",
        assets=("text_fingerprints", "texts"),
        tables=("text_fingerprints", "texts"),
        upstream=("raw_pools",),
        parts=TEXTS,
        policy=("texts", "text_quality", "text_duplicates", "dialogues"),
        models=("language",),
        code_version="3",
    ),
    Step(
        name="raw_media",
        assets=("raw_audio", "raw_videos", "raw_subtitles", "raw_cues"),
        tables=("raw_audio", "raw_videos", "raw_subtitles", "raw_cues"),
        upstream=("raw_pools",),
        parts=MEDIA,
        policy=("ingest", "media"),
    ),
    Step(
        name="cleaned_media",
        assets=("audio_clips", "video_clips", "shots", "clip_tracks", "pauses"),
        tables=("audio_clips", "video_clips", "shots", "clip_tracks", "pauses"),
        upstream=("raw_media", SOUND_CORRECTIONS),
        parts=MEDIA,
        policy=("media", "sounds", "videos"),
        models=("voice", "sound_events"),
    ),
    Step(
        name="transcripts",
        assets=("transcripts", "utterances"),
        tables=("transcripts", "utterances"),
        upstream=("cleaned_media",),
        parts=MEDIA,
        policy=("media", "speech"),
        models=("speech", "word_aligner", "speakers"),
    ),
    Step(
        name="cues",
        assets=("cues", "clip_pieces"),
        tables=("cues", "clip_pieces"),
        upstream=("raw_media", "cleaned_media", "transcripts", CUE_CORRECTIONS),
        parts=MEDIA,
        policy=("cues", "slicing"),
    ),
    Step(
        name="segment_offsets",
        assets=("segment_offsets", "clip_offsets"),
        tables=("segment_offsets", "clip_offsets"),
        upstream=("raw_media", "cleaned_media", "transcripts", "cues", CUE_CORRECTIONS),
        parts=MEDIA,
        policy=("offset_gate", "warping"),
        models=("encoder",),
    ),
    Step(
        name="clip_features",
        assets=("audio_embeddings", "key_frames"),
        tables=("audio_embeddings", "key_frames"),
        upstream=("cleaned_media", "cues"),
        parts=MEDIA,
        policy=("audio_features", "features", "media"),
        models=("encoder",),
    ),
    Step(
        name="segment_alignments",
        assets=("segment_alignments",),
        tables=("segment_alignments",),
        upstream=("cleaned_media", "cues", "transcripts", "segment_offsets", "clip_features"),
        parts=MEDIA,
        policy=("segments", "warping"),
        models=("encoder",),
    ),
    Step(
        name="raw_documents",
        assets=("raw_documents",),
        tables=("raw_documents",),
        upstream=("raw_pools",),
        parts=DOCUMENTS,
        policy=("ingest", "document_reading"),
    ),
    Step(
        name="documents",
        assets=("document_fingerprints", "documents", "document_pages", "document_blocks", "document_references"),
        tables=("document_fingerprints", "documents", "document_pages", "document_blocks", "document_references"),
        upstream=("raw_documents",),
        parts=DOCUMENTS,
        policy=(
            "document_reading",
            "document_recognition",
            "document_structure",
            "document_captions",
            "text_duplicates",
        ),
        models=("ocr", "layout", "language"),
        code_version="3",
    ),
    Step(
        name="document_figures",
        assets=("document_figures", "caption_bindings"),
        tables=("document_figures", "caption_bindings"),
        upstream=("documents",),
        parts=DOCUMENTS,
        policy=("document_reading", "document_captions", "features", "images.max_nsfw", "images.nsfw_enabled"),
        models=("encoder", "safety"),
        code_version="2",
    ),
    Step(
        name="document_windows",
        assets=("document_windows",),
        tables=("document_windows",),
        upstream=("documents", "document_figures"),
        parts=DOCUMENTS,
        policy=("windows", "tiles"),
    ),
    Step(
        name="document_order",
        assets=("document_order", "document_checks"),
        tables=("document_order", "document_checks"),
        upstream=("documents", "document_figures", "document_windows"),
        parts=DOCUMENTS,
        policy=("order_gate",),
        code_version="2",
    ),
    Step(
        name="rejected",
        assets=("rejected",),
        tables=(),
        upstream=("cleaned_images", "texts", "cues", "transcripts", "documents"),
    ),
    Step(
        name="image_embeddings",
        assets=("image_embeddings",),
        tables=("image_embeddings",),
        upstream=("cleaned_images",),
        parts=IMAGES,
        policy=("features",),
        models=("encoder",),
    ),
    Step(
        name="caption_embeddings",
        assets=("caption_embeddings",),
        tables=("caption_embeddings",),
        upstream=("cleaned_images",),
        parts=IMAGES,
        policy=("features",),
        models=("encoder",),
    ),
    Step(
        name="image_text_recall",
        assets=("image_text_recall",),
        tables=("image_text_recall",),
        upstream=("image_embeddings", "caption_embeddings"),
        parts=IMAGES,
        policy=("recall_gate", "captions"),
    ),
    Step(
        name="boxes",
        assets=("boxes",),
        tables=("boxes",),
        upstream=("cleaned_images", BOX_CORRECTIONS),
        parts=IMAGES,
        policy=("objects",),
    ),
    Step(
        name="object_recall",
        assets=("region_embeddings", "object_recall"),
        tables=("region_embeddings", "object_recall"),
        upstream=("boxes",),
        parts=IMAGES,
        policy=("object_gate", "objects", "images", "features"),
        models=("encoder",),
    ),
    Step(
        name="object_alignments",
        assets=("object_alignments",),
        tables=("object_alignments",),
        upstream=("object_recall", "cleaned_images"),
        parts=IMAGES,
        policy=("anchoring", "object_gate.context_margin", "features"),
        models=("encoder", "phrases"),
    ),
    Step(
        name="orientation_checks",
        assets=("orientation_checks", "orientation_agreement"),
        tables=("orientation_checks", "orientation_agreement"),
        upstream=("object_alignments", "boxes", "cleaned_images", "image_text_recall"),
        parts=IMAGES,
        policy=("orientation", "images"),
        models=("ocr",),
    ),
    Step(
        name="caption_claims",
        assets=("caption_claims", "caption_faithfulness", "caption_rewrites"),
        tables=("caption_claims", "caption_faithfulness", "caption_rewrites"),
        upstream=("boxes", "cleaned_images", "image_text_recall"),
        parts=IMAGES,
        policy=("faithfulness", "captions"),
        models=("detector", "entailment", "vision_language"),
        code_version="2",
    ),
    Step(
        name="hard_negatives",
        assets=("hard_negatives", "hard_negative_audit"),
        tables=("hard_negatives", "hard_negative_audit"),
        upstream=(
            "cleaned_images",
            "image_embeddings",
            "caption_embeddings",
            "image_text_recall",
            "boxes",
            "cues",
            "segment_alignments",
            REVIEWS,
        ),
        parts=(*IMAGES, *MEDIA),
        policy=("hard_negatives", "images"),
        models=("encoder", "wordnet", "language_model", "entailment"),
        code_version="3",
    ),
    Step(
        name="visual_codes",
        assets=("visual_codes",),
        tables=("visual_codes",),
        upstream=("image_embeddings", CODEBOOK),
        parts=IMAGES,
        policy=("codebook",),
    ),
    Step(
        name="audio_codes",
        assets=("audio_codes", "key_frame_codes"),
        tables=("audio_codes", "key_frame_codes"),
        upstream=("clip_features", CODEBOOK, AUDIO_CODEBOOK),
        parts=MEDIA,
        policy=("codebook", "audio_codebook"),
    ),
    Step(
        name="figure_codes",
        assets=("figure_codes",),
        tables=("figure_codes",),
        upstream=("document_figures", CODEBOOK),
        parts=DOCUMENTS,
        policy=("codebook",),
    ),
    Step(
        name="fusion_samples",
        assets=("fusion_samples",),
        tables=("fusion_samples",),
        upstream=(
            "visual_codes",
            "texts",
            "image_text_recall",
            "object_alignments",
            "orientation_checks",
            "caption_claims",
            "segment_offsets",
            "segment_alignments",
            "audio_codes",
            "document_windows",
            "document_order",
            "figure_codes",
            "hard_negatives",
        ),
        policy=("fusion", "hard_negatives.max_per_positive"),
        code_version="6",
    ),
)
