"""Put lines into release order without holding a release: a bucket per samples file, each sorted by itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mm_assets.errors import ContractError
from mm_assets.fusion.line_blocks import split_lines

_POSITION_DIGITS: Final = 19


class LineSpool:
    """Takes lines with their positions in any order and writes them in order.

    Args:
        folder: empty scratch folder.
        lines_per_file: lines of a samples file; memory is one file.
    """

    def __init__(self, folder: Path, lines_per_file: int) -> None:
        self._folder = folder
        self._lines_per_file = lines_per_file

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Add lines, each with its position from 0 and without a line feed."""
        buckets = dict[int, list[bytes]]()
        for position, line in lines:
            bucket = buckets.setdefault(position // self._lines_per_file, [])
            bucket.append(b"%0*d%s\n" % (_POSITION_DIGITS, position, line))
        for number, bucket in buckets.items():
            with (self._folder / f"{number:012d}").open("ab") as file:
                file.writelines(bucket)

    def write(self, folder: Path) -> None:
        """Write ``part-NNNNN.jsonl`` files into the folder, in order, and remove the scratch files.

        Raises:
            ContractError: the positions are not 0 to N - 1, each once.
        """
        position = 0
        for number, bucket in enumerate(sorted(self._folder.iterdir())):
            lines = sorted(split_lines(bucket.read_bytes()))
            expected = range(position, position + len(lines))
            if [int(line[:_POSITION_DIGITS]) for line in lines] != list(expected):
                raise ContractError(f"positions around {position} have gaps or repeat; pass every row of a draw once")
            position = expected.stop
            with (folder / f"part-{number:05d}.jsonl").open("wb") as file:
                file.writelines(b"%s\n" % line[_POSITION_DIGITS:] for line in lines)
            bucket.unlink()
