"""The settings: one frozen dataclass, read from `WASMHUB_*` variables and an optional TOML file."""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from storage.blobs.store import Bucket
from storage.database import CONNECTIONS
from storage.shared import RedisAddress, read_redis_url

PREFIX = "WASMHUB_"
# Read elsewhere, by the command line, by Envoy and by the tests: known, but not settings of the server.
ELSEWHERE = {"WASMHUB_CONFIG", "WASMHUB_URL", "WASMHUB_TOKEN", "WASMHUB_FLEET_KEY", "WASMHUB_PEERS"}
MAY_HOLD_SECRETS = ("SECRET", "PASSWORD", "DATABASE_URL", "REDIS_URL")  # in names of settings: values are not shown
NOT_SHOWN = "set, not shown"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """A setting is unknown or malformed; the text is one sentence that names it."""


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int


def _address(value: str) -> Address:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080")
    host.encode("idna")  # refuses what no name server would be asked for
    return Address(host.strip("[]"), int(port))


def _path(value: str) -> Path:
    if not value or "\0" in value:
        raise ValueError("must be a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("must be a path; there is no such user's home") from None


def _database(value: str) -> Path | str:
    if value.startswith("sqlite:///"):
        return _path(value.removeprefix("sqlite:///"))
    parts = urlsplit(value)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValueError("must be sqlite:///path/to/file.db or postgresql://user:password@host:5432/database")
    return value


def _connections(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value) or int(value) < 2:
        raise ValueError("must be a number from 2 to 9999")
    return int(value)


def _blobs(value: str) -> Path | Bucket:
    if "://" not in value:
        return _path(value)
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._/-]{0,200}))?", value)
    if match is None:
        raise ValueError("must be a folder or s3://bucket/prefix")
    prefix = (match[2] or "").strip("/")
    return Bucket(match[1], prefix and f"{prefix}/")


def _encryption(value: str) -> str:
    if value not in ("AES256", "aws:kms") and not re.fullmatch(r"aws:kms:\S+", value):
        raise ValueError("must be AES256, aws:kms or aws:kms: with the name of a key")
    return value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    more = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or more or parts.port == 0:
        raise ValueError("must be a scheme and a host, such as https://hub.example.com")
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]_-]+", parts.netloc):
        raise ValueError("must be a scheme and a host, such as https://hub.example.com")
    return f"{parts.scheme}://{parts.netloc}"


def _networks(value: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())


def _one_of(*words: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return check


def _size(value: str) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?", value)
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a size such as 1GiB, 512MiB or a number of bytes")
    return int(match[1]) * {None: 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[match[2]]


def _quota(value: str) -> int:
    return 0 if value == "0" else _size(value)


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("must be a whole number, or 0 for no limit")
    return int(value)


def _seconds(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("must be a whole number of seconds")
    return int(value)


def _some_seconds(value: str) -> int:
    if _seconds(value) == 0:
        raise ValueError("must be a whole number of seconds, 1 or more")
    return int(value)


def _workers(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 128:
        raise ValueError("must be a whole number from 1 to 128")
    return int(value)


def _days(value: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", value):
        raise ValueError("must be a number of days, such as 30 or 0.5")
    return float(value)


def _secret(value: str) -> str:
    if len(value) < 16:
        raise ValueError("must have at least 16 characters")
    return value


def _password(value: str) -> str:
    if not 8 <= len(value) <= 1024:
        raise ValueError("must have at least 8 characters and at most 1024")
    return value


def _setting(read: Callable[[str], Any], default: Any, about: str) -> Any:
    return field(default=default, metadata={"read": read, "about": about})


@dataclass(frozen=True)
class Settings:
    """What can be set. The variable is `WASMHUB_` and the field's name in capitals; all have a default."""

    listen: Address = _setting(_address, Address("127.0.0.1", 8080), "where the hub answers")
    data: Path = _setting(_path, Path("data"), "everything that the hub keeps, unless said otherwise")
    database_url: Path | str | None = _setting(_database, None, "metadata; hub.db in the data folder")
    database_connections: int = _setting(_connections, CONNECTIONS, "of each process to PostgreSQL, at most")
    blobs: Path | Bucket | None = _setting(_blobs, None, "bytes; a folder in the data folder")
    s3_endpoint: str | None = _setting(_public_url, None, "of the service that has the bucket; else AWS")
    s3_region: str | None = _setting(str, None, "of the bucket; else as boto3 finds it")
    s3_addressing: str = _setting(_one_of("auto", "path", "virtual"), "auto", "where the bucket's name goes")
    s3_ca_bundle: Path | None = _setting(_path, None, "certificates that the endpoint's is checked against, PEM")
    s3_encryption: str | None = _setting(_encryption, None, "asked for with each object; else the bucket's own")
    s3_public_endpoint: str | None = _setting(_public_url, None, "where clients fetch large blobs; else the hub")
    redis_url: RedisAddress | None = _setting(read_redis_url, None, "counters and wake-ups that replicas share")
    public_url: str | None = _setting(_public_url, None, "how clients reach the hub; else each request's Host")
    secret_key: str | None = _setting(_secret, None, "seals what must be secret at rest; else made at first start")
    old_secret_key: str | None = _setting(_secret, None, "the one before: what it sealed is sealed anew at the start")
    next_secret_key: str | None = _setting(_secret, None, "the one to come, which other replicas may have already")
    xds_listen: Address | None = _setting(_address, None, "where proxies are served over gRPC; else nowhere")
    xds_client_ca: Path | None = _setting(_path, None, "authorities of the certificates that proxies need there, PEM")
    tls_cert: Path | None = _setting(_path, None, "the certificate chain, PEM; with tls_key the hub speaks HTTPS")
    tls_key: Path | None = _setting(_path, None, "the certificate's private key, PEM")
    trusted_proxies: tuple[Network, ...] = _setting(_networks, (), "whose X-Forwarded-* headers are believed")
    admin_password: str | None = _setting(_password, None, "of admin at the first start; else made up and shown")
    create_namespace_on_push: str = _setting(_one_of("admins", "everyone", "nobody"), "admins", "whose push makes one")
    create_teams: str = _setting(_one_of("admins", "everyone"), "everyone", "who may make a team")
    sign_up: str = _setting(_one_of("open", "invitation", "closed"), "invitation", "who may make their own account")
    outgoing_networks: tuple[Network, ...] = _setting(_networks, (), "not public ones that the hub may call too")
    outgoing_ca_bundle: Path | None = _setting(_path, None, "certificates that are trusted there besides the system's")
    blob_limit: int = _setting(_size, 2**30, "the largest blob that is taken, such as 1GiB")
    quota_bytes: int = _setting(_quota, 0, "that each namespace may hold, such as 10GiB; 0: no limit")
    quota_repositories: int = _setting(_count, 0, "that each namespace may have; 0: no limit")
    gc_interval: int = _setting(_seconds, 3600, "seconds between two garbage collections; 0: only when asked for")
    gc_lease: int = _setting(_some_seconds, 86_400, "seconds that a pushed blob waits for its manifest")
    gc_grace: int = _setting(_seconds, 3600, "seconds that bytes which nothing names any more are still kept")
    gc_orphans: int = _setting(_some_seconds, 86_400, "seconds that bytes which were never named are kept")
    audit_days: float = _setting(_days, 365.0, "days that rows of the audit log are kept; 0: for ever")
    scrub_days: float = _setting(_days, 30.0, "days in which every stored byte is read and compared once; 0: never")
    second_copy: Path | None = _setting(_path, None, "a backup's folder, from which scrubbing mends damaged blobs")
    workers: int = _setting(_workers, 1, "processes that serve on this machine")
    drain_seconds: int | None = _setting(_seconds, None, "from SIGTERM until nobody is let in any more")
    log: str = _setting(_one_of("text", "json"), "text", "how log lines look")
    given: Mapping[str, tuple[str, str]] = field(default_factory=dict, compare=False, repr=False)  # as shown, and where

    @property
    def database(self) -> Path | str:
        """The SQLite file, or PostgreSQL's URL."""
        return self.database_url or self.data / "hub.db"

    @property
    def audit_kept(self) -> int:
        """Milliseconds that rows of the audit log are kept; 0: for ever."""
        return round(self.audit_days * 86_400_000)

    @property
    def drain(self) -> int:
        """Seconds to drain: a hub on SQLite is the only one there is, so that nobody could be sent elsewhere."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0 if isinstance(self.database, Path) else 3

    @property
    def blob_place(self) -> Path | Bucket:
        """The folder or bucket of the blob store."""
        if not isinstance(self.blobs, Bucket):
            return self.blobs or self.data / "blobs"
        return replace(
            self.blobs,
            endpoint=self.s3_endpoint,
            region=self.s3_region,
            addressing=self.s3_addressing,
            ca_bundle=self.s3_ca_bundle,
            encryption=self.s3_encryption,
            public_endpoint=self.s3_public_endpoint,
        )


def settings_fields() -> list[Field[Any]]:
    """The fields of Settings that can be set."""
    return [item for item in fields(Settings) if "read" in item.metadata]


def shown_settings(settings: Settings) -> list[dict[str, str]]:
    """All settings as people may see them, with their `name`, `value`, `source` and what they are `about`."""
    rows = []
    for item in settings_fields():
        name = PREFIX + item.name.upper()
        value, source = settings.given.get(name, (_written(item.default), "the default"))
        rows.append({"name": name, "value": value, "source": source, "about": item.metadata["about"]})
    return rows


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the environment and the file named by WASMHUB_CONFIG; a variable wins over a line of the file."""
    known = {PREFIX + item.name.upper(): item for item in settings_fields()}
    given = {
        name: (value, "the environment")
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in ELSEWHERE
    }
    if "WASMHUB_CONFIG" in environment:
        given = {**_file(Path(environment["WASMHUB_CONFIG"])), **given}

    values: dict[str, Any] = {}
    for name, (value, source) in given.items():
        if name not in known:
            raise SettingsError(f"{name} in {source} is not a setting; the settings are {', '.join(sorted(known))}")
        try:
            values[known[name].name] = known[name].metadata["read"](value)
        except ValueError as error:
            words = "its value" if _secretive(name) else repr(value)
            raise SettingsError(f"{name} in {source}: {words} {_sentence(error)}") from None
    shown = {name: (NOT_SHOWN if _secretive(name) else value, source) for name, (value, source) in given.items()}
    settings = Settings(**values, given=shown)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("WASMHUB_TLS_CERT and WASMHUB_TLS_KEY go together; only one of them is set")
    if settings.xds_client_ca is not None and settings.tls_cert is None:
        raise SettingsError("WASMHUB_XDS_CLIENT_CA needs WASMHUB_TLS_CERT and WASMHUB_TLS_KEY")
    return settings


def _secretive(name: str) -> bool:
    return any(word in name for word in MAY_HOLD_SECRETS)


def _written(value: Any) -> str:
    """A default as somebody would write it."""
    if isinstance(value, Address):
        return f"{value.host}:{value.port}"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def _sentence(error: ValueError) -> str:
    return str(error) if str(error).startswith(("must", "names")) else f"cannot be read: {error}"


def _file(path: Path) -> dict[str, tuple[str, str]]:
    """The lines of the TOML file, named as the variables are (`WASMHUB_LISTEN` or `listen`)."""
    try:
        lines = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"WASMHUB_CONFIG: {path} cannot be read: {error}") from None
    found = {}
    for key, value in lines.items():
        name = key if key.startswith(PREFIX) else PREFIX + key.upper()
        if name in found:
            raise SettingsError(f"{name} in {path} is there twice, as {key} too")
        if isinstance(value, list):
            value = ",".join(map(str, value))
        elif isinstance(value, (dict, bool)):
            raise SettingsError(f"{name} in {path} must be a text or a number")
        found[name] = (str(value), str(path))
    return found
