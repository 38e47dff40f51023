"""Capsule -> unified: what is refused of a body that is not of the reference's form, and in which words (mapping/body.py)."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mapping.errors import UnreadableRecord
from mapping.unified import deals, definitions, entries, parties, people, work, writing
from mapping.unified.parts import Definitions
from tests.unit import unified_samples as capsule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Path = tuple[str | int, ...]

KNOWN = definitions.definitions(capsule.DEFINITIONS)
# Entries of every list and a text under every key, so that each of them can be spoilt.
ENTRY = {
    **capsule.EMAIL,
    "type": "note",
    "attachments": capsule.NOTE["attachments"],
    "activityType": {"id": -1, "name": "Note"},
    "party": {**capsule.PERSON_REF, "organisation": capsule.ORGANISATION_REF},
}
OPPORTUNITY = {**capsule.OPPORTUNITY, "milestone": capsule.MILESTONE, "closedOn": "2015-11-12"}
KASE = {**capsule.KASE, "stage": capsule.STAGE, "closedOn": "2015-11-12", "missingImportantFields": True}
TASK = {**capsule.TASK, "opportunity": {"id": 12, "name": "Consulting"}, "kase": {"id": 5, "name": "Research"}}
PIPELINE = {"id": 10, "name": "Sales", "description": "How we sell", "createdAt": "2015-01-01", "updatedAt": "2015-01-02"}
USER_REF = "owner.deleted owner.username owner.pictureURL"
ROW_IDS = "tags.0.id fields.0.id fields.0.value fields.0.tagId"
PARTY = f"{USER_REF} enrichment addresses.0.id phoneNumbers.0.id emailAddresses.0.id websites.0.id {ROW_IDS}"
PERSON_REF = "party.pictureURL"
EMPLOYER = "party.organisation.type party.organisation.pictureURL"
ENTRY_IDS = "creator.deleted creator.username creator.pictureURL parties.0.pictureURL attachments.0.id attachments.0.size"
MILESTONE = " ".join(f"milestone.{key}" for key in ["description", "probability", "daysUntilStale", "createdAt", "updatedAt"])
STAGE = " ".join(f"stage.{key}" for key in ["description", "displayOrder", "createdAt", "updatedAt"])
ACTIVITY = "icon.order icon.id icon.displayName icon.iconName"
TYPE = "displayOrder captureRule options options.0 tag.dataTag"
USER_PARTY = "party.type party.pictureURL party.emailAddresses.0.id party.phoneNumbers.0.id taskReminder"
NAMES = "party.firstName party.lastName party.jobTitle"
PHONES = "party.phoneNumbers party.phoneNumbers.0 party.phoneNumbers.0.type party.phoneNumbers.0.number"

# The reader, what it reads, how it calls it before and after its id is known, and which keys it does not look at or passes on.
READ: list[tuple[Callable[[Any], object], dict[str, Any], str, str, str]] = [
    (partial(parties.account, definitions=KNOWN), capsule.ORGANISATION, "an organisation", "party 892", PARTY),
    (
        partial(parties.contact, definitions=KNOWN),
        capsule.PERSON,
        "a person",
        "party 11587",
        f"{PARTY} organisation.type organisation.pictureURL",
    ),
    (
        partial(deals.opportunity, definitions=KNOWN),
        OPPORTUNITY,
        "an opportunity",
        "opportunity 12",
        f"{USER_REF} {PERSON_REF} {EMPLOYER} {MILESTONE} {ROW_IDS}",
    ),
    (partial(deals.pipeline, stages=[], entity="opportunity"), PIPELINE, "a pipeline", "opportunity pipeline 10", ""),
    (partial(deals.stage, entity="opportunity", position=1), capsule.MILESTONE, "a stage", "opportunity stage 14", ""),
    (partial(deals.stage, entity="project", position=1), capsule.STAGE, "a stage", "project stage 271006", ""),
    (partial(work.project, definitions=KNOWN), KASE, "a kase", "kase 5588202", f"{USER_REF} {PERSON_REF} {STAGE} {ROW_IDS}"),
    (work.task, TASK, "a task", "task 147248893", f"{USER_REF} {PERSON_REF} repeat.on"),
    (
        entries.engagement,
        ENTRY,
        "an entry",
        "entry 12",
        f"{PERSON_REF} {EMPLOYER} {ENTRY_IDS} participants.0.id",
    ),
    (
        entries.note,
        {name: value for name, value in ENTRY.items() if name not in ("type", "activityType", "participants")},
        "an entry",
        "entry 12",
        f"{PERSON_REF} {EMPLOYER} {ENTRY_IDS}",
    ),
    (entries.engagement_type, capsule.ACTIVITY, "an activity type", "activity type -3", ACTIVITY),
    (
        partial(definitions.field, known=Definitions(), entity="parties", model="account"),
        capsule.DEFINITIONS[1],
        "a custom field",
        "custom field 47",
        TYPE,
    ),
    (people.user, capsule.USER, "a user", "user 1", f"{USER_PARTY} {NAMES} {PHONES} lastLoginAt pictureURL roles"),
    (people.directory_user, capsule.USER, "a user", "user 1", f"{USER_PARTY} currency party.id"),
]
# Records that are shown as `{id, name}`: what is wrong inside them is told of them.
REFERENCES = ("owner", "team", "creator", "organisation", "lostReason", "party", "opportunity", "kase")
WANTED = {
    str: "not a text",
    list: "not a list",
    dict: "not a JSON object",
    bool: "neither true nor false",
    int: "not a whole number",
}


def paths(value: object, before: Path = ()) -> Iterator[Path]:
    """Every key in a body, and the first entry of every list."""
    if before:
        yield before
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:1]))
    for key, one in inside:
        yield from paths(one, (*before, key))


def at(body: Any, path: Path) -> Any:
    for key in path:
        body = body[key]
    return body


def spoilt(body: dict[str, Any], path: Path) -> dict[str, Any]:
    """The body with a value of another type at this place."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    at(copy, path[:-1])[path[-1]] = 5 if isinstance(at(body, path), str) else "?"
    return copy


def refusal(unnamed: str, named: str, path: Path, value: object) -> str:
    """What is said of a value of another type at this place."""
    above, key = path[:-1], path[-1]
    if isinstance(key, int):
        return f"an entry of `{above[-1]}` of {named} is not a JSON object"
    where = named
    if above == ("party", "organisation"):
        where = f"the organisation of `party` of {named}"
    elif above and above[0] in REFERENCES and key not in ("type", "organisation") and not named.startswith("user"):
        where = f"`{above[0]}` of {named}"
    if key == "id":
        return f"{where if above else unnamed} has no usable `id`"
    if key == "amount":
        return f"`amount` of {where} is not a number"
    return f"`{key}` of {where} is {WANTED[type(value)]}"


@pytest.mark.parametrize(
    ("read", "body", "unnamed", "named", "passed_on"), READ, ids=[f"{row[3]} {place}" for place, row in enumerate(READ)]
)
def test_a_value_of_another_type_is_refused_with_its_key_and_record(
    read: Callable[[Any], object], body: dict[str, Any], unnamed: str, named: str, passed_on: str
) -> None:
    said: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for path in paths(body):
        name = ".".join(str(key) for key in path)
        if name not in passed_on.split() and name.partition(".")[0] not in passed_on.split():
            wanted[name] = refusal(unnamed, named, path, at(body, path))
        try:
            read(spoilt(body, path))
        except UnreadableRecord as error:
            said[name] = str(error)
    assert said == wanted
    with pytest.raises(UnreadableRecord, match=f"^{unnamed} is not a JSON object$"):
        read([])


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (partial(parties.account, capsule.PERSON, KNOWN), "party 11587 is not an organisation"),
        (partial(parties.contact, capsule.ORGANISATION, KNOWN), "party 892 is not a person"),
        (
            partial(parties.contact, {**capsule.PERSON, "fields": [{"id": 1}]}, KNOWN),
            "a custom field of party 11587 has no `definition`",
        ),
        (
            partial(parties.contact, {**capsule.PERSON, "fields": [{"definition": {"id": 999, "name": 5}}]}, KNOWN),
            "`name` of party 11587 is not a text",
        ),
        (
            partial(parties.contact, {**capsule.PERSON, "owner": {"id": 0}}, KNOWN),
            "`owner` of party 11587 has no usable `id`",
        ),
        (
            partial(writing.contact, {"custom_fields": {"Seats": 1}}, {"fields": [{"id": 1}]}, KNOWN),
            "a custom field of the record has no `definition`",
        ),
        (
            partial(people.directory_user, {**capsule.USER, "pictureURL": None}, party={"id": 9, "pictureURL": 5}),
            "`pictureURL` of user 1 is not a text",
        ),
        (partial(people.user, {"id": 1, "deleted": "?"}), "`deleted` of user 1 is neither true nor false"),
        (
            partial(deals.opportunity, {**OPPORTUNITY, "closedOn": None, "expectedCloseOn": 5}, KNOWN),
            "`expectedCloseOn` of opportunity 12 is not a text",
        ),
        (
            partial(work.project, {**KASE, "closedOn": None, "expectedCloseOn": 5}, KNOWN),
            "`expectedCloseOn` of kase 5588202 is not a text",
        ),
        (partial(deals.additional, []), "the additional parties is not a JSON object"),
        (partial(deals.additional, {"parties": 5}), "`parties` of the additional parties is not a list"),
        (
            partial(deals.additional, {"parties": [5]}),
            "an entry of `parties` of the additional parties is not a JSON object",
        ),
        (
            partial(deals.opportunity, OPPORTUNITY, KNOWN, others=[{"id": "?", "type": "person"}]),
            "a party of opportunity 12 has no usable `id`",
        ),
        (partial(deals.opportunity, OPPORTUNITY, KNOWN, others=[{"type": 5}]), "`type` of opportunity 12 is not a text"),
        (
            partial(work.project, KASE, KNOWN, others=[{"id": "?", "type": "person"}]),
            "a party of kase 5588202 has no usable `id`",
        ),
        (partial(work.project, KASE, KNOWN, others=[{"type": 5}]), "`type` of kase 5588202 is not a text"),
        (
            partial(deals.pipeline, PIPELINE, [{"id": "?"}], entity="project"),
            "project pipeline 10 has no usable `id`",
        ),
        (
            partial(deals.pipeline, PIPELINE, [{"id": 1, "name": 5}], entity="project"),
            "`name` of project pipeline 10 is not a text",
        ),
        (
            partial(deals.stage, {"id": 14}, entity="opportunity", position=0, pipeline_of={"id": "?"}),
            "opportunity stage 14 has no usable `id`",
        ),
        (
            partial(deals.stage, {"id": 14}, entity="opportunity", position=0, pipeline_of={"id": 1, "name": 5}),
            "`name` of opportunity stage 14 is not a text",
        ),
        (
            partial(deals.opportunity, OPPORTUNITY, KNOWN, milestone={"id": 1, "complete": True, "probability": "?"}),
            "`probability` of opportunity 12 is not a whole number",
        ),
        (
            partial(definitions.field, {"id": 47, "name": 5}, KNOWN, entity="parties", model="account"),
            "`name` of custom field 47 is not a text",
        ),
        (partial(entries.engagement, {"id": 9, "type": "email", "activityType": {}}), "entry 9 has no usable `id`"),
        (partial(definitions.definitions, ["?"]), "a custom field is not a JSON object"),
        (
            partial(deals.pipeline, PIPELINE, [None], entity="opportunity"),
            "a stage of opportunity pipeline 10 is not a JSON object",
        ),
        (partial(definitions.definitions, [{"id": "?"}]), "a custom field has no usable `id`"),
        (partial(definitions.definitions, [{"id": 47, "name": 5}]), "`name` of a custom field is not a text"),
        (partial(definitions.definitions, [{"id": 47, "type": 5}]), "`type` of custom field 47 is not a text"),
        (partial(definitions.definitions, [{"id": 47, "tag": 5}]), "`tag` of custom field 47 is not a JSON object"),
        (partial(definitions.definitions, [{"id": 47, "tag": {"id": "?"}}]), "custom field 47 has no usable `id`"),
        (
            partial(definitions.definitions, [{"id": 47, "tag": {"id": 1, "name": 5}}] * 2),
            "`name` of custom field 47 is not a text",
        ),
        (partial(definitions.applies, {"captureRule": 5}, "parties"), "`captureRule` of a custom field is not a text"),
    ],
)
def test_what_else_is_refused(read: Callable[[], object], said: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        read()
    assert str(caught.value) == said
