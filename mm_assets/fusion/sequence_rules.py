# pyright: strict
"""The rules of ``sequences/``: windows hold whole samples of the release, each as often as it has to, and no more."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from mm_assets.fusion.findings import LintCode, LintError
from mm_assets.fusion.line_blocks import read_blocks, split_lines
from mm_assets.fusion.release_format import SAMPLES_FOLDER
from mm_assets.fusion.sequences import (
    SEQUENCES_FOLDER,
    TOO_LONG_NAME,
    PlacedSample,
    SequenceFormat,
    SequenceLine,
    split_for_tokens,
)

Faults = dict[LintCode, str]

_BLOCK_BYTES: Final = 262_144
_MAX_LINE_BYTES: Final = 67_108_864
_REPACK: Final = "pack the release again"


@dataclass(frozen=True)
class SampleIndex:
    """Samples of a release in its order.

    Attributes:
        keys: hash of each id.
        least: tokens that the placeholders and box tags of each take: no window can hold it in fewer.
        split_of: place of its split among the splits.
        splits: their names.
    """

    keys: "array[int]"
    least: "array[int]"
    split_of: bytearray
    splits: list[str]

    @classmethod
    def read(cls, folder: Path) -> "SampleIndex":
        """Read the samples of a release whose lines are clean, 13 bytes of memory each.

        Raises:
            OSError: a file cannot be read.
        """
        keys, least, split_of, splits = array("q"), array("i"), bytearray(), list[str]()
        decode = msgspec.json.Decoder(PlacedSample).decode
        for path in sorted((folder / SAMPLES_FOLDER).glob("*.jsonl")):
            for raw in _lines(path):
                sample = decode(raw or b"")
                keys.append(hash(sample.id))
                least.append(split_for_tokens(sample.content).placeholder_tokens)
                if sample.split not in splits:
                    splits.append(sample.split)
                split_of.append(splits.index(sample.split))
        return cls(keys, least, split_of, splits)


def lint_sequences(folder: Path, declared: SequenceFormat | None, samples: SampleIndex | None) -> list[LintError]:
    """Check every line of ``sequences/``.

    Args:
        folder: release folder.
        declared: what its manifest says of them; None says that there are none.
        samples: its samples; None where a fault among them makes a comparison pointless.

    Returns:
        Faults in order of file and line: ``INVALID_SEQUENCE`` for a line that cannot be, ``SEQUENCE_MISMATCH`` for one
        that does not go with the samples or what the manifest declares.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted((folder / SEQUENCES_FOLDER).glob("*.jsonl"))
    if declared is None:
        message = f"the manifest declares no sequences; delete the folder or {_REPACK}"
        return [LintError(str(file), 1, None, LintCode.SEQUENCE_MISMATCH, message) for file in files[:1]]
    rules = _Rules(declared, samples)
    found = [
        LintError(str(file), number, identifier, code, message)
        for file in files
        for number, identifier, faults in rules.check_file(file)
        for code, message in faults.items()
    ]
    if not found:
        place = str(files[0] if files else folder / SEQUENCES_FOLDER)
        found += [
            LintError(place, 1, None, LintCode.SEQUENCE_MISMATCH, f"{message}; {_REPACK}")
            for message in rules.check_whole()
        ]
    return found


class _Rules:
    def __init__(self, declared: SequenceFormat, samples: SampleIndex | None) -> None:
        self._declared = declared
        self._samples = samples
        self._seen = set[int]()
        self._placed = bytearray(0 if samples is None else len(samples.keys))
        self._counted = dict.fromkeys(("windows", "samples", "tokens", "too_long"), 0)
        self._decode = msgspec.json.Decoder(SequenceLine).decode

    def check_file(self, file: Path) -> Iterator[tuple[int, str | None, Faults]]:
        """Number, id and faults of each line that has any."""
        apart = file.name == TOO_LONG_NAME
        for number, raw in enumerate(_lines(file), start=1):
            try:
                line = self._decode(raw or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield number, None, {LintCode.INVALID_SEQUENCE: f"line is no sequence ({error}); {_REPACK}"}
                continue
            message = self._find_impossible(line, too_long=apart)
            if message is not None:
                yield number, line.id, {LintCode.INVALID_SEQUENCE: f"{message}; {_REPACK}"}
                continue
            self._count(line, too_long=apart)
            message = None if self._samples is None else self._find_strange(line, self._samples)
            if message is not None:
                yield number, line.id, {LintCode.SEQUENCE_MISMATCH: f"{message}; {_REPACK}"}

    def check_whole(self) -> Iterator[str]:
        """What the lines together do not add up to."""
        promised: Mapping[str, object] = msgspec.structs.asdict(self._declared)
        for name, count in self._counted.items():
            if count != promised[name]:
                yield f"the manifest declares {promised[name]} {name} of sequences, but the files hold {count}"
        missing = self._placed.find(0)
        if missing >= 0:
            yield f"sample {missing} of the release stands in no window"

    def _find_impossible(self, line: SequenceLine, *, too_long: bool) -> str | None:
        key = hash(line.id)
        if not line.id or key in self._seen:
            return f"id {line.id!r} is empty or stands on an earlier line"
        self._seen.add(key)
        count, size = len(line.samples), self._declared.window_tokens
        if not count or len(line.positions) != count or len(line.boundaries) != count + 1:
            return (
                f"{count} samples, {len(line.positions)} positions and {len(line.boundaries)} boundaries do not go "
                "together: one position each, and a boundary more"
            )
        if line.boundaries[0] or line.boundaries[-1] != line.tokens:
            return f"boundaries {line.boundaries[0]} to {line.boundaries[-1]} are not 0 to {line.tokens}"
        if any(end <= start for start, end in pairwise(line.boundaries)):
            return "boundaries do not rise"
        if (line.tokens > size and count == 1) if too_long else line.tokens <= size:
            return None
        wanted = f"one that is longer than {size}" if too_long else f"those of a window of {size}"
        return f"{count} samples of {line.tokens} tokens are not {wanted}"

    def _find_strange(self, line: SequenceLine, samples: SampleIndex) -> str | None:
        if len(set(line.positions)) < len(line.positions):
            return "a sample stands twice in one window"
        for place, (identifier, position) in enumerate(zip(line.samples, line.positions, strict=True)):
            if not 0 <= position < len(samples.keys) or samples.keys[position] != hash(identifier):
                return f"{identifier} is not sample {position} of the release"
            split = samples.splits[samples.split_of[position]]
            if split != line.split:
                return f"{identifier} is of split {split}, the window of split {line.split}"
            tokens = line.boundaries[place + 1] - line.boundaries[place]
            if tokens < samples.least[position] + self._declared.separator_tokens:
                return f"{identifier} has {samples.least[position]} placeholders, but {tokens} tokens of the window"
            self._placed[position] = 1
        return None

    def _count(self, line: SequenceLine, *, too_long: bool) -> None:
        if too_long:
            self._counted["too_long"] += 1
        else:
            self._counted["windows"] += 1
            self._counted["samples"] += len(line.samples)
            self._counted["tokens"] += line.tokens


def _lines(path: Path) -> Iterator[bytes | None]:
    """Lines of a file in bounded memory; None for one that is too long to be looked at."""
    for block in read_blocks(path, _BLOCK_BYTES, _MAX_LINE_BYTES):
        if block.data is None:
            yield None
        else:
            yield from split_lines(block.data)
