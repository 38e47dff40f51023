"""More of the pure part of `check --live`: what its findings say, and what it must not find."""

from __future__ import annotations

import pytest

from mapping.officernd_check import Found, Property
from mapping.officernd_lookup import Status
from mapping.records import Milestone
from tests.unit.test_check_officernd import ALL, MILESTONES, PROPERTIES, STATUSES, acme, capsule, officernd, texts, without
from tests.unit.wording import is_hint, is_reason

OWN = '[connections.acme.fields]\n"startDate" = "id"\n'


def test_a_milestone_without_a_pipeline_is_named_by_its_name() -> None:
    (warning,) = capsule(acme(), (*MILESTONES, Milestone(30, "Odd", None, "", None, complete=False))).warnings
    assert 'the milestone "Odd" (id 30) has no status' in warning.message
    assert warning.hint == 'Add Odd = "<status of OfficeRnD>".'


def test_every_finding_says_what_is_wrong_and_what_to_do() -> None:
    found = [
        *capsule(acme(below="'Qqq' = 'won'\n'Bid' = 'won'")).warnings,
        *capsule(acme(swap=("!left", "!xyz"))).warnings,
        *capsule(acme(swap=('"New" = "Tour Booked"', ""))).warnings,
        *officernd(acme(), locations={}, statuses={}, properties=()).faults,
        *officernd(acme(), properties=()).warnings,
    ]
    assert len(found) > 12
    for fault in found:
        assert is_reason(fault.message), fault.message
        assert is_hint(fault.hint), fault.hint


def test_a_side_that_has_nothing_of_a_kind_is_said_to_have_none() -> None:
    assert {fault.hint for fault in officernd(acme(), locations={}).faults} == {"It has none."}


def test_a_line_that_is_never_used_may_go() -> None:
    (warning,) = capsule(acme(below="'Bid' = 'Negotiation'")).warnings
    assert warning.hint == "Remove the line."


def test_a_name_that_is_not_there_or_twice_is_said_with_its_kind() -> None:
    (fault,) = officernd(acme(swap=('"Shoreditch" =', '"Leeds" ='))).faults
    assert fault.message == 'OfficeRnD has no location "Leeds"'
    twice = {**STATUSES, "d": Status("d", "negotiation", 60, is_system=False)}
    (fault,) = officernd(acme(), statuses=twice).faults
    assert fault.message == 'OfficeRnD has 2 of the name "Negotiation": which opportunity status is meant?'


@pytest.mark.parametrize("word", ["open", "won", "lost"])
def test_the_words_for_the_statuses_of_the_system_are_suggested(word: str) -> None:
    (fault,) = officernd(acme(swap=('"won"', f'"{word}x"'))).faults
    assert fault.hint == f'Did you mean "{word}"?'


@pytest.mark.parametrize(("number", "ends"), [(12, "Place 11."), (13, "Place 11, ….")])
def test_a_long_list_is_cut(number: int, ends: str) -> None:
    places = {str(one): f"Place {one}" for one in range(number)}
    for fault in officernd(acme(swap=('"Shoreditch" =', '"Qqq" =')), locations=places).faults:
        if fault.path.endswith("Qqq"):
            assert fault.hint.endswith(ends)
            break
    else:
        pytest.fail("the location that is not there was not named")


@pytest.mark.parametrize("key", [one.key for one in PROPERTIES if one.key.startswith("capsule_")])
def test_a_property_that_is_missing_is_told_with_what_is_lost_and_what_to_do(key: str) -> None:
    found = officernd(acme(), properties=without(key))
    (fault,) = (*found.faults, *found.warnings)
    lost = fault.message.rpartition(": ")[2]
    assert is_reason(lost), lost
    assert len(lost) > 20
    assert is_hint(fault.hint)
    kind = "Number" if key in {"capsule_deal_size", "capsule_probability"} else "String"
    assert f'key "{key}", type {kind}, for ' in fault.hint


@pytest.mark.parametrize("key", ["capsule_twitter", "capsule_phone", "capsule_location"])
@pytest.mark.parametrize("kind", ["String", "Text"])
def test_a_text_may_be_kept_in_either_type_of_text(key: str, kind: str) -> None:
    targets = next(one.targets for one in PROPERTIES if one.key == key)
    assert officernd(acme(), properties=(*without(key), Property(key, kind, targets))) == Found()


def test_a_property_of_the_wrong_type_is_told_with_what_to_do() -> None:
    (fault,) = officernd(acme(), properties=(*without("capsule_link_id"), Property("capsule_link_id", "Number", ALL))).faults
    assert fault.path == "connections.acme.officernd"
    assert fault.hint.startswith("Remove it and make it anew. OfficeRnD: Settings")
    assert 'key "capsule_link_id", type String, for members (target member) and ' in fault.hint


def test_a_property_of_the_same_name_for_other_records_may_have_any_type() -> None:
    assert officernd(acme(), properties=(*PROPERTIES, Property("capsule_deal_size", "String", frozenset({"member"})))) == Found()


def test_an_own_field_without_its_property_is_told_with_what_to_do() -> None:
    (fault,) = officernd(acme(below=OWN + '"properties.planet" = "id"')).faults
    assert fault.path == 'connections.acme.fields."properties.planet"'
    assert fault.message.startswith('OfficeRnD has no custom property "planet" for companies (target team) and members')
    assert fault.message.endswith("so the value is left out there")
    assert fault.hint == 'Did you mean "plan"?'
    (fault,) = officernd(acme(below=OWN + '"properties.qqq" = "id"')).faults
    assert 'add: key "qqq", type String, for companies (target team) and members' in fault.hint


def test_only_a_property_of_the_same_records_is_suggested() -> None:
    properties = (*PROPERTIES, Property("planets", "String", frozenset({"lead"})))
    below = '[connections.acme.fields.person]\n"properties.planetz" = "id"'
    (fault,) = officernd(acme(below=below), properties=properties).faults
    assert fault.hint == 'Did you mean "plan"?'


def test_an_own_field_needs_no_property_of_deals_that_are_not_synced() -> None:
    quiet, some = "sync_opportunities = false", (*without("plan"), Property("plan", "String", frozenset({"member", "team"})))
    own = OWN + '"properties.plan" = "id"'
    assert officernd(acme(quiet, own), properties=some) == Found()
    assert list(texts(officernd(acme(quiet, own), properties=without("plan")).faults)) == ['fields."properties.plan"']


def test_a_property_whose_key_holds_a_dot_is_looked_up_by_its_whole_key() -> None:
    own = OWN + '"properties.a.plan" = "id"'
    assert 'custom property "a.plan"' in officernd(acme(below=own)).faults[0].message
    assert officernd(acme(below=own), properties=(*PROPERTIES, Property("a.plan", "String", ALL))) == Found()


def test_two_statuses_that_one_word_of_the_system_means_are_a_fault_that_lists_the_ids() -> None:
    twice = {**STATUSES, "e": Status("e", "Closed as won", 100, is_system=True)}
    (fault,) = officernd(acme(), statuses=twice).faults
    assert fault.message == 'OfficeRnD has 2 of the name "won": which opportunity status is meant?'
    assert fault.hint == "Use one of a, e."
