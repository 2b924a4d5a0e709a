"""The routes of this door: pages, and the JSON API."""

from starlette.routing import BaseRoute, Route

from web import (
    account,
    account_name,
    account_sessions,
    audit,
    device,
    provider,
    robot,
    second_factor,
    settings,
    sharing,
    single_sign_on,
    team,
    usage,
    user,
    users,
)
from web import identities as identity_page
from web import providers as provider_list
from web import robots as robot_list
from web import teams as team_list
from web import upkeep as upkeep_page
from web.api import (
    accounts,
    device_logins,
    documents,
    events,
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
    upkeep,
)
from web.api import second_factor as second_factor_api
from web.api import sessions as session_api
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
from web.passkey_sign_in import post_passkey
from web.second_step import post_second_step, show_second_step
from web.signing import post_sign_in, post_sign_out, show_sign_in

PAGES: list[BaseRoute] = [
    Route("/", show_catalog, methods=["GET"]),
    Route("/r/{name:path}", show_filter, methods=["GET"]),
    Route("/r/{name:path}", sharing.post_filter, methods=["POST"]),
    Route("/permissions", show_permissions, methods=["GET"]),
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/sign-in", post_sign_in, methods=["POST"]),
    Route("/sign-in/passkey", post_passkey, methods=["POST"]),
    Route("/sign-in/second-factor", show_second_step, methods=["GET"]),
    Route("/sign-in/second-factor", post_second_step, methods=["POST"]),
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
    Route("/account/name", account_name.show_name, methods=["GET"]),
    Route("/account/name", account_name.post_name, methods=["POST"]),
    Route("/account/second-factor", second_factor.show_second_factor, methods=["GET"]),
    Route("/account/second-factor", second_factor.post_second_factor, methods=["POST"]),
    Route("/account/identities", identity_page.show_identities, methods=["GET"]),
    Route("/account/identities", identity_page.post_identities, methods=["POST"]),
    Route("/account/sessions", account_sessions.show_sessions, methods=["GET"]),
    Route("/account/sessions", account_sessions.post_sessions, methods=["POST"]),
    Route("/device", device.show_device, methods=["GET"]),
    Route("/device", device.post_device, methods=["POST"]),
    Route("/teams", team_list.show_teams, methods=["GET"]),
    Route("/teams", team_list.post_teams, methods=["POST"]),
    Route("/teams/{team}", team.show_team, methods=["GET"]),
    Route("/teams/{team}", team.post_team, methods=["POST"]),
    Route("/teams/{team}/robots", robot_list.show_robots, methods=["GET"]),
    Route("/teams/{team}/robots", robot_list.post_robots, methods=["POST"]),
    Route("/teams/{team}/robots/{robot}", robot.show_robot, methods=["GET"]),
    Route("/teams/{team}/robots/{robot}", robot.post_robot, methods=["POST"]),
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
    Route("/site/settings", settings.show_settings, methods=["GET"]),
    Route("/site/upkeep", upkeep_page.show_upkeep, methods=["GET"]),
    Route("/site/upkeep", upkeep_page.post_upkeep, methods=["POST"]),
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
    "/account/name": account_name.ACTS,
    "/account/second-factor": second_factor.ACTS,
    "/account/identities": identity_page.ACTS,
    "/account/sessions": account_sessions.ACTS,
    "/device": device.ACTS,
    "/teams": team_list.ACTS,
    "/teams/{team}": team.ACTS,
    "/teams/{team}/robots": robot_list.ACTS,
    "/teams/{team}/robots/{robot}": robot.ACTS,
    "/site/upkeep": upkeep_page.ACTS,
    "/site/usage": usage.ACTS,
    "/site/users": users.ACTS,
    "/site/users/{name}": user.ACTS,
    "/site/providers": provider_list.ACTS,
    "/site/providers/{provider}": provider.ACTS,
}
API: list[BaseRoute] = [
    *documents.ROUTES,
    *accounts.ROUTES,
    *tokens.ROUTES,
    *second_factor_api.ROUTES,
    *device_logins.ROUTES,
    *session_api.ROUTES,
    *namespaces.ROUTES,
    *profile.ROUTES,
    *sign_up.ROUTES,
    *invitations.ROUTES,
    *teams.ROUTES,
    *robots.ROUTES,
    *trust_rules.ROUTES,
    *providers.ROUTES,
    *identities.ROUTES,
    *usage_api.ROUTES,
    *events.ROUTES,
    *garbage.ROUTES,
    *upkeep.ROUTES,
    *modules.ROUTES,
    *grants.ROUTES,
    *repositories.ROUTES,
]
