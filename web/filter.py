"""A filter's page: its versions, how to pull, push and deploy it, and what its bytes say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from markupsafe import Markup
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.permissions import VISIBILITY
from storage.catalog import (
    COUNTED,
    Version,
    count_versions,
    find_version,
    list_untagged,
    list_versions,
    tags_of,
)
from storage.grants import ROLES, grants
from web.access import Readable, find_readable
from web.catalog import describe
from web.forms import Sent
from web.lines import deploy_line, login_lines, pull_lines, push_lines
from web.means import means_of
from web.readme import find_readme, render_markdown
from web.rendering import render
from web.said import read_said
from web.visitor import Visitor, find_visitor

VERSIONS = 15
MORE_TAGS = 12
LINKS = (("source", "Source"), ("documentation", "Documentation"), ("url", "Home page"))
TEXTS = (("licenses", "License"), ("authors", "Authors"), ("vendor", "Vendor"), ("revision", "Revision"))


@dataclass(frozen=True)
class Shelf:
    """The versions of a repository as its page lists them."""

    versions: Sequence[Version]
    count: str
    after: str  # where this page of the list begins
    more: str | None  # where the next one does


async def show_filter(request: Request) -> Response:
    """`GET /r/<repository>`, with `?version=TAG` or `@<digest>` for another version than the newest."""
    return await page_of_filter(request, await find_visitor(request), Sent())


async def page_of_filter(request: Request, visitor: Visitor, sent: Sent) -> Response:
    """That page, also as the answer to one of its forms."""
    return await anyio.to_thread.run_sync(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    name, _, digest = request.path_params["name"].partition("@")
    asked = digest or request.query_params.get("version", "")
    means = means_of(request)
    with means.database.read() as session:
        found = find_readable(session, visitor.identity, name)
        if found is None:
            raise HTTPException(404)
        version = _version(session, found, asked, name)
        shelf = _shelf(session, found.entry.id, request.query_params.get("after", ""))
        tags = tags_of(session, version.manifest_id, limit=MORE_TAGS) if version else []
        readme = find_readme(session, found.entry.id, version) if version else None
        shared = grants(session, found.entry.id) if "administer" in found.actions else []

    said = read_said(version.reading if version else None)
    values: dict[str, Any] = {
        **_parts(found),
        "version": version,
        "asked": asked,
        "shelf": shelf,
        "newer": _newer(found, version),
        "tags": [tag for tag in tags if version and tag != version.tag],
        "said": said,
        "readme": render_markdown(readme.read(means.blobs)) if readme else Markup(""),
        "facts": _annotated(version),
        "pull": pull_lines(visitor, name, version) if version else [],
        "deploy": deploy_line(name, version) if version and said.deployable else None,
        "push": push_lines(visitor, name, "TAG") if "push" in found.actions else [],
        "login": login_lines(visitor),
    }
    values |= {"sent": sent, "here": f"/r/{found.entry.name}", "done_now": request.query_params.get("done")}
    values |= {"actions": found.actions, "shared": shared, "roles": ROLES, "visibilities": tuple(VISIBILITY)}
    return render(request, visitor, "filter.html", **values)


def _version(session: Session, found: Readable, asked: str, name: str) -> Version | None:
    if not asked:
        return found.entry.newest
    version = find_version(session, found.entry.id, asked)
    if version is None:
        raise HTTPException(404, f"{name} has no version {asked[:80]}")
    return version


def _newer(found: Readable, version: Version | None) -> str | None:
    """The newest version's tag, on the page of an older one."""
    newest = found.entry.newest
    return newest.tag if newest and version and newest.digest != version.digest else None


def _shelf(session: Session, repository_id: int, after: str) -> Shelf:
    try:
        versions = list_versions(session, repository_id, after=after, limit=VERSIONS + 1)
    except ValueError:
        versions, after = list_versions(session, repository_id, limit=VERSIONS + 1), ""
    count = count_versions(session, repository_id)
    if not versions and not after:
        versions = list_untagged(session, repository_id, limit=VERSIONS)
    more = versions[VERSIONS - 1].cursor if len(versions) > VERSIONS else None
    return Shelf(versions[:VERSIONS], f"{COUNTED:,}+" if count > COUNTED else f"{count:,}", after, more)


def _parts(found: Readable) -> dict[str, Any]:
    namespace, _, last = found.entry.name.rpartition("/")
    return {"entry": found.entry, "namespace": namespace, "last": last, "title": describe(found.entry)}


def _annotated(version: Version | None) -> list[tuple[str, str, str | None]]:
    """What the author wrote beside the version: name, text, and the address where it is one."""
    annotations = version.annotations if version else {}
    facts: list[tuple[str, str, str | None]] = []
    for key, label in (*LINKS, *TEXTS):
        said = annotations.get(f"org.opencontainers.image.{key}")
        if isinstance(said, str) and said.strip():
            link = _safe_link(said.strip()) if (key, label) in LINKS else None
            facts.append((label, said.strip()[:200], link))
    return facts


def _safe_link(said: str) -> str | None:
    """The address if following it can do nothing but open a page."""
    try:
        parts = urlsplit(said)
    except ValueError:
        return None
    return said if parts.scheme in ("http", "https") and parts.netloc else None
