"""The reader of printed text: PP-OCRv6 small by RapidOCR on ONNX Runtime, from the package that carries its weights.

RapidOCR downloads what it does not find. Here it is given the files that ship with it, each verified before it is
loaded, so that it has nothing to look for.
"""

import functools
import hashlib
import importlib.resources
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mm_assets.aligned.interfaces import PlacedText, ReadText
from mm_assets.documents.interfaces import ReadWord
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

WEIGHTS: Final = {
    "Rec": ("PP-OCRv6_rec_small.onnx", "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
    "Det": ("PP-OCRv6_det_small.onnx", "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
}
IDENTITY: Final = ModelIdentity(
    "rapidocr-pp-ocrv6-small",
    "3.10.0",
    hashlib.sha256("".join(digest for _, digest in WEIGHTS.values()).encode()).hexdigest(),
)
_LINE_HEIGHT_PX: Final = 48  # what the model takes
_NARROWEST_PX: Final = 96  # crops are padded to this width; RapidOCR's own 320 costs three times as much for a letter
_LINES_PER_CALL: Final = 16


def _weights(part: str) -> Path:
    name, digest = WEIGHTS[part]
    try:
        path = Path(str(importlib.resources.files("rapidocr"))) / "models" / name
    except ModuleNotFoundError as error:
        raise WeightsMissingError("the package rapidocr is not installed; run make demo") from error
    verify_sha256(path, digest)
    return path


class RapidOcr:
    """PP-OCRv6 small; weights load on the first use."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @property
    def identity(self) -> ModelIdentity:
        """Which weights; the hash is that of the hashes of both files."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU: the engine is set up for no other provider."""
        return "cpu"

    def read_lines(self, crops: Sequence[NDArray[np.uint8]]) -> list[ReadText]:
        """Read crops that hold one line each."""
        if not crops:
            return []
        from rapidocr.ch_ppocr_rec import TextRecInput  # noqa: PLC0415 - heavy

        output = self._call(self._recognizer, TextRecInput(img=[_as_bgr(crop) for crop in crops]))
        return [ReadText(text, float(score)) for text, score in zip(output.txts, output.scores, strict=True)]

    def read_page(self, pixels: NDArray[np.uint8]) -> list[PlacedText]:
        """Find and read the lines of a page."""
        engine = self._engine
        engine.text_rec = self._recognizer
        output = self._call(engine, _as_bgr(pixels), use_cls=False)
        if output.boxes is None or output.txts is None:
            return []
        placed: list[PlacedText] = []
        for corners, text, score in zip(output.boxes, output.txts, output.scores, strict=True):
            (left, upper), (right, lower) = np.min(corners, axis=0), np.max(corners, axis=0)
            placed.append(PlacedText(text, float(score), (float(left), float(upper), float(right), float(lower))))
        return placed

    def read_pages(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[ReadWord]]:
        """Words of pages; the lines of a page are read together, sixteen at a time."""
        return [self._read_words(page) for page in pages]

    def _read_words(self, pixels: NDArray[np.uint8]) -> list[ReadWord]:
        engine = self._engine
        engine.text_rec = self._recognizer
        output = self._call(engine, _as_bgr(pixels), use_cls=False, return_word_box=True)
        words: list[ReadWord] = []
        for line, found in enumerate(_pieces(output)):
            for text, score, corners in found or ():
                if not text or corners is None or not (kept := text.strip()):
                    continue
                (left, upper), (right, lower) = np.min(corners, axis=0), np.max(corners, axis=0)
                box = float(left), float(upper), float(right), float(lower)
                words.append(ReadWord(kept, float(score), box, line))
        return words

    @staticmethod
    def _call(model: Any, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - the package has no types
        try:
            return model(*arguments, **options)
        except Exception as error:  # its engine raises plain exceptions with a whole traceback as the message
            raise InferenceError(f"{IDENTITY} failed ({type(error).__name__}); check onnxruntime") from error

    @functools.cached_property
    def _engine(self) -> Any:  # noqa: ANN401 - the package has no types
        paths = {f"{part}.model_path": str(_weights(part)) for part in WEIGHTS}
        import rapidocr  # noqa: PLC0415 - heavy

        threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": self._threads for kind in ("intra", "inter")}
        shape = [3, _LINE_HEIGHT_PX, _NARROWEST_PX]
        settings = {"Rec.rec_img_shape": shape, "Rec.rec_batch_num": _LINES_PER_CALL, "Global.log_level": "critical"}
        engine = rapidocr.RapidOCR(params=paths | threads | settings)
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        return engine

    @functools.cached_property
    def _recognizer(self) -> Any:  # noqa: ANN401 - the package has no types
        from rapidocr.ch_ppocr_rec import TextRecognizer  # noqa: PLC0415 - heavy

        settings = self._engine.cfg
        settings.Rec.engine_cfg = settings.EngineConfig[settings.Rec.engine_type.value]
        settings.Rec.font_path = settings.Global.font_path
        settings.Rec.model_root_dir = settings.Global.model_root_dir
        return TextRecognizer(settings.Rec)


def _pieces(output: Any) -> Sequence[Sequence[tuple[str, float, Any]]]:  # noqa: ANN401 - the package has no types
    """Words of each line with their corners, as RapidOCR states them."""
    return [] if output.boxes is None else output.word_results


def _as_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[:, :, ::-1])


@functools.lru_cache(maxsize=2)
def _build(threads: int) -> RapidOcr:
    return RapidOcr(threads)


class OcrResource(dg.ConfigurableResource):
    """Gives assets an `Ocr` that is a `PageOcr` too, one per process."""

    threads: int = Field(default=1, ge=1, description="Threads of the model on a CPU.")

    @property
    def handle(self) -> RapidOcr:
        """The reader; its weights load on the first use."""
        return _build(self.threads)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY
