"""What grows: a hub's contents by number, the same at each run, so that a hub can be filled further and further."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.client import CONFIG, LAYER, MANIFEST, manifest
from proxywasm.reader import READER_VERSION
from storage.bulk import Part, Pushed, fill
from storage.database import Database, now
from storage.events import SYSTEM, Actor
from storage.manifests import NewManifest
from storage.modules import Facts, Reading
from storage.namespaces import create_namespace, find_namespace
from storage.users import find_user

NAMESPACES = 100
VISIBLE = 200  # repositories that are public, and as many internal: those of a large hub are few among private ones
TOPICS = ("auth", "cache", "cors", "geo", "header", "jwt", "log", "quota", "rate", "redirect", "rewrite", "waf")
MODULES = 200  # different ones
SHARED = (b'{"shared":"by all that are private"}', b"{}")  # configs: a blob that very many repositories hold
TAGS_EACH = 10  # of one manifest
BLOBS_EACH = 100  # of one manifest
MONTH = 30 * 86_400_000
SAMPLE = 12  # things that are asked for by name
SIGNATURE = "application/vnd.example.signature.v1+json"


@dataclass(frozen=True)
class Scene:
    """What is asked of a hub of some size: samples of what is in it."""

    tagged: Sequence[tuple[str, str]]  # repository and tag
    blobs: Sequence[tuple[str, str]]  # repository and digest
    listed: tuple[str, str]  # a repository, and after which of its tags its page begins
    subject: tuple[str, str]  # a repository, and the digest that manifests refer to
    rare: str  # a word that one repository has, or few

    def repositories(self) -> list[str]:
        """The names of all of them."""
        return sorted({name for name, _ in (*self.tagged, *self.blobs, self.listed, self.subject)})


@dataclass(frozen=True)
class Dimension:
    """One thing that grows: its sizes, what of it number `start` to `stop` is, and what to ask of the first `size`."""

    key: str
    label: str
    sizes: Sequence[int]
    parts: Callable[[dict[str, int], int, int], Iterator[Part]]
    scene: Callable[[int], Scene]
    per_second: int = 3000  # how fast about it grows, to say how long it will take
    fixed: int = 1000  # the size of the hub that is measured beside


def seed(database: Database, dimension: Dimension, start: int, stop: int) -> None:
    """Lets the hub grow from one size to another, with things that were pushed a month ago."""
    with database.read() as session:
        found = {name: find_namespace(session, name) for name in map(_namespace, range(NAMESPACES))}
        admin = find_user(session, "admin")
    assert admin is not None
    ids = {name: row.id if row else create_namespace(database, SYSTEM, name) for name, row in found.items()}
    actor = Actor("user", admin.id, "admin")
    fill(database, dimension.parts(ids, start, stop), actor=actor, at=now() - MONTH, leased_until=0)


def _repositories(namespaces: dict[str, int], start: int, stop: int) -> Iterator[Part]:
    for number in range(start, stop):
        name = _name(number)
        visibility = "public" if number < VISIBLE else "internal" if number < 2 * VISIBLE else "private"
        config, layer = _config(visibility != "private"), _blob("layer", number, 200_000 + number % 1000)
        module = _digest(f"module {number % MODULES}").partition(":")[2]
        read = Reading("module", "solo", module, layer[0], "raw")
        facts = Facts(module, layer[1][1], {"abi_version": "0.2.1", "sdk": {"name": "Rust", "version": "0.2.2"}})
        pushed = Pushed(_manifest(number, config, [layer], f"Filter {number}"), ["1.0.0"], read, facts, READER_VERSION)
        yield Part(name, namespaces[name.partition("/")[0]], visibility, dict([config, layer]), [pushed])


def _scene_of_repositories(size: int) -> Scene:
    spread = [size * part // SAMPLE for part in range(SAMPLE)]
    tagged = [(_name(number), "1.0.0") for number in spread]
    blobs = [(_name(number), _blob("layer", number, 0)[0]) for number in spread]
    name = _name(size // 2)
    return Scene(tagged, blobs, (name, ""), (name, _digest("nothing")), name.rpartition("-")[2])


def _tags(namespaces: dict[str, int], start: int, stop: int) -> Iterator[Part]:
    config, layer = _config(True), _blob("layer", 0, 200_000)
    tags = iter(range(start, stop))
    while some := [_tag(number) for number in islice(tags, TAGS_EACH)]:
        first = start == 0 and some[0] == _tag(0)
        pushed = Pushed(_manifest(f"of tag {some[0]}", config, [layer], "Tagged"), some)
        yield Part("ns-00/tags", namespaces["ns-00"], blobs=dict([config, layer]) if first else {}, pushed=[pushed])


def _scene_of_tags(size: int) -> Scene:
    tagged = [("ns-00/tags", _tag(size * part // SAMPLE)) for part in range(SAMPLE)]
    layer = _blob("layer", 0, 0)[0]
    return Scene(tagged, [("ns-00/tags", layer)], ("ns-00/tags", "0."), ("ns-00/tags", _digest("nothing")), "tagged")


def _referrers(namespaces: dict[str, int], start: int, stop: int) -> Iterator[Part]:
    config, layer = _config(True), _blob("layer", 0, 200_000)
    subject = _manifest("subject", config, [layer], "Signed")
    if start == 0:
        pushed = [Pushed(subject, ["1.0.0"])]
        yield Part("ns-00/signed", namespaces["ns-00"], blobs=dict([config, layer]), pushed=pushed)
    for number in range(start, stop):
        one = _manifest(f"referrer {number}", config, [layer], "Signature", subject.digest)
        yield Part("ns-00/signed", namespaces["ns-00"], pushed=[Pushed(one)])


def _scene_of_referrers(size: int) -> Scene:
    config, layer = _config(True), _blob("layer", 0, 200_000)
    subject = _manifest("subject", config, [layer], "Signed").digest
    name = "ns-00/signed"
    return Scene([(name, "1.0.0")], [(name, layer[0])], (name, ""), (name, subject), "signed")


def _blobs(namespaces: dict[str, int], start: int, stop: int) -> Iterator[Part]:
    config = _config(True)
    for first in range(start, stop, BLOBS_EACH):
        layers = [_blob("blob", number, 100_000) for number in range(first, min(first + BLOBS_EACH, stop))]
        pushed = [Pushed(_manifest(f"of blob {first}", config, layers, "Many"), ["1.0.0"] if first == 0 else [])]
        blobs = dict([*([config] if first == 0 else []), *layers])
        yield Part("ns-00/blobs", namespaces["ns-00"], blobs=blobs, pushed=pushed)


def _scene_of_blobs(size: int) -> Scene:
    name = "ns-00/blobs"
    blobs = [(name, _blob("blob", size * part // SAMPLE, 0)[0]) for part in range(SAMPLE)]
    return Scene([(name, "1.0.0")], blobs, (name, ""), (name, _digest("nothing")), "blobs")


DIMENSIONS = (
    Dimension(
        "repositories", "repositories", (1_000, 10_000, 100_000, 1_000_000), _repositories, _scene_of_repositories
    ),
    Dimension("tags", "tags in one repository", (100, 1_000, 10_000, 100_000), _tags, _scene_of_tags, 50_000),
    Dimension(
        "referrers",
        "referrers of one manifest",
        (10, 100, 1_000, 10_000, 100_000),
        _referrers,
        _scene_of_referrers,
        8_000,
    ),
    Dimension("blobs", "blobs in one repository", (1_000, 10_000, 100_000, 1_000_000), _blobs, _scene_of_blobs, 20_000),
)


def _namespace(number: int) -> str:
    return f"ns-{number:02}"


def _name(number: int) -> str:
    """Such as ns-07/filter-auth-3fa9c1d2: where it comes in order of name has nothing to do with its number."""
    mark = hashlib.sha256(f"name {number}".encode()).hexdigest()
    return f"{_namespace(int(mark[:2], 16) % NAMESPACES)}/filter-{TOPICS[number % len(TOPICS)]}-{mark[2:10]}"


def _tag(number: int) -> str:
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def _digest(of: str) -> str:
    return f"sha256:{hashlib.sha256(of.encode()).hexdigest()}"


def _blob(kind: str, number: int, size: int) -> tuple[str, tuple[str, int]]:
    """Digest, and key and size of the copy; its bytes are nowhere, for none of the acts reads them."""
    digest = _digest(f"{kind} {number}")
    return digest, (digest[7:39], size)


def _config(seen: bool) -> tuple[str, tuple[str, int]]:
    content = SHARED[seen]
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return digest, (digest[7:39], len(content))


def _manifest(
    number: int | str,
    config: tuple[str, tuple[str, int]],
    layers: Sequence[tuple[str, tuple[str, int]]],
    title: str,
    subject: str | None = None,
) -> NewManifest:
    annotations = {"org.opencontainers.image.title": title, "number": str(number)}
    descriptors = [{"mediaType": LAYER, "digest": digest, "size": copy[1]} for digest, copy in layers]
    document = json.loads(manifest({"mediaType": CONFIG, "digest": config[0], "size": config[1][1]}, {}))
    document |= {"layers": descriptors, "annotations": annotations}
    if subject is not None:
        document |= {"artifactType": SIGNATURE, "subject": {"mediaType": MANIFEST, "digest": subject, "size": 500}}
    content = json.dumps(document).encode()
    return NewManifest(
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        MANIFEST,
        content,
        artifact_type=SIGNATURE if subject is not None else CONFIG,
        subject=subject,
        annotations=annotations,
        blobs={digest: copy[1] for digest, copy in (config, *layers)},
    )
