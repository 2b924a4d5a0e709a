"""`wasmhub backup`: a consistent copy of the hub, taken while it runs."""

import argparse
import os
import shutil
from pathlib import Path

from storage.blobs.files import FileBlobs
from storage.copying import Copying, Place, hub_id_of
from storage.database import Database
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.printing import show
from wasmhub.cli.stores import BLOBS, DATABASE, SECRET, Telling, failures_told, locked, opened, said, summary
from wasmhub.settings import Settings, load_settings


def main(arguments: list[str]) -> int:
    """Takes a backup."""
    parser = new_parser(
        "backup",
        "Writes a consistent copy of the hub to a folder while the hub goes on; run again, it sends only what is new."
        " It finds the hub by the settings that the hub itself has, and must run where those hold. The folder is a data"
        " folder: WASMHUB_DATA=FOLDER wasmhub serve starts it. It holds the hub's secrets: keep it as safe as the hub.",
        "wasmhub backup /mnt/backup/wasmhub",
        backup,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where the backup is or will be")
    return run(parser, arguments)


def backup(options: argparse.Namespace) -> int:
    """A backup in the folder: newly made, or brought up to date."""
    os.umask(0o077)
    folder = options.folder.absolute()
    with failures_told():
        settings = load_settings()
        if folder == settings.data.absolute():
            raise CommandFailed(f"{folder} is the hub's own data folder; name another one")
        with opened(settings) as source, locked(folder, "a backup cannot replace what it serves"):
            copying = _copy(source, folder)
        _keep_secret(settings, folder)
    progress = copying.progress
    show(options, {"folder": str(folder), **summary(progress)}, said(progress, f"{folder} is up to date"))
    return 1 if progress.damaged else 0


def _copy(source: Place, folder: Path) -> Copying:
    """Bytes first; then the rows, aside; then they take the place of those of the last backup, by one rename."""
    blobs = FileBlobs(folder / BLOBS)
    blobs.claim(hub_id_of(source.database))
    aside = folder / f"{DATABASE}.new"
    _remove(aside)
    database = Database(aside)
    try:
        database.migrate()
        copying = Copying(source, Place(database, blobs), Telling())
        copying.copy_bytes()
        copying.copy_rows()
    finally:
        database.close()  # which writes everything into the one file
    _sync(aside)
    for rest in ("-wal", "-shm"):
        (folder / f"{DATABASE}{rest}").unlink(missing_ok=True)
    os.replace(aside, folder / DATABASE)
    _sync(folder)
    database = Database(folder / DATABASE)
    try:
        Copying(source, Place(database, blobs), Telling()).prune()
    finally:
        database.close()
    return copying


def _keep_secret(settings: Settings, folder: Path) -> None:
    """The secret key that the hub made for itself; one from the settings is kept where those are."""
    made = settings.data / SECRET
    if settings.secret_key is None and made.is_file():
        shutil.copyfile(made, folder / SECRET)
        _sync(folder / SECRET)


def _remove(database: Path) -> None:
    for rest in ("", "-wal", "-shm"):
        database.with_name(database.name + rest).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
