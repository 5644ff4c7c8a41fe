"""The object detector: the policy's choice, loaded on first use."""

import functools
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.aligned.objects.claims.interfaces import ObjectDetector
from mm_assets.errors import PolicyError
from mm_assets.models import ModelIdentity
from mm_assets.policy import FaithfulnessPolicy
from resources.object_detector import imagenet_tiles, torchvision_detector

_DEFAULTS: Final = FaithfulnessPolicy()


class ObjectDetectorResource(dg.ConfigurableResource):
    """Gives assets an `ObjectDetector`, or none."""

    detector: str = Field(default=_DEFAULTS.detector, description="As faithfulness.detector in the policy.")
    threshold: float = Field(default=_DEFAULTS.detector_threshold, description="As detector_threshold in the policy.")
    certainty: float = Field(default=_DEFAULTS.detector_certainty, description="As detector_certainty in the policy.")
    threads: int = Field(default=1, ge=1, description="Threads of the model on a CPU.")
    cache: str = Field(
        default="", description="Folder of converted models; empty for MM_CACHE, else ~/.cache/mm_assets."
    )

    @property
    def handle(self) -> ObjectDetector | None:
        """The detector, one per process; None where the policy names none.

        Raises:
            PolicyError: the configured name is not one of ours.
        """
        return build_detector(
            self.detector,
            threshold=self.threshold,
            certainty=self.certainty,
            threads=self.threads,
            cache=self.cache,
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where the policy names none."""
        handle = self.handle
        return ModelIdentity("none", "0", "0" * 64) if handle is None else handle.identity


@functools.lru_cache(maxsize=4)
def build_detector(
    detector: str, *, threshold: float, certainty: float, threads: int = 1, cache: str = ""
) -> ObjectDetector | None:
    """The detector a policy string names, with nothing loaded yet; equal arguments share one.

    Args:
        detector: ``imagenet-lite0-tiles``, ``torchvision:ARCHITECTURE:CHECKPOINT-PATH``, or empty for none.
        threshold: probability from which an object may be there.
        certainty: probability from which it is certain.
        threads: threads of the model on a CPU.
        cache: folder of converted models; empty for ``MM_CACHE``, else ``~/.cache/mm_assets``.

    Raises:
        PolicyError: the name is not one of ours.
    """
    if not detector:
        return None
    if detector == imagenet_tiles.NAME:
        return imagenet_tiles.ImageNetTiles(threshold=threshold, certainty=certainty, threads=threads, cache=cache)
    if detector.startswith(torchvision_detector.PREFIX):
        architecture, _, checkpoint = detector.removeprefix(torchvision_detector.PREFIX).partition(":")
        if architecture and checkpoint:
            return torchvision_detector.TorchvisionDetector(
                architecture, Path(checkpoint), threshold=threshold, certainty=certainty, threads=threads
            )
    raise PolicyError(
        f"faithfulness.detector {detector!r} is unknown; use {imagenet_tiles.NAME!r}, "
        "'torchvision:ARCHITECTURE:CHECKPOINT-PATH', or '' for none"
    )
