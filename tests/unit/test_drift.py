"""What a reconcile page shows to be different."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping import drift
from mapping.capsule import party as party_of
from mapping.judge import judge_party
from mapping.officernd import same
from mapping.records import Organisation
from mapping.rules import Connection

ACME = Connection(name="acme", downstream="officernd", tags_to_sync="member", default_location="London Bridge")


@dataclass(frozen=True)
class Kept:
    """A ledger entry, as far as it matters here."""

    is_in: bool
    outcome: str = "in_step"
    id: str | None = "a" * 24
    state: dict[str, Any] = field(default_factory=dict)


def person(*tags: str, organisation: int | None = None, **more: Any) -> dict[str, Any]:
    of = {"id": organisation, "type": "organisation", "name": "Acme"} if organisation is not None else None
    return {
        "id": 7,
        "type": "person",
        "firstName": "Ada",
        "lastName": "Example",
        "organisation": of,
        "tags": [{"id": place, "name": tag} for place, tag in enumerate(tags)],
        "emailAddresses": [],
        "updatedAt": "2026-01-01T00:00:00Z",
        **more,
    }


def firm(*, is_in: bool) -> Kept:
    passes_on = {"in": is_in, "location": None, "name": "x"}
    return Kept(is_in=is_in, id="b" * 24 if is_in else None, state={"passes_on": passes_on})


def judged(connection: Connection, body: dict[str, Any], organisation: Kept | None = None) -> Kept:
    """The entry that a run leaves which saw this body."""
    record = party_of(body)
    own = judge_party(connection, record, None).is_in
    through = organisation is not None and organisation.is_in and connection.sync_untagged_contacts
    name = drift.concerned("party", body)
    rests = {name: (organisation.state["passes_on"], organisation.id)} if name and organisation is not None else {}
    return Kept(
        is_in=own or through,
        outcome="in_step" if own or through else "out",
        state={drift.ACCOUNT: drift.account(connection, record, rests)},
    )


def compare(
    body: dict[str, Any],
    entry: Kept | None,
    connection: Connection = ACME,
    *,
    letter: bool = False,
    full: bool = True,
    **others: Any,
) -> drift.Finding | None:
    named = {name.replace("_", "|"): other for name, other in others.items()}
    return drift.compare(connection, "party", body, entry, named, letter=letter, full=full)


def test_a_record_as_it_was_judged_is_not_opened() -> None:
    assert compare(person("member"), judged(ACME, person("member"))) is None


def test_what_changes_without_a_meaning_for_us_opens_nothing() -> None:
    later = person("member", updatedAt="2026-05-05T00:00:00Z", lastContactedAt="2026-05-05T00:00:00Z", pictureURL="x")
    assert compare(later, judged(ACME, person("member"))) is None


def test_unless_an_own_field_reads_it() -> None:
    reading = Connection.model_validate(
        {"name": "acme", "downstream": "officernd", "fields": {"properties.seen": "updatedAt"}, "tags_to_sync": "member"}
    )
    later = person("member", updatedAt="2026-05-05T00:00:00Z")
    assert compare(later, judged(reading, person("member")), reading) == drift.Finding("changed")


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        pytest.param(None, person("member"), drift.Finding("new"), id="never seen"),
        pytest.param(person("member"), person("member", jobTitle="x"), drift.Finding("changed"), id="edited"),
        pytest.param(person(), person("member"), drift.Finding("came in"), id="tagged"),
        pytest.param(person("member"), person(), drift.Finding("fell out", releases=True), id="untagged"),
        pytest.param(
            person("member"), person("member", isRestricted=True), drift.Finding("fell out", releases=True), id="hidden"
        ),
    ],
)
def test_what_differs_in_capsule(before: dict[str, Any] | None, now: dict[str, Any], found: drift.Finding) -> None:
    assert compare(now, judged(ACME, before) if before is not None else None) == found


def test_other_rules_open_what_they_bear_on_and_nothing_else() -> None:
    entry = judged(ACME, person("member"))
    deals = ACME.model_copy(update={"opportunity_statuses": {"Bid": "Negotiation"}, "auto_sync_minutes": 5})
    moved = ACME.model_copy(update={"default_location": "Shoreditch"})
    vip = Connection(name="acme", downstream="officernd", tags_to_sync="vip", default_location="London Bridge")
    assert compare(person("member"), entry, deals) is None
    assert compare(person("member"), entry, moved) == drift.Finding("rules")
    assert compare(person("member"), entry, vip) == drift.Finding("fell out", releases=True)


def test_the_order_of_the_locations_is_a_rule() -> None:
    one = ACME.model_copy(update={"locations": {"A": ["x"], "B": ["y"]}})
    other = ACME.model_copy(update={"locations": {"B": ["y"], "A": ["x"]}})
    assert drift.rules_digest(one, "party") != drift.rules_digest(other, "party")


def test_an_organisation_that_passes_on_something_else_opens_its_person() -> None:
    body = person(organisation=5)
    entry = judged(ACME, body, firm(is_in=True))
    assert compare(body, entry, party_5=firm(is_in=True)) is None
    assert compare(body, entry, party_5=firm(is_in=False)) == drift.Finding("fell out", releases=True)
    assert compare(body, judged(ACME, body, firm(is_in=False)), party_5=firm(is_in=True)) == drift.Finding("came in")


def test_held_and_failed_records_are_tried_again_by_a_full_pass_alone() -> None:
    body = person("member")
    held = Kept(is_in=True, outcome="held", state=judged(ACME, body).state)
    assert compare(body, held) == drift.Finding("held")
    assert compare(body, held, full=False) is None
    assert compare(body, judged(ACME, body), letter=True) == drift.Finding("failed")
    assert compare(body, judged(ACME, body), letter=True, full=False) is None


def test_who_is_in_through_another_follows_it_out() -> None:
    through = judged(ACME, person(organisation=5), firm(is_in=True))
    own = judged(ACME, person("member", organisation=5), firm(is_in=True))
    assert drift.follows(through, {"party|5"})
    assert not drift.follows(through, {"party|6"})
    assert not drift.follows(own, {"party|5"})


def test_what_the_downstream_shows_is_measured_by_its_own_sameness() -> None:
    wrote = {"name": "Ada", "email": "a@b.example", "phone": "020 1234"}
    assert drift.drifted(wrote, {"name": "Ada", "email": "A@B.example", "phone": "0201234", "x": 1}, same) == ()
    assert drift.drifted(wrote, {"name": "Eve", "phone": "020 1234"}, same) == ("name", "email")


bodies = st.builds(
    person,
    jobTitle=st.none() | st.text(max_size=5),
    about=st.none() | st.text(max_size=5),
    organisation=st.none() | st.integers(1, 3),
)
tags = st.lists(st.sampled_from(["member", "vip", "other"]), unique=True)


@given(before=bodies, now=bodies, carried=tags, carries=tags)
def test_a_finding_says_what_judging_says(
    before: dict[str, Any], now: dict[str, Any], carried: list[str], carries: list[str]
) -> None:
    before |= {"tags": [{"id": 1, "name": tag} for tag in carried]}
    now |= {"tags": [{"id": 1, "name": tag} for tag in carries]}
    entry = judged(ACME, before)

    found = compare(now, entry)

    stays = judge_party(ACME, party_of(now), None).is_in
    assert (found is None) == (before == now)
    if found is not None:
        assert found.releases == (entry.is_in and not stays)
        assert (found.why == "came in") == (stays and not entry.is_in)


def test_an_organisation_carries_the_tags_of_the_rules_alone() -> None:
    body = {"id": 5, "type": "organisation", "name": "Acme", "tags": [{"id": 1, "name": "Member "}, {"id": 2, "name": "x"}]}
    record = party_of(body)
    assert isinstance(record, Organisation)
    assert drift.carried(ACME, record) == ["member"]


@pytest.mark.parametrize("entry", [None, Kept(is_in=False)], ids=["not known", "known and never run"])
@pytest.mark.parametrize(
    ("seen", "agrees"),
    [
        pytest.param({"in": False, "organisation_in": False, "location": None, "name": "x"}, True, id="out"),
        pytest.param({"in": True, "organisation_in": False, "location": None}, False, id="in"),
        pytest.param({"in": False, "organisation_in": True, "location": None}, False, id="organisation in"),
        pytest.param({"in": False, "organisation_in": False, "location": "London Bridge"}, False, id="leads to a location"),
    ],
)
def test_a_record_that_never_ran_counts_as_out_and_passes_nothing_on(
    entry: Kept | None, seen: dict[str, Any], *, agrees: bool
) -> None:
    assert drift.agrees(entry, seen) is agrees


def test_an_organisation_that_was_made_anew_downstream_opens_its_person() -> None:
    body = person(organisation=5)
    anew = Kept(is_in=True, id="c" * 24, state=firm(is_in=True).state)
    assert compare(body, judged(ACME, body, firm(is_in=True)), party_5=anew) == drift.Finding("rests")


def test_an_organisation_that_was_out_and_is_forgotten_changes_nothing() -> None:
    body = person("member", organisation=5)
    assert compare(body, judged(ACME, body, firm(is_in=False)), party_5=None) is None


def test_what_a_record_was_judged_by_is_remembered() -> None:
    assert drift.rests_of(judged(ACME, person(organisation=5), firm(is_in=True))) == ("party|5",)
    assert drift.rests_of(judged(ACME, person("member"))) == ()
    assert drift.rests_of(Kept(is_in=True)) == drift.rests_of(None) == ()


def test_a_full_pass_is_due_when_rules_of_any_kind_of_record_change() -> None:
    now = drift.rules_digests(ACME)
    for change in ({"default_location": "Shoreditch"}, {"opportunity_statuses": {"Bid": "Negotiation"}}):
        assert drift.rules_digests(ACME.model_copy(update=change)) != now
    assert drift.rules_digests(ACME.model_copy(update={"auto_sync_minutes": 5})) == now


def test_a_person_that_moved_is_judged_by_its_new_organisation() -> None:
    entry = judged(ACME, person(organisation=6), firm(is_in=False))
    found = compare(person(organisation=5), entry, party_5=firm(is_in=True), party_6=firm(is_in=False))
    assert found == drift.Finding("came in")
