"""Every threshold and budget, typed, with its unit, reason and source.

Override any of them in one TOML file named by ``MM_POLICY``; sections and keys are the field names below::

    [recall_gate]
    pool_size = 64
"""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from mm_assets.errors import PolicyError
from mm_assets.policy.ablation import AblationPolicy
from mm_assets.policy.alignment import SegmentPolicy
from mm_assets.policy.assembly import BudgetPolicy, FusionPolicy
from mm_assets.policy.claims import FaithfulnessPolicy
from mm_assets.policy.cleaning import CaptionPolicy, DuplicatePolicy, ImagePolicy, TextPolicy
from mm_assets.policy.document_captions import DocumentCaptionPolicy
from mm_assets.policy.document_reading import DocumentReadingPolicy, DocumentRecognitionPolicy
from mm_assets.policy.document_structure import DocumentStructurePolicy
from mm_assets.policy.features import AudioCodebookPolicy, AudioFeaturePolicy, CodebookPolicy, FeaturePolicy
from mm_assets.policy.hard_negatives import HardNegativePolicy
from mm_assets.policy.ingest import IngestPolicy
from mm_assets.policy.media import CuePolicy, MediaPolicy, SlicingPolicy, SoundPolicy, VideoPolicy
from mm_assets.policy.mixtures import MixturePolicy
from mm_assets.policy.objects import AnchoringPolicy, ObjectGatePolicy, ObjectPolicy, OrientationPolicy
from mm_assets.policy.order import OrderGatePolicy
from mm_assets.policy.packing import PackingPolicy
from mm_assets.policy.recall import RecallGatePolicy
from mm_assets.policy.section import Section
from mm_assets.policy.segments import OffsetGatePolicy, WarpingPolicy
from mm_assets.policy.speech import SpeechPolicy
from mm_assets.policy.text_quality import DialoguePolicy, TextDuplicatePolicy, TextQualityPolicy
from mm_assets.policy.windows import TilePolicy, WindowPolicy

__all__ = [
    "AblationPolicy",
    "AnchoringPolicy",
    "AudioCodebookPolicy",
    "AudioFeaturePolicy",
    "BudgetPolicy",
    "CaptionPolicy",
    "CodebookPolicy",
    "CuePolicy",
    "DialoguePolicy",
    "DocumentCaptionPolicy",
    "DocumentReadingPolicy",
    "DocumentRecognitionPolicy",
    "DocumentStructurePolicy",
    "DuplicatePolicy",
    "FaithfulnessPolicy",
    "FeaturePolicy",
    "FusionPolicy",
    "HardNegativePolicy",
    "ImagePolicy",
    "IngestPolicy",
    "MediaPolicy",
    "MixturePolicy",
    "ObjectGatePolicy",
    "ObjectPolicy",
    "OffsetGatePolicy",
    "OrderGatePolicy",
    "OrientationPolicy",
    "PackingPolicy",
    "Policy",
    "RecallGatePolicy",
    "SegmentPolicy",
    "SlicingPolicy",
    "SoundPolicy",
    "SpeechPolicy",
    "TextDuplicatePolicy",
    "TextPolicy",
    "TextQualityPolicy",
    "TilePolicy",
    "VideoPolicy",
    "WarpingPolicy",
    "WindowPolicy",
    "load_policy",
]


class Policy(Section):
    """All sections."""

    ingest: IngestPolicy = IngestPolicy()
    images: ImagePolicy = ImagePolicy()
    duplicates: DuplicatePolicy = DuplicatePolicy()
    captions: CaptionPolicy = CaptionPolicy()
    texts: TextPolicy = TextPolicy()
    text_duplicates: TextDuplicatePolicy = TextDuplicatePolicy()
    text_quality: TextQualityPolicy = TextQualityPolicy()
    dialogues: DialoguePolicy = DialoguePolicy()
    features: FeaturePolicy = FeaturePolicy()
    codebook: CodebookPolicy = CodebookPolicy()
    audio_features: AudioFeaturePolicy = AudioFeaturePolicy()
    audio_codebook: AudioCodebookPolicy = AudioCodebookPolicy()
    recall_gate: RecallGatePolicy = RecallGatePolicy()
    objects: ObjectPolicy = ObjectPolicy()
    object_gate: ObjectGatePolicy = ObjectGatePolicy()
    anchoring: AnchoringPolicy = AnchoringPolicy()
    orientation: OrientationPolicy = OrientationPolicy()
    warping: WarpingPolicy = WarpingPolicy()
    offset_gate: OffsetGatePolicy = OffsetGatePolicy()
    faithfulness: FaithfulnessPolicy = FaithfulnessPolicy()
    media: MediaPolicy = MediaPolicy()
    sounds: SoundPolicy = SoundPolicy()
    videos: VideoPolicy = VideoPolicy()
    cues: CuePolicy = CuePolicy()
    slicing: SlicingPolicy = SlicingPolicy()
    speech: SpeechPolicy = SpeechPolicy()
    segments: SegmentPolicy = SegmentPolicy()
    document_reading: DocumentReadingPolicy = DocumentReadingPolicy()
    document_recognition: DocumentRecognitionPolicy = DocumentRecognitionPolicy()
    document_structure: DocumentStructurePolicy = DocumentStructurePolicy()
    document_captions: DocumentCaptionPolicy = DocumentCaptionPolicy()
    tiles: TilePolicy = TilePolicy()
    windows: WindowPolicy = WindowPolicy()
    order_gate: OrderGatePolicy = OrderGatePolicy()
    budget: BudgetPolicy = BudgetPolicy()
    hard_negatives: HardNegativePolicy = HardNegativePolicy()
    fusion: FusionPolicy = FusionPolicy()
    mixtures: MixturePolicy = MixturePolicy()
    packing: PackingPolicy = PackingPolicy()
    ablation: AblationPolicy = AblationPolicy()


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy, with the overrides of a TOML file if one is given.

    Raises:
        PolicyError: the file is missing, not TOML, or names an unknown key or a value out of range.
    """
    if path is None:
        return Policy()
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"policy file {path}: {error}; fix or unset MM_POLICY") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PolicyError(f"policy file {path}: {problems}") from error
