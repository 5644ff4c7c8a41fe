"""One sample as a training loop gets it, and how many become a batch. Needs torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict, cast

import numpy as np
import torch

from mm_assets.fusion.samples import Box, Negative, SegmentDetails

IGNORED_LABEL: Final = -100
"""What torch's cross entropy leaves out of the loss."""


class TrainingSample(TypedDict):
    """One sample.

    ``codes``, ``token_ids``: int64, shape (T,); ``code_places``: int64, shape (T, 2), start and end of each placeholder
    in ``content``, characters; ``features``: float32, shape (T, C), row i belongs to placeholder i. T is 0 for text.
    ``audio_codes``, ``audio_token_ids``, ``audio_code_places``, ``audio_features``: the same of its sound.
    ``boxes``: float32, shape (B, 4), corners x1 y1 x2 y2 in pixels of the stored image; ``phrase_places``: int64,
    shape (B, 2), start and end in ``content`` of the phrase each box holds. ``times``: int64, shape (N, 2), start and
    end on the medium's global clock, microseconds; ``segment``: what else its line says of a segment, None of others.
    ``negatives``: false texts of the sample, with the strategy of each.
    """

    id: str
    kind: str
    pool: str
    weight: float
    content: str
    text: str
    codes: torch.Tensor
    token_ids: torch.Tensor
    code_places: torch.Tensor
    features: torch.Tensor
    audio_codes: torch.Tensor
    audio_token_ids: torch.Tensor
    audio_code_places: torch.Tensor
    audio_features: torch.Tensor
    boxes: torch.Tensor
    phrase_places: torch.Tensor
    times: torch.Tensor
    segment: SegmentDetails | None
    negatives: list[Negative]


def box_tensors(boxes: Sequence[Box]) -> tuple[torch.Tensor, torch.Tensor]:
    """Corners, float32, shape (B, 4), and phrases, int64, shape (B, 2)."""
    if not boxes:
        return torch.empty((0, 4)), torch.empty((0, 2), dtype=torch.int64)
    corners = torch.tensor([box.xyxy for box in boxes], dtype=torch.float32)
    return corners, torch.tensor([box.phrase for box in boxes], dtype=torch.int64)


def collate_samples(samples: Sequence[TrainingSample]) -> dict[str, list[Any]]:
    """Collect samples field by field, without padding: lengths differ and text has no features."""
    return {
        key: [cast("Mapping[str, Any]", sample)[key] for sample in samples] for key in TrainingSample.__annotations__
    }


class TokenBatch(TypedDict):
    """A batch of token ids, padded at the end, and the features that belong to some of them.

    ``input_ids``, ``labels``: int64, shape (B, L), -100 in labels where there is no token; ``attention_mask``: bool,
    shape (B, L). ``features``: float32, shape (F, C), and ``feature_places``, int64, shape (F, 2): row of the batch and
    position in it of the placeholder that feature row stands for; ``audio_features`` and ``audio_feature_places`` the
    same of sound. ``ids``, ``weights``: of the samples.
    """

    ids: list[str]
    weights: torch.Tensor
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    features: torch.Tensor
    feature_places: torch.Tensor
    audio_features: torch.Tensor
    audio_feature_places: torch.Tensor


@dataclass(frozen=True)
class TokenCollator:
    """Makes token ids of samples: placeholders by the release's vocabulary, what stands between them by a tokenizer.

    Attributes:
        encode: token ids of a piece of text, without special tokens around it; it also gets the sentinels, as text.
        pad_id: fills ``input_ids`` behind the last token of a sample.
    """

    encode: Callable[[str], Sequence[int]]
    pad_id: int

    def __call__(self, samples: Sequence[TrainingSample]) -> TokenBatch:
        """Collate.

        Returns:
            The batch; every feature row has its place, in the order of the placeholders.
        """
        rows, visual, audio = list[list[int]](), list[tuple[int, int]](), list[tuple[int, int]]()
        for number, sample in enumerate(samples):
            tokens, places = self._tokens(sample)
            rows.append(tokens)
            visual += [(number, place) for place in places[0]]
            audio += [(number, place) for place in places[1]]
        length = max((len(row) for row in rows), default=0)
        ids = np.full((len(rows), length), self.pad_id, np.int64)
        mask = np.zeros((len(rows), length), np.bool_)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = True
        return TokenBatch(
            ids=[sample["id"] for sample in samples],
            weights=torch.tensor([sample["weight"] for sample in samples], dtype=torch.float64),
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            labels=torch.from_numpy(np.where(mask, ids, IGNORED_LABEL)),
            features=_concatenate([sample["features"] for sample in samples]),
            feature_places=torch.tensor(visual, dtype=torch.int64).reshape(-1, 2),
            audio_features=_concatenate([sample["audio_features"] for sample in samples]),
            audio_feature_places=torch.tensor(audio, dtype=torch.int64).reshape(-1, 2),
        )

    def _tokens(self, sample: TrainingSample) -> tuple[list[int], tuple[list[int], list[int]]]:
        """Token ids, and which of them are visual placeholders and which those of sound."""
        marks = [
            (start, end, medium, token)
            for medium, places, tokens in (
                (0, sample["code_places"], sample["token_ids"]),
                (1, sample["audio_code_places"], sample["audio_token_ids"]),
            )
            for (start, end), token in zip(places.tolist(), tokens.tolist(), strict=True)
        ]
        content, tokens, found, done = sample["content"], list[int](), (list[int](), list[int]()), 0
        for start, end, medium, token in sorted(marks):
            if start > done:
                tokens += self.encode(content[done:start])
            found[medium].append(len(tokens))
            tokens.append(token)
            done = end
        if done < len(content):
            tokens += self.encode(content[done:])
        return tokens, found


def _concatenate(features: Sequence[torch.Tensor]) -> torch.Tensor:
    some = [one for one in features if len(one)]
    return torch.cat(some) if some else torch.empty((0, 0))
