"""Import whisperx without its log on standard output, where our commands print JSON."""

import logging
from typing import Any


def import_whisperx() -> Any:  # noqa: ANN401 - the module; its own imports take half a minute
    """The module; its records go where all others do."""
    logger = logging.getLogger("whisperx")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # it adds one on standard output only where it finds none
    import whisperx  # noqa: PLC0415 - heavy

    return whisperx
