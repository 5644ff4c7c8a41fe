"""A language model behind an OpenAI-compatible endpoint, named by the environment alone.

``MM_LLM_BASE_URL`` (such as ``http://127.0.0.1:8080/v1``, where llama.cpp serves a small local model),
``MM_LLM_MODEL`` and, where the endpoint wants one, ``MM_LLM_API_KEY``. The rules for addresses and keys are those of
`resources.vision_language`.
"""

import os
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.errors import PolicyError
from mm_assets.hard_negatives.interfaces import LanguageModel
from mm_assets.models import ModelIdentity
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


def configured_model(*, timeout_s: float = 60.0) -> LanguageModel | None:
    """The model the environment names, or None where it names none.

    Raises:
        PolicyError: only one of address and model is set, or the address cannot be used.
    """
    base_url, model = os.environ.get(BASE_URL, ""), os.environ.get(MODEL, "")
    if not base_url and not model:
        return None
    if not base_url or not model:
        raise PolicyError(f"set both {BASE_URL} and {MODEL}, or neither")
    return TextEndpoint(ChatEndpoint(base_url, model, api_key=os.environ.get(API_KEY, ""), timeout_s=timeout_s))


class LanguageModelResource(dg.ConfigurableResource):
    """Gives assets a `LanguageModel`, or none; address, model and key come from the environment."""

    timeout_s: float = Field(default=60.0, gt=0.0, description="Longest wait for one answer, seconds.")

    @property
    def handle(self) -> LanguageModel | None:
        """The model; None where the environment names none. Raises as `configured_model`."""
        return configured_model(timeout_s=self.timeout_s)

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where none is configured. Raises as `configured_model`."""
        model = self.handle
        return NO_ENDPOINT if model is None else model.identity
