from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping.errors import UnreadableRecord
from mapping.judge import Verdict, judge_opportunity, judge_party
from mapping.records import Gone
from tests.unit.samples import connection, opportunity, organisation, person

if TYPE_CHECKING:
    from mapping.records import Organisation, Party

MEMBERS = connection(tags_to_sync="member, [vip, london], !internal")
ALONE = connection(tags_to_sync="member, [vip, london], !internal", sync_untagged_contacts=False)


def test_an_organisation_is_in_by_its_own_tags() -> None:
    assert judge_party(MEMBERS, organisation(tags=("Member",)), None).is_in
    assert not judge_party(MEMBERS, organisation(tags=("vip",)), None).is_in
    assert not judge_party(MEMBERS, organisation(tags=()), organisation(number=2, tags=("member",))).is_in


def test_a_person_is_in_by_its_own_tags_whatever_its_organisation() -> None:
    verdict = judge_party(ALONE, person(tags=("vip", "London"), employer=701), organisation(tags=()))
    assert verdict.is_in
    assert verdict.why == 'tags "vip" and "london" match "member, [vip, london], !internal"'


def test_an_untagged_person_is_in_when_its_organisation_is() -> None:
    verdict = judge_party(MEMBERS, person(employer=701), organisation(tags=("member",)))
    assert verdict.is_in
    assert verdict.why == 'its organisation is in: tag "member" matches "member, [vip, london], !internal"'


@pytest.mark.parametrize(
    ("tags", "employer", "found", "why"),
    [
        pytest.param((), 701, organisation(tags=()), "and its organisation is out: no tag matches", id="organisation out"),
        pytest.param((), None, None, "and it has no organisation", id="no organisation"),
        pytest.param((), 701, None, "deleted in Capsule or hidden", id="organisation gone"),
        pytest.param(
            (), 701, organisation(tags=None, isRestricted=True), "deleted in Capsule or hidden", id="organisation hidden"
        ),
        pytest.param(("internal",), 701, organisation(tags=("member",)), 'tag "internal" is excluded', id="person excluded"),
        pytest.param(
            (), 701, organisation(tags=("member", "internal")), 'tag "internal" is excluded', id="organisation excluded"
        ),
    ],
)
def test_a_person_is_out_for_a_reason(tags: tuple[str, ...], employer: int | None, found: Organisation | None, why: str) -> None:
    verdict = judge_party(MEMBERS, person(tags=tags, employer=employer), found)
    assert verdict.is_in is False
    assert why in verdict.why
    if not tags:
        assert verdict.why.startswith("no tag matches"), "its own tags come first"


def test_an_untagged_person_stays_out_when_contacts_are_not_wanted() -> None:
    verdict = judge_party(ALONE, person(employer=701), organisation(tags=("member",)))
    assert verdict.is_in is False
    assert verdict.why.endswith("and sync_untagged_contacts is off")


def test_what_is_gone_or_hidden_is_out_even_when_everything_is_in() -> None:
    everything = connection()
    deleted = judge_party(everything, Gone("party", 1, restricted=False), None)
    assert deleted == Verdict(is_in=False, why="it was deleted in Capsule")
    hidden = judge_party(everything, Gone("party", 1, restricted=True), None)
    assert hidden == Verdict(is_in=False, why="it is hidden from the token's user in Capsule")
    assert (deleted.is_in, hidden.is_in) == (False, False)
    assert not judge_party(everything, person(isRestricted=True), None).is_in
    assert not judge_party(everything, organisation(isRestricted=True), None).is_in
    assert not judge_opportunity(everything, Gone("opportunity", 1, restricted=False), person(), None).is_in
    assert not judge_opportunity(everything, opportunity(isRestricted=True), person(), None).is_in


def test_a_record_read_without_its_tags_is_not_taken_for_an_untagged_one() -> None:
    with pytest.raises(UnreadableRecord, match="party 501 was read without its tags"):
        judge_party(MEMBERS, person(tags=None), None)
    with pytest.raises(UnreadableRecord, match="party 701"):
        judge_party(MEMBERS, person(employer=701), organisation(tags=None))


def test_an_empty_rule_needs_no_tags() -> None:
    assert judge_party(connection(), person(tags=None), None).is_in


def test_an_opportunity_is_in_by_the_rule_of_its_party() -> None:
    verdict = judge_opportunity(MEMBERS, opportunity(), person(tags=("member",)), None)
    assert verdict.is_in
    assert verdict.why.startswith('its party is in: tag "member" matches')
    out = judge_opportunity(MEMBERS, opportunity(), person(), None)
    assert (out.is_in, out.why.startswith("its party is out: no tag matches")) == (False, True)
    assert judge_opportunity(MEMBERS, opportunity(), organisation(tags=("member",)), None).is_in
    assert not judge_opportunity(MEMBERS, opportunity(), organisation(), None).is_in


def test_an_opportunity_of_a_person_who_follows_its_organisation_is_in_by_the_person() -> None:
    verdict = judge_opportunity(MEMBERS, opportunity(), person(employer=701), organisation(tags=("member",)))
    assert verdict.why.startswith("its party is in: its organisation is in: ")


def test_an_opportunity_of_a_person_who_is_out_is_in_by_the_persons_organisation() -> None:
    verdict = judge_opportunity(ALONE, opportunity(), person(employer=701), organisation(tags=("member",)))
    assert verdict.is_in
    assert verdict.why.startswith("the organisation of its party is in")


@pytest.mark.parametrize(
    "party",
    [None, Gone("party", 1, restricted=False), Gone("party", 1, restricted=True), person(isRestricted=True)],
    ids=["none", "deleted", "hidden", "restricted"],
)
def test_an_opportunity_whose_party_is_not_to_be_seen_is_out(party: Party | Gone | None) -> None:
    verdict = judge_opportunity(connection(), opportunity(), party, None)
    assert verdict.is_in is False
    assert verdict.why == "its party is deleted in Capsule or hidden from the token's user"


def test_opportunities_can_be_switched_off() -> None:
    verdict = judge_opportunity(connection(sync_opportunities=False), opportunity(), person(), None)
    assert (verdict.is_in, verdict.why) == (False, "sync_opportunities is off")


def test_a_hidden_organisation_does_not_bring_in_an_opportunity() -> None:
    assert not judge_opportunity(ALONE, opportunity(), person(employer=701), organisation(isRestricted=True, tags=None)).is_in
