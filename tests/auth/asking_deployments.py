"""Requests about the pages of targets and deployments, and about what goes on there, for the table of endpoints."""

from collections.abc import Callable
from typing import Any

from tests.auth.asking import Ask, Endpoint, at, deployed, filled, own_target
from tests.auth.asking_meshes import mesh_target
from tests.auth.world import World

PAGE = "/targets/{target}"
DEPLOYMENT = PAGE + "/deployments/{deployment}"
API = "/api/v1/targets/{target}"
STALE = "/api/v1"  # what a page's address lacks of the API's


def page_of(ask: Callable[[World, str], Ask], ending: str = "") -> Callable[[World, str], Ask]:
    """The page of what a request to the API is about."""

    def asked(world: World, person: str) -> Ask:
        made = ask(world, person)
        return Ask(made.path.removeprefix(STALE) + ending, {}, made.undo)

    return asked


def form_of(ask: Callable[[World, str], Ask], form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form of that page."""

    def asked(world: World, person: str) -> Ask:
        made = ask(world, person)
        sent = filled(world, person, made.path.removeprefix(STALE), form, **typed)
        return Ask(sent.path, sent.more, made.undo)

    return asked


def rolled(ending: str = "", *, paused: bool = False, **more: Any) -> Callable[[World, str], Ask]:
    """A request about a rollout that was begun just now."""

    def ask(world: World, person: str) -> Ask:
        path = f"/api/v1/targets/{world.new_target()}/deployments/d"
        administrator = world.api("administrator")
        administrator.put(path, json={"reference": world.filter, "config": "a"})
        made = administrator.put(path, json={"config": "b", "rollout": {}})
        assert made.status_code == 200, made.text
        rollout = f"/api/v1/rollouts/{made.json()['rollout']}"
        if paused:
            assert administrator.post(f"{rollout}/pause").status_code == 200
        return Ask(rollout + ending, more, ending_by(world, rollout))

    return ask


def ending_by(world: World, path: str) -> Callable[[], None]:
    """Ends a rollout or a set: what goes on keeps the hub busy for as long as it runs."""

    def undo() -> None:
        assert world.api("administrator").post(f"{path}/abort").status_code in (200, 404, 409)

    return undo


def held(form: str, *, paused: bool = False, **typed: str) -> Callable[[World, str], Ask]:
    """A form of a deployment's page about the rollout that was begun there just now."""

    def ask(world: World, person: str) -> Ask:
        begun = rolled(paused=paused)(world, person)
        made = world.api("administrator").get(begun.path).json()
        page = f"/targets/{made['target']}/deployments/{made['deployment']}"
        sent = filled(world, person, page, form, rollout=str(made["id"]), **typed)
        return Ask(sent.path, sent.more, begun.undo)

    return ask


def followed_to_its_end(world: World, person: str) -> Ask:
    """A rollout's timeline that ends at once."""
    found = rolled()(world, person)
    assert world.api("administrator").post(f"{found.path}/abort").status_code == 200
    return Ask(f"{found.path}/events")


def new_set(ending: str = "", *, verbs: tuple[str, ...] = (), **more: Any) -> Callable[[World, str], Ask]:
    """A request about a deployment set that was made just now, after these verbs; `again` makes it once more."""

    def ask(world: World, person: str) -> Ask:
        target = world.new_target()
        path = f"/api/v1/sets/{world.team}/{target}"
        body = {"reference": world.filter, "members": [{"target": target}]}
        administrator = world.api("administrator")
        assert administrator.put(path, json=body).status_code == 201
        for verb in verbs:
            done = administrator.put(path, json=body) if verb == "again" else administrator.post(f"{path}/{verb}")
            assert done.status_code == 200, done.text
        return Ask(path + ending, more, ending_by(world, path))

    return ask


def put_set(world: World, person: str) -> Ask:
    """A set that is new."""
    target = world.new_target()
    body = {"reference": world.filter, "members": [{"target": target}]}
    path = f"/api/v1/sets/{world.team}/{target}"
    return Ask(path, {"json": body}, ending_by(world, path))


def set_form(form: str, *, verbs: tuple[str, ...] = (), **typed: str) -> Callable[[World, str], Ask]:
    """A form of the page of a deployment set that was made just now."""

    def ask(world: World, person: str) -> Ask:
        made = new_set(verbs=verbs)(world, person)
        name = made.path.rpartition("/")[2]
        typing = {"confirm": name} if form == "delete" else typed
        sent = filled(world, person, made.path.removeprefix(STALE), form, **typing)
        return Ask(sent.path, sent.more, made.undo)

    return ask


def opened(world: World, person: str) -> Ask:
    """The form that deploys the filter, to a target that was made just now."""
    return Ask(f"/targets/{world.new_target()}/deploy?filter={world.name}")


def sent(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """What that form is sent with."""

    def ask(world: World, person: str) -> Ask:
        path = f"/targets/{world.new_target()}/deploy"
        return filled(world, person, path, form, filter=world.name, version="v1", name="d", **typed)

    return ask


SET = "/api/v1/sets/{namespace}/{set}"
ENDPOINTS = {
    "GET /api/v1/sets": Endpoint("signed in", "api", at("/api/v1/sets")),
    f"GET {SET}": Endpoint("pull", "target", new_set()),
    f"PUT {SET}": Endpoint("deploy", "target", put_set),
    f"DELETE {SET}": Endpoint("deploy", "target", new_set()),
    f"GET {SET}/events": Endpoint("pull", "target", new_set("/events", verbs=("abort",))),
    f"POST {SET}/pause": Endpoint("deploy", "target", new_set("/pause", json={})),
    f"POST {SET}/resume": Endpoint("deploy", "target", new_set("/resume", verbs=("pause",), json={})),
    f"POST {SET}/abort": Endpoint("deploy", "target", new_set("/abort", json={})),
    f"POST {SET}/rollback": Endpoint(
        "deploy", "target", new_set("/rollback", verbs=("abort", "again", "abort"), json={"revision": 1})
    ),
    "GET /sets": Endpoint("signed in", "api", at("/sets"), browser=True),
    "GET /sets/{namespace}/{set}": Endpoint("pull", "target", page_of(new_set()), browser=True),
    **{
        f"POST /sets/{{namespace}}/{{set}} {form}": Endpoint("deploy", "target", ask, browser=True)
        for form, ask in {
            "pause": set_form("pause"),
            "resume": set_form("resume", verbs=("pause",)),
            "abort": set_form("abort", sure="yes"),
            "rollback": set_form("rollback", verbs=("abort", "again", "abort"), revision="1"),
            "delete": set_form("delete"),
        }.items()
    },
    "GET /deploy": Endpoint("signed in", "api", at("/deploy"), browser=True),
    "GET /deployments": Endpoint("signed in", "api", at("/deployments"), browser=True),
    "GET /rollouts": Endpoint("signed in", "api", at("/rollouts"), browser=True),
    "GET /targets": Endpoint("signed in", "api", at("/targets"), browser=True),
    f"GET {PAGE}": Endpoint("pull", "target", page_of(own_target()), browser=True),
    f"POST {PAGE} reach": Endpoint("configure", "target", form_of(mesh_target(), "reach"), browser=True),
    f"GET {PAGE}/deploy": Endpoint("deploy", "target", opened, browser=True),
    **{
        f"POST {PAGE}/deploy {form}": Endpoint("deploy", "target", sent(form), browser=True)
        for form in ("preview", "deploy", "edit", "as-text", "as-fields")
    },
    f"GET {DEPLOYMENT}": Endpoint("pull", "target", page_of(deployed()), browser=True),
    f"POST {DEPLOYMENT} rollback": Endpoint(
        "deploy", "target", form_of(deployed(), "rollback", revision="1"), browser=True
    ),
    f"POST {DEPLOYMENT} undeploy": Endpoint(
        "deploy", "target", form_of(deployed(), "undeploy", confirm="d"), browser=True
    ),
    f"POST {DEPLOYMENT} pause": Endpoint("deploy", "target", held("pause"), browser=True),
    f"POST {DEPLOYMENT} resume": Endpoint("deploy", "target", held("resume", paused=True), browser=True),
    f"POST {DEPLOYMENT} abort": Endpoint("deploy", "target", held("abort", sure="yes"), browser=True),
    f"POST {API}/reach": Endpoint("configure", "target", mesh_target("/reach", json={})),
    f"GET {API}/deployments/{{deployment}}/events": Endpoint("pull", "target", deployed("/events?seconds=0")),
}
