"""Captions that invent or contradict: written back, shown for review, and rewritten by an endpoint that is a server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import onnx
import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mm_assets.aligned.objects.claims.rewrites import NOT_CONFIGURED
from tests.runs.conftest import metadata_of

SCENES, SOURCE, BATCH = 10, "scenes-coco-04", "inventive"
BAD = {
    1: "A mug next to a tiger.",  # a good answer
    2: "A rose and a camel.",  # busy at first, then a good answer
    3: "A duck and a violin.",  # invents again, twice
    4: "A violin and a toucan.",  # far too long
    5: "A mantis and a frog.",  # no JSON
    6: "A donkey and a rose.",  # refused
}
AGAINST = {7: ("A closed toolbox.", "An open toolbox.")}
ANSWERS = {1: "A mug and an electric guitar.", 2: "A rose and a green apple.", 3: "A duck and a camel."}


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint with a different fault for every caption."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.prompts = []
        self.counting = threading.Lock()

    def reply(self, prompt):
        with self.counting:
            self.prompts.append(prompt)
            seen = self.prompts.count(prompt)
        caption = next(line.removeprefix("Caption: ") for line in prompt.splitlines() if line.startswith("Caption: "))
        scene = next((number for number, text in BAD.items() if text == caption), None)
        if scene == 2 and seen == 1:
            return 503, b"busy"
        if scene == 5:
            return 200, b"<html>gateway</html>"
        if scene == 6:
            return 401, b"no such key"
        text = "mug " * 900 if scene == 4 else ANSWERS.get(scene, "A toolbox and a camel.")
        return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (message,) = body["messages"]
        text, image = message["content"]
        assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
        status, reply = self.server.reply(text["text"])
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        """Stay quiet."""


@pytest.fixture
def endpoint(monkeypatch):
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MM_VLM_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
    monkeypatch.setenv("MM_VLM_MODEL", "scripted")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def spoil(folder):
    """Add the bad captions."""
    path = folder / "images" / "coco.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    number = max(note["id"] for note in document["annotations"])
    added = [(scene, BAD[scene]) for scene in BAD] + [(scene, text) for scene in AGAINST for text in AGAINST[scene]]
    for offset, (scene, text) in enumerate(added, start=1):
        document["annotations"].append({"id": number + offset, "image_id": scene, "caption": text})
    path.write_text(json.dumps(document), encoding="utf-8")


def records(value):
    return [dict(record.data) for record in value.records]


def check_what_is_shown(site):
    """Captions for review, rewrites and rates in the assets' metadata; returns the only row by source and annotator."""
    shown = metadata_of(site, "caption_claims", BATCH)
    assert shown["captions_for_review"].value == 2
    review = records(shown["for_review"])
    assert [row["caption"] for row in review] == list(AGAINST[7])
    assert "coco.json" in review[0]["picture"]
    assert "closed toolbox" in review[0]["claim"]
    assert "data:image/png;base64" in shown["pictures_for_review"].value
    offered = records(metadata_of(site, "caption_rewrites", BATCH)["rewrites"])
    assert [row["accepted"] for row in offered] == [True] * 4 + [False] * 4
    judged = metadata_of(site, "caption_faithfulness", BATCH)
    invention, conflict = records(judged["rates"])
    for rate in (invention, conflict):
        assert rate["low"] <= rate["measured"] <= rate["high"]
        assert 0.0 < rate["threshold"] < 1.0
        assert rate["baseline_kind"] == "policy_ceiling"
    (group,) = records(judged["groups"])
    assert group["source"]
    assert " to " in group["invention_interval"]
    return group


@pytest.mark.slow
def test_bad_captions_are_written_back_reviewed_and_rewritten(site, endpoint, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[faithfulness]\ninvention_ceiling = 0.01\n", encoding="utf-8")
    site.policy = str(policy)
    spoil(site.cut_scenes(SOURCE, BATCH, SCENES))
    summary = site.run()
    assert summary.failed == {}
    lake = site.lake
    claims = lake.read("caption_claims", BATCH)
    captions = lake.read("captions", BATCH)
    actions = dict(claims.group_by("action").len().iter_rows())
    assert actions == {"keep": captions.height - 8, "reject": 6, "review": 2}
    rejected = lake.scan("rejected", BATCH).filter(pl.col("stage") == "caption_claims").collect()
    texts = dict(captions.select("caption_id", "text").iter_rows())
    assert {texts[caption_id] for caption_id in rejected["record_id"]} == set(BAD.values())

    rewrites = {row["before"]: row for row in lake.read("caption_rewrites", BATCH).to_dicts()}
    assert {before: row["verdict"] for before, row in rewrites.items()} == {
        BAD[1]: "supported",
        BAD[2]: "supported",
        BAD[3]: "invented",
        BAD[4]: "unusable",
        BAD[5]: "unanswered",
        BAD[6]: "unanswered",
        "A closed toolbox.": "supported",
        "An open toolbox.": "supported",
    }
    assert [row["accepted"] for row in rewrites.values()] == [
        row["verdict"] == "supported" for row in rewrites.values()
    ]
    assert {row["model"].split("#")[0] for row in rewrites.values()} == {"vlm:scripted@127.0.0.1"}
    assert rewrites[BAD[1]]["after"] == ANSWERS[1]
    assert (rewrites[BAD[3]]["attempts"], rewrites[BAD[4]]["attempts"]) == (2, 2)
    assert rewrites[BAD[3]]["reason"] == "names camel, which nobody knows to be there"
    assert "3599 characters" in rewrites[BAD[4]]["reason"]
    assert "did not answer as /chat/completions does" in rewrites[BAD[5]]["reason"]
    assert "HTTP 401" in rewrites[BAD[6]]["reason"]
    assert any("Your last answer was not accepted: names camel" in prompt for prompt in endpoint.prompts)

    # A proposal replaces nothing: the captions stand, and the rejected ones stay rejected.
    assert set(captions["text"]) >= {*BAD.values(), *AGAINST[7]}
    costs = lake.scan("costs").filter(pl.col("unit") == "requests").collect()
    assert costs["units"].to_list() == [sum(row["attempts"] for row in rewrites.values())] == [10.0]
    assert costs["price"].item() == pytest.approx(0.01)

    group = check_what_is_shown(site)

    # So many inventions hold the batch, and the view of held batches shows the same evidence.
    assert summary.held == {BATCH: "faithfulness"}
    held = metadata_of(site, "held_batches")
    assert [row["caption"] for row in records(held[f"faithfulness of {BATCH}: for_review"])] == list(AGAINST[7])
    assert records(held[f"faithfulness of {BATCH}: groups"]) == [group]
    assert len(records(held[f"faithfulness of {BATCH}: rates"])) == 2


@pytest.mark.slow
def test_a_poor_batch_asks_for_no_rewrite_and_goes_on(site, endpoint, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[budget]\nper_batch = 0.002\nprice_per_1000_requests = 1000.0\n", encoding="utf-8")
    site.policy = str(policy)
    spoil(site.cut_scenes(SOURCE, BATCH, SCENES))
    summary = site.run()
    assert summary.failed == summary.held == {}
    assert endpoint.prompts == []
    assert site.lake.count("caption_rewrites", BATCH) == 0
    note = metadata_of(site, "caption_rewrites", BATCH)["note"].value
    assert note.endswith("8 were not asked for: the budget allows no more")


@pytest.fixture
def suspicious(tmp_path):
    """Folder of an NLI model, as ONNX, that takes every pair for a contradiction."""
    folder = tmp_path / "suspicious-nli"
    folder.mkdir()
    ids = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["pairs", "tokens"])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["pairs", 2])
    weight = onnx.helper.make_tensor("weight", onnx.TensorProto.FLOAT, [1, 2], [0.0, 0.0])
    bias = onnx.helper.make_tensor("bias", onnx.TensorProto.FLOAT, [2], [9.0, 0.0])
    nodes = [
        onnx.helper.make_node("Cast", ["input_ids"], ["numbers"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMax", ["numbers"], ["largest"], axes=[1], keepdims=1),
        onnx.helper.make_node("Gemm", ["largest", "weight", "bias"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(nodes, "nli", [ids], [logits], [weight, bias])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    labels = {"id2label": {"0": "contradiction", "1": "entailment"}}
    (folder / "config.json").write_text(json.dumps(labels), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_an_nli_model_reads_what_the_rules_leave_open_and_no_endpoint_is_asked(site, suspicious, tmp_path, monkeypatch):
    monkeypatch.delenv("MM_VLM_BASE_URL", raising=False)
    monkeypatch.delenv("MM_VLM_MODEL", raising=False)
    spoil(site.cut_scenes(SOURCE, BATCH, SCENES))
    assert site.run().failed == {}
    rules = site.lake.read("caption_claims", BATCH)
    assert metadata_of(site, "caption_rewrites", BATCH)["note"].value == NOT_CONFIGURED
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[faithfulness]\nentailment = "{suspicious}"\n', encoding="utf-8")
    site.policy = str(policy)
    again = site.run()
    assert again.failed == {}
    assert "caption_claims" in again.ran[BATCH]

    claims = site.lake.read("caption_claims", BATCH)
    before = dict(rules.select("caption_id", "conflicts").iter_rows())
    suspected = {
        row["caption_id"]: row
        for row in claims.to_dicts()
        if any(conflict.startswith("entailment:") for conflict in row["conflicts"])
    }
    assert suspected
    assert not any("entailment" in conflict for conflicts in before.values() for conflict in conflicts)
    assert "review" in {row["action"] for row in suspected.values()}  # kept is who contradicts a rejected one alone
    proven = {row["caption_id"] for row in rules.to_dicts() if row["action"] == "reject"}
    assert {key for key, row in suspected.items() if row["action"] == "reject"} <= proven  # its word alone rejects none
    costs = site.lake.scan("costs").filter(pl.col("unit") == "pairs").collect()
    read = metadata_of(site, "caption_claims", BATCH)["pairs_read_by_the_nli_model"].value
    by_step = dict(costs.select("asset", "units").iter_rows())
    assert by_step["caption_claims"] == read > 0
    assert by_step["hard_negatives"] > 0  # the same model reads the false texts
    assert costs["model"].str.starts_with("nli:suspicious-nli@model.onnx#").all()
    provenance = site.lake.scan("provenance", BATCH).filter(pl.col("asset") == "caption_claims").collect()
    assert any(model.startswith("nli:suspicious-nli") for model in provenance["models"].item())
