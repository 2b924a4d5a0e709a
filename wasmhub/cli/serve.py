"""`wasmhub serve`: the hub itself."""

import argparse
import fcntl
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

from auth.secrets import load_secret_key
from storage.database import Database, StorageError
from storage.hubs import identify_hub
from wasmhub.accepting import Connections, Loads
from wasmhub.app import Hub
from wasmhub.counts import Counts
from wasmhub.logs import configure_logs
from wasmhub.server import Life, serve
from wasmhub.settings import Address, Settings, SettingsError, load_settings
from wasmhub.workers import Post, Workers

log = logging.getLogger("wasmhub")
WORKERS = "WASMHUB_WORKERS"


class CannotStart(Exception):
    """Why the hub does not start, as one sentence."""


def main(arguments: list[str]) -> int:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="wasmhub serve",
        description="Starts the hub. Settings are WASMHUB_* variables; docs/settings.md lists them.",
    )
    parser.add_argument("--workers", metavar="N", help="processes that serve, such as one a core (WASMHUB_WORKERS)")
    parser.add_argument(
        "--new-secret-key",
        action="store_true",
        help="go on with another secret key than before; what was sealed with the old one is made anew",
    )
    given = parser.parse_args(arguments)
    os.umask(0o077)  # hashes and sealed keys are nobody else's, also in a data folder that was there before
    try:
        settings = load_settings(os.environ if given.workers is None else {**os.environ, WORKERS: given.workers})
        configure_logs(settings.log)
        _check_certificate(settings)
        lock = _lock(settings.data)
        listener = _listen(settings)
        xds = _reserve(settings.xds_listen) if settings.xds_listen else None
        if given.new_secret_key:
            _replace_secret_key(settings)
        if settings.workers > 1:
            return _serve_by_workers(settings, listener, xds)
        hub = Hub(settings, Counts(), _written(xds) if xds else None)
    except (SettingsError, CannotStart, StorageError) as error:
        return _give_up(error)
    # Holds until the server's own handlers do, and once it is done: it raises the signal that stopped it again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    _greet(settings, hub, listener)
    try:
        _serve(settings, hub, listener, Life(leaving=hub.leave, drain=settings.drain))
    finally:
        os.close(lock)
    return 0


def _serve_by_workers(settings: Settings, listener: socket.socket, xds: socket.socket | None) -> int:
    counts, loads = Counts(settings.workers), Loads(settings.workers)

    def work(post: Post) -> int:
        counts.take(post.number)
        try:
            hub = Hub(settings, counts, _written(xds) if xds else None)
        except (SettingsError, StorageError) as error:
            return _give_up(error)

        def started() -> None:
            if post.ready is not None:
                _greet(settings, hub, listener)
            post.started()

        life = Life(started, hub.leave, settings.drain, post.parent, Connections(loads, post.number))
        _serve(settings, hub, listener, life)
        return 0

    gc.collect()
    gc.freeze()  # what is here now is shared with the workers as long as nobody touches it
    return Workers(settings.workers, listener, work, settings.drain).run()


def _replace_secret_key(settings: Settings) -> None:
    """Makes the secret key that there is now the database's."""
    database = Database(settings.database)
    try:
        database.migrate()
        identify_hub(database, load_secret_key(settings.secret_key, settings.data).check, new_secret_key=True)
    finally:
        database.close()


def _give_up(error: Exception) -> int:
    print(f"wasmhub: {error}", file=sys.stderr)
    return 1


def _greet(settings: Settings, hub: Hub, listener: socket.socket) -> None:
    """Says where the hub is."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    shown = f"[{host}]" if ":" in host else host
    log.info("the hub listens on %s://%s:%d", scheme, shown, port)
    log.info("data lie in %s", settings.data.absolute())
    if hub.first_password is not None:
        log.info("first start: sign in as admin with the password %s (shown only now)", hub.first_password)


def _serve(settings: Settings, hub: Hub, listener: socket.socket, life: Life) -> None:
    # What is here now stays: looking through it again and again would hold up requests.
    gc.collect()
    gc.freeze()
    serve(hub, listener, certificate=settings.tls_cert, key=settings.tls_key, life=life)


def _stop(number: int, frame: object) -> None:
    """Ends the process; a stop on request is no failure. An exception would be lost where Python ignores them."""
    os._exit(0)


def _check_certificate(settings: Settings) -> None:
    """Looks at the certificate before anything is made, so that a wrong one costs nobody their first password."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        # A key behind a password would be asked for on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except OSError as error:
        raise CannotStart(
            "WASMHUB_TLS_CERT and WASMHUB_TLS_KEY cannot be used: they must name a certificate chain and its"
            f" private key without a password, both PEM ({error.strerror or error})"
        ) from None


def _make_folder(folder: Path) -> None:
    """Makes the data folder and those above it, durably: what lies in it is only as safe as its name."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in new:
        handle = os.open(one.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(data: Path) -> int:
    """Takes the data folder for this hub; the lock ends with the process."""
    try:
        _make_folder(data)
        handle = os.open(data / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"the data folder {data} cannot be written: {error.strerror}; set WASMHUB_DATA") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart(f"another hub uses the data folder {data}; stop it or set WASMHUB_DATA") from None
    return handle


def _listen(settings: Settings) -> socket.socket:
    address = settings.listen
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, resolved = found[0]
        # Only on sockets that name their protocol does asyncio switch Nagle's algorithm off, which holds answers up.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(resolved)
        listener.listen(2048)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        raise CannotStart(f"cannot listen on {where}: {error.strerror or error}; set WASMHUB_LISTEN") from None
    return listener


def _reserve(address: Address) -> socket.socket:
    """Holds a port for the gRPC server of each process: they all listen there, and nobody else may."""
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as alone:  # so that another program's is not shared unseen
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(resolved)
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(resolved)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        raise CannotStart(f"cannot listen on {where}: {error.strerror or error}; set WASMHUB_XDS_LISTEN") from None
    return held


def _written(held: socket.socket) -> str:
    host, port = held.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
