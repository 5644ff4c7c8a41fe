"""What `energon` runs to read a sample of an exported release; copied into ``.nv-meta`` beside the data.

It stands alone: neither this project nor energon is imported, and the copy is all that a training machine needs.
"""

import re
from typing import Any

import torch

_SPAN = re.compile(r"<\|(image|audio|video)_start\|>((?:<(?:IMG|AUD)_TK_\d+>)*)<\|\1_end\|>")


def part_filter(part: str) -> bool:
    """Parts of a sample to read: all but its plain content, which its line repeats."""
    return part != "txt"


def sample_loader(raw: dict[str, Any]) -> dict[str, Any]:
    """The pieces of a sample in their order: text as it stands, media as feature rows, one per placeholder.

    Args:
        raw: decoded parts: ``json``, the line; and of what the sample has ``visual_features.npy`` and
            ``audio_features.npy``, shape (T, C).

    Returns:
        ``sequence`` of str and tensors, float16, shape (T, C).

    Raises:
        ValueError: placeholders and feature rows differ in number.
    """
    content: str = raw["json"]["content"]
    taken = {"visual_features.npy": 0, "audio_features.npy": 0}
    sequence: list[str | torch.Tensor] = []
    end = 0
    for span in _SPAN.finditer(content):
        if text := content[end : span.start()]:
            sequence.append(text)
        name = "audio_features.npy" if span[1] == "audio" else "visual_features.npy"
        count = span[2].count("<")
        rows = raw[name][taken[name] : taken[name] + count]
        if len(rows) != count:
            raise ValueError(f"{raw['json']['id']}: {count} placeholders at {span.start()}, {len(rows)} rows are left")
        taken[name] += count
        sequence.append(torch.from_numpy(rows))
        end = span.end()
    for name, count in taken.items():
        if len(raw.get(name, ())) != count:
            raise ValueError(f"{raw['json']['id']}: {count} placeholders and {len(raw[name])} rows of {name}")
    if text := content[end:]:
        sequence.append(text)
    return {"sequence": sequence}
