"""Near-duplicate pictures: recall, precision and CPU per image, ours beside perceptual hashes.

Usage: python benchmarks/near_duplicates.py [FOLDER] [--half report] [--pictures 1800] [--copies 400] [--seed 1]
       [--sheet pairs.png] [--json]

Pictures of FOLDER (default: the demo's deliveries) and planted copies of some of them form one batch, originals first.
A copy is JPEG of quality 40 to 90, a resize to 50 to 200 %, a crop of up to 2 % from each edge, or all three; originals
without contrast are not copied, since nothing tells one blank sheet from another. A verdict is right if it names the
copied picture, or one that an independent comparison of the originals at 128 px (affine ECC alignment, at least 0.9 of
the variance explained) calls the same. Also given: the figures of pictures that are not faint; thin line art on white
comes in families that differ in the number of lines only. Thresholds were tuned on ``--half tuning``; ``report`` holds
the other files.

The peer is imagehash's pHash (8 bits of 64), run by the Python that MM_BENCH_DATA_JUICER names, when it has imagehash.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from mm_assets.cleaned.decoding import decode_image
from mm_assets.cleaned.duplicates import find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of
from mm_assets.cleaned.fingerprints import fingerprint_of
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.errors import DecodeError
from mm_assets.policy import DuplicatePolicy, ImagePolicy
from mm_assets.schemas import TABLES

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
KINDS = ("reencode", "resize", "crop", "all three")
MIN_RECALL, MIN_PRECISION, MAX_MS_PER_IMAGE = 0.95, 0.95, 6.0
TRUTH_SIDE_PX = 128
TRUTH_SIMILARITY = 0.9
FAINT_CONTRAST = 25.0
MIN_CONTRAST = 5.0
PHASH = """
import glob, json, resource, sys
import imagehash, numpy as np
from PIL import Image
files = json.load(open(sys.argv[1]))
bits = np.packbits(np.stack([imagehash.phash(Image.open(f).convert("RGB")).hash.ravel() for f in files]), axis=1)
kept, verdicts = [], {}
for row in range(len(files)):
    distances = np.bitwise_count(bits[kept] ^ bits[row]).sum(axis=1) if kept else np.array([99])
    alike = np.flatnonzero(distances <= 8)
    if len(alike):
        verdicts[row] = int(kept[alike[0]])
    else:
        kept.append(row)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "verdicts": verdicts}))
"""


@dataclass(frozen=True)
class Corpus:
    """Files of one batch; the original of each, and how a copy was made (empty for an original)."""

    files: list[Path]
    originals: list[int]
    kinds: list[str]


def choose(folder: Path, half: str, count: int) -> list[Path]:
    """Files of one half, by the hash of their names."""
    files = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: hashlib.sha256(str(path.relative_to(folder)).encode()).digest(),
    )
    parity = {"tuning": 0, "report": 1}.get(half)
    if parity is not None:
        files = [path for path in files if hashlib.sha256(path.name.encode()).digest()[-1] % 2 == parity]
    return list(islice(filter(decodes, files), count))


def decodes(path: Path) -> bool:
    """Whether the file is a whole picture; deliveries hold damaged ones on purpose."""
    try:
        pixels_of(path)
    except DecodeError:
        return False
    return True


def plant(files: list[Path], copies: int, folder: Path, rng: random.Random) -> Corpus:
    """Originals, then copies written into the folder."""
    corpus = Corpus(list(files), list(range(len(files))), [""] * len(files))
    candidates = rng.sample(range(len(files)), len(files))
    for original in candidates:
        planted = len(corpus.files) - len(files)
        if planted == copies:
            break
        picture = Image.fromarray(pixels_of(files[original]))
        if np.asarray(picture).std() < MIN_CONTRAST:
            continue
        kind = KINDS[planted % len(KINDS)]
        width, height = picture.size
        if kind in {"crop", "all three"}:
            left, top, right, bottom = (0.02,) * 4 if rng.random() < 0.25 else (rng.uniform(0, 0.02) for _ in range(4))
            box = (left * width, top * height, width - right * width, height - bottom * height)
            picture = picture.crop(tuple(round(edge) for edge in box))
        if kind in {"resize", "all three"}:
            scale = rng.uniform(0.5, 2.0)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            resampling = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS))
            picture = picture.resize(size, resampling)
        if kind in {"reencode", "all three"}:
            target = folder / f"{planted:05d}.jpg"
            picture.save(target, quality=rng.randint(40, 90))
        else:
            target = folder / f"{planted:05d}.png"
            picture.save(target)
        corpus.files.append(target)
        corpus.originals.append(original)
        corpus.kinds.append(kind)
    return corpus


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """Decoded as the image cleaner does."""
    return decode_image(path.read_bytes(), path.name, ImagePolicy(min_side_px=1, max_aspect=1e6)).pixels


def ours(files: list[Path], policy: DuplicatePolicy) -> tuple[dict[int, int], dict[str, float]]:
    """Verdicts by row, and CPU milliseconds per image of each part."""
    started = time.process_time()
    rows = []
    decoding = 0.0
    for position, path in enumerate(files):
        data = path.read_bytes()
        before = time.process_time()
        pixels = decode_image(data, path.name, ImagePolicy(min_side_px=1, max_aspect=1e6)).pixels
        decoding += time.process_time() - before
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(data).hexdigest()
        rows.append(("benchmark", str(position), position, digest, width, height, *astuple(fingerprint_of(pixels))))
    own = pl.DataFrame(rows, schema=TABLES["image_fingerprints"].schema, orient="row")
    searching = time.process_time()
    found = find_duplicates(own, [], reader_of(own), policy)
    ended = time.process_time()
    verdicts = {int(one): int(other) for one, other in found.select("image_id", "duplicate_of").iter_rows()}
    each = 1_000 / len(files)
    cpu = {
        "decode": decoding * each,
        "fingerprint": (searching - started - decoding) * each,
        "search and verdict": (ended - searching) * each,
        "ms per image": (ended - started) * each,
    }
    return verdicts, cpu


def phash(files: list[Path]) -> tuple[dict[int, int], dict[str, float]] | str:
    """The same by imagehash in another Python, or why it was not measured."""
    python = os.environ.get("MM_BENCH_DATA_JUICER")
    how = (
        "uv venv peers; uv pip install --python peers/bin/python imagehash; "
        "export MM_BENCH_DATA_JUICER=peers/bin/python"
    )
    if not python:
        return f"not measured: MM_BENCH_DATA_JUICER names no Python; {how}"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listing:
        json.dump([str(path) for path in files], listing)
        listing.flush()
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, "-c", PHASH, listing.name], capture_output=True, text=True, check=False, env=environment
        )
    if done.returncode:
        return f"not measured: {done.stderr.strip().splitlines()[-1]}; {how}"
    answer = json.loads(done.stdout)
    verdicts = {int(one): other for one, other in answer["verdicts"].items()}
    return verdicts, {"ms per image": answer["cpu"] * 1_000 / len(files)}


def same_picture_by_originals(corpus: Corpus) -> Callable[[int, int], bool]:
    """The independent truth on two originals, at 128 px."""

    @lru_cache(maxsize=4_096)
    def squashed(row: int) -> NDArray[np.float32]:
        size = (TRUTH_SIDE_PX, TRUTH_SIDE_PX)
        return cv2.resize(pixels_of(corpus.files[row]), size, interpolation=cv2.INTER_AREA).astype(np.float32)

    def explained(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
        inner = slice(4, -4)
        one, other = one[inner, inner], other[inner, inner]
        spread = 0.5 * (one.var(axis=(0, 1)).mean() + other.var(axis=(0, 1)).mean())
        return float(1.0 - np.square(one - other).mean() / max(float(spread), 1e-6))

    @cache
    def same(first: int, second: int) -> bool:
        one, other = squashed(first), squashed(second)
        best = explained(one, other)
        gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
        try:
            stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
            start = np.eye(2, 3, dtype=np.float32)
            _, move = cv2.findTransformECC(gray[1], gray[0], start, cv2.MOTION_AFFINE, stop, None, 5)
        except cv2.error:
            return best >= TRUTH_SIMILARITY
        if np.abs(move[:, :2] - np.eye(2)).max() < 0.06 and np.abs(move[:, 2]).max() < 6:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            size = (TRUTH_SIDE_PX, TRUTH_SIDE_PX)
            moved = cv2.warpAffine(one, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            best = max(best, explained(moved.astype(np.float32), other))
        return best >= TRUTH_SIMILARITY

    return lambda first, second: first == second or same(min(first, second), max(first, second))


def scored(
    corpus: Corpus, verdicts: dict[int, int], same: Callable[[int, int], bool]
) -> tuple[dict[str, float], list[tuple[int, int]], list[tuple[int, int]]]:
    """Recall over planted copies, precision over verdicts; wrong verdicts; right ones between different originals."""
    roots = corpus.originals
    right = {row: same(roots[row], roots[target]) for row, target in verdicts.items()}
    found, planted = Counter(), Counter()
    for row, kind in enumerate(corpus.kinds):
        if kind:
            planted[kind] += 1
            found[kind] += right.get(row, False)
    copies = [row for row, kind in enumerate(corpus.kinds) if kind]
    strong = {row for row in {*verdicts, *copies} if contrast(corpus, row) >= FAINT_CONTRAST}
    figures = {
        "recall": found.total() / max(1, planted.total()),
        "precision": sum(right.values()) / max(1, len(right)),
        "verdicts": len(right),
        "verdicts between different originals": sum(roots[row] != roots[target] for row, target in verdicts.items()),
        "recall, not faint": share([right.get(row, False) for row in copies if row in strong]),
        "precision, not faint": share([good for row, good in right.items() if row in strong]),
    }
    figures |= {f"recall, {kind}": found[kind] / planted[kind] for kind in KINDS if planted[kind]}
    wrong = [(row, verdicts[row]) for row, good in right.items() if not good]
    extra = [(row, verdicts[row]) for row, good in right.items() if good and roots[row] != roots[verdicts[row]]]
    return figures, wrong, extra


def share(outcomes: list[bool]) -> float:
    """Of outcomes that are true."""
    return sum(outcomes) / max(1, len(outcomes))


def contrast(corpus: Corpus, row: int) -> float:
    """Standard deviation of a file's 64 px thumbnail, in levels of 255."""
    return float(cv2.resize(pixels_of(corpus.files[row]), (64, 64), interpolation=cv2.INTER_AREA).std())


def draw(corpus: Corpus, pairs: list[tuple[int, int]], target: Path) -> None:
    """A sheet of pairs side by side."""
    tiles = [Tile(corpus.files[row].read_bytes(), (str(row),)) for pair in pairs for row in pair]
    sheet = contact_sheet(tiles, columns=8, side=120)
    target.write_bytes(sheet)


def main() -> int:
    """Measure and report; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "demo" / "data" / "landing")
    parser.add_argument("--half", choices=("report", "tuning", "both"), default="report")
    parser.add_argument("--pictures", type=int, default=1_800)
    parser.add_argument("--copies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    files = choose(arguments.folder, arguments.half, arguments.pictures)
    if not files:
        parser.error(f"{arguments.folder} holds no pictures")
    with tempfile.TemporaryDirectory() as folder:
        corpus = plant(files, arguments.copies, Path(folder), random.Random(arguments.seed))  # noqa: S311 - seeded
        same = same_picture_by_originals(corpus)
        ours(corpus.files[:20], DuplicatePolicy())  # imports and first calls
        verdicts, cpu = ours(corpus.files, DuplicatePolicy())
        figures, wrong, extra = scored(corpus, verdicts, same)
        report: dict[str, object] = {
            "pictures": len(files),
            "copies": len(corpus.files) - len(files),
            "ours": figures | cpu,
        }
        peer = phash(corpus.files)
        report["imagehash pHash"] = peer if isinstance(peer, str) else scored(corpus, peer[0], same)[0] | peer[1]
        if arguments.sheet:
            draw(corpus, wrong[:16] + extra[:16], arguments.sheet)
    bounds = {
        f"recall >= {MIN_RECALL}": figures["recall"] >= MIN_RECALL,
        f"precision >= {MIN_PRECISION}": figures["precision"] >= MIN_PRECISION,
        f"ms per image <= {MAX_MS_PER_IMAGE}": cpu["ms per image"] <= MAX_MS_PER_IMAGE,
    }
    report["bounds"] = bounds
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0 if all(bounds.values()) else 1
    print(f"{report['pictures']} pictures, {report['copies']} planted copies, half: {arguments.half}")
    for name in ("ours", "imagehash pHash"):
        row = report[name]
        if not isinstance(row, dict):
            print(f"{name}: {row}")
            continue
        print(name)
        for label, value in row.items():
            print(f"  {label:40s} {value:10.3f}")
    for bound, met in bounds.items():
        print(f"{bound}: {'met' if met else 'MISSED'}")
    return 0 if all(bounds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
