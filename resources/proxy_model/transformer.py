"""A small causal transformer over packed rows: no token looks into another sample."""

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

_EARLIER: Final = 2  # tokens before the present one that enter at the bottom, so that short runs get beyond pairs


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.mix_in = nn.Linear(width, 3 * width)
        self.mix_out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = x.shape
        mixed = self.mix_in(self.before(x)).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.mix_out(seen.transpose(1, 2).reshape(rows, length, width))
        return x + self.narrow(F.gelu(self.widen(self.between(x))))


class ProxyTransformer(nn.Module):
    """Next-token model.

    Args:
        vocabulary: number of tokens.
        length: longest row.
        width: channels.
        layers: blocks.
        heads: attention heads.
    """

    def __init__(self, vocabulary: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.earlier = nn.ModuleList(nn.Embedding(vocabulary, width) for _ in range(_EARLIER))
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.after = nn.LayerNorm(width)
        self.scores = nn.Linear(width, vocabulary)
        nn.init.normal_(self.tokens.weight, std=0.5)
        nn.init.normal_(self.places.weight, std=0.1)

    def forward(self, tokens: Tensor, places: Tensor, samples: Tensor, chosen: Tensor) -> Tensor:
        """Scores of the next token at the chosen places.

        Args:
            tokens: int64, shape (R, L).
            places: int64, shape (R, L), place of each token within its sample.
            samples: int64, shape (R, L), sample of each token.
            chosen: bool, shape (R, L), M of them True.

        Returns:
            float32, shape (M, vocabulary).
        """
        length = tokens.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        mask = ((samples[:, :, None] == samples[:, None, :]) & causal)[:, None]
        x = self.tokens(tokens) + self.places(places)
        for back, embedding in enumerate(self.earlier, start=1):
            shifted = embedding(tokens[:, :-back]) * (places[:, back:] >= back)[..., None]
            x = x + F.pad(shifted, (0, 0, back, 0))
        for block in self.blocks:
            x = block(x, mask)
        return self.scores(self.after(x[chosen]))
