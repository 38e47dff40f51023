"""Unified -> Capsule: what is sent becomes only what differs (reference/unified-crm.md §5, reference/capsule.md §5.2, §5.3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mapping.errors import BodyInvalid
from mapping.unified import deals, definitions, entries, parties, sent, work, writing
from tests.unit import unified_samples as capsule

if TYPE_CHECKING:
    from collections.abc import Callable

    from mapping.unified.draft import Change

KNOWN = definitions.definitions(capsule.DEFINITIONS)
LONDON = "Europe/London"

# model: Capsule's body, how it is shown (within a test, where a test of mutants sees it), how it is written
CASES: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]], Callable[[dict[str, Any], Any], Change]]] = {
    "accounts": (
        capsule.ORGANISATION,
        partial(parties.account, capsule.ORGANISATION, KNOWN),
        lambda body, now: writing.account(body, now, KNOWN),
    ),
    "contacts": (
        capsule.PERSON,
        partial(parties.contact, capsule.PERSON, KNOWN),
        lambda body, now: writing.contact(body, now, KNOWN),
    ),
    "opportunities": (
        capsule.OPPORTUNITY,
        partial(deals.opportunity, capsule.OPPORTUNITY, KNOWN, milestone=capsule.MILESTONE),
        lambda body, now: writing.opportunity(body, now, KNOWN),
    ),
    "projects": (
        capsule.KASE,
        partial(work.project, capsule.KASE, KNOWN),
        lambda body, now: writing.project(body, now, KNOWN),
    ),
    "tasks": (
        capsule.TASK,
        partial(work.task, capsule.TASK, timezone=LONDON),
        lambda body, now: writing.task(body, now, timezone=LONDON),
    ),
    "notes": (capsule.NOTE, partial(entries.note, capsule.NOTE), writing.note),
    "engagements": (capsule.NOTE, partial(entries.engagement, capsule.NOTE), writing.engagement),
}
# Shown with more than may be sent: what is sent back of them is the id alone.
REFERENCES = {"type", "stage", "account", "owner", "team", "lost_reason", "project"}


def plan(model: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is put when this is sent for the sample of the model."""
    now, _, write = CASES[model]
    return dict(write(sent.checked(model, body, creating=False), now).body)


def made(model: str, body: dict[str, Any]) -> Change:
    """What is posted when this is sent for a new record."""
    return CASES[model][2](sent.checked(model, body, creating=True), None)


@pytest.mark.parametrize("model", CASES)
def test_a_whole_record_sent_back_as_it_was_shown_changes_nothing(model: str) -> None:
    now, answered, write = CASES[model]
    shown = answered()
    assert write(sent.checked(model, shown, creating=False, shown=shown), now).nothing


def test_of_a_whole_record_sent_back_only_the_changed_field_is_put() -> None:
    now, answered, write = CASES["contacts"]
    shown = answered()
    body = sent.checked("contacts", {**shown, "first_name": "Eve"}, creating=False, shown=shown)
    assert write(body, now).body == {"firstName": "Eve"}
    with pytest.raises(BodyInvalid, match=r"^frist_name: "):
        sent.checked("contacts", {**shown, "frist_name": "Eve"}, creating=False, shown=shown)


@pytest.mark.parametrize(
    ("model", "name"), [(model, name) for model, kind in sent.SENT.items() for name in kind.model_fields], ids=lambda value: value
)
def test_each_field_sent_back_by_itself_changes_nothing(model: str, name: str) -> None:
    now, shown, write = CASES[model]
    value = shown()[name]
    if name in REFERENCES and isinstance(value, dict):
        value = {"id": value["id"]}
    body = {name: value}
    if name == "engagement_type":
        assert value == "note"
    assert write(sent.checked(model, body, creating=False), now).nothing


@pytest.mark.parametrize(
    ("model", "body", "put"),
    [
        ("accounts", {"name": "Zestia Ltd"}, {"name": "Zestia Ltd"}),
        ("accounts", {"description": None}, {"about": None}),
        ("accounts", {"website": "https://zestia.example"}, {"websites": [{"id": 107, "address": "https://zestia.example"}]}),
        ("accounts", {"website": None}, {"websites": [{"id": 107, "_delete": True}]}),
        ("contacts", {"title": "CEO", "salutation": "Dr"}, {"jobTitle": "CEO", "title": "Dr"}),
        ("contacts", {"account": {"id": "5"}}, {"organisation": {"id": 5}}),
        ("contacts", {"account": None}, {"organisation": None}),
        ("contacts", {"owner": {"id": "7"}}, {"owner": {"id": 7}, "team": {"id": 3}}),
        ("contacts", {"owner": {"id": "7"}, "team": None}, {"owner": {"id": 7}, "team": None}),
        ("contacts", {"team": {"id": "4"}}, {"team": {"id": 4}}),
        ("contacts", {"email_addresses": [{"email": "new@x.example"}]}, {"emailAddresses": [{"address": "new@x.example"}]}),
        (
            "contacts",
            {"email_addresses": [{"email": " SCOTT@home.example"}]},
            {"emailAddresses": [{"id": 12137, "address": "SCOTT@home.example"}]},
        ),
        ("contacts", {"email_addresses": [{"id": "12134", "type": "home"}]}, {"emailAddresses": [{"id": 12134, "type": "Home"}]}),
        (
            "contacts",
            {"email_addresses": [{"id": "12134", "_delete": True}]},
            {"emailAddresses": [{"id": 12134, "_delete": True}]},
        ),
        (
            "contacts",
            {"email_addresses": [{"email": "scott@HOME.example", "_delete": True}]},
            {"emailAddresses": [{"id": 12137, "_delete": True}]},
        ),
        ("contacts", {"email_addresses": [{"email": "gone@x.example", "_delete": True}]}, {}),
        (
            "contacts",
            {"email_addresses": [{"email": "a@x.example"}, {"email": "A@x.example"}]},
            {"emailAddresses": [{"address": "a@x.example"}]},
        ),
        ("contacts", {"phone_numbers": [{"number": "+1 555"}]}, {"phoneNumbers": [{"number": "+1 555"}]}),
        ("contacts", {"phone_numbers": [{"id": "12133", "number": "1"}]}, {"phoneNumbers": [{"id": 12133, "number": "1"}]}),
        (
            "contacts",
            {"urls": [{"url": "https://blog.example"}]},
            {"websites": [{"address": "https://blog.example", "service": "URL"}]},
        ),
        (
            "contacts",
            {"urls": [{"service": "linked_in", "handle": "ss"}]},
            {"websites": [{"address": "ss", "service": "LINKED_IN"}]},
        ),
        ("contacts", {"urls": [{"id": "106", "handle": "other"}]}, {"websites": [{"id": 106, "address": "other"}]}),
        ("contacts", {"addresses": [{"city": "Leeds", "type": "home"}]}, {"addresses": [{"city": "Leeds", "type": "Home"}]}),
        ("contacts", {"addresses": [{"id": "12135", "city": "Leeds"}]}, {"addresses": [{"id": 12135, "city": "Leeds"}]}),
        (
            "contacts",
            {"addresses": [{"id": "12135", "street_1": "1 Road", "street_2": None}]},
            {"addresses": [{"id": 12135, "street": "1 Road"}]},
        ),
        ("contacts", {"tags": ["New", {"name": "customer"}]}, {"tags": [{"name": "New"}]}),
        ("contacts", {"tags": [{"id": "9"}]}, {"tags": [{"id": 9}]}),
        ("contacts", {"tags": [{"name": "vip", "_delete": True}]}, {"tags": [{"id": 1200, "_delete": True}]}),
        ("contacts", {"tags": [{"name": "never", "_delete": True}]}, {}),
        ("contacts", {"tags": ["Two", "two"]}, {"tags": [{"name": "Two"}]}),
        ("contacts", {"custom_fields": {"Seats": 13}}, {"fields": [{"definition": {"id": 48}, "value": 13}]}),
        ("contacts", {"custom_fields": {"Interests": None}}, {"fields": [{"definition": {"id": 926886}, "value": None}]}),
        (
            "contacts",
            {"custom_fields": {"Renewal (Supplier)": "2028-01-01"}},
            {"fields": [{"definition": {"id": 51}, "value": "2028-01-01"}]},
        ),
        ("contacts", {"custom_fields": {"Signed": True}}, {"fields": [{"definition": {"id": 49}, "value": True}]}),
        ("contacts", {"custom_fields": {"Signed": None}}, {}),
        ("opportunities", {"amount": 600.5}, {"value": {"amount": 600.5, "currency": "GBP"}}),
        ("opportunities", {"currency": "EUR"}, {"value": {"amount": 500, "currency": "EUR"}}),
        ("opportunities", {"amount": None}, {"value": None}),
        ("opportunities", {"amount": 500.0, "currency": "GBP"}, {}),
        ("opportunities", {"stage": {"id": "15"}}, {"milestone": {"id": 15}}),
        ("opportunities", {"stage": {"id": "opportunity:15"}}, {"milestone": {"id": 15}}),
        ("opportunities", {"close_date": "2016-01-01"}, {"expectedCloseOn": "2016-01-01"}),
        ("opportunities", {"close_date": "2016-01-01", "expected_close_date": "2016-02-01"}, {"expectedCloseOn": "2016-02-01"}),
        ("opportunities", {"probability": 60, "duration": 7}, {"probability": 60, "duration": 7}),
        ("opportunities", {"contact": [{"id": "77"}]}, {"party": {"id": 77}}),
        ("opportunities", {"account": {"id": "892"}, "contact": [{"id": "11587"}]}, {}),
        ("projects", {"status": "closed"}, {"status": "CLOSED"}),
        ("projects", {"stage": None}, {"stage": None}),
        ("projects", {"opportunity": []}, {"opportunity": None}),
        ("projects", {"opportunity": [{"id": "1"}]}, {"opportunity": {"id": 1}}),
        ("projects", {"start_date": "2026-01-01"}, {"startOn": "2026-01-01"}),
        ("tasks", {"subject": "Write", "content": None}, {"description": "Write", "detail": None}),
        ("tasks", {"status": "completed"}, {"status": "COMPLETED"}),
        ("tasks", {"due_date": "2025-07-21"}, {"dueOn": "2025-07-21", "dueTime": None}),
        ("tasks", {"due_date": "2025-12-21T09:30:00Z"}, {"dueOn": "2025-12-21"}),
        ("tasks", {"due_date": "2025-07-20T23:15:00Z"}, {"dueOn": "2025-07-21", "dueTime": "00:15"}),
        ("tasks", {"type": {"id": "2"}}, {"category": {"id": 2}}),
        ("tasks", {"type": None}, {"category": None}),
        ("tasks", {"opportunity": [{"id": "12"}]}, {"party": None, "opportunity": {"id": 12}}),
        ("tasks", {"contact": []}, {"party": None}),
        ("tasks", {"account": None}, {}),
        ("notes", {"content": "Changed"}, {"content": "Changed"}),
        ("notes", {"entry_at": "2016-01-01T00:00:00Z"}, {"entryAt": "2016-01-01T00:00:00Z"}),
        ("notes", {"project": {"id": "5"}}, {"party": None, "kase": {"id": 5}}),
        ("engagements", {"engagement_type": "call"}, {"activityType": {"id": -3}}),
        ("engagements", {"engagement_type_id": "77"}, {"activityType": {"id": 77}}),
    ],
)
def test_only_what_differs_is_put(model: str, body: dict[str, Any], put: dict[str, Any]) -> None:
    assert plan(model, body) == put


def test_a_person_with_everything_at_once() -> None:
    body = {
        "first_name": "Ann",
        "last_name": "Lee",
        "tags": ["one", "two", "three"],
        "email_addresses": [{"email": "a@x.example", "type": "work"}, {"email": "b@x.example"}],
        "phone_numbers": [{"number": "1", "type": "mobile"}, {"number": "2"}],
        "addresses": [{"city": "Leeds"}, {"street_1": "1 Road", "city": "York", "country": "United Kingdom"}],
        "urls": [{"service": "twitter", "handle": "ann"}, {"service": "linked_in", "url": "https://li.example/ann"}],
    }
    assert made("contacts", body).body == {
        "type": "person",
        "firstName": "Ann",
        "lastName": "Lee",
        "tags": [{"name": "one"}, {"name": "two"}, {"name": "three"}],
        "emailAddresses": [{"address": "a@x.example", "type": "Work"}, {"address": "b@x.example"}],
        "phoneNumbers": [{"number": "1", "type": "Mobile"}, {"number": "2"}],
        "addresses": [{"city": "Leeds"}, {"street": "1 Road", "city": "York", "country": "United Kingdom"}],
        "websites": [
            {"service": "TWITTER", "address": "ann"},
            {"service": "LINKED_IN", "address": "https://li.example/ann"},
        ],
    }


@pytest.mark.parametrize(
    ("model", "body", "posted", "others"),
    [
        (
            "accounts",
            {"name": "New", "website": "https://n.example"},
            {"type": "organisation", "name": "New", "websites": [{"service": "URL", "address": "https://n.example"}]},
            (),
        ),
        (
            "opportunities",
            {"name": "Deal", "contact": [{"id": "1"}, {"id": "2"}], "stage": {"id": "14"}},
            {"name": "Deal", "party": {"id": 1}, "milestone": {"id": 14}},
            (2,),
        ),
        (
            "opportunities",
            {"name": "Deal", "account": {"id": "9"}, "stage": {"id": "14"}},
            {"name": "Deal", "party": {"id": 9}, "milestone": {"id": 14}},
            (),
        ),
        (
            "projects",
            {"name": "Move", "account": {"id": "9"}, "stage": {"id": "project:4"}},
            {"name": "Move", "party": {"id": 9}, "stage": {"id": 4}},
            (),
        ),
        ("tasks", {"subject": "Ring", "due_date": "2026-01-01"}, {"description": "Ring", "dueOn": "2026-01-01"}, ()),
        (
            "tasks",
            {"subject": "Ring", "due_date": "2026-01-01", "project": {"id": "4"}},
            {"description": "Ring", "dueOn": "2026-01-01", "kase": {"id": 4}},
            (),
        ),
        ("notes", {"content": "Hello", "contact": [{"id": "4"}]}, {"type": "note", "content": "Hello", "party": {"id": 4}}, ()),
        (
            "engagements",
            {"content": "Hello", "engagement_type": "meeting", "opportunity": [{"id": "4"}]},
            {"type": "note", "content": "Hello", "activityType": {"id": -2}, "opportunity": {"id": 4}},
            (),
        ),
    ],
)
def test_a_new_record(model: str, body: dict[str, Any], posted: dict[str, Any], others: tuple[int, ...]) -> None:
    change = made(model, body)
    assert (change.body, change.parties) == (posted, others)


@pytest.mark.parametrize(
    ("model", "body", "creating", "paths"),
    [
        ("contacts", {}, True, ["first_name or last_name"]),
        ("contacts", {"first_name": ""}, True, ["first_name or last_name"]),
        ("accounts", {"name": None}, True, ["name"]),
        ("opportunities", {"name": "x"}, True, ["account or contact", "stage"]),
        ("tasks", {"due_date": "2026-01-01"}, True, ["subject"]),
        ("notes", {"content": "x"}, True, ["account or contact or opportunity or project"]),
        ("contacts", {"frist_name": "x"}, False, ["frist_name"]),
        ("contacts", {"first_name": 5, "urls": "x"}, False, ["urls", "first_name"]),
        ("contacts", {"email_addresses": [{"email": ""}]}, False, ["email_addresses.0.email"]),
        ("contacts", {"created_at": "2026-01-01T00:00:00Z"}, False, ["created_at"]),
        ("contacts", {"owner": {"id": "x"}}, False, ["owner.id"]),
        ("contacts", [], False, ["body"]),
        ("contacts", None, False, ["body"]),
        ("engagements", {"engagement_type": "email"}, False, ["engagement_type"]),
        ("opportunities", {"probability": 101}, False, ["probability"]),
        ("opportunities", {"currency": "pounds"}, False, ["currency"]),
        ("tasks", {"due_date": "2026-13-01"}, False, ["due_date"]),
        ("contacts", {"tags": ["x"] * 101}, False, ["tags"]),
    ],
)
def test_bad_bodies_are_refused_with_every_fault(model: str, body: object, creating: bool, paths: list[str]) -> None:
    with pytest.raises(BodyInvalid) as caught:
        sent.checked(model, body, creating=creating)
    assert [fault.path for fault in caught.value.faults] == paths


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (
            "contacts",
            {"email_addresses": [{"email": "x@y.example"}, {"id": "5", "email": "x@y.example"}]},
            "email_addresses.1.id: there is no such entry on this record (read the record again)",
        ),
        (
            "contacts",
            {"email_addresses": [{"id": "5"}, {"id": "6"}]},
            (
                "email_addresses.0.id: there is no such entry on this record (read the record again); "
                "email_addresses.1.id: there is no such entry on this record (read the record again)"
            ),
        ),
        (
            "contacts",
            {"urls": [{"id": "106"}, {"type": "home"}, {}]},
            "urls.1: says nothing that could be added; urls.2: says nothing that could be added",
        ),
        (
            "contacts",
            {name: [{"type": "home"}] for name in ("addresses", "email_addresses", "phone_numbers")},
            (
                "addresses.0: says nothing that could be added; email_addresses.0: says nothing that could be added; "
                "phone_numbers.0: says nothing that could be added"
            ),
        ),
        ("contacts", {"tags": ["vip", {}]}, "tags.1: has neither a name nor an id"),
        (
            "contacts",
            {"custom_fields": {"Nothing": 1}},
            "custom_fields: names a field that this account does not have (see /unified/crm/fields)",
        ),
        (
            "contacts",
            {"custom_fields": {"Seats": "many"}},
            "custom_fields: a field of type number was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Seats": 2**63}},
            "custom_fields: a field of type number was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Signed": "yes"}},
            "custom_fields: a field of type boolean was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Interests": ["a"]}},
            "custom_fields: a field of type text was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Renewal (Member)": ["a"]}},
            "custom_fields: a field of type date was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Contract": ["a"]}},
            "custom_fields: a field of type link was given another type of value",
        ),
        ("contacts", {"custom_fields": {"Interests": 4}}, "custom_fields: a field of type text was given another type of value"),
        (
            "contacts",
            {"custom_fields": {"Renewal (Member)": 4}},
            "custom_fields: a field of type date was given another type of value",
        ),
        ("contacts", {"custom_fields": {"Contract": 4}}, "custom_fields: a field of type link was given another type of value"),
        (
            "contacts",
            {"custom_fields": {"Industry Sector": {"a": 1}}},
            "custom_fields: a field of type list was given another type of value",
        ),
        (
            "contacts",
            {"custom_fields": {"Industry Sector": ["a", 1]}},
            "custom_fields: a field of type list was given another type of value",
        ),
        (
            "opportunities",
            {"stage": {"id": "project:4"}},
            "stage.id: is not a stage of opportunity pipelines (take it from /unified/crm/stages)",
        ),
        (
            "projects",
            {"stage": {"id": "opportunity:4"}},
            "stage.id: is not a stage of project pipelines (take it from /unified/crm/stages)",
        ),
        ("tasks", {"due_date": None}, "due_date: cannot be cleared: a task of Capsule has one"),
        (
            "tasks",
            {"opportunity": [{"id": "1"}], "project": {"id": "2"}},
            "account, contact, opportunity, project: only one of them can be its parent (send one)",
        ),
        (
            "tasks",
            {"account": {"id": "1"}, "contact": [{"id": "2"}]},
            "contact: only one of account and contact can be its parent",
        ),
    ],
)
def test_what_capsule_could_not_take_is_refused_before_it_is_asked(model: str, body: dict[str, Any], said: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        plan(model, body)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            partial(writing.opportunity, {"amount": 5.0}, {**capsule.OPPORTUNITY, "value": None}, KNOWN),
            'currency: is needed with an amount (such as "GBP")',
        ),
        (
            partial(writing.task, {"due_date": "2025-07-20T23:15:00Z"}, capsule.TASK),
            "due_date: the time zone of the task's owner is not known (send the day alone, YYYY-MM-DD)",
        ),
        (
            partial(writing.task, {"due_date": "2025-07-20T23:15:00Z"}, capsule.TASK, timezone="Nowhere/None"),
            "due_date: the time zone of the task's owner is not known (send the day alone, YYYY-MM-DD)",
        ),
        (
            partial(writing.note, {"content": "x"}, None),
            "account, contact, opportunity, project: one of them must be its parent (send one)",
        ),
        (
            partial(writing.engagement, {"content": "x"}, None),
            "account, contact, opportunity, project: one of them must be its parent (send one)",
        ),
        (
            partial(sent.checked, "contacts", {"frist_name": "x", "owner": {"id": "x"}}, creating=False),
            "owner.id: String should match pattern '^[1-9][0-9]{0,17}$'; frist_name: Extra inputs are not permitted",
        ),
        (
            partial(sent.checked, "tasks", {}, creating=True),
            "subject: is required when creating (send it); due_date: is required when creating (send it)",
        ),
    ],
)
def test_what_is_missing_is_said(written: Callable[[], object], said: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        written()
    assert str(caught.value) == said


def test_no_fault_tells_a_value() -> None:
    with pytest.raises(BodyInvalid) as caught:
        sent.checked("contacts", {"first_name": ["secret-name"], "owner": {"id": "secret-id"}}, creating=False)
    assert "secret" not in str(caught.value)


def test_contacts_that_are_additional_parties_already_are_not_added_again() -> None:
    now = {**capsule.OPPORTUNITY, writing.ADDITIONAL: [{"id": 5, "type": "person"}]}
    change = writing.opportunity({"contact": [{"id": "11587"}, {"id": "5"}, {"id": "6"}]}, now, KNOWN)
    assert (change.body, change.parties) == ({}, (6,))


PARTY_OF_ORGANISATION = {**capsule.OPPORTUNITY, "party": capsule.ORGANISATION_REF}
OTHER_ADDRESS = {**capsule.SHARED["addresses"][0], "id": 5, "city": "Leeds"}
TWO_ADDRESSES = {**capsule.PERSON, "addresses": [OTHER_ADDRESS, *capsule.SHARED["addresses"]]}
SENT_ADDRESS = {
    "street_1": "847 North Rush Street",
    "street_2": "Second floor",
    "city": "Chicago ",
    "state": "IL",
    "postal_code": "65629",
    "country": "United States",
}
WITHOUT_LISTS = {"id": 11587, "type": "person"}
FACEBOOK = {"websites": [{"address": "capsulecrm", "service": "FACEBOOK"}]}
SIGNED = {**capsule.PERSON, "fields": [{"id": 1, "definition": {"id": 49, "name": "Signed"}, "value": True}]}
ADDRESS_AS_SENT = [{"id": 12135, "city": "Chicago "}]
HEAD = {"addresses": [{**ADDRESS_AS_SENT[0], "type": "HEAD"}]}
EMAIL = {"emailAddresses": [{"address": "a@x.example", "type": "Head office"}]}
PHONE = {"phoneNumbers": [{"id": 12133, "number": "773 338 7786"}]}
WEBSITE = {"websites": [{"id": 107, "address": "http://www.zestia.com/"}]}
SECOND = {"websites": [{"id": 2, "address": "a"}]}
VIP_OFF = {"tags": [{"id": 1200, "_delete": True}]}
LABELS = {"fields": [{"definition": {"id": 926886}, "value": "Tea"}], "tags": [{"name": "New"}]}
MUCH = {"value": {"amount": "much", "currency": "GBP"}}
NO_VALUE = {"value": None}
PARENTLESS = {name: value for name, value in capsule.TASK.items() if name not in ("party", "opportunity", "kase")}
OF_ORGANISATION = {**capsule.TASK, "party": capsule.ORGANISATION_REF}
EMPLOYED = {**capsule.TASK, "party": {**capsule.PERSON_REF, "organisation": capsule.ORGANISATION_REF}}
OF_DEAL = {**PARENTLESS, "opportunity": {"id": 12, "name": "Consulting"}}


def one_address(**changed: str) -> dict[str, Any]:
    """The address of the samples with another value, as one that is added."""
    street = {"street": "847 North Rush Street\nSecond floor"}
    return {"addresses": [{"city": "Chicago ", "state": "IL", "zip": "65629", "country": "United States", **street, **changed}]}


@pytest.mark.parametrize(
    ("model", "now", "body", "put", "others"),
    [
        # Lists: what is there is found again, by whatever a person may have typed.
        ("contacts", TWO_ADDRESSES, {"addresses": [SENT_ADDRESS]}, {"addresses": ADDRESS_AS_SENT}, ()),
        ("contacts", capsule.PERSON, {"addresses": [{**SENT_ADDRESS, "type": "HEAD"}]}, HEAD, ()),
        ("contacts", capsule.PERSON, {"addresses": [{"street_2": "Annex"}]}, {"addresses": [{"street": "Annex"}]}, ()),
        ("contacts", WITHOUT_LISTS, {"email_addresses": [{"email": "a@x.example", "type": "Head office"}]}, EMAIL, ()),
        (
            "contacts",
            capsule.PERSON,
            {"email_addresses": [{"email": "a@x.example"}, {"email": "A@x.example", "type": "home"}]},
            {"emailAddresses": [{"address": "a@x.example"}]},
            (),
        ),
        ("contacts", capsule.PERSON, {"email_addresses": [{"id": "12134", "type": "WORK"}]}, {}, ()),
        ("contacts", capsule.PERSON, {"phone_numbers": [{"id": "12136", "type": None}]}, {}, ()),
        ("contacts", capsule.PERSON, {"phone_numbers": [{"number": " 773 338 7786 "}]}, PHONE, ()),
        ("contacts", capsule.PERSON, {"urls": [{"id": "106", "service": "Twitter", "handle": "capsulecrm"}]}, {}, ()),
        ("contacts", capsule.PERSON, {"urls": [{"service": "twitter", "handle": " capsulecrm "}]}, {}, ()),
        ("contacts", capsule.PERSON, {"urls": [{"url": "http://www.zestia.com/"}]}, WEBSITE, ()),
        (
            "contacts",
            capsule.PERSON,
            {"urls": [{"url": " https://a.example ", "handle": " a "}]},
            {"websites": [{"address": "a", "service": "URL"}]},
            (),
        ),
        ("contacts", capsule.PERSON, {"urls": [{"service": "facebook", "handle": "capsulecrm"}]}, FACEBOOK, ()),
        ("contacts", {"websites": [{"id": 1, "service": "Skype"}]}, {"urls": [{"id": "1", "service": "skype"}]}, {}, ()),
        ("contacts", capsule.PERSON, {"addresses": [{**SENT_ADDRESS, "state": "TX"}]}, one_address(state="TX"), ()),
        ("contacts", capsule.PERSON, {"addresses": [{**SENT_ADDRESS, "postal_code": "1"}]}, one_address(zip="1"), ()),
        ("contacts", capsule.PERSON, {"addresses": [{**SENT_ADDRESS, "country": "Chile"}]}, one_address(country="Chile"), ()),
        (
            "contacts",
            capsule.PERSON,
            {
                "email_addresses": [
                    {"id": "12134", "_delete": True},
                    {"email": "gone@x.example", "_delete": True},
                    {"id": "12137", "type": None},
                ],
                "phone_numbers": [{"id": "12136", "type": "home"}],
            },
            {
                "emailAddresses": [{"id": 12134, "_delete": True}, {"id": 12137, "type": None}],
                "phoneNumbers": [{"id": 12136, "type": "Home"}],
            },
            (),
        ),
        ("contacts", {"id": 1, "owner": {"id": True}}, {"owner": {"id": "1"}}, {"owner": {"id": 1}}, ()),
        # The website beside the list that holds it.
        (
            "accounts",
            capsule.ORGANISATION,
            {"urls": [{"url": "https://n.example"}], "website": "https://z.example"},
            {"websites": [{"address": "https://n.example", "service": "URL"}, {"id": 107, "address": "https://z.example"}]},
            (),
        ),
        (
            "accounts",
            capsule.ORGANISATION,
            {"urls": [{"url": "https://n.example"}], "website": None},
            {"websites": [{"address": "https://n.example", "service": "URL"}, {"id": 107, "_delete": True}]},
            (),
        ),
        (
            "accounts",
            {"id": 892, "websites": None},
            {"urls": [{"url": "https://n.example"}], "website": "https://z.example"},
            {
                "websites": [
                    {"address": "https://n.example", "service": "URL"},
                    {"service": "URL", "address": "https://z.example"},
                ]
            },
            (),
        ),
        ("accounts", {"id": 892, "websites": [{"id": 1, "service": "SKYPE", "address": "z"}]}, {"website": None}, {}, ()),
        ("accounts", {"id": 892, "websites": [{"id": 1}, {"id": 2, "service": "url"}]}, {"website": "a"}, SECOND, ()),
        ("accounts", capsule.ORGANISATION, {"website": "www.zestia.com"}, {}, ()),
        ("accounts", capsule.ORGANISATION, {"website": "https://www.zestia.com"}, {}, ()),
        # Tags and custom fields.
        ("contacts", capsule.PERSON, {"tags": [{"id": "1199"}, {"id": "1200", "_delete": True}]}, VIP_OFF, ()),
        ("contacts", capsule.PERSON, {"tags": [{"id": "9", "name": "vip"}]}, {"tags": [{"id": 9}]}, ()),
        ("contacts", {"id": 1, "tags": [{"id": 3}]}, {"tags": ["none"]}, {"tags": [{"name": "none"}]}, ()),
        ("contacts", capsule.PERSON, {"custom_fields": {"Signed": False, "Contract": None, "Seats": 12}}, {}, ()),
        ("contacts", SIGNED, {"custom_fields": {"Signed": True}}, {}, ()),
        ("contacts", SIGNED, {"custom_fields": {"Signed": None}}, {"fields": [{"definition": {"id": 49}, "value": False}]}, ()),
        (
            "contacts",
            capsule.PERSON,
            {"custom_fields": {"Industry Sector": ["a", "b"], "Contract": "https://c.example", "Seats": None}},
            {
                "fields": [
                    {"definition": {"id": 47}, "value": ["a", "b"]},
                    {"definition": {"id": 52}, "value": "https://c.example"},
                    {"definition": {"id": 48}, "value": None},
                ]
            },
            (),
        ),
        ("projects", capsule.KASE, {"custom_fields": {"Interests": "Tea"}, "tags": ["New"]}, LABELS, ()),
        ("opportunities", capsule.OPPORTUNITY, {"custom_fields": {"Interests": "Tea"}, "tags": ["New"]}, LABELS, ()),
        # Dates, money and words of a deal or a project.
        ("contacts", capsule.PERSON, {"description": "Tall"}, {"about": "Tall"}, ()),
        ("opportunities", capsule.OPPORTUNITY, {"description": "Large"}, {"description": "Large"}, ()),
        ("projects", capsule.KASE, {"description": "Long"}, {"description": "Long"}, ()),
        ("opportunities", {"closedOn": "2016-01-01"}, {"close_date": "2016-01-01"}, {}, ()),
        ("projects", {"closedOn": "2016-01-01"}, {"close_date": "2016-01-01"}, {}, ()),
        ("projects", capsule.KASE, {"close_date": "2016-01-01"}, {"expectedCloseOn": "2016-01-01"}, ()),
        (
            "projects",
            capsule.KASE,
            {"close_date": "2016-01-01", "expected_close_date": "2016-02-01"},
            {"expectedCloseOn": "2016-02-01"},
            (),
        ),
        ("projects", capsule.KASE, {"status": None}, {}, ()),
        ("projects", capsule.KASE, {"owner": {"id": "7"}}, {"owner": {"id": 7}, "team": {"id": 3}}, ()),
        ("projects", {"id": 1, "owner": None}, {"owner": {"id": "7"}}, {"owner": {"id": 7}}, ()),
        ("projects", capsule.KASE, {"opportunity": None}, {"opportunity": None}, ()),
        ("projects", capsule.KASE, {"contact": [{"id": "77"}, {"id": "11587"}]}, {}, (77,)),
        ("opportunities", capsule.OPPORTUNITY, {"duration_basis": "YEAR"}, {"durationBasis": "YEAR"}, ()),
        ("opportunities", capsule.OPPORTUNITY, {"lost_reason": {"id": "5"}}, {"lostReason": {"id": 5}}, ()),
        ("opportunities", {"value": None}, {"amount": None}, {}, ()),
        ("opportunities", {"value": None}, {"currency": "EUR"}, {}, ()),
        ("opportunities", {"value": {"currency": "EUR"}}, {"amount": 0.1}, {"value": {"amount": 0.1, "currency": "EUR"}}, ()),
        ("opportunities", {"value": {"amount": "500.00", "currency": "EUR"}}, {"amount": 500.0}, {}, ()),
        ("opportunities", {"value": {"amount": "much", "currency": "EUR"}}, {"currency": "GBP"}, MUCH, ()),
        ("opportunities", {"value": {"amount": 500, "currency": "EUR"}}, {"currency": None, "amount": None}, NO_VALUE, ()),
        # Parties of a deal.
        ("opportunities", None, {"contact": [{"id": "1"}, {"id": "2"}], "account": {"id": "9"}}, {"party": {"id": 1}}, (2,)),
        ("opportunities", capsule.OPPORTUNITY, {"contact": [{"id": "77"}, {"id": "78"}]}, {"party": {"id": 77}}, (78,)),
        ("opportunities", capsule.OPPORTUNITY, {"account": {"id": "9"}}, {"party": {"id": 9}}, ()),
        ("opportunities", capsule.OPPORTUNITY, {"account": {"id": "9"}, "contact": [{"id": "11587"}]}, {}, ()),
        ("opportunities", PARTY_OF_ORGANISATION, {"account": {"id": "892"}, "contact": [{"id": "4"}]}, {}, (4,)),
        ("opportunities", capsule.OPPORTUNITY, {"account": None, "contact": None}, {}, ()),
        (
            "opportunities",
            {**capsule.OPPORTUNITY, "additionalParties": [{"id": "5"}, None, {"id": 6}]},
            {"contact": [{"id": "5"}, {"id": "6"}]},
            {"party": {"id": 5}},
            (),
        ),
        # The one parent of a task.
        ("tasks", PARENTLESS, {"account": {"id": "9"}}, {"party": {"id": 9}}, ()),
        ("tasks", PARENTLESS, {"contact": [{"id": "9"}], "account": {"id": "9"}}, {"party": {"id": 9}}, ()),
        ("tasks", capsule.TASK, {"account": {"id": "9"}}, {"party": {"id": 9}}, ()),
        ("tasks", capsule.TASK, {"contact": [{"id": "11587"}]}, {}, ()),
        ("tasks", EMPLOYED, {"account": {"id": "892"}}, {}, ()),
        ("tasks", EMPLOYED, {"account": {"id": "892"}, "contact": []}, {"party": None}, ()),
        ("tasks", EMPLOYED, {"account": {"id": "892"}, "project": {"id": "5"}}, {"party": None, "kase": {"id": 5}}, ()),
        ("tasks", EMPLOYED, {"account": None, "contact": [{"id": "892"}]}, {}, ()),
        ("tasks", OF_ORGANISATION, {"contact": []}, {}, ()),
        ("tasks", OF_ORGANISATION, {"account": None}, {"party": None}, ()),
        ("tasks", OF_ORGANISATION, {"account": {"id": "892"}, "contact": []}, {}, ()),
        ("tasks", OF_DEAL, {"opportunity": []}, {"opportunity": None}, ()),
        ("tasks", OF_DEAL, {"project": None}, {}, ()),
        ("tasks", OF_DEAL, {"opportunity": None, "contact": [{"id": "4"}]}, {"party": {"id": 4}, "opportunity": None}, ()),
        ("tasks", {**PARENTLESS, "kase": {"id": 5}}, {"project": None}, {"kase": None}, ()),
        # Words and times of a task.
        ("tasks", {**capsule.TASK, "status": "PENDING"}, {"status": "open"}, {}, ()),
        ("tasks", {**capsule.TASK, "status": "PENDING"}, {"status": "completed"}, {"status": "COMPLETED"}, ()),
        ("tasks", capsule.TASK, {"status": None}, {}, ()),
        ("tasks", {**capsule.TASK, "status": "COMPLETED"}, {"status": "open"}, {"status": "OPEN"}, ()),
        ("tasks", capsule.TASK, {"completed_at": "2026-01-01T00:00:00Z"}, {"completedAt": "2026-01-01T00:00:00Z"}, ()),
        ("tasks", capsule.TASK, {"owner": {"id": "7"}}, {"owner": {"id": 7}}, ()),
        ("tasks", {**capsule.TASK, "dueTime": "09:30:00"}, {"due_date": "2025-07-20T08:30:00Z"}, {}, ()),
        ("tasks", {**capsule.TASK, "dueTime": None}, {"due_date": "2025-07-20T08:30:00Z"}, {"dueTime": "09:30"}, ()),
        # Notes and engagements.
        ("notes", capsule.NOTE, {"title": "Hello"}, {"subject": "Hello"}, ()),
        ("engagements", capsule.NOTE, {"subject": "Hello", "content": "Dear"}, {"subject": "Hello", "content": "Dear"}, ()),
        ("engagements", capsule.NOTE, {"start_time": "2016-01-01T00:00:00Z"}, {"entryAt": "2016-01-01T00:00:00Z"}, ()),
        ("engagements", capsule.NOTE, {"engagement_type": None}, {}, ()),
        ("engagements", capsule.NOTE, {"engagement_type_id": "-1"}, {}, ()),
        ("engagements", capsule.NOTE, {"engagement_type": "call", "engagement_type_id": "77"}, {"activityType": {"id": 77}}, ()),
        ("engagements", {**capsule.NOTE, "activityType": None}, {"engagement_type": "note"}, {"activityType": {"id": -1}}, ()),
        ("engagements", capsule.NOTE, {"engagement_type": "meeting"}, {"activityType": {"id": -2}}, ()),
    ],
)
def test_what_is_put_beside_the_record_as_it_is(
    model: str, now: dict[str, Any] | None, body: dict[str, Any], put: dict[str, Any], others: tuple[int, ...]
) -> None:
    change = CASES[model][2](sent.checked(model, body, creating=False), now)
    assert (change.body, change.parties) == (put, others)


def test_a_whole_amount_is_written_without_a_point() -> None:
    assert repr(plan("opportunities", {"amount": 600.0})) == "{'value': {'amount': 600, 'currency': 'GBP'}}"
