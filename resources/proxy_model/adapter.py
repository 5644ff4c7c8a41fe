"""A light contrastive adapter: two linear maps bring frozen codes of pictures and embeddings of captions together."""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

_PAIRS: Final = 64
_LEARNING_RATE: Final = 3e-3
_DECAY: Final = 1e-2
_SCALE: Final = 14.3  # CLIP's initial inverse temperature


def train_adapter(
    pictures: NDArray[np.float32], captions: NDArray[np.float32], *, steps: int, width: int, seed: int, device: str
) -> tuple[nn.Linear, nn.Linear]:
    """Train on matching rows by the symmetric contrastive loss.

    Args:
        pictures: float32, shape (N, codes), N at least 2.
        captions: float32, shape (N, D).
        steps: training steps, of 64 pairs or all.
        width: dimension both are brought to.
        seed: of the start and of the order.
        device: ``cpu`` or ``cuda``.

    Returns:
        Maps of pictures and of captions.

    Source: Radford et al. 2021 (CLIP).
    """
    chance = torch.Generator().manual_seed(seed)
    maps = [nn.Linear(side.shape[1], width, bias=False) for side in (pictures, captions)]
    for one in maps:
        with torch.no_grad():
            one.weight.normal_(0.0, one.in_features**-0.5, generator=chance)
        one.to(device)
    sides = [torch.from_numpy(side).to(device) for side in (pictures, captions)]
    optimizer = torch.optim.AdamW([one.weight for one in maps], lr=_LEARNING_RATE, weight_decay=_DECAY)
    for _ in range(steps):
        rows = torch.randperm(len(pictures), generator=chance)[:_PAIRS].to(device)
        seen, said = (F.normalize(one(side[rows]), dim=-1) for one, side in zip(maps, sides, strict=True))
        scores = _SCALE * seen @ said.T
        truth = torch.arange(len(rows), device=device)
        loss = F.cross_entropy(scores, truth) + F.cross_entropy(scores.T, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return maps[0], maps[1]


@torch.no_grad()
def ranks(
    maps: tuple[nn.Linear, nn.Linear], pictures: NDArray[np.float32], captions: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Place of the match among all captions and among all pictures, 1 is first; ties count in full.

    Returns:
        float64, shape (N, 2).
    """
    device = maps[0].weight.device
    seen: Tensor = F.normalize(maps[0](torch.from_numpy(pictures).to(device)), dim=-1)
    said: Tensor = F.normalize(maps[1](torch.from_numpy(captions).to(device)), dim=-1)
    scores = (seen @ said.T).cpu().numpy()
    own = np.diag(scores)
    return np.stack([(scores >= own[:, None]).sum(axis=1), (scores >= own[None, :]).sum(axis=0)], axis=1).astype(float)
