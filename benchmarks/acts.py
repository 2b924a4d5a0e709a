"""What must not grow dearer as a hub grows: each act does one thing once, and says how many seconds it took."""

import hashlib
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from benchmarks.client import CONFIG, LAYER, MANIFEST, make_module, manifest
from benchmarks.filling import EMPTY
from benchmarks.people import Person
from benchmarks.seeding import SHARED, SIGNATURE, Scene
from benchmarks.servers import PASSWORD, Server
from storage import garbage
from storage.bulk_rows import highest_id
from storage.database import Database

OTHER = "admin/other"  # where commits come from that have nothing to do with what is measured
MODULE = make_module(2_000)
PAGE = 100
FULL = 500  # a full page of referrers


@dataclass(frozen=True)
class Act:
    """A thing to do, after something that is not measured.

    `since`: from which size on it should cost the same, where `of` is what grows. `here`: it is done by the benchmark's
    own process.
    """

    key: str
    label: str
    run: Callable[["Actors"], float]
    prepare: Callable[["Actors"], None] = lambda actors: None
    since: int = 0
    of: str = ""
    here: bool = False


class Actors:
    """Those who act on a running hub: its administrator, a user who may see very little, and nobody."""

    def __init__(self, server: Server, database: Database, scene: Scene) -> None:
        self.server = server
        self.database = database
        self.scene = scene
        self.admin = Person(server, "admin", PASSWORD)
        self.stranger = Person(server, "stranger", PASSWORD)
        self.nobody = Person(server, "", "")
        with database.read() as session:
            self._counts = {name: highest_id(session, name) for name in ("repositories", "blobs")}
        self.tag_path = ""  # of the tag whose turn it is
        self.begun = ""  # path of the upload that a mount began
        self.pushed: list[tuple[str, str]] = []  # tag and digest of what was pushed and is still there

    def __enter__(self) -> "Actors":
        repositories = [*self.scene.repositories(), OTHER]
        self.admin.get_token([*(f"repository:{name}:pull,push,delete" for name in repositories), "registry:catalog:*"])
        self.stranger.get_token(["repository:stranger/x:pull,push", "repository:*:pull", "registry:catalog:*"])
        self.nobody.get_token(["registry:catalog:*"])
        self.admin.sign_in()
        self.stranger.sign_in()
        for name in (OTHER, self.scene.listed[0]):
            push_blob(self.admin, name, b"{}")
        return self

    def __exit__(self, *_: object) -> None:
        for person in (self.admin, self.stranger, self.nobody):
            person.close()

    def commit(self) -> None:
        """Something is pushed elsewhere, so that nothing of what the hub remembers is good any more."""
        name, tag = random.choice(self.scene.tagged)
        self.tag_path = f"/v2/{name}/manifests/{tag}"
        content = manifest(EMPTY, EMPTY, mark=os.urandom(4).hex())
        self.admin.ask("PUT", f"/v2/{OTHER}/manifests/moved", content, TYPE)

    def half(self, table: str) -> int:
        """The id of a row with at least half of the others behind it."""
        return random.randrange(self._counts[table] // 2 + 1)

    def place(self) -> str:
        """A place in the list of all repositories, with many behind it."""
        return f"ns-{random.randrange(50):02}"


TYPE = {"Content-Type": MANIFEST}


def read_tag(actors: Actors) -> float:
    """A tag: the one whose turn it is."""
    return actors.admin.time("GET", actors.tag_path)


def read_first(actors: Actors) -> None:
    """So that the hub remembers the answer."""
    actors.admin.ask("GET", actors.tag_path)


def head_blob(actors: Actors) -> float:
    """HEAD of a blob."""
    name, digest = random.choice(actors.scene.blobs)
    return actors.admin.time("HEAD", f"/v2/{name}/blobs/{digest}")


def push(actors: Actors) -> float:
    """Three requests: POST and PUT of a module that is new, PUT of its manifest under a new tag."""
    name = actors.scene.listed[0]
    mark = os.urandom(4).hex()
    module = MODULE + b"\0\x09\x08" + mark.encode()  # with an empty custom section of that name
    layer = {"mediaType": LAYER, "size": len(module), "digest": f"sha256:{hashlib.sha256(module).hexdigest()}"}
    content = manifest({**EMPTY, "mediaType": CONFIG}, layer)
    tag = f"9.9.{int(mark, 16)}"
    began = time.perf_counter()
    push_blob(actors.admin, name, module)
    actors.admin.ask("PUT", f"/v2/{name}/manifests/{tag}", content, TYPE)
    taken = time.perf_counter() - began
    actors.pushed.append((tag, f"sha256:{hashlib.sha256(content).hexdigest()}"))
    return taken


def delete_tag(actors: Actors) -> float:
    """DELETE of a tag that was just pushed."""
    return actors.admin.time("DELETE", f"/v2/{actors.scene.listed[0]}/manifests/{actors.pushed[-1][0]}")


def delete_digest(actors: Actors) -> float:
    """DELETE of a manifest that was just pushed."""
    return actors.admin.time("DELETE", f"/v2/{actors.scene.listed[0]}/manifests/{actors.pushed.pop()[1]}")


def mount(actors: Actors) -> float:
    """A mount without a source, of a blob that very many hold and the user may read nowhere: an upload begins."""
    digest = f"sha256:{hashlib.sha256(SHARED[0]).hexdigest()}"
    began = time.perf_counter()
    answer, _ = actors.stranger.ask("POST", f"/v2/stranger/x/blobs/uploads/?mount={digest}", b"", expect=(202,))
    taken = time.perf_counter() - began
    actors.begun = urlsplit(answer.headers["Location"]).path
    return taken


def cancel(actors: Actors) -> None:
    """Ends the upload that the last mount began."""
    if actors.begun:
        actors.stranger.ask("DELETE", actors.begun, expect=(204,))


def list_tags(actors: Actors) -> float:
    """A page of 100 tags."""
    name, after = actors.scene.listed
    return actors.admin.time("GET", f"/v2/{name}/tags/list?n={PAGE}&last={after}")


def list_all(actors: Actors) -> float:
    """A page of 100 of all repositories, for the administrator."""
    return actors.admin.time("GET", f"/v2/_catalog?n={PAGE}&last={actors.place()}")


def list_some(actors: Actors) -> float:
    """A page of 100 of the few repositories that a user may see."""
    return actors.stranger.time("GET", f"/v2/_catalog?n={PAGE}&last={actors.place()}")


def list_public(actors: Actors) -> float:
    """A page of the few public repositories, for nobody."""
    return actors.nobody.time("GET", f"/v2/_catalog?n={PAGE}&last={actors.place()}")


def look_at_catalog(actors: Actors) -> float:
    """The catalog's page as a user sees it."""
    return actors.stranger.time_look(f"/?after={actors.place()}")


def look_at_filter(actors: Actors) -> float:
    """The page of a filter."""
    return actors.admin.time_look(f"/r/{random.choice(actors.scene.tagged)[0]}")


def search_rare(actors: Actors) -> float:
    """Search for a word that few repositories have."""
    return actors.admin.time_look(f"/?q={quote(actors.scene.rare)}")


def search_common(actors: Actors) -> float:
    """Search for words that very many repositories have."""
    return actors.admin.time_look("/?q=filter+rust&after=" + actors.place())


def search_letters(actors: Actors) -> float:
    """Search for the beginnings of many words, by a user who may see few of those that have them."""
    return actors.stranger.time_look("/?q=f+a+r+n+0+fi+ru+ns")


def list_referrers(actors: Actors) -> float:
    """A page of referrers."""
    name, digest = actors.scene.subject
    return actors.admin.time("GET", f"/v2/{name}/referrers/{digest}")


def list_no_referrers(actors: Actors) -> float:
    """Referrers of a type that is not among them."""
    name, digest = actors.scene.subject
    return actors.admin.time("GET", f"/v2/{name}/referrers/{digest}?artifactType={quote(SIGNATURE + '.absent')}")


def collect_links(actors: Actors) -> float:
    """A step of garbage collection: 500 holds of repositories on blobs, from some place on."""
    began = time.perf_counter()
    garbage.unlink_unused(actors.database, [actors.half("repositories"), 0], False)
    return time.perf_counter() - began


def collect_blobs(actors: Actors) -> float:
    """A step of garbage collection: 500 blobs, from some place on."""
    began = time.perf_counter()
    garbage.delete_blobs(actors.database, [actors.half("blobs")], False)
    return time.perf_counter() - began


ACTS: Sequence[Act] = (
    Act("read-cold", "tag read after a commit", read_tag, Actors.commit),
    Act("read-again", "tag read, remembered", read_tag, read_first),
    Act("head-blob", "HEAD blob after a commit", head_blob, Actors.commit),
    Act("push", "push of a small module", push),
    Act("delete-tag", "DELETE tag", delete_tag),
    Act("delete-digest", "DELETE digest", delete_digest),
    Act("mount", "mount from anywhere, in vain", mount, cancel),
    Act("tags", "page of 100 tags", list_tags),
    Act("catalog-all", "_catalog, administrator", list_all),
    Act("catalog-some", "_catalog, user who sees few", list_some),
    Act("catalog-public", "_catalog, anonymous", list_public),
    Act("web-catalog", "catalog page, same user", look_at_catalog),
    Act("web-filter", "page of a filter", look_at_filter),
    Act("search-rare", "search, rare word", search_rare),
    Act("search-common", "search, common words", search_common),
    Act("search-letters", "search, 8 beginnings of words", search_letters),
    Act("referrers", "page of referrers", list_referrers, since=FULL, of="referrers"),
    Act("referrers-absent", "referrers of an absent type", list_no_referrers),
    Act("collect-links", "collection step: 500 holds", collect_links, here=True),
    Act("collect-blobs", "collection step: 500 blobs", collect_blobs, here=True),
)


def push_blob(person: Person, name: str, content: bytes) -> None:
    """POST and PUT."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    answer, _ = person.ask("POST", f"/v2/{name}/blobs/uploads/", b"")
    location = urlsplit(answer.headers["Location"])
    query = f"{location.query}&" if location.query else ""
    kind = {"Content-Type": "application/octet-stream"}
    person.ask("PUT", f"{location.path}?{query}digest={digest}", content, kind)
