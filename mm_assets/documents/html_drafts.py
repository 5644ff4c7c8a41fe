"""Blocks of an HTML page on their way: captions wait for the figure or table they belong to."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mm_assets.documents.blocks import Block, BlockType, Link, Picture
from mm_assets.documents.html_tables import Cells
from mm_assets.documents.labels import label_of_caption, label_of_heading
from mm_assets.errors import DecodeError
from mm_assets.policy import DocumentReadingPolicy


@dataclass(slots=True)
class Draft:
    """A block that has no position yet; ``owner`` is what holds the figure or table it is the caption of."""

    type: BlockType
    text: str
    links: tuple[Link, ...] = ()
    anchors: tuple[str, ...] = ()
    level: int | None = None
    cells: Cells | None = None
    picture: Picture | None = None
    owner: "Holder | None" = None


@dataclass(slots=True)
class Holder:
    """An element that joins figures or a table with their captions; its blocks wait until it ends.

    Attributes:
        depth: of the element.
        for_figure: whether its name is one of figures, not of tables.
        drafts: what stands in it.
        shown: the first figure, table or formula in it.
        has_other: whether something is shown in it that becomes no figure: a drawing, a film, code.
        has_text: whether text stands in it beside captions.
        has_gap: whether an element made for a figure in it is empty.
    """

    depth: int
    for_figure: bool = False
    drafts: list[Draft] = field(default_factory=list[Draft])
    shown: Draft | None = None
    has_other: bool = False
    has_text: bool = False
    has_gap: bool = False


class Assembly:
    """Gives blocks their positions once nothing they wait for is open."""

    def __init__(self, name: str, policy: DocumentReadingPolicy) -> None:
        self._name = name
        self._policy = policy
        self._holders: list[Holder] = []
        self._done: list[Block] = []
        self._position = 0

    def ready(self) -> Iterator[Block]:
        """Blocks that are complete."""
        if self._done:
            done, self._done = self._done, []
            yield from done

    @property
    def holder(self) -> Holder | None:
        """The innermost open element that joins figures with captions."""
        return self._holders[-1] if self._holders else None

    def open_holder(self, depth: int, *, for_figure: bool = False) -> Holder:
        """An element opens that joins figures or a table with their captions."""
        holder = Holder(depth, for_figure)
        self._holders.append(holder)
        return holder

    def put(self, draft: Draft) -> None:
        """Add a block; it waits if an element that joins figures with captions is open."""
        if self._holders:
            holder = self._holders[-1]
            holder.drafts.append(draft)
            if holder.shown is None and draft.type in {"figure", "table", "formula"}:
                holder.shown = draft
            holder.has_other |= draft.type == "code"
            holder.has_text |= draft.type not in {"caption", "figure", "table", "formula", "code"}
        else:
            self._finish([draft])

    def end_holder(self) -> None:
        """The captions of a figure go with the innermost element that holds one, unless that one's picture is gone."""
        holder = self._holders.pop()
        outer = self._holders[-1] if self._holders else None
        if holder.shown is None and outer is not None and not (holder.drafts and _lacks_figure(holder)):
            for draft in holder.drafts:
                draft.owner = outer if draft.owner is holder else draft.owner
        if outer is None:
            self._finish(holder.drafts)
            return
        outer.drafts += holder.drafts
        outer.shown = outer.shown or holder.shown
        outer.has_other |= holder.has_other
        outer.has_text |= holder.has_text
        outer.has_gap |= holder.has_gap or (holder.for_figure and not holder.drafts and not holder.has_other)

    def _finish(self, drafts: list[Draft]) -> None:
        if self._position + len(drafts) > self._policy.max_blocks:
            raise DecodeError(
                "HTML_TOO_COMPLEX",
                f"{self._name}: more than {self._policy.max_blocks} blocks; divide it or raise "
                "[document_reading] max_blocks",
            )
        places = {id(draft): self._position + index for index, draft in enumerate(drafts)}
        labels = {id(d.owner.shown): label_of_caption(d.text) for d in reversed(drafts) if d.owner and d.owner.shown}
        for draft in drafts:
            shown = draft.owner.shown if draft.owner is not None else None
            label = labels.get(id(draft)) or (label_of_heading(draft.text) if draft.type == "heading" else None)
            self._done.append(
                Block(
                    position=self._position,
                    page=1,
                    type=draft.type,
                    text=draft.text,
                    level=draft.level,
                    cells=draft.cells,
                    picture=draft.picture,
                    label=label or (label_of_caption(draft.text) if draft.type == "caption" else None),
                    anchors=draft.anchors,
                    links=draft.links,
                    of=None if shown is None else places.get(id(shown)),
                    last_page=1,
                    figure_missing=None if draft.owner is None else _lacks_figure(draft.owner),
                )
            )
            self._position += 1


def _lacks_figure(holder: Holder) -> bool | None:
    """Whether an element is made for a figure and holds captions only, or one of several in it does not hold any."""
    if holder.has_gap:
        return True
    if holder.shown is not None:
        return None
    if holder.has_other or not holder.for_figure:
        return False
    return None if holder.has_text else True
