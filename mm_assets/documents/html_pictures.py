"""Pictures an HTML page names: files beside it, and those that stand in the page itself."""

import base64
import binascii
import posixpath
import re
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from mm_assets.errors import InputError, RecordError
from mm_assets.policy import DocumentReadingPolicy
from mm_assets.raw_pools.names import check_name

_DATA: Final = re.compile(r"data:(image/[a-z0-9.+-]+)?((?:;[^;,]*)*),", re.IGNORECASE)
_INSIDE: Final = "#picture/"
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


def locate_picture(source: str, page: str, index: int, policy: DocumentReadingPolicy) -> str:
    """Name of the picture relative to ``documents/``; one inside the page is ``PAGE#picture/INDEX``.

    Args:
        source: as the ``src`` attribute states it.
        page: name of the page relative to ``documents/``.
        index: of the picture among those of the page, from 0.
        policy: bounds on pictures inside the page.

    Raises:
        UnsafePathError: the name leads out of ``documents/``.
        RecordError: code ``REMOTE_PICTURE``, ``PICTURE_TOO_LARGE`` or ``MISSING_FIELD``.

    >>> locate_picture("../images/a%20b.png?v=2", "manual/en/p.html", 0, DocumentReadingPolicy())
    'manual/images/a b.png'
    """
    source = source.strip()
    if not source:
        raise RecordError("MISSING_FIELD", f"{page}: a picture without a source; name its file")
    if source[:5].lower() == "data:":
        if len(source) > policy.max_data_uri_bytes:
            raise RecordError(
                "PICTURE_TOO_LARGE",
                f"{page}: a picture inside the page has {len(source)} characters, more than "
                f"{policy.max_data_uri_bytes}; deliver it as a file",
            )
        return f"{page}{_INSIDE}{index}"
    if source.startswith("//") or _SCHEME.match(source):
        raise RecordError(
            "REMOTE_PICTURE", f"{page}: the picture {source[:120]!r} lies elsewhere; deliver it beside the page"
        )
    path = unquote(urlsplit(source.replace("\\", "/")).path)
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    return check_name(name, page)


def inside_picture(file: str) -> int | None:
    """Which picture of its page a name means, or None for a file beside the page.

    >>> inside_picture("manual/p.html#picture/4"), inside_picture("manual/p.png")
    (4, None)
    """
    _, mark, index = file.rpartition(_INSIDE)
    return int(index) if mark and index.isascii() and index.isdigit() else None


def decode_data_uri(source: str, page: str, policy: DocumentReadingPolicy) -> bytes:
    """The bytes of a picture that stands in the page.

    Raises:
        RecordError: code ``PICTURE_TOO_LARGE`` or ``BROKEN_PICTURE``.
    """
    if len(source) > policy.max_data_uri_bytes:
        raise RecordError("PICTURE_TOO_LARGE", f"{page}: a picture inside the page is too large; deliver it as a file")
    found = _DATA.match(source.strip())
    if not found:
        raise _broken(page)
    body = source.strip()[found.end() :]
    if "base64" not in found[2].lower():
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(re.sub(r"\s+", "", unquote(body)), validate=True)
    except binascii.Error:
        raise _broken(page) from None


def _broken(page: str) -> InputError:
    return RecordError("BROKEN_PICTURE", f"{page}: a picture inside the page is no base64; deliver it as a file")


def pixels(stated: str | None) -> int:
    """A declared width or height in CSS pixels; 0 for any other unit and for none."""
    found = re.match(r"\s*(\d{1,6})(?:\.\d+)?\s*(?:px)?\s*$", stated or "")
    return int(found[1]) if found else 0
