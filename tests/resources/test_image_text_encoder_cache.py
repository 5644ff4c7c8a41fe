"""A conversion happens once, whole or not at all."""

import threading

import pytest

from mm_assets.errors import WeightsHashError, WeightsMissingError
from resources.image_text_encoder.model_cache import cache_root, converted_file, ensure_converted


def write_two(folder):
    (folder / "a.onnx").write_bytes(b"first")
    (folder / "b.onnx").write_bytes(b"second")


def test_files_come_back_verified(tmp_path):
    folder = ensure_converted(tmp_path / "cache", "model-1", write_two)
    assert converted_file(folder, "a.onnx").read_bytes() == b"first"
    (folder / "b.onnx").write_bytes(b"secone")
    with pytest.raises(WeightsHashError, match="delete"):
        converted_file(folder, "b.onnx")
    with pytest.raises(WeightsMissingError, match="no record"):
        converted_file(folder, "c.onnx")
    (folder / "a.onnx").unlink()
    with pytest.raises(WeightsMissingError):
        converted_file(folder, "a.onnx")


def test_many_at_once_convert_once(tmp_path):
    calls, folders = [], []
    barrier = threading.Barrier(6)

    def convert(folder):
        calls.append(folder)
        write_two(folder)

    def ask():
        barrier.wait()
        folders.append(ensure_converted(tmp_path, "model-1", convert))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert folders == [tmp_path / "model-1"] * 6


def test_a_failed_conversion_leaves_nothing_and_a_killed_one_is_swept(tmp_path):
    def fail(folder):
        write_two(folder)
        raise WeightsHashError("bad")

    with pytest.raises(WeightsHashError):
        ensure_converted(tmp_path, "model-1", fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    killed = tmp_path / "model-1.partial-dead"
    killed.mkdir()
    write_two(killed)
    ensure_converted(tmp_path, "model-1", write_two)
    assert not killed.exists()


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WeightsMissingError, match="MM_CACHE"):
        ensure_converted(tmp_path / "file" / "cache", "model-1", write_two)


def test_cache_root(monkeypatch, tmp_path):
    monkeypatch.setenv("MM_CACHE", str(tmp_path))
    assert cache_root("") == tmp_path
    assert cache_root(str(tmp_path / "own")) == tmp_path / "own"
    monkeypatch.delenv("MM_CACHE")
    assert cache_root("").name == "mm_assets"
