from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping import capsule, fields, officernd, rules, tags
from mapping.errors import ExpressionInvalid, MappingError, RulesInvalid, TagsInvalid, UnreadableRecord, ValueUnusable
from mapping.judge import judge_opportunity, judge_party
from mapping.plan import Held, Nothing, Plan, Wanted, compare, remembered
from mapping.records import Gone, Organisation, Person
from tests.properties import strategies as our
from tests.properties.officernd_model import Record
from tests.unit.samples import LONDON, MILESTONES, PROPERTIES, SHOREDITCH, STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.records import Opportunity, Party
    from mapping.values import Json

RESOURCES = ("member", "company", "opportunity")


def context_of(connection: rules.Connection, *, properties: bool = True) -> officernd.Context:
    return officernd.Context(
        connection=connection,
        locations={LONDON: "London Bridge", SHOREDITCH: "Shoreditch"},
        statuses=STATUSES,
        properties={target: keys | {"score"} for target, keys in PROPERTIES.items()} if properties else {},
        milestones=MILESTONES,
        link=lambda kind, number: f"{kind}-{number}",
    )


def wanted_for(resource: str, context: officernd.Context, record: Any, organisation: Organisation, *, inside: bool) -> Any:
    if resource == "opportunity":
        person = capsule.party({"id": 501, "type": "person", "organisation": {"id": 701}, "tags": [{"id": 1, "name": "member"}]})
        assert isinstance(person, Person)
        return officernd.wanted_opportunity(context, record, person, organisation)
    return officernd.wanted_party(context, record, organisation, organisation_in=inside)


def records_of(resource: str) -> st.SearchStrategy[Any]:
    return {"member": our.persons, "company": our.organisations, "opportunity": our.opportunities}[resource]


class Downstream:
    """The sync flow in small: a ledger and a record, brought into step."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.wrote: dict[str, Json] | None = None

    def plan(self, wanted: Wanted, *, read_back: bool) -> tuple[Plan, Mapping[str, Json] | None]:
        have: Mapping[str, Json] | None = self.wrote
        if self.record.body is not None and (read_back or self.wrote is None):
            have = officernd.observed(self.record.resource, self.record.body)
        return compare(wanted, have, officernd.same, ours=self.wrote or ()), have

    def bring_into_step(self, wanted: Wanted, *, read_back: bool, knows: bool) -> None:
        plan, have = self.plan(wanted, read_back=read_back)
        current = self.record.body if knows or officernd.needs_current(plan) else None
        calls, _ = officernd.writes(self.record.resource, plan, downstream_id="64b0c0ffee0000000000aaaa", current=current)
        for call in calls:
            self.record.apply(call)
        self.wrote = remembered(wanted, plan, have, ours=self.wrote or ())


@given(our.connections(), our.persons, st.none() | our.organisations)
def test_every_verdict_on_a_person_has_a_reason(
    connection: rules.Connection, person: Person, organisation: Organisation | None
) -> None:
    verdict = judge_party(connection, person, organisation)
    assert verdict.why.strip()
    assert not (verdict.is_in and person.restricted)


@given(our.connections(), our.organisations)
def test_every_verdict_on_an_organisation_has_a_reason(connection: rules.Connection, organisation: Organisation) -> None:
    verdict = judge_party(connection, organisation, None)
    assert verdict.why.strip()
    assert not (verdict.is_in and organisation.restricted)


@given(
    our.connections(),
    our.opportunities | st.just(Gone("opportunity", 9, restricted=False)),
    our.persons | our.organisations | st.none() | st.just(Gone("party", 1, restricted=True)),
    st.none() | our.organisations,
)
def test_every_verdict_on_an_opportunity_has_a_reason(
    connection: rules.Connection, opportunity: Opportunity | Gone, party: Party | Gone | None, organisation: Organisation | None
) -> None:
    assert judge_opportunity(connection, opportunity, party, organisation).why.strip()


@given(our.tag_rules, our.tag_lists)
def test_case_space_and_order_of_tags_change_no_verdict(rule: str, has: list[str]) -> None:
    parsed = tags.parse(rule)
    spelt = [f"  {tag.upper()} " for tag in reversed(has)]
    # Some letters change when their case does and back (the dotless i, for one): those are other tags.
    if all(tag.upper().casefold() == tag.casefold() for tag in has):
        assert parsed.judge(spelt)[0] == parsed.judge(has)[0]


@given(st.text(alphabet=st.sampled_from('ab,[]!" '), max_size=12))
def test_any_text_is_a_rule_or_is_refused_at_a_place_inside_it(text: str) -> None:
    try:
        rule = tags.parse(text)
    except TagsInvalid as refused:
        assert 1 <= refused.position <= len(text) + 1  # noqa: PT017 - either outcome is right
    else:
        assert rule.judge(rule.tags)[1]


@given(our.any_json)
def test_any_json_is_read_or_refused_as_unreadable(body: Any) -> None:
    for read in (capsule.party, capsule.opportunity, capsule.milestone):
        with contextlib.suppress(UnreadableRecord):
            read(body)


@given(st.sampled_from(RESOURCES), st.data())
def test_a_record_with_any_value_anywhere_is_read_or_refused_as_unreadable(resource: str, data: st.DataObject) -> None:
    bodies = {"member": our.person_bodies(), "company": our.organisation_bodies(), "opportunity": our.opportunity_bodies()}
    body = data.draw(bodies[resource])
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(our.any_json)
    read = capsule.opportunity if resource == "opportunity" else capsule.party
    connection = data.draw(our.connections())
    with contextlib.suppress(MappingError):
        record: Any = read(body)
        organisation = data.draw(our.organisations)
        kind = "opportunity" if resource == "opportunity" else "member" if isinstance(record, Person) else "company"
        found = wanted_for(kind, context_of(connection), record, organisation, inside=data.draw(st.booleans()))
        assert not isinstance(found, Held) or (found.code and found.text)


@given(st.dictionaries(our.any_text | st.just("connections"), our.any_json, max_size=3))
def test_any_document_is_rules_or_has_named_faults(document: dict[str, Any]) -> None:
    with contextlib.suppress(RulesInvalid):
        assert rules.parse(document)


@given(
    st.dictionaries(st.sampled_from([*rules.Connection.model_fields, "x"]), our.any_json, max_size=4),
    st.sampled_from(["capsule", "officernd", "fields"]),
    st.dictionaries(
        st.sampled_from(["api_url", "account", "organization", "person", "properties.a", "name"]), our.any_json, max_size=3
    ),
)
def test_any_connection_is_rules_or_has_named_faults(table: dict[str, Any], inner: str, settings_: dict[str, Any]) -> None:
    document = {"connections": {"acme": {"downstream": "officernd", **table, inner: settings_}}}
    try:
        rules.parse(document)
    except RulesInvalid as invalid:
        assert all(fault.path.startswith("connections") and fault.message for fault in invalid.faults)  # noqa: PT017 - either is right


@given(our.any_text | st.text(alphabet=st.sampled_from("ab.[]?=='`&*|(){}:,0"), max_size=15), our.any_json)
def test_any_expression_works_or_is_refused_by_name(text: str, record: Any) -> None:
    with contextlib.suppress(ExpressionInvalid, ValueUnusable):
        fields.evaluate(fields.compile_field("properties.a", text), record)


@given(
    st.sampled_from(
        [
            "name",
            "email",
            "phone",
            "url",
            "startDate",
            "socialProfiles.twitter",
            "properties.a",
            "properties.capsule_phone",
            "tags",
        ]
    ),
    our.plain_values | our.sites | our.numbers | our.addresses | our.moments,
    our.plain_values | our.sites | our.numbers | our.addresses | our.moments,
)
def test_same_is_reflexive_and_symmetric(field: str, a: Any, b: Any) -> None:
    assert officernd.same(field, a, a)
    assert officernd.same(field, b, b)
    assert officernd.same(field, a, b) == officernd.same(field, b, a)


@pytest.mark.parametrize("resource", RESOURCES)
@given(data=st.data())
def test_after_a_plan_is_applied_the_next_plan_is_nothing(resource: str, data: st.DataObject) -> None:
    """Whatever the history of the record and of the rules, and whether bags are merged or replaced."""
    downstream = Downstream(Record(resource, replaces_bags=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        context = context_of(data.draw(our.connections()), properties=data.draw(st.booleans()))
        record, organisation = data.draw(records_of(resource)), data.draw(our.organisations)
        wanted = wanted_for(resource, context, record, organisation, inside=data.draw(st.booleans()))
        if downstream.wrote is not None and data.draw(st.booleans()):
            wanted = officernd.released(context, resource, downstream.wrote)
        if not isinstance(wanted, Wanted):
            continue
        downstream.bring_into_step(wanted, read_back=data.draw(st.booleans()), knows=data.draw(st.booleans()))
        calls = downstream.record.calls
        for read_back in (False, True):
            plan, _ = downstream.plan(wanted, read_back=read_back)
            assert isinstance(plan, Nothing), plan
            assert not officernd.writes(resource, plan, downstream_id="x", current=None)[0]
        assert downstream.record.calls == calls


@pytest.mark.parametrize("resource", RESOURCES)
@given(data=st.data())
def test_what_was_in_officernd_before_us_is_never_lost(resource: str, data: st.DataObject) -> None:
    """A record that is taken up keeps what is not ours: other properties, and texts that Capsule has nothing for."""
    link = {"member": "501", "company": "701", "opportunity": "901"}[resource]
    before: dict[str, Any] = {
        "_id": "64b0c0ffee0000000000aaaa",
        "name": "Before",
        "location": LONDON,
        "status": "active",
        "properties": {"capsule_link_id": link, "hubspot_link_id": None, "theirs": "keep", "b": 0},
        "socialProfiles": {"linkedin": "keep"},
        "description": "keep",
        "image": "keep",
    }
    downstream = Downstream(Record(resource, replaces_bags=data.draw(st.booleans()), body=before))
    for _ in range(data.draw(st.integers(1, 3))):
        context = context_of(data.draw(our.connections()))
        wanted = wanted_for(
            resource, context, data.draw(records_of(resource)), data.draw(our.organisations), inside=data.draw(st.booleans())
        )
        if not isinstance(wanted, Wanted):
            continue
        if downstream.wrote is None:
            assert officernd.choose(wanted, [before]) == officernd.Adopt(before["_id"], before)
        downstream.bring_into_step(wanted, read_back=data.draw(st.booleans()), knows=data.draw(st.booleans()))
    after = downstream.record.body
    assert after is not None
    assert {key: after["properties"][key] for key in ("theirs", "hubspot_link_id", "b")} == {
        "theirs": "keep",
        "hubspot_link_id": None,
        "b": 0,
    }
    assert after["socialProfiles"]["linkedin"] == "keep"
    if resource == "member":
        assert after["description"] == "keep"


@given(our.connections(), our.person_bodies(), our.organisation_bodies())
def test_a_hidden_record_is_never_mapped_and_its_word_never_a_name(
    connection: rules.Connection, one: dict[str, Any], other: dict[str, Any]
) -> None:
    context = context_of(connection)
    for body in ({**one, "isRestricted": True}, {**other, "isRestricted": True}):
        record = capsule.party(body)
        assert not judge_party(connection, record, None).is_in
        assert isinstance(officernd.wanted_party(context, record, None, organisation_in=False), Held)
    shown = {**one, "firstName": None, "lastName": "Private", "fields": [], "about": None}
    found = officernd.wanted_party(context, capsule.party(shown), None, organisation_in=False)
    assert not isinstance(found, Wanted)


@given(our.connections(), our.persons, our.organisations, st.booleans())
def test_a_member_holds_no_value_that_is_only_space(
    connection: rules.Connection,
    person: Person,
    organisation: Organisation,
    inside: bool,
) -> None:
    found = officernd.wanted_party(context_of(connection), person, organisation, organisation_in=inside)
    if isinstance(found, Wanted):
        values = [value for value in (*found.fields.values(), *found.initial.values()) if isinstance(value, str)]
        assert all(value == value.strip() and value for value in values)
        assert found.resource == "member"
