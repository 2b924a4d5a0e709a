"""`wasmhub check`: compares what the hub's database says with the bytes that are stored."""

import argparse
from pathlib import Path

from storage.checking import Check, Findings, Second
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.printing import show
from wasmhub.cli.stores import failures_told, opened
from wasmhub.settings import load_settings


def main(arguments: list[str]) -> int:
    """Checks."""
    parser = new_parser(
        "check",
        "Compares the database with the stored bytes and says what differs: blobs whose bytes are missing or wrong, and"
        " bytes older than a day that nothing names. Safe beside a running hub. Changes nothing without --repair. It"
        " finds the hub by the settings that the hub itself has, and must run where those hold.",
        "wasmhub check --deep\n  wasmhub check --deep --repair --second /mnt/backup/wasmhub",
        check,
    )
    parser.add_argument("--deep", action="store_true", help="read and hash all bytes, not only their sizes")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="mend blobs from --second, mark the others as damaged so that the next push heals them, and have garbage"
        " collection remove what nothing names",
    )
    parser.add_argument("--second", metavar="FOLDER", type=Path, help="a backup, to take sound bytes from")
    return run(parser, arguments)


def check(options: argparse.Namespace) -> int:
    """0: everything is as it should be, or was mended; 1: it is not."""
    with failures_told(), opened(load_settings()) as place:
        second = Second(options.second) if options.second is not None else None
        findings = Check(place.database, place.blobs, second).compare(deep=options.deep, repair=options.repair)
    show(options, {**vars(findings), "sound": findings.sound}, _text(findings, options))
    return 0 if findings.sound else 1


def _text(findings: Findings, options: argparse.Namespace) -> str:
    lines = [f"{findings.blobs:,} blobs, {findings.bytes / 2**20:,.1f} MiB"]
    for what, digests in (("missing", findings.missing), ("damaged", findings.damaged), ("mended", findings.mended)):
        lines += [f"{what}: {digest}" for digest in digests]
    if findings.orphans:
        done = "will be removed by garbage collection" if options.repair else "can be removed (--repair)"
        lines.append(f"{len(findings.orphans):,} stored copies that nothing names {done}")
    if findings.sound and not findings.mended:
        lines.append("everything that the database names is there" + (", byte for byte" if options.deep else ""))
    elif not findings.sound and not options.repair:
        lines.append("--repair mends what it can and marks the rest, so that the next push of those bytes heals it")
    return "\n".join(lines)
