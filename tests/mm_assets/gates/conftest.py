from collections.abc import Callable

import numpy as np
import pytest

from mm_assets.gates.recall_input import RecallInput

Maker = Callable[..., RecallInput]


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _word(number: int) -> str:
    return "".join(chr(97 + number // 26**place % 26) for place in range(4))


@pytest.fixture(scope="session")
def make_batch() -> Maker:
    """Pairs with a common latent; noise 1.6 gives R@1 near 0.6 on pools of 32, noise 2.0 near 0.35."""

    def make(
        count: int,
        *,
        noise: float = 1.6,
        seed: int = 0,
        order: np.ndarray | None = None,
        dimension: int = 64,
        positions: np.ndarray | None = None,
        texts: list[str] | None = None,
        runs: int = 1,
    ) -> RecallInput:
        generator = np.random.default_rng(seed)
        latent = np.repeat(generator.normal(size=(-(-count // runs), dimension)), runs, axis=0)[:count]
        images = _unit(latent + noise * generator.normal(size=(count, dimension)))
        captions = _unit(latent + noise * generator.normal(size=(count, dimension)))
        chosen = np.arange(count) if order is None else order
        words = texts or [f"{_word(7 * row)} {_word(11 * row)} {_word(13 * row)}" for row in range(count)]
        return RecallInput(
            images=images,
            positions=np.arange(count) if positions is None else positions,
            captions=captions[chosen],
            caption_images=np.arange(count),
            caption_index=np.zeros(count, dtype=np.int64),
            texts=tuple(words[row] for row in chosen),
            image_ids=tuple(f"img_{row}" for row in range(count)),
            caption_ids=tuple(f"cap_{row}" for row in chosen),
        )

    return make
