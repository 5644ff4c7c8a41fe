"""The landing area: a folder or an S3 prefix behind `mm_assets.landing.Landing`.

Keys never lead out of their batch: names are checked, and symbolic links are followed only inside it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import dagster as dg
from boto3.session import Session
from botocore.config import Config
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr

from mm_assets.errors import MMAssetsError
from mm_assets.landing import LandedObject, Landing
from resources.local_landing import LocalLanding
from resources.s3_landing import S3_SCHEME, S3Landing

__all__ = ["LandingStore", "LocalLanding", "S3Landing", "open_landing"]

_S3_CONNECTIONS: Final = 32
_ATTEMPTS: Final = 5


def open_landing(root: str) -> Landing:
    """Open a folder or ``s3://bucket/prefix``, with credentials, region and endpoint from the ``AWS_`` variables.

    Raises:
        MMAssetsError: the root names no bucket.
    """
    if not root.startswith(S3_SCHEME):
        return LocalLanding(Path(root))
    config = Config(retries={"mode": "standard", "max_attempts": _ATTEMPTS}, max_pool_connections=_S3_CONNECTIONS)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")  # boto3 reads only the second
    return _on_s3(Session().client("s3", region_name=region, config=config), root)


def _on_s3(client: Any, root: str) -> Landing:  # noqa: ANN401 - boto3 has no types
    bucket, _, prefix = root.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise MMAssetsError(f"landing root {root!r} names no bucket; set MM_LANDING to s3://BUCKET/PREFIX")
    return S3Landing(client, bucket, prefix)


class LandingStore(dg.ConfigurableResource):
    """The landing area of the graph. Without an S3 resource, an ``s3://`` root takes the ``AWS_`` variables."""

    root: str = Field(description="Folder or s3://bucket/prefix that holds one folder per batch.")
    s3: S3Resource | None = Field(default=None, description="Client of an s3:// root.")

    _opened: Landing | None = PrivateAttr(default=None)

    def opened(self) -> Landing:
        """The store behind the root; opened once."""
        if self._opened is None:
            if self.s3 is not None and self.root.startswith(S3_SCHEME):
                self._opened = _on_s3(self.s3.get_client(), self.root)
            else:
                self._opened = open_landing(self.root)
        return self._opened

    def batches(self) -> list[str]:
        """As `Landing.batches`."""
        return self.opened().batches()

    def objects(self, prefix: str) -> Iterator[LandedObject]:
        """As `Landing.objects`."""
        return self.opened().objects(prefix)

    def links(self, prefix: str) -> list[str]:
        """As `Landing.links`."""
        return self.opened().links(prefix)

    def find(self, key: str) -> LandedObject | None:
        """As `Landing.find`."""
        return self.opened().find(key)

    def open(self, key: str) -> BinaryIO:
        """As `Landing.open`."""
        return self.opened().open(key)

    def read(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """As `Landing.read`."""
        return self.opened().read(key, offset, size)

    def uri(self, key: str) -> str:
        """As `Landing.uri`."""
        return self.opened().uri(key)

    def key(self, uri: str) -> str:
        """As `Landing.key`."""
        return self.opened().key(uri)
