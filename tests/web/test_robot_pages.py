"""The pages of robots: who sees what of them, what their forms do, and what those refuse."""

import httpx

from tests.hub import HubProcess
from tests.web.people_pages import alert_of, done, forms_of, secret_of, send
from tests.web.test_pages import text_of
from tests.web.test_team_pages import Crew, crew

__all__ = ["crew"]
OF_OWNERS = {"configure", "rotate", "add-rule", "delete"}


def may_sign_in(hub: HubProcess, token: str) -> bool:
    return httpx.get(f"{hub.url}/api/v1/user", auth=("any", token), trust_env=False).status_code == 200


def made(crew: Crew, name: str = "ci", **more: str) -> tuple[str, str]:
    """A robot's page, and its token."""
    typed = {"name": name, "role": "writer", "days": "30", "token": "yes", **more}
    return f"{crew.page}/robots/{name}", secret_of(send(crew.owner, f"{crew.page}/robots", "make", **typed))


def test_everybody_is_shown_what_they_may_do(crew: Crew) -> None:
    assert "No robot yet." in crew.owner.get(f"{crew.page}/robots").text
    page, token = made(crew, description="Pushes <things>")
    for role, browser in crew.browsers.items():
        listed, one = browser.get(f"{crew.page}/robots"), browser.get(page)
        if role == "stranger":
            assert listed.status_code == one.status_code == 404
            continue
        assert forms_of(listed) == ({"make"} if role == "owner" else set())
        assert forms_of(one) == (OF_OWNERS if role == "owner" else set())
        assert "Pushes &lt;things&gt;" in listed.text and token[:8] in one.text and token not in one.text
    assert crew.owner.get(f"{crew.page}/robots/absent").status_code == 404


def test_a_robot_is_made_changed_and_deleted(empty: HubProcess, crew: Crew) -> None:
    page, token = made(crew, scopes=f"repository:{crew.name}/*:push\r\n\r\n  target:edge:deploy ")
    robot = f"{crew.page}/robots/ci"
    assert crew.api.get(robot).json()["scopes"] == [f"repository:{crew.name}/*:pull,push", "target:edge:deploy,pull"]
    assert may_sign_in(empty, token)

    where = done(crew.owner, page, "configure", role="reader", description="Sleeps", days="", scopes="")
    assert where == f"{page}?done=configure#settings"
    changed = crew.api.get(robot).json()
    assert (changed["role"], changed["active"], changed["scopes"]) == ("reader", False, None)
    assert changed["expires_at"] is not None and not may_sign_in(empty, token)
    done(crew.owner, page, "configure", role="reader", active="yes", endless="yes")
    assert crew.api.get(robot).json()["expires_at"] is None and may_sign_in(empty, token)

    refused = send(crew.owner, page, "delete", confirm="another")
    assert refused.status_code == 400 and "Type the name ci" in alert_of(refused)
    assert done(crew.owner, page, "delete", confirm="ci") == f"{crew.page}/robots"
    assert crew.owner.get(page).status_code == 404 and not may_sign_in(empty, token)


def test_a_token_is_rotated_with_and_without_overlap(empty: HubProcess, crew: Crew) -> None:
    page, first = made(crew)
    second = secret_of(send(crew.owner, page, "rotate", hours="1"))
    assert may_sign_in(empty, first) and may_sign_in(empty, second)
    third = secret_of(send(crew.owner, page, "rotate", hours="0"))
    assert [may_sign_in(empty, token) for token in (first, second, third)] == [False, False, True]
    assert "'Hours' must be a number" in alert_of(send(crew.owner, page, "rotate", hours="soon"))


def test_trust_rules_come_and_go(crew: Crew) -> None:
    where = done(crew.owner, f"{crew.page}/robots", "make", name="job", role="writer", days="")
    assert where == f"{crew.page}/robots/job#rules"
    page = f"{crew.page}/robots/job"
    assert "It has no token." in crew.owner.get(page).text
    rule = {"issuer": "https://issuer.example", "minutes": "20", "audience": "hub"}
    done(crew.owner, page, "add-rule", **rule, claims="sub = repo:acme/<shop>:*\n\nref=refs/heads/main")
    (kept,) = crew.api.get(f"{page}/trust-rules").json()["trust_rules"]
    assert kept["claims"] == {"sub": "repo:acme/<shop>:*", "ref": "refs/heads/main"}
    assert (kept["issuer"], kept["audience"], kept["minutes"]) == ("https://issuer.example", "hub", 20)
    shown = crew.owner.get(page)
    assert "sub=repo:acme/&lt;shop&gt;:*" in shown.text and "token exchange" in text_of(shown)

    twice = send(crew.owner, page, "add-rule", **rule, claims="ref=refs/heads/main\nsub=repo:acme/<shop>:*")
    assert twice.status_code == 409 and "has this trust rule already" in alert_of(twice)
    for claims, reason in (
        ("sub", "must be a name, = and a pattern"),
        ("sub=a\nsub=b", "is there twice"),
        ("sub=*", "something in particular"),
        ("", "1 to 20 claims"),
    ):
        refused = send(crew.owner, page, "add-rule", **rule, claims=claims)
        assert refused.status_code == 400 and reason in alert_of(refused) and 'value="hub"' in refused.text
    done(crew.owner, page, "remove-rule", number=kept["id"])
    assert crew.api.get(f"{page}/trust-rules").json()["trust_rules"] == []
    assert "no trust rule" in alert_of(send(crew.owner, page, "remove-rule", number=kept["id"]))


def test_many_robots_have_pages(crew: Crew) -> None:
    for number in range(51):
        crew.api.post(f"{crew.page}/robots", json={"name": f"r-{number:02}", "with_token": False}).raise_for_status()
    first = crew.owner.get(f"{crew.page}/robots")
    assert "r-49" in first.text and "r-50" not in first.text
    assert "r-50" in crew.owner.get(f"{crew.page}/robots?after=r-49").text
    assert "The list ends here." in crew.owner.get(f"{crew.page}/robots?after=zz").text


def test_what_cannot_be_made_is_said_beside_what_was_typed(crew: Crew) -> None:
    made(crew)
    for typed, reason in (
        ({"name": "ci"}, "ci"),
        ({"name": "Bad Name"}, "name"),
        ({"name": "x", "days": "0"}, "'Days' must be a number"),
        ({"name": "x", "scopes": "everything"}, "everything"),
        ({"name": "x", "role": "owner"}, "must be one of"),
    ):
        refused = send(crew.owner, f"{crew.page}/robots", "make", **{"role": "reader", "days": "1", **typed})
        assert refused.status_code in (400, 409) and reason in alert_of(refused), refused.text
        assert f'value="{typed["name"]}"' in refused.text


def test_an_issuer_that_could_never_be_asked_is_refused(crew: Crew) -> None:
    made(crew)
    path = f"{crew.page}/robots/ci/trust-rules"
    for issuer in (
        "https://",
        "https://a b",
        "https://user:hidden@issuer.example",
        "https://issuer.example/?a=b",
        "ftp://x",
    ):
        answer = crew.api.post(path, json={"issuer": issuer, "claims": {"sub": "me"}})
        assert answer.status_code == 400 and "issuer" in answer.json()["error"]["message"], issuer
        assert "hidden" not in answer.text
    assert crew.api.get(path).json()["trust_rules"] == []
