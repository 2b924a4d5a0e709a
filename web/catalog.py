"""The catalog page: what can be found here, by word and page by page."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from storage.catalog import Entry, list_repositories
from storage.search import find_words
from web.lines import login_lines, push_lines
from web.means import means_of
from web.rendering import render
from web.said import Said, read_said
from web.visitor import Visitor, find_visitor

PAGE = 24
LONGEST_QUERY = 200


@dataclass(frozen=True)
class Card:
    """A repository in the list."""

    entry: Entry
    title: str
    said: Said

    @property
    def namespace(self) -> str:
        """The name up to its last part."""
        return self.entry.name.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.entry.name.rpartition("/")[2]


async def show_catalog(request: Request) -> Response:
    """`GET /`: the catalog, or how to push the first filter where there is nothing to see."""
    visitor = await find_visitor(request)
    return await means_of(request).database.look(_show, request, visitor)


def _show(request: Request, visitor: Visitor) -> Response:
    asked = request.query_params.get("q", "").strip()[:LONGEST_QUERY]
    after = request.query_params.get("after", "")[:LONGEST_QUERY]
    words = find_words(asked)
    entries: list[Entry] = []
    if words or not asked:  # signs alone find nothing, rather than everything
        with means_of(request).database.read() as session:
            viewer = visitor.identity.viewer()
            entries = list_repositories(session, viewer, words=words, last=after, limit=PAGE + 1)

    cards = [_card(entry) for entry in entries[:PAGE]]

    if not cards and not asked and not after:
        who = visitor.identity.name or "USER"
        lines = push_lines(visitor, f"{who}/my-filter", "0.1.0")
        return render(request, visitor, "empty.html", login=login_lines(visitor), push=lines)
    more = entries[PAGE - 1].name if len(entries) > PAGE else None
    return render(request, visitor, "catalog.html", cards=cards, asked=asked, after=after, more=more)


def _card(entry: Entry) -> Card:
    return Card(entry, describe(entry), read_said(entry.newest.reading if entry.newest else None))


def describe(entry: Entry) -> str:
    """What the repository says of itself: its description, else what its newest version is annotated with."""
    if entry.description:
        return entry.description
    annotations = entry.newest.annotations if entry.newest else {}
    for name in ("description", "title"):
        said = annotations.get(f"org.opencontainers.image.{name}")
        if isinstance(said, str) and said.strip():
            return said.strip()[:500]
    return ""
