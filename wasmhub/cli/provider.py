"""`wasmhub provider`: the OpenID Connect providers that people sign in with, and what their groups give."""

import argparse
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.secret import read_secret

COLUMNS = {"NAME": "name", "TITLE": "title", "ISSUER": "issuer", "ON": "active"}
GROUPS = {"ID": "id", "GROUP": "group", "TEAM": "team", "ROLE": "role"}
ROLES = ("reader", "writer", "maintainer", "owner", "auditor", "administrator")
YES = {"yes": True, "no": False}
_EXAMPLE = "wasmhub provider create keycloak --issuer https://login.example.com/realms/acme --client-id wasmhub"


def main(arguments: list[str]) -> int:
    """Runs one action."""
    examples = f"{_EXAMPLE} --secret < secret\nwasmhub provider check keycloak\n"
    parser = new_parser(
        "provider",
        "Providers that people sign in with, by OpenID Connect. For administrators.",
        f"{examples}wasmhub provider map keycloak /platform --team edge --role writer",
    )
    actions = new_actions(parser)
    _add_provider_actions(actions)
    _add_group_actions(actions)
    return run(parser, or_list(arguments))


def _add_provider_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_action(actions, "list", "list the providers", "wasmhub provider list", list_providers)
    create = _one(actions, "create", "add a provider", f"{_EXAMPLE} --secret < secret", create_provider)
    create.add_argument("--issuer", required=True, metavar="URL", help="what stands in its tokens as `iss`")
    create.add_argument("--client-id", required=True, metavar="ID", help="what the hub is called there")
    _one(
        actions, "show", "what a provider is told, and what its groups give", "wasmhub provider show keycloak", show_it
    )
    change = _one(actions, "set", "change a provider", "wasmhub provider set keycloak --active no", set_provider)
    change.add_argument("--issuer", metavar="URL", help="what stands in its tokens as `iss`")
    change.add_argument("--client-id", metavar="ID", help="what the hub is called there")
    change.add_argument("--active", choices=list(YES), help="whether people can sign in with it")
    for action in (create, change):
        action.add_argument("--secret", action="store_true", help="ask for the client's secret, or read it from stdin")
        action.add_argument("--title", metavar="TEXT", help="what the button says behind `Sign in with`")
        action.add_argument("--scopes", metavar="TEXT", help="what it is asked for (openid profile email)")
        action.add_argument("--name-claim", metavar="CLAIM", help="that new users are called by (preferred_username)")
        action.add_argument("--groups-claim", metavar="CLAIM", help="with the groups (groups)")
        action.add_argument("--makes-users", choices=list(YES), help="whether people without an account get one (yes)")
    _one(actions, "check", "ask a provider what it says of itself", "wasmhub provider check keycloak", check_provider)
    what = "delete a provider, with the sessions, links and roles that came from it"
    _one(actions, "delete", what, "wasmhub provider delete keycloak", delete_provider)


def _add_group_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    example = "wasmhub provider map keycloak /platform --team edge --role writer"
    give = _one(actions, "map", "let a group give a role", example, map_group)
    give.add_argument("group", metavar="GROUP", help="as it stands in the claim")
    give.add_argument("--team", metavar="TEAM", help="in which; left out: in the whole hub")
    give.add_argument("--role", required=True, choices=ROLES, help=", ".join(ROLES))
    take = _one(actions, "unmap", "let a group give that no more", "wasmhub provider unmap keycloak 3", unmap_group)
    take.add_argument("id", metavar="ID", type=whole_number(1, 2**53), help="its number in `wasmhub provider show`")


def _one(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, example: str, act: Any
) -> argparse.ArgumentParser:
    action = add_action(actions, name, what, example, act)
    action.add_argument("provider", metavar="PROVIDER", help="what it is called in addresses")
    return action


def list_providers(options: argparse.Namespace) -> int:
    """All of them."""
    with Hub() as hub:
        found = hub.ask("GET", "providers")["providers"]
    empty = "no provider yet; `wasmhub provider create NAME --issuer URL --client-id ID` adds one"
    return show(options, found, table(found, COLUMNS, empty))


def create_provider(options: argparse.Namespace) -> int:
    """A new one, and what it has to be told."""
    with Hub() as hub:
        made = hub.ask("POST", "providers", body={"name": options.provider, **_settings(options)})
    return show(options, made, _told(made))


def show_it(options: argparse.Namespace) -> int:
    """One of them."""
    with Hub() as hub:
        found = hub.ask("GET", "providers", options.provider)
    groups = table(found["groups"], GROUPS, "its groups give nothing")
    return show(options, found, f"{_told(found)}\n{groups}")


def set_provider(options: argparse.Namespace) -> int:
    """One that is otherwise now."""
    with Hub() as hub:
        made = hub.ask("PATCH", "providers", options.provider, body=_settings(options))
    return show(options, made, f"{plain(made['name'])} is changed")


def check_provider(options: argparse.Namespace) -> int:
    """What it answers; 1 if nobody could sign in with it."""
    with Hub() as hub:
        found = hub.ask("POST", "providers", options.provider, "check")
    said = "it answers, and people can sign in with it" if found["ok"] else plain(found["problem"])
    show(options, found, "\n".join([said, *(f"but {plain(one)}" for one in found["warnings"])]))
    return 0 if found["ok"] else 1


def delete_provider(options: argparse.Namespace) -> int:
    """One that was."""
    with Hub() as hub:
        hub.ask("DELETE", "providers", options.provider)
    return show(options, {"deleted": options.provider}, f"{plain(options.provider)} is deleted")


def map_group(options: argparse.Namespace) -> int:
    """What a group gives."""
    body = {"group": options.group, "role": options.role} | ({"team": options.team} if options.team else {})
    with Hub() as hub:
        made = hub.ask("POST", "providers", options.provider, "groups", body=body)
    where = f"in {plain(made['team'])}" if made["team"] else "of the hub"
    return show(options, made, f"who is in {plain(made['group'])} is {made['role']} {where}, from the next sign-in on")


def unmap_group(options: argparse.Namespace) -> int:
    """What a group gave."""
    with Hub() as hub:
        hub.ask("DELETE", "providers", options.provider, "groups", str(options.id))
    return show(options, {"deleted": options.id}, f"{options.id} is given no more")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was said of a provider."""
    texts = ("title", "issuer", "client_id", "scopes", "name_claim", "groups_claim")
    said: dict[str, Any] = {name: getattr(options, name) for name in texts if getattr(options, name) is not None}
    for name in ("makes_users", "active"):
        if getattr(options, name, None) is not None:
            said[name] = YES[getattr(options, name)]
    return said | ({"client_secret": read_secret("client secret")} if options.secret else {})


def _told(provider: dict[str, Any]) -> str:
    """What the provider has to know of the hub."""
    return (
        f"redirect URI             {plain(provider['redirect_uri'])}\n"
        f"back-channel logout URI  {plain(provider['backchannel_logout_uri'])}"
    )
