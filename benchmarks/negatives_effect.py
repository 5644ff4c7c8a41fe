"""Whether hard negatives help: a light adapter on frozen features, trained with random or with made negatives.

    python benchmarks/negatives_effect.py --lake LAKE [--seeds 10]

Linear maps of the lake's frozen picture and text features are trained by a contrastive loss whose negatives are, per
caption, texts of other pictures drawn at random, or the kept negatives of the table's strategies (text ones only) with
random ones for the rest. Both see as many negatives and steps. Reported on held-out pictures: retrieval of the caption
among held-out captions (R@1), and how often the true caption beats its edited one; means over seeds with bootstrap
intervals, the frozen features untrained beside them. Pictures are split, and a held-out caption lends no word.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl

STEPS = 300
BATCH = 64
PER_POSITIVE = 2
RATE = 0.002
TEMPERATURE = 0.05
PULL = 0.05


def _gather(lake: Path) -> tuple[list, np.ndarray, np.ndarray]:
    from mm_assets.hard_negatives.batch_sources import caption_positives

    tables = {
        name: pl.read_delta(str(lake / "tables" / name))
        for name in ("captions", "boxes", "image_embeddings", "caption_embeddings", "images")
    }
    spoiled = pl.col("batch").is_in(["stamps-shifted-07", "scenes-mirrored-10"])
    captions = tables["captions"].filter(~spoiled)
    return caption_positives(
        captions, tables["boxes"].select("image_id", "label"), tables["image_embeddings"], tables["caption_embeddings"]
    )


def _negatives(positives: list, images: np.ndarray, texts: np.ndarray, encoder: object) -> dict[str, list[str]]:
    """False texts by positive, as a batch of the table keeps them."""
    from mm_assets.hard_negatives.batch_negatives import settle
    from mm_assets.hard_negatives.make_batch import BatchMaker, Sources
    from mm_assets.policy import HardNegativePolicy
    from resources.wordnet import read_wordnet

    policy = HardNegativePolicy(min_similarity=0.0)  # the embedded encoder's scores are too low for a floor

    def embed(new: list[str]) -> np.ndarray:
        return np.asarray(encoder.encode_texts(list(new)), np.float32)  # type: ignore[attr-defined]

    judged = BatchMaker(read_wordnet(), embed, policy).make(Sources(positives, images, texts))
    result = settle(judged, len(positives), policy)
    found: dict[str, list[str]] = {}
    for one in result.kept():
        if one.negative.text != one.negative.positive_text:
            found.setdefault(one.negative.positive_id, []).append(one.negative.text)
    return found


class _Adapter:
    """Maps of both sides near the identity, trained by Adam on a softmax over one true text and false ones."""

    def __init__(self, width: int) -> None:
        import torch

        self.image = torch.nn.Linear(width, width, bias=False)
        self.text = torch.nn.Linear(width, width, bias=False)
        for layer in (self.image, self.text):
            torch.nn.init.eye_(layer.weight)

    def train(self, images: np.ndarray, texts: np.ndarray, false: np.ndarray, seed: int) -> None:
        import torch

        rng = np.random.default_rng(seed)
        weights = [self.image.weight, self.text.weight]
        optimizer = torch.optim.Adam(weights, lr=RATE)
        eye = torch.eye(images.shape[1])
        for _ in range(STEPS):
            rows = rng.choice(len(images), min(BATCH, len(images)), replace=False)
            picture = torch.nn.functional.normalize(self.image(torch.from_numpy(images[rows])), dim=-1)
            true = torch.nn.functional.normalize(self.text(torch.from_numpy(texts[rows])), dim=-1)
            wrong = torch.nn.functional.normalize(self.text(torch.from_numpy(false[rows])), dim=-1)
            against = torch.cat([picture @ true.T, torch.einsum("bd,bkd->bk", picture, wrong)], dim=1) / TEMPERATURE
            loss = torch.nn.functional.cross_entropy(against, torch.arange(len(rows)))
            loss = loss + PULL * sum(((weight - eye) ** 2).sum() for weight in weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def scores(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            left = torch.nn.functional.normalize(self.image(torch.from_numpy(images)), dim=-1)
            right = torch.nn.functional.normalize(self.text(torch.from_numpy(texts)), dim=-1)
            return (left @ right.T).numpy()


def _interval(values: list[float]) -> list[float]:
    rng = np.random.default_rng(0)
    means = [float(np.mean(rng.choice(values, len(values)))) for _ in range(2_000)]
    return [round(float(np.mean(values)), 4), *(round(float(q), 4) for q in np.quantile(means, [0.025, 0.975]))]


def main() -> int:
    """Train and report; one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    asked = parser.parse_args()
    import torch

    from resources.image_text_encoder import build_encoder

    torch.set_num_threads(1)
    encoder = build_encoder("bridge-lite0-minilm")
    positives, images, texts = _gather(asked.lake)
    pictures = sorted({positive.image_id for positive in positives})
    measured: dict[str, dict[str, list[float]]] = {
        name: {"r_at_1": [], "beats_edited": []} for name in ("untrained", "random", "made")
    }
    for seed in range(asked.seeds):
        rng = np.random.default_rng(seed)
        held_pictures = set(rng.permutation(pictures)[: len(pictures) // 4].tolist())
        held = np.array([positive.image_id in held_pictures for positive in positives])
        parts = {}
        for name, where in (("train", ~held), ("test", held)):
            own = [positive for positive, keep in zip(positives, where, strict=True) if keep]
            parts[name] = (own, images[where], texts[where], _negatives(own, images[where], texts[where], encoder))
        own, pictures_in, texts_in, made = parts["train"]
        drawn = rng.integers(len(own), size=(len(own), PER_POSITIVE))
        false = {"random": texts_in[drawn], "made": texts_in[drawn].copy()}
        for row, positive in enumerate(own):
            for place, text in enumerate(made.get(positive.positive_id, [])[:PER_POSITIVE]):
                false["made"][row, place] = encoder.encode_texts([text])[0]
        tested, pictures_out, texts_out, edited = parts["test"]
        asked_rows = [(row, text) for row, p in enumerate(tested) for text in edited.get(p.positive_id, [])]
        edited_vectors = np.asarray(encoder.encode_texts([text for _, text in asked_rows]), np.float32)
        rows = np.array([row for row, _ in asked_rows])
        same = np.array([[a.text == b.text or a.image_id == b.image_id for b in tested] for a in tested])
        for name in measured:
            torch.manual_seed(seed)
            adapter = _Adapter(images.shape[1])
            if name != "untrained":
                adapter.train(pictures_in, texts_in, false[name], seed)
            scores = adapter.scores(pictures_out, texts_out)
            best = scores.argmax(axis=1)
            measured[name]["r_at_1"].append(float(same[np.arange(len(tested)), best].mean()))
            wrong = np.diag(adapter.scores(pictures_out[rows], edited_vectors))
            measured[name]["beats_edited"].append(float((scores[rows, rows] > wrong).mean()))
    gains = {
        f"made_less_random_{key}": _interval(
            [a - b for a, b in zip(measured["made"][key], measured["random"][key], strict=True)]
        )
        for key in ("r_at_1", "beats_edited")
    }
    found = {name: {key: _interval(values) for key, values in of.items()} for name, of in measured.items()} | gains
    print(json.dumps({"pairs": len(positives), "seeds": asked.seeds} | found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
