"""`wasmhub migrate`: moves the hub to other engines."""

import argparse
import os
import shutil
from pathlib import Path

from storage.copying import Copying, hub_id_of
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.printing import show
from wasmhub.cli.stores import SECRET, Telling, check_secret, failures_told, locked, opened, said, summary
from wasmhub.settings import load_settings

STOP_FIRST = 3  # the exit code of a move whose bytes are there and whose rows wait until the hub has stopped


def main(arguments: list[str]) -> int:
    """Moves."""
    parser = new_parser(
        "migrate",
        "Copies everything that the hub keeps to the engines that another settings file names, such as PostgreSQL and"
        " S3. Bytes are copied while the hub runs; rows once it has stopped. An interrupted move goes on where it was"
        " when the command is given again. Nothing is removed from where it was.",
        "wasmhub migrate --to scaled.toml",
        migrate,
    )
    parser.add_argument("--to", metavar="FILE", type=Path, required=True, help="the settings of the hub to be, as TOML")
    return run(parser, arguments)


def migrate(options: argparse.Namespace) -> int:
    """The same hub elsewhere, or the bytes of one that must be stopped before its rows follow."""
    os.umask(0o077)
    with failures_told():
        settings = load_settings()
        new = load_settings({"WASMHUB_CONFIG": str(options.to)})
        with opened(settings) as source, opened(new) as target:
            hub_id = hub_id_of(source.database)
            check_secret(source, new, settings.data / SECRET)
            target.database.migrate()
            target.blobs.claim(hub_id)
            copying = Copying(source, target, Telling())
            copying.copy_bytes()
            try:
                with locked(settings.data, "stop it"):
                    copying.copy_rows()
            except CommandFailed:
                raise StopFirst(
                    "the bytes are copied, and the rows follow once the hub has stopped: stop it and give the same"
                    " command again"
                ) from None
        if new.secret_key is None:
            new.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(settings.data / SECRET, new.data / SECRET)
    progress = copying.progress
    show(options, summary(progress), said(progress, f"the hub can be started with WASMHUB_CONFIG={options.to}"))
    return 1 if progress.damaged else 0


class StopFirst(CommandFailed):
    """The move waits for the hub to stop."""

    code = STOP_FIRST
