from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mm_assets.aligned.objects.claims.interfaces import ObjectDetector
from mm_assets.errors import EmbeddingShapeError, InferenceError, PolicyError, WeightsHashError, WeightsMissingError
from mm_assets.models import sha256_of
from resources.object_detector import ObjectDetectorResource, build_detector, imagenet_tiles
from resources.object_detector.imagenet_tiles import VIEWS, ImageNetTiles
from resources.object_detector.torchvision_detector import TorchvisionDetector

LANDING = Path(__file__).parents[2] / "demo" / "data" / "landing"
ARCHITECTURE = "ssdlite320_mobilenet_v3_large"


def read(name: str) -> np.ndarray:
    with Image.open(BytesIO((LANDING / name).read_bytes())) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def tiles() -> ImageNetTiles:
    return ImageNetTiles(threshold=0.01, certainty=0.3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("detector") / "random.pth"
    torch.save(get_model(ARCHITECTURE, weights=None, weights_backbone=None, num_classes=91).state_dict(), path)
    return path


# -- the embedded one


def test_it_sees_what_fills_a_picture(tiles: ImageNetTiles) -> None:
    names = {
        "zebra": "stamps-animals-01/images/0049.jpg",
        "camel": "stamps-animals-01/images/0007.jpg",
        "bird": "stamps-animals-01/images/0005.jpg",
        "bus": "stamps-outdoors-03/images/0035.jpg",
    }
    found = tiles.detect([tiles.prepare(read(name)) for name in names.values()], [frozenset({name}) for name in names])
    for name, objects in zip(names, found, strict=True):
        assert name in objects.seen
        assert objects.certain <= objects.seen <= tiles.vocabulary
        assert 0.0 < objects.clarity <= 1.0
    assert "zebra" in found[0].certain
    assert all("zebra" not in objects.certain for objects in found[1:])


def test_it_looks_closer_only_while_something_is_missing(tiles: ImageNetTiles, monkeypatch: pytest.MonkeyPatch) -> None:
    views = tiles.prepare(read("scenes-coco-04/images/scene-0010.jpg"))
    assert views.shape == (VIEWS, 224, 224, 3) == (14, 224, 224, 3)
    looked: list[int] = []
    classify = tiles._classify
    monkeypatch.setattr(tiles, "_classify", lambda batch: looked.append(len(batch)) or classify(batch))
    tiles.detect([views], [frozenset({"elephant"})])
    assert looked == [1]
    looked.clear()
    (closer,) = tiles.detect([views], [frozenset({"elephant", "volcano"})])
    assert looked == [1, 4, 9]
    assert {"elephant", "orca"} <= closer.seen
    assert "volcano" not in closer.seen


def test_small_tiles_need_more_than_the_threshold(tiles: ImageNetTiles) -> None:
    probabilities = np.zeros((VIEWS, 1_000), np.float32)
    probabilities[2, 340], probabilities[9, 340] = 0.009, 0.02
    assert "zebra" not in tiles._tell(probabilities).seen
    probabilities[9, 340] = 0.031
    assert "zebra" in tiles._tell(probabilities).seen
    assert "zebra" not in tiles._tell(probabilities[:5]).seen


def test_it_knows_no_people_and_says_so(tiles: ImageNetTiles) -> None:
    assert {"person", "giraffe", "dining table"}.isdisjoint(tiles.vocabulary)
    assert {"dog", "zebra", "violin"} <= tiles.vocabulary


def test_its_classes_are_those_of_imagenet(tiles: ImageNetTiles) -> None:
    names = (Path(imagenet_tiles.__file__).parents[1] / "image_text_encoder" / "imagenet_classes.txt").read_text()
    classes = names.splitlines()
    for word, name in {"zebra": "zebra", "banana": "banana", "violin": "violin", "umbrella": "umbrella"}.items():
        assert name in {classes[place] for place in tiles._objects[word]}
    assert {classes[place] for place in tiles._objects["dog"]} >= {"beagle", "pug", "Samoyed"}
    assert {classes[place] for place in tiles._objects["bird"]} >= {"robin", "king penguin", "albatross"}
    assert "goldfish" not in {classes[place] for place in tiles._objects["bird"]}


def test_a_picture_is_judged_alone(tiles: ImageNetTiles) -> None:
    pictures = [tiles.prepare(read(f"stamps-animals-01/images/{name}")) for name in ("0049.jpg", "0007.jpg")]
    nothing = frozenset[str]()
    together = tiles.detect(pictures, [nothing, nothing])
    alone = [tiles.detect([views], [nothing])[0] for views in pictures]
    assert [objects.seen for objects in together] == [objects.seen for objects in alone]
    assert tiles.detect([], []) == []


def test_unusable_input_is_refused(tiles: ImageNetTiles) -> None:
    with pytest.raises(EmbeddingShapeError, match="uint8"):
        tiles.prepare(np.zeros((4, 4, 3), np.float32))  # pyright: ignore[reportArgumentType]
    with pytest.raises(EmbeddingShapeError, match="give one each"):
        tiles.detect([], [frozenset()])


def test_broken_output_is_an_error(tiles: ImageNetTiles, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def run(self, *_: object) -> list[np.ndarray]:
            return [np.full((1, 1_000), np.nan, np.float32)]

    broken = ImageNetTiles(threshold=0.01, certainty=0.3)
    monkeypatch.setitem(vars(broken), "_session", Broken())
    with pytest.raises(InferenceError, match="no probabilities"):
        broken.detect([tiles.prepare(np.zeros((4, 4, 3), np.uint8))], [frozenset()])


def test_other_weights_are_never_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(imagenet_tiles.PINNED, "efficientnet-lite0-57934424.pth", "0" * 64)
    changed = ImageNetTiles(threshold=0.01, certainty=0.3, cache=str(tmp_path))
    with pytest.raises(WeightsHashError, match="pinned is 0000"):
        changed.detect([np.zeros((VIEWS, 224, 224, 3), np.uint8)], [frozenset()])
    monkeypatch.setattr(imagenet_tiles, "_PACKAGE", "no_such_package")
    with pytest.raises(WeightsMissingError, match="not installed"):
        changed.detect([np.zeros((VIEWS, 224, 224, 3), np.uint8)], [frozenset()])


# -- torchvision's


def test_a_checkpoint_detects_and_says_what_it_is(checkpoint: Path) -> None:
    detector = TorchvisionDetector(ARCHITECTURE, checkpoint, threshold=0.0, certainty=0.9)
    assert detector.identity.name == f"torchvision:{ARCHITECTURE}"
    assert detector.identity.sha256 == sha256_of(checkpoint)
    assert {"person", "giraffe", "dining table"} <= detector.vocabulary
    assert len(detector.vocabulary) == 80
    pictures = [read("scenes-coco-04/images/scene-0010.jpg"), read("stamps-animals-01/images/0049.jpg")]
    found = detector.detect([detector.prepare(pixels) for pixels in pictures], [frozenset(), frozenset({"dog"})])
    for objects in found:
        assert objects.certain <= objects.seen <= detector.vocabulary
        assert 0.0 <= objects.clarity <= 1.0
    assert found[0].seen  # at threshold 0 a random model finds something
    assert detector.detect([], []) == []


def test_scores_decide_what_is_seen(checkpoint: Path) -> None:
    detector = TorchvisionDetector(ARCHITECTURE, checkpoint, threshold=0.2, certainty=0.8)
    labels = np.array([1, 17, 18, 12, 18, 300])
    scores = np.array([0.9, 0.5, 0.1, 0.99, 0.3, 0.9], np.float32)
    objects = detector._tell(labels, scores)
    assert objects.seen == {"person", "cat", "dog"}  # 12 is no class of COCO
    assert objects.certain == {"person"}
    assert objects.clarity == pytest.approx(0.9)
    with pytest.raises(InferenceError, match="not finite"):
        detector._tell(np.array([1]), np.array([np.nan], np.float32))


def test_classes_of_its_own_come_beside_the_checkpoint(tmp_path: Path) -> None:
    import torch
    from torchvision.models import get_model

    path = tmp_path / "own.pth"
    torch.save(get_model(ARCHITECTURE, weights=None, weights_backbone=None, num_classes=3).state_dict(), path)
    with pytest.raises(WeightsMissingError, match="91 classes"):
        TorchvisionDetector(ARCHITECTURE, path, threshold=0.0, certainty=0.9).detect(
            [np.zeros((64, 64, 3), np.uint8)], [frozenset()]
        )
    (tmp_path / "own.pth.labels.txt").write_text("__background__\ngear\nbolt\n", encoding="utf-8")
    detector = TorchvisionDetector(ARCHITECTURE, path, threshold=0.0, certainty=0.9)
    assert detector.vocabulary == {"gear", "bolt"}
    (objects,) = detector.detect([np.full((64, 64, 3), 90, np.uint8)], [frozenset()])
    assert objects.seen <= {"gear", "bolt"}


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsMissingError, match="is no state"):
        TorchvisionDetector(ARCHITECTURE, path, threshold=0.2, certainty=0.8).detect(
            [np.zeros((32, 32, 3), np.uint8)], [frozenset()]
        )


def test_large_pictures_are_shrunk(checkpoint: Path) -> None:
    detector = TorchvisionDetector(ARCHITECTURE, checkpoint, threshold=0.2, certainty=0.8)
    assert detector.prepare(np.zeros((4_000, 2_000, 3), np.uint8)).shape == (1_333, 666, 3)
    assert detector.prepare(np.zeros((40, 20, 3), np.uint8)).shape == (40, 20, 3)
    with pytest.raises(EmbeddingShapeError):
        detector.prepare(np.zeros((0, 20, 3), np.uint8))


# -- the policy's choice


def test_the_resource_gives_the_policys_choice() -> None:
    handle: ObjectDetector | None = ObjectDetectorResource().handle
    assert handle is not None
    assert handle is ObjectDetectorResource().handle
    assert handle.identity.name == imagenet_tiles.NAME
    assert ObjectDetectorResource().identity == handle.identity
    off = ObjectDetectorResource(detector="")
    assert off.handle is None
    assert str(off.identity) == "none@0#000000000000"


@pytest.mark.parametrize("name", ["yolo", "torchvision:", "torchvision:ssd300_vgg16"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(PolicyError, match=r"faithfulness\.detector"):
        build_detector(name, threshold=0.1, certainty=0.5)


def test_an_unknown_architecture_and_a_missing_checkpoint_say_so(tmp_path: Path) -> None:
    unknown = build_detector(f"torchvision:resnet18:{tmp_path / 'x.pth'}", threshold=0.1, certainty=0.5)
    assert unknown is not None
    with pytest.raises((PolicyError, ValueError)):
        unknown.detect([np.zeros((32, 32, 3), np.uint8)], [frozenset()])
    missing = build_detector(f"torchvision:{ARCHITECTURE}:{tmp_path / 'x.pth'}", threshold=0.1, certainty=0.5)
    assert missing is not None
    with pytest.raises(WeightsMissingError, match=r"x\.pth"):
        missing.detect([np.zeros((32, 32, 3), np.uint8)], [frozenset()])
