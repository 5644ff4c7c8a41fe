"""Write a release in the formats that training tools load."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from mm_assets.commands.workspace import ResourceSet
from mm_assets.errors import ExportError, InputError
from mm_assets.gates.evidence import read_picture
from mm_assets.identifiers import validate_batch_id
from mm_assets.landing import Landing
from mm_assets.mixtures.exports.formats import ExportedRelease, export_release
from resources.delta_lake import DeltaLake
from resources.release_store import releases_of_lake


@dataclass(frozen=True)
class LandedPictures:
    """Pictures of samples, as they were delivered.

    They are looked up in the tables as they are now: ids of samples and pictures follow from their bytes.

    Attributes:
        lake: tables that lead from a sample to its picture.
        landing: where the pictures are.
    """

    lake: DeltaLake
    landing: Landing

    def read(self, sample_ids: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
        """Picture by picture: the sample's id, ``<image id><suffix>`` and the encoded bytes.

        Raises:
            ExportError: a picture is gone from its delivery, or its row from the tables.
        """
        if not sample_ids:
            return
        samples = self.lake.scan("fusion_samples").filter(pl.col("sample_id").is_in(sample_ids))
        images = self.lake.scan("images").select("batch", "image_id", "file_name", "source_ref")
        found = samples.select("batch", "sample_id", "image_id").join(images, on=["batch", "image_id"]).collect()
        missing = sorted(set(sample_ids) - set(found["sample_id"]))
        if missing:
            raise ExportError(f"sample {missing[0]} has no row of a picture; draw and package the release again")
        for row in found.sort("image_id", "sample_id").iter_rows(named=True):
            try:
                data = read_picture(self.landing, row["source_ref"])
            except InputError as error:
                raise ExportError(f"picture {row['file_name']} of {row['batch']}: {error}; deliver it again") from error
            yield row["sample_id"], row["image_id"] + PurePosixPath(row["file_name"]).suffix.lower(), data


def export_packaged(workspace: ResourceSet, release: str, form: str, out: Path) -> ExportedRelease:
    """Write a packaged release in a format.

    Args:
        workspace: where the lake is.
        release: its name.
        form: one of `mm_assets.mixtures.exports.formats.RELEASE_FORMATS`.
        out: folder to write below.

    Raises:
        ExportError: there is no such release, or the format cannot hold it.
        ReleaseError: the release is damaged.
    """
    validate_batch_id(release)
    lake = workspace.lake
    store = releases_of_lake(lake.root)
    if not store.exists(release):
        known = ", ".join(store.releases()) or "none, make one with: mm run --release NAME"
        raise ExportError(f"there is no release {release!r}; releases: {known}")
    with store.opened(release) as folder:
        return export_release(folder, form, out, LandedPictures(lake, workspace.landing))
