"""What each door of the table of endpoints answers to whom."""

from auth.identity import Identity
from tests.auth.asking import Endpoint


def answer_to(endpoint: Endpoint, identity: Identity, actions: frozenset[str]) -> str | int:
    """`let in`, or how the door refuses somebody who may take these actions on what is asked about."""
    rules = {
        "everybody": True,
        "nobody": False,
        "signed in": not identity.anonymous,
        "themselves": identity.administrator,  # it is asked about somebody else
        "administrator": identity.administrator,
        "auditor": identity.viewer().sees_all,
    }
    if rules.get(endpoint.rule, endpoint.rule in actions):
        return "let in"
    if endpoint.door == "page":
        return 404 if endpoint.rule == "pull" else 401
    if endpoint.door == "repository":
        return 404 if "pull" not in actions else 401 if identity.anonymous else 403
    if identity.anonymous or endpoint.door == "key":
        return 401
    if endpoint.door == "site":
        return 403 if identity.viewer().sees_all else 404
    if endpoint.door == "registry" and endpoint.rule == "push":
        return 403
    if endpoint.door == "hidden" or (endpoint.door in ("registry", "target", "form") and "pull" not in actions):
        return 404
    return 403
