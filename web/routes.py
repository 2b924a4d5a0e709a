"""The routes of this door: pages, and the JSON API."""

from starlette.routing import BaseRoute, Route

from web import account, provider, sharing, single_sign_on, team, user, users
from web import identities as identity_page
from web import providers as provider_list
from web import teams as team_list
from web.api import (
    accounts,
    documents,
    garbage,
    grants,
    identities,
    invitations,
    modules,
    namespaces,
    profile,
    providers,
    repositories,
    robots,
    sign_up,
    teams,
    tokens,
    trust_rules,
)
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
    Route("/sign-in/with/{provider}", single_sign_on.show_provider, methods=["GET"]),
    Route("/sign-in/with/{provider}/callback", single_sign_on.show_callback, methods=["GET"]),
    Route("/sign-out", post_sign_out, methods=["POST"]),
    Route("/sign-up", show_sign_up, methods=["GET"]),
    Route("/sign-up", post_sign_up, methods=["POST"]),
    Route("/invitations/{secret}", show_invitation, methods=["GET"]),
    Route("/invitations/{secret}", post_invitation, methods=["POST"]),
    Route("/password-reset/{secret}", show_password_reset, methods=["GET"]),
    Route("/password-reset/{secret}", post_password_reset, methods=["POST"]),
    Route("/account", account.show_account, methods=["GET"]),
    Route("/account", account.post_account, methods=["POST"]),
    Route("/account/identities", identity_page.show_identities, methods=["GET"]),
    Route("/account/identities", identity_page.post_identities, methods=["POST"]),
    Route("/teams", team_list.show_teams, methods=["GET"]),
    Route("/teams", team_list.post_teams, methods=["POST"]),
    Route("/teams/{team}", team.show_team, methods=["GET"]),
    Route("/teams/{team}", team.post_team, methods=["POST"]),
    Route("/site/users", users.show_users, methods=["GET"]),
    Route("/site/users", users.post_users, methods=["POST"]),
    Route("/site/users/{name}", user.show_user, methods=["GET"]),
    Route("/site/users/{name}", user.post_user, methods=["POST"]),
    Route("/site/providers", provider_list.show_providers, methods=["GET"]),
    Route("/site/providers", provider_list.post_providers, methods=["POST"]),
    Route("/site/providers/{provider}", provider.show_provider, methods=["GET"]),
    Route("/site/providers/{provider}", provider.post_provider, methods=["POST"]),
    Route("/static/{mark}/{name}", get_asset, methods=["GET"]),
]
# What the forms of these pages ask for, by the field `form`.
FORMS = {
    "/r/{name:path}": sharing.ACTS,
    "/account": account.ACTS,
    "/account/identities": identity_page.ACTS,
    "/teams": team_list.ACTS,
    "/teams/{team}": team.ACTS,
    "/site/users": users.ACTS,
    "/site/users/{name}": user.ACTS,
    "/site/providers": provider_list.ACTS,
    "/site/providers/{provider}": provider.ACTS,
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
    *providers.ROUTES,
    *identities.ROUTES,
    *garbage.ROUTES,
    *modules.ROUTES,
    *grants.ROUTES,
    *repositories.ROUTES,
]
