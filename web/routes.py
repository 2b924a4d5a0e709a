"""The routes of this door: pages, and the JSON API."""

from starlette.routing import BaseRoute, Route

from web import account, audit, sharing, team, usage, user, users
from web import teams as team_list
from web.api import (
    accounts,
    documents,
    events,
    garbage,
    grants,
    invitations,
    modules,
    namespaces,
    profile,
    repositories,
    robots,
    sign_up,
    teams,
    tokens,
    trust_rules,
)
from web.api import usage as usage_api
from web.assets import get_asset
from web.catalog import show_catalog
from web.entering import (
    post_invitation,
    post_password_reset,
    post_sign_up,
    show_invitation,
    show_password_reset,
    show_sign_up,
)
from web.filter import show_filter
from web.help import show_permissions
from web.signing import post_sign_in, post_sign_out, show_sign_in

PAGES: list[BaseRoute] = [
    Route("/", show_catalog, methods=["GET"]),
    Route("/r/{name:path}", show_filter, methods=["GET"]),
    Route("/r/{name:path}", sharing.post_filter, methods=["POST"]),
    Route("/permissions", show_permissions, methods=["GET"]),
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/sign-in", post_sign_in, methods=["POST"]),
    Route("/sign-out", post_sign_out, methods=["POST"]),
    Route("/sign-up", show_sign_up, methods=["GET"]),
    Route("/sign-up", post_sign_up, methods=["POST"]),
    Route("/invitations/{secret}", show_invitation, methods=["GET"]),
    Route("/invitations/{secret}", post_invitation, methods=["POST"]),
    Route("/password-reset/{secret}", show_password_reset, methods=["GET"]),
    Route("/password-reset/{secret}", post_password_reset, methods=["POST"]),
    Route("/account", account.show_account, methods=["GET"]),
    Route("/account", account.post_account, methods=["POST"]),
    Route("/teams", team_list.show_teams, methods=["GET"]),
    Route("/teams", team_list.post_teams, methods=["POST"]),
    Route("/teams/{team}", team.show_team, methods=["GET"]),
    Route("/teams/{team}", team.post_team, methods=["POST"]),
    Route("/teams/{team}/audit", audit.show_team_audit, methods=["GET"]),
    Route("/teams/{team}/usage", usage.show_team_usage, methods=["GET"]),
    Route("/account/usage", usage.show_account_usage, methods=["GET"]),
    Route("/site/usage", usage.show_site_usage, methods=["GET"]),
    Route("/site/usage", usage.post_site_usage, methods=["POST"]),
    Route("/site/audit", audit.show_site_audit, methods=["GET"]),
    Route("/site/users", users.show_users, methods=["GET"]),
    Route("/site/users", users.post_users, methods=["POST"]),
    Route("/site/users/{name}", user.show_user, methods=["GET"]),
    Route("/site/users/{name}", user.post_user, methods=["POST"]),
    Route("/static/{mark}/{name}", get_asset, methods=["GET"]),
]
# What the forms of these pages ask for, by the field `form`.
FORMS = {
    "/r/{name:path}": sharing.ACTS,
    "/account": account.ACTS,
    "/teams": team_list.ACTS,
    "/teams/{team}": team.ACTS,
    "/site/usage": usage.ACTS,
    "/site/users": users.ACTS,
    "/site/users/{name}": user.ACTS,
}
API: list[BaseRoute] = [
    *documents.ROUTES,
    *accounts.ROUTES,
    *tokens.ROUTES,
    *namespaces.ROUTES,
    *profile.ROUTES,
    *sign_up.ROUTES,
    *invitations.ROUTES,
    *teams.ROUTES,
    *robots.ROUTES,
    *trust_rules.ROUTES,
    *usage_api.ROUTES,
    *events.ROUTES,
    *garbage.ROUTES,
    *modules.ROUTES,
    *grants.ROUTES,
    *repositories.ROUTES,
]
