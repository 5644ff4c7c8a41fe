"""Loaders: ranks and workers without overlap, resumed to the batch, token ids that fit their features."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from mm_assets.errors import ReleaseError
from mm_assets.fusion.training_loader import ReleaseLoader
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.fusion.training_sample import IGNORED_LABEL, TokenCollator


@pytest.fixture
def dataset(release) -> ReleaseDataset:
    return ReleaseDataset(release)


def ids_of(loader: ReleaseLoader) -> list[list[str]]:
    return [batch["id"] for batch in loader]


def every_id(release) -> set[str]:
    return {json.loads(raw)["id"] for path in (release / "samples").iterdir() for raw in path.read_bytes().splitlines()}


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_hand_out_every_sample_once(dataset, release, workers):
    whole = ids_of(ReleaseLoader(dataset, 6, seed=4))
    assert [len(batch) for batch in whole] == [6, 6, 5]
    shares = [ids_of(ReleaseLoader(dataset, 6, seed=4, rank=rank, ranks=2, workers=workers)) for rank in range(2)]
    assert Counter(name for share in shares for batch in share for name in batch) == dict.fromkeys(every_id(release), 1)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(name for part in parts for name in part)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_run_goes_on_at_the_batch_where_it_stopped(dataset, workers, stop):
    uninterrupted = ReleaseLoader(dataset, 4, seed=7)
    want = ids_of(uninterrupted) + ids_of(uninterrupted)
    assert uninterrupted.epoch == 2
    assert len(want) == 10
    assert want[:5] != want[5:]
    loader = ReleaseLoader(dataset, 4, seed=7, workers=workers)
    got = []
    for batch in loader:
        got.append(batch["id"])
        if len(got) == stop:
            break
    state = json.loads(json.dumps(loader.state_dict()))
    resumed = ReleaseLoader(dataset, 4, seed=7, workers=2 - workers)
    resumed.load_state_dict(state)
    assert len(resumed) == 5 - stop
    got += ids_of(resumed)
    assert resumed.epoch == 1
    got += ids_of(resumed)
    assert got == want


def test_a_run_goes_on_with_other_ranks(dataset):
    want = ids_of(ReleaseLoader(dataset, 4, seed=7))
    loader = ReleaseLoader(dataset, 4, seed=7)
    next(iter(loader))
    state = loader.state_dict()
    shares = []
    for rank in range(2):
        loader = ReleaseLoader(dataset, 4, seed=7, rank=rank, ranks=2)
        with pytest.raises(ReleaseError, match="cannot share out"):
            loader.load_state_dict(state | {"batches": 4})  # one sample is left
        loader.load_state_dict(state)
        shares.append(ids_of(loader))
    got = [sorted(name for share in shares for name in share[number]) for number in range(3)]
    assert got == [*map(sorted, want[1:3]), sorted(want[3] + want[4])]


def test_a_state_of_another_run_is_refused(dataset):
    state = ReleaseLoader(dataset, 4, seed=7).state_dict()
    for other in (ReleaseLoader(dataset, 4, seed=8), ReleaseLoader(dataset, 5, seed=7)):
        with pytest.raises(ReleaseError, match="cannot go on"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="rank 2"):
        ReleaseLoader(dataset, 4, seed=7, rank=2, ranks=2)


def test_weights_and_splits_are_drawn_from(release, edit_lines):
    edit_lines(
        release,
        lambda number, line: line | {"split": "test" if number % 4 == 0 else "train", "weight": 1.0 + (number == 2)},
    )
    test, train = ReleaseDataset(release, split="test"), ReleaseDataset(release, split="train")
    assert (len(test), len(train)) == (5, 12)
    got = Counter(name for batch in ids_of(ReleaseLoader(train, 5, seed=1)) for name in batch)
    assert sorted(got.values()) == [1] * 11 + [2]
    assert got.keys() == {train[index]["id"] for index in range(12)}
    assert got.keys().isdisjoint(sample["id"] for sample in test)
    (twice,) = [name for name, count in got.items() if count == 2]
    assert ReleaseDataset(release)[2]["id"] == twice


def test_token_ids_hold_a_place_for_every_feature(release_maker, kit):
    texts = [("prose", "Once upon a time."), ("code", "if a < b: pass")]
    release_maker.add(kit.make_batch("b1", [[caption] for caption in kit.CAPTIONS], texts))
    release_maker.add_segments(kit.make_segments("b2", [("trimodal", "Quack."), ("audio_text", "池")]))
    release_maker.write()
    dataset = ReleaseDataset(release_maker.root / "r1")
    vocabulary = release_maker.recipe().vocabulary
    collate = TokenCollator(lambda text: [ord(character) for character in text], pad_id=0)
    (batch,) = ReleaseLoader(dataset, 64, seed=1, shuffle=False, collate=collate)
    samples = {sample["id"]: sample for sample in dataset}
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    assert len(batch["features"]) == len(batch["feature_places"]) > 30
    assert len(batch["audio_features"]) == len(batch["audio_feature_places"]) > 3
    tokens_at = batch["input_ids"][tuple(batch["feature_places"].T)]
    assert torch.equal(tokens_at, torch.cat([samples[name]["token_ids"] for name in batch["ids"]]))
    audio_at = batch["input_ids"][tuple(batch["audio_feature_places"].T)]
    assert torch.equal(audio_at, torch.cat([samples[name]["audio_token_ids"] for name in batch["ids"]]))
    for row, name in enumerate(batch["ids"]):
        ids = batch["input_ids"][row][batch["attention_mask"][row]].tolist()
        assert batch["labels"][row][~batch["attention_mask"][row]].unique().tolist() in ([], [IGNORED_LABEL])
        spelled = "".join(
            f"<AUD_TK_{one - vocabulary.audio_offset}>"
            if vocabulary.audio_offset <= one < vocabulary.audio_offset + vocabulary.audio_codes
            else f"<IMG_TK_{one - vocabulary.image_offset}>"
            if vocabulary.image_offset <= one < vocabulary.image_offset + vocabulary.image_codes
            else chr(one)
            for one in ids
        )
        assert spelled == samples[name]["content"]
        mine = batch["feature_places"][:, 0] == row
        assert batch["features"][mine].tolist() == samples[name]["features"].tolist()
    assert np.isfinite(batch["features"].numpy()).all()
