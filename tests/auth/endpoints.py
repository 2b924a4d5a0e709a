"""Every endpoint of the hub: who may use it, how its door refuses others, and a request that is good in itself."""

from tests.auth import (
    asking,
    asking_deployments,
    asking_devices,
    asking_meshes,
    asking_sessions,
    factors,
    machines,
    own_account,
    sign_on,
)
from tests.auth.asking import Endpoint, at
from tests.auth.people import PASSWORD
from tests.oci import EMPTY, digest_of

UPLOADS = "/v2/{name:path}/blobs/uploads"
USER_PAGE = "/site/users/{name}"
TEAM_PAGE = "/teams/{team}"
ROBOT_PAGE = TEAM_PAGE + "/robots/{robot}"
TEAM = "/api/v1/teams/{team}"
ROBOT = TEAM + "/robots/{robot}"
NAMESPACE = "/api/v1/namespaces/{namespace}"
GRANTS = "/api/v1/repositories/{name:path}/grants"
TARGET = "/api/v1/targets/{target}"
PROVIDER = "/api/v1/providers/{provider}"
DEPLOYMENT = TARGET + "/deployments/{deployment}"
ROLLOUT = "/api/v1/rollouts/{rollout}"

ENDPOINTS = {
    "GET /v2": Endpoint("everybody", "registry", at("/v2")),
    "GET /v2/": Endpoint("everybody", "registry", at("/v2/")),
    "GET /v2/_catalog": Endpoint("everybody", "registry", at("/v2/_catalog")),
    "GET /v2/{name}/manifests/{reference}": Endpoint("pull", "registry", at("/v2/{world.name}/manifests/v1")),
    "HEAD /v2/{name}/manifests/{reference}": Endpoint("pull", "registry", at("/v2/{world.name}/manifests/v1")),
    "GET /v2/{name}/blobs/{digest}": Endpoint("pull", "registry", at("/v2/{world.name}/blobs/{world.blob}")),
    "HEAD /v2/{name}/blobs/{digest}": Endpoint("pull", "registry", at("/v2/{world.name}/blobs/{world.blob}")),
    "GET /v2/{name:path}/tags/list": Endpoint("pull", "registry", at("/v2/{world.name}/tags/list")),
    "GET /v2/{name:path}/referrers/{digest}": Endpoint(
        "pull", "registry", at("/v2/{world.name}/referrers/{world.digest}"), '"manifests": []'
    ),
    f"POST {UPLOADS}": Endpoint("push", "registry", at("/v2/{world.name}/blobs/uploads")),
    f"POST {UPLOADS}/": Endpoint("push", "registry", at("/v2/{world.name}/blobs/uploads/")),
    f"PATCH {UPLOADS}/{{upload}}": Endpoint("push", "registry", asking.begun(content=EMPTY)),
    f"PUT {UPLOADS}/{{upload}}": Endpoint(
        "push", "registry", asking.begun(f"?digest={digest_of(EMPTY)}", content=EMPTY)
    ),
    f"GET {UPLOADS}/{{upload}}": Endpoint("push", "registry", asking.begun()),
    f"DELETE {UPLOADS}/{{upload}}": Endpoint("push", "registry", asking.begun()),
    "PUT /v2/{name:path}/manifests/{reference}": Endpoint("push", "registry", asking.put_manifest),
    "DELETE /v2/{name:path}/manifests/{reference}": Endpoint("delete", "registry", asking.delete_manifest),
    "DELETE /v2/{name:path}/blobs/{digest}": Endpoint("delete", "registry", asking.delete_blob),
    "GET /token": Endpoint("everybody", "api", at("/token?service=test")),
    "POST /token": Endpoint("signed in", "api", asking.post_token),
    "GET /.well-known/oauth-authorization-server": Endpoint(
        "everybody", "api", at("/.well-known/oauth-authorization-server")
    ),
    "POST /device_authorization": Endpoint("everybody", "api", at("/device_authorization", data={"client_id": "test"})),
    "POST /revoke": Endpoint("everybody", "api", at("/revoke", data={"token": "unknown"})),
    "GET /": Endpoint("everybody", "page", at("/")),
    "GET /r/{name:path}": Endpoint("pull", "page", at("/r/{world.name}")),
    "POST /r/{name:path} configure": Endpoint(
        "configure", "form", asking.sending("/r/{world.name}", "configure", description="x"), browser=True
    ),
    "POST /r/{name:path} share": Endpoint(
        "administer", "form", asking.shared_form("share", role="reader"), browser=True
    ),
    "POST /r/{name:path} unshare": Endpoint("administer", "form", asking.shared_form("unshare"), browser=True),
    "GET /permissions": Endpoint("everybody", "page", at("/permissions")),
    "GET /sign-in": Endpoint("everybody", "page", at("/sign-in")),
    "POST /sign-in": Endpoint("signed in", "page", asking.sign_in),
    "POST /sign-in/passkey": Endpoint("nobody", "page", at("/sign-in/passkey", data={"credential": "{}"})),
    # Who has not shown a password just now is led to where one does.
    "GET /sign-in/second-factor": Endpoint("nobody", "page", at("/sign-in/second-factor")),
    "POST /sign-in/second-factor": Endpoint("nobody", "page", at("/sign-in/second-factor", data={"code": "123456"})),
    "GET /sign-in/with/{provider}": Endpoint("everybody", "page", sign_on.begun),
    "GET /sign-in/with/{provider}/callback": Endpoint("everybody", "entrance", sign_on.back),
    "POST /sign-out": Endpoint("everybody", "page", asking.sign_out),
    "GET /sign-up": Endpoint("everybody", "page", at("/sign-up")),
    "POST /sign-up": Endpoint("everybody", "entrance", asking.sign_up_by_form),
    "GET /invitations/{secret}": Endpoint("everybody", "page", asking.followed()),
    "POST /invitations/{secret}": Endpoint("everybody", "entrance", asking.followed(form=True)),
    "GET /password-reset/{secret}": Endpoint("everybody", "page", asking.reset_page()),
    "POST /password-reset/{secret}": Endpoint("everybody", "entrance", asking.reset_page(data={"password": PASSWORD})),
    "GET /account": Endpoint("signed in", "api", at("/account"), browser=True),
    "POST /account profile": Endpoint(
        "signed in", "api", asking.sending("/account", "profile", full_name="Some"), browser=True
    ),
    "POST /account password": Endpoint("signed in", "api", asking.password_form, browser=True),
    "POST /account token": Endpoint("signed in", "api", asking.token_form, browser=True),
    "POST /account end-token": Endpoint("signed in", "api", asking.end_token_form, browser=True),
    "GET /account/name": Endpoint("signed in", "api", at("/account/name"), browser=True),
    "POST /account/name rename": Endpoint("signed in", "api", own_account.keep_name, browser=True),
    "POST /account/name forget": Endpoint("signed in", "api", own_account.let_go, browser=True),
    "POST /account/name delete": Endpoint("signed in", "api", own_account.leave_by_form, browser=True),
    "GET /account/second-factor": Endpoint("signed in", "api", at("/account/second-factor"), browser=True),
    **factors.FORMS,
    "GET /account/identities": Endpoint("signed in", "api", at("/account/identities"), browser=True),
    "POST /account/identities link": Endpoint("signed in", "api", sign_on.link_form, browser=True),
    "POST /account/identities unlink": Endpoint("signed in", "api", sign_on.unlink_form, browser=True),
    **asking_sessions.FORMS,
    "GET /device": Endpoint("signed in", "api", at("/device"), browser=True),
    "POST /device find": Endpoint("signed in", "api", asking_devices.device_form("find"), browser=True),
    "POST /device approve": Endpoint(
        "signed in", "api", asking_devices.device_form("approve", name="x", days="1"), browser=True
    ),
    "POST /device refuse": Endpoint("signed in", "api", asking_devices.device_form("refuse"), browser=True),
    "GET /teams": Endpoint("signed in", "api", at("/teams"), browser=True),
    "POST /teams make": Endpoint("signed in", "api", asking.new_team_form, browser=True),
    "GET /teams/{team}": Endpoint("pull", "target", at("/teams/{world.team}"), browser=True),
    f"POST {TEAM_PAGE} add": Endpoint("administer", "target", asking.newcomer_form("add", role="reader"), browser=True),
    f"POST {TEAM_PAGE} set": Endpoint("administer", "target", asking.newcomer_form("set", role="writer"), browser=True),
    f"POST {TEAM_PAGE} remove": Endpoint("administer", "target", asking.newcomer_form("remove"), browser=True),
    f"POST {TEAM_PAGE} leave": Endpoint("pull", "target", asking.spare_team_form("leave"), browser=True),
    f"POST {TEAM_PAGE} invite": Endpoint(
        "administer", "target", asking.sending("/teams/{world.team}", "invite", days="1"), browser=True
    ),
    f"POST {TEAM_PAGE} uninvite": Endpoint("administer", "target", asking.uninvite_form, browser=True),
    f"POST {TEAM_PAGE} configure": Endpoint(
        "configure", "target", asking.sending("/teams/{world.team}", "configure", description="x"), browser=True
    ),
    f"POST {TEAM_PAGE} require": Endpoint(
        "administer", "target", asking.sending("/teams/{world.team}", "require", required="no"), browser=True
    ),
    f"POST {TEAM_PAGE} rename": Endpoint("administer", "target", asking.spare_team_form("rename"), browser=True),
    f"POST {TEAM_PAGE} forget": Endpoint("administer", "target", asking.forget_form, browser=True),
    f"POST {TEAM_PAGE} delete": Endpoint("administer", "target", asking.spare_team_form("delete"), browser=True),
    f"POST {TEAM_PAGE} restore": Endpoint("administer", "target", asking.spare_team_form("restore"), browser=True),
    f"GET {TEAM_PAGE}/robots": Endpoint("pull", "target", at(machines.PAGE), browser=True),
    f"POST {TEAM_PAGE}/robots make": Endpoint("administer", "target", machines.new_robot_form, browser=True),
    f"GET {ROBOT_PAGE}": Endpoint("pull", "target", machines.robot_page, browser=True),
    f"POST {ROBOT_PAGE} configure": Endpoint(
        "administer", "target", machines.robot_form("configure", role="writer"), browser=True
    ),
    f"POST {ROBOT_PAGE} rotate": Endpoint(
        "administer", "target", machines.robot_form("rotate", hours="1"), browser=True
    ),
    f"POST {ROBOT_PAGE} add-rule": Endpoint(
        "administer", "target", machines.robot_form("add-rule", **machines.TRUST_FORM), browser=True
    ),
    f"POST {ROBOT_PAGE} remove-rule": Endpoint("administer", "target", machines.trusted_form, browser=True),
    f"POST {ROBOT_PAGE} delete": Endpoint("administer", "target", machines.robot_form("delete"), browser=True),
    f"GET {TEAM_PAGE}/audit": Endpoint("audit", "target", at("/teams/{world.team}/audit"), browser=True),
    f"GET {TEAM_PAGE}/usage": Endpoint("pull", "target", at("/teams/{world.team}/usage"), browser=True),
    "GET /account/usage": Endpoint("signed in", "api", at("/account/usage"), browser=True),
    "GET /site/usage": Endpoint("auditor", "site", at("/site/usage"), browser=True),
    "POST /site/usage quota": Endpoint(
        "administrator", "site", asking.sending("/site/usage", "quota", namespace="admin", bytes="1 TB"), browser=True
    ),
    "GET /site/audit": Endpoint("auditor", "site", at("/site/audit"), browser=True),
    "GET /site/users": Endpoint("auditor", "site", at("/site/users"), browser=True),
    "POST /site/users make": Endpoint("administrator", "site", asking.new_user_form, browser=True),
    "POST /site/users invite": Endpoint(
        "administrator", "site", asking.sending("/site/users", "invite", days="1"), browser=True
    ),
    "POST /site/users uninvite": Endpoint("administrator", "site", asking.hub_uninvite_form, browser=True),
    "GET /site/users/{name}": Endpoint("auditor", "site", at("/site/users/admin"), browser=True),
    f"POST {USER_PAGE} role": Endpoint(
        "administrator", "site", asking.someone_form("role", role="auditor"), browser=True
    ),
    f"POST {USER_PAGE} active": Endpoint(
        "administrator", "site", asking.someone_form("active", active="no"), browser=True
    ),
    f"POST {USER_PAGE} reset": Endpoint("administrator", "site", asking.someone_form("reset"), browser=True),
    f"POST {USER_PAGE} free": Endpoint("administrator", "site", factors.someone_s_form, browser=True),
    f"POST {USER_PAGE} end-sessions": Endpoint(
        "administrator", "site", asking.someone_form("end-sessions"), browser=True
    ),
    f"POST {USER_PAGE} delete": Endpoint("administrator", "site", asking.someone_form("delete"), browser=True),
    "GET /site/settings": Endpoint("auditor", "site", at("/site/settings"), browser=True),
    "GET /site/upkeep": Endpoint("auditor", "site", at("/site/upkeep"), browser=True),
    "POST /site/upkeep collect": Endpoint(
        "administrator", "site", asking.sending("/site/upkeep", "collect", dry_run="yes"), browser=True
    ),
    "GET /site/providers": Endpoint("auditor", "site", at("/site/providers"), browser=True),
    "POST /site/providers make": Endpoint("administrator", "site", sign_on.new_provider_form, browser=True),
    "GET /site/providers/{provider}": Endpoint("auditor", "site", sign_on.page(), browser=True),
    **{
        f"POST /site/providers/{{provider}} {form}": Endpoint("administrator", "site", ask, browser=True)
        for form, ask in sign_on.FORMS.items()
    },
    "GET /static/{mark}/{name}": Endpoint("everybody", "page", at("{world.asset}")),
    "GET /api/v1/openapi.json": Endpoint("everybody", "api", at("/api/v1/openapi.json")),
    "GET /.well-known/wasm-pkg/registry.json": Endpoint("everybody", "api", at("/.well-known/wasm-pkg/registry.json")),
    "GET /api/v1/user": Endpoint("signed in", "api", at("/api/v1/user")),
    "PATCH /api/v1/user": Endpoint("signed in", "api", at("/api/v1/user", json={"full_name": "Somebody"})),
    "DELETE /api/v1/user": Endpoint("signed in", "api", own_account.leave),
    "GET /api/v1/user/tokens": Endpoint("signed in", "api", at("/api/v1/user/tokens")),
    "POST /api/v1/user/tokens": Endpoint("signed in", "api", asking.below("/api/v1/user/tokens", asking.new())),
    "DELETE /api/v1/user/tokens/{id}": Endpoint("signed in", "api", asking.delete_token),
    **factors.API,
    "GET /api/v1/user/identities": Endpoint("signed in", "api", at("/api/v1/user/identities")),
    "DELETE /api/v1/user/identities/{number}": Endpoint("signed in", "api", sign_on.linked),
    "GET /api/v1/providers": Endpoint("administrator", "api", at("/api/v1/providers")),
    "POST /api/v1/providers": Endpoint("administrator", "api", sign_on.new_provider),
    f"GET {PROVIDER}": Endpoint("administrator", "api", sign_on.provider()),
    f"PATCH {PROVIDER}": Endpoint("administrator", "api", sign_on.provider(json={"title": "x"})),
    f"DELETE {PROVIDER}": Endpoint("administrator", "api", sign_on.provider()),
    f"POST {PROVIDER}/check": Endpoint("administrator", "api", sign_on.provider("/check")),
    f"POST {PROVIDER}/groups": Endpoint(
        "administrator", "api", sign_on.provider("/groups", json={"group": "x", "role": "auditor"})
    ),
    f"DELETE {PROVIDER}/groups/{{number}}": Endpoint("administrator", "api", sign_on.mapped),
    # A provider shows a token that it signed: nobody's password is one.
    f"POST {PROVIDER}/backchannel-logout": Endpoint("everybody", "api", sign_on.signed_out),
    **asking_sessions.API,
    "POST /api/v1/device-logins/show": Endpoint("signed in", "api", asking_devices.device_login("show")),
    "POST /api/v1/device-logins/approve": Endpoint("signed in", "api", asking_devices.device_login("approve")),
    "POST /api/v1/device-logins/refuse": Endpoint("signed in", "api", asking_devices.device_login("refuse")),
    "GET /api/v1/users": Endpoint("administrator", "api", at("/api/v1/users")),
    "POST /api/v1/users": Endpoint("administrator", "api", asking.below("/api/v1/users", asking.new())),
    "GET /api/v1/users/{name}": Endpoint("themselves", "hidden", asking.someone()),
    "PATCH /api/v1/users/{name}": Endpoint("administrator", "api", asking.someone(json={"role": "auditor"})),
    "DELETE /api/v1/users/{name}": Endpoint("administrator", "api", asking.someone()),
    "PUT /api/v1/users/{name}/password": Endpoint(
        "themselves", "hidden", asking.someone("/password", json={"password": "another-long-password"})
    ),
    "POST /api/v1/users/{name}/password-reset": Endpoint("administrator", "api", asking.someone("/password-reset")),
    "POST /api/v1/password-reset": Endpoint("everybody", "api", asking.reset),
    "GET /api/v1/teams": Endpoint("signed in", "api", at("/api/v1/teams")),
    "POST /api/v1/teams": Endpoint("signed in", "api", asking.below("/api/v1/teams", asking.new())),
    f"GET {TEAM}": Endpoint("pull", "target", asking.team()),
    f"PATCH {TEAM}": Endpoint("configure", "target", asking.team(json={"description": "x"})),
    f"DELETE {TEAM}": Endpoint("administer", "target", asking.spare_team()),
    f"POST {TEAM}/restore": Endpoint("administer", "target", asking.team("/restore")),
    f"GET {TEAM}/members": Endpoint("pull", "target", asking.team("/members")),
    f"PUT {TEAM}/members/{{user}}": Endpoint("administer", "target", asking.newcomer(json={"role": "reader"})),
    f"DELETE {TEAM}/members/{{user}}": Endpoint("administer", "target", asking.newcomer()),
    f"GET {TEAM}/invitations": Endpoint("administer", "target", asking.team("/invitations")),
    f"POST {TEAM}/invitations": Endpoint("administer", "target", asking.team("/invitations", json={"note": "x"})),
    f"DELETE {TEAM}/invitations/{{number}}": Endpoint("administer", "target", asking.invited),
    f"GET {TEAM}/robots": Endpoint("pull", "target", asking.team("/robots")),
    f"POST {TEAM}/robots": Endpoint("administer", "target", machines.new_robot),
    f"GET {ROBOT}": Endpoint("pull", "target", machines.robot()),
    f"PATCH {ROBOT}": Endpoint("administer", "target", machines.robot(json={"role": "writer"})),
    f"DELETE {ROBOT}": Endpoint("administer", "target", machines.robot()),
    f"POST {ROBOT}/rotate": Endpoint("administer", "target", machines.robot("/rotate", json={})),
    f"GET {ROBOT}/trust-rules": Endpoint("pull", "target", machines.robot("/trust-rules")),
    f"POST {ROBOT}/trust-rules": Endpoint("administer", "target", machines.robot("/trust-rules", json=machines.TRUST)),
    f"DELETE {ROBOT}/trust-rules/{{number}}": Endpoint("administer", "target", machines.trusted),
    "POST /api/v1/sign-up": Endpoint("everybody", "api", asking.sign_up),
    "GET /api/v1/invitations": Endpoint("administrator", "api", at("/api/v1/invitations")),
    "POST /api/v1/invitations": Endpoint("administrator", "api", at("/api/v1/invitations", json={"note": "x"})),
    "DELETE /api/v1/invitations/{number}": Endpoint("administrator", "api", asking.hub_invited),
    "POST /api/v1/invitations/show": Endpoint("everybody", "api", asking.shown_invitation),
    "POST /api/v1/invitations/accept": Endpoint("signed in", "api", asking.accept),
    "GET /api/v1/namespaces": Endpoint("administrator", "api", at("/api/v1/namespaces")),
    "POST /api/v1/namespaces": Endpoint("administrator", "api", asking.below("/api/v1/namespaces", asking.new())),
    f"GET {NAMESPACE}": Endpoint("pull", "target", at("/api/v1/namespaces/{world.team}")),
    f"PATCH {NAMESPACE}": Endpoint("administer", "target", asking.renamed()),
    f"DELETE {NAMESPACE}/old-names/{{old}}": Endpoint("administer", "target", asking.forgotten),
    "GET /api/v1/settings": Endpoint("auditor", "api", at("/api/v1/settings")),
    "GET /api/v1/upkeep": Endpoint("auditor", "api", at("/api/v1/upkeep")),
    "GET /api/v1/events": Endpoint("auditor", "api", at("/api/v1/events")),
    "GET /api/v1/events/export": Endpoint("auditor", "api", at("/api/v1/events/export?actor=nobody")),
    f"GET {TEAM}/events": Endpoint("audit", "target", asking.team("/events")),
    f"GET {TEAM}/events/export": Endpoint("audit", "target", asking.team("/events/export")),
    "GET /api/v1/usage": Endpoint("auditor", "api", at("/api/v1/usage")),
    f"GET {NAMESPACE}/usage": Endpoint("pull", "target", at("/api/v1/namespaces/{world.team}/usage")),
    f"PUT {NAMESPACE}/quota": Endpoint(
        "administrator", "api", at("/api/v1/namespaces/{world.team}/quota", json={"bytes": 10**12})
    ),
    "GET /api/v1/garbage-collections": Endpoint("administrator", "api", at("/api/v1/garbage-collections")),
    "POST /api/v1/garbage-collections": Endpoint(
        "administrator", "api", at("/api/v1/garbage-collections", json={"dry_run": True})
    ),
    "GET /api/v1/garbage-collections/{number}": Endpoint(
        "administrator", "api", at("/api/v1/garbage-collections/{world.run}")
    ),
    "GET /api/v1/modules/{sha256}": Endpoint("pull", "repository", at("/api/v1/modules/{world.module}")),
    "GET /modules/{sha256}.wasm": Endpoint("pull", "repository", at("/modules/{world.module}.wasm")),
    "GET /api/v1/repositories": Endpoint("everybody", "api", at("/api/v1/repositories")),
    "GET /api/v1/repositories/{name:path}": Endpoint("pull", "repository", at("/api/v1/repositories/{world.name}")),
    "GET /api/v1/repositories/{name:path}/versions": Endpoint(
        "pull", "repository", at("/api/v1/repositories/{world.name}/versions")
    ),
    "PATCH /api/v1/repositories/{name:path}": Endpoint(
        "configure", "repository", at("/api/v1/repositories/{world.name}", json={"description": "x"})
    ),
    f"GET {GRANTS}": Endpoint("administer", "repository", at("/api/v1/repositories/{world.name}/grants")),
    f"PUT {GRANTS}/{{holder}}": Endpoint("administer", "repository", asking.shared(json={"role": "reader"})),
    f"DELETE {GRANTS}/{{holder}}": Endpoint("administer", "repository", asking.shared()),
    # A proxy shows its fleet's key: nobody's password or token is one.
    "POST /v3/discovery:extension_configs": Endpoint("nobody", "key", at("/v3/discovery:extension_configs", json={})),
    # The path holds the deployment's grant: whoever knows it is let in.
    "GET /modules/{grant}/{file}": Endpoint("everybody", "api", asking.granted),
    "GET /api/v1/targets": Endpoint("signed in", "api", at("/api/v1/targets")),
    "POST /api/v1/targets": Endpoint("configure", "api", asking.new_target),
    f"GET {TARGET}": Endpoint("pull", "target", asking.own_target()),
    f"PATCH {TARGET}": Endpoint(
        "configure",
        "target",
        asking_meshes.mesh_target(json={"settings": {**asking_meshes.SETTINGS, "form": "EnvoyFilter"}}),
    ),
    f"DELETE {TARGET}": Endpoint("configure", "target", asking.own_target()),
    f"GET {TARGET}/bootstrap": Endpoint("pull", "target", asking.own_target("/bootstrap")),
    f"GET {TARGET}/files": Endpoint("deploy", "target", asking.fleet_files),
    f"GET {TARGET}/keys": Endpoint("configure", "target", asking.own_target("/keys")),
    f"POST {TARGET}/keys": Endpoint("configure", "target", asking.own_target("/keys")),
    f"DELETE {TARGET}/keys/{{key}}": Endpoint("configure", "target", asking.delete_key),
    f"GET {TARGET}/secrets": Endpoint("configure", "target", asking.own_target("/secrets")),
    f"PUT {TARGET}/secrets/{{secret}}": Endpoint(
        "configure", "target", asking.own_target("/secrets/key", json={"value": "v"})
    ),
    f"DELETE {TARGET}/secrets/{{secret}}": Endpoint("configure", "target", asking_meshes.delete_secret),
    f"GET {TARGET}/nodes": Endpoint("pull", "target", asking.own_target("/nodes")),
    "POST /api/v1/examinations": Endpoint("pull", "repository", asking_meshes.examination),
    "GET /api/v1/deployments": Endpoint("signed in", "api", at("/api/v1/deployments")),
    f"GET {DEPLOYMENT}": Endpoint("pull", "target", asking.deployed()),
    f"PUT {DEPLOYMENT}": Endpoint("deploy", "target", asking.deploy),
    f"DELETE {DEPLOYMENT}": Endpoint("deploy", "target", asking.deployed()),
    f"POST {DEPLOYMENT}/preview": Endpoint("deploy", "target", asking_meshes.preview),
    f"POST {DEPLOYMENT}/rollback": Endpoint("deploy", "target", asking.deployed("/rollback", json={})),
    "GET /api/v1/rollouts": Endpoint("signed in", "api", at("/api/v1/rollouts")),
    f"GET {ROLLOUT}": Endpoint("pull", "target", asking_deployments.rolled()),
    f"GET {ROLLOUT}/events": Endpoint("pull", "target", asking_deployments.followed_to_its_end),
    f"POST {ROLLOUT}/pause": Endpoint("deploy", "target", asking_deployments.rolled("/pause", json={})),
    f"POST {ROLLOUT}/resume": Endpoint("deploy", "target", asking_deployments.rolled("/resume", paused=True, json={})),
    f"POST {ROLLOUT}/abort": Endpoint("deploy", "target", asking_deployments.rolled("/abort", json={})),
    **asking_deployments.ENDPOINTS,
    "GET /healthz": Endpoint("everybody", "page", at("/healthz")),
    "GET /readyz": Endpoint("everybody", "page", at("/readyz")),
    "GET /metrics": Endpoint("everybody", "page", at("/metrics")),
}
