"""What a delivery may contain."""

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section


class IngestPolicy(Section):
    """Bounds on what a delivery may contain; over them a record is rejected, never truncated."""

    chunk_rows: PositiveInt = Field(default=512, description="Rows held in memory at once by a reader.")
    chunk_bytes: PositiveInt = Field(
        default=33_554_432,
        description="Text and annotations held in memory at once by a reader; bounds a chunk of long lines.",
    )
    max_line_bytes: PositiveInt = Field(
        default=4_194_304, description="Longest manifest line; a longer one is one rejected row."
    )
    max_batch_json_bytes: PositiveInt = Field(default=65_536, description="Largest batch.json.")
    max_image_bytes: PositiveInt = Field(default=67_108_864, description="Largest encoded image file or tar member.")
    max_coco_bytes: PositiveInt = Field(default=1_073_741_824, description="Largest COCO annotation file.")
    max_tar_members: PositiveInt = Field(default=1_000_000, description="Most members one tar may have.")
    max_text_bytes: PositiveInt = Field(default=4_194_304, description="Largest text record.")
    max_text_file_bytes: PositiveInt = Field(
        default=1_073_741_824, description="Largest Parquet file of the text pool, and the most text it may decode to."
    )
    parquet_memory_bytes: PositiveInt = Field(
        default=8_589_934_592,
        description="Address space of the process that decodes Parquet; a decompression bomb ends there.",
    )
    parquet_stall_seconds: NonNegativeFloat = Field(
        default=300.0,
        description="Longest wait for the next rows of a Parquet file, seconds; then its process is ended.",
    )
    remote_read_threads: PositiveInt = Field(
        default=8,
        description="Files fetched at once from an object store, to hide its latency; boto3 pools 10 connections.",
    )
