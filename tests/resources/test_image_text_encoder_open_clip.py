"""The OpenCLIP path for real: a small model built here, saved, and loaded by its file."""

import hashlib
import io
import json
import os

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mm_assets.errors import EmbeddingShapeError, ModelError, PolicyError, WeightsMissingError
from mm_assets.features.decode import decode_square
from resources.image_text_encoder import build_encoder
from resources.image_text_encoder.open_clip_encoder import OpenClipEncoder

MODEL_CFG = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
CONVOLUTIONAL_CFG = MODEL_CFG | {
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
}
PREPROCESS_CFG = {
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.25, 0.3],
    "resize_mode": "shortest",
    "interpolation": "bicubic",
}
CAPTIONS = ["a dog", "a photo of two cats on a red mat", "", "Kilimanjaro 山"]


def seeded(cfg, seed=11):
    torch.manual_seed(seed)
    return open_clip.CLIP(**cfg).eval()


def save_folder(folder, cfg, preprocess=PREPROCESS_CFG, seed=11):
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": preprocess}))
    model = seeded(cfg, seed)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model


@pytest.fixture(scope="module", params=["transformer", "convolutional"])
def both(request, tmp_path_factory):
    """The encoder over a folder, and the model the folder was saved from."""
    folder = tmp_path_factory.mktemp("models") / request.param
    model = save_folder(folder, MODEL_CFG if request.param == "transformer" else CONVOLUTIONAL_CFG)
    return build_encoder(f"open_clip:local-dir:{folder}"), model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    save_folder(folder, MODEL_CFG)
    return OpenClipEncoder(f"local-dir:{folder}")


def pictures(count, side=64, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(side // 8, axis=1).repeat(side // 8, axis=2)


def test_embeddings_equal_open_clips_own(both):
    encoder, model = both
    pixels = pictures(5)
    mean, std = (torch.tensor(PREPROCESS_CFG[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        scaled = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        images = model.encode_image(scaled, normalize=True).numpy()
        texts = model.encode_text(open_clip.tokenize(CAPTIONS), normalize=True).numpy()
    features = encoder.encode_images(pixels)
    np.testing.assert_allclose(features.embedding, images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(CAPTIONS), texts, atol=1e-5)
    assert features.spatial.shape == (5, *encoder.spatial_shape)
    assert features.spatial.dtype == np.float16
    assert features.embedding.dtype == np.float32


def test_patches_are_the_last_blocks_tokens_in_row_major_order(encoder):
    pixels = pictures(2)
    model = encoder._loaded.model
    mean, std = (torch.tensor(PREPROCESS_CFG[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        scaled = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        tokens = model.visual.forward_intermediates(
            scaled, indices=1, intermediates_only=True, normalize_intermediates=True, output_fmt="NLC"
        )["image_intermediates"][-1]
    assert encoder.spatial_shape == (16, 64)
    np.testing.assert_allclose(encoder.encode_images(pixels).spatial, tokens.numpy(), atol=2e-3)


def test_what_the_configuration_says(both):
    encoder, _ = both
    assert (encoder.dimension, encoder.input_side_px, encoder.resize_mode) == (48, 64, "shortest")
    assert encoder.padding_rgb == (0, 0, 0)
    assert encoder.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_unit_length_and_batch_invariance(both):
    encoder, _ = both
    several = pictures(7)
    together = encoder.encode_images(several)
    np.testing.assert_allclose(np.linalg.norm(together.embedding, axis=1), 1.0, atol=1e-5)
    for row in range(7):
        alone = encoder.encode_images(several[row : row + 1])
        np.testing.assert_allclose(alone.embedding[0], together.embedding[row], atol=1e-4)
        np.testing.assert_allclose(alone.spatial[0], together.spatial[row], atol=5e-3)
    many = [f"caption {n}" for n in range(70)]
    np.testing.assert_allclose(encoder.encode_texts(many)[66:], encoder.encode_texts(many[66:]), atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, 48)
    assert encoder.encode_images(pictures(0)).embedding.shape == (0, 48)


def test_our_decoding_is_close_to_the_models_own_preprocessing(encoder):
    """Real photographs go through a faster resize than open_clip's; what the model makes of them hardly differs."""
    rows, columns = np.mgrid[0:300, 0:450]
    waves = np.stack([np.sin(rows / 19), np.cos(columns / 23), np.sin((rows + columns) / 31)], -1)
    stream = io.BytesIO()
    Image.fromarray(((waves + 1) * 127).astype(np.uint8)).save(stream, "JPEG", quality=92)
    own = open_clip.image_transform(64, is_train=False, mean=PREPROCESS_CFG["mean"], std=PREPROCESS_CFG["std"])
    model = encoder._loaded.model
    with torch.inference_mode():
        expected = model.encode_image(own(Image.open(io.BytesIO(stream.getvalue())))[None], normalize=True).numpy()
    square = decode_square(stream.getvalue(), encoder.input_side_px, encoder.resize_mode, encoder.padding_rgb)
    assert float((encoder.encode_images(square[None]).embedding @ expected.T)[0, 0]) > 0.999


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_architecture_and_checkpoint_file(tmp_path, monkeypatch, suffix):
    """`open_clip:MODEL:PATH` with an architecture from open_clip's registry."""
    (tmp_path / "tiny-test.json").write_text(json.dumps(MODEL_CFG))
    open_clip.add_model_config(tmp_path / "tiny-test.json")
    model = seeded(MODEL_CFG, seed=4)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": model.state_dict()}, path)
    else:
        save_file(model.state_dict(), path)
    encoder = build_encoder(f"open_clip:tiny-test:{path}")
    assert encoder.identity.name == "open_clip:tiny-test"
    assert encoder.identity.revision == path.name
    assert encoder.identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with torch.inference_mode():
        expected = model.encode_text(open_clip.tokenize(CAPTIONS), normalize=True).numpy()
    np.testing.assert_allclose(encoder.encode_texts(CAPTIONS), expected, atol=1e-5)


def test_identity_reads_the_file_and_notices_another(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"one")
    encoder = OpenClipEncoder("ViT-B-32", str(path))
    assert encoder.identity.sha256 == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert encoder.identity.sha256 == hashlib.sha256(b"two").hexdigest()


def test_no_weights_named_is_a_policy_error():
    with pytest.raises(PolicyError, match="checkpoint file or a pretrained tag"):
        build_encoder("open_clip:ViT-B-32").identity  # noqa: B018
    with pytest.raises(PolicyError, match="openai"):
        build_encoder("open_clip:ViT-B-32:no-such-tag").identity  # noqa: B018


@pytest.mark.parametrize("weights", ["/models/none.safetensors", "none.pt"])
def test_a_file_that_is_not_there(weights):
    with pytest.raises(WeightsMissingError, match=r"features\.encoder"):
        build_encoder(f"open_clip:ViT-B-32:{weights}").encode_texts(["x"])


def test_a_folder_must_hold_one_checkpoint(tmp_path):
    with pytest.raises(WeightsMissingError, match="0 weight files"):
        build_encoder(f"open_clip:local-dir:{tmp_path}").identity  # noqa: B018


def test_a_tag_that_cannot_be_fetched(tmp_path, monkeypatch):
    asked = []

    def offline(cfg, cache_dir):
        asked.append(cache_dir)
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", offline)
    with pytest.raises(WeightsMissingError, match=r"no route.*features\.encoder"):
        build_encoder("open_clip:ViT-B-32:openai", cache=str(tmp_path)).identity  # noqa: B018
    assert asked == [str(tmp_path / "open_clip")]


def test_a_fetched_tag_keeps_its_own_preprocessing(tmp_path, monkeypatch):
    """A tag's mean, size and activation must survive although the weights are loaded by file."""
    (tmp_path / "tiny-tagged.json").write_text(json.dumps(MODEL_CFG))
    open_clip.add_model_config(tmp_path / "tiny-tagged.json")
    path = tmp_path / "fetched.safetensors"
    save_file(seeded(MODEL_CFG).state_dict(), path)
    published = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5), "quick_gelu": True, "resize_mode": "squash"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-tagged", {"here": published})
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", lambda cfg, cache_dir: str(path))
    encoder = build_encoder("open_clip:tiny-tagged:here", cache=str(tmp_path))
    assert str(encoder.identity).startswith("open_clip:tiny-tagged@here#")
    assert encoder.resize_mode == "squash"
    assert encoder._loaded.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert isinstance(encoder._loaded.model.visual.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)


def test_checkpoint_of_another_architecture_is_refused(tmp_path):
    folder = tmp_path / "mixed"
    save_folder(folder, MODEL_CFG)
    smaller = MODEL_CFG | {"embed_dim": 16}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": smaller}))
    with pytest.raises(ModelError, match="architecture"):
        build_encoder(f"open_clip:local-dir:{folder}").encode_images(pictures(1))


def test_pickled_code_is_never_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    path = tmp_path / "weights.pt"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(ModelError):
        build_encoder(f"open_clip:RN50:{path}").encode_texts(["x"])
    assert not (tmp_path / "owned").exists()


def test_other_pixels_are_refused(encoder):
    for pixels in (pictures(1, side=32), pictures(1).astype(np.float32), pictures(1)[0]):
        with pytest.raises(EmbeddingShapeError, match="uint8"):
            encoder.encode_images(pixels)
