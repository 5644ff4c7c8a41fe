"""Which lines of a block are proven clean by the compiled pass, with references, counts and codes column-wise."""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.fusion import line_facts as f
from mm_assets.fusion.detail_rules import find_detail_fault, find_kind_fault
from mm_assets.fusion.line_kernel import scan_lines
from mm_assets.fusion.negative_texts import find_negative_fault
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.samples import FusionLine
from mm_assets.fusion.shard_index import ShardIndex, UnresolvedReferenceError

_LINES_AT_ONCE: Final = 1_024
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class JudgedLines:
    """Consecutive lines after the bulk pass.

    Attributes:
        keys: int64, shape (L,): fingerprint of each id; valid where the line is not doubtful.
        doubtful: places (0 to L - 1) and bytes of the lines that were not proven clean.
    """

    keys: Integers
    doubtful: list[tuple[int, bytes]]


class BulkProof:
    """Judges blocks of lines of one release.

    Args:
        vocabulary: the release's vocabulary.
        placeholder_version: version the lines must declare.
        visual: shards behind ``visual_features_path``.
        audio: shards behind ``audio_features_path``.
    """

    def __init__(self, vocabulary: Vocabulary, placeholder_version: str, visual: ShardIndex, audio: ShardIndex) -> None:
        self._sizes = np.array(vocabulary.sizes(), dtype=np.int64)
        self._version = np.uint64(f.fingerprint(placeholder_version.encode()))
        self._visual = visual
        self._audio = audio
        self._decoder = msgspec.json.Decoder(FusionLine)
        self._facts = np.zeros((_LINES_AT_ONCE, f.COLUMNS), dtype=np.int64)
        self._images = self._audios = np.empty(0, dtype=np.int32)

    def judge(self, data: bytes) -> list[JudgedLines]:
        """Judge all lines of a block, in order."""
        size = len(data)
        if not data.endswith(b"\n"):
            data += bytes(f.PADDING_BYTES)
        buffer = np.frombuffer(data, dtype=np.uint8)
        room = size // f.MIN_CODE_BYTES + 1
        if len(self._images) < room:
            self._images, self._audios = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
        judged: list[JudgedLines] = []
        start = 0
        while start < size:
            self._facts[:] = 0
            count, start = scan_lines(
                buffer, start, size, self._facts, self._images, self._audios, self._sizes, self._version
            )
            judged.append(self._settle(data, self._facts[:count]))
        return judged

    def _settle(self, data: bytes, facts: Integers) -> JudgedLines:
        doubtful = facts[:, f.STATUS] == f.DOUBTFUL
        for place in np.flatnonzero(facts[:, f.STATUS] == f.NESTED):
            doubtful[place] = not self._is_clean_without_boxes(_line(data, facts[place]))
        for column, codes, shards in ((f.VISUAL, self._images, self._visual), (f.AUDIO, self._audios, self._audio)):
            referring = np.flatnonzero(~doubtful & (facts[:, column + f.PATH_END] > 0))
            if referring.size:
                references = facts[referring, column : column + f.REFERENCE_COLUMNS]
                doubtful[referring] = ~_hold(data, references, codes, shards)
        places = np.flatnonzero(doubtful)
        return JudgedLines(facts[:, f.ID_KEY].copy(), [(int(place), _line(data, facts[place])) for place in places])

    def _is_clean_without_boxes(self, raw: bytes) -> bool:
        try:
            line = self._decoder.decode(raw)
            faults = (find_negative_fault(line.content, line.negatives), find_kind_fault(line))
            return not line.boxes and faults == (None, None) and find_detail_fault(raw, line) is None
        except (msgspec.DecodeError, RecursionError):
            return False


def _line(data: bytes, facts: Integers) -> bytes:
    return data[facts[f.START] : facts[f.END]]


def _hold(data: bytes, references: Integers, codes: NDArray[np.int32], shards: ShardIndex) -> NDArray[np.bool_]:
    """Which references lead to as many feature rows, and to the same codes, as were read from the content."""
    held = np.zeros(len(references), dtype=np.bool_)
    _, first, shard_of = np.unique(references[:, f.PATH], return_index=True, return_inverse=True)
    order = np.argsort(shard_of, kind="stable")
    bounds = np.searchsorted(shard_of[order], np.arange(len(first) + 1))
    for number, representative in enumerate(first):
        start, end = references[representative, f.PATH_START : f.PATH_END + 1]
        places = order[bounds[number] : bounds[number + 1]]
        try:
            shard = shards.shard(data[start:end].decode("ascii"))
        except UnresolvedReferenceError:
            continue
        rows = references[places, f.ROW]
        places = places[(rows < shard.rows) & (references[places, f.COUNT] == shard.vectors)]
        if shard.codes is not None:
            written = codes[references[places, f.OFFSET][:, None] + np.arange(shard.vectors)]
            places = places[(written == shard.codes[references[places, f.ROW]]).all(axis=1)]
        held[places] = True
    return held
