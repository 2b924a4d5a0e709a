"""What the verbs that work on a hub's stores directly have in common: opening them, and telling how far they are."""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auth.secrets import load_secret_key
from storage.blobs.files import FileBlobs
from storage.blobs.opening import open_blobs
from storage.copying import Place, Progress
from storage.database import Database, StorageError
from storage.hubs import identify_hub
from wasmhub.cli.command import CommandFailed, WrongUse
from wasmhub.settings import Settings, SettingsError

DATABASE, BLOBS, LOCK, SECRET = "hub.db", "blobs", "hub.lock", "secret.key"


@contextmanager
def failures_told() -> Iterator[None]:
    """Turns what stores and settings say into the one sentence with which a command fails."""
    try:
        yield
    except SettingsError as error:
        raise WrongUse(str(error)) from None
    except StorageError as error:
        raise CommandFailed(str(error)) from None


@contextmanager
def opened(settings: Settings) -> Iterator[Place]:
    """The stores that these settings name."""
    database = Database(settings.database)
    try:
        yield Place(database, open_blobs(settings.blob_place))
    finally:
        database.close()


def check_secret(source: Place, settings: Settings, kept: Path) -> None:
    """Raises CommandFailed where a hub with those settings would not be let into what is copied.

    Its secret key is that of the settings, or the one in the file `kept`, which goes with the copy. The one before it
    is good too: then the hub seals everything anew at its start.
    """
    if settings.secret_key is None and not kept.is_file():
        raise CommandFailed(
            f"the hub's secret key is not in {kept}: set WASMHUB_SECRET_KEY to the one that it was started with"
        )
    key = load_secret_key(settings.secret_key, kept.parent, old=settings.old_secret_key)
    identify_hub(source.database, key.check, other_check=key.old.check if key.old is not None else None)


@contextmanager
def opened_backup(folder: Path) -> Iterator[Place]:
    """A backup's stores. Its database is brought up to date aside, so that the backup stays as it is."""
    kept = folder / DATABASE
    if not kept.is_file() or not (folder / BLOBS).is_dir():
        raise CommandFailed(f"{folder} holds no backup: there is no {DATABASE} and no folder {BLOBS} in it")
    with tempfile.TemporaryDirectory(prefix="wasmhub-") as aside:
        copy = Path(aside) / DATABASE
        copy.write_bytes(kept.read_bytes())
        database = Database(copy)
        try:
            database.migrate()
            yield Place(database, FileBlobs(folder / BLOBS))
        finally:
            database.close()


@contextmanager
def locked(folder: Path, why: str) -> Iterator[None]:
    """Holds a data folder as a running hub would. Raises CommandFailed, ending in `why`, if a hub runs on it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CommandFailed(f"a hub runs on {folder}; {why}") from None
    else:
        yield
    finally:
        os.close(handle)


class Telling:
    """Says on stderr how far a copying is: now and then on lines of their own, on a terminal on one that changes."""

    EVERY = 5.0  # seconds between two lines

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._told = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Says it, unless it was said just now."""
        moment = time.monotonic()
        if moment - self._told < (0.2 if self._live else self.EVERY):
            return
        self._told = moment
        print(f"{self._line(progress)}", end="\r" if self._live else "\n", file=sys.stderr, flush=True)

    @staticmethod
    def _line(progress: Progress) -> str:
        if progress.rows_done:
            return f"{progress.rows_done:,} rows"
        share = progress.bytes_looked_at / progress.bytes if progress.bytes else 1.0
        size = progress.bytes / 2**20
        return f"{share:4.0%} of {size:,.0f} MiB, {progress.blobs_looked_at:,} of {progress.blobs:,} blobs"


def summary(progress: Progress) -> dict[str, object]:
    """What a copying did, as `--output json` shows it."""
    return {
        "blobs": progress.blobs_done,
        "bytes": progress.bytes_done,
        "rows": progress.rows_done,
        "damaged": progress.damaged,
    }


def said(progress: Progress, done: str) -> str:
    """The same for people."""
    text = (
        f"{done}: {progress.blobs_done:,} blobs ({progress.bytes_done / 2**20:,.1f} MiB) were copied now,"
        f" {progress.rows_done:,} rows"
    )
    if progress.damaged:
        text += f"\n{len(progress.damaged)} blobs were left behind, since their bytes are damaged or gone:\n  "
        text += "\n  ".join(progress.damaged[:20])
    return text
