"""Every model of the graph by the name its steps know it by."""

import dagster as dg

from mm_assets.models import Identified
from resources.entailment import EntailmentResource
from resources.image_text_encoder import ImageTextEncoderResource
from resources.language_identifier import LanguageIdentifierResource
from resources.language_model import LanguageModelResource
from resources.layout_model import LayoutResource
from resources.object_detector import ObjectDetectorResource
from resources.ocr import OcrResource
from resources.phrase_extractor import PhraseExtractorResource
from resources.safety_model import SafetyModelResource
from resources.sound_events import SoundEventsResource
from resources.speaker_embedder import SpeakerEmbedderResource
from resources.speech_recognizer import SpeechRecognizerResource
from resources.vision_language import VisionLanguageResource
from resources.voice_activity import VoiceActivityResource
from resources.word_aligner import WordAlignerResource
from resources.wordnet import WordNetResource


class ModelSet(dg.ConfigurableResource):
    """The models whose identity decides whether a step is up to date."""

    encoder: dg.ResourceDependency[ImageTextEncoderResource]
    safety: dg.ResourceDependency[SafetyModelResource]
    language: dg.ResourceDependency[LanguageIdentifierResource]
    phrases: dg.ResourceDependency[PhraseExtractorResource]
    ocr: dg.ResourceDependency[OcrResource]
    layout: dg.ResourceDependency[LayoutResource]
    detector: dg.ResourceDependency[ObjectDetectorResource]
    entailment: dg.ResourceDependency[EntailmentResource]
    vision_language: dg.ResourceDependency[VisionLanguageResource]
    language_model: dg.ResourceDependency[LanguageModelResource]
    wordnet: dg.ResourceDependency[WordNetResource]
    voice: dg.ResourceDependency[VoiceActivityResource]
    sound_events: dg.ResourceDependency[SoundEventsResource]
    speech: dg.ResourceDependency[SpeechRecognizerResource]
    word_aligner: dg.ResourceDependency[WordAlignerResource]
    speakers: dg.ResourceDependency[SpeakerEmbedderResource]

    @property
    def by_name(self) -> dict[str, Identified]:
        """Models by the names in `mm_assets.steps`."""
        return {
            "encoder": self.encoder,
            "safety": self.safety,
            "language": self.language,
            "phrases": self.phrases,
            "ocr": self.ocr,
            "layout": self.layout,
            "detector": self.detector,
            "entailment": self.entailment,
            "vision_language": self.vision_language,
            "language_model": self.language_model,
            "wordnet": self.wordnet,
            "voice": self.voice,
            "sound_events": self.sound_events,
            "speech": self.speech,
            "word_aligner": self.word_aligner,
            "speakers": self.speakers,
        }
