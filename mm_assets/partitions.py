"""The two dynamic partition sets: ingest batches and releases."""

from typing import Final

import dagster as dg

batches: Final = dg.DynamicPartitionsDefinition(name="batches")
releases: Final = dg.DynamicPartitionsDefinition(name="releases")
