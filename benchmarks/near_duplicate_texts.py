"""Near-duplicate texts: pairs found against an exact search, edits of captions found, CPU.

    python benchmarks/near_duplicate_texts.py FILE_OR_FOLDER … [--texts 60000] [--edits 6000] [--seed 1]

MM_BENCH_DATATROVE names the Python of an environment with datatrove[io,processing] and orjson, which then runs on the
same texts.

Texts are the paragraphs of ``*.txt``, ``*.mm`` and ``*.html`` files, each once, shuffled. Planted edits: one word in
forty of a long text is replaced; in a caption of five words or more, one letter or word is changed, dropped or added.
The truth on long texts is an exact search of all pairs (prefix filtering over word 5-grams, Jaccard 0.7 or more); an
edit of a caption counts as found if it is paired with its original.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from mm_assets.cleaned.text_duplicates import find_near_pairs, find_text_duplicates, fingerprint_texts
from mm_assets.cleaned.text_shingles import normalise_words
from mm_assets.documents.html import HtmlReader
from mm_assets.errors import InputError
from mm_assets.policy import DocumentReadingPolicy, TextDuplicatePolicy

POLICY = TextDuplicatePolicy()
WORDS_AN_EDIT = 40
MIN_CAPTION_WORDS = 5
MIN_CHARACTERS = 20


def read_paragraphs(path: Path) -> Iterator[str]:
    """Paragraphs of one file."""
    if path.suffix == ".html":
        try:
            blocks = list(HtmlReader(path.read_bytes(), path.name, DocumentReadingPolicy()).blocks())
        except InputError:
            return
        yield from (block.text for block in blocks if block.type in ("paragraph", "list", "caption"))
        return
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "replace")
    pieces = re.findall(r"\$\((.*?)\$\)", text, re.DOTALL) if path.suffix == ".mm" else re.split(r"\n\s*\n", text)
    yield from (" ".join(piece.split()) for piece in pieces)


def edit_long(text: str, words: list[str], rng: random.Random) -> str:
    """Replace one word in forty."""
    own = text.split()
    for _ in range(max(1, len(own) // WORDS_AN_EDIT)):
        own[rng.randrange(len(own))] = rng.choice(words)
    return " ".join(own)


def edit_caption(text: str, words: list[str], rng: random.Random) -> str:
    """Change, drop or add one letter or word."""
    own = text.split()
    at = rng.randrange(len(own))
    kind = rng.randrange(5)
    if kind == 0:
        letter = rng.randrange(len(own[at]))
        own[at] = own[at][:letter] + rng.choice("abcdefghijklmnopqrstuvwxyz") + own[at][letter + 1 :]
    elif kind == 1:
        own[at] = own[at][:-1] or "x"
    elif kind == 2:
        own.insert(at, rng.choice(words))
    elif kind == 3:
        del own[at]
    else:
        own[at] = rng.choice(words)
    return " ".join(own)


def exact_pairs(normal: list[str], bound: float) -> set[tuple[int, int]]:
    """All pairs of long texts at this Jaccard similarity of word 5-grams (Bayardo et al. 2007, prefix filter)."""
    sets: dict[int, set[tuple[str, ...]]] = {}
    for at, text in enumerate(normal):
        words = text.split()
        if len(words) >= POLICY.long_words:
            sets[at] = {tuple(words[n : n + 5]) for n in range(len(words) - 4)}
    frequency = Counter(shingle for own in sets.values() for shingle in own)
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for at, own in sets.items():
        ordered = sorted(own, key=lambda shingle: (frequency[shingle], shingle))
        prefix = ordered[: len(own) - int(-(-bound * len(own) // 1)) + 1]
        for other in {other for shingle in prefix for other in index[shingle]}:
            theirs = sets[other]
            if bound * len(own) <= len(theirs) <= len(own) / bound:
                shared = len(own & theirs)
                if shared / (len(own) + len(theirs) - shared) >= bound:
                    found.add((other, at))
        for shingle in prefix:
            index[shingle].append(at)
    return found


def run_datatrove(rows: pl.DataFrame) -> dict[str, float]:
    """CPU seconds of datatrove on the same texts, its start-up aside; empty if no environment has it."""
    python = os.environ.get("MM_BENCH_DATATROVE")
    if not python:
        return {}
    with tempfile.TemporaryDirectory(prefix="mm-datatrove-") as folder:
        texts = Path(folder) / "in" / "texts.jsonl"
        texts.parent.mkdir()
        spent: list[float] = []
        for some in (rows.head(10), rows):  # the first run tells what starting costs
            some.select(pl.col("text_id").alias("id"), "text").write_ndjson(texts)
            work = Path(folder) / f"work-{some.height}"
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            script = Path(__file__).with_name("datatrove_minhash.py")
            done = subprocess.run(
                [python, str(script), str(texts), str(work)], check=True, capture_output=True, text=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    started, whole = spent
    return {
        "cpu_seconds": round(whole - started, 2),
        "start_up": round(started, 2),
        "kept": int(done.stdout.split()[-1]),
    }


def main() -> None:
    """Run and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--texts", type=int, default=60_000)
    parser.add_argument("--edits", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)  # noqa: S311 - edits, not secrets
    files = [f for s in options.sources for f in (sorted(s.rglob("*")) if s.is_dir() else [s])]
    files = [f for f in files if f.suffix in (".txt", ".mm", ".html", ".gz")]
    texts = list(dict.fromkeys(t for f in files for t in read_paragraphs(f) if len(t) >= MIN_CHARACTERS))
    rng.shuffle(texts)
    texts = texts[: options.texts]
    words = [word for text in texts[:5_000] for word in text.split()]
    long = [at for at, text in enumerate(texts) if len(text.split()) >= WORDS_AN_EDIT]
    short = [at for at, text in enumerate(texts) if MIN_CAPTION_WORDS <= len(text.split()) < POLICY.long_words]
    half = options.edits // 2
    of_long = [(at, edit_long(texts[at], words, rng)) for at in rng.sample(long, min(half, len(long)))]
    of_short = [(at, edit_caption(texts[at], words, rng)) for at in rng.sample(short, min(half, len(short)))]
    rows = pl.DataFrame(
        {"text": [*texts, *(text for _, text in of_long), *(text for _, text in of_short)]}
    ).with_columns(batch=pl.lit("b"), text_id=pl.int_range(pl.len()).cast(pl.String), position=pl.int_range(pl.len()))

    def read(_batch: str, ids: pl.Series) -> pl.DataFrame:
        return rows.filter(pl.col("text_id").is_in(ids.implode()))

    begun = time.process_time()
    few = pl.concat([rows.head(10), rows.tail(10)])  # what starting costs, as of datatrove
    find_text_duplicates(fingerprint_texts(few, POLICY), [fingerprint_texts(few, POLICY)], read, POLICY)
    started = time.process_time()
    fingerprints = fingerprint_texts(rows, POLICY)
    printed = time.process_time()
    verdicts = find_text_duplicates(fingerprints, [], read, POLICY)
    ended = time.process_time()
    pairs = find_near_pairs(fingerprints, read, POLICY)
    normal = rows.select(normalise_words(pl.col("text"))).to_series().to_list()
    truth = exact_pairs(normal, POLICY.similarity)
    is_long = (fingerprints["words"] >= POLICY.long_words).to_list()
    exactly_equal = {(int(a), int(b)) for a, b, s in pairs.iter_rows() if s == 1.0}
    by_words = {(int(a), int(b)) for a, b, _ in pairs.iter_rows() if is_long[int(a)] and is_long[int(b)]}
    # texts of 20 to 23 words are compared by characters too; pairs found that way only are not of this truth
    both_short = {pair for pair in by_words - truth if max(len(normal[at].split()) for at in pair) < POLICY.short_words}
    judged = by_words - both_short
    told = set(pairs.select("first", "second").iter_rows())
    first_edit = len(texts) + len(of_long)
    hit = [(str(at), str(first_edit + n)) in told for n, (at, _) in enumerate(of_short)]
    print(
        json.dumps(
            {
                "texts": rows.height,
                "long_texts": sum(is_long),
                "true_pairs": len(truth),
                "found_pairs": len(judged),
                "pair_recall": round(len(judged & truth) / max(len(truth), 1), 6),
                "pair_precision": round(len(judged & (truth | exactly_equal)) / max(len(judged), 1), 6),
                "caption_edits": len(hit),
                "caption_edits_found": round(sum(hit) / max(len(hit), 1), 4),
                "duplicates": dict(verdicts["kind"].value_counts().iter_rows()),
                "cpu_seconds": {
                    "start_up": round(started - begun, 2),
                    "fingerprints": round(printed - started, 2),
                    "search": round(ended - printed, 2),
                },
                "datatrove": run_datatrove(rows) or "not run: set MM_BENCH_DATATROVE",
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
