"""A Kubernetes API server as the hub uses it: lists, server-side apply, deletes that mean one object, watches."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from auth.control_plane import Answer, ControlPlane
from deploy.targets.plan import HUB_LABEL, MANAGER, TARGET_LABEL, Object

PAGE = 500  # objects of a list that are asked for at a time
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"  # of each object no more than that
APPLY = "application/apply-patch+yaml"  # JSON is YAML
JSON_PATCH = "application/json-patch+json"
SILENT = 330.0  # seconds after which a watch that says nothing is begun anew; servers end theirs after 300 or so
SECRET = ("v1", "Secret", "secrets")
RETRY = "wasmhub/retry"  # an annotation that moves the object's version on, whereupon agents pull again
Kind = tuple[str, str, str]  # apiVersion, kind, plural


class Refused(Exception):
    """The API server's own refusal: its status, reason and sentence; `causes` are the fields that it names."""

    def __init__(self, status: int, body: Any) -> None:
        said = body if isinstance(body, Mapping) else {}
        self.status = status
        self.reason = str(said.get("reason") or "")
        super().__init__(str(said.get("message") or f"the API server answered with status {status}")[:1000])
        details = said.get("details")
        causes = details.get("causes") if isinstance(details, Mapping) else None
        self.causes = [cause for cause in causes or [] if isinstance(cause, Mapping)]


@dataclass(frozen=True)
class Listing:
    """What a list found, and the version from which a watch goes on."""

    objects: list[Object] = field(default_factory=list)
    version: str = ""


class Cluster:
    """One API server. Everything raises OutgoingRefused where no answer comes, and Refused for its refusals."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane

    async def list(self, kind: Kind, *, selector: str = "", namespace: str | None = None) -> Listing:
        """All objects of a kind that a label selector matches, in one namespace or in all."""
        objects: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(PAGE), "labelSelector": selector, "continue": token}
            found = _expect(await self.plane.ask("GET", f"{_path(kind, namespace)}?{_query(query)}"))
            objects += [item for item in found.get("items") or [] if isinstance(item, dict)]
            meta = found.get("metadata") or {}
            token = str(meta.get("continue") or "")
            if not token:
                return Listing(objects, str(meta.get("resourceVersion") or ""))

    async def names(self, kind: Kind, namespace: str) -> set[str] | None:
        """The names of all objects of a kind in a namespace, whosever they are; None where they are too many to ask."""
        path = f"{_path(kind, namespace)}?limit={PAGE}"
        found = _expect(await self.plane.ask("GET", path, accept=METADATA))
        if (found.get("metadata") or {}).get("continue"):
            return None
        return {str(one["metadata"]["name"]) for one in found.get("items") or []}

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """One object; None where there is none (or no such kind)."""
        answer = await self.plane.ask("GET", f"{_path(kind, namespace)}/{quote(name, safe='')}")
        found: Object | None = None if answer.status == 404 else _expect(answer)
        return found

    async def apply(
        self, kind: Kind, wanted: Object, *, force: bool = False, dry_run: bool = False, part: str = ""
    ) -> Object:
        """Server-side apply of an object, or of its `part`, such as its status, as the field manager `wasmhub`.

        `force` takes fields from other managers.
        """
        meta = wanted["metadata"]
        query = {"fieldManager": MANAGER, "force": "true" if force else "false", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        name = quote(meta["name"], safe="") + (f"/{part}" if part else "")
        path = f"{_path(kind, meta.get('namespace'))}/{name}?{_query(query)}"
        applied: Object = _expect(await self.plane.ask("PATCH", path, wanted, content_type=APPLY))
        return applied

    async def create(self, kind: Kind, wanted: Object) -> Object:
        """Makes an object. Raises Refused 409 where there is one of that name."""
        made: Object = _expect(await self.plane.ask("POST", _path(kind, wanted["metadata"].get("namespace")), wanted))
        return made

    async def replace(self, kind: Kind, wanted: Object) -> Object:
        """Puts an object in the place of the very version that it names. Raises Refused 409 where that is gone."""
        meta = wanted["metadata"]
        path = f"{_path(kind, meta.get('namespace'))}/{quote(meta['name'], safe='')}"
        made: Object = _expect(await self.plane.ask("PUT", path, wanted))
        return made

    async def patch(
        self, kind: Kind, live: Object, steps: Sequence[Mapping[str, Any]], *, dry_run: bool = False
    ) -> Object:
        """Changes a part of somebody else's object by a JSON patch. Raises Refused 409 where it has another version."""
        meta = live["metadata"]
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "dryRun": "All" if dry_run else ""}
        path = f"{_path(kind, meta.get('namespace'))}/{quote(meta['name'], safe='')}?{_query(query)}"
        made: Object = _expect(await self.plane.ask("PATCH", path, [*steps], content_type=JSON_PATCH))
        return made

    async def delete(self, kind: Kind, live: Object) -> None:
        """Deletes this very object: not another that took its name meanwhile. One that is gone is well."""
        meta = live["metadata"]
        body = {"preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}}
        path = f"{_path(kind, meta.get('namespace'))}/{quote(meta['name'], safe='')}"
        answer = await self.plane.ask("DELETE", path, body)
        if answer.status != 404:
            _expect(answer)

    async def may(self, verb: str, kind: Kind, namespace: str | None = None, subresource: str = "") -> bool:
        """Whether the hub may do that there, as the server itself says."""
        group = kind[0].rpartition("/")[0]
        asked = {"verb": verb, "group": group, "resource": kind[2], "namespace": namespace or ""}
        if subresource:
            asked["subresource"] = subresource
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        found = _expect(await self.plane.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body))
        return bool((found.get("status") or {}).get("allowed"))

    async def version(self) -> str:
        """The server's version, such as v1.36.3."""
        return str(_expect(await self.plane.ask("GET", "/version")).get("gitVersion") or "")

    async def through(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """The text that a pod's port answers, asked through the API server; None where it does not answer with 200."""
        where = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}:{port}/proxy{path}"
        answer = await self.plane.ask("GET", where)
        return answer.text if answer.status == 200 else None

    @asynccontextmanager
    async def watch(
        self, kind: Kind, version: str, *, selector: str, namespace: str | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Events of a kind from a list's version on."""
        query = {"watch": "true", "resourceVersion": version, "labelSelector": selector, "timeoutSeconds": "300"}
        async with self.plane.watch(f"{_path(kind, namespace)}?{_query(query)}", silent=SILENT) as events:
            yield events


def is_ours(live: Object, hub_id: str, target: str) -> bool:
    """Whether the hub itself applied an object: labels alone may have been copied with everything else.

    Another hub applies under the same name, and so does this one for another target: their labels say so.
    """
    labels = live["metadata"].get("labels") or {}
    mine = labels.get(HUB_LABEL, hub_id) == hub_id and labels.get(TARGET_LABEL, target) == target
    return mine and bool(fields_of(live, MANAGER, "Apply"))


def outgrown(live: Object, wanted: Object) -> bool:
    """Whether a live object still has fields that the hub applied and that are no more wanted."""
    return any(_has_more(fields, wanted) for fields in fields_of(live, MANAGER, "Apply"))


def holds(live: Any, wanted: Any) -> bool:
    """Whether a live value has all that is wanted of it; what others have added to an object does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(name in live and holds(live[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(holds, live, wanted))
    return bool(live == wanted)


def fields_of(live: Object, manager: str, operation: str | None = None) -> list[Mapping[str, Any]]:
    """The fields that the API server has noted of somebody, as `fieldsV1` names them; but for those of a status."""
    entries = [one for one in live["metadata"].get("managedFields") or [] if one.get("manager") == manager]
    asked = [one for one in entries if operation in (None, one.get("operation")) and not one.get("subresource")]
    return [one.get("fieldsV1") or {} for one in asked]


def is_item(name: str, one: Any) -> bool:
    """Whether a part of `fieldsV1` names that item of a list."""
    what, _, key = name.partition(":")
    return what in ("k", "v") and _is_item(one, json.loads(key))


def _has_more(fields: Mapping[str, Any], wanted: Any) -> bool:
    """Whether fields as `fieldsV1` names them (f: a field, k: the item of a list with these keys, v: a value of a set)
    are not all wanted.
    """
    for name, below in fields.items():
        what, _, key = name.partition(":")
        if what == "f" and key != RETRY:
            if not isinstance(wanted, Mapping) or key not in wanted or _has_more(below, wanted[key]):
                return True
        elif what in ("k", "v"):
            item = json.loads(key)
            items = [one for one in wanted if _is_item(one, item)] if isinstance(wanted, list) else []
            if not items or _has_more(below, items[0]):
                return True
    return False


def _is_item(one: Any, item: Any) -> bool:
    """Whether that is the item of a list; a key that it does not say itself is the server's default."""
    if isinstance(one, Mapping) and isinstance(item, Mapping):
        return all(one.get(name, value) == value for name, value in item.items())
    return bool(one == item)


def _path(kind: Kind, namespace: str | None) -> str:
    version, _, plural = kind
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{quote(namespace, safe='')}/{plural}" if namespace else f"{root}/{plural}"


def _query(query: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in query.items() if value})


def _expect(answer: Answer) -> Any:
    if answer.status >= 400 or not isinstance(answer.body, dict):
        raise Refused(answer.status, answer.body)
    return answer.body
