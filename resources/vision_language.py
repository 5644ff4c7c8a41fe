"""A vision-language model behind an OpenAI-compatible endpoint, named by the environment alone.

``MM_VLM_BASE_URL`` (such as ``https://host/v1``), ``MM_VLM_MODEL`` and, where the endpoint wants one,
``MM_VLM_API_KEY``. The key is sent to that address only: over TLS or to this machine, and never along a redirect.
"""

import base64
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

import dagster as dg
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from mm_assets.aligned.objects.claims.interfaces import VisionLanguage
from mm_assets.errors import DecodeError, InferenceError, PolicyError
from mm_assets.models import ModelIdentity

BASE_URL: Final = "MM_VLM_BASE_URL"
MODEL: Final = "MM_VLM_MODEL"
API_KEY: Final = "MM_VLM_API_KEY"
NO_ENDPOINT: Final = ModelIdentity("none", "0", "0" * 64)
"""Identity in provenance where no endpoint is configured."""
_LONGEST_SIDE_PX: Final = 768
_QUALITIES: Final = (88, 75, 60, 45)
_MAX_PICTURE_BYTES: Final = 1_048_576
_MAX_ANSWER_BYTES: Final = 1_048_576
_MAX_ANSWER_TOKENS: Final = 300
_ATTEMPTS: Final = 4
_ERROR_SHOWN: Final = 200
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_READ_BYTES: Final = 65_536
_WORTH_A_RETRY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _TransientError(Exception):
    """A request that may succeed when made again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the signature of urllib
        """Follow none: the key belongs to one address."""


class ChatEndpoint:
    """A `VisionLanguage` over HTTP.

    Args:
        base_url: address up to ``/v1``.
        model: the model's name there.
        api_key: sent as a bearer token; empty for none.
        timeout_s: longest wait for one answer to start, and again to end, seconds.
        max_wait_s: longest pause between attempts, seconds.

    Raises:
        PolicyError: the address is not one the key may be sent to.
    """

    def __init__(
        self, base_url: str, model: str, *, api_key: str = "", timeout_s: float = 60.0, max_wait_s: float = 20.0
    ) -> None:
        address = urlsplit(base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise PolicyError(f"{BASE_URL} is {base_url!r}; name an address such as https://host/v1")
        if address.username or address.password:
            raise PolicyError(f"{BASE_URL} carries a password; put the key into {API_KEY}")
        if api_key and address.scheme == "http" and address.hostname not in _LOOPBACK:
            raise PolicyError(f"{BASE_URL} is plain http; a key goes over https or to this machine only")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._max_wait_s = max_wait_s
        self._opener = urllib.request.build_opener(_NoRedirects)
        digest = hashlib.sha256(f"{self._url}\0{model}".encode()).hexdigest()
        self._identity = ModelIdentity(f"vlm:{model}", address.hostname, digest)

    @property
    def identity(self) -> ModelIdentity:
        """Model and host; the digest is of the address, for the weights are out of sight."""
        return self._identity

    def ask(self, picture: bytes, prompt: str) -> str:
        """The model's answer to a prompt about a picture."""
        url = "data:image/jpeg;base64," + base64.b64encode(shrink_picture(picture)).decode("ascii")
        return self.complete([{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}])

    def complete(self, content: str | list[dict[str, Any]]) -> str:
        """The model's answer to one message, plain or in parts.

        Raises:
            InferenceError: the endpoint did not answer, or not in its protocol.
        """
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": _MAX_ANSWER_TOKENS,
            "temperature": 0,
        }
        attempts = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=self._max_wait_s / 20.0, max=self._max_wait_s),
            reraise=True,
        )
        try:
            answer = attempts(self._post, json.dumps(body).encode())
        except _TransientError as error:
            raise InferenceError(f"{self._identity} did not answer in {_ATTEMPTS} attempts: {error}") from error
        return self._read(answer)

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) only
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                answer = self._receive(response)
        except urllib.error.HTTPError as error:
            with error:
                told = f"HTTP {error.code}: {error.read(_ERROR_SHOWN).decode('utf-8', 'replace')}"
            if error.code in _WORTH_A_RETRY:
                raise _TransientError(told) from None
            raise InferenceError(
                f"{self._identity} refused the request: {told}; check {BASE_URL}, {MODEL}, {API_KEY}"
            ) from None
        except (OSError, HTTPException) as error:
            raise _TransientError(f"{type(error).__name__}: {error}") from error
        return answer

    def _receive(self, response: HTTPResponse) -> bytes:
        """The whole answer: not too long, and not drop by drop, which no timeout of a socket ends."""
        answer = bytearray()
        ends = time.monotonic() + self._timeout_s
        while part := response.read1(_READ_BYTES):
            answer += part
            if len(answer) > _MAX_ANSWER_BYTES:
                raise InferenceError(
                    f"{self._identity} answered more than {_MAX_ANSWER_BYTES} bytes; it is no chat endpoint"
                )
            if time.monotonic() > ends:
                raise _TransientError(f"its answer was not complete after {self._timeout_s:g} s")
        return bytes(answer)

    def _read(self, answer: bytes) -> str:
        try:
            content = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InferenceError(
                f"{self._identity} did not answer as /chat/completions does: {answer[:_ERROR_SHOWN]!r}"
            ) from error
        if not isinstance(content, str):
            raise InferenceError(f"{self._identity} answered without text; choose a model that writes")
        return content


def shrink_picture(data: bytes) -> bytes:
    """A JPEG of at most 768 pixels a side and one mebibyte, upright, alpha on white.

    Raises:
        DecodeError: code ``IMAGE_UNREADABLE``.
    """
    try:
        with Image.open(BytesIO(data)) as opened:
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
            layered = upright.convert("RGBA")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DecodeError("IMAGE_UNREADABLE", f"the picture to ask about does not decode: {error}; check it") from error
    flat = Image.new("RGB", layered.size, "white")
    flat.paste(layered, mask=layered.getchannel("A"))
    encoded = b""
    for quality in _QUALITIES:
        buffer = BytesIO()
        flat.save(buffer, "JPEG", quality=quality)
        encoded = buffer.getvalue()
        if len(encoded) <= _MAX_PICTURE_BYTES:
            break
    return encoded


def configured_endpoint(*, timeout_s: float = 60.0) -> VisionLanguage | None:
    """The endpoint the environment names, or None where it names none.

    Raises:
        PolicyError: only one of address and model is set, or the address cannot be used.
    """
    base_url, model = os.environ.get(BASE_URL, ""), os.environ.get(MODEL, "")
    if not base_url and not model:
        return None
    if not base_url or not model:
        raise PolicyError(f"set both {BASE_URL} and {MODEL}, or neither")
    return ChatEndpoint(base_url, model, api_key=os.environ.get(API_KEY, ""), timeout_s=timeout_s)


class VisionLanguageResource(dg.ConfigurableResource):
    """Gives assets a `VisionLanguage`, or none; address, model and key come from the environment."""

    timeout_s: float = Field(default=60.0, gt=0.0, description="Longest wait for one answer, seconds.")

    @property
    def handle(self) -> VisionLanguage | None:
        """The endpoint; None where the environment names none. Raises as `configured_endpoint`."""
        return configured_endpoint(timeout_s=self.timeout_s)

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where none is configured. Raises as `configured_endpoint`."""
        model = self.handle
        return NO_ENDPOINT if model is None else model.identity
