"""How deployments and targets stand, in the words of pages."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Words:
    """A state on a page: the tone of its sign, the headline, and what one can do or wait for."""

    tone: str  # good | bad | warn | nothing
    headline: str
    way_out: str = ""


STANDING = {
    "ready": Words("good", "Ready"),
    "progressing": Words("", "On its way"),
    "waiting": Words(
        "warn", "Waiting", "It goes on by itself once what it waits for is there; nothing has to be redone."
    ),
    "stalled": Words(
        "bad",
        "Stalled",
        "It does not go on by itself. A proxy that refused keeps what it ran before: roll back, or deploy a version or"
        " a config that it takes.",
    ),
    "applied-not-observed": Words(
        "warn",
        "Applied, not observed",
        "The hub calls ready only what it has seen to run. Send a request through a proxy to see for yourself.",
    ),
}
HEALTH = {
    "reached": Words("good", "Reached"),
    "away": Words("bad", "Away", "What runs there goes on running. The hub catches up once it is back."),
    "new": Words("warn", "Not seen yet"),
}
NODE = {
    "runs": Words("good", "runs it"),
    "refused": Words("bad", "refused it"),
    "pending": Words("", "not yet"),
    "got": Words("warn", "got it, not seen to run"),
    "fetched": Words("warn", "fetched for it, not seen to run"),
    "away": Words("warn", "away"),
}
KINDS = {
    "envoy-fleet": "Envoy fleet",
    "istio": "Istio",
    "consul": "Consul",
    "envoy-gateway": "Envoy Gateway",
    "gloo": "Gloo",
    "kuma": "Kuma",
}
FORM_OF_SETTINGS = {"cosign_keys": "Signed by", "policy": "Capabilities"}


def kind_in_words(kind: str) -> str:
    """A kind of target as people call it."""
    return KINDS.get(kind, kind)


def settings_in_words(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """A target's settings and rules, in short; none of them is a secret."""
    return [(_label(name), said) for name, value in settings.items() if (said := _short(name, value))]


def _label(name: str) -> str:
    return FORM_OF_SETTINGS.get(name, name.replace("_", " ").capitalize())


def _short(name: str, value: Any) -> str:
    if name == "cosign_keys":
        return f"one of {len(value)} keys" if value else ""
    if name == "policy":
        words = value.get("capabilities", {}).items()
        parts = [(word, [one for one, said in words if said == word]) for word in ("deny", "warn")]
        return "; ".join(
            f"{'denies' if word == 'deny' else 'warns of'} {', '.join(some)}" for word, some in parts if some
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value in (None, "", {}) else str(value)
