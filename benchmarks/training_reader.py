"""The training reader against webdataset, MosaicML streaming and energon on the same samples, and on damaged copies.

A release of random codes and features is written and exported for each of them. In every round each opens and reads all
samples until two CPU seconds are spent, at least once, in one process and one thread; figures are samples per CPU
second, median of the rounds. A small copy is read first, so imports are apart. What each of them gives:

mm_assets: batches of 256 in random order of the whole release: id, content, text, codes, token ids and places of the
    placeholders as int64 tensors, features as float32 tensors with norms bounded. Every check is on, and every file is
    compared with its SHA-256 each time it is opened.
webdataset: what its documentation has a training loop do: shards shuffled, a shuffle buffer of 1,000, decoding, and
    batches of 256: lines as dictionaries, features as one float32 tensor, codes as one int64 tensor, made of the whole
    batch at once. The text member is left out, for the line holds it. No checks.
webdataset_bare: decoding alone, in stored order: dictionaries of text, line and float16 and int32 arrays, no batches.
mds: its samples in stored order, as it decodes them, no batches. It compares its shards with their SHA-1 where it
    would download them, which is never for a local folder.
energon: its interleaved samples in stored order, batches of 1.

Then one byte or file is damaged for all of them, and what each says is told. A batch that cannot be stacked is an error
to webdataset here; where arrays differ in length anyway, it is none.

Usage: python benchmarks/training_reader.py [--samples 20000] [--rounds 5] [--json]
"""

import argparse
import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import msgspec
import numpy as np
import torch
import webdataset
from megatron.energon import WorkerConfig, get_loader, get_val_dataset
from safetensors.numpy import save_file
from streaming import StreamingDataset
from streaming.base.util import clean_stale_shared_memory

from mm_assets.fusion.rendering import render_image_blocks
from mm_assets.fusion.samples import FusionLine
from mm_assets.fusion.training_order import order_epoch
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.mixtures.exports.formats import export_release
from mm_assets.mixtures.manifest import list_files

CODES, VECTORS, CHANNELS, SHARD_ROWS, BATCH = 1_024, 49, 64, 1_024, 256
FLOOR = 10.0
"""Times webdataset's samples per CPU second, with every check on."""
SHUFFLED, ROUND_SECONDS = 1_000, 2.0
Reader = Callable[[Path], int]


def write_release(folder: Path, count: int) -> None:
    """Write a release of images with a caption."""
    for name in ("samples", "features", "codes"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    encoder = msgspec.json.Encoder()
    for shard in range(-(-count // SHARD_ROWS)):
        rows = min(SHARD_ROWS, count - shard * SHARD_ROWS)
        codes = generator.integers(0, CODES, (rows, VECTORS), dtype=np.int32)
        features = generator.standard_normal((rows, VECTORS, CHANNELS), np.float32).astype(np.float16)
        name = f"part-{shard:04d}.safetensors"
        save_file({"visual_codes": codes}, folder / "codes" / name)
        save_file({"visual_features": features}, folder / "features" / name)
        with (folder / "samples" / f"part-{shard // 10:05d}.jsonl").open("ab") as file:
            for row, block in enumerate(render_image_blocks(codes)):
                line = FusionLine(
                    id=f"mm_{generator.bytes(12).hex()}",
                    kind="image_text",
                    modalities=["image", "text"],
                    content=f"{block} A duck on a pond, number {shard * SHARD_ROWS + row}.",
                    visual_features_path=f"features/{name}#{row}",
                    audio_features_path=None,
                    boxes=[],
                    times=[],
                    negatives=[],
                    pool="coarse_image_text",
                    weight=1.0,
                    batch="vendor-a-2024",
                    source="vendor-a",
                    license="CC-BY-4.0",
                    placeholder_version="1",
                    checks={"recall": 0.42},
                    review_status="unreviewed",
                )
                file.write(encoder.encode(line) + b"\n")
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """What the reader needs of a manifest."""
    (folder / "manifest.json").unlink(missing_ok=True)
    offsets = {"text_vocab_size": 128_256, "image_code_offset": 128_256, "audio_code_offset": 131_072}
    manifest = {
        "release": "bench",
        "placeholder_version": "1",
        "vocabulary": offsets | {"image_codes": CODES, "audio_codes": 0},
        "files": msgspec.to_builtins(list_files(folder)),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "README.md").write_text("bench")


def read_ours(folder: Path) -> int:
    """Batches of the loader's order, every check on."""
    dataset = ReleaseDataset(folder)
    order = order_epoch(np.ones(len(dataset)), np.zeros(len(dataset), np.int8), batch_size=BATCH, seed=1, epoch=0)
    return sum(len(dataset.__getitems__(order.batch(number))) for number in range(len(order)))


def read_webdataset(folder: Path) -> int:
    """Shuffled batches of tensors, as its documentation trains."""
    members = ("json", "visual_features.npy", "visual_codes.npy")
    batches = (
        webdataset.WebDataset(
            tar_shards(folder),
            shardshuffle=100,
            seed=1,
            empty_check=False,
            select_files=lambda name: not name.endswith(".txt"),
        )
        .shuffle(SHUFFLED)
        .decode("torch")
        .to_tuple(*members)
        .batched(BATCH, collation_fn=stack_samples)
    )
    return sum(len(lines) for lines, _, _ in batches)


def stack_samples(samples: list[tuple[Any, Any, Any]]) -> tuple[list[Any], torch.Tensor, torch.Tensor]:
    """Lines, features and codes of a batch."""
    lines, features, codes = zip(*samples, strict=True)
    return list(lines), torch.from_numpy(np.stack(features)).float(), torch.from_numpy(np.stack(codes)).long()


def read_webdataset_bare(folder: Path) -> int:
    """Its own decoding of JSON and arrays, shards in order."""
    return sum(1 for _ in webdataset.WebDataset(tar_shards(folder), shardshuffle=False, empty_check=False).decode())


def tar_shards(folder: Path) -> list[str]:
    """Its shards, in order."""
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def read_mosaic(folder: Path) -> int:
    """In order."""
    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(folder), split="train", shuffle=False, batch_size=1, validate_hash="sha1")
    return sum(1 for _ in range(len(dataset)) if dataset[_])


def read_energon(folder: Path) -> int:
    """As interleaved samples, in order."""
    config = WorkerConfig(rank=0, world_size=1, num_workers=0)
    dataset = get_val_dataset(str(folder), split_part="train", worker_config=config, batch_size=1)
    return sum(1 for _ in get_loader(dataset))


READERS: dict[str, tuple[str | None, Reader]] = {
    "mm_assets": (None, read_ours),
    "webdataset": ("webdataset", read_webdataset),
    "webdataset_bare": ("webdataset", read_webdataset_bare),
    "mds": ("mds", read_mosaic),
    "energon": ("energon", read_energon),
}


def measure(folders: dict[str, Path], rounds: int, samples: int) -> dict[str, float]:
    """Samples per CPU second of each, all of them in every round."""
    rates: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(rounds):
        for name, (_, read) in READERS.items():
            start, spent, passes = time.process_time(), 0.0, 0
            while spent < ROUND_SECONDS:
                with quiet():
                    seen = read(folders[name])
                spent, passes = time.process_time() - start, passes + 1
                if seen != samples:
                    raise SystemExit(f"{name} read {seen} of {samples} samples")
            rates[name].append(samples * passes / spent)
    return {name: statistics.median(found) for name, found in rates.items()}


@contextlib.contextmanager
def quiet() -> Any:  # noqa: ANN401 - a context
    """Readers print and warn about what does not matter here."""
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def data_file(folder: Path, name: str) -> Path:
    """The file with the features of the first samples."""
    pattern = {"mm_assets": "features/*", "mds": "train/*.mds"}.get(name, "*.tar")
    return min(folder.glob(pattern))


def flip_bit(folder: Path, name: str) -> None:
    """Flip a bit of a feature, whatever the container: a value of the first sample's array."""
    path, source = data_file(folder, name), bytearray()
    source += path.read_bytes()
    source[find_features(bytes(source), name) + 1_000] ^= 0x10
    path.write_bytes(source)


def find_features(data: bytes, name: str) -> int:
    """Where the first features start."""
    if name == "mm_assets":
        return 8 + int.from_bytes(data[:8], "little")
    if name == "mds":
        return len(data) - 2_000 - CHANNELS  # features are the last column of the last sample
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return next(member.offset_data for member in tar if "features" in member.name) + 128


def cut_file(folder: Path, name: str) -> None:
    """Take the last third away."""
    path = data_file(folder, name)
    os.truncate(path, path.stat().st_size * 2 // 3)


def drop_member(folder: Path, name: str) -> None:
    """Take a shard away; of a tar, the features of one sample."""
    path = data_file(folder, name)
    if name in {"mm_assets", "mds"}:
        path.unlink()
        return
    rewrite_tar(path, lambda member, data: None if "visual_features" in member else data)


def cut_features(folder: Path, name: str) -> None:
    """Take a feature row from one sample, as a faulty producer would, with all indexes and hashes made anew."""
    path = data_file(folder, name)
    if name == "mm_assets":
        from safetensors.numpy import load_file

        features = load_file(path)["visual_features"]
        save_file({"visual_features": np.ascontiguousarray(features[:, :-1])}, path)
        write_manifest(folder)
    elif name == "mds":
        index = json.loads((path.parent / "index.json").read_text())
        data = bytearray(path.read_bytes())
        end = int(np.frombuffer(data[8:12], "<u4")[0])
        shape = end - VECTORS * CHANNELS * 2 - 8
        data[shape : shape + 4] = np.uint32(VECTORS - 1).tobytes()
        del data[end - CHANNELS * 2 : end]
        starts = int(np.frombuffer(data[:4], "<u4")[0]) + 1
        offsets = np.frombuffer(bytes(data[4 : 4 + 4 * starts]), "<u4").copy()
        offsets[1:] -= CHANNELS * 2
        data[4 : 4 + 4 * starts] = offsets.tobytes()
        lengths = int(offsets[0])
        sizes = np.frombuffer(bytes(data[lengths : lengths + 36]), "<u4").copy()
        sizes[-1] -= CHANNELS * 2
        data[lengths : lengths + 36] = sizes.tobytes()
        path.write_bytes(data)
        raw = {"bytes": len(data), "hashes": {"sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest()}}
        index["shards"][0]["raw_data"] |= raw
        (path.parent / "index.json").write_text(json.dumps(index))
    else:
        rewrite_tar(path, lambda member, data: shorter(data) if "visual_features" in member else data)


def shorter(data: bytes) -> bytes:
    """The array without its last row, padded to the size it had: indexes stay true."""
    out = io.BytesIO()
    np.save(out, np.load(io.BytesIO(data))[:-1])
    return out.getvalue() + bytes(len(data) - len(out.getvalue()))


def rewrite_tar(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Change the first member that changes, leave the others."""
    done = False
    out = io.BytesIO()
    with tarfile.open(path) as tar, tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for member in tar:
            data = tar.extractfile(member).read()  # pyright: ignore[reportOptionalMemberAccess] - a file
            changed = data if done else change(member.name, data)
            done = done or changed != data
            if changed is not None:
                member.size = len(changed)
                new.addfile(member, io.BytesIO(changed))
    path.write_bytes(out.getvalue())


DAMAGES: dict[str, Callable[[Path, str], None]] = {
    "a flipped bit in a feature": flip_bit,
    "a cut file": cut_file,
    "a missing member": drop_member,
    "a feature row too few": cut_features,
}


def find_out(folders: dict[str, Path], scratch: Path, samples: int) -> dict[str, dict[str, str]]:
    """What each reader says to each damage."""
    found: dict[str, dict[str, str]] = {}
    for damage, spoil in DAMAGES.items():
        for name, (_, read) in READERS.items():
            copy = scratch / f"{name}-damaged"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folders[name], copy)
            spoil(copy, name)
            try:
                with quiet():
                    seen = read(copy)
                said = "passes" if seen == samples else f"passes, {samples - seen} samples missing"
            except Exception as error:  # noqa: BLE001 - whatever a reader raises
                said = f"found ({type(error).__name__})"
            except SystemExit:
                said = "found (exit)"
            found.setdefault(damage, {})[name] = said
    return found


def main() -> int:
    """Measure, tell, and return 1 if the floor is missed or a damage passes our reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folders = make_folders(scratch / "whole", settings.samples)
        count = min(500, settings.samples)
        few = make_folders(scratch / "few", count)
        for reader, (_, read) in READERS.items():
            with quiet():
                read(few[reader])
        rates = measure(folders, settings.rounds, settings.samples)
        damages = find_out(few, scratch, count)
    ratios = {name: rates["mm_assets"] / rate for name, rate in rates.items()}
    ratio = ratios["webdataset"]
    missed = ratio < FLOOR or any("found" not in said["mm_assets"] for said in damages.values())
    if settings.json:
        print(json.dumps({"samples_per_cpu_second": rates, "ratios": ratios, "damages": damages}, indent=2))
        return int(missed)
    for reader, rate in rates.items():
        print(f"{reader:16} {rate:10,.0f} samples per CPU second   {ratios[reader]:6.1f} times slower")
    for damage, said in damages.items():
        print(f"{damage}: " + "; ".join(f"{reader} {verdict}" for reader, verdict in said.items()))
    print(f"{'missed' if missed else 'met'}: {ratio:.1f} times webdataset, floor {FLOOR:.0f}")
    return int(missed)


def make_folders(scratch: Path, samples: int) -> dict[str, Path]:
    """A release, and an export of it for each reader that needs one."""
    release = scratch / "release"
    write_release(release, samples)
    folders, done = dict[str, Path](), dict[str, Path]()
    for name, (form, _) in READERS.items():
        if form is None:
            folders[name] = release
        elif form in done:
            folders[name] = done[form]
        else:
            written = export_release(release, form, scratch, pictures=None)  # pyright: ignore[reportArgumentType] - unused
            folders[name] = done[form] = Path(written.folder)
    return folders


if __name__ == "__main__":
    raise SystemExit(main())
