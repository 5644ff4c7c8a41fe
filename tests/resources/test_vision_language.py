import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from mm_assets.errors import DecodeError, InferenceError, PolicyError
from resources.vision_language import (
    API_KEY,
    BASE_URL,
    MODEL,
    ChatEndpoint,
    VisionLanguageResource,
    configured_endpoint,
    shrink_picture,
)


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint that answers as the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[tuple[int, bytes]] = []
        self.requests: list[dict[str, Any]] = []
        self.redirect = ""
        self.drops_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, text: str) -> None:
        self.replies.append((200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()))


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
        status, reply = self.server.replies.pop(0)
        self.send_response(status)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if not self.server.drops_s:
            self.wfile.write(reply)
            return
        for place in range(len(reply)):
            time.sleep(self.server.drops_s)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(reply[place : place + 1])

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()
    thread.join()


def picture(width: int, height: int, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.effect_noise((width, height), 80).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def test_it_asks_as_openai_compatible_endpoints_expect(server: Endpoint) -> None:
    server.answer("A duck.")
    model = ChatEndpoint(server.url + "/", "some-vlm", api_key="key-1")
    assert model.ask(picture(40, 30), "Describe.") == "A duck."
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == "Bearer key-1"
    body = request["body"]
    assert (body["model"], body["temperature"]) == ("some-vlm", 0)
    text, image = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Describe."}
    head, _, encoded = image["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(BytesIO(base64.b64decode(encoded))) as sent:
        assert (sent.format, sent.size) == ("JPEG", (40, 30))


def test_without_a_key_none_is_sent(server: Endpoint) -> None:
    server.answer("ok")
    ChatEndpoint(server.url, "m").ask(picture(8, 8), "?")
    assert "Authorization" not in server.requests[0]["headers"]


def test_a_busy_endpoint_is_asked_again(server: Endpoint) -> None:
    server.replies += [(429, b"slow down"), (503, b"")]
    server.answer("A duck.")
    assert ChatEndpoint(server.url, "m", max_wait_s=0.01).ask(picture(8, 8), "?") == "A duck."
    assert len(server.requests) == 3


def test_an_endpoint_that_stays_busy_fails_after_four_attempts(server: Endpoint) -> None:
    server.replies += [(503, b"busy")] * 9
    with pytest.raises(InferenceError, match="did not answer in 4 attempts: HTTP 503: busy"):
        ChatEndpoint(server.url, "m", max_wait_s=0.01).ask(picture(8, 8), "?")
    assert len(server.requests) == 4


def test_a_refusal_is_not_repeated_and_does_not_tell_the_key(server: Endpoint) -> None:
    server.replies.append((401, b"bad key"))
    with pytest.raises(InferenceError, match="HTTP 401: bad key") as caught:
        ChatEndpoint(server.url, "m", api_key="secret-1").ask(picture(8, 8), "?")
    assert len(server.requests) == 1
    assert "secret-1" not in str(caught.value)


def test_redirects_are_not_followed(server: Endpoint) -> None:
    server.redirect = "http://example.invalid/v1/chat/completions"
    server.replies.append((302, b""))
    with pytest.raises(InferenceError, match="HTTP 302"):
        ChatEndpoint(server.url, "m", api_key="secret-1").ask(picture(8, 8), "?")


@pytest.mark.parametrize(
    "reply", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b'"text"']
)
def test_another_protocol_is_an_error(server: Endpoint, reply: bytes) -> None:
    server.replies.append((200, reply))
    with pytest.raises(InferenceError, match="answer"):
        ChatEndpoint(server.url, "m").ask(picture(8, 8), "?")


def test_an_endless_answer_is_cut_short(server: Endpoint) -> None:
    server.replies.append((200, b"x" * 1_100_000))
    with pytest.raises(InferenceError, match="no chat endpoint"):
        ChatEndpoint(server.url, "m").ask(picture(8, 8), "?")


def test_an_answer_drop_by_drop_is_cut_short(server: Endpoint) -> None:
    server.drops_s = 0.02
    server.replies += [(200, b"x" * 60)] * 4
    model = ChatEndpoint(server.url, "m", timeout_s=0.3, max_wait_s=0.01)
    # On a machine too busy for one drop the socket's own timeout ends it.
    with pytest.raises(InferenceError, match=r"4 attempts: (its answer was not complete after 0\.3 s|TimeoutError)"):
        model.ask(picture(8, 8), "?")


def test_a_silent_endpoint_is_given_up(server: Endpoint) -> None:
    server.drops_s = 1.0
    server.replies += [(200, b"x")] * 4
    model = ChatEndpoint(server.url, "m", timeout_s=0.05, max_wait_s=0.01)
    with pytest.raises(InferenceError, match="4 attempts: TimeoutError"):
        model.ask(picture(8, 8), "?")


def test_an_answer_nested_without_end_is_another_protocol(server: Endpoint) -> None:
    server.replies.append((200, b"[" * 200_000))
    with pytest.raises(InferenceError, match="did not answer as"):
        ChatEndpoint(server.url, "m").ask(picture(8, 8), "?")


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(InferenceError, match="4 attempts"):
        ChatEndpoint("http://127.0.0.1:9/v1", "m", timeout_s=0.5, max_wait_s=0.01).ask(picture(8, 8), "?")


def test_pictures_are_bounded() -> None:
    shrunk = shrink_picture(picture(1_000, 333))
    assert len(shrunk) <= 1_048_576
    with Image.open(BytesIO(shrunk)) as image:
        assert image.size == (768, 256)
    with Image.open(BytesIO(shrink_picture(picture(10, 10, "LA")))) as image:
        assert image.mode == "RGB"
    with pytest.raises(DecodeError, match="does not decode"):
        shrink_picture(b"no picture")


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("ftp://host/v1", "", "name an address"),
        ("host/v1", "", "name an address"),
        ("https://me:pw@host/v1", "", "carries a password"),
        ("http://elsewhere.example/v1", "key", "plain http"),
    ],
)
def test_addresses_that_leak_are_refused(url: str, key: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        ChatEndpoint(url, "m", api_key=key)


def test_the_environment_configures_it_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (BASE_URL, MODEL, API_KEY):
        monkeypatch.delenv(name, raising=False)
    assert configured_endpoint() is None
    assert VisionLanguageResource().handle is None
    assert VisionLanguageResource().identity.name == "none"
    monkeypatch.setenv(BASE_URL, "https://host/v1")
    with pytest.raises(PolicyError, match="both"):
        configured_endpoint()
    monkeypatch.setenv(MODEL, "some-vlm")
    monkeypatch.setenv(API_KEY, "secret-1")
    endpoint = VisionLanguageResource().handle
    assert endpoint is not None
    assert (endpoint.identity.name, endpoint.identity.revision) == ("vlm:some-vlm", "host")
    assert VisionLanguageResource().identity == endpoint.identity
    assert "secret-1" not in repr(vars(endpoint.identity))
