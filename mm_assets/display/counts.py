# pyright: strict
"""Numbers in sentences."""


def tell_count(count: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun, singular or plural, thousands set off.

    Args:
        count: of the things.
        noun: of one of them.
        plural: of several; None: with an "s" at the end.

    >>> tell_count(1, "clip"), tell_count(0, "clip"), tell_count(1_200, "box", "boxes")
    ('1 clip', '0 clips', '1,200 boxes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
