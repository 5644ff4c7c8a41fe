"""A language model, named by the environment alone: behind an OpenAI-compatible endpoint, or the small local one.

``MM_LLM_BASE_URL`` (such as ``https://models.example.org/v1``), ``MM_LLM_MODEL`` and, where the endpoint wants one,
``MM_LLM_API_KEY``; the rules for addresses and keys are those of `resources.vision_language`. Offline,
``MM_LLM_MODEL=smollm2-135m-instruct`` alone names the model of `resources.local_language_model`.
"""

import os
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.errors import PolicyError
from mm_assets.hard_negatives.interfaces import LanguageModel, TextRater
from mm_assets.models import ModelIdentity
from resources import local_language_model
from resources.vision_language import NO_ENDPOINT, ChatEndpoint

BASE_URL: Final = "MM_LLM_BASE_URL"
MODEL: Final = "MM_LLM_MODEL"
API_KEY: Final = "MM_LLM_API_KEY"


class TextEndpoint:
    """A `LanguageModel` over HTTP.

    Args:
        endpoint: where it answers.
    """

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint
        seen = endpoint.identity
        self._identity = ModelIdentity(f"llm:{seen.name.partition(':')[2]}", seen.revision, seen.sha256)

    @property
    def identity(self) -> ModelIdentity:
        """Model and host; the digest is of the address, for the weights are out of sight."""
        return self._identity

    def ask(self, prompt: str) -> str:
        """The model's answer to a prompt.

        Raises:
            InferenceError: the endpoint did not answer, or not in its protocol.
        """
        return self._endpoint.complete(prompt)


def configured_model(*, timeout_s: float = 60.0) -> LanguageModel | TextRater | None:
    """The model the environment names, or None where it names none.

    Raises:
        PolicyError: an address without a model, a model that is not local without an address, or one that cannot be
            used.
        WeightsMissingError: the local model is named and its packages are not installed.
    """
    base_url, model = os.environ.get(BASE_URL, ""), os.environ.get(MODEL, "")
    if not base_url and not model:
        return None
    if not base_url and model == local_language_model.NAME:
        return local_language_model.read_local_model()
    if not base_url or not model:
        local = f"{MODEL}={local_language_model.NAME} alone for the local model"
        raise PolicyError(f"set both {BASE_URL} and {MODEL}, {local}, or neither")
    return TextEndpoint(ChatEndpoint(base_url, model, api_key=os.environ.get(API_KEY, ""), timeout_s=timeout_s))


class LanguageModelResource(dg.ConfigurableResource):
    """Gives assets a `LanguageModel`, or none; address, model and key come from the environment."""

    timeout_s: float = Field(default=60.0, gt=0.0, description="Longest wait for one answer, seconds.")

    @property
    def handle(self) -> LanguageModel | TextRater | None:
        """The model; None where the environment names none. Raises as `configured_model`."""
        return configured_model(timeout_s=self.timeout_s)

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where none is configured. Raises as `configured_model`; loads no weights."""
        if not os.environ.get(BASE_URL) and os.environ.get(MODEL) == local_language_model.NAME:
            return local_language_model.IDENTITY
        model = self.handle
        return NO_ENDPOINT if model is None else model.identity
