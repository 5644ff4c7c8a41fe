"""HTML as text: its encoding, self-closing tags of XHTML, and bounds that hold before it is parsed."""

import codecs
import re
from typing import Final

from mm_assets.errors import DecodeError
from mm_assets.policy import DocumentReadingPolicy

_words: Final = str.split
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SNIFFED_BYTES: Final = 4_096
_DECLARED: Final = re.compile(rb"""<meta[^>]{0,400}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{1,40})""", re.IGNORECASE)
_XML: Final = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([a-zA-Z0-9_:.-]{1,40})["']""")
_LEGACY: Final = "windows-1252"  # what browsers take where nothing is declared
_AS_WINDOWS: Final = frozenset({"iso8859-1", "ascii"})  # as the encoding standard reads these names
_MAX_REPLACED: Final = 0.01  # share of characters that may not fit the declared encoding
_VOID: Final = frozenset(_words("area base br col embed hr img input link meta param source track wbr"))
_SELF_CLOSED: Final = re.compile(r"<([a-zA-Z][a-zA-Z0-9:]{0,40})((?:\s[^<>]{0,2000})?)/>")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]{0,60})([^<>]*)>")
_IMPLIED: Final = _VOID | frozenset(_words("p li dt dd tr td th thead tbody tfoot option optgroup a body html head"))
_MAX_ATTRIBUTES: Final = 1_000  # the parser compares each with those before it


def decode_html(content: bytes, where: str) -> str:
    r"""The document as text, by its byte order mark or the encoding it declares, else UTF-8, else Windows-1252.

    Raises:
        DecodeError: code ``INVALID_ENCODING``.

    >>> decode_html(b'<meta charset="iso-8859-1"><p>caf\xe9', "a.html")[-4:]
    'café'
    """
    for mark, name in _BOMS:
        if content.startswith(mark):
            return _decode(content[len(mark) :], name, where)
    start = content[:_SNIFFED_BYTES]
    found = _DECLARED.search(start) or _XML.match(start)
    if found is not None:
        try:
            name = codecs.lookup(found[1].decode("ascii")).name
        except LookupError:
            name = "utf-8"
        if name.startswith("utf-16"):
            name = "utf-8"  # a declaration that can be read as ASCII is none of UTF-16
        return _decode(content, _LEGACY if name in _AS_WINDOWS else name, where)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _decode(content, _LEGACY, where)


def _decode(content: bytes, name: str, where: str) -> str:
    try:
        text = content.decode(name, "replace")
    except (LookupError, ValueError) as error:  # codecs that do not turn bytes into text
        raise DecodeError("INVALID_ENCODING", f"{where}: {name} is no encoding of text; save it as UTF-8") from error
    if text.count("\ufffd") > _MAX_REPLACED * max(len(text), 1):
        raise DecodeError("INVALID_ENCODING", f"{where}: it is not the {name} it claims to be; save it as UTF-8")
    return text


def prepare_html(text: str, policy: DocumentReadingPolicy, where: str) -> str:
    """The text as the parser takes it: elements that XHTML closes in themselves are closed, bounds are kept.

    Nesting is counted here because the parser takes time in proportion to its square.

    Raises:
        DecodeError: code ``HTML_TOO_DEEP`` or ``HTML_TOO_COMPLEX``.
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text[:_SNIFFED_BYTES].lstrip().startswith("<?xml") or "//DTD XHTML" in text[:_SNIFFED_BYTES]:
        text = _SELF_CLOSED.sub(_close, text)
    depths: dict[str, int] = {}
    depth = 0
    for found in _TAG.finditer(text):
        closing, tag, attributes = found.groups()
        if attributes.count("=") > _MAX_ATTRIBUTES and len(attributes.split()) > _MAX_ATTRIBUTES:
            raise DecodeError(
                "HTML_TOO_COMPLEX", f"{where}: an element has more than {_MAX_ATTRIBUTES} attributes; write it again"
            )
        name = tag.lower()
        if name in _IMPLIED:
            continue
        if not closing:
            depths[name] = depths.get(name, 0) + 1
            depth += 1
        elif depths.get(name, 0):
            depths[name] -= 1
            depth -= 1
        if depth > policy.max_html_depth:
            raise DecodeError(
                "HTML_TOO_DEEP",
                f"{where}: elements are nested more than {policy.max_html_depth} deep; flatten or close them",
            )
    return text


def _close(match: re.Match[str]) -> str:
    return match[0] if match[1].lower() in _VOID else f"<{match[1]}{match[2]}></{match[1]}>"
