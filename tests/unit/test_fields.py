from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mapping import fields
from mapping.errors import ExpressionInvalid, ValueUnusable
from tests.unit.wording import is_hint, is_reason

if TYPE_CHECKING:
    from mapping.values import Json

RECORD: dict[str, Any] = {
    "about": " Founder ",
    "title": None,
    "id": 5,
    "score": "42",
    "flag": True,
    "since": "2026-02-03",
    "emails": [" Ada@Example.com "],
    "tags": [{"name": "vip"}, {"name": "london"}],
    "fields": [{"definition": {"name": "Plan"}, "value": "Gold"}, {"definition": {"name": "Desks"}, "value": "6"}],
    "blank": "  ",
    "huge": 2**70,
    "endless": float("inf"),
}


@pytest.mark.parametrize(
    ("target", "expression", "expected"),
    [
        pytest.param("properties.plan", "fields[?definition.name=='Plan'].value | [0]", "Gold", id="the design's example"),
        pytest.param("properties.desks", "to_number(fields[?definition.name=='Desks'].value | [0])", 6, id="a number of a text"),
        pytest.param("properties.score", "score", "42", id="a number that is a text stays one"),
        pytest.param("properties.flag", "flag", True, id="truth"),
        pytest.param("properties.tags", "tags[].name", ["vip", "london"], id="a list"),
        pytest.param("properties.none", "nothing", None, id="no such key"),
        pytest.param("properties.none", "blank", None, id="blank"),
        pytest.param("properties.none", "fields[?definition.name=='X'].value", None, id="an empty list"),
        pytest.param("properties.a.b", "id", 5, id="a key with a dot"),
        pytest.param("description", "about", "Founder", id="text is trimmed"),
        pytest.param("description", "id", "5", id="a number as text"),
        pytest.param("email", "emails[0]", "ada@example.com", id="e-mail"),
        pytest.param("url", "'acme.example'", "https://acme.example", id="address"),
        pytest.param("socialProfiles.twitter", "'@ada'", "ada", id="twitter"),
        pytest.param("phone", "'0113  496'", "0113 496", id="phone"),
        pytest.param("name", "' Ada  Example'", "Ada Example", id="name"),
        pytest.param("description", "' two  spaces '", "two  spaces", id="a text keeps its inner spaces"),
        pytest.param("startDate", "since", "2026-02-03T00:00:00.000Z", id="date"),
        pytest.param("isContactPerson", "flag", True, id="a truth"),
        pytest.param("isContactPerson", "!flag", False, id="false is a value"),
        pytest.param("membersCount", "score", 42, id="a number from its text"),
        pytest.param("tags", "tags[].name", ["vip", "london"], id="tags"),
    ],
)
def test_an_own_field_gives_the_form_of_its_target(target: str, expression: str, expected: Json) -> None:
    found = fields.evaluate(fields.compile_field(target, expression), RECORD)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("target", "expression", "words"),
    [
        ("properties.a", "@", "takes a text, a number, true or false"),
        ("properties.a", "fields", "or a list of these, and its expression"),
        ("properties.a", "huge", "a text, a number"),
        ("properties.a", "endless", "a text, a number"),
        ("properties.a", "[endless]", "a text, a number"),
        ("properties.a", "&id", "a text, a number"),
        ("description", "flag", "takes a text"),
        ("description", "tags", "takes a text"),
        ("email", "about", "takes an e-mail address"),
        ("startDate", "about", "takes a date"),
        ("startDate", "id", "takes a date"),
        ("isContactPerson", "'yes'", "takes true or false"),
        ("membersCount", "about", "takes a number"),
        ("membersCount", "huge", "takes a number"),
        ("tags", "about", "takes a list of texts"),
        ("tags", "[id]", "takes a list of texts"),
        ("properties.a", "length(nothing)", "JMESPathTypeError"),
        ("properties.a", "sort([id, about])", "JMESPathTypeError"),
    ],
)
def test_a_result_that_the_target_does_not_take_is_named_without_its_value(target: str, expression: str, words: str) -> None:
    with pytest.raises(ValueUnusable, match=words) as raised:
        fields.evaluate(fields.compile_field(target, expression), RECORD)
    assert target in str(raised.value)
    assert is_reason(str(raised.value)), str(raised.value)
    assert "Founder" not in str(raised.value)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "not a JMESPath expression"),
        ("a[", "not a JMESPath expression"),
        ("a b", "not a JMESPath expression"),
        ("shout(a)", 'there is no function "shout"'),
        ("a[?shout(b)]", 'there is no function "shout"'),
        ("length()", '"length" takes 1 argument, not 0'),
        ("[length(a, b)]", '"length" takes 1 argument, not 2'),
        ("join(a)", '"join" takes 2 arguments, not 1'),
        ("merge()", '"merge" takes 1 argument, not 0'),
        ("a b", "Unexpected token: b: Parse error at column 2"),
        ("a[", "Incomplete expression:"),
        ("a[::0]", "a slice with step 0"),
        ("a" * 1001, "too long"),
        ("(" * 999, "nested too deeply"),
    ],
)
def test_an_expression_that_can_never_work_is_refused_when_it_is_read(expression: str, words: str) -> None:
    with pytest.raises(ExpressionInvalid) as raised:
        fields.compile_field("properties.a", expression)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value), "jmespath draws an arrow below the expression; ours is one line"
    assert is_reason(str(raised.value).rstrip(".:")), str(raised.value)
    assert is_hint(raised.value.hint), raised.value.hint


def test_the_expression_is_not_repeated_in_its_own_fault() -> None:
    with pytest.raises(ExpressionInvalid) as raised:
        fields.compile_field("properties.a", "alpha beta")
    assert '"alpha beta"' not in str(raised.value)


def test_what_may_be_written_instead_is_listed() -> None:
    with pytest.raises(ExpressionInvalid) as raised:
        fields.check_target("opportunity", "email")
    assert raised.value.hint == "Known: membersCount, name, properties.…, requestedPlans, resources, startDate."
    with pytest.raises(ExpressionInvalid) as raised:
        fields.compile_field("properties.a", "shout(a)")
    assert "Known: abs, avg, ceil, contains, " in raised.value.hint


@pytest.mark.parametrize(
    "expression", ["merge(a, b, c)", "not_null(a, b)", "a[::-1]", "a[1:2]", "sort_by(a, &b)", "a" * 1000, "[?b==`Plan`]"]
)
def test_an_expression_that_can_work_is_taken(expression: str) -> None:
    assert fields.compile_field("properties.a", expression).text == expression


@pytest.mark.parametrize(
    "target", ["properties.a", "properties.a b", "name", "startDate", "address.city", "portalPrivacy.isVisible", "email"]
)
def test_a_target_that_a_company_takes_is_taken(target: str) -> None:
    fields.check_target("company", target)


@pytest.mark.parametrize(
    ("resource", "target", "words"),
    [
        ("company", "phone", "not among the fields of the company in OfficeRnD"),
        ("company", "tags", "not among the fields of the company in OfficeRnD"),
        ("company", "socialProfiles.twitter", "not among the fields of the company in OfficeRnD"),
        ("member", "url", "not among the fields of the member in OfficeRnD"),
        ("opportunity", "email", "not among the fields of the opportunity in OfficeRnD"),
        ("company", " name", "not among the fields of the company in OfficeRnD"),
        ("company", "", "not among the fields of the company in OfficeRnD"),
        ("company", "properties", "needs a name after the dot"),
        ("company", "properties.", "needs a name after the dot"),
        ("company", "name.first", "has no inner fields"),
        ("company", "name.", "has no inner fields"),
        ("member", "location", "filled by the rules"),
        ("member", "company", "filled by the rules"),
        ("opportunity", "status", "filled by the rules"),
        ("member", "properties.capsule_link_id", "filled by the rules"),
    ],
)
def test_a_target_that_the_resource_does_not_take_is_refused(resource: str, target: str, words: str) -> None:
    with pytest.raises(ExpressionInvalid, match=words) as raised:
        fields.check_target(resource, target)
    assert is_hint(raised.value.hint), raised.value.hint
