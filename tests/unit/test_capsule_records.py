from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mapping import capsule
from mapping.errors import UnreadableRecord
from mapping.records import Milestone, Organisation, Person, Website
from tests.unit.wording import is_reason

if TYPE_CHECKING:
    from collections.abc import Callable

PAYLOADS = Path(__file__).parent.parent / "payloads"


def items(name: str) -> list[Any]:
    found: list[Any] = json.loads((PAYLOADS / name).read_text())["payload"]
    return found


def test_a_person_of_a_delivery_is_read_whole() -> None:
    found = capsule.party(items("party__updated__embed-tags-fields.json")[0])
    assert isinstance(found, Person)
    assert (found.id, found.first_name, found.last_name, found.organisation_id) == (11587, "Scott", "Spacey", 892)
    assert found.organisation is None, "a nested organisation without its tags says nothing about the rules"
    assert found.emails == ("scott@homestyleshop.co",)
    assert found.phones == ("773-338-7786",)
    assert found.websites[1] == Website("TWITTER", "capsulecrm", "https://twitter.com/capsulecrm")
    assert found.tags == ("Nice Guy", "Customer")
    assert (found.created_at, found.updated_at) == ("2015-09-15T10:43:23Z", "2015-09-16T09:12:04Z")
    assert not found.restricted


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("party__[cu]*.json")), ids=lambda path: path.stem)
def test_every_recorded_party_can_be_read(path: Path) -> None:
    for item in items(path.name):
        assert capsule.party(item).id == item["id"]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PAYLOADS.glob("opportunity__*.json")) if "minimal" not in path.stem],
    ids=lambda path: path.stem,
)
def test_every_recorded_opportunity_can_be_read(path: Path) -> None:
    for item in items(path.name):
        assert capsule.opportunity(item).id == item["id"]


def test_an_opportunity_of_a_delivery_is_read_whole() -> None:
    found = capsule.opportunity(items("opportunity__closed__lost.json")[0])
    assert (found.id, found.name, found.party_id, found.party_type) == (12, "Consulting", 581, "organisation")
    assert (found.milestone_id, found.milestone_name) == (4, "Lost")
    assert (found.amount, found.currency, found.duration_basis, found.duration) == (Decimal(650), "GBP", "FIXED", None)
    assert (found.probability, found.expected_close_on, found.closed_on) == (0, "2015-11-15", "2015-11-12")
    assert found.tags is None
    assert found.raw["id"] == 12, "own fields read from what Capsule answered"


def test_what_an_opportunity_and_an_organisation_carry_beside_is_read() -> None:
    times = {"createdAt": "2026-03-04T10:43:23Z", "updatedAt": "2026-03-05T10:43:23Z"}
    body = {"id": 1, "party": {"id": 2}, "milestone": {"id": 3}, "tags": [{"id": 1, "name": "vip"}], **times}
    deal = capsule.opportunity(body)
    assert (deal.created_at, deal.updated_at, deal.tags) == (*times.values(), ("vip",))
    company = capsule.party({"id": 1, "type": "organisation", "about": "x", **times})
    assert (company.created_at, company.updated_at, company.raw["about"]) == (*times.values(), "x")


def test_missing_optional_keys_are_empty() -> None:
    assert capsule.party({"id": 1, "type": "organisation"}) == Organisation(
        1, "", (), (), (), None, "", "", restricted=False, raw={}
    )
    found = capsule.opportunity({"id": 1, "party": {"id": 2}, "milestone": {"id": 3}})
    assert (found.name, found.party_type, found.amount, found.duration_basis) == ("", "", None, "FIXED")


def test_null_lists_and_null_entries_are_empty() -> None:
    body = {
        "id": 1,
        "type": "person",
        "emailAddresses": None,
        "phoneNumbers": [None, {"number": None}, {"number": " 1 "}],
        "tags": [],
    }
    found = capsule.party(body)
    assert (found.emails, found.phones, found.tags) == ((), ("1",), ())


def test_an_organisation_embedded_with_its_tags_comes_with_the_person() -> None:
    nested = {"id": 7, "type": "organisation", "name": "Acme", "tags": [{"id": 1, "name": "member"}]}
    found = capsule.party({"id": 1, "type": "person", "organisation": nested})
    assert isinstance(found, Person)
    assert found.organisation is not None
    assert (found.organisation.name, found.organisation.tags) == ("Acme", ("member",))


def test_the_word_private_is_never_read_as_the_name_of_a_hidden_record() -> None:
    person = capsule.party({"id": 1, "type": "person", "firstName": "Private", "lastName": "Private", "isRestricted": True})
    organisation = capsule.party({"id": 2, "type": "organisation", "name": "Private", "isRestricted": True})
    opportunity = capsule.opportunity({"id": 3, "name": "Private", "isRestricted": True})
    assert isinstance(person, Person)
    assert isinstance(organisation, Organisation)
    assert (person.first_name, person.last_name, organisation.name, opportunity.name) == ("", "", "", "")
    assert person.restricted
    assert organisation.restricted
    assert opportunity.restricted
    assert (opportunity.party_id, opportunity.party_type) == (None, "")
    assert (opportunity.milestone_id, opportunity.milestone_name) == (None, "")
    assert (opportunity.amount, opportunity.currency) == (None, "")


def test_a_hidden_organisation_of_a_person_is_known_as_hidden() -> None:
    nested = {"id": 7, "type": "organisation", "name": "Private", "isRestricted": True}
    found = capsule.party({"id": 1, "type": "person", "organisation": nested})
    assert isinstance(found, Person)
    assert found.organisation_id == 7
    assert found.organisation is not None
    assert (found.organisation.restricted, found.organisation.name) == (True, "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ({}, None),
        ({"amount": None, "currency": "GBP"}, None),
        ({"amount": 0}, Decimal(0)),
        ({"amount": "12.50"}, Decimal("12.5")),
    ],
)
def test_an_opportunity_without_a_value_has_no_amount(value: Any, expected: Decimal | None) -> None:
    found = capsule.opportunity({"id": 1, "party": {"id": 2}, "milestone": {"id": 3}, "value": value})
    assert found.amount == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param([], "a party is not a JSON object", id="a list"),
        pytest.param(None, "a party is not a JSON object", id="null"),
        pytest.param({"id": 1}, "neither person nor organisation", id="no type"),
        pytest.param({"id": 1, "type": "robot"}, "neither person nor organisation", id="another type"),
        pytest.param({"type": "person"}, "no usable `id`", id="no id"),
        pytest.param({"id": True, "type": "person"}, "no usable `id`", id="a truth as id"),
        pytest.param({"id": 0, "type": "person"}, "no usable `id`", id="zero"),
        pytest.param({"id": 2**63, "type": "person"}, "no usable `id`", id="too large"),
        pytest.param({"id": "1", "type": "person"}, "no usable `id`", id="a text as id"),
        pytest.param({"id": 1, "type": "person", "firstName": 5}, "`firstName` of party 1 is not a text", id="name"),
        pytest.param({"id": 1, "type": "person", "tags": {}}, "`tags` of party 1 is not a list", id="tags"),
        pytest.param({"id": 1, "type": "person", "tags": ["vip"]}, "entry of `tags` of party 1", id="tags as texts"),
        pytest.param({"id": 1, "type": "person", "emailAddresses": "a@b"}, "`emailAddresses` of party 1", id="emails"),
        pytest.param({"id": 1, "type": "person", "organisation": 5}, "`organisation` of party 1", id="organisation"),
        pytest.param({"id": 1, "type": "person", "organisation": {}}, "the organisation of party 1", id="organisation's id"),
    ],
)
def test_what_is_no_party_is_refused_by_the_key_at_fault(body: object, words: str) -> None:
    with pytest.raises(UnreadableRecord, match=words) as raised:
        capsule.party(body)
    assert is_reason(str(raised.value))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"party": None}, "no `party` or no `milestone`"),
        ({"milestone": None}, "no `party` or no `milestone`"),
        ({"value": 500}, "`value` of opportunity 1 is not a JSON object"),
        ({"value": {"amount": "much"}}, "`amount` of opportunity 1 is not a number"),
        ({"value": {"amount": True}}, "`amount` of opportunity 1 is not a number"),
        ({"value": {"amount": float("inf")}}, "`amount` of opportunity 1 is not a number"),
        ({"duration": 1.5}, "`duration` of opportunity 1 is not a whole number"),
        ({"duration": 2**64}, "`duration` of opportunity 1 is not a whole number"),
        ({"probability": "often"}, "`probability` of opportunity 1 is not a whole number"),
    ],
)
def test_what_is_no_opportunity_is_refused_by_the_key_at_fault(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadableRecord, match=words):
        capsule.opportunity({"id": 1, "party": {"id": 2}, "milestone": {"id": 3}, **keys})


def test_numbers_up_to_the_largest_long_are_read() -> None:
    assert capsule.party({"id": 2**63 - 1, "type": "organisation"}).id == 2**63 - 1
    found = capsule.opportunity({"id": 1, "party": {"id": 2}, "milestone": {"id": 3}, "duration": 2**63 - 1})
    assert found.duration == 2**63 - 1


DEAL = {"id": 1, "party": {"id": 2}, "milestone": {"id": 3}}
NOT_TEXT = "is not a text"
AT_FAULT = [
    *(("person", key, 5, NOT_TEXT) for key in ("firstName", "lastName", "createdAt", "updatedAt")),
    *(("organisation", key, 5, NOT_TEXT) for key in ("name", "createdAt", "updatedAt")),
    *(
        (kind, key, 5, "is not a list")
        for kind in ("person", "organisation")
        for key in ("emailAddresses", "phoneNumbers", "websites", "tags")
    ),
    *(
        ("opportunity", key, 5, NOT_TEXT)
        for key in ("name", "durationBasis", "expectedCloseOn", "closedOn", "createdAt", "updatedAt")
    ),
    ("opportunity", "tags", 5, "is not a list"),
    ("opportunity", "party", 5, "is not a JSON object"),
    ("opportunity", "milestone", 5, "is not a JSON object"),
    ("milestone", "name", 5, NOT_TEXT),
    ("milestone", "pipeline", 5, "is not a JSON object"),
    ("milestone", "probability", "often", "is not a whole number"),
]
READ: dict[str, Callable[[dict[str, Any]], object]] = {
    "person": lambda keys: capsule.party({"id": 1, "type": "person", **keys}),
    "organisation": lambda keys: capsule.party({"id": 1, "type": "organisation", **keys}),
    "opportunity": lambda keys: capsule.opportunity({**DEAL, **keys}),
    "milestone": lambda keys: capsule.milestone({"id": 1, **keys}),
}


@pytest.mark.parametrize(("kind", "key", "value", "words"), AT_FAULT, ids=[f"{row[0]}-{row[1]}" for row in AT_FAULT])
def test_a_key_of_another_type_is_named_with_its_record(kind: str, key: str, value: Any, words: str) -> None:
    record = f"{'party' if kind in {'person', 'organisation'} else kind} 1"
    with pytest.raises(UnreadableRecord) as raised:
        READ[kind]({key: value})
    assert str(raised.value) == f"`{key}` of {record} {words}"


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("person", {"emailAddresses": [{"address": 5}]}, "`address` of `emailAddresses` of party 1 is not a text"),
        ("person", {"websites": [{"service": 5}]}, "`service` of `websites` of party 1 is not a text"),
        ("person", {"websites": [{"address": 5}]}, "`address` of `websites` of party 1 is not a text"),
        ("person", {"websites": [{"url": 5}]}, "`url` of `websites` of party 1 is not a text"),
        ("person", {"id": None}, "a person has no usable `id`"),
        ("organisation", {"id": None}, "an organisation has no usable `id`"),
        ("opportunity", {"id": None}, "an opportunity has no usable `id`"),
        ("opportunity", {"party": {}}, "the party of opportunity 1 has no usable `id`"),
        ("opportunity", {"party": {"id": 2, "type": 5}}, "`type` of opportunity 1 is not a text"),
        ("opportunity", {"milestone": {}}, "the milestone of opportunity 1 has no usable `id`"),
        ("opportunity", {"milestone": {"id": 3, "name": 5}}, "`name` of opportunity 1 is not a text"),
        ("opportunity", {"value": {"currency": 5}}, "`currency` of opportunity 1 is not a text"),
        ("milestone", {"id": None}, "a milestone has no usable `id`"),
        ("milestone", {"pipeline": {}}, "the pipeline of milestone 1 has no usable `id`"),
        ("milestone", {"pipeline": {"id": 2, "name": 5}}, "`name` of milestone 1 is not a text"),
    ],
)
def test_a_fault_inside_a_record_is_named_with_its_place(kind: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UnreadableRecord) as raised:
        READ[kind](keys)
    assert str(raised.value) == message


def test_what_is_no_object_is_named_by_what_was_asked_for() -> None:
    for read, what in ((capsule.party, "a party"), (capsule.opportunity, "an opportunity"), (capsule.milestone, "a milestone")):
        with pytest.raises(UnreadableRecord) as raised:
            read([])
        assert str(raised.value) == f"{what} is not a JSON object"


def test_a_milestone_is_read_with_its_pipeline() -> None:
    body = {"id": 1, "name": "New", "complete": False, "probability": 10, "pipeline": {"name": "SMB clients", "id": 10}}
    assert capsule.milestone(body) == Milestone(1, "New", 10, "SMB clients", 10, complete=False)
    assert capsule.milestone({"id": 2, "name": "Won", "complete": True}) == Milestone(2, "Won", None, "", None, complete=True)


def test_records_are_the_same_whatever_else_capsule_answers_with_them() -> None:
    assert capsule.party({"id": 1, "type": "person", "a": 1}) == capsule.party({"id": 1, "type": "person", "a": 2})
    assert capsule.party({"id": 1, "type": "organisation", "a": 1}) == capsule.party({"id": 1, "type": "organisation", "a": 2})
    assert capsule.opportunity({**DEAL, "a": 1}) == capsule.opportunity({**DEAL, "a": 2})


def test_a_record_shows_no_personal_data_when_printed() -> None:
    body = items("party__updated__embed-tags-fields.json")[0]
    deal = {**items("opportunity__created.json")[0], "tags": [{"id": 1, "name": "Nice Guy"}], "note": "Scott"}
    company = {"id": 1, "type": "organisation", "name": "Spacey", "tags": [{"id": 1, "name": "Nice Guy"}], "note": "Scott"}
    shown = repr(capsule.party(body)) + repr(capsule.opportunity(deal)) + repr(capsule.party(company))
    for secret in ("Scott", "Spacey", "homestyleshop", "773-338", "Nice Guy", "Consulting", "capsulecrm"):
        assert secret not in shown
