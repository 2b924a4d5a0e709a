"""Versions sort as semantic versioning says, and what is no version is told apart."""

import pytest

from storage.versions import is_companion, rank

# Oldest first: semver.org's own example in the middle.
ORDER = (
    "latest",
    "0.0.1",
    "0.9.0",
    "0.10.0",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-alpha-x",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "v1.0.1",
    "2.0.0",
    "10.0.0",
    "20261121.0.0",
)


def test_rank_sorts_as_semantic_versions() -> None:
    ranks = [rank(tag) for tag in ORDER]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize("tag", ["main", "1.2", "1", "v1", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3_1", "1.0.0-€"])
def test_other_tags_share_one_rank(tag: str) -> None:
    assert rank(tag) == rank("latest")


def test_v_makes_no_difference() -> None:
    assert rank("v1.2.3-rc.1") == rank("1.2.3-rc.1")


@pytest.mark.parametrize("tag", [f"sha256-{'a' * 64}", f"sha256-{'0' * 64}.sig", f"sha512-{'b' * 128}.att"])
def test_companions_are_no_versions(tag: str) -> None:
    assert is_companion(tag) and rank(tag) == ""


@pytest.mark.parametrize("tag", ["sha256-abc", f"sha256-{'g' * 64}", "sha256", f"x-sha256-{'a' * 64}"])
def test_names_like_companions_are_versions(tag: str) -> None:
    assert not is_companion(tag) and rank(tag) == "1"
