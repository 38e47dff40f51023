"""What `explain` shows: the steps that lead to a verdict, and where each value of OfficeRnD's record comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping import officernd
from mapping.judge import judge_attached, judge_opportunity, judge_party
from mapping.plan import Wanted
from mapping.records import Attached, Gone, Opportunity, Organisation, Person
from mapping.trace import Source, Step
from tests.unit.samples import connection, context, opportunity, organisation, person

if TYPE_CHECKING:
    from mapping.rules import Connection

RULE = "member, [vip, london], !internal"
MEMBERS = connection(tags_to_sync=RULE)
ALONE = connection(tags_to_sync=RULE, sync_untagged_contacts=False)
UNTAGGED = [
    ("person 501", "tags_to_sync", "", 'keeps out: tag "internal": no'),
    ("person 501", "tags_to_sync", "", 'tag "member": no'),
    ("person 501", "tags_to_sync", "", 'tags "vip" and "london": no'),
]
NO_TAG = ("person 501", "tags_to_sync", "", f'no tag matches "{RULE}"')
ASKED = ("person 501", "sync_untagged_contacts", "", "sync_untagged_contacts is on, so its organisation decides")
FIRM_IN = [
    ("organisation 701", "tags_to_sync", "", 'keeps out: tag "internal": no'),
    ("organisation 701", "tags_to_sync", "", 'tag "member": yes'),
    ("organisation 701", "tags_to_sync", "in", f'tag "member" matches "{RULE}"'),
]
FIRM_OUT = [
    ("organisation 701", "tags_to_sync", "", 'keeps out: tag "internal": yes'),
    ("organisation 701", "tags_to_sync", "out", f'tag "internal" is excluded by "{RULE}"'),
]
DEAL = ("opportunity 901", "sync_opportunities", "", "sync_opportunities is on, so its party decides")
ITS_TAG = f'its organisation is in: tag "member" matches "{RULE}"'


@pytest.mark.parametrize(
    ("by", "record", "employer", "steps"),
    [
        (MEMBERS, organisation(tags=("member",)), None, FIRM_IN),
        (MEMBERS, organisation(tags=("internal",)), None, FIRM_OUT),
        (
            MEMBERS,
            person(employer=701),
            organisation(tags=("member",)),
            [*UNTAGGED, NO_TAG, ASKED, *FIRM_IN, ("person 501", "sync_untagged_contacts", "in", ITS_TAG)],
        ),
        (
            MEMBERS,
            person(employer=701),
            organisation(tags=("internal",)),
            [
                *UNTAGGED,
                NO_TAG,
                ASKED,
                *FIRM_OUT,
                (
                    "person 501",
                    "sync_untagged_contacts",
                    "out",
                    f'no tag matches "{RULE}", and its organisation is out: tag "internal" is excluded by "{RULE}"',
                ),
            ],
        ),
        (
            MEMBERS,
            person(tags=("internal",), employer=701),
            organisation(tags=("member",)),
            [
                ("person 501", "tags_to_sync", "", 'keeps out: tag "internal": yes'),
                ("person 501", "tags_to_sync", "out", f'tag "internal" is excluded by "{RULE}"'),
            ],
        ),
        (
            ALONE,
            person(employer=701),
            organisation(tags=("member",)),
            [
                *UNTAGGED,
                NO_TAG,
                (
                    "person 501",
                    "sync_untagged_contacts",
                    "out",
                    f'no tag matches "{RULE}", and sync_untagged_contacts is off',
                ),
            ],
        ),
        (
            MEMBERS,
            person(),
            None,
            [
                *UNTAGGED,
                NO_TAG,
                ("person 501", "sync_untagged_contacts", "out", f'no tag matches "{RULE}", and it has no organisation'),
            ],
        ),
        (
            MEMBERS,
            person(employer=701),
            None,
            [
                *UNTAGGED,
                NO_TAG,
                (
                    "person 501",
                    "sync_untagged_contacts",
                    "out",
                    f'no tag matches "{RULE}", and its organisation is deleted in Capsule or hidden from the token\'s user',
                ),
            ],
        ),
        (connection(), person(), None, [("person 501", "tags_to_sync", "in", "tags_to_sync is empty, so every record is in")]),
        (MEMBERS, Gone("party", 7, restricted=False), None, [("party 7", "capsule", "out", "it was deleted in Capsule")]),
        (
            MEMBERS,
            person(isRestricted=True),
            None,
            [("person 501", "capsule", "out", "it is hidden from the token's user in Capsule")],
        ),
    ],
)
def test_every_step_to_the_verdict_on_a_party_is_told(
    by: Connection, record: Person | Organisation | Gone, employer: Organisation | None, steps: list[tuple[str, str, str, str]]
) -> None:
    heard: list[Step] = []
    verdict = judge_party(by, record, employer, heard=heard.append)
    assert [(step.about, step.rule, step.says, step.text) for step in heard] == steps
    assert verdict == judge_party(by, record, employer)


@pytest.mark.parametrize(
    ("by", "party", "employer", "steps"),
    [
        (
            MEMBERS,
            person(employer=701),
            organisation(tags=("member",)),
            [
                DEAL,
                *UNTAGGED,
                NO_TAG,
                ASKED,
                *FIRM_IN,
                ("person 501", "sync_untagged_contacts", "in", ITS_TAG),
                ("opportunity 901", "sync_opportunities", "in", f"its party is in: {ITS_TAG}"),
            ],
        ),
        (
            ALONE,
            person(employer=701),
            organisation(tags=("member",)),
            [
                DEAL,
                *UNTAGGED,
                NO_TAG,
                (
                    "person 501",
                    "sync_untagged_contacts",
                    "out",
                    f'no tag matches "{RULE}", and sync_untagged_contacts is off',
                ),
                *FIRM_IN,
                (
                    "opportunity 901",
                    "sync_opportunities",
                    "in",
                    f'the organisation of its party is in: tag "member" matches "{RULE}"',
                ),
            ],
        ),
        (
            MEMBERS,
            organisation(tags=("internal",)),
            None,
            [
                DEAL,
                *FIRM_OUT,
                (
                    "opportunity 901",
                    "sync_opportunities",
                    "out",
                    f'its party is out: tag "internal" is excluded by "{RULE}"',
                ),
            ],
        ),
        (
            MEMBERS,
            None,
            None,
            [("opportunity 901", "capsule", "out", "its party is deleted in Capsule or hidden from the token's user")],
        ),
        (
            connection(sync_opportunities=False),
            person(),
            None,
            [("opportunity 901", "sync_opportunities", "out", "sync_opportunities is off")],
        ),
    ],
)
def test_every_step_to_the_verdict_on_an_opportunity_is_told(
    by: Connection,
    party: Person | Organisation | None,
    employer: Organisation | None,
    steps: list[tuple[str, str, str, str]],
) -> None:
    heard: list[Step] = []
    judge_opportunity(by, opportunity(), party, employer, heard=heard.append)
    assert [(step.about, step.rule, step.says, step.text) for step in heard] == steps


def test_every_step_to_the_verdict_on_a_task_is_told() -> None:
    heard: list[Step] = []
    task = Attached("task", 9, party_id=701, through=None, restricted=False, raw={})
    judge_attached(MEMBERS, task, organisation(tags=("member",)), None, heard=heard.append)
    assert [(step.about, step.rule, step.says, step.text) for step in heard] == [
        *FIRM_IN,
        ("task 9", "tags_to_sync", "in", f'its party is in: tag "member" matches "{RULE}"'),
    ]


DEFAULT = Source('default_location: no tag leads to a location; it names "London Bridge"', ("tags",))
BY_TAG = Source('locations: its own tag "Member"; it names "Shoreditch"', ("tags",))
BY_FIRM = Source('locations: its organisation\'s tag "Member"; it names "Shoreditch"', ("tags",))
SHOREDITCH = {"Shoreditch": ["east", "Member"]}
ALL = {
    "email": Source("Capsule: the first usable of emailAddresses", ("emailAddresses",)),
    "properties.capsule_link_id": Source("Capsule: id", ("id",)),
    "startDate": Source("Capsule: the day of createdAt", ("createdAt",)),
}
TWITTER = Source("Capsule: the first of websites with the service TWITTER or X", ("websites",))
PHONE = Source("Capsule: the first of phoneNumbers", ("phoneNumbers",))
PERSON = {
    **ALL,
    "name": Source("Capsule: firstName and lastName", ("firstName", "lastName")),
    "phone": PHONE,
    "socialProfiles.twitter": TWITTER,
}
SIZE = Source("Capsule: value.amount times duration, unless FIXED", ("value", "duration", "durationBasis"))
OPPORTUNITY = {
    "name": Source("Capsule: name", ("name",)),
    "status": Source('opportunity_statuses: milestone "Sales / Bid" has "Negotiation"', ("milestone",)),
    "startDate": Source("Capsule: expectedCloseOn", ("expectedCloseOn",)),
    "properties.capsule_link_id": Source("Capsule: id", ("id",)),
    "properties.capsule_probability": Source("Capsule: probability, where the status has another", ("probability", "milestone")),
    "dealSize": SIZE,
    "properties.capsule_deal_size": SIZE,
    "probability": Source("OfficeRnD's probability of that status", ("milestone",)),
    "member": Source("OfficeRnD's member of its party, 501", ("party",)),
}
OWN = {"properties.plan": "jobTitle", "name": "nickname", "phone": "mobile"}


@pytest.mark.parametrize(
    ("known", "party", "employer", "sources"),
    [
        (
            context(places=SHOREDITCH),
            organisation(tags=("member",)),
            None,
            {
                **ALL,
                "location": BY_TAG,
                "name": Source("Capsule: name", ("name",)),
                "url": Source("Capsule: the first of websites with the service URL", ("websites",)),
                "properties.capsule_twitter": TWITTER,
                "properties.capsule_phone": PHONE,
            },
        ),
        (context(), person(), None, {**PERSON, "location": DEFAULT, "properties.capsule_location": DEFAULT}),
        (
            context({("party", 701): "c"}, places=SHOREDITCH),
            person(employer=701),
            organisation(tags=("member",)),
            {
                **PERSON,
                "location": BY_FIRM,
                "properties.capsule_location": BY_FIRM,
                "company": Source("OfficeRnD's company of its organisation, 701", ("organisation",)),
            },
        ),
        (
            context(),
            person(firstName="", lastName="", emailAddresses=[{"address": "a@b.example"}]),
            None,
            {
                **PERSON,
                "location": DEFAULT,
                "properties.capsule_location": DEFAULT,
                "name": Source(
                    "Capsule: the first of emailAddresses, as there is no name", ("firstName", "lastName", "emailAddresses")
                ),
            },
        ),
        (
            context(fields={"person": OWN}),
            person(jobTitle="Boss"),
            None,
            {
                **PERSON,
                "location": DEFAULT,
                "properties.capsule_location": DEFAULT,
                "properties.plan": Source("own field: jobTitle", ("*",)),
                "phone": Source("own field: mobile", ("*",)),
                "name": Source("Capsule: firstName and lastName; the own field gives nothing: nickname", ("*",)),
            },
        ),
    ],
)
def test_of_every_value_of_a_party_is_told_where_it_comes_from(
    known: officernd.Context, party: Person | Organisation, employer: Organisation | None, sources: dict[str, Source]
) -> None:
    wanted = officernd.wanted_party(known, party, employer, organisation_in=employer is not None)
    assert isinstance(wanted, Wanted)
    assert wanted.sources == sources


@pytest.mark.parametrize(
    ("deal", "employer", "sources"),
    [
        (opportunity(), None, OPPORTUNITY),
        (
            opportunity(),
            organisation(),
            {**OPPORTUNITY, "company": Source("OfficeRnD's company of its party, 501", ("party",))},
        ),
    ],
)
def test_of_every_value_of_an_opportunity_is_told_where_it_comes_from(
    deal: Opportunity, employer: Organisation | None, sources: dict[str, Source]
) -> None:
    links = {("party", 501): "m", ("party", 701): "c"}
    wanted = officernd.wanted_opportunity(context(links), deal, person(employer=701), employer)
    assert isinstance(wanted, Wanted)
    assert wanted.sources == sources
