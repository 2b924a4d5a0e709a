"""Opens the blob store that the settings name."""

import importlib
from pathlib import Path

from storage.blobs.files import FileBlobs
from storage.blobs.store import BlobStore, Bucket


def open_blobs(place: Path | Bucket) -> BlobStore:
    """The store in that folder or bucket. Raises StorageError if a folder cannot be made."""
    if isinstance(place, Path):
        return FileBlobs(place)
    # By name and only here: boto3 takes 27 MB and 0.4 seconds, which a hub without a bucket need not pay.
    store: BlobStore = importlib.import_module("storage.blobs.s3").S3Blobs(place)
    return store
