"""LLaVA: one JSON list of conversations beside a folder of pictures.

Source: https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec

from mm_assets.fusion.box_markup import strip_tags
from mm_assets.fusion.placeholders import parse_content
from mm_assets.mixtures.exports.reading import ExportSample

PROMPTS: Final = {
    "image_text": "<image>\nDescribe the image.",
    "object": "<image>\nDescribe the image.",
    "text": "Write a text.",
}
"""What the human says in front of a text that answers nobody; LLaVA's templates need a turn there."""
_LEFT_OUT: Final = {
    "segment": "segment: the format has no place for sound or codes",
    "document": "document: its figures have no picture file of their own",
}
_NO_TURNS: Final = "dialogue: its text does not alternate between two named speakers"
_CHUNK: Final = 256
_TURN: Final = re.compile(r"^([^\s:][^:\n]{0,40}):[ \t]*", re.MULTILINE)


class Pictures(Protocol):
    """Finds the pictures of samples."""

    def read(self, sample_ids: Sequence[str]) -> Iterable[tuple[str, str, bytes]]:
        """The sample's id, a file name for its picture, equal for equal pictures, and its encoded bytes.

        Raises:
            ExportError: a picture is gone from its delivery.
        """
        ...


def write_llava(
    samples: Iterable[ExportSample], folder: Path, pictures: Pictures
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Write ``<split>.json`` and ``images/``; a chunk of samples and its pictures is held at a time.

    Args:
        samples: what to write, in order; copies of a sample are copies of its entry.
        folder: where to.
        pictures: where the pictures are.

    Returns:
        Entries written, by split, and samples left out, by reason.
    """
    written, left_out = Counter[str](), Counter[str]()
    (folder / "images").mkdir()
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for chunk in _chunks(samples):
            read = [(sample, *_entry(sample)) for sample in chunk]
            left_out.update(reason for _, entry, reason in read if entry is None)
            named = _save_pictures({s.line.id for s, entry, _ in read if entry and "image" in entry}, folder, pictures)
            for sample, entry, _ in read:
                if entry is None:
                    continue
                if "image" in entry:
                    entry["image"] = named[sample.line.id]
                split = sample.line.split
                if split not in files:
                    files[split] = stack.enter_context((folder / f"{split}.json").open("wb"))
                files[split].write((b",\n" if written[split] else b"[\n") + msgspec.json.encode(entry))
                written[split] += 1
        for file in files.values():
            file.write(b"\n]\n")
    return dict(sorted(written.items())), dict(sorted(left_out.items()))


def _chunks(samples: Iterable[ExportSample]) -> Iterator[list[ExportSample]]:
    source = iter(samples)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk


def _save_pictures(sample_ids: Iterable[str], folder: Path, pictures: Pictures) -> dict[str, str]:
    """Write the pictures of these samples; gives the file name of each sample's."""
    named: dict[str, str] = {}
    for sample_id, name, data in pictures.read(sorted(sample_ids)):
        named[sample_id] = name
        path = folder / "images" / name
        if not path.exists():
            path.write_bytes(data)
    return named


def _entry(sample: ExportSample) -> tuple[dict[str, Any] | None, str]:
    """The entry, or None and why there is none."""
    line = sample.line
    if line.kind in _LEFT_OUT:
        return None, _LEFT_OUT[line.kind]
    if line.kind == "dialogue":
        turns = split_turns(line.content)
        return (None, _NO_TURNS) if turns is None else ({"id": sample.key, "conversations": turns}, "")
    if line.kind == "text":
        said = line.content
    else:
        plain = strip_tags(line.content)
        said = parse_content(line.content if plain is None else plain).text
    turns = [{"from": "human", "value": PROMPTS[line.kind]}, {"from": "gpt", "value": said}]
    entry: dict[str, Any] = {"id": sample.key, "conversations": turns}
    return (entry if line.kind == "text" else entry | {"image": ""}), ""


def split_turns(content: str) -> list[dict[str, str]] | None:
    r"""Turns of a dialogue written as ``NAME: text``; None unless two names alternate.

    A last turn of the first speaker has no answer and is left away.

    >>> split_turns("A: Hello.\nB: Hi: you?\nA: Bye.")
    [{'from': 'human', 'value': 'Hello.'}, {'from': 'gpt', 'value': 'Hi: you?'}]
    """
    marks = list(_TURN.finditer(content))
    names = list(dict.fromkeys(mark[1] for mark in marks))
    if len(names) < 2 or (marks and marks[0].start()):  # noqa: PLR2004 - one speaks, one answers
        return None
    first, second = names[:2]
    marks = [mark for mark in marks if mark[1] in {first, second}]
    ends = [mark.start() for mark in marks[1:]] + [len(content)]
    turns: list[dict[str, str]] = []
    for place, (mark, end) in enumerate(zip(marks, ends, strict=True)):
        if mark[1] != (first, second)[place % 2]:
            return None
        turns.append({"from": ("human", "gpt")[place % 2], "value": content[mark.end() : end].strip()})
    turns = turns[: len(turns) - len(turns) % 2]
    return turns if turns and all(turn["value"] for turn in turns) else None
