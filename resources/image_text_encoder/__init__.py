"""The image-text encoder: the policy's choice, loaded on first use."""

import functools
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.errors import PolicyError
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.models import ModelIdentity
from resources.image_text_encoder import bridge, open_clip_encoder
from resources.image_text_encoder.model_cache import cache_root
from resources.image_text_encoder.open_clip_weights import HUB, LOCAL_FOLDER

_OPEN_CLIP: Final = "open_clip:"


class ImageTextEncoderResource(dg.ConfigurableResource):
    """Gives assets an `ImageTextEncoder`."""

    encoder: str = Field(
        default=bridge.NAME,
        description="bridge-lite0-minilm or open_clip:MODEL[:PRETRAINED-TAG-OR-CHECKPOINT-PATH], as in the policy.",
    )
    threads: int = Field(default=1, ge=1, description="Threads of the model on a CPU.")
    cache: str = Field(
        default="", description="Folder of converted or fetched models; empty for MM_CACHE, else ~/.cache/mm_assets."
    )

    @property
    def handle(self) -> ImageTextEncoder:
        """The encoder; its weights load on the first call of an ``encode_`` method, once per process.

        Raises:
            PolicyError: the configured name is not one of ours.
        """
        return build_encoder(self.encoder, threads=self.threads, cache=str(cache_root(self.cache)))

    @property
    def identity(self) -> ModelIdentity:
        """Which model, without loading it. Raises as `handle`, and `WeightsMissingError`."""
        return self.handle.identity


@functools.lru_cache(maxsize=4)
def build_encoder(encoder: str, *, threads: int = 1, cache: str = "") -> ImageTextEncoder:
    """The encoder a policy string names, with nothing loaded yet; equal arguments share one.

    Args:
        encoder: ``bridge-lite0-minilm`` or ``open_clip:MODEL[:PRETRAINED-TAG-OR-CHECKPOINT-PATH]``, where MODEL may be
            ``local-dir:FOLDER`` or ``hf-hub:ORGANISATION/REPOSITORY``, too.
        threads: threads of the model on a CPU.
        cache: folder of converted or fetched models; empty for ``MM_CACHE``, else ``~/.cache/mm_assets``.

    Raises:
        PolicyError: the name is not one of ours.
    """
    if encoder == bridge.NAME:
        return bridge.BridgeLite0MiniLM(threads=threads, cache=cache)
    if encoder.startswith(_OPEN_CLIP) and len(encoder) > len(_OPEN_CLIP):
        name = encoder.removeprefix(_OPEN_CLIP)
        model, _, weights = (name, "", "") if name.startswith((LOCAL_FOLDER, HUB)) else name.partition(":")
        return open_clip_encoder.OpenClipEncoder(model, weights, threads=threads, cache=cache)
    raise PolicyError(
        f"features.encoder {encoder!r} is unknown; use {bridge.NAME!r} or 'open_clip:MODEL[:TAG-OR-CHECKPOINT-PATH]'"
    )
