"""Ranges of versions: which tags each takes in, by the precedence of semantic versioning 2.0.0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.following.ranges import NoRange, read_range

TAGS = (
    *("0.0.3", "0.0.4", "0.2.9", "1.1.9", "1.2.0", "v1.2.3", "1.2.4", "1.3.0-rc.1", "1.3.0", "2.0.0-rc.1", "2.0.0"),
    *("2.3.9", "2.4.0", "latest", "1.2", "sha256-" + "0" * 64),
)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("^1.2", "1.2.0", "1.3.0"),
        (" >=1.2   <2 ", "1.2.0", "1.3.0"),
        (">= 1.2 < v2.0.0", "1.2.0", "1.3.0"),
        ("^1.2.3+build.7", "v1.2.3", "1.3.0"),
        ("~1.2.3", "v1.2.3", "1.2.4"),
        ("~1", "1.1.9", "1.3.0"),
        ("1.2.x", "1.2.0", "1.2.4"),
        ("v1.2", "1.2.0", "1.2.4"),
        ("=1.2.4", "1.2.4", "1.2.4"),
        ("*", "0.0.3", "2.4.0"),
        ("^0", "0.0.3", "0.2.9"),
        ("^0.2.3", "0.2.9", "0.2.9"),
        ("^0.0.3", "0.0.3", "0.0.3"),
        ("^0.0", "0.0.3", "0.0.4"),
        (">1.2", "1.3.0", "2.4.0"),
        (">1.2.3", "1.2.4", "2.4.0"),
        ("<=1.2", "0.0.3", "1.2.4"),
        ("<=1.2.0", "0.0.3", "1.2.0"),
        ("<1.2", "0.0.3", "1.1.9"),
        ("1.2.3 - 2.3", "v1.2.3", "2.3.9"),
    ],
)
def test_a_range_takes_in_what_lies_between_and_no_pre_release(text: str, first: str, last: str) -> None:
    wanted = read_range(text)
    versions = [one for one in TAGS[:-3] if "-" not in one]
    assert [one for one in TAGS if one in wanted] == versions[versions.index(first) : versions.index(last) + 1]


def test_a_range_that_names_a_pre_release_takes_them_in() -> None:
    wanted = read_range(">=1.3.0-rc.1 <2.0.0")
    assert [one for one in TAGS if one in wanted] == ["1.3.0-rc.1", "1.3.0"], "and none of 2.0.0, which is above"
    assert "1.3.0-alpha" not in wanted and "1.3.0-rc.2" in wanted and "1.3.0-rc.10" in wanted
    upto = read_range("<=2.0.0-rc.1")
    assert "2.0.0-rc.1" in upto and "2.0.0-rc.1.0" not in upto and "2.0.0" not in upto
    after = read_range(">2.0.0-rc")
    assert "2.0.0-rc" not in after and "2.0.0-rc.1" in after and "2.0.0-rc1" in after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is missing"),
        ("latest", "'latest' is no range of versions; write one like ^1.2"),
        ("^1.2 || ^3", "because of its ||"),
        ("^1.2-rc", "is no range"),
        ("01.2", "is no range"),
        ("1.2.3.4", "is no range"),
        (">=1.2<2", "is no range"),
        ("^1.2,<2", "is no range"),
        ("1.2.3-", "is no range"),
        ("1." + "9" * 20, "is no range"),
        (">=2 <1", "no version is in the range"),
        ("<0.0.0", "no version is in the range"),
        ("<*", "no version is in the range"),
        ("1 " * 60, "at most 100 characters"),
    ],
)
def test_what_is_no_range_is_said(text: str, says: str) -> None:
    with pytest.raises(NoRange, match=says.replace("|", r"\|").replace("^", r"\^")):
        read_range(text)


NUMBERS = st.tuples(*[st.integers(0, 12)] * 3)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_numbers_are_compared_as_numbers(low: tuple[int, ...], high: tuple[int, ...], one: tuple[int, ...]) -> None:
    tag, least, most = (".".join(map(str, numbers)) for numbers in (one, low, high))
    if low < high:
        assert (tag in read_range(f">={least} <{most}")) == (low <= one < high)
    assert (tag in read_range(f"^{least}")) == (one >= low and _same_line(low, one))
    assert (f"v{tag}-rc.1" in read_range(f">={least}")) is False


def _same_line(low: tuple[int, ...], one: tuple[int, ...]) -> bool:
    """Whether all numbers up to the first that is not 0 are equal."""
    leading = next((place for place, number in enumerate(low, 1) if number), 3)
    return low[:leading] == one[:leading]
