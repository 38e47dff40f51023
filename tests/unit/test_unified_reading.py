"""Capsule -> unified: every row of the tables of reference/unified-crm.md §5, with bodies of the reference as input."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mapping.errors import UnreadableRecord
from mapping.unified import deals, definitions, entries, parties, people, shapes, work
from mapping.unified.parts import Definition, Definitions
from tests.unit import unified_answers as answers
from tests.unit import unified_samples as capsule

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = definitions.definitions(capsule.DEFINITIONS)
NAMED = {"industry": "Industry Sector", "number_of_employees": "Seats"}

# Called by the tests and not here: a test of mutants sees only what happens within a test.
ACCOUNT = partial(parties.account, capsule.ORGANISATION, KNOWN, named_fields=NAMED)
CONTACT = partial(parties.contact, capsule.PERSON, KNOWN)
OPPORTUNITY = partial(deals.opportunity, capsule.OPPORTUNITY, KNOWN, milestone=capsule.MILESTONE)
PROJECT = partial(work.project, capsule.KASE, KNOWN, stage=capsule.STAGE)
TASK = partial(work.task, capsule.TASK, timezone="Europe/London")
NOTE = partial(entries.note, capsule.NOTE)
EMAIL = partial(entries.engagement, capsule.EMAIL)
PIPELINE = partial(deals.pipeline, {"id": 10, "name": "SMB clients", "deleted": True}, [capsule.MILESTONE], entity="opportunity")
STAGE = partial(deals.stage, capsule.MILESTONE, entity="opportunity", position=2)
BOARD_STAGE = partial(deals.stage, capsule.STAGE, entity="project", position=7)
FIELD = partial(definitions.field, capsule.DEFINITIONS[1], KNOWN, entity="parties", model="account")
USER = partial(people.user, capsule.USER)
MEMBER = partial(people.directory_user, capsule.USER)
ACTIVITY = partial(entries.engagement_type, capsule.ACTIVITY)
BUILT_IN = partial(definitions.built_in, "first_name", "string", "contact")
BARE = {"id": 5}
TED = {"id": "61", "name": "Ted Danson"}
ZESTIA = {"id": "892", "name": "Zestia"}
SCOTT = {"id": "11587", "name": "Scott Spacey"}

ROWS: list[tuple[str, Callable[[], dict[str, Any]], dict[str, Any]]] = [
    ("account id", ACCOUNT, {"id": "892"}),
    ("account name", ACCOUNT, {"name": "Zestia"}),
    ("account description", ACCOUNT, {"description": "A note about it"}),
    ("account website", ACCOUNT, {"website": "https://www.zestia.com"}),
    ("account industry from a custom field", ACCOUNT, {"industry": "Technology"}),
    ("account headcount from a custom field", ACCOUNT, {"number_of_employees": 12}),
    ("account owner", ACCOUNT, {"owner": TED}),
    ("account team", ACCOUNT, {"team": {"id": "3", "name": "The North"}}),
    ("account last activity", ACCOUNT, {"last_activity_at": "2015-09-17T10:00:00Z"}),
    ("account created and updated", ACCOUNT, {"created_at": "2015-09-15T10:43:23Z", "updated_at": "2015-09-16T09:12:04Z"}),
    ("account picture", ACCOUNT, {"picture_url": "https://pics.example/one", "missing_important_fields": False}),
    (
        "address",
        ACCOUNT,
        {
            "addresses": [
                {
                    "id": "12135",
                    "street_1": "847 North Rush Street",
                    "street_2": "Second floor",
                    "city": "Chicago",
                    "state": "IL",
                    "postal_code": "65629",
                    "country": "United States",
                    "type": "office",
                }
            ]
        },
    ),
    (
        "phone",
        CONTACT,
        {
            "phone_numbers": [
                {"id": "12133", "number": "773-338-7786", "extension": None, "type": "direct"},
                {"id": "12136", "number": "+44 20 1", "extension": None, "type": None},
            ]
        },
    ),
    (
        "e-mail",
        CONTACT,
        {
            "email_addresses": [
                {"id": "12134", "email": "scott@homestyleshop.co", "type": "work", "is_primary": True},
                {"id": "12137", "email": "scott@home.example", "type": "home", "is_primary": False},
            ]
        },
    ),
    (
        "url",
        CONTACT,
        {
            "urls": [
                {
                    "id": "106",
                    "url": "https://twitter.com/capsulecrm",
                    "type": "home",
                    "service": "twitter",
                    "handle": "capsulecrm",
                },
                {"id": "107", "url": "https://www.zestia.com", "type": None, "service": "url", "handle": "www.zestia.com"},
            ]
        },
    ),
    (
        "tag",
        CONTACT,
        {
            "tags": [
                {"id": "1199", "name": "Customer", "is_data_tag": True},
                {"id": "1200", "name": "VIP", "is_data_tag": False},
            ]
        },
    ),
    (
        "custom fields by name, two of one name by their data tag, a number as a number",
        CONTACT,
        {
            "custom_fields": {
                "Interests": "Skiing",
                "Seats": 12,
                "Renewal (Member)": "2026-12-01",
                "Renewal (Supplier)": "2027-01-01",
                "Industry Sector": "Technology",
            }
        },
    ),
    ("contact names", CONTACT, {"first_name": "Scott", "last_name": "Spacey", "name": "Scott Spacey"}),
    ("contact title is the job title", CONTACT, {"title": "Managing Director", "salutation": "Mr"}),
    ("contact account", CONTACT, {"account": ZESTIA}),
    ("contact about", CONTACT, {"description": "A note about it", "owner": TED}),
    (
        "opportunity names",
        OPPORTUNITY,
        {"id": "12", "name": "Consulting", "description": "Scope and design web site shopping cart"},
    ),
    ("opportunity value", OPPORTUNITY, {"amount": 500, "currency": "GBP", "total_amount": 3000, "weighted_amount": 1500}),
    ("opportunity duration", OPPORTUNITY, {"duration": 6, "duration_basis": "MONTH"}),
    ("opportunity owner", OPPORTUNITY, {"owner": TED, "team": {"id": "3", "name": "The North"}}),
    (
        "opportunity parties",
        OPPORTUNITY,
        {"account": ZESTIA, "contact": [SCOTT], "primary_party": {"id": "11587", "type": "person"}},
    ),
    ("opportunity stage", OPPORTUNITY, {"stage": {"id": "opportunity:14", "name": "Bid"}}),
    ("opportunity pipeline", OPPORTUNITY, {"pipeline": {"id": "opportunity:10", "name": "SMB clients"}, "status": "open"}),
    ("opportunity dates", OPPORTUNITY, {"close_date": "2015-10-31", "expected_close_date": "2015-10-31", "closed_on": None}),
    ("opportunity probability", OPPORTUNITY, {"probability": 50, "lost_reason": {"id": "99", "name": "Abandoned"}}),
    ("opportunity history", OPPORTUNITY, {"last_stage_changed_at": "2015-10-29T13:00:00Z"}),
    ("opportunity last open stage", OPPORTUNITY, {"last_open_stage": {"id": "opportunity:14", "name": "Bid"}}),
    ("opportunity labels", OPPORTUNITY, {"custom_fields": {"Interests": "Skiing"}, "missing_important_fields": True}),
    ("opportunity moments", OPPORTUNITY, {"last_activity_at": "2015-10-30T08:00:00Z", "created_at": "2015-10-29T12:55:12Z"}),
    ("pipeline", PIPELINE, {"id": "opportunity:10", "remote_id": "10", "name": "SMB clients", "entity": "opportunity"}),
    ("pipeline archived", PIPELINE, {"is_archived": True}),
    (
        "pipeline stages",
        PIPELINE,
        {"stages": [{"id": "opportunity:14", "name": "Bid", "status": "active", "pipeline": {"id": "opportunity:10"}}]},
    ),
    ("stage", STAGE, {"id": "opportunity:14", "name": "Bid", "position": 2, "status": "active", "entity": "opportunity"}),
    ("stage pipeline", STAGE, {"pipeline": {"id": "opportunity:10", "name": "SMB clients"}, "remote_id": "14"}),
    ("stage more", STAGE, {"description": "An offer was made", "probability": 50, "is_closed": False, "days_until_stale": 12}),
    ("board stage", BOARD_STAGE, {"id": "project:271006", "position": 1, "pipeline": {"id": "project:34", "name": "Projects"}}),
    ("project names", PROJECT, {"id": "5588202", "name": "Research", "description": "Designing shopping cart website"}),
    (
        "project parties",
        PROJECT,
        {"contact": [SCOTT], "account": None, "opportunity": [{"id": "83948362", "name": "Shopping cart"}]},
    ),
    ("project stage", PROJECT, {"stage": {"id": "project:271006", "name": "Planning"}, "status": "open"}),
    ("project pipeline", PROJECT, {"pipeline": {"id": "project:34", "name": "Projects"}}),
    ("project dates", PROJECT, {"close_date": "2015-12-09", "start_date": "2025-10-20", "closed_on": None}),
    ("project owner and nothing of money", PROJECT, {"owner": TED, "amount": None, "currency": None}),
    ("project labels", PROJECT, {"custom_fields": {"Interests": "Skiing"}, "last_activity_at": "2025-10-15T00:00:00Z"}),
    ("task words", TASK, {"id": "147248893", "subject": "Ring back", "content": "About the offer"}),
    ("task type", TASK, {"type": {"id": "1", "name": "Call", "colour": "#d16c1a"}, "owner": TED}),
    ("task parents", TASK, {"contact": [SCOTT], "account": None, "opportunity": [], "project": None}),
    (
        "task due in its owner's time zone",
        TASK,
        {"due_date": "2025-07-20T08:30:00Z", "due_on": "2025-07-20", "due_time": "09:30"},
    ),
    ("task status", TASK, {"status": "open", "remote_status": "OPEN", "completed_by": "ted"}),
    ("task completion", TASK, {"completed_at": "2025-07-19T10:00:00Z", "has_track": False}),
    ("task repeat", TASK, {"repeat": {"interval": 1, "frequency": "WEEKLY", "on": -1}}),
    ("note", NOTE, {"id": "11", "title": None, "content": "They liked it", "owner": TED, "visibility": "public"}),
    ("note parent", NOTE, {"account": ZESTIA, "contact": [], "opportunity": [], "project": None}),
    ("note moments", NOTE, {"entry_at": "2015-12-06T16:54:27Z", "created_at": "2015-12-07T16:54:27Z"}),
    (
        "attachments",
        NOTE,
        {"attachments": [{"id": "4", "filename": "works.pdf", "content_type": "application/pdf", "size": 5557452}]},
    ),
    ("e-mail as an engagement", EMAIL, {"engagement_type": "email", "subject": "The offer", "content": "Dear Scott"}),
    ("engagement parties", EMAIL, {"contact": [SCOTT, {"id": "11588", "name": "Ann"}], "account": None}),
    (
        "engagement parents",
        EMAIL,
        {"opportunity": [{"id": "12", "name": "Consulting"}], "project": {"id": "5588202", "name": "Research"}},
    ),
    ("engagement start", EMAIL, {"start_time": "2015-12-07T16:54:27Z", "end_time": None, "direction": None}),
    ("participants", EMAIL, {"participants": [{"id": "1", "name": "Scott", "email": "scott@homestyleshop.co", "role": "TO"}]}),
    ("note as an engagement", partial(entries.engagement, capsule.NOTE), {"engagement_type": "note", "engagement_type_id": "-1"}),
    (
        "engagement type",
        ACTIVITY,
        {"id": "-3", "type": "call", "name": "Telephone", "is_system": True, "updates_last_contacted": True},
    ),
    ("field", FIELD, {"id": "party:47", "name": "Industry Sector", "label": "Industry Sector", "type": "enum"}),
    ("field entity", FIELD, {"entity_type": "account", "field_groups": [{"id": "1499", "name": "Lead"}], "is_important": False}),
    ("user", USER, {"id": "1", "name": "Scott Spacey", "email": "scott@homestyleshop.co", "is_active": True, "party_id": "7"}),
    ("user more", USER, {"username": "scott", "timezone": "Europe/London", "locale": "en_GB", "currency": "EUR"}),
    ("directory user", MEMBER, {"first_name": "Scott", "last_name": "Spacey", "title": "Owner", "status": "active"}),
    ("directory roles", MEMBER, {"roles": [{"id": "owner", "name": "owner"}], "last_login_at": "2015-12-11T14:01:15Z"}),
    ("directory picture", MEMBER, {"avatar": "https://pics.example/user", "username": "scott", "external_id": None}),
]


EMPTY_ADDRESS = dict.fromkeys(answers.PARTY["addresses"][0])
# What the filled samples do not show.
ROWS += [
    (
        "the line break of a street may be of two characters",
        partial(
            parties.contact,
            {**capsule.PERSON, "addresses": [{"street": "Building X\r\nFlat 2\nBell 3"}, {"street": "1 Road \r\nFlat 2"}]},
            KNOWN,
        ),
        {
            "addresses": [
                {**EMPTY_ADDRESS, "street_1": "Building X", "street_2": "Flat 2\nBell 3"},
                {**EMPTY_ADDRESS, "street_1": "1 Road ", "street_2": "Flat 2"},
            ]
        },
    ),
    (
        "a website that Capsule made no address of",
        partial(parties.account, {**capsule.ORGANISATION, "websites": [{"service": "url", "address": "zestia.com"}]}, KNOWN),
        {
            "website": "zestia.com",
            "urls": [{"id": None, "url": "zestia.com", "type": None, "service": "url", "handle": "zestia.com"}],
        },
    ),
    (
        "a social account is no website",
        partial(parties.account, {**capsule.ORGANISATION, "websites": capsule.SHARED["websites"][:1]}, KNOWN),
        {"website": None},
    ),
    (
        "a website without anything typed",
        partial(parties.account, {**capsule.ORGANISATION, "websites": [{"url": "https://z.example"}]}, KNOWN),
        {
            "website": None,
            "urls": [{"id": None, "url": "https://z.example", "type": None, "service": None, "handle": None}],
        },
    ),
    (
        "ids that are none",
        partial(parties.account, {**capsule.ORGANISATION, "tags": [{"id": True, "name": "a"}, {"id": "7", "name": "b"}]}, KNOWN),
        {"tags": [{"id": None, "name": "a", "is_data_tag": None}, {"id": None, "name": "b", "is_data_tag": None}]},
    ),
    (
        "custom fields that are not known, and a number that is none",
        partial(
            parties.account,
            {
                **capsule.ORGANISATION,
                "fields": [
                    {"definition": {"id": 48, "name": "Seats"}, "value": "a dozen"},
                    {"definition": {"id": 77, "name": "New"}, "value": "12"},
                ],
            },
            KNOWN,
            named_fields={"number_of_employees": "Seats", "industry": "Nothing"},
        ),
        {
            "custom_fields": {"Seats": "a dozen", "New": "12"},
            "custom_field_details": [
                {"field_id": "48", "name": "Seats", "value": "a dozen", "tag_id": None, "value_id": None},
                {"field_id": "77", "name": "New", "value": "12", "tag_id": None, "value_id": None},
            ],
            "industry": None,
            "number_of_employees": None,
        },
    ),
    ("an account without named fields", partial(parties.account, capsule.ORGANISATION, KNOWN), {"number_of_employees": None}),
    (
        "an industry that is no text",
        partial(parties.account, capsule.ORGANISATION, KNOWN, named_fields={"industry": "Seats"}),
        {"industry": None, "number_of_employees": None},
    ),
    (
        "an opportunity of an organisation, with the stage that it holds itself",
        partial(deals.opportunity, {**capsule.OPPORTUNITY, "party": capsule.ORGANISATION_REF}, KNOWN),
        {
            "account": ZESTIA,
            "contact": [],
            "primary_party": {"id": "892", "type": "organisation"},
            "stage": {"id": "opportunity:14", "name": "Bid"},
            "pipeline": None,
            "status": None,
        },
    ),
    (
        "an opportunity per month whose months are not told",
        partial(deals.opportunity, {**capsule.OPPORTUNITY, "durationBasis": "month", "duration": None}, KNOWN),
        {"total_amount": 500, "weighted_amount": 250, "duration_basis": "MONTH", "duration": None},
    ),
    (
        "an opportunity without a probability",
        partial(deals.opportunity, {**capsule.OPPORTUNITY, "probability": None}, KNOWN),
        {"total_amount": 3000, "weighted_amount": None, "probability": None},
    ),
    (
        "an archived pipeline with an archived stage",
        partial(deals.pipeline, {"id": 34, "archived": True}, [{"id": 4, "deleted": True}], entity="project"),
        {
            "is_archived": True,
            "stages": [{"id": "project:4", "name": None, "status": "inactive", "pipeline": {"id": "project:34"}}],
        },
    ),
    (
        "a pipeline that is not deleted",
        partial(deals.pipeline, {"id": 34, "deleted": False, "archived": False}, [], entity="project"),
        {"is_archived": False, "stages": []},
    ),
    (
        "a stage of which only its list tells the pipeline",
        partial(deals.stage, {"id": 4, "displayOrder": 0}, entity="project", position=2, pipeline_of={"id": 34, "name": "Moves"}),
        {"position": 0, "pipeline": {"id": "project:34", "name": "Moves"}},
    ),
    (
        "a stage that names its own pipeline",
        partial(deals.stage, capsule.MILESTONE, entity="opportunity", position=2, pipeline_of={"id": 34, "name": "Moves"}),
        {"pipeline": {"id": "opportunity:10", "name": "SMB clients"}},
    ),
    (
        "a closed project of an organisation, without an opportunity, with the stage that it holds itself",
        partial(
            work.project,
            {
                **capsule.KASE,
                "party": capsule.ORGANISATION_REF,
                "status": "CLOSED",
                "closedOn": "2026-01-02",
                "opportunity": None,
            },
            KNOWN,
            others=[capsule.PERSON_REF, capsule.ORGANISATION_REF],
        ),
        {
            "account": ZESTIA,
            "contact": [SCOTT],
            "opportunity": [],
            "stage": {"id": "project:271006", "name": "Planning"},
            "pipeline": None,
            "status": "closed",
            "close_date": "2026-01-02",
            "expected_close_date": "2015-12-09",
            "closed_on": "2026-01-02",
        },
    ),
    (
        "a task of an opportunity and a kase, without type and repeat",
        partial(
            work.task,
            {**capsule.TASK, "category": None, "repeat": None, "opportunity": {"id": 12, "name": "Deal"}, "kase": {"id": 5}},
        ),
        {"type": None, "repeat": None, "opportunity": [{"id": "12", "name": "Deal"}], "project": {"id": "5", "name": None}},
    ),
    (
        "an activity type by its name",
        partial(entries.engagement_type, {"id": 77, "name": "EMail"}),
        {"id": "77", "type": "email", "name": "EMail"},
    ),
    (
        "an entry of a kind without an activity type",
        partial(entries.engagement, {"id": 9, "type": "sms"}),
        {"engagement_type": "sms", "engagement_type_id": None, "notes": []},
    ),
    (
        "a task that was done, whatever its activity type",
        partial(entries.engagement, {"id": 9, "type": "task", "activityType": {"id": -3, "name": "Call"}}),
        {"engagement_type": "task", "engagement_type_id": "-3", "notes": []},
    ),
    (
        "an e-mail that was given an activity type",
        partial(entries.engagement, {"id": 9, "type": "email", "activityType": {"id": 77, "name": "Letter"}}),
        {"engagement_type": "email", "engagement_type_id": "77", "notes": []},
    ),
    (
        "a note of the activity type of notes",
        partial(entries.engagement, capsule.NOTE),
        {"engagement_type": "note", "engagement_type_id": "-1", "notes": [{"id": "11"}]},
    ),
    (
        "a plain note is a note and an engagement",
        partial(entries.engagement, {"id": 9, "type": "note"}),
        {"engagement_type": "note", "notes": [{"id": "9"}]},
    ),
    (
        "an entry of several parties, one of them twice",
        partial(
            entries.note,
            {**capsule.NOTE, "party": capsule.PERSON_REF, "parties": [capsule.PERSON_REF, capsule.ORGANISATION_REF, {"id": 4}]},
        ),
        {"account": ZESTIA, "contact": [SCOTT, {"id": "4", "name": None}]},
    ),
    (
        "of two organisations the party itself is the account",
        partial(
            entries.note,
            {
                **capsule.NOTE,
                "parties": [
                    {"id": 5, "type": "organisation", "name": "Other"},
                    {**capsule.PERSON_REF, "id": 6},
                    {**capsule.PERSON_REF, "id": 6},
                ],
            },
        ),
        {"account": ZESTIA, "contact": [{"id": "6", "name": "Scott Spacey"}]},
    ),
    (
        "a field that is chosen from a list or is a link",
        partial(definitions.field, {"id": 52, "type": "LINK", "options": None}, KNOWN, entity="parties", model="contact"),
        {"type": "string", "format": "url", "options": [], "name": "Contract", "label": None},
    ),
    (
        "a field that was defined a moment ago",
        partial(definitions.field, {"id": 99, "name": "New", "type": "multi"}, KNOWN, entity="parties", model="contact"),
        {"name": "New", "label": "New", "type": "multi"},
    ),
    ("the built-in field that tells records apart", partial(definitions.built_in, "id", "string", "task"), {"is_unique": True}),
    (
        "a user whose party was read beside it",
        partial(people.user, {**capsule.USER, "status": ""}, party={"id": 9, "emailAddresses": [{"address": "o@x.example"}]}),
        {"email": "o@x.example", "party_id": "9", "is_active": True},
    ),
    (
        "a member whose party was read beside it",
        partial(
            people.directory_user,
            {**capsule.USER, "pictureURL": None, "roles": {"isAccountOwner": False}},
            party={"id": 9, "firstName": "Own", "pictureURL": "https://pics.example/own"},
        ),
        {
            "first_name": "Own",
            "last_name": None,
            "emails": [],
            "phones": [],
            "avatar": "https://pics.example/own",
            "roles": [{"id": "user", "name": "user"}],
        },
    ),
    (
        "an owner who is an administrator too",
        partial(people.directory_user, {**capsule.USER, "roles": {"isAccountAdmin": True, "isAccountOwner": True}}),
        {"roles": [{"id": "owner", "name": "owner"}, {"id": "admin", "name": "admin"}]},
    ),
]


@pytest.mark.parametrize(("answered", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_row_of_the_tables(answered: Callable[[], dict[str, Any]], wanted: dict[str, Any]) -> None:
    record = answered()
    assert {name: record[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("answered", "wanted"),
    [
        (ACCOUNT, answers.ACCOUNT),
        (CONTACT, answers.CONTACT),
        (OPPORTUNITY, answers.OPPORTUNITY),
        (PROJECT, answers.PROJECT),
        (TASK, answers.TASK),
        (NOTE, answers.NOTE),
        (EMAIL, answers.EMAIL),
        (PIPELINE, answers.PIPELINE),
        (STAGE, answers.STAGE),
        (BOARD_STAGE, answers.BOARD_STAGE),
        (FIELD, answers.FIELD),
        (BUILT_IN, answers.BUILT_IN),
        (USER, answers.USER),
        (MEMBER, answers.MEMBER),
        (ACTIVITY, answers.ACTIVITY),
    ],
    ids=lambda value: value.func.__name__ if isinstance(value, partial) else "",
)
def test_what_is_answered_for_a_filled_record_whole(answered: Callable[[], dict[str, Any]], wanted: dict[str, Any]) -> None:
    assert answered() == wanted


@pytest.mark.parametrize(
    ("shape", "answered"),
    [
        (shapes.Account, ACCOUNT),
        (shapes.Contact, CONTACT),
        (shapes.Opportunity, OPPORTUNITY),
        (shapes.Project, PROJECT),
        (shapes.Task, TASK),
        (shapes.Note, NOTE),
        (shapes.Engagement, EMAIL),
        (shapes.EngagementType, ACTIVITY),
        (shapes.Pipeline, PIPELINE),
        (shapes.Stage, STAGE),
        (shapes.Stage, BOARD_STAGE),
        (shapes.FieldShape, FIELD),
        (shapes.FieldShape, BUILT_IN),
        (shapes.User, USER),
        (shapes.DirectoryUser, MEMBER),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_is_answered_is_of_its_shape_and_leaves_no_field_out(
    shape: type[shapes.Common], answered: Callable[[], dict[str, Any]]
) -> None:
    record = answered()
    shape.model_validate(record)
    added_later = {"remote_data", "remote_url", "synced_at"}
    assert set(record) == set(shape.model_fields) - added_later


@pytest.mark.parametrize(
    ("shape", "answered", "told"),
    [
        (shapes.Account, partial(parties.account, {**BARE, "type": "organisation"}, Definitions()), {"id": "5"}),
        (
            shapes.Contact,
            partial(parties.contact, {**BARE, "type": "person"}, Definitions()),
            {"id": "5", "etag": "00ec41d0b3c4b9fbc6d68c4d92f25383"},
        ),
        (shapes.Opportunity, partial(deals.opportunity, BARE, Definitions()), {"id": "5", "duration_basis": "FIXED"}),
        (shapes.Project, partial(work.project, BARE, Definitions()), {"id": "5"}),
        (shapes.Task, partial(work.task, BARE), {"id": "5", "etag": "f6264f546272fcaeeb2c5f0a7f51ecf7"}),
        (shapes.Note, partial(entries.note, BARE), {"id": "5", "visibility": "public"}),
        (shapes.Engagement, partial(entries.engagement, BARE), {"id": "5"}),
        (shapes.EngagementType, partial(entries.engagement_type, BARE), {"id": "5"}),
        (
            shapes.Pipeline,
            partial(deals.pipeline, BARE, [], entity="project"),
            {"id": "project:5", "remote_id": "5", "entity": "project", "is_archived": False},
        ),
        (
            shapes.Stage,
            partial(deals.stage, BARE, entity="project", position=3),
            {"id": "project:5", "remote_id": "5", "position": 3, "status": "active", "entity": "project"},
        ),
        (
            shapes.FieldShape,
            partial(definitions.field, BARE, Definitions(), entity="opportunities", model="opportunity"),
            {
                "id": "opportunity:5",
                "remote_id": "5",
                "name": "",
                "is_required": False,
                "is_editable": True,
                "is_user_defined": True,
                "entity_type": "opportunity",
            },
        ),
        (shapes.User, partial(people.user, BARE), {"id": "5", "is_active": True}),
        (shapes.DirectoryUser, partial(people.directory_user, BARE), {"id": "5", "status": "active"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_of_a_record_with_an_id_alone_every_other_field_is_empty(
    shape: type[shapes.Common], answered: Callable[[], dict[str, Any]], told: dict[str, Any]
) -> None:
    record = answered()
    shape.model_validate(record)
    assert {name: value for name, value in record.items() if value not in (None, [], {})} == told


@pytest.mark.parametrize("path", sorted(Path("tests/payloads").glob("*.json")), ids=lambda path: path.stem)
def test_every_payload_of_the_reference_is_read(path: Path) -> None:
    delivery = json.loads(path.read_text())
    read: dict[str, Callable[[Any], dict[str, Any]]] = {
        "party": lambda body: (parties.account if body["type"] == "organisation" else parties.contact)(body, Definitions()),
        "opportunity": lambda body: deals.opportunity(body, Definitions()),
        "kase": lambda body: work.project(body, Definitions()),
        "task": work.task,
        "user": people.user,
    }
    kind = delivery["event"].partition("/")[0]
    for body in delivery["payload"]:
        if "deletedAt" not in body:
            assert read[kind](body)["id"] == str(body["id"])


@pytest.mark.parametrize(
    ("milestone", "status"),
    [
        ({"id": 3, "name": "Won", "complete": True, "probability": 100}, "won"),
        ({"id": 4, "name": "Lost", "complete": True, "probability": 0}, "lost"),
        ({"id": 5, "name": "Parked", "complete": True, "probability": 30}, "closed"),
        ({"id": 5, "name": "Odd", "complete": True, "probability": None}, "closed"),
        ({"id": 1, "name": "New", "complete": False, "probability": 100}, "open"),
        ({"id": 1, "name": "New"}, None),
    ],
)
def test_the_status_follows_from_the_milestone(milestone: dict[str, Any], status: str | None) -> None:
    assert deals.opportunity(capsule.OPPORTUNITY, KNOWN, milestone=milestone)["status"] == status


def test_a_fixed_amount_is_the_whole() -> None:
    body = {**capsule.OPPORTUNITY, "durationBasis": "FIXED", "duration": 6}
    assert deals.opportunity(body, KNOWN)["total_amount"] == 500


def test_without_a_value_there_is_no_amount() -> None:
    found = deals.opportunity({**capsule.OPPORTUNITY, "value": None}, KNOWN)
    assert [found[name] for name in ("amount", "currency", "total_amount", "weighted_amount")] == [None] * 4


def test_a_closed_deal_closes_on_its_closing_day() -> None:
    found = deals.opportunity({**capsule.OPPORTUNITY, "closedOn": "2015-11-12"}, KNOWN)
    assert (found["close_date"], found["expected_close_date"], found["closed_on"]) == ("2015-11-12", "2015-10-31", "2015-11-12")


def test_additional_people_are_contacts_and_additional_organisations_are_not() -> None:
    others = deals.additional({"parties": [capsule.ORGANISATION_REF, {**capsule.PERSON_REF, "id": 5}]})
    found = deals.opportunity(capsule.OPPORTUNITY, KNOWN, others=others)
    assert found["contact"] == [SCOTT, {"id": "5", "name": "Scott Spacey"}]


def test_the_name_private_of_a_hidden_record_is_never_told() -> None:
    hidden = {"id": 5, "type": "organisation", "name": "Private", "isRestricted": True}
    assert parties.contact({**capsule.PERSON, "organisation": hidden}, KNOWN)["account"] == {"id": "5", "name": None}


@pytest.mark.parametrize(
    ("clock", "timezone", "due"),
    [
        ("09:30", "Europe/London", "2025-07-20T08:30:00Z"),
        ("09:30:15", "America/New_York", "2025-07-20T13:30:15Z"),
        (None, "Europe/London", "2025-07-20"),
        ("09:30", None, "2025-07-20"),
        ("09:30", "Nowhere/None", "2025-07-20"),
        ("half nine", "Europe/London", "2025-07-20"),
    ],
)
def test_a_task_is_due_at_a_moment_only_where_all_is_known(clock: str | None, timezone: str | None, due: str) -> None:
    assert work.task({**capsule.TASK, "dueTime": clock}, timezone=timezone)["due_date"] == due


@pytest.mark.parametrize(
    ("remote", "status"), [("OPEN", "open"), ("COMPLETED", "completed"), ("PENDING", "open"), ("ODD", "odd")]
)
def test_the_status_of_a_task(remote: str, status: str) -> None:
    found = work.task({**capsule.TASK, "status": remote})
    assert (found["status"], found["remote_status"]) == (status, remote)


@pytest.mark.parametrize(
    ("kind", "type_", "format_"),
    [
        ("text", "string", None),
        ("number", "number", None),
        ("date", "date", None),
        ("boolean", "boolean", None),
        ("link", "string", "url"),
        ("multi", "multi", None),
    ],
)
def test_the_types_of_fields(kind: str, type_: str, format_: str | None) -> None:
    found = definitions.field({"id": 1, "name": "One", "type": kind}, Definitions(), entity="kases", model="project")
    assert (found["type"], found["format"], found["id"]) == (type_, format_, "kase:1")


@pytest.mark.parametrize(
    ("body", "entity", "models"),
    [
        ({"captureRule": "person"}, "parties", ("contact",)),
        ({"captureRule": "organisation"}, "parties", ("account",)),
        ({"captureRule": None}, "parties", ("contact", "account")),
        ({}, "opportunities", ("opportunity",)),
        ({"captureRule": "person"}, "kases", ("project",)),
    ],
)
def test_under_which_models_a_field_is_listed(body: dict[str, Any], entity: str, models: tuple[str, ...]) -> None:
    assert definitions.applies(body, entity) == models


def test_the_key_of_a_field_is_its_name_as_long_as_that_is_the_only_one() -> None:
    lead, member = {"id": 1499, "name": "Lead"}, {"id": 1500, "name": "Member"}
    bodies: list[dict[str, Any]] = [
        {"id": 1, "name": "Plan", "type": "TEXT"},
        {"id": 2, "name": "Plan", "type": "number", "tag": lead},
        {"id": 3, "name": "Plan", "type": "date", "tag": member},
        {"id": 4, "name": "Plan"},
        {"id": 5, "name": "Size", "type": "list", "tag": lead},
        {"id": 6, "name": "Plan", "type": "list", "tag": lead},
        {"id": 7, "name": "Plan (Member)", "type": "link"},
    ]
    assert definitions.definitions(bodies) == Definitions(
        {
            1: Definition(1, "Plan", kind="text"),
            2: Definition(2, "Plan (Lead)", kind="number", tag_id=1499),
            3: Definition(3, "Plan (Member)", kind="date", tag_id=1500),
            4: Definition(4, "Plan (4)", kind=""),
            5: Definition(5, "Size", kind="list", tag_id=1499),
            6: Definition(6, "Plan (6)", kind="list", tag_id=1499),
            7: Definition(7, "Plan (Member) (7)", kind="link"),
        }
    )


def test_two_fields_of_one_name_without_tags_keep_apart() -> None:
    bodies: list[dict[str, Any]] = [{"id": 1, "name": "Plan", "type": "text"}, {"id": 2, "name": "Plan", "type": "text"}]
    assert sorted(definitions.definitions(bodies).by_key) == ["Plan", "Plan (2)"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"deleted": True}, "deleted"),
        ({"deleted": True, "status": "INVITED"}, "deleted"),
        ({"status": "INVITED"}, "invited"),
        ({"status": "pending"}, "invited"),
        ({"status": "DISABLED"}, "inactive"),
        ({"status": ""}, "active"),
        ({"status": "active", "deleted": False}, "active"),
    ],
)
def test_the_status_of_a_user(change: dict[str, Any], status: str) -> None:
    body = {**capsule.USER, **change}
    assert people.directory_user(body)["status"] == status
    assert people.user(body)["is_active"] == (status == "active")


def test_a_user_without_a_readable_party_has_no_email() -> None:
    assert people.user({**capsule.USER, "party": None})["email"] is None


def test_an_engagement_of_an_own_activity_type_keeps_its_name() -> None:
    body = {**capsule.NOTE, "activityType": {"id": 77, "name": "Site visit"}}
    assert entries.engagement(body)["engagement_type"] == "Site visit"
    assert not entries.is_note(body)


@pytest.mark.parametrize(("number", "word"), [(-1, "note"), (-2, "meeting"), (-3, "call"), (-4, "task")])
def test_built_in_activity_types_by_number(number: int, word: str) -> None:
    assert entries.engagement_type({"id": number, "name": "Renamed"})["type"] == word


def test_a_record_of_the_other_type_is_refused() -> None:
    with pytest.raises(UnreadableRecord):
        parties.account(capsule.PERSON, KNOWN)
    with pytest.raises(UnreadableRecord):
        parties.contact(capsule.ORGANISATION, KNOWN)


def test_the_etag_changes_with_the_record_and_only_with_it() -> None:
    again = parties.contact(dict(reversed(capsule.PERSON.items())), KNOWN)
    other = parties.contact({**capsule.PERSON, "jobTitle": "Director"}, KNOWN)
    assert again["etag"] == CONTACT()["etag"] != other["etag"]


def test_the_time_zone_of_this_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert work.due("2025-07-20", "09:30", "Europe/London") == "2025-07-20T08:30:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_etag_stays_as_it_is_from_one_version_to_the_next() -> None:
    # The first half of the SHA-256 of `{"id":"5","name":"Zoë"}`: another form would make every record new to a product.
    assert parties.with_etag({"name": "Zoë", "id": "5"})["etag"] == "437797002a8567b66f6a97f9e8d3b321"
