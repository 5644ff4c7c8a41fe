"""The data card of a release, for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.display.counts import tell_count
from mm_assets.fusion.sequences import TOO_LONG_NAME, SequenceFormat
from mm_assets.mixtures.manifest import ReleaseManifest
from mm_assets.mixtures.pools import told_of_floor

_TITLES: Final = {
    "pools": "Pool",
    "kinds": "Kind",
    "modalities": "Modality",
    "modality_combinations": "Modalities together",
    "languages": "Language",
    "text_kinds": "Kind of text",
    "licenses": "Licence",
    "sources": "Source",
    "batches": "Batch",
    "splits": "Split",
}
_NOT_COMPARED: Final = "- Samples were not compared with any evaluation set.\n"
_COMPARED: Final = """\
- Samples were compared with the evaluation sets above by words and by the pictures of image samples; key frames of
  videos, figures of documents and sounds were not compared.
"""
_LIMITS: Final = """\
- Placeholders are counted against features and codes for every line; that a caption describes its picture is measured
  per batch by the gates above, not per sample.
- Text of a segment was compared with what was recognised in its sound, its pictures with its text by an encoder, sound
  with pictures by the offset gate; `segment.verdict` says what agreed, and `unverified` that nothing could tell.
- Licences and sources are those the deliveries declared; they were carried along, not verified.
- Who wrote a text, with which prompt, and whether a person looked at it is known only where the delivery says so.
- `und` means that the language was not determined.
"""
_ESTIMATE: Final = EstimatedTokens().identity


def write_data_card(manifest: ReleaseManifest) -> str:
    """Markdown with counts, licences, sources, gate values, exclusions and limits."""
    share, recipe = manifest.text_retention_share, manifest.recipe
    told = told_of_floor(recipe.min_text_retention, recipe.allow_no_text_retention)
    note = f" Note: {told}." if told else ""
    parts = [
        f"# {manifest.release}\n",
        f"{manifest.samples:,} fusion samples in release order (seed {manifest.seed}), one a line in `samples/`.",
        "The features and codes they point to lie in `features/` and `codes/`.\n",
        f"Text retention: {share:.1%} of the draws, floor {recipe.min_text_retention:.1%}.{note}\n",
        f"## Recipe\n\n{_describe_recipe(manifest)}\n",
    ]
    for name, title in _TITLES.items():
        counts = manifest.counts.get(name, {})
        if counts:
            parts.append(f"## {title}\n\n{_table((title, 'Samples'), _rows(counts))}\n")
    parts.append(f"## Placeholders\n\n{_describe_placeholders(manifest)}\n")
    if manifest.sequences is not None:
        parts.append(f"## Sequences\n\n{_describe_sequences(manifest.sequences)}\n")
    seconds = manifest.counts.get("segment_seconds", {})
    if seconds:
        rows = [(name, f"{count:,}") for name, count in sorted(seconds.items())]
        parts.append(f"## Segments\n\n{_table(('Modality', 'Seconds'), rows)}\n")
    if manifest.text_origins:
        origins = [
            (one.generator or "", one.prompt_version or "", one.spot_check or "", f"{one.samples:,}")
            for one in manifest.text_origins
        ]
        header = ("Generator", "Prompt", "Spot check", "Samples")
        parts.append(f"## Origin of texts, as declared\n\n{_table(header, origins)}\n")
    gates = [
        (gate.batch, gate.gate, _number(gate.measured), _number(gate.threshold), "passed" if gate.passed else "waived")
        for gate in manifest.gates
    ]
    parts.append(
        "## Gates\n\n" + (_table(("Batch", "Gate", "Measured", "Threshold", "Verdict"), gates) or "None.") + "\n"
    )
    excluded = list(manifest.excluded_batches.items())
    parts.append(f"## Left out\n\n{_table(('Batch', 'Why'), excluded) or 'No batch.'}\n")
    left_out = [(one.code, one.evaluation_set or "", f"{one.samples:,}") for one in manifest.exclusions]
    parts.append(f"{_table(('Code', 'Evaluation set', 'Samples'), left_out) or 'No sample of the others.'}\n")
    if manifest.evaluation_sets:
        sets = [(one.name, one.digest) for one in manifest.evaluation_sets]
        parts.append(f"## Compared with\n\n{_table(('Evaluation set', 'Hash of its files'), sets)}\n")
    made_with = [*((model, "model") for model in manifest.models), (manifest.code_version, "code")]
    parts.append(f"## Made with\n\n{_table(('Name', 'What'), made_with)}\n")
    parts.append(f"## Known limits\n\n{_LIMITS}{_COMPARED if manifest.evaluation_sets else _NOT_COMPARED}")
    return "\n".join(parts)


_ORIGINS: Final = {
    "as_delivered": "Pools were drawn as delivered, raised to their floors where they lay below.",
    "by_hand": "The shares were given by hand.",
    "ablation": "The shares are those that the ablation chose.",
}


def _describe_recipe(manifest: ReleaseManifest) -> str:
    recipe = manifest.recipe
    draws = manifest.counts.get("draws", {})
    total = sum(draws.values())
    rows = [
        (
            pool,
            f"{manifest.counts['pools'].get(pool, 0):,}",
            f"{recipe.shares[pool]:.1%}" if pool in recipe.shares else "",
            f"{recipe.floors.get(pool, 0.0):.1%}",
            f"{count:,}",
            f"{count / total:.1%}" if total else "",
        )
        for pool, count in sorted(draws.items())
    ]
    said = (
        f"{_ORIGINS[recipe.origin]} `weight` is how often a sample is drawn in a pass through the training split, at "
        f"most {recipe.max_repeats} times; a reader that ignores it does not train on the "
        f"recipe. Order: {recipe.curriculum}. Whole groups (one picture, document, clip or text, and near-duplicates) "
        f"were kept from training: {recipe.splits.validation:.1%} for validation and "
        f"{recipe.splits.test:.1%} for tests, of pools with {recipe.splits.min_groups} groups or more.\n\n"
    )
    return said + _table(("Pool", "Samples", "Asked", "Floor", "Draws", "Share"), rows)


def _describe_placeholders(manifest: ReleaseManifest) -> str:
    vocabulary = manifest.vocabulary
    described = (
        f"Syntax version {manifest.placeholder_version}. `<IMG_TK_n>` is token {vocabulary.image_code_offset} + n, "
        f"n below {vocabulary.image_codes}."
    )
    if vocabulary.audio_codes:
        described += f" `<AUD_TK_n>` is token {vocabulary.audio_code_offset} + n, n below {vocabulary.audio_codes}."
    if manifest.features is not None:
        described += (
            f" Every image has {manifest.features.vectors} codes and as many feature rows of "
            f"{manifest.features.channels} {manifest.features.dtype} values."
        )
    for one in manifest.segment_features:
        described += (
            f" The {one.medium} of a segment has {one.min_vectors} to {one.max_vectors} codes and as many feature rows "
            f"of {one.channels} {one.dtype} values."
        )
    return described


def _describe_sequences(sequences: SequenceFormat) -> str:
    described = (
        f"`sequences/` says which samples share a window of {sequences.window_tokens:,} tokens: "
        f"{sequences.windows:,} windows hold {sequences.samples:,} samples and are {sequences.fill:.1%} full. "
        "No sample is cut; sample i takes the tokens from `boundaries[i]` to `boundaries[i + 1]` and may attend to no "
        "others. A window holds one split; a sample of weight n stands in n windows. "
        f"{sequences.counter} counted the texts; every code, sentinel and box tag is one token, and "
        f"{sequences.separator_tokens} stands behind every sample."
    )
    if sequences.counter == _ESTIMATE:
        described += (
            " That is an estimate: windows can turn out longer than that in the model's own tokens; name its "
            "tokenizer in `windows.tokenizer` for an exact count."
        )
    if sequences.too_long:
        described += (
            f" In `{TOO_LONG_NAME}` stands what is longer than a window: {tell_count(sequences.too_long, 'sample')}."
        )
    return described


def _rows(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
