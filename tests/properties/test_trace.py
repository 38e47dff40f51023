"""What `explain` tells is what was decided: the steps of a verdict, and where each value comes from (issue 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapping import capsule
from mapping.errors import UnreadableRecord
from mapping.judge import judge_opportunity, judge_party
from mapping.plan import Wanted
from tests.properties import strategies as our
from tests.properties.test_mapping_properties import context_of, records_of, wanted_for

if TYPE_CHECKING:
    from mapping import rules
    from mapping.records import Opportunity, Organisation, Person
    from mapping.trace import Step

RESOURCES = ("member", "company", "opportunity")
# Other values for the keys of a Capsule record, so that a value which does not change does not come from them.
OTHERWISE: dict[str, Any] = {
    "firstName": "Otto",
    "lastName": "Other",
    "name": "Otherwise Ltd",
    "emailAddresses": [{"id": 1, "address": "other@other.example"}],
    "phoneNumbers": [{"id": 1, "number": "999 888"}],
    "websites": [{"id": 1, "service": "URL", "address": "other.example"}, {"id": 2, "service": "X", "address": "other"}],
    "tags": [{"id": 9, "name": "nothing that leads anywhere"}],
    "createdAt": "2001-01-01T00:00:00Z",
    "updatedAt": "2001-01-01T00:00:00Z",
    "expectedCloseOn": "2031-01-01",
    "value": {"amount": 123456, "currency": "EUR"},
    "duration": 7,
    "durationBasis": "MONTH",
    "probability": 1,
    "about": "other",
    "fields": [],
}


@given(our.connections(), our.persons, st.none() | our.organisations)
def test_the_last_step_about_a_person_is_its_verdict(
    connection: rules.Connection, person: Person, organisation: Organisation | None
) -> None:
    steps: list[Step] = []
    verdict = judge_party(connection, person, organisation, heard=steps.append)
    assert verdict == judge_party(connection, person, organisation)
    _agrees(steps, f"person {person.id}", verdict)


@given(our.connections(), our.opportunities, st.none() | our.persons | our.organisations, st.none() | our.organisations)
def test_the_last_step_about_an_opportunity_is_its_verdict(
    connection: rules.Connection, deal: Opportunity, party: Person | Organisation | None, organisation: Organisation | None
) -> None:
    steps: list[Step] = []
    verdict = judge_opportunity(connection, deal, party, organisation, heard=steps.append)
    assert verdict == judge_opportunity(connection, deal, party, organisation)
    _agrees(steps, f"opportunity {deal.id}", verdict)


def _agrees(steps: list[Step], about: str, verdict: Any) -> None:
    last = steps[-1]
    assert (last.about, last.says, last.text) == (about, "in" if verdict.is_in else "out", verdict.why)
    decided = [step for step in steps if step.says]
    # Nothing is decided of a record twice: what was said about others came before.
    assert [step for step in decided if step.about == about] == [last]


@given(our.connections(), our.persons)
def test_each_term_of_the_tags_is_told_as_it_holds(connection: rules.Connection, person: Person) -> None:
    assume(not person.restricted and connection.tags.terms)
    steps: list[Step] = []
    judge_party(connection, person, None, heard=steps.append)
    asked: list[tuple[str, bool]] = []
    connection.tags.judge(person.tags or (), lambda term, holds: asked.append((term.describe(), holds)))
    told = [step.text.removeprefix("keeps out: ") for step in steps[: len(asked)]]
    assert told == [f"{words}: {'yes' if holds else 'no'}" for words, holds in asked]


@pytest.mark.parametrize("resource", RESOURCES)
@given(data=st.data(), connection=our.connections(), organisation=our.organisations, inside=st.booleans())
def test_every_value_has_a_source_and_rests_on_what_it_names_alone(
    resource: str, data: st.DataObject, connection: rules.Connection, organisation: Organisation, inside: bool
) -> None:
    if connection.default_location == "Paris" or resource == "opportunity":
        # Most deals would be held otherwise, and nothing be seen of them.
        statuses = {"Bid": "Negotiation", "New": "Tour booked", "Won": "won"}
        connection = connection.model_copy(update={"opportunity_statuses": statuses, "default_location": "London Bridge"})
    context = context_of(connection)
    record = data.draw(records_of(resource))
    wanted = _wanted(resource, context, record, organisation, inside=inside)
    if wanted is None:
        return
    values = {**wanted.initial, **wanted.fields}
    assert set(values) <= set(wanted.sources), "a value without a source"
    name = data.draw(st.sampled_from(sorted(values)))
    reads = wanted.sources[name].reads
    if reads == ("*",):
        kind = {"member": "person", "company": "organisation"}.get(resource, resource)
        assert any(own.target == name for own in connection.fields.of(kind))
        return
    other = {key: OTHERWISE[key] if key in OTHERWISE and key not in reads else value for key, value in record.raw.items()}
    changed = capsule.opportunity(other) if resource == "opportunity" else capsule.party(other)
    again = _wanted(resource, context, changed, organisation, inside=inside)
    if again is not None:
        assert {**again.initial, **again.fields}.get(name) == values[name], wanted.sources[name]


def _wanted(resource: str, context: Any, record: Any, organisation: Organisation, *, inside: bool) -> Wanted | None:
    try:
        found = wanted_for(resource, context, record, organisation, inside=inside)
    except UnreadableRecord:
        return None
    return found if isinstance(found, Wanted) else None
