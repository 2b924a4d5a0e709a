"""Deployment sets, and members of them that follow a tag by themselves."""

from tests.deploy.test_sets import World, world

__all__ = ["world"]  # the fixture


def test_a_set_ends_what_a_member_follows_only_where_somebody_says_so(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.two.deploy(world.name, world.reference("1"), follow="tag")
    said = f"the tag {world.reference('1')}"
    assert [one["follows"] for one in world.set.get()["members"]] == ["", said]
    refused = world.set.put(*world.members(), reference=world.reference("2"))
    assert refused.status_code == 422, refused.text
    (reason,) = refused.json()["error"]["reasons"]
    assert (reason["member"], reason["code"], reason["forcible"]) == (f"{world.two.name}/{world.name}", "follows", True)
    assert f"it follows {said}, which a set ends" in reason["message"] and "--follow none" in reason["message"]
    assert world.two.deployment(world.name)["follow"] is not None and world.numbers() == [1, 2], "nothing happened"

    forced = world.apply("2", force=True)
    assert [one["follows"] for one in forced["members"]] == ["", said], "it is said before its turn comes"
    done = world.set.becomes("done")
    assert world.two.deployment(world.name)["follow"] is None
    line = f"{world.two.name}/{world.name} has revision 3 and no longer follows {said}"
    assert line in [one["message"] for one in done["events"]]
    events = world.two.http.get(f"/api/v1/events?subject={world.two.name}/{world.name}").json()["events"]
    assert events[0]["detail"]["no_longer_follows"] == "1", events[0]


def test_what_follows_only_after_the_set_was_begun_halts_it(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.apply("2", bake="3s")
    world.set.says("watched for")
    world.two.deploy(world.name, world.reference("1"), follow="tag")
    back = world.set.becomes("rolled-back")
    assert f"it follows the tag {world.reference('1')}, which a set ends" in back["message"]
    assert world.two.deployment(world.name)["follow"] is not None, "and goes on following"
