"""`wasmhub restore`: brings a backup to the engines that the settings name."""

import argparse
import os
import shutil
from pathlib import Path

from storage.copying import Copying, hub_id_of
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.printing import show
from wasmhub.cli.stores import (
    SECRET,
    Telling,
    check_secret,
    failures_told,
    locked,
    opened,
    opened_backup,
    said,
    summary,
)
from wasmhub.settings import load_settings


def main(arguments: list[str]) -> int:
    """Restores."""
    parser = new_parser(
        "restore",
        "Copies a backup into the empty database and blob store that the settings name. An interrupted restore goes on"
        " where it was when the command is given again; the backup stays as it is.",
        "wasmhub restore /mnt/backup/wasmhub",
        restore,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where `wasmhub backup` wrote to")
    return run(parser, arguments)


def restore(options: argparse.Namespace) -> int:
    """The hub of the backup, ready to be started."""
    os.umask(0o077)
    with failures_told():
        settings = load_settings()
        with (
            locked(settings.data, "stop it first"),
            opened_backup(options.folder) as source,
            opened(settings) as target,
        ):
            made = options.folder / SECRET
            hub_id = hub_id_of(source.database)
            check_secret(source, settings, made)
            target.database.migrate()
            target.blobs.claim(hub_id)
            copying = Copying(source, target, Telling())
            copying.copy_bytes()
            copying.copy_rows()
        if settings.secret_key is None:
            shutil.copyfile(made, settings.data / SECRET)
    progress = copying.progress
    show(options, summary(progress), said(progress, "the hub can be started"))
    return 1 if progress.damaged else 0
