# pyright: strict
"""How many tokens a picture takes: AnyRes tiles chosen by its aspect, and a thumbnail.

Source: LLaVA-NeXT (Liu, Li, Li and Lee 2024), as its processor in transformers counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mm_assets.documents.blocks import Block
from mm_assets.errors import ContractError
from mm_assets.policy.windows import TilePolicy


@dataclass(frozen=True, slots=True)
class TilePlan:
    """How one picture is shown to an encoder.

    Attributes:
        rows: tiles from top to bottom.
        columns: tiles from left to right.
        thumbnail_tokens: patches of the whole picture scaled into one tile.
        tile_tokens: patches of the tiles without their padding.
        line_tokens: one for the end of every line of patches.
    """

    rows: int
    columns: int
    thumbnail_tokens: int
    tile_tokens: int
    line_tokens: int

    @property
    def tokens(self) -> int:
        """All tokens of the picture."""
        return self.thumbnail_tokens + self.tile_tokens + self.line_tokens


def plan_tiles(width: int, height: int, policy: TilePolicy) -> TilePlan:
    """Choose the grid that keeps most pixels of a picture and wastes fewest, and count its tokens.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        policy: tiles and grids.

    Raises:
        ContractError: a side is not positive.

    >>> plan_tiles(1000, 1000, TilePolicy()).tokens
    2928
    """
    if min(width, height) <= 0:
        raise ContractError(f"a picture of {width} x {height} pixels has no tiles; clean pictures before windows")
    rows, columns = max(policy.grids, key=lambda grid: _worth(width, height, grid, policy.tile_px))
    patches = policy.tile_px // policy.patch_px
    high, wide = rows * patches, columns * patches
    if width / height > wide / high:
        high -= (high - int(round(height * (wide / width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * (high / height), 7))) // 2 * 2
    return TilePlan(rows, columns, patches * patches, high * wide, high)


def figure_tokens(sizes: Mapping[int, tuple[int, int]], policy: TilePolicy) -> Callable[[Block], int | None]:
    """Tokens of the figures of a document.

    Args:
        sizes: width and height in pixels by the position of the figure, of those whose picture could be read.
        policy: tiles and grids.

    Returns:
        What counts a figure, None for one without a size.
    """

    def count(figure: Block) -> int | None:
        size = sizes.get(figure.position)
        return None if size is None else plan_tiles(*size, policy).tokens

    return count


def _worth(width: int, height: int, grid: tuple[int, int], tile_px: int) -> tuple[int, int]:
    """Pixels of the picture that the grid keeps, and fewest wasted ones, as a key that grows."""
    high, wide = grid[0] * tile_px, grid[1] * tile_px
    scale = min(wide / width, high / height)
    kept = min(int(width * scale) * int(height * scale), width * height)
    return kept, kept - high * wide
