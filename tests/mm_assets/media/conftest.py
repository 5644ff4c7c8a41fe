import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mm_assets.media.decoder import MediaDecoder
from mm_assets.media.messages import AudioBlock, End, FrameBlock, MediaInfo, Wanted
from mm_assets.policy import MediaPolicy


@dataclass
class Decoded:
    """Everything one file decoded to."""

    info: MediaInfo | None = None
    end: End | None = None
    blocks: list[AudioBlock] = field(default_factory=list)
    pts_us: list[int] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([np.frombuffer(block.samples, "<f4") for block in self.blocks])

    def onsets_us(self, level: float = 0.3) -> list[int]:
        """Where bursts start on the clock."""
        found: list[int] = []
        for block in self.blocks:
            for at in np.flatnonzero(np.abs(np.frombuffer(block.samples, "<f4")) > level):
                time_us = block.start_us + round(int(at) * 62.5)
                if not found or time_us - self._last > 50_000:
                    found.append(time_us)
                self._last = time_us
        return found


@pytest.fixture(scope="session")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder(MediaPolicy(memory_bytes=3 << 30)) as running:
        yield running


@pytest.fixture(scope="session")
def decode(decoder: MediaDecoder) -> Callable[..., Decoded]:
    """Decode a file, or bytes, to its end."""

    def run(source: Path | bytes, used: MediaDecoder | None = None, **wanted: Any) -> Decoded:
        decoded = Decoded()
        stream = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with stream:
            for message in (used or decoder).decode(stream, "a record", Wanted(**wanted)):
                if isinstance(message, MediaInfo):
                    decoded.info = message
                elif isinstance(message, AudioBlock):
                    decoded.blocks.append(message)
                elif isinstance(message, FrameBlock):
                    decoded.pts_us += message.pts_us
                    shape = (len(message.pts_us), message.height, message.width, 3)
                    decoded.frames += list(np.frombuffer(message.pixels, np.uint8).reshape(shape))
                else:
                    decoded.end = message
        return decoded

    return run
