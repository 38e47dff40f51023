from __future__ import annotations

import pytest

from mapping import tags
from mapping.errors import TagsInvalid
from tests.unit.wording import is_hint


@pytest.mark.parametrize(
    ("rule", "has", "is_in"),
    [
        pytest.param("", (), True, id="an empty rule takes everything"),
        pytest.param("   ", ("x",), True, id="blank is empty"),
        pytest.param("a, b", ("b",), True, id="any"),
        pytest.param("a, b", ("c",), False, id="none of any"),
        pytest.param("a, b", (), False, id="untagged"),
        pytest.param("[a, b]", ("a", "b", "c"), True, id="all"),
        pytest.param("[a, b]", ("a",), False, id="not all"),
        pytest.param("a, [b, c]", ("a",), True, id="mixed: the one"),
        pytest.param("a, [b, c]", ("b", "c"), True, id="mixed: the group"),
        pytest.param("a, [b, c]", ("b",), False, id="mixed: half of the group"),
        pytest.param("!x", (), True, id="excluded alone: untagged is in"),
        pytest.param("!x", ("x", "a"), False, id="excluded alone: excluded"),
        pytest.param("a, !x", ("a",), True, id="excluded: not there"),
        pytest.param("a, !x", ("a", "x"), False, id="excluded wins"),
        pytest.param("a, !x", ("b",), False, id="an exclusion beside others lets nothing in"),
        pytest.param("[a, !x]", ("a",), True, id="excluded within a group"),
        pytest.param("[a, !x], b", ("a", "x", "b"), True, id="within a group only that group is kept out"),
        pytest.param("![a, b]", ("a",), True, id="excluded group: half of it"),
        pytest.param("![a, b]", ("a", "b"), False, id="excluded group: all of it"),
        pytest.param(" MEMBER ,vip", ("  Member",), True, id="case and surrounding space"),
        pytest.param('"a, b"', ("a, b",), True, id="quoted comma"),
        pytest.param('"a, b"', ("a", "b"), False, id="quoted comma is one tag"),
        pytest.param('"[a]", "!b"', ("!B",), True, id="quoted bracket and exclamation mark"),
        pytest.param('!"!b"', ("!b",), False, id="a quoted tag is excluded"),
        pytest.param('"say ""hi"""', ('say "hi"',), True, id="a quote inside quotes"),
        pytest.param('5" nails', ('5" nails',), True, id="a quote inside a bare tag"),
        pytest.param("ÉCOLE", ("e\u0301cole",), True, id="accents"),
    ],
)
def test_a_rule_takes_the_records_that_it_should(rule: str, has: tuple[str, ...], *, is_in: bool) -> None:
    found, why = tags.parse(rule).judge(has)
    assert found is is_in
    assert why


@pytest.mark.parametrize(
    ("rule", "has", "why"),
    [
        ("", (), "tags_to_sync is empty, so every record is in"),
        ("member, [vip, london]", ("Member",), 'tag "member" matches "member, [vip, london]"'),
        ("member, [vip, london]", ("vip", "london"), 'tags "vip" and "london" match "member, [vip, london]"'),
        ("[vip, !old]", ("vip",), 'tag "vip" and no tag "old" match "[vip, !old]"'),
        ("member", ("Mr Secret",), 'no tag matches "member"'),
        ("!old", ("OLD",), 'tag "old" is excluded by "!old"'),
        ("!old", ("secret",), 'no excluded tag of "!old" is there'),
        ("[!old]", ("secret",), 'no tag "old" matches "[!old]"'),
        ("[!old, !x]", ("secret",), 'no tag "old" and no tag "x" match "[!old, !x]"'),
    ],
)
def test_the_reason_is_made_of_the_rules_own_words(rule: str, has: tuple[str, ...], why: str) -> None:
    assert tags.parse(rule).judge(has)[1] == why


@pytest.mark.parametrize(
    ("rule", "position", "message"),
    [
        pytest.param("a,,b", 3, "a tag is missing here", id="empty tag"),
        pytest.param("a,", 3, "a tag is missing here", id="trailing comma"),
        pytest.param(",a", 1, "a tag is missing here", id="leading comma"),
        pytest.param("[]", 2, "a tag is missing here", id="empty group"),
        pytest.param("a, [b, c", 4, "this bracket is not closed", id="open bracket"),
        pytest.param("a]", 2, "a comma is missing here", id="stray bracket"),
        pytest.param("[a [b]]", 4, "a comma is missing here", id="no comma before a bracket"),
        pytest.param("[a, [b]]", 5, "a bracket inside a bracket", id="nested"),
        pytest.param("[a, ![b]]", 6, "a bracket inside a bracket", id="nested and excluded"),
        pytest.param('"a', 1, "this quote is not closed", id="open quote"),
        pytest.param('""', 1, "an empty tag", id="empty quotes"),
        pytest.param('"a" b', 5, "a comma is missing here", id="text after a quote"),
        pytest.param("a!b", 2, "a comma is missing here", id="a bare exclamation mark"),
        pytest.param("!", 2, "a tag is missing here", id="nothing excluded"),
        pytest.param("!!a", 2, "a tag is missing here", id="twice excluded"),
        pytest.param("[a] b", 5, "a comma is missing here", id="no comma after a group"),
    ],
)
def test_a_rule_without_meaning_is_refused_at_its_place(rule: str, position: int, message: str) -> None:
    with pytest.raises(TagsInvalid) as raised:
        tags.parse(rule)
    assert (raised.value.position, str(raised.value)) == (position, f"character {position}: {message}")
    assert is_hint(raised.value.hint), raised.value.hint


def test_a_rule_keeps_what_was_written() -> None:
    assert (tags.parse("  ").text, tags.parse(" a,[b , c] ").text) == ("", "a,[b , c]")


def test_the_tags_of_a_rule_are_listed_once_in_their_order() -> None:
    assert tags.parse('b, [a, !c], !b, "a"').tags == ("b", "a", "c")


def test_what_excludes_is_told_apart_from_what_is_only_not_wanted() -> None:
    rule = tags.parse("a, !x")
    assert rule.excludes(["b"]) is None
    assert rule.excludes([" X"]) == 'tag "x" is excluded by "a, !x"'
