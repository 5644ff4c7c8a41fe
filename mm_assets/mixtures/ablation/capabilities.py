# pyright: strict
"""What a mixture is judged by: the kinds of text, what is said of pictures and clips, documents, and retrieval."""

from typing import Final

TEXT_CAPABILITIES: Final = ("math", "code", "logic", "prose", "dialogue")
GROUNDED_CAPABILITIES: Final = ("caption", "region", "segment", "document")
RETRIEVAL: Final = "retrieval"
CAPABILITIES: Final = (*TEXT_CAPABILITIES, *GROUNDED_CAPABILITIES, RETRIEVAL)
MEANINGS: Final = {
    "math": "mathematical text",
    "code": "program text",
    "logic": "formal logic",
    "prose": "prose",
    "dialogue": "turns of a dialogue",
    "caption": "a caption, given the codes of its picture",
    "region": "phrases in their boxes, given the codes of the picture",
    "segment": "what is said or heard in a clip, given its codes",
    "document": "text of a document, given what stands before it",
    "retrieval": "picture and caption find each other, by a light adapter on frozen codes and embeddings",
}
_OF_KIND: Final = {"image_text": "caption", "object": "region", "segment": "segment", "document": "document"}


def capability_of(kind: str, text_kind: str | None) -> str:
    """The capability whose loss a sample measures.

    Args:
        kind: kind of a fusion sample.
        text_kind: kind of the text, of a text sample.

    >>> capability_of("image_text", None), capability_of("text", "math"), capability_of("text", None)
    ('caption', 'math', 'prose')
    """
    if kind in _OF_KIND:
        return _OF_KIND[kind]
    if kind == "dialogue":
        return "dialogue"
    return text_kind if text_kind in TEXT_CAPABILITIES else "prose"
