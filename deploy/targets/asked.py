"""Fields of a target's settings and of a placement, each checked and named where it is wrong.

Every function raises BadPlacement with one sentence.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from deploy.targets.plan import BadPlacement

DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DNS_NAME = rf"{DNS_LABEL}(?:\.{DNS_LABEL})*"
OBJECT_NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"  # in Kubernetes
MAX_LABELS = 32
MAX_ENV = 256  # variables; a name has as many characters at most
MAX_ENV_VALUE = 2048

MEND, REPORT = "mend", "report"  # what becomes of what somebody edits by hand

_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"v?1\.([0-9]{1,3})(?:[.-][0-9A-Za-z.+-]{1,40})?")
_URL = re.compile(rf"https?://(?:\[[0-9a-f:.]{{2,45}}\]|{DNS_NAME})(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_FORBIDDEN_HOSTS = ("localhost", "metadata.google.internal")


def only(asked: Mapping[str, Any], place: str, *known: str) -> None:
    """Refuses fields that nobody reads; `place` says where, as in `the settings of an Istio target`."""
    for name in asked:
        if name not in known:
            raise BadPlacement(f"there is no field {str(name)[:100]!r} in {place}; the fields are {', '.join(known)}")


def text(asked: Mapping[str, Any], name: str, default: str | None = None, *, longest: int = 253) -> str:
    """A printable text; required without a default."""
    value = asked.get(name, default)
    if value is None:
        raise BadPlacement(f"the field {name} is missing")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise BadPlacement(f"{name} must be a printable text of at most {longest} characters")
    return value


def word(asked: Mapping[str, Any], name: str, default: str, words: tuple[str, ...]) -> str:
    """One of some words; the default may be none of them, such as the empty text for an absent field."""
    value = asked.get(name, default)
    if name in asked and value not in words:
        raise BadPlacement(f"{name} must be one of {', '.join(words)}")
    return str(value)


def drift(asked: Mapping[str, Any]) -> str:
    """What becomes of what somebody edits by hand; the empty text where nothing is said, which is MEND."""
    return word(asked, "drift", "", (MEND, REPORT))


def flag(asked: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false."""
    value = asked.get(name, default)
    if not isinstance(value, bool):
        raise BadPlacement(f"{name} must be true or false")
    return value


def port(value: Any, name: str) -> int:
    """A port number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise BadPlacement(f"{name} must be a port, a whole number from 1 to 65535")
    return value


def ports(asked: Mapping[str, Any], name: str = "ports") -> list[int]:
    """A list of different ports, in rising order; empty where absent."""
    value = asked.get(name, [])
    if not isinstance(value, list) or len(value) > 64:
        raise BadPlacement(f"{name} must be a list of at most 64 ports")
    return sorted({port(one, f"each of {name}") for one in value})


def kube_namespace(asked: Mapping[str, Any], name: str = "namespace", default: str | None = None) -> str:
    """The name of a Kubernetes namespace."""
    return _named(text(asked, name, default), name, DNS_LABEL, "a namespace", 63)


def kube_name(asked: Mapping[str, Any], name: str = "name", default: str | None = None) -> str:
    """The name of a Kubernetes object."""
    return _named(text(asked, name, default), name, OBJECT_NAME, "an object of Kubernetes", 253)


def labels(asked: Mapping[str, Any], name: str = "labels") -> dict[str, str]:
    """Labels of workloads, by name; empty where absent."""
    value = asked.get(name, {})
    if not isinstance(value, Mapping) or len(value) > MAX_LABELS:
        raise BadPlacement(f"{name} must be an object of at most {MAX_LABELS} labels")
    for key, one in sorted(value.items()):
        prefix, slash, short = str(key).rpartition("/")
        if not _LABEL_NAME.fullmatch(short) or (slash and not re.fullmatch(DNS_NAME, prefix[:254])):
            raise BadPlacement(f"{str(key)[:100]!r} in {name} is no name of a label in Kubernetes, such as app")
        if not isinstance(one, str) or (one and not _LABEL_NAME.fullmatch(one)):
            raise BadPlacement(
                f"the label {key} in {name} must be a text of at most 63 letters, digits, dashes, dots and underscores;"
                " there are no wildcards"
            )
    return dict(sorted(value.items()))


def environment(asked: Mapping[str, Any], name: str = "env") -> dict[str, str | None]:
    """Environment variables of the module; None takes the value from the proxy's own environment."""
    value = asked.get(name, {})
    if not isinstance(value, Mapping) or len(value) > MAX_ENV:
        raise BadPlacement(f"{name} must be an object of at most {MAX_ENV} variables")
    for key, one in sorted(value.items()):
        if not _ENV_NAME.fullmatch(str(key)) or len(key) > MAX_ENV:
            raise BadPlacement(f"{str(key)[:100]!r} in {name} is no name of an environment variable, such as LEVEL")
        if key.startswith("ISTIO_META_"):
            raise BadPlacement(f"{key[:100]} in {name} cannot be set: Istio's agent reads what begins with ISTIO_META_")
        if one is not None and (not isinstance(one, str) or len(one) > MAX_ENV_VALUE or not one.isprintable()):
            raise BadPlacement(
                f"the variable {key} in {name} must be a printable text of at most {MAX_ENV_VALUE} characters,"
                " or null to take it from the proxy's own environment"
            )
    return dict(sorted(value.items()))


def version(asked: Mapping[str, Any], name: str) -> str:
    """A release such as 1.27 or 1.27.3; the empty text where absent."""
    value = text(asked, name, "", longest=60)
    if value and not _VERSION.fullmatch(value):
        raise BadPlacement(f"{name} must be a release such as 1.27")
    return value


def minor(release: str) -> int | None:
    """27 of 1.27.3, or None for the empty text."""
    found = _VERSION.fullmatch(release)
    return int(found[1]) if found else None


def url(asked: Mapping[str, Any], name: str, what: str) -> str:
    """An http or https URL with a host and no path, without a slash at its end; `what` says whose, as in `the hub`."""
    value = text(asked, name, longest=300).rstrip("/").lower()
    found = _URL.fullmatch(value)
    if found is None or int(found["port"] or 1) > 65535:
        raise BadPlacement(f"{name} must be the URL of {what} without a path, such as https://hub.example.com")
    return value


def hub_url(asked: Mapping[str, Any], name: str = "hub") -> str:
    """The hub as a mesh's proxies reach it, as `url` gives it: with a DNS name that every fetcher accepts."""
    value = url(asked, name, "the hub")
    host = urlsplit(value).hostname or ""
    if _is_address(host) or host in _FORBIDDEN_HOSTS or host.endswith(".localhost"):
        raise BadPlacement(
            f"{name} must name the hub by a DNS name other than localhost: agents that pull images refuse to fetch a"
            f" token from {host}; give the hub a name that the cluster's DNS knows"
        )
    return value


def _is_address(host: str) -> bool:
    """Whether a host is an IPv6 address or an IPv4 one in any spelling: no top-level domain is a number."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _named(value: str, name: str, pattern: str, what: str, longest: int) -> str:
    if len(value) > longest or not re.fullmatch(pattern, value):
        raise BadPlacement(
            f"{name} must be the name of {what}: lower-case letters, digits and dashes, at most {longest};"
            f" {value[:100]!r} is none"
        )
    return value
