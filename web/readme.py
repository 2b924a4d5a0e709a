"""A version's README: Markdown from a referrer or an annotation, as HTML that can do no harm."""

import json
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape
from sqlalchemy.orm import Session

from storage.blobs.store import BlobStore
from storage.catalog import Version
from storage.manifests import find_blob, find_content, newest_referrers

ARTIFACT_TYPE = "application/vnd.wasmhub.readme.v1+markdown"
ANNOTATION = "vnd.wasmhub.readme"
LIMIT = 262_144  # bytes of Markdown
# What is more than this is shown as it was written: making it into HTML could take many seconds at each visit.
LONGEST_RENDERED = 65_536  # characters
MOST_BRACKETS = 4000  # each may begin a link, for whose end the parser looks
MOST_CELLS = 50_000  # of tables, whose rows are filled up to the width of their heads
REFERRERS = 10  # looked at, from the newest on, for one whose README can be shown


@dataclass(frozen=True)
class Readme:
    """Where a README is: in a copy of that key, or here."""

    key: str | None
    text: str = ""

    def read(self, blobs: BlobStore) -> str:
        """Its Markdown. Takes as long as the blob store does, so no connection to the database is held meanwhile."""
        return blobs.read(self.key).decode(errors="replace") if self.key is not None else self.text


def find_readme(session: Session, repository_id: int, version: Version) -> Readme | None:
    """A version's newest README: the first layer of such a referrer, else an annotation."""
    for referrer in newest_referrers(session, repository_id, version.digest, ARTIFACT_TYPE, limit=REFERRERS):
        layer = _first_layer(find_content(session, referrer))
        blob = find_blob(session, repository_id, layer) if layer else None
        if blob is not None and blob[2] <= LIMIT:
            return Readme(blob[1])
    said = version.annotations.get(ANNOTATION)
    return Readme(None, said[:LIMIT]) if isinstance(said, str) and said.strip() else None


def render_markdown(text: str) -> Markup:
    """Markdown as HTML: no HTML of its own, no images (they would load from elsewhere), headings two levels down."""
    if _is_costly(text):
        return Markup("<pre>{}</pre>").format(text)
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable("table")
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return Markup(parser.render(text))  # noqa: S704 (the parser escapes whatever the text holds)


def _is_costly(text: str) -> bool:
    if len(text) > LONGEST_RENDERED or text.count("[") > MOST_BRACKETS:
        return True
    lines = text.split("\n")
    return len(lines) * max(line.count("|") + 1 for line in lines) > MOST_CELLS


def _image(self: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    """An image as a link to it."""
    source = escape(str(tokens[at].attrs.get("src", "")))
    return f'<a href="{source}" rel="nofollow noopener">{escape(tokens[at].content) or "image"}</a>'


def _link(self: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    tokens[at].attrSet("rel", "nofollow noopener")
    return self.renderToken(tokens, at, options, env)


def _heading(self: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    """A heading below those of the page: its own first level is the page's third."""
    tokens[at].tag = f"h{min(6, int(tokens[at].tag[1:]) + 2)}"
    return self.renderToken(tokens, at, options, env)


def _table(self: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    """A table that scrolls by itself where it is wider than the page."""
    return '<div class="scroll" tabindex="0"><table>\n'


def _table_end(self: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return "</table></div>\n"


_RULES = {
    "image": _image,
    "link_open": _link,
    "heading_open": _heading,
    "heading_close": _heading,
    "table_open": _table,
    "table_close": _table_end,
}


def _first_layer(manifest: bytes | None) -> str | None:
    try:
        document: Any = json.loads(manifest or b"")
        digest = document["layers"][0]["digest"]
    except (ValueError, RecursionError, TypeError, KeyError, IndexError):
        return None
    return digest if isinstance(digest, str) and digest.isascii() else None
