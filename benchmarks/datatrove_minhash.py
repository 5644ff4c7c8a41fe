"""Near-duplicate texts by datatrove, for comparison; it runs in an environment of its own that has datatrove.

    PYTHON benchmarks/datatrove_minhash.py TEXTS.jsonl FOLDER

TEXTS.jsonl holds one ``{"id": …, "text": …}`` a line. The settings are datatrove's own: word 5-grams, 14 buckets of 8
hashes. Prints the number of texts that are left.
"""

import argparse
import gzip
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter


def main() -> None:
    """Run the four stages one after the other, in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    config, work = MinhashConfig(n_grams=5), options.work

    def reader() -> JsonlReader:
        return JsonlReader(str(options.texts.parent), glob_pattern=options.texts.name)

    stages = [
        [reader(), MinhashDedupSignature(output_folder=str(work / "signatures"), config=config)],
        [MinhashDedupBuckets(str(work / "signatures"), str(work / "buckets"), config=config)],
        [MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=config)],
        [reader(), MinhashDedupFilter(str(work / "remove")), JsonlWriter(str(work / "kept"))],
    ]
    for at, stage in enumerate(stages):
        tasks = config.num_buckets if at == 1 else 1
        LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=str(work / f"log{at}")).run()
    kept = 0
    for path in (work / "kept").glob("*.gz"):
        with gzip.open(path) as lines:
            kept += sum(1 for _ in lines)
    print(kept)


if __name__ == "__main__":
    main()
