"""A small lake with a sample of every kind, made of real files of the demo data, and rows on every table between."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mm_assets.features.ragged_shards import write_ragged_shard
from mm_assets.features.shards import write_shard
from mm_assets.identifiers import make_id
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.local_landing import LocalLanding

DEMO = Path(__file__).resolve().parents[3] / "demo" / "data" / "landing"
BATCH = "talks"
TAR = "stamps-home-02/images/stamps-home-02-000.tar"
BLANK = {pl.String: "x", pl.Boolean: False, pl.Binary: b"x"}


def fill(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row with a value in every column that must have one."""
    usual = {
        name: None if column.nullable else BLANK.get(column.dtype, [] if isinstance(column.dtype, pl.List) else 0)
        for name, column in TABLES[table].columns.items()
    }
    usual |= {name: "{}" for name in usual if name.endswith("_json") and usual[name] is not None}
    return usual | row


@dataclass
class Library:
    """The lake, its landing area, and the ids of what is in it."""

    lake: DeltaLake
    landing: LocalLanding
    ids: dict[str, str] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)

    def write(self, table: str, *rows: dict[str, Any], batch: str = BATCH) -> None:
        """Make these the batch's rows, with blanks where nothing is said."""
        whole = [fill(table, {"batch": batch, **row}) for row in rows]
        self.lake.replace(table, batch, pl.DataFrame(whole, schema=TABLES[table].schema))

    def reference(self, key: str, member: str | None = None, offset: int = 0, size: int | None = None) -> dict:
        """A source_ref with its hash and size."""
        data = (DEMO / key).read_bytes()
        end = len(data) if size is None else offset + size
        return {
            "source_ref": {
                "uri": self.landing.uri(key),
                "member": member,
                "byte_offset": offset,
                "byte_size": end - offset,
                "frame_index": None,
            },
            "sha256": hashlib.sha256(data[offset:end]).hexdigest(),
            "size_bytes": end - offset,
        }


def _images(library: Library) -> None:
    first = library.reference(TAR, "000000.jpg", 512, 10401)
    other = library.reference("stamps-animals-01/images/0001.png") if (
        DEMO / "stamps-animals-01/images/0001.png").is_file() else library.reference(_any_picture())  # fmt: skip
    ids = library.ids
    ids |= {name: make_id("img", name) for name in ("duck", "goose")}
    ids |= {f"{name}_caption": make_id("cap", name) for name in ("duck", "goose")}
    said = {"duck": "A duck swims on the village pond.", "goose": "A goose walks over the wet meadow."}
    about = {
        "duck": {**first, "source": "vendor-a", "license": "CC-BY-4.0", "record_ref": f"{TAR}!000000"},
        "goose": {**other, "source": "vendor-b", "license": "MIT", "record_ref": "talks/images/metadata.jsonl:2"},
    }
    for table in ("raw_images", "images"):
        library.write(table, *({"image_id": ids[name], "width": 9, "height": 9, **row} if table == "images"
                               else {"image_id": ids[name], **row} for name, row in about.items()))  # fmt: skip
    for table in ("raw_captions", "captions"):
        rows = [
            {"caption_id": ids[f"{name}_caption"], "image_id": ids[name], "text": text} for name, text in said.items()
        ]
        library.write(table, *rows)
    features = np.arange(1, 2 * 4 * 3 + 1, dtype=np.float16).reshape(2, 4, 3)
    references = write_shard(library.lake.files, BATCH, 0, features)
    rows = [
        {"image_id": ids[name], "embedding": [0.5], "spatial_features": reference}
        for name, reference in zip(about, references, strict=True)
    ]
    library.write("image_embeddings", *rows)
    library.write("boxes", {"box_id": make_id("box", 0), "image_id": ids["duck"], "x2": 3.0, "y2": 3.0,
                            "image_width": 9, "image_height": 9, "declared": [0.0] * 4})  # fmt: skip
    library.write(
        "object_alignments",
        {"sample_id": make_id("obj", 0), "box_id": make_id("box", 0), "image_id": ids["duck"], "x1": 0.0, "x2": 3.0,
         "y2": 3.0, "caption_id": ids["duck_caption"], "phrase": "duck", "phrase_start": 2, "phrase_end": 6,
         "verdict": "anchored"},
    )  # fmt: skip
    negative = {"positive_id": ids["goose_caption"], "image_id": ids["goose"], "donor_id": ids["duck_caption"],
                "text": said["duck"], "verdict": "kept", "strategy": "in_batch", "edits": []}  # fmt: skip
    library.write("hard_negatives", {"negative_id": make_id("neg", 0), **negative})
    library.write(
        "rejected",
        {"stage": "cleaned_images", "record_kind": "image", "code": "NEAR_DUPLICATE", "record_ref": "talks/x:3",
         "record_id": make_id("img", "copy"), "reason": f"talks/x:3: the same picture as {ids['duck']} of batch talks"},
    )  # fmt: skip


def _any_picture() -> str:
    found = next(
        path for path in sorted((DEMO / "stamps-animals-01/images").iterdir()) if path.suffix in {".png", ".jpg"}
    )
    return found.relative_to(DEMO).as_posix()


def _clip(library: Library) -> None:
    ids = library.ids
    ids |= {"clip": make_id("vid", 0), "sound": make_id("aud", 0), "piece": make_id("pce", 0), "cue": make_id("cue", 0)}
    ids |= {"segment": make_id("seg", 0), "frame": make_id("frm", 0)}
    video = library.reference("clips-animals-11/video/clip-03.mp4")
    track = library.reference("clips-animals-11/video/clip-03.wav")
    subtitles = library.reference("clips-animals-11/video/clip-03.srt")
    clip = {"clip_id": ids["clip"], "source": "vendor-a", "record_ref": "talks/video/metadata.jsonl:1"}
    separate = {"audio_ref": track["source_ref"], "audio_sha256": track["sha256"]}
    library.write("raw_videos", {**clip, **video, **separate, "text": "Nine animals are shown and named in turn."})
    library.write("raw_subtitles", {**clip, "source_ref": subtitles["source_ref"], "sha256": subtitles["sha256"]})
    sound = library.reference("clips-animals-11/audio/cow.ogg")
    library.write("raw_audio", {"clip_id": ids["sound"], **sound, "speaker": "Ada Lovelace", "source": "vendor-b"})
    spoken = {"clip_id": ids["clip"], "cue_id": ids["cue"], "start_us": 0, "end_us": 9, "text": "Bees are not birds."}
    library.write("raw_cues", {**spoken, "speaker": "Grace Hopper"})
    library.write("cues", {**spoken, "clip_end_us": 9, "raw_text": spoken["text"]})
    piece = {"piece_id": ids["piece"], "clip_id": ids["clip"]}
    library.write("clip_pieces", {**piece, "start_us": 0, "end_us": 9})
    (heard,) = write_ragged_shard(library.lake.files, BATCH, 0, [np.ones((2, 3), np.float16)])
    library.write(
        "audio_embeddings", {**piece, "features": heard, "end_us": 9, "tokens": 1, "token_us": 9, "embedding": [1.0]}
    )
    library.write(
        "key_frames", {**piece, "frame_id": ids["frame"], "time_us": 4, "end_us": 9, "spatial_features": "a#0"}
    )
    library.write(
        "segment_alignments",
        {**piece, "sample_id": ids["segment"], "cue_ids": [ids["cue"]], "text": "Bees are not birds.", "end_us": 9,
         "clip_end_us": 9, "verdict": "trimodal"},
    )  # fmt: skip


def _document(library: Library) -> None:
    ids = library.ids
    ids |= {"document": make_id("doc", 0), "block": make_id("blk", 0), "window": make_id("win", 0)}
    pdf = library.reference("history-14/documents/project-history.de.pdf")
    about = {"document_id": ids["document"], "source": "vendor-c", "record_ref": "history.pdf", **pdf}
    for table in ("raw_documents", "documents"):
        library.write(table, about)
    block = {"block_id": ids["block"], "document_id": ids["document"], "page": 3, "x1": 1.0, "y1": 2.0, "x2": 3.0}
    place = {"y2": 4.0, "source_ref": pdf["source_ref"], "text": "A long paragraph about the history."}
    library.write("document_blocks", {**block, **place})
    library.write("document_windows", {"window_id": ids["window"], "document_id": ids["document"]})
    library.write("document_order", {"evaluation_id": "eval_1", "affected_documents": [ids["document"]],
                                     "diagnosis_json": json.dumps({"worst": [ids["document"], 2]})})  # fmt: skip


def _texts(library: Library) -> None:
    data = (DEMO / "text-math-dialogue-09/text/math.jsonl").read_bytes().splitlines(keepends=True)
    ids = library.ids
    rows = []
    for number, kind in enumerate(("text", "dialogue")):
        start = sum(map(len, data[:number]))
        reference = library.reference("text-math-dialogue-09/text/math.jsonl", offset=start, size=len(data[number]))
        ids[kind] = make_id("txt", kind)
        place = {"record_ref": f"talks/text/math.jsonl:{number + 1}", "source_ref": reference["source_ref"]}
        text = json.loads(data[number])["text"]
        rows.append({"text_id": ids[kind], "text": text, "source": f"vendor-{kind}", **place})
    for table in ("raw_texts", "texts"):
        library.write(table, *rows)


def _samples(library: Library) -> None:
    ids = library.ids
    made_of: dict[str, dict[str, Any]] = {
        "image_text": {"image_id": ids["duck"], "caption_id": ids["duck_caption"]},
        "object": {"image_id": ids["duck"], "caption_id": ids["duck_caption"], "boxes_json": "[]"},
        "segment": {"segment_id": ids["segment"], "segment_json": json.dumps({"clip_id": ids["clip"]})},
        "document": {"document_json": json.dumps({"document_id": ids["document"], "window_id": ids["window"]})},
        "text": {"text_id": ids["text"]},
        "dialogue": {"text_id": ids["dialogue"]},
    }
    goose = {"image_id": ids["goose"], "caption_id": ids["goose_caption"], "kind": "image_text"}
    told = [
        {"text": "A duck swims on the village pond.", "strategy": "in_batch"},
        {"text": "A goose walks over the dry meadow.", "strategy": "subtle_replacement"},
    ]
    rows = [{"kind": kind, **row, "sample_id": make_id("mm", kind)} for kind, row in made_of.items()]
    features = dict(library.lake.scan("image_embeddings").select("image_id", "spatial_features").collect().iter_rows())
    library.samples = {row["kind"]: row["sample_id"] for row in rows} | {"goose": make_id("mm", "goose")}
    rows.append({**goose, "sample_id": library.samples["goose"], "negatives_json": json.dumps(told)})
    for row in rows:
        if row.get("image_id"):
            row["spatial_features"] = features[row["image_id"]]
    library.write("fusion_samples", *rows)
    drawn = [
        fill("mixtures", {"release": "spring", "batch": BATCH, "sample_id": sample, "position": place, "weight": 1.0})
        for place, sample in enumerate(library.samples.values())
    ]
    library.lake.replace("mixtures", "spring", pl.DataFrame(drawn, schema=TABLES["mixtures"].schema))
    lines = [
        json.dumps({"id": sample, "visual_features_path": None, "audio_features_path": None, "content": "…"})
        for sample in library.samples.values()
    ]
    files = library.lake.files
    files.put_bytes("releases/spring/samples/part-00000.jsonl", "".join(f"{line}\n" for line in lines).encode())
    listed = {"files": [{"path": "samples/part-00000.jsonl"}], "delta_versions": {"images": 1}, "code_version": "1"}
    files.put_bytes("releases/spring/manifest.json", json.dumps(listed).encode())
    files.put_bytes(f"previews/{BATCH}/window.html", b"<p>A duck swims on the village pond.</p>")


def build_library(root: Path) -> Library:
    """A new lake."""
    library = Library(DeltaLake(root=str(root)), LocalLanding(DEMO))
    for build in (_images, _clip, _document, _texts, _samples):
        build(library)
    return library


@pytest.fixture(scope="session")
def built_library(tmp_path_factory):
    return build_library(tmp_path_factory.mktemp("lineage") / "lake")


@pytest.fixture
def library(built_library, tmp_path):
    """A copy of the lake, to do with as one likes."""
    shutil.copytree(built_library.lake.root, tmp_path / "lake")
    return replace(built_library, lake=DeltaLake(root=str(tmp_path / "lake")))
