"""Every resource of the graph, made of two roots and a policy; commands make them without the graph."""

import os
from pathlib import Path
from typing import Any

from resources.corrections import Corrections
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.entailment import EntailmentResource
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.language_identifier import LanguageIdentifierResource
from resources.language_model import LanguageModelResource
from resources.layout_model import LayoutResource
from resources.model_set import ModelSet
from resources.object_detector import ObjectDetectorResource
from resources.object_store import LandingStore
from resources.ocr import OcrResource
from resources.phrase_extractor import PhraseExtractorResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.proxy_model import ProxyModel
from resources.registry import BatchRegistry
from resources.safety_model import SafetyModelResource
from resources.sound_events import SoundEventsResource
from resources.speaker_embedder import SpeakerEmbedderResource
from resources.speech_recognizer import SpeechRecognizerResource
from resources.vision_language import VisionLanguageResource
from resources.voice_activity import VoiceActivityResource
from resources.word_aligner import WordAlignerResource
from resources.wordnet import WordNetResource


def roots_of_environment() -> tuple[str, str, str]:
    """Landing root, lake root and path of the policy, as ``MM_LANDING``, ``MM_LAKE`` and ``MM_POLICY`` name them."""
    landing, lake = os.environ.get("MM_LANDING") or "landing", os.environ.get("MM_LAKE") or "lake"
    return _root(landing), _root(lake), os.environ.get("MM_POLICY", "")


def _root(value: str) -> str:
    """A storage root: ``s3://…`` as it stands, or an absolute folder."""
    return value if value.startswith("s3://") else str(Path(value).absolute())


def make_resources(landing_root: str, lake_root: str, policy_path: str) -> dict[str, Any]:
    """Every resource of the graph, on the given roots."""
    lake = DeltaLake(root=lake_root)
    policy_file = PolicyFile(path=policy_path)
    features, faithfulness = policy_file.policy.features, policy_file.policy.faithfulness
    speech = policy_file.policy.speech
    corrections = Corrections(lake=lake)
    models: dict[str, Any] = {
        "encoder": ImageTextEncoderResource(encoder=features.encoder, threads=features.encoder_threads),
        "safety": SafetyModelResource(),
        "language": LanguageIdentifierResource(),
        "phrases": PhraseExtractorResource(),
        "ocr": OcrResource(),
        "layout": LayoutResource(),
        "detector": ObjectDetectorResource(
            detector=faithfulness.detector,
            threshold=faithfulness.detector_threshold,
            certainty=faithfulness.detector_certainty,
        ),
        "entailment": EntailmentResource(folder=faithfulness.entailment, threads=features.encoder_threads),
        "vision_language": VisionLanguageResource(),
        "language_model": LanguageModelResource(),
        "wordnet": WordNetResource(),
        "voice": VoiceActivityResource(),
        "sound_events": SoundEventsResource(),
        "speech": SpeechRecognizerResource(
            recognizer=speech.recognizer,
            device=speech.device,
            compute_type=speech.compute_type,
            threads=speech.threads,
            beam_size=speech.beam_size,
            padding_seconds=speech.padding_seconds,
            least_seconds=speech.least_seconds,
            language_certainty=speech.language_certainty,
        ),
        "word_aligner": WordAlignerResource(
            aligner=speech.aligner,
            device=speech.device,
            max_unknown_share=speech.max_unknown_share,
            min_word_logprob=speech.min_word_logprob,
        ),
        "speakers": SpeakerEmbedderResource(speakers=speech.speakers, device=speech.device),
    }
    return {
        "landing": LandingStore(root=landing_root),
        "lake": lake,
        "policy_file": policy_file,
        "holds": Holds(lake=lake),
        "corrections": corrections,
        "provenance": Provenance(lake=lake, policy_file=policy_file, corrections=corrections),
        "registry": BatchRegistry(lake=lake),
        "costs": Costs(lake=lake, policy_file=policy_file),
        "proxy": ProxyModel(),
        "models": ModelSet(**models),
        **models,
    }
