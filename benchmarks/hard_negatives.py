"""Hard negatives: how they were labelled, what the verdicts find, and what blind readers tell.

    python benchmarks/hard_negatives.py labels
    python benchmarks/hard_negatives.py planted [--part development]
    python benchmarks/hard_negatives.py blind --captions FILE

``labels`` counts the labels of ``labels/hard_negatives.json``, each given beside the picture. ``planted`` shows the
verdicts true texts of ``labels/planted_true_texts.txt`` and, in the part test, captions of the same demo picture
re-encoded and scaled.
``blind`` audits every text strategy on the captions of a text file, one a line; that of a language model, too, if
``MM_LLM_MODEL`` names one.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LABELS = HERE / "labels" / "hard_negatives.json"
PLANTED = HERE / "labels" / "planted_true_texts.txt"
LANDING = HERE.parent / "demo" / "data" / "landing"


def count_labels() -> dict[str, object]:
    """Shares with exact intervals, in all and by strategy."""
    from mm_assets.gates.binomial_interval import clopper_pearson

    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    rows, pictures = labels["negatives"], labels["pictures"]
    holding = sum(row["true_of_picture"] for row in pictures)
    low, high = clopper_pearson(holding, len(pictures), 0.95)
    found: dict[str, object] = {
        "edited pictures": {
            "labelled": len(pictures),
            "text still true": holding,
            "interval": [round(low, 4), round(high, 4)],
        }
    }
    for strategy in ("all", *sorted({row["strategy"] for row in rows})):
        own = [row for row in rows if strategy in {"all", row["strategy"]}]
        true, fluent = sum(row["true_of_picture"] for row in own), sum(row["grammatical"] for row in own)
        low, high = clopper_pearson(true, len(own), 0.95)
        found[strategy] = {
            "labelled": len(own),
            "true_of_picture": true,
            "share": round(true / len(own), 4),
            "interval": [round(low, 4), round(high, 4)],
            "grammatical": round(fluent / len(own), 4),
        }
    return found


def _planted(part: str) -> list[tuple[str, list[str], str]]:
    lines = [line.split("|") for line in PLANTED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [[field.strip() for field in line] for line in lines]
    return [(kind, [c.strip() for c in captions.split(";")], text) for own, kind, captions, text in rows if own == part]


def find_planted(part: str) -> dict[str, object]:
    """Share of true texts the verdicts find, by kind; texts are measured with the embedded encoder."""
    from mm_assets.hard_negatives.measures import Measures, unmeasured
    from mm_assets.hard_negatives.negatives import EditKind, Negative, Outcome, Positive, Strategy, find_edits
    from mm_assets.hard_negatives.terms import TermRelations
    from mm_assets.hard_negatives.truth_rules import TruthRules
    from mm_assets.hard_negatives.verdicts import judge
    from mm_assets.policy import HardNegativePolicy
    from resources.image_text_encoder import build_encoder
    from resources.wordnet import read_wordnet

    policy, encoder = HardNegativePolicy(), build_encoder("bridge-lite0-minilm")
    rules = TruthRules(TermRelations(read_wordnet()), policy)
    positives, negatives, kinds = [], [], []
    for place, (kind, captions, text) in enumerate(_planted(part)):
        positive = Positive(f"cap_{place}", f"img_{place}", captions[0], tuple(captions[1:]))
        # Edits of one word come from a replacement or a model; whole texts from mining or a model.
        for strategy in (Strategy.LLM_SYNTHETIC, Strategy.IN_BATCH):
            edits = find_edits(captions[0], text, EditKind.OBJECT)
            positives.append(positive)
            negatives.append(Negative(positive.positive_id, positive.image_id, strategy, captions[0], text, edits))
            kinds.append(f"{kind} by {strategy.value}")
    texts = np.asarray(encoder.encode_texts([n.text for n in negatives]), np.float32)
    own = np.asarray(encoder.encode_texts([n.positive_text for n in negatives]), np.float32)
    empty = unmeasured(len(negatives))
    measures = Measures(
        empty.similarity, empty.positive_similarity, np.einsum("ij,ij->i", texts, own), empty.similarity
    )
    judged = judge(negatives, {p.positive_id: p for p in positives}, measures, rules, policy)
    if part == "test":
        copies = _copies(encoder, rules, policy)
        judged, kinds = judged + copies, kinds + ["duplicate picture's caption by in_batch"] * len(copies)
    caught: dict[str, list[bool]] = defaultdict(list)
    for kind, one in zip(kinds, judged, strict=True):
        caught[kind].append(one.outcome is Outcome.FALSE_NEGATIVE)
    missed = [
        f"{kind}: {one.negative.positive_text} => {one.negative.text}"
        for kind, one in zip(kinds, judged, strict=True)
        if one.outcome is not Outcome.FALSE_NEGATIVE
    ]
    total = [hit for hits in caught.values() for hit in hits]
    return {
        "part": part,
        "planted": len(total),
        "caught": sum(total),
        "share": round(float(np.mean(total)), 4),
        "by_kind": {kind: f"{sum(hits)}/{len(hits)}" for kind, hits in sorted(caught.items())},
        "rules": dict(Counter(one.reason.partition(":")[0] for one in judged)),
        "missed": missed,
    }


def _copies(encoder, rules, policy):  # noqa: ANN001, ANN202 - a benchmark
    """Verdicts on second captions of demo pictures, lent by a scaled and re-encoded copy."""
    from PIL import Image

    from mm_assets.hard_negatives.measures import Measures
    from mm_assets.hard_negatives.negatives import EditKind, Negative, Positive, Strategy, find_edits
    from mm_assets.hard_negatives.verdicts import judge

    found, pairs = [], []
    for manifest in sorted(LANDING.glob("*/images/metadata.jsonl")):
        for line in manifest.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            second = row.get("descriptions", [])[:1]
            pairs += [(manifest.parent / row["file_name"], row["text"], text) for text in second]
    pixels = []
    for path, _, _ in pairs:
        with Image.open(path) as opened:
            whole = Image.new("RGBA", opened.size, "white")
            whole.alpha_composite(opened.convert("RGBA"))
        small = whole.convert("RGB").resize([max(8, round(0.8 * side)) for side in whole.size])
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=60)
        pixels += [np.asarray(p.convert("RGB").resize((224, 224))) for p in (whole, Image.open(buffer))]
    vectors = np.asarray(encoder.encode_images(np.stack(pixels)).embedding, np.float32)
    texts = np.asarray(encoder.encode_texts([t for _, a, b in pairs for t in (a, b)]), np.float32)
    positives = {}
    for place, (_, text, other) in enumerate(pairs):
        positives[f"cap_{place}"] = Positive(f"cap_{place}", f"img_{place}", text)
        edits = find_edits(text, other, EditKind.OBJECT)
        found.append(Negative(f"cap_{place}", f"img_{place}", Strategy.IN_BATCH, text, other, edits, donor_id="copy"))
    products = np.einsum("ij,ij->i", vectors[::2], vectors[1::2])
    nothing = np.full(len(found), np.nan, np.float32)
    measures = Measures(nothing, nothing, np.einsum("ij,ij->i", texts[::2], texts[1::2]), products)
    return judge(found, positives, measures, rules, policy)


def audit_captions(path: Path) -> dict[str, object]:
    """Best blind reader per text strategy, before and after the balancer; nothing is measured but words."""
    from mm_assets.hard_negatives.attribute_swap import AttributeSwap
    from mm_assets.hard_negatives.batch_negatives import judge_chunk, settle, unique
    from mm_assets.hard_negatives.in_batch import InBatch
    from mm_assets.hard_negatives.llm_synthetic import LlmSynthetic
    from mm_assets.hard_negatives.measures import unmeasured
    from mm_assets.hard_negatives.negatives import Positive
    from mm_assets.hard_negatives.subtle_replacement import SubtleReplacement
    from mm_assets.hard_negatives.terms import TermRelations
    from mm_assets.hard_negatives.truth_rules import TruthRules
    from mm_assets.policy import HardNegativePolicy
    from resources.image_text_encoder import build_encoder
    from resources.language_model import configured_model
    from resources.wordnet import read_wordnet

    lines = list(dict.fromkeys(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()))
    positives = [Positive(f"cap_{i}", f"img_{i}", line, position=i) for i, line in enumerate(lines)]
    policy, net = HardNegativePolicy(), read_wordnet()
    found: dict[str, object] = {"captions": len(lines)}
    texts = np.asarray(build_encoder("bridge-lite0-minilm").encode_texts(lines), np.float32)
    made = {
        "subtle_replacement": list(SubtleReplacement(net, policy).make(positives)),
        "attribute_swap": list(AttributeSwap(TermRelations(net)).make(positives)),
        "in_batch": list(InBatch(texts, texts, "texts alone", policy).make(positives)),
    }
    model = configured_model()
    if model is not None:  # MM_LLM_MODEL names it
        began = time.process_time()
        made["llm_synthetic"] = list(LlmSynthetic(model, TermRelations(net), policy).make(positives))
        found["llm_synthetic_cpu_s"] = round(time.process_time() - began, 1)
    for strategy, negatives in made.items():
        own = unique(negatives)
        judged = judge_chunk(own, positives, unmeasured(len(own)), TruthRules(TermRelations(net), policy), policy)
        result = settle(judged, len(positives), policy)
        for report in result.audits.balancing.values():
            found[strategy] = {
                "made": len(own),
                "kept": len(result.kept()),
                "verdicts": dict(Counter(one.told.partition("/")[2] for one in result.judged)),
                "dropped": len(report.dropped),
                "before": {r.reader: round(r.accuracy, 3) for r in report.before.readers},
                "after": {r.reader: round(r.accuracy, 3) for r in report.after.readers},
                "left_out_whole": report.refused is not None,
                "passed": report.after.passed,
            }
    return found


def main() -> int:
    """Run one part and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("labels", "planted", "blind"))
    parser.add_argument("--part", default="test", choices=("test", "development"))
    parser.add_argument("--captions", type=Path)
    asked = parser.parse_args()
    if asked.what == "labels":
        found = count_labels()
    elif asked.what == "planted":
        found = find_planted(asked.part)
    elif asked.captions is None:
        parser.error("blind needs --captions FILE")
    else:
        found = audit_captions(asked.captions)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
