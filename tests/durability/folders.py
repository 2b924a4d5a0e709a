"""What lies in a hub's folders, compared with its rows."""

import sqlite3
from pathlib import Path


def check_folders(data: Path) -> None:
    """After a start the blob store holds what rows name, and nothing else; before it, perhaps more."""
    database = sqlite3.connect(f"file:{data / 'hub.db'}?mode=ro", uri=True)
    uploads = {row[0] for row in database.execute("SELECT key FROM uploads")}
    copies = {row[0] for row in database.execute("SELECT key FROM blobs")}
    database.close()
    being_written = {path.name.removesuffix(".finished") for path in (data / "blobs" / "uploads").iterdir()}
    kept = {path.name for path in (data / "blobs" / "copies").glob("*/*")}
    assert being_written <= uploads
    assert copies <= kept
    assert kept <= copies | uploads
