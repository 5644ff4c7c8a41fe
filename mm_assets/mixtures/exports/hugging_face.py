"""Hugging Face ``datasets``: parquet files by split, found by the front matter of ``README.md``."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from mm_assets.fusion.samples import AUDIO_CODES, AUDIO_FEATURES, VISUAL_CODES, VISUAL_FEATURES
from mm_assets.mixtures.exports.reading import ExportSample

FILE_SAMPLES: Final = 1_000
"""Samples in a file, and in memory while it is made: with 49 vectors of 384 channels about 80 MB."""
_ROW_GROUP: Final = 100
_FEATURES: Final = pl.List(pl.List(pl.Float32))
_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String,
        "kind": pl.String,
        "modalities": pl.List(pl.String),
        "content": pl.String,
        VISUAL_FEATURES: _FEATURES,
        VISUAL_CODES: pl.List(pl.Int32),
        AUDIO_FEATURES: _FEATURES,
        AUDIO_CODES: pl.List(pl.Int32),
        "boxes": pl.List(pl.Struct({"phrase": pl.List(pl.Int64), "xyxy": pl.List(pl.Float32)})),
        "times": pl.List(pl.Struct({"start_us": pl.Int64, "end_us": pl.Int64})),
        "negatives": pl.List(pl.Struct({"text": pl.String, "strategy": pl.String})),
        "pool": pl.String,
        "weight": pl.Float64,
        "batch": pl.String,
        "source": pl.String,
        "license": pl.String,
        "line": pl.String,
    }
)
_FROM_LINE: Final = tuple(
    name for name in _SCHEMA if name not in {VISUAL_FEATURES, VISUAL_CODES, AUDIO_FEATURES, AUDIO_CODES, "line"}
)


@dataclass
class _Split:
    name: str
    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    files: int = 0

    def flush(self) -> None:
        frame = pl.DataFrame(self.rows, schema=_SCHEMA)
        frame.write_parquet(
            self.folder / f"{self.name}-{self.files:05d}.parquet", compression="zstd", row_group_size=_ROW_GROUP
        )
        self.files += 1
        self.rows.clear()


def write_hugging_face(samples: Iterable[ExportSample], folder: Path) -> list[str]:
    """Write ``data/<split>-NNNNN.parquet``.

    Features become lists of float32, which hold every float16; without any a sample has no rows of them. ``line`` is
    the whole line as JSON.

    Args:
        samples: what to write, in order.
        folder: where to.

    Returns:
        Names of the splits that have samples.
    """
    data = folder / "data"
    data.mkdir()
    splits: dict[str, _Split] = {}
    for sample in samples:
        split = splits.setdefault(sample.line.split, _Split(sample.line.split, data))
        split.rows.append(_row(sample))
        if len(split.rows) == FILE_SAMPLES:
            split.flush()
    for split in splits.values():
        if split.rows:
            split.flush()
    return list(splits)


def front_matter(release: str, splits: Iterable[str]) -> str:
    """YAML that tells ``datasets`` which files are which split."""
    files = "".join(f"  - split: {split}\n    path: data/{split}-*.parquet\n" for split in splits)
    return f"---\npretty_name: {release}\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n"


def _row(sample: ExportSample) -> dict[str, Any]:
    fields = msgspec.to_builtins(sample.line)
    row: dict[str, Any] = {name: fields[name] for name in _FROM_LINE}
    for name in (VISUAL_FEATURES, VISUAL_CODES, AUDIO_FEATURES, AUDIO_CODES):
        row[name] = sample.arrays[name].tolist() if name in sample.arrays else []
    return row | {"line": sample.raw.decode()}
