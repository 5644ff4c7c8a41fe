"""Which parts of an HTML page are not its content: navigation, banners, footers, forms, what is hidden."""

import re
from typing import Final

from selectolax.lexbor import LexborNode

_words: Final = str.split
_SPACE: Final = re.compile(r"\s+")
_NEVER: Final = frozenset(
    _words(
        "script style noscript template iframe object embed applet canvas audio video source track map area head link "
        "meta nav menu button select input textarea label option datalist dialog colgroup col param base frame "
        "frameset"
    )
)
_ROLES: Final = frozenset(_words("navigation banner contentinfo search complementary menu menubar toolbar"))
_NAMES: Final = frozenset(
    _words(
        "navheader navfooter navbar nav-path navigation navpath breadcrumb breadcrumbs toc list-of-figures "
        "list-of-tables list-of-examples sphinxsidebar sphinxsidebarwrapper related headerlink mw-editsection navbox "
        "printfooter site-footer site-header sidebar skip-link skiplink sr-only cookie cookie-banner share social "
        "linenos table-of-contents contents-list navigationpanel noprint dyncontent nav_previous nav_next ttc"
    )
)
_IDS: Final = frozenset(
    _words("toc table-of-contents nav-path side-nav doc-footer titlearea main-nav msearchselectwindow")
)
_MAYBE: Final = frozenset({"header", "footer", "menu", "top", "bottom", "links", "contents", "index", "nav", "summary"})
_MAX_LINKED: Final = 0.5  # share of a header's or menu's text in links from which it navigates
_NAVIGATION_WORDS: Final = re.compile(
    r"(next|up|previous|prev|back|forward|home|top|contents?|index|table of contents|[\[\]:;,.|·•<>«»←→↑-]|\s)+",
    re.IGNORECASE,
)
_LOOKS: Final = 4  # how many times the text of a page is measured for its links, at most
_FREE: Final = 10_000  # characters that are measured anyhow
_MAX_HEADERS: Final = 20  # headers that are searched for a title
_MIN_LINKS: Final = 2
_HIDDEN: Final = re.compile(r"(display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)


def names_of(node: LexborNode) -> list[str]:
    """Class names of an element, in lower case."""
    return (node.attributes.get("class") or "").lower().split()


class Boilerplate:
    """Finds what of a page is not its content.

    To tell some of it, all that stands in an element is looked through. Elements may stand in each other, so that this
    is done for a bounded amount of text only; what comes later is content.

    Args:
        size: characters of the page.
    """

    def __init__(self, size: int) -> None:
        self._left = _LOOKS * size + _FREE
        self._headers = _MAX_HEADERS

    def holds(self, node: LexborNode, tag: str, depth_in_content: int) -> bool:
        """Whether an element and all in it is left out.

        Args:
            node: the element.
            tag: its name.
            depth_in_content: how many ``article``, ``main`` and ``section`` elements it stands in.
        """
        if tag in _NEVER:
            return True
        attributes = node.attributes
        if not attributes:
            return tag in {"header", "footer"} and self._is_frame(node, tag, depth_in_content)
        names = names_of(node)
        identifier = (attributes.get("id") or "").lower()
        if _is_unseen(attributes) or not _NAMES.isdisjoint(names) or identifier in _IDS:
            return True
        if tag in {"header", "footer"}:
            return self._is_frame(node, tag, depth_in_content)
        if tag in {"div", "table", "p", "ul", "td"} and (identifier in _MAYBE or not _MAYBE.isdisjoint(names)):
            return self._leads_away(node)
        return tag == "table" and "navigation" in (attributes.get("summary") or "").lower()

    def _is_frame(self, node: LexborNode, tag: str, depth_in_content: int) -> bool:
        if depth_in_content:
            return False
        self._headers -= 1
        return tag == "footer" or (self._headers >= 0 and node.css_first("h1, h2") is None)

    def _leads_away(self, node: LexborNode) -> bool:
        if self._left <= 0:
            return False
        whole, linked = text_sizes(node)
        self._left -= whole + 1
        return linked > _MAX_LINKED * whole


def _is_unseen(attributes: dict[str, str | None]) -> bool:
    if "hidden" in attributes or (attributes.get("aria-hidden") or "").lower() == "true":
        return True
    return (attributes.get("role") or "").lower() in _ROLES or bool(_HIDDEN.search(attributes.get("style") or ""))


def text_sizes(node: LexborNode) -> tuple[int, int]:
    """Characters of an element's text, and how many of them stand in links; white space is not counted."""
    whole = _size(node.text(deep=True))
    return whole, sum(_size(link.text(deep=True)) for link in node.css("a[href]")) if whole else 0


def is_navigation_line(text: str, links: int) -> bool:
    """Whether a line of links only leads on and back, as ``Next: Up: Previous:`` does.

    >>> is_navigation_line("[ Next ] [ Up ] [ Contents ]", 3), is_navigation_line("Next we index it.", 2)
    (True, False)
    """
    return links >= _MIN_LINKS and bool(_NAVIGATION_WORDS.fullmatch(text))


def _size(text: str) -> int:
    return len(_SPACE.sub("", text))
