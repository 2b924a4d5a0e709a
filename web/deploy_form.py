"""The form that deploys a filter: its target, then how, then a look at what would be, and only then it is done."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.door import ApiError
from auth.identity import Identity
from web import staged
from web.config_form import PREFIX as CONFIG
from web.config_form import config_fields
from web.deploy_body import PLACEMENT, config_of, read_body, typed_from
from web.deployment import address_of
from web.forms import Act, Sent, carry_out, failed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.standing import kind_in_words
from web.typed import Field
from web.visitor import Visitor, find_visitor

LIMIT = 1024 * 1024  # bytes of a form: a config may be 256 KiB, and each character three bytes on its way
MOST_FIELDS = 100
LONGEST = 600
REFUSED = 422


async def show_choice(request: Request) -> Response:
    """`GET /deploy[?filter=NAME][&version=TAG or digest][&target=NAME]`: which filter, and where; then on to how."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    asked = _asked(request, "filter", "version", "target")
    if asked["filter"] and asked["target"]:
        query = urlencode({name: asked[name] for name in ("filter", "version") if asked[name]})
        return RedirectResponse(f"/targets/{quote(asked['target'], safe='')}/deploy?{query}", 303)
    targets = await means_of(request).deploying.deployable(visitor.identity)
    return render(request, visitor, "deploy.html", asked=asked, targets=targets)


async def show_form(request: Request) -> Response:
    """`GET /targets/<target>/deploy?filter=NAME[&version=..][&name=..]`: how, for those who may deploy there."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_form(request: Request) -> Response:
    """`POST /targets/<target>/deploy`: a look at what would be, or doing it."""
    return await carry_out(request, ACTS, _page, limit=LIMIT, most=MOST_FIELDS)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    asked = dict(sent.typed) if sent.form else _asked(request, "filter", "version", "name")
    try:
        opened = await _open(request, visitor.identity, asked)
    except ApiError:
        if not (sent.problem and asked.get("version")):
            raise
        opened = await _open(request, visitor.identity, {**asked, "version": ""})  # there is none such, as it says
    fields = config_fields(opened["schema"])
    typed = asked if sent.form else {**typed_from(opened, fields), **{name: one for name, one in asked.items() if one}}
    if sent.form in ("as-text", "as-fields") and not sent.problem:
        typed, problem = _turned(fields, typed, sent.form)
        sent = Sent(sent.form, typed, problem)
    return _form(request, visitor, opened, fields, typed, sent)


def _form(
    request: Request,
    visitor: Visitor,
    opened: Mapping[str, Any],
    fields: list[Field],
    typed: Mapping[str, str],
    sent: Sent,
) -> Response:
    target = opened["target"]
    values: dict[str, Any] = {"opened": opened, "target": target, "kind": kind_in_words(target["kind"])}
    values |= {"typed": typed, "by_fields": bool(fields) and typed.get("config_as") != "text", "fields": fields}
    values |= {"places": [_placement_field(one) for one in opened["fields"]], "config": CONFIG, "placement": PLACEMENT}
    values |= {"policies": means_of(request).deploying.policies, "forces": "configure" in opened["actions"]}
    values |= {"here": _here(opened), "done_now": None, "staged": staged.ASKED, "limit": staged.LIMIT}
    return render(request, visitor, "deploy-form.html", sent=sent, **values)


async def _preview(request: Request, identity: Identity, form: dict[str, str]) -> Response:
    """What the deployment would be; nothing happens."""
    opened = await _open(request, identity, form)
    name, body = _body(opened, form)
    foreseen = await means_of(request).deploying.foresee(identity, opened["target"]["name"], name, body)
    visitor = await find_visitor(request)
    kept = {field: value for field, value in form.items() if field not in ("csrf", "form")}
    forcible = "configure" in opened["actions"] and all(one["forcible"] for one in foreseen["reasons"])
    values: dict[str, Any] = {"opened": opened, "target": opened["target"], "name": name, "body": body, "kept": kept}
    values |= {"foreseen": foreseen, "forcible": forcible, "here": _here(opened), "done_now": None, "sent": Sent()}
    return render(request, visitor, "deploy-preview.html", **values)


async def _deploy(request: Request, identity: Identity, form: dict[str, str]) -> str | Response:
    """Deploys; what speaks against it by now is shown as before."""
    opened = await _open(request, identity, form)
    name, body = _body(opened, form)
    try:
        await means_of(request).deploying.deploy(identity, opened["target"]["name"], name, body)
    except ApiError as error:
        if error.status != REFUSED:
            raise
        return failed(error, await _preview(request, identity, form))
    return f"{address_of(opened['target']['name'], name)}?done=deploy"


async def _again(request: Request, identity: Identity, form: dict[str, str]) -> Response:
    """The form once more with what was typed, perhaps with the config written the other way."""
    return await _page(request, await find_visitor(request), Sent(form["form"], form))


ACTS: dict[str, Act] = {
    "preview": _preview,
    "deploy": _deploy,
    "edit": _again,
    "as-text": _again,
    "as-fields": _again,
}


async def _open(request: Request, identity: Identity, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the form needs. Raises ApiError for who may not deploy there, or not read the filter."""
    target, reference = request.path_params["target"], _reference(asked)
    name = asked.get("name", "").strip()
    opened = await means_of(request).deploying.open_form(identity, target, name, reference)
    return {**opened, "reference": reference}


def _body(opened: Mapping[str, Any], form: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    fields = config_fields(opened["schema"])
    places = [_placement_field(one) for one in opened["fields"]]
    return form.get("name", "").strip(), {"reference": opened["reference"], **read_body(fields, places, form)}


def _turned(fields: list[Field], typed: Mapping[str, str], form: str) -> tuple[dict[str, str], str]:
    """What was typed with the config as JSON, or in fields, and why that cannot be."""
    rest = {name: value for name, value in typed.items() if not name.startswith(CONFIG)}
    if form == "as-text":
        return {**rest, "config": config_of(fields, typed, pretty=True), "config_as": "text"}, ""
    written = typed_from({"current": None}, fields, str(typed.get("config", "")))
    if written["config_as"] == "text" and typed.get("config", "").strip():
        return dict(typed), "the config says what its fields cannot; leave it as JSON"
    return {
        **rest,
        **{name: one for name, one in written.items() if name.startswith(CONFIG)},
        "config_as": "fields",
    }, ""


def _reference(asked: Mapping[str, str]) -> str:
    name, version = asked.get("filter", "").strip()[:LONGEST], asked.get("version", "").strip()[:LONGEST]
    if not version:
        return name
    return f"{name}@{version}" if ":" in version else f"{name}:{version}"


def _placement_field(said: Mapping[str, Any]) -> Field:
    return Field(said["name"], said["label"], said["is"], said["required"], said["words"], (), said["hint"])


def _here(opened: Mapping[str, Any]) -> str:
    return f"/targets/{opened['target']['name']}/deploy"


def _asked(request: Request, *names: str) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip()[:LONGEST] for name in names}
