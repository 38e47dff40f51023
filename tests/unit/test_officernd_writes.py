from __future__ import annotations

from typing import TYPE_CHECKING

from mapping.officernd_writes import Write, needs_current, otherwise, writes
from mapping.plan import Create, Nothing, Update
from tests.unit.wording import is_reason

if TYPE_CHECKING:
    from mapping.values import Json


def test_a_member_is_posted_and_its_twitter_follows_by_put() -> None:
    fields: dict[str, Json] = {
        "name": "Ada",
        "location": "l",
        "company": "c",
        "properties.capsule_link_id": "501",
        "properties.plan": "Gold",
        "socialProfiles.twitter": "ada",
    }
    calls, notes = writes("member", Create(fields), downstream_id=None, current=None)
    assert calls == (
        Write(
            "POST",
            "/members",
            {"name": "Ada", "location": "l", "company": "c", "properties": {"capsule_link_id": "501", "plan": "Gold"}},
            creates=True,
            covers=("name", "location", "company", "properties.capsule_link_id", "properties.plan"),
        ),
        Write("PUT", "/members/{id}", {"socialProfiles": {"twitter": "ada"}}, creates=False, covers=("socialProfiles.twitter",)),
    )
    assert notes == ()


def test_a_company_and_an_opportunity_are_posted_in_one_call() -> None:
    calls, _ = writes(
        "company", Create({"name": "Acme", "url": "u", "properties.capsule_phone": "1"}), downstream_id=None, current=None
    )
    assert [(call.method, call.path) for call in calls] == [("POST", "/companies")]
    calls, _ = writes("opportunity", Create({"name": "D", "dealSize": 5, "probability": 10}), downstream_id=None, current=None)
    assert [(call.method, call.path, call.body) for call in calls] == [
        ("POST", "/opportunities", {"name": "D", "dealSize": 5, "probability": 10})
    ]


def test_a_change_is_a_put_of_what_changed_alone() -> None:
    calls, notes = writes("member", Update({"email": "a@b.example"}), downstream_id="m", current=None)
    assert calls == (Write("PUT", "/members/m", {"email": "a@b.example"}, creates=False, covers=("email",)),)
    assert notes == ()


def test_company_and_status_of_a_member_have_calls_of_their_own() -> None:
    calls, _ = writes("member", Update({"company": "c2", "status": "former", "name": "Ada"}), downstream_id="m", current=None)
    assert [(call.method, call.path, call.body) for call in calls] == [
        ("PUT", "/members/m", {"name": "Ada"}),
        ("PUT", "/members/m/company", {"company": "c2"}),
        ("PUT", "/members/m/status", {"status": "former"}),
    ]
    assert [call.covers for call in calls] == [("name",), ("company",), ("status",)]
    assert [call.creates for call in calls] == [False, False, False]


def test_the_status_of_an_opportunity_is_an_ordinary_field() -> None:
    calls, _ = writes("opportunity", Update({"status": "s"}), downstream_id="o", current=None)
    assert [(call.path, call.body) for call in calls] == [("/opportunities/o", {"status": "s"})]


def test_bags_are_sent_whole_over_what_is_there() -> None:
    current: dict[str, Json] = {
        "_id": "m",
        "properties": {"hubspot_link_id": None, "plan": "Gold", "theirs": "x"},
        "socialProfiles": {"linkedin": "l", "twitter": "old"},
    }
    plan = Update({"properties.plan": None, "properties.capsule_location": "L", "socialProfiles.twitter": None})
    calls, _ = writes("member", plan, downstream_id="m", current=current)
    assert len(calls) == 1
    assert calls[0].body == {
        "properties": {"hubspot_link_id": None, "plan": "", "theirs": "x", "capsule_location": "L"},
        "socialProfiles": {"linkedin": "l", "twitter": ""},
    }
    assert current["properties"] == {"hubspot_link_id": None, "plan": "Gold", "theirs": "x"}, "what was read is not changed"


def test_a_property_whose_key_holds_a_dot_keeps_it() -> None:
    calls, _ = writes("member", Update({"properties.a.b": "x"}), downstream_id="m", current={"properties": {"a.b": "y", "c": 1}})
    assert calls[0].body == {"properties": {"a.b": "x", "c": 1}}


def test_a_change_of_a_record_whose_id_an_earlier_call_will_answer() -> None:
    calls, _ = writes("member", Update({"email": "a@b.example", "company": "c"}), downstream_id=None, current=None)
    assert [call.path for call in calls] == ["/members/{id}", "/members/{id}/company"]


def test_without_the_record_only_what_changed_is_sent() -> None:
    calls, _ = writes("company", Update({"properties.plan": None, "url": None}), downstream_id="c", current=None)
    assert calls[0].body == {"properties": {"plan": None}, "url": ""}


def test_the_record_is_needed_only_for_a_change_inside_a_bag() -> None:
    assert needs_current(Update({"properties.plan": "x"}))
    assert needs_current(Update({"name": "x", "socialProfiles.twitter": None}))
    assert not needs_current(Update({"name": "x"}))
    assert not needs_current(Create({"properties.plan": "x"}))
    assert not needs_current(Nothing())


def test_what_the_api_cannot_change_is_told_and_not_sent() -> None:
    stuck: dict[str, Json] = {"location": "l2", "company": None, "startDate": "d", "description": "x"}
    calls, notes = writes("member", Nothing(stuck), downstream_id="m", current=None)
    assert calls == ()
    assert [note.code for note in notes] == ["location_fixed", "company_stays", "not_writable"]
    assert all(is_reason(note.text) for note in notes)
    assert notes[2].text == 'OfficeRnD\'s API cannot change "description" of a member after creation'
    calls, notes = writes(
        "opportunity",
        Update({"name": "D"}, {"dealSize": 5, "probability": 9, "member": "m", "company": "c"}),
        downstream_id="o",
        current=None,
    )
    assert len(calls) == 1
    assert [note.code for note in notes] == ["deal_size_fixed", "party_fixed", "company_fixed"]
    assert all(is_reason(note.text) for note in notes)


def test_a_field_that_no_call_takes_is_told() -> None:
    calls, notes = writes("member", Update({"location": "l"}), downstream_id="m", current=None)
    assert calls == ()
    assert [note.code for note in notes] == ["not_writable"]
    assert '"location" of a member' in notes[0].text


def test_only_the_field_that_a_refusal_is_about_is_cleared_by_null() -> None:
    """A line begins with the field that it is about, and may name others."""
    write = Write("PUT", "/members/m", {"email": "", "phone": "", "name": ""}, creates=False, covers=("email", "phone"))
    again = otherwise(write, status=400, message="email must differ from phone too; name is empty")
    assert again is not None
    assert again.body == {"email": None, "phone": "", "name": None}


def test_bodies_do_not_show_when_a_call_is_printed() -> None:
    calls, _ = writes("member", Update({"email": "ada@acme.example"}), downstream_id="m", current=None)
    assert "ada" not in repr(calls)
