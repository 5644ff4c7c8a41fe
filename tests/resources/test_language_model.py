import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from mm_assets.errors import PolicyError
from mm_assets.hard_negatives.llm_synthetic import NOT_CONFIGURED, PROMPT_VERSION, LlmSynthetic
from mm_assets.hard_negatives.negatives import EditKind, Positive
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy
from resources.language_model import LanguageModelResource, configured_model
from resources.wordnet import read_wordnet


class _Model(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[str] = []
        self.asked: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Model

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        text = self.server.replies.pop(0) if self.server.replies else ""
        reply = json.dumps({"choices": [{"message": {"content": text}}]}).encode() if text else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Model]:
    started = _Model()
    Thread(target=started.serve_forever, daemon=True).start()
    monkeypatch.setenv("MM_LLM_BASE_URL", f"http://127.0.0.1:{started.server_address[1]}/v1")
    monkeypatch.setenv("MM_LLM_MODEL", "small")
    yield started
    started.shutdown()
    started.server_close()


_POSITIVES = [Positive("a", "1", "A red car.", siblings=("A car by a wall.",)), Positive("b", "2", "Two ducks swim.")]


def test_without_a_model_nothing_is_made_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MM_LLM_BASE_URL", "MM_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    source = LlmSynthetic(configured_model(), TermRelations(read_wordnet()), HardNegativePolicy())
    assert not list(source.make(_POSITIVES))
    assert source.report.note == NOT_CONFIGURED
    assert LanguageModelResource().identity.name == "none"


def test_half_a_configuration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_LLM_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.delenv("MM_LLM_MODEL", raising=False)
    with pytest.raises(PolicyError, match="set both"):
        configured_model()


def test_answers_become_negatives_with_edits(model_server: _Model) -> None:
    model_server.replies = ['["A blue car.", "A red car."]', 'Here: ["Three ducks swim.", "Dawn over far hills."]']
    source = LlmSynthetic(configured_model(), TermRelations(read_wordnet()), HardNegativePolicy())
    made = list(source.make(_POSITIVES))
    assert [negative.text for negative in made] == ["A blue car.", "Three ducks swim."]
    assert [negative.kind for negative in made] == [EditKind.COLOR, EditKind.NUMBER]
    assert made[0].provenance["prompt_version"] == PROMPT_VERSION
    assert made[0].provenance["model"].startswith("llm:small@127.0.0.1")
    assert source.report.malformed == 2
    assert "A car by a wall." in model_server.asked[0]["messages"][0]["content"]


def test_a_written_word_gets_its_counterpart(model_server: _Model) -> None:
    model_server.replies = ['["A blue car.", "A violet car."]', '["A red van."]', '["Some ducks."]']
    source = LlmSynthetic(configured_model(), TermRelations(read_wordnet()), HardNegativePolicy())
    positives = [
        Positive(f"c{place}", f"i{place}", text) for place, text in enumerate(("A red car.", "A blue van.", "An owl."))
    ]
    made = list(source.make(positives))
    assert [(n.positive_id, n.text, n.mirror_id is not None) for n in made] == [
        ("c0", "A blue car.", True),
        ("c1", "A red van.", True),  # made of what the first answer said; the second said it again
        ("c0", "A violet car.", False),
        ("c2", "Some ducks.", False),
    ]
    assert made[0].mirror_id == made[1].mirror_id
    assert all(n.provenance["prompt_version"] == PROMPT_VERSION for n in made)


def test_a_model_that_does_not_answer_is_given_up(model_server: _Model) -> None:
    source = LlmSynthetic(configured_model(), TermRelations(read_wordnet()), HardNegativePolicy())
    assert not list(source.make(_POSITIVES * 10))
    assert source.report.requests == source.report.failed == 5
    told = source.report.tell()
    assert told.startswith("5 requests, 5 failed (the last: ")
    assert told.endswith("), 0 malformed; stopped: 5 requests in a row failed")


def test_words_without_a_list_are_counted(model_server: _Model) -> None:
    model_server.replies = ["A blue car."]
    source = LlmSynthetic(configured_model(), TermRelations(read_wordnet()), HardNegativePolicy())
    assert not list(source.make(_POSITIVES[:1]))
    assert source.report.malformed == 1
