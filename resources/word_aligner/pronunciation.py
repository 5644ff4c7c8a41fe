"""A rough pronunciation of English words that a dictionary lacks: good enough to find where they begin and end."""

from typing import Final

_SOUNDS: Final[dict[str, str]] = {
    "tion": "SH AH N", "tch": "CH", "sch": "SH", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "ck": "K",
    "qu": "K W", "ng": "NG", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "ai": "EY", "ay": "EY",
    "oa": "OW", "er": "ER", "ar": "AA R", "or": "AO R",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T",
    "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONGEST: Final = 4
_NUMBERS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip


def guess_pronunciation(word: str) -> str:
    """Phones of the ARPAbet, separated by spaces; empty for what has no Latin letters.

    >>> guess_pronunciation("voicemaill")
    'V AA IH K EH M EY L'
    >>> guess_pronunciation("4096")
    ''
    """
    phones: list[str] = []
    place = 0
    while place < len(word):
        for size in range(_LONGEST, 0, -1):
            sound = _SOUNDS.get(word[place : place + size])
            if sound is not None and place + size <= len(word):
                phones += [phone for phone in sound.split() if not phones or phone != phones[-1]]
                place += size
                break
        else:
            place += 1
    return " ".join(phones)


def spell_number(word: str) -> str:
    """A number up to twenty as a word, anything else as it is: larger ones are read in several ways.

    >>> spell_number("7"), spell_number("1999"), spell_number("word")
    ('seven', '1999', 'word')
    """
    return _NUMBERS[int(word)] if word.isascii() and word.isdigit() and int(word) < len(_NUMBERS) else word
