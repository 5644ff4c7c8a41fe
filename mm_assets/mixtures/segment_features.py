"""Copy the features of a release's segments and documents: key frames or figures in a row, and sound, each once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import AUDIO_CODES, AUDIO_FEATURES, VISUAL_CODES, VISUAL_FEATURES
from mm_assets.mixtures.ragged_writer import RaggedWriter

_READ_SEGMENTS: Final = 64
_COLUMNS: Final = ("sample_id", "frame_features", "codes", "audio_features", "audio_codes")


class FeatureReader(Protocol):
    """Reads spatial features by the references that ``fusion_samples`` holds."""

    def read(self, references: Sequence[str]) -> NDArray[np.float16]:
        """float16, shape (N, T, C), in the order of the N references."""
        ...


class SoundReader(Protocol):
    """Reads token features by the references that ``fusion_samples.audio_features`` holds."""

    def read(self, references: Sequence[str]) -> list[NDArray[np.float16]]:
        """float16, shape (T, C) each, in the order of the references."""
        ...


class SegmentFeatures:
    """Features of segments on their way into a release.

    Args:
        folder: release folder in the making.
        features: reads those of key frames.
        sounds: reads those of sound; None where no segment has any.
        rows_per_file: samples in a shard.
    """

    def __init__(self, folder: Path, features: FeatureReader, sounds: SoundReader | None, rows_per_file: int) -> None:
        self._features = features
        self._sounds = sounds
        self.video = RaggedWriter(folder, "video", (VISUAL_FEATURES, VISUAL_CODES), rows_per_file)
        self.audio = RaggedWriter(folder, "audio", (AUDIO_FEATURES, AUDIO_CODES), rows_per_file)

    def place(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Copy the features of a batch's segments and documents.

        Returns:
            sample_id, video_path and audio_features_path of each; a path is null without that medium.

        Raises:
            ReleaseError: features and codes do not fit, a feature is not finite, or nothing reads the sound.
        """
        placed: list[tuple[str, str | None, str | None]] = []
        segments = frame.filter(pl.col("kind").is_in(["segment", "document"])).sort("audio_features", "sample_id")
        for block in segments.select(_COLUMNS).iter_slices(_READ_SEGMENTS):
            frames, sounds = self._read_frames(block), self._read_sounds(block)
            for row in block.iter_rows(named=True):
                name = f"sample {row['sample_id']}"
                video = audio = None
                if row["frame_features"] is not None:
                    video = self.video.append(frames[row["sample_id"]], row["codes"], name)
                if row["audio_features"] is not None:
                    audio = self.audio.append(sounds[row["sample_id"]], row["audio_codes"], name)
                placed.append((row["sample_id"], video, audio))
        schema = {"sample_id": pl.String, "video_path": pl.String, "audio_features_path": pl.String}
        return pl.DataFrame(placed, schema=schema, orient="row")

    def flush(self) -> None:
        """Write what is held."""
        self.video.flush()
        self.audio.flush()

    def _read_frames(self, block: pl.DataFrame) -> dict[str, NDArray[np.float16]]:
        flat = block.select("sample_id", "frame_features").drop_nulls().explode("frame_features")
        if flat.is_empty():
            return {}
        rows = self._features.read(flat["frame_features"].to_list())
        taken: dict[str, NDArray[np.float16]] = {}
        start = 0
        for sample, count in flat.group_by("sample_id", maintain_order=True).len().iter_rows():
            taken[sample] = rows[start : start + count].reshape(-1, rows.shape[-1])
            start += count
        return taken

    def _read_sounds(self, block: pl.DataFrame) -> dict[str, NDArray[np.float16]]:
        own = block.select("sample_id", "audio_features").drop_nulls()
        if own.is_empty():
            return {}
        if self._sounds is None:
            raise ReleaseError(
                f"segment {own['sample_id'][0]} has sound, but nothing reads its features; pass a reader"
            )
        return dict(zip(own["sample_id"], self._sounds.read(own["audio_features"].to_list()), strict=True))
