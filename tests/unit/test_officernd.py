from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mapping import officernd
from mapping.plan import Create, Held, Nothing, Update, Waits, Wanted, compare, remembered
from tests.unit.samples import (
    LONDON,
    NEGOTIATION,
    SHOREDITCH,
    context,
    emails,
    opportunity,
    organisation,
    person,
    phones,
    website,
)
from tests.unit.wording import is_reason

if TYPE_CHECKING:
    from mapping.values import Json

DAY = "2026-03-04T00:00:00.000Z"
LINKS = {("party", 501): "member-1", ("party", 701): "company-1"}
PLACES = {"London Bridge": ["london", "lb"], "Shoreditch": ["east"]}


def wanted(found: object) -> Wanted:
    assert isinstance(found, Wanted), found
    return found


def held(found: object) -> str:
    assert isinstance(found, Held), found
    assert is_reason(found.text), found.text
    return found.code


def codes(found: Wanted) -> list[str]:
    assert all(is_reason(note.text) for note in found.notes), found.notes
    return [note.code for note in found.notes]


def test_an_organisation_becomes_a_company() -> None:
    sites = [
        website("FACEBOOK", "acme"),
        website("URL", "acme.example"),
        website("URL", "other.example"),
        website("TWITTER", "@acme"),
    ]
    record = organisation(emailAddresses=emails(" Hello@Acme.Example "), phoneNumbers=phones(" 0113  1 ", "2"), websites=sites)
    found = wanted(officernd.wanted_party(context(), record, None, organisation_in=False))
    assert found.resource == "company"
    assert found.fields == {
        "name": "Acme Robotics",
        "email": "hello@acme.example",
        "url": "https://acme.example",
        "location": LONDON,
        "properties.capsule_link_id": "701",
        "properties.capsule_twitter": "acme",
        "properties.capsule_phone": "0113 1",
    }
    assert found.initial == {"startDate": DAY}
    assert not found.notes


def test_a_person_becomes_a_member_of_its_company() -> None:
    record = person(
        employer=701,
        emailAddresses=emails("Ada@Acme.Example"),
        phoneNumbers=phones("1"),
        websites=[website("TWITTER", "https://x.com/ada")],
    )
    found = wanted(officernd.wanted_party(context(LINKS), record, organisation(), organisation_in=True))
    assert found.resource == "member"
    assert found.fields == {
        "name": "Ada Example",
        "email": "ada@acme.example",
        "phone": "1",
        "company": "company-1",
        "socialProfiles.twitter": "ada",
        "properties.capsule_link_id": "501",
        "properties.capsule_location": "London Bridge",
    }
    assert found.initial == {"startDate": DAY, "location": LONDON}


def test_x_is_twitter_under_its_new_name() -> None:
    found = wanted(officernd.wanted_party(context(), person(websites=[website("X", "@ada")]), None, organisation_in=False))
    assert found.fields["socialProfiles.twitter"] == "ada"


def test_a_person_waits_for_its_company() -> None:
    found = officernd.wanted_party(context(), person(employer=701), organisation(), organisation_in=True)
    assert isinstance(found, Waits)
    assert (found.kind, found.id) == ("party", 701)
    assert found.text == "its organisation must be in OfficeRnD first"


def test_an_organisation_has_its_location_from_its_own_tags_alone() -> None:
    known = context(places=PLACES)
    found = wanted(officernd.wanted_party(known, organisation(), organisation(number=702, tags=("east",)), organisation_in=False))
    assert found.fields["location"] == LONDON


def test_a_person_of_an_organisation_that_is_out_has_no_company() -> None:
    found = wanted(officernd.wanted_party(context(LINKS), person(employer=701), organisation(), organisation_in=False))
    assert "company" not in found.fields


def test_a_person_of_a_hidden_organisation_is_mapped_without_it() -> None:
    hidden = organisation(isRestricted=True, name="Private", tags=None)
    found = wanted(officernd.wanted_party(context(LINKS), person(employer=701), hidden, organisation_in=False))
    assert "company" not in found.fields
    assert "Private" not in str(found.fields)


@pytest.mark.parametrize(
    ("first", "last", "addresses", "name"),
    [
        (" Ada  Maria ", " Example ", (), "Ada Maria Example"),
        (None, "Example", (), "Example"),
        ("", " ", ("Ada@Acme.Example",), "ada@acme.example"),
        ("A" * 200, "B" * 200, (), "A" * 200 + " " + "B" * 200),
    ],
)
def test_a_member_is_named_by_its_names_or_else_its_email(
    first: str | None, last: str, addresses: tuple[str, ...], name: str
) -> None:
    record = person(firstName=first, lastName=last, emailAddresses=emails(*addresses))
    assert wanted(officernd.wanted_party(context(), record, None, organisation_in=False)).fields["name"] == name


@pytest.mark.parametrize(
    ("record", "code"),
    [
        pytest.param(person(firstName=None, lastName=None), "no_name", id="a nameless person"),
        pytest.param(
            person(firstName=" ", lastName=" ", emailAddresses=emails("no address")),
            "no_name",
            id="a person with an e-mail that is none",
        ),
        pytest.param(organisation(name=" ", emailAddresses=emails("a@b.example")), "no_name", id="a nameless organisation"),
        pytest.param(person(firstName=None, lastName="Private"), "hidden_name", id="the word for a hidden person"),
        pytest.param(organisation(name="Private"), "hidden_name", id="the word for a hidden organisation"),
        pytest.param(organisation(isRestricted=True), "hidden", id="a hidden organisation"),
        pytest.param(person(createdAt=None), "no_start_date", id="no day of creation"),
    ],
)
def test_a_party_that_cannot_be_written_is_held(record: Any, code: str) -> None:
    assert held(officernd.wanted_party(context(), record, None, organisation_in=False)) == code


def test_an_email_that_is_no_address_is_left_out_and_told_and_the_next_is_taken() -> None:
    record = person(emailAddresses=emails("ada at home", "ada@acme.example"))
    found = wanted(officernd.wanted_party(context(), record, None, organisation_in=False))
    assert found.fields["email"] == "ada@acme.example"
    assert codes(found) == ["email_unusable"]
    assert "ada" not in found.notes[0].text


@pytest.mark.parametrize(
    ("own", "employers", "default", "name"),
    [
        pytest.param(("east",), ("london",), None, "Shoreditch", id="its own tag before the organisation's"),
        pytest.param(("LB ", "east"), (), None, "London Bridge", id="the first location of the rules wins"),
        pytest.param((), ("east",), "London Bridge", "Shoreditch", id="the organisation's before the default"),
        pytest.param((), (), "Shoreditch", "Shoreditch", id="the default"),
        pytest.param((), (), SHOREDITCH, "Shoreditch", id="the default by id"),
        pytest.param((), (), " shoreditch ", "Shoreditch", id="a name without regard to case"),
    ],
)
def test_the_location_of_a_person(own: tuple[str, ...], employers: tuple[str, ...], default: str | None, name: str) -> None:
    known = context(default_location=default, places=PLACES)
    found = wanted(
        officernd.wanted_party(known, person(tags=own, employer=701), organisation(tags=employers), organisation_in=False)
    )
    assert found.fields["properties.capsule_location"] == name


def test_a_property_that_is_not_set_up_is_left_out_and_told_by_name() -> None:
    some = {
        "team": frozenset({"capsule_link_id"}),
        "member": frozenset({"capsule_link_id"}),
        "lead": frozenset({"capsule_link_id"}),
    }
    record = organisation(phoneNumbers=phones("1"))
    found = wanted(officernd.wanted_party(context(properties=some), record, None, organisation_in=False))
    assert "properties.capsule_phone" not in found.fields
    assert codes(found) == ["no_property:capsule_phone"], "capsule_twitter has no value here, so nothing is missing"
    assert "target team" in found.notes[0].text


def test_a_property_that_is_no_longer_set_up_is_left_alone() -> None:
    some = {"team": frozenset({"capsule_link_id"})}
    found = wanted(officernd.wanted_party(context(properties=some), organisation(), None, organisation_in=False))
    have: dict[str, Json] = {**found.fields, **found.initial, "properties.capsule_phone": "1"}
    assert compare(found, have, officernd.same, ours=have) == Nothing({})


def test_nothing_is_created_without_the_link_property_but_what_is_in_step_goes_on() -> None:
    none: dict[str, frozenset[str]] = {}
    assert (
        held(officernd.wanted_party(context(properties=none), organisation(), None, organisation_in=False)) == "no_link_property"
    )
    found = wanted(officernd.wanted_party(context(LINKS, properties=none), organisation(), None, organisation_in=False))
    assert codes(found) == ["no_property:capsule_link_id"]
    assert held(officernd.wanted_opportunity(context(LINKS, properties=none), opportunity(), person())) == "no_link_property"
    linked = context({**LINKS, ("opportunity", 901): "deal-1"}, properties=none)
    deal = wanted(officernd.wanted_opportunity(linked, opportunity(), person()))
    assert codes(deal) == ["no_property:capsule_link_id", "no_property:capsule_deal_size"]
    other = context({**LINKS, ("party", 901): "member-9"}, properties=none)
    assert held(officernd.wanted_opportunity(other, opportunity(), person())) == "no_link_property", "the link of a party"


def test_a_property_whose_key_holds_a_dot_is_looked_up_by_its_whole_key() -> None:
    rules = {"properties.a.b": "about"}
    some = {"member": frozenset({"capsule_link_id", "capsule_location", "b"})}
    found = wanted(officernd.wanted_party(context(properties=some, fields=rules), person(about="x"), None, organisation_in=False))
    assert codes(found) == ["no_property:a.b"]
    some = {"member": frozenset({"capsule_link_id", "capsule_location", "a.b"})}
    found = wanted(officernd.wanted_party(context(properties=some, fields=rules), person(about="x"), None, organisation_in=False))
    assert found.fields["properties.a.b"] == "x"


def test_a_cleared_phone_is_cleared_only_where_we_wrote_one() -> None:
    before = wanted(officernd.wanted_party(context(), person(phoneNumbers=phones("1")), None, organisation_in=False))
    have = remembered(before, Create({**before.initial, **before.fields}), None, ours=())
    after = wanted(officernd.wanted_party(context(), person(), None, organisation_in=False))
    assert compare(after, have, officernd.same, ours=have) == Update({"phone": None}, {})
    assert compare(after, have, officernd.same, ours=set(have) - {"phone"}) == Nothing({})


def test_an_opportunity_of_a_person_goes_to_member_and_company() -> None:
    found = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(), person(employer=701), organisation()))
    assert found.resource == "opportunity"
    assert found.fields == {
        "name": "Six desks",
        "status": NEGOTIATION,
        "startDate": "2026-12-01T00:00:00.000Z",
        "properties.capsule_link_id": "901",
        "properties.capsule_deal_size": 500,
    }
    assert found.initial == {"probability": 50, "dealSize": 500, "member": "member-1", "company": "company-1"}
    assert not found.notes


def test_an_opportunity_of_an_organisation_goes_to_the_company_alone() -> None:
    found = wanted(
        officernd.wanted_opportunity(context(LINKS), opportunity(party=701, party_type="organisation"), organisation())
    )
    assert "member" not in found.initial
    assert found.initial["company"] == "company-1"


def test_an_opportunity_of_a_person_who_follows_its_organisation_goes_to_member_and_company() -> None:
    known = context(LINKS, tags_to_sync="member")
    found = wanted(officernd.wanted_opportunity(known, opportunity(), person(employer=701), organisation(tags=("member",))))
    assert (found.initial["member"], found.initial["company"]) == ("member-1", "company-1")


def test_an_opportunity_of_a_person_who_is_out_goes_to_the_company_alone() -> None:
    known = context(LINKS, tags_to_sync="member", sync_untagged_contacts=False)
    found = wanted(officernd.wanted_opportunity(known, opportunity(), person(employer=701), organisation(tags=("member",))))
    assert "member" not in found.initial
    assert found.initial["company"] == "company-1"


def test_an_opportunity_of_a_person_whose_organisation_is_out_goes_to_the_member_alone() -> None:
    known = context(LINKS, tags_to_sync="member")
    found = wanted(officernd.wanted_opportunity(known, opportunity(), person(employer=701, tags=("member",)), organisation()))
    assert found.initial["member"] == "member-1"
    assert "company" not in found.initial


@pytest.mark.parametrize(
    ("links", "party", "number", "text"),
    [
        ({}, person(), 501, "its party must be in OfficeRnD first"),
        ({("party", 501): "m"}, person(employer=701), 701, "the organisation of its party must be in OfficeRnD first"),
        ({("party", 701): "c"}, person(employer=701), 501, "its party must be in OfficeRnD first"),
        ({}, organisation(), 701, "its party must be in OfficeRnD first"),
    ],
    ids=["member", "company of the member", "member beside a company", "company"],
)
def test_an_opportunity_waits_for_its_party(links: dict[tuple[str, int], str], party: Any, number: int, text: str) -> None:
    found = officernd.wanted_opportunity(
        context(links), opportunity(), party, organisation() if party.id == 501 and party.organisation_id else None
    )
    assert isinstance(found, Waits)
    assert (found.kind, found.id, found.text) == ("party", number, text)


def test_an_opportunity_whose_party_and_organisation_are_out_is_held() -> None:
    assert held(officernd.wanted_opportunity(context(LINKS, tags_to_sync="x"), opportunity(), person())) == "no_party"


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        pytest.param({"value": None}, 0, id="no value"),
        pytest.param({"value": {"amount": None, "currency": "GBP"}}, 0, id="no amount"),
        pytest.param({"value": {"amount": 500}, "durationBasis": "FIXED", "duration": None}, 500, id="fixed"),
        pytest.param({"value": {"amount": 500}, "durationBasis": "FIXED", "duration": 3}, 500, id="fixed regards no duration"),
        pytest.param({"value": {"amount": 500}, "durationBasis": "MONTH", "duration": 12}, 6000, id="per month"),
        pytest.param({"value": {"amount": 0.1}, "durationBasis": "DAY", "duration": 3}, 0.3, id="decimals are exact"),
        pytest.param({"value": {"amount": 500}, "durationBasis": "WEEK", "duration": None}, 500, id="a unit without a number"),
        pytest.param({"value": {"amount": 500}, "durationBasis": "YEAR", "duration": 0}, 0, id="no unit"),
        pytest.param({"value": {"amount": "12.50", "currency": "EUR"}}, 12.5, id="an amount as text"),
    ],
)
def test_the_deal_size_is_the_amount_times_the_duration(keys: dict[str, Any], size: float) -> None:
    found = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(**keys), person()))
    assert found.initial["dealSize"] == size
    assert found.fields["properties.capsule_deal_size"] == size


@pytest.mark.parametrize(
    ("keys", "settings", "code"),
    [
        ({"name": "  "}, {}, "no_name"),
        ({"name": "Private"}, {}, "hidden_name"),
        ({"isRestricted": True}, {}, "hidden"),
        ({"value": {"amount": 1e300}}, {}, "deal_size"),
        ({"milestone": {"id": 99, "name": "New"}}, {}, "no_status"),
        ({}, {"opportunity_statuses": {"Bid": "Nowhere"}}, "status_unknown"),
    ],
)
def test_an_opportunity_that_cannot_be_written_is_held(keys: dict[str, Any], settings: dict[str, Any], code: str) -> None:
    assert held(officernd.wanted_opportunity(context(LINKS, **settings), opportunity(**keys), person())) == code


def test_a_probability_of_its_own_goes_to_a_property_and_is_told() -> None:
    found = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(probability=65), person()))
    assert found.initial["probability"] == 50
    assert found.fields["properties.capsule_probability"] == 65
    assert codes(found) == ["probability"]
    assert "capsule_probability holds Capsule's" in found.notes[0].text
    zero = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(probability=0), person()))
    assert zero.fields["properties.capsule_probability"] == 0
    none = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(probability=None), person()))
    assert "properties.capsule_probability" not in none.fields


def test_a_date_that_was_taken_away_is_cleared() -> None:
    before = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(), person()))
    have = remembered(before, compare(before, None, officernd.same, ours=()), None, ours=())
    after = wanted(officernd.wanted_opportunity(context(LINKS), opportunity(expectedCloseOn=None), person()))
    assert compare(after, have, officernd.same, ours=have) == Update({"startDate": None}, {})


def test_own_fields_are_added_replace_ours_and_clear_only_what_was_written() -> None:
    rules = {
        "properties.plan": "fields[?definition.name=='Plan'].value | [0]",
        "person": {"description": "about", "phone": "phoneNumbers[1].number", "startDate": "since"},
    }
    plan = [{"id": 1, "definition": {"id": 2, "name": "Plan"}, "value": "Gold"}]
    record = person(fields=plan, about="Founder", phoneNumbers=phones("1", "2"), since="2026-01-02")
    found = wanted(officernd.wanted_party(context(fields=rules), record, None, organisation_in=False))
    assert found.fields["properties.plan"] == "Gold"
    assert found.fields["phone"] == "2"
    assert found.fields["startDate"] == "2026-01-02T00:00:00.000Z"
    assert found.initial == {"location": LONDON, "description": "Founder"}, "PUT does not take a member's description"

    have: dict[str, Json] = {**found.fields, **found.initial}
    without = wanted(officernd.wanted_party(context(fields=rules), person(), None, organisation_in=False))
    plan_after = compare(without, have, officernd.same, ours=have)
    assert isinstance(plan_after, Update)
    assert plan_after.changed == {"properties.plan": None, "phone": None}
    assert plan_after.stuck == {"description": None, "startDate": DAY}
    assert compare(without, have, officernd.same, ours=()) == Nothing({"startDate": DAY})


def test_an_own_field_that_fails_is_told_and_what_it_wrote_is_left() -> None:
    rules = {"properties.plan": "length(about)", "person": {"phone": "tags", "name": "tags"}}
    found = wanted(
        officernd.wanted_party(context(fields=rules), person(about=None, phoneNumbers=phones("1")), None, organisation_in=False)
    )
    assert codes(found) == ["own_field:properties.plan", "own_field:phone", "own_field:name"]
    assert [note.text.startswith(f'the own field "{note.code.partition(":")[2]}" ') for note in found.notes] == [True] * 3
    assert "phone" not in found.fields
    assert found.fields["name"] == "Ada Example", "a record without a name cannot be written: ours is kept"
    have: dict[str, Json] = {**found.fields, **found.initial, "properties.plan": "Gold", "phone": "7"}
    assert compare(found, have, officernd.same, ours=have) == Nothing({})


def test_an_own_name_that_is_empty_leaves_ours() -> None:
    found = wanted(officernd.wanted_party(context(fields={"name": "nothing"}), person(), None, organisation_in=False))
    assert found.fields["name"] == "Ada Example"


def test_an_own_field_that_is_empty_does_not_keep_the_next_from_being_written() -> None:
    rules = {"name": "nothing", "properties.plan": "about"}
    found = wanted(officernd.wanted_party(context(fields=rules), person(about="Gold"), None, organisation_in=False))
    assert found.fields["properties.plan"] == "Gold"


def test_a_released_member_is_former_and_comes_back_as_auto() -> None:
    former = context(on_gone="former")
    before = wanted(officernd.wanted_party(former, person(phoneNumbers=phones("1")), None, organisation_in=False))
    have = remembered(before, compare(before, None, officernd.same, ours=()), None, ours=())

    gone = wanted(officernd.released(former, "member", have))
    assert gone.resource == "member"
    plan = compare(gone, have, officernd.same, ours=have)
    assert plan == Update({"status": "former"}, {})
    after = remembered(gone, plan, have, ours=have)
    assert after == {**have, "status": "former"}
    again = wanted(officernd.released(former, "member", after))
    assert again.untouched == frozenset(have), "its status is ours to write"
    assert compare(again, after, officernd.same, ours=after) == Nothing({})

    back = compare(before, after, officernd.same, ours=after)
    assert back == Update({"status": None}, {})
    assert "status" not in remembered(before, back, after, ours=after)
    calls, _ = officernd.writes("member", back, downstream_id="m", current=None)
    assert [(call.method, call.path, call.body) for call in calls] == [("PUT", "/members/m/status", {"status": "auto"})]


@pytest.mark.parametrize("resource", ["company", "opportunity"])
def test_companies_and_deals_cannot_be_former_and_that_is_told(resource: str) -> None:
    have: dict[str, Json] = {"name": "x", "status": NEGOTIATION}
    gone = wanted(officernd.released(context(on_gone="former"), resource, have))
    plan = compare(gone, have, officernd.same, ours=have)
    assert plan == Nothing({})
    assert gone.resource == resource
    assert codes(gone) == ["cannot_release"]
    assert gone.notes[0].text == f"on_gone is former, and OfficeRnD has no such thing for a {resource}: it stays as it is"
    assert remembered(gone, plan, have, ours=have) == have


@pytest.mark.parametrize("resource", ["member", "company", "opportunity"])
def test_keep_changes_nothing(resource: str) -> None:
    assert officernd.released(context(), resource, {"name": "x"}) is None
