"""What a version's module says, in the words that a page shows: a verdict, and rows of facts."""

from dataclasses import dataclass, field
from typing import Any

from storage.catalog import ModuleView

FORMATS = {
    "solo": "Wasm artifact of two layers (module.wasm): Istio, Envoy Gateway and Gloo read it",
    "compat-oci": "OCI image with plugin.wasm: Istio and Envoy Gateway read it",
    "compat-docker": "Docker image with plugin.wasm: Istio and Envoy Gateway read it",
    "cncf": "CNCF Wasm artifact: wkg and containerd read it",
    "wasm-to-oci": "artifact of wasm-to-oci: no mesh reads it by itself",
    "wasmcloud": "wasmCloud actor archive",
    "runwasi": "runwasi component image",
    "bare": "bare artifact with one Wasm layer",
}
# Headline and short words for what is no module at all.
KINDS = {
    "unreadable": ("This is not a module that can be read", "unreadable"),
    "component": ("This is a component, and Envoy runs modules", "a component"),
}
STREAMS = {
    "requests": {"request_headers", "request_body", "request_trailers"},
    "responses": {"response_headers", "response_body", "response_trailers"},
    "connections": {"tcp"},
}
PAGE = 65536  # bytes of a page of a module's memory


@dataclass(frozen=True)
class Verdict:
    """Whether proxies take the version: a tone for its colour, a headline, and sentences that say why."""

    tone: str  # good | bad | warn | wait | none
    headline: str
    short: str  # two or three words for lists
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """Everything that a page shows of a module. Lists are empty where nothing is known."""

    verdict: Verdict
    abi: str | None = None
    sdk: str | None = None
    hooks: tuple[str, ...] = ()
    works_on: str | None = None  # the parts of a stream that it sees, in two or three words
    capabilities: tuple[dict[str, Any], ...] = ()
    releases: tuple[dict[str, Any], ...] = ()
    rows: tuple[tuple[str, str], ...] = ()  # what is left to know: name, value
    imports: tuple[dict[str, Any], ...] = ()
    exports: tuple[dict[str, Any], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def deployable(self) -> bool:
        """Whether a fleet of Envoys would be given it."""
        return self.verdict.tone == "good"

    @property
    def chips(self) -> tuple[str, ...]:
        """The few words that a list shows."""
        words = (self.sdk, f"ABI {self.abi}" if self.abi else None, self.works_on)
        return tuple(word for word in words if word)


def read_said(view: ModuleView | None) -> Said:
    """What a module says; a repository without any manifest has no view."""
    if view is None:
        return Said(Verdict("none", "Nothing has been pushed here yet", "empty"))
    if view.state == "pending":
        return Said(Verdict("wait", "The hub is reading this module", "being read", ("Look again in a moment.",)))
    if view.state == "failed":
        why = view.reason or "The hub could not read this module."
        return Said(Verdict("bad", "This module cannot be read", "unreadable", (why,)))
    if view.state != "module" or view.facts is None:
        why = "Its manifest has no layer with a WebAssembly module. It can be pulled all the same."
        return Said(Verdict("none", "Holds no filter", "holds no filter", (why,)))
    return _read_facts(view, view.facts)


def _read_facts(view: ModuleView, facts: dict[str, Any]) -> Said:
    sdk = facts.get("sdk") or {}
    named = sdk.get("name", "unknown") != "unknown"
    return Said(
        verdict=_verdict(facts),
        abi=facts.get("abi_version"),
        sdk=_sdk(sdk["name"], sdk.get("version")) if named else None,
        works_on=_works_on({hook["name"] for hook in _list(facts, "hooks")}),
        hooks=tuple(hook["words"] for hook in _list(facts, "hooks")),
        capabilities=_list(facts, "capabilities"),
        releases=_list(facts, "releases"),
        rows=tuple(_rows(view, facts, sdk)),
        imports=_list(facts, "imports"),
        exports=_list(facts, "exports"),
        counts=facts.get("counts") or {},
    )


def _verdict(facts: dict[str, Any]) -> Verdict:
    problems = _list(facts, "problems")
    sentences = tuple(dict.fromkeys(str(problem["sentence"]) for problem in problems))
    effects = {problem["effect"] for problem in problems}
    elsewhere = [release["product"] for release in _list(facts, "releases") if release["product"] != "Envoy"]
    if facts.get("kind") in KINDS:
        return Verdict("bad", *KINDS[facts["kind"]], sentences)
    if "crashes" in effects:
        return Verdict("bad", "Envoy's process would end over this module", "ends Envoy", sentences)
    if not facts.get("loads_in_envoy", not problems):
        if elsewhere:
            return Verdict("warn", f"Envoy refuses this module; {elsewhere[0]} runs it", "not for Envoy", sentences)
        return Verdict("bad", "Envoy refuses this module", "Envoy refuses it", sentences)
    if problems:
        return Verdict("warn", "Envoy takes this module, and fails when it works", "unsafe", sentences)
    since = f"From release {facts['envoy']} on. " if facts.get("envoy") else ""
    checked = "Its code was validated too." if facts.get("bodies") == "valid" else "Its code was not validated yet."
    return Verdict("good", "Envoy loads this filter", "Envoy loads it", (since + checked,))


def _sdk(name: str, version: str | None) -> str:
    """Name and version, without the name that some versions repeat (`go1.26.1`)."""
    return f"{name} {(version or '').removeprefix(name.lower())}".strip()


def _works_on(hooks: set[str]) -> str | None:
    """What a list says of the hooks: requests, responses, connections."""
    found = [word for word, names in STREAMS.items() if hooks & names]
    return f"on {', '.join(found)}" if found else None


def _rows(view: ModuleView, facts: dict[str, Any], sdk: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of what has no place of its own on the page."""
    rows = []
    if view.format:
        rows.append(("Image format", FORMATS.get(view.format, view.format)))
    if facts.get("module_name"):
        rows.append(("Own name", str(facts["module_name"])))
    if sdk.get("marks"):
        rows.append(("SDK known by", "; ".join(sdk["marks"])))
    for number, memory in enumerate(_list(facts, "memories")):
        rows.append(("Memory" if not number else f"Memory {number}", _memory(memory)))
    if facts.get("function_count"):
        rows.append(("Functions", f"{facts['function_count']:,}"))
    if facts.get("wasi"):
        rows.append(("WASI", f"{len(facts['wasi'])} functions"))
    if facts.get("features"):
        rows.append(("Features", ", ".join(facts["features"])))
    if facts.get("needs_config"):
        rows.append(("Configuration", "needed: it stops the proxy's load when it is given none"))
    return rows


def _memory(limits: dict[str, Any]) -> str:
    page = limits.get("page_size") or PAGE
    least = f"begins with {limits['minimum'] * page / 1024:,.0f} KiB"
    if limits.get("maximum") is None:
        return f"{least}, no limit of its own"
    return f"{least}, at most {limits['maximum'] * page / 1024:,.0f} KiB"


def _list(facts: dict[str, Any], name: str) -> tuple[dict[str, Any], ...]:
    return tuple(facts.get(name) or ())
