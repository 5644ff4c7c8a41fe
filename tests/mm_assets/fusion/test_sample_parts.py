"""Whatever is packed comes back part by part, from a release that the linter finds clean."""

import json
import re
import tempfile
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.errors import ContractError, FormatError
from mm_assets.fusion.document_packing import join_figures, pack_documents
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.negative_texts import list_negatives, with_negatives
from mm_assets.fusion.object_packing import pack_objects
from mm_assets.fusion.placeholders import Modality, Vocabulary, contains_placeholder, inspect_content
from mm_assets.fusion.sample_parts import MediaPart, Phrase, TextPart, put_together, take_apart
from mm_assets.fusion.samples import Box, FusionLine
from mm_assets.fusion.sequences import SequenceLine
from mm_assets.identifiers import make_id
from mm_assets.mixtures.sequence_files import count_tokens
from mm_assets.policy import FusionPolicy, MixturePolicy, PackingPolicy
from mm_assets.schemas import TABLES

TRICKY = (
    "<", ">", "|", "&", "&lt;", "&gt;", "IMG_TK_3", "AUD_TK", "image_start", "box", "/", "%3c", "\\u003c", "\\", '"',
    "\n", "\t", " ", "  ", "\u2028", "é", "e\u0301", "池の上", "\u202educk", "🦆", "a", "duck", "5 < 6", "0",
)  # fmt: skip
TEXTS = st.lists(
    st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=("Cs",)), max_size=4), max_size=8
).map("".join)
SOME_TEXT = TEXTS.filter(lambda text: bool(text.strip()))
CORNERS = st.integers(0, 9).map(lambda left: (float(left), 0.5, left + 1.25, 9.0))
JSON_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u(?!00[01][0-9a-f])")


@st.composite
def text_parts(draw, *, behind_span):
    text = draw(TEXTS.filter(lambda text: not contains_placeholder(text)))
    apart = behind_span and (text.startswith(" ") or not text or draw(st.booleans()))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return TextPart(
        text, tuple(Phrase(*pair, tuple(draw(st.lists(CORNERS, min_size=1, max_size=2)))) for pair in pairs), apart
    )


@st.composite
def contents(draw):
    parts = []
    for is_text in draw(st.lists(st.booleans(), max_size=6)):
        if not is_text:
            codes = draw(st.lists(st.integers(0, 70_000), min_size=1, max_size=5))
            parts.append(MediaPart(draw(st.sampled_from(Modality)), tuple(codes)))
        elif not parts or isinstance(parts[-1], MediaPart):
            part = draw(text_parts(behind_span=bool(parts)))
            parts += [part] if part.text or part.apart else []
    return parts


@given(contents())
def test_parts_make_content_and_content_makes_the_parts(parts):
    content, boxes = put_together(parts)
    assert inspect_content(content)[1] == {}
    assert take_apart(content, boxes) == parts
    again = put_together(take_apart(content, boxes))
    assert again == (content, boxes)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([TextPart("a"), TextPart("b")], "join them"),
        ([TextPart("a", apart=True)], "apart from no span"),
        ([MediaPart(Modality.AUDIO, ())], "at least one code"),
        ([MediaPart(Modality.IMAGE, (3, -1))], "none is negative"),
        ([MediaPart(Modality.IMAGE, (3,)), TextPart(" a")], "would not come back"),
        ([TextPart("")], "would not come back"),
        ([TextPart("a &lt;IMG_TK_3&gt;")], "reads as a placeholder"),
        ([TextPart("duck", (Phrase(0, 3, ((0, 0, 1, 1),)), Phrase(2, 4, ((0, 0, 1, 1),))))], "overlap"),
        ([TextPart("duck", (Phrase(0, 9, ((0, 0, 1, 1),)),))], "overlap"),
        ([TextPart("duck", (Phrase(1, 1, ((0, 0, 1, 1),)),))], "are empty"),
        ([TextPart("duck", (Phrase(0, 4, ()),))], "have no box"),
    ],
)
def test_parts_that_would_not_come_back_are_refused(parts, told):
    with pytest.raises(ContractError, match=told):
        put_together(parts)


def test_content_that_breaks_the_syntax_does_not_come_apart():
    with pytest.raises(FormatError, match="UNPAIRED_SENTINEL"):
        take_apart("<|image_start|><IMG_TK_3> A duck.")
    with pytest.raises(FormatError, match="BOX_MISMATCH"):
        take_apart("A <box>duck</box>.")
    with pytest.raises(FormatError, match="BOX_MISMATCH"):
        take_apart("A duck.", [Box((2, 6), (0.0, 0.0, 1.0, 1.0))])


@st.composite
def batches(draw):
    """What goes in: pictures with captions, phrases and labels, false captions, texts, segments and windows."""
    pictures = draw(st.lists(st.tuples(st.lists(SOME_TEXT, max_size=2), st.lists(SOME_TEXT, max_size=2)), max_size=3))
    places = st.tuples(st.integers(0, 20), st.integers(1, 6))
    phrases = [[draw(st.lists(places, max_size=3)) for _ in captions] for captions, _ in pictures]
    kinds, verdicts = ("math", "code", "prose", "dialogue"), ("trimodal", "audio_text", "video_text")
    return {
        "pictures": [(*picture, own) for picture, own in zip(pictures, phrases, strict=True)],
        "negatives": draw(st.lists(SOME_TEXT, max_size=2)),
        "texts": draw(st.lists(st.tuples(st.sampled_from(kinds), SOME_TEXT), max_size=4)),
        "segments": draw(st.lists(st.tuples(st.sampled_from(verdicts), SOME_TEXT), max_size=3)),
        "windows": draw(st.lists(st.lists(st.none() | SOME_TEXT, min_size=1, max_size=5), max_size=2)),
        "window_tokens": draw(st.sampled_from((24, 64, 8_192))),
    }


class Packed:
    """A batch, packed by every packer, and the parts that have to come back by what each sample was made of."""

    def __init__(self, kit, given_batch):
        self.kit = kit
        self.expected = {}
        self.turned_away = []
        self.material = kit.make_batch(
            "b1", [captions for captions, _, _ in given_batch["pictures"]], given_batch["texts"]
        )
        self.features, self.sounds = dict(self.material.features), {}
        self.codes = dict(self.material.visual_codes.select("image_id", "codes").iter_rows())
        frames = [
            self.pictures(given_batch["negatives"]),
            self.objects(given_batch["pictures"]),
            self.segments(given_batch["segments"]),
            self.documents(given_batch["windows"]),
        ]
        self.samples = pl.concat([frame.select(TABLES["fusion_samples"].schema.names()) for frame in frames])

    def keep(self, packed, texts):
        """The samples, once what was turned away is known to read as a placeholder."""
        for row in packed.rejected.iter_rows(named=True):
            assert row["code"] in {"PLACEHOLDER_IN_TEXT", "NO_CAPTION", "PHRASE_OVERLAPS"}
            assert row["code"] != "PLACEHOLDER_IN_TEXT" or contains_placeholder(texts[row["record_id"]])
            self.turned_away.append(row["record_id"])
        return packed.samples

    def pictures(self, false_texts):
        images, texts = self.kit.pack(self.material)
        captions = dict(self.material.captions.select("caption_id", "text").iter_rows())
        rows = [
            {"batch": "b1", "negative_id": f"{caption}{n}", "positive_id": caption, "positive_text": text,
             "text": false, "strategy": "in_batch", "verdict": "kept", "verdict_reason": "", "difficulty": 0.5}
            for caption, text in captions.items() for n, false in enumerate(false_texts)
        ]  # fmt: skip
        images = with_negatives(images, list_negatives(self.kit.frame("hard_negatives", rows), 3))
        written = dict(self.material.texts.select("text_id", "text").iter_rows())
        kept = pl.concat([self.keep(images, captions), self.keep(texts, written)])
        for row in kept.iter_rows(named=True):
            own = written.get(row["text_id"])
            image = MediaPart(Modality.IMAGE, tuple(self.codes.get(row["image_id"], ())))
            caption = TextPart(captions.get(row["caption_id"], ""), apart=True)
            self.expected[row["sample_id"]] = [image, caption] if own is None else [TextPart(own)]
            false = {
                text for text in false_texts if not contains_placeholder(text) and text.strip() != caption.text.strip()
            }
            assert {n["text"] for n in json.loads(row["negatives_json"] or "[]")} == (false if own is None else set())
        return kept

    def objects(self, pictures):
        rows = []
        captions = self.material.captions.group_by("image_id", maintain_order=True).agg("caption_id", "text")
        own = {image: list(zip(ids, texts, strict=True)) for image, ids, texts in captions.iter_rows()}
        for image, (_, labels, places) in zip(self.material.images["image_id"], pictures, strict=True):
            found = [
                (caption, text, (start, min(start + length, len(text))))
                for (caption, text), spans in zip(own.get(image, []), places, strict=True)
                for start, length in spans
                if start < len(text)
            ]
            rows += [(image, caption, text[slice(*span)], span, text) for caption, text, span in found]
            rows += [(image, None, label, (None, None), label) for label in labels]
        made = [
            {"batch": "b1", "sample_id": f"obj_{n}", "box_id": f"box_{n}", "image_id": image, "box_index": n,
             "caption_id": caption, "phrase": phrase, "phrase_start": start, "phrase_end": end, "x1": float(n),
             "y1": 0.5, "x2": n + 1.25, "y2": 9.0, "verdict": "anchored" if caption else "label_only"}
            for n, (image, caption, phrase, (start, end), _) in enumerate(rows)
        ]  # fmt: skip
        m = self.material
        packed = pack_objects(
            m.images, m.captions, self.kit.frame("object_alignments", made), m.visual_codes, m.image_embeddings, {},
            FusionPolicy(), codebook_size=self.kit.CODES,
        )  # fmt: skip
        kept = self.keep(packed, {f"obj_{n}": text for n, (*_, text) in enumerate(rows)})
        used = [
            (made_of, *row)
            for made_of, row in zip(made, rows, strict=True)
            if made_of["sample_id"] not in self.turned_away
        ]
        corners = lambda row: tuple(row[name] for name in ("x1", "y1", "x2", "y2"))  # noqa: E731
        for sample in kept.iter_rows(named=True):
            group = [entry for entry in used if (entry[1], entry[2]) == (sample["image_id"], sample["caption_id"])]
            boxes = {}
            text = "" if sample["caption_id"] is None else group[0][5]
            for row, _, caption, phrase, span, _ in group:
                if caption is None:
                    text += (" " if text else "") + phrase
                    span = (len(text) - len(phrase), len(text))  # noqa: PLW2901 - labels stand where they were put
                boxes.setdefault(span, []).append(corners(row))
            phrases = tuple(Phrase(*span, tuple(own)) for span, own in sorted(boxes.items()))
            image = MediaPart(Modality.IMAGE, tuple(self.codes[sample["image_id"]]))
            self.expected[sample["sample_id"]] = [image, TextPart(text, phrases, apart=True)]
        return kept

    def segments(self, given_segments):
        made = self.kit.make_segments("b1", given_segments)
        self.features.update(made.features)
        self.sounds.update(made.sounds)
        rows = {row["sample_id"]: row for row in made.segments.iter_rows(named=True)}
        kept = self.keep(made.pack(), {name: row["text"] for name, row in rows.items()})
        pieces = {"video": made.key_frames.join(made.key_frame_codes, on="frame_id"), "audio": made.audio_codes}
        for sample in kept.iter_rows(named=True):
            row = rows[sample["segment_id"]]
            parts = [TextPart(row["text"], apart=True)]
            for medium in ("audio", "video"):
                codes = pieces[medium].filter(pl.col("piece_id") == row["piece_id"])["codes"].explode().to_list()
                parts = [MediaPart(Modality(medium), tuple(codes)), *parts] if medium in row["modalities"] else parts
            self.expected[sample["sample_id"]] = parts
        return kept

    def documents(self, windows):
        generator = np.random.default_rng(5)
        rows, figures = [], []
        for number, elements in enumerate(windows):
            for place, text in enumerate(elements):
                figure = make_id("blk", number, place) if text is None else None
                rows.append(
                    {"batch": "b1", "window_id": f"win_{number}", "document_id": "doc_1", "window_index": number,
                     "position": place, "block_position": place, "modality": "image" if figure else "text",
                     "text": text or "", "image_ref": figure, "page": 1, "tokens": 3, "refers_to": []}
                )  # fmt: skip
                figures += [figure] if figure else []
        codes = generator.integers(0, self.kit.CODES, (len(figures), self.kit.VECTORS))
        references = [f"features/b1/doc-0000.safetensors#{place}" for place in range(len(figures))]
        for reference in references:
            self.features[reference] = generator.normal(size=(self.kit.VECTORS, self.kit.CHANNELS)).astype(np.float16)
        schema = {"block_id": pl.String, "codes": pl.List(pl.Int32), "codebook_version": pl.String}
        coded = {"block_id": figures, "codes": codes.tolist(), "codebook_version": ["cb-1"] * len(figures)}
        placed = {"block_id": figures, "spatial_features": references}
        joined = join_figures(
            pl.DataFrame(placed, schema=dict.fromkeys(placed, pl.String)), pl.DataFrame(coded, schema), self.kit.CODES
        )
        document = {
            "document_id": "doc_1",
            "source": "vendor-a",
            "license": "CC0",
            "language": "en",
            "record_ref": "a.html",
        }
        packed = pack_documents(
            self.kit.frame("document_windows", rows), pl.DataFrame([document]), joined,
            TABLES["caption_bindings"].empty(), {}, FusionPolicy(),
        )  # fmt: skip
        kept = self.keep(
            packed, {f"win_{n}": "\n\n".join(text or "" for text in texts) for n, texts in enumerate(windows)}
        )
        code_of = dict(zip(figures, codes.tolist(), strict=True))
        for sample in kept.iter_rows(named=True):
            number = msgspec.json.decode(sample["document_json"])["window_index"]
            parts = []
            for place, text in enumerate(windows[number]):
                between = "\n\n" if place else ""
                if between or text is not None:
                    before = parts.pop().text if parts and isinstance(parts[-1], TextPart) else ""
                    parts.append(TextPart(before + between + (text or "")))
                if text is None:
                    parts.append(MediaPart(Modality.IMAGE, tuple(code_of[make_id("blk", number, place)])))
            self.expected[sample["sample_id"]] = parts
        return kept


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches())
def test_samples_of_every_kind_come_back_from_a_clean_release(kit, given_batch):
    packed = Packed(kit, given_batch)
    plain = kit.make_batch("b2", [["A plain duck."]], [("prose", "A text that keeps the floor.")])
    with tempfile.TemporaryDirectory() as scratch:
        maker = kit.ReleaseMaker(
            Path(scratch),
            MixturePolicy(samples_per_file=5, feature_rows_per_file=3, min_text_retention=0.001),
            PackingPolicy(window_tokens=given_batch["window_tokens"]),
        )
        maker.features.rows.update(packed.features)
        maker.sounds.rows.update(packed.sounds)
        maker.samples += [packed.samples] if packed.samples.height else []
        maker.add(plain)
        manifest = maker.write()
        folder = maker.root / "r1"
        for bulk in (0, 2**62):
            assert lint_paths([folder], LintOptions(bulk_from_bytes=bulk)).clean
        raw_lines = [
            raw for path in sorted(folder.glob("samples/*")) for raw in path.read_bytes().splitlines(keepends=False)
        ]
        lines = [msgspec.json.decode(raw, type=FusionLine) for raw in raw_lines]
        assert not any(JSON_ESCAPE.search(raw) for raw in raw_lines)
        vocabulary = manifest.vocabulary.vocabulary()
        for line in lines:
            parts = take_apart(line.content, line.boxes)
            assert put_together(parts) == (line.content, line.boxes)
            check_features(folder, line, parts, packed, vocabulary)
            if line.batch == "b1":
                assert parts == packed.expected.pop(line.id)
        assert packed.expected == {}
        check_sequences(folder, lines, manifest.sequences)


def check_features(folder, line, parts, packed, vocabulary: Vocabulary):
    """Placeholders, feature rows and stored codes are as many, the codes equal, and inside the vocabulary."""
    for medium, reference in (("visual", line.visual_features_path), ("audio", line.audio_features_path)):
        own = [
            part
            for part in parts
            if isinstance(part, MediaPart) and (part.modality is Modality.AUDIO) == (medium == "audio")
        ]
        assert (reference is None) == (own == [])
        if reference is None:
            continue
        path, _, row = reference.partition("#")
        codes = [code for part in own for code in part.codes]
        features = load_file(folder / path)[f"{medium}_features"][int(row)]
        stored = load_file(folder / path.replace("features", "codes", 1))[f"{medium}_codes"][int(row)]
        assert len(features) == len(codes)
        assert stored.tolist() == codes
        low = vocabulary.audio_offset if medium == "audio" else vocabulary.image_offset
        ids = [vocabulary.token_id(own[0].modality, code) for code in codes]
        assert all(low <= token < low + vocabulary.size(own[0].modality) for token in ids)
        assert min(ids) >= vocabulary.text_size


def check_sequences(folder, lines, declared):
    """Every sample is whole in one window, at its place, with as many tokens as it has."""
    files = sorted((folder / "sequences").glob("*.jsonl"))
    windows = [
        (path.name, msgspec.json.decode(raw, type=SequenceLine))
        for path in files
        for raw in path.read_bytes().splitlines()
    ]
    tokens = count_tokens([line.content for line in lines], EstimatedTokens())
    assert sorted(place for _, window in windows for place in window.positions) == list(range(len(lines)))
    for name, window in windows:
        assert [lines[place].id for place in window.positions] == window.samples
        sizes = [end - start for start, end in zip(window.boundaries, window.boundaries[1:], strict=False)]
        assert sizes == [tokens[place] + declared.separator_tokens for place in window.positions]
        assert (window.tokens > declared.window_tokens) == (name == "too_long.jsonl")
    counted = {name: len(list(own)) for name, own in groupby(sorted(name for name, _ in windows))}
    assert declared.too_long == counted.get("too_long.jsonl", 0)
    assert declared.windows == sum(counted.values()) - declared.too_long
