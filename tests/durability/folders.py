"""What lies in a hub's folders, compared with its rows."""

import sqlite3
from pathlib import Path

from storage.blobs.files import FileBlobs


def check_folders(data: Path) -> set[str]:
    """Whatever a row names is there, whole; what no row names is told by the store's list. Returns the latter."""
    database = sqlite3.connect(f"file:{data / 'hub.db'}?mode=ro", uri=True)
    uploads = {row[0] for row in database.execute("SELECT key FROM uploads")}
    copies = dict(database.execute("SELECT key, size FROM blobs"))
    database.close()
    kept = {path.name: path.stat().st_size for path in (data / "blobs" / "copies").glob("*/*")}
    begun = {path.name for path in (data / "blobs" / "uploads").iterdir()}
    listed = {stored.key for stored in FileBlobs(data / "blobs").list("", 1_000_000)}
    assert copies.items() <= kept.items()
    assert listed == kept.keys() | begun
    return {key for key in listed - copies.keys() if key.partition(".")[0] not in uploads}
