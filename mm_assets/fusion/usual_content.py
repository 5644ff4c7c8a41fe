"""Reads the usual content without parsing it: one image in front of plain text, or plain text."""

from typing import Final

from mm_assets.fusion.placeholders import IMAGE_END, IMAGE_START, Vocabulary, proves_plain

_HEAD: Final = f"{IMAGE_START}<IMG_TK_"
_BETWEEN: Final = "><IMG_TK_"
_TAIL: Final = f">{IMAGE_END}"


class UsualContent:
    """Looks every code up in a table of canonical spellings, which proves spelling and vocabulary at once.

    Args:
        vocabulary: the release's vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._code_of = {str(code): code for code in range(vocabulary.image_codes)}

    def image_codes(self, content: str) -> list[int] | None:
        """The codes of one well-formed image in front of plain text (none for plain text); None if in doubt."""
        if not content.startswith(_HEAD):
            return [] if proves_plain(content) else None
        end = content.find(_TAIL)
        if end < 0 or not proves_plain(content[end + len(_TAIL) :]):
            return None
        code_of = self._code_of
        try:
            return [code_of[code] for code in content[len(_HEAD) : end].split(_BETWEEN)]
        except KeyError:
            return None
