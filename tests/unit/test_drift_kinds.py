"""More of what a reconcile page shows: opportunities, what a run leaves behind, and which rules bear on which records."""

from __future__ import annotations

from typing import Any

import pytest

from mapping import drift
from mapping.capsule import opportunity as opportunity_of
from mapping.capsule import party as party_of
from mapping.rules import Connection
from tests.unit.test_drift import ACME, Kept, compare, firm, judged, person

DEAL: dict[str, Any] = {
    "id": 9,
    "name": "Six desks",
    "party": {"id": 5, "type": "organisation", "name": "Acme"},
    "milestone": {"id": 14, "name": "Bid"},
    "value": {"amount": 500, "currency": "GBP"},
    "tags": [{"id": 1, "name": "member"}],
}


def deal_entry(party: Kept, connection: Connection = ACME, body: dict[str, Any] = DEAL, *, is_in: bool) -> Kept:
    """The entry of an opportunity that was judged when its party was as given."""
    rests = {"party|5": (party.state["passes_on"], party.id)}
    state = {drift.ACCOUNT: drift.account(connection, opportunity_of(body), rests)}
    return Kept(is_in=is_in, outcome="in_step" if is_in else "out", state=state)


def compare_deal(body: dict[str, Any], entry: Kept, party: Kept | None, connection: Connection = ACME) -> drift.Finding | None:
    return drift.compare(connection, "opportunity", body, entry, {"party|5": party}, letter=False, full=True)


IN, OUT = firm(is_in=True), firm(is_in=False)
THROUGH = Kept(is_in=False, id=None, state={"passes_on": {"in": False, "organisation_in": True, "location": None}})


@pytest.mark.parametrize(
    ("party", "now", "was_in", "found"),
    [
        pytest.param(IN, IN, True, None, id="as it was"),
        pytest.param(IN, OUT, True, drift.Finding("fell out", releases=True), id="the party left"),
        pytest.param(IN, None, True, drift.Finding("fell out", releases=True), id="the party is not known any more"),
        pytest.param(IN, Kept(is_in=False), True, drift.Finding("fell out", releases=True), id="the party never ran"),
        pytest.param(OUT, IN, False, drift.Finding("came in"), id="the party came in"),
        pytest.param(OUT, THROUGH, False, drift.Finding("came in"), id="the party's organisation came in"),
        pytest.param(OUT, None, False, None, id="the party was out and is forgotten"),
    ],
)
def test_an_opportunity_goes_where_its_party_goes(
    party: Kept, now: Kept | None, found: drift.Finding | None, *, was_in: bool
) -> None:
    assert compare_deal(DEAL, deal_entry(party, is_in=was_in), now) == found


def test_an_edited_opportunity_is_opened_and_a_hidden_one_leaves() -> None:
    entry = deal_entry(IN, is_in=True)
    assert compare_deal({**DEAL, "name": "Ten desks"}, entry, IN) == drift.Finding("changed")
    assert compare_deal({**DEAL, "updatedAt": "2026-05-05T00:00:00Z"}, entry, IN) is None
    assert compare_deal({**DEAL, "isRestricted": True}, entry, IN) == drift.Finding("fell out", releases=True)


def test_without_opportunities_in_the_rules_every_one_leaves() -> None:
    quiet = ACME.model_copy(update={"sync_opportunities": False})
    assert compare_deal(DEAL, deal_entry(IN, is_in=True), IN, quiet) == drift.Finding("fell out", releases=True)
    assert compare(person("member"), judged(ACME, person("member")), quiet) is None


def test_a_person_of_a_firm_that_came_in_stays_out_where_a_rule_says_so() -> None:
    body, vip = person(organisation=5), person("left", organisation=5)
    no_contacts = Connection(name="acme", downstream="officernd", tags_to_sync="member", sync_untagged_contacts=False)
    assert compare(body, judged(no_contacts, body, OUT), no_contacts, party_5=IN) == drift.Finding("rests")
    excluding = Connection(name="acme", downstream="officernd", tags_to_sync="member, !left")
    assert compare(vip, judged(excluding, vip, OUT), excluding, party_5=IN) == drift.Finding("rests")
    hidden = person(organisation=5, isRestricted=True)
    assert compare(hidden, judged(ACME, hidden, OUT), party_5=IN) == drift.Finding("rests")


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        pytest.param("party", {"organisation": {"id": 5}, "party": {"id": 6}}, "party|5", id="a person's organisation"),
        pytest.param("opportunity", {"organisation": {"id": 5}, "party": {"id": 6}}, "party|6", id="an opportunity's party"),
        pytest.param("party", {"organisation": None}, None, id="nobody's person"),
        pytest.param("opportunity", {}, None, id="nobody's opportunity"),
        pytest.param("party", {"organisation": {"id": "5"}}, None, id="no id"),
        pytest.param("party", {"organisation": {}}, None, id="without an id"),
    ],
)
def test_a_record_rests_on_its_organisation_or_its_party(kind: str, body: dict[str, Any], name: str | None) -> None:
    assert drift.concerned(kind, body) == name


def test_a_run_leaves_an_account_of_what_it_rested_on() -> None:
    seen = {"in": True, "location": None, "name": "x"}
    left = drift.account(ACME, party_of(person("Member", "x", organisation=5)), {"party|5": (seen, "b" * 24)})
    assert left["rests"] == {"party|5": [seen, "b" * 24]}
    assert (left["tags"], left["alone"]) == (["member"], True)
    assert left["body"] == drift.fingerprint(ACME, person("Member", "x", organisation=5))
    assert left["rules"] == drift.rules_digest(ACME, "party")
    assert drift.account(ACME, party_of(person("x")), {})["alone"] is False
    deal = drift.account(ACME, opportunity_of(DEAL), {})
    assert (deal["tags"], deal["alone"], deal["rests"]) == ([], False, {})
    assert deal["rules"] == drift.rules_digest(ACME, "opportunity")


def test_a_person_whose_tags_were_not_read_carries_none() -> None:
    body = person()
    del body["tags"]
    assert drift.carried(ACME, party_of(body)) == []


def test_what_a_record_carries_is_in_the_order_of_the_keys() -> None:
    rules = Connection(name="acme", downstream="officernd", tags_to_sync="vip, Member, !left")
    assert drift.carried(rules, party_of(person("VIP", "left", "x", "member"))) == ["left", "member", "vip"]


def test_who_is_not_in_or_left_no_account_follows_nobody() -> None:
    entry = judged(ACME, person(organisation=5), firm(is_in=True))
    assert drift.follows(entry, {"party|6", "party|5"})
    assert not drift.follows(Kept(is_in=False, state=entry.state), {"party|5"})
    assert not drift.follows(Kept(is_in=True), {"party|5"})


def test_a_letter_is_opened_by_a_full_pass_even_if_no_run_left_an_account() -> None:
    assert compare(person("member"), Kept(is_in=False), letter=True) == drift.Finding("failed")
    assert compare(person("member"), Kept(is_in=False), letter=True, full=False) == drift.Finding("came in")
    assert compare(person(), Kept(is_in=False), full=False) == drift.Finding("changed")


# ------------------------------------------------------------------ digests
def test_a_digest_is_short_and_stays_the_same_between_versions() -> None:
    """They are kept for every record; another form would open each of them once."""
    assert drift.fingerprint(ACME, {"b": ["ö", {"a": 1}], "a": None}) == "10c30aed3aedb9f818be2236"


def test_the_order_of_a_body_says_nothing_and_the_order_of_a_list_does() -> None:
    assert drift.fingerprint(ACME, {"a": 1, "b": {"c": 1, "d": 2}}) == drift.fingerprint(ACME, {"b": {"d": 2, "c": 1}, "a": 1})
    assert drift.fingerprint(ACME, {"a": [1, 2]}) != drift.fingerprint(ACME, {"a": [2, 1]})


@pytest.mark.parametrize("name", ["updatedAt", "lastContactedAt", "pictureURL"])
def test_what_is_restless_says_nothing_at_any_depth(name: str) -> None:
    body: dict[str, Any] = {"id": 1, "organisation": {"id": 5, name: "x"}, "list": [{"id": 1, name: "x"}], name: "x"}
    assert drift.fingerprint(ACME, body) == drift.fingerprint(ACME, {"id": 1, "organisation": {"id": 5}, "list": [{"id": 1}]})


@pytest.mark.parametrize("kind", ["person", "organisation", "opportunity"])
def test_what_is_restless_counts_where_an_own_field_of_any_kind_reads_it(kind: str) -> None:
    table = {"name": "acme", "downstream": "officernd", "fields": {kind: {"properties.seen": "updatedAt"}}}
    reading = Connection.model_validate(table)
    assert drift.fingerprint(reading, {"updatedAt": "a"}) != drift.fingerprint(reading, {"updatedAt": "b"})
    assert drift.fingerprint(reading, {"pictureURL": "a"}) == drift.fingerprint(reading, {"pictureURL": "b"})


BOTH = {"party", "opportunity"}


@pytest.mark.parametrize(
    ("change", "bears_on"),
    [
        pytest.param({"tags_to_sync": "vip"}, BOTH, id="tags_to_sync"),
        pytest.param({"sync_untagged_contacts": False}, BOTH, id="sync_untagged_contacts"),
        pytest.param({"default_location": "Leeds"}, BOTH, id="default_location"),
        pytest.param({"on_gone": "former"}, BOTH, id="on_gone"),
        pytest.param({"locations": {"Leeds": ["x"]}}, BOTH, id="locations"),
        pytest.param({"fields": {"properties.a": "id"}}, BOTH, id="own fields of all"),
        pytest.param({"fields": {"person": {"properties.a": "id"}}}, {"party"}, id="own fields of persons"),
        pytest.param({"fields": {"organisation": {"properties.a": "id"}}}, {"party"}, id="own fields of organisations"),
        pytest.param({"fields": {"opportunity": {"properties.a": "id"}}}, {"opportunity"}, id="own fields of opportunities"),
        pytest.param({"sync_opportunities": False}, {"opportunity"}, id="sync_opportunities"),
        pytest.param({"opportunity_statuses": {"Bid": "won"}}, {"opportunity"}, id="opportunity_statuses"),
        pytest.param({"auto_sync_minutes": 7}, set(), id="auto_sync_minutes"),
    ],
)
def test_a_changed_rule_opens_the_records_that_it_bears_on(change: dict[str, Any], bears_on: set[str]) -> None:
    table = {"name": "acme", "downstream": "officernd", "tags_to_sync": "member", "default_location": "London Bridge"}
    before, after = Connection.model_validate(table), Connection.model_validate({**table, **change})
    found = {kind for kind in BOTH if drift.rules_digest(before, kind) != drift.rules_digest(after, kind)}
    assert found == bears_on


def test_the_order_of_the_statuses_is_no_rule() -> None:
    one = ACME.model_copy(update={"opportunity_statuses": {"A": "won", "B": "lost"}})
    other = ACME.model_copy(update={"opportunity_statuses": {"B": "lost", "A": "won"}})
    assert drift.rules_digest(one, "opportunity") == drift.rules_digest(other, "opportunity")
