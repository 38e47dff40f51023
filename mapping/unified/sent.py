"""What a product may send (reference/unified-crm.md §5): checked here, turned into Capsule's form by `writing`.

A field that is left out stays as it is, null clears it. An entry of a list with an `id` changes that one, with `_delete` it
goes, without an `id` it is added unless it is there already; entries that are not named stay (reference/capsule.md §5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mapping.errors import BodyInvalid, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ENTRIES: Final = 100

Line = Annotated[str, Field(min_length=1, max_length=1_000)]
Words = Annotated[str, Field(max_length=1_000)]
LongText = Annotated[str, Field(max_length=100_000)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
Moment = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"),
]
DayOrMoment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$",
        description="YYYY-MM-DD, or a moment in UTC.",
    ),
]
Ident = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]
TypeIdent = Annotated[str, Field(pattern=r"^-?[1-9][0-9]{0,17}$")]
EntityIdent = Annotated[str, Field(pattern=r"^((opportunity|project):)?[1-9][0-9]{0,17}$")]
Amount = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]


class Sent(BaseModel):
    """Only the fields that are to change. A misspelt one is refused rather than dropped."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reference(Sent):
    """Another record by its id."""

    id: Ident
    name: Annotated[str | None, Field(default=None, description="Not looked at.")]


class StageReference(Sent):
    """A stage by its id, with or without its entity."""

    id: EntityIdent
    name: Annotated[str | None, Field(default=None, description="Not looked at.")]


class Entry(Sent):
    """An entry of a list of contact details."""

    id: Ident | None = None
    delete: Annotated[bool, Field(default=False, alias="_delete")]


class SentAddress(Entry):
    """A postal address."""

    street_1: Words | None = None
    street_2: Words | None = None
    city: Words | None = None
    state: Words | None = None
    postal_code: Words | None = None
    country: Words | None = None
    type: Words | None = None


class SentEmail(Entry):
    """An e-mail address."""

    email: Line | None = None
    type: Words | None = None
    is_primary: Annotated[bool | None, Field(default=None, description="Not looked at: Capsule has none.")]


class SentPhone(Entry):
    """A telephone number."""

    number: Line | None = None
    extension: Annotated[None, Field(default=None, description="Capsule keeps it within the number.")]
    type: Words | None = None


class SentUrl(Entry):
    """A website or social account. `service` is Capsule's word in lower case, `url` when left out."""

    url: Line | None = None
    handle: Line | None = None
    service: Words | None = None
    type: Words | None = None


class SentTag(Entry):
    """A tag by name or id; one that does not exist yet is made."""

    name: Line | None = None
    is_data_tag: Annotated[bool | None, Field(default=None, description="Not looked at.")]


def _tag(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    return {"name": value} if isinstance(value, str) else value


TagOrName = Annotated[SentTag, BeforeValidator(_tag)]
Addresses = Annotated[list[SentAddress], Field(max_length=MOST_ENTRIES)]
Emails = Annotated[list[SentEmail], Field(max_length=MOST_ENTRIES)]
Phones = Annotated[list[SentPhone], Field(max_length=MOST_ENTRIES)]
Urls = Annotated[list[SentUrl], Field(max_length=MOST_ENTRIES)]
Tags = Annotated[list[TagOrName], Field(max_length=MOST_ENTRIES)]
References = Annotated[list[Reference], Field(max_length=MOST_ENTRIES)]
CustomFields = Annotated[dict[str, Any], Field(max_length=MOST_ENTRIES)]


class SentParty(Sent):
    """What accounts and contacts share."""

    description: LongText | None = None
    addresses: Addresses | None = None
    email_addresses: Emails | None = None
    phone_numbers: Phones | None = None
    urls: Urls | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    owner: Reference | None = None
    team: Reference | None = None


class SentAccount(SentParty):
    """An organisation."""

    name: Line | None = None
    website: Line | None = None


class SentContact(SentParty):
    """A person."""

    first_name: Words | None = None
    last_name: Words | None = None
    title: Words | None = None
    salutation: Words | None = None
    account: Reference | None = None


class SentOpportunity(Sent):
    """A deal. `amount` is per unit of `duration_basis`, as in what is answered."""

    name: Line | None = None
    description: LongText | None = None
    amount: Amount | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    duration: Annotated[int, Field(ge=1, le=10_000)] | None = None
    duration_basis: Literal["FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"] | None = None
    probability: Annotated[int, Field(ge=0, le=100)] | None = None
    owner: Reference | None = None
    team: Reference | None = None
    account: Reference | None = None
    contact: References | None = None
    stage: StageReference | None = None
    close_date: Day | None = None
    expected_close_date: Day | None = None
    lost_reason: Reference | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None


class SentProject(Sent):
    """A kase."""

    name: Line | None = None
    description: LongText | None = None
    owner: Reference | None = None
    team: Reference | None = None
    account: Reference | None = None
    contact: References | None = None
    opportunity: Annotated[list[Reference], Field(max_length=1)] | None = None
    stage: StageReference | None = None
    status: Literal["open", "closed"] | None = None
    close_date: Day | None = None
    expected_close_date: Day | None = None
    start_date: Day | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None


class SentTask(Sent):
    """A task. A moment as `due_date` is turned into the owner's time of day."""

    subject: Line | None = None
    content: LongText | None = None
    type: Reference | None = None
    owner: Reference | None = None
    account: Reference | None = None
    contact: Annotated[list[Reference], Field(max_length=1)] | None = None
    opportunity: Annotated[list[Reference], Field(max_length=1)] | None = None
    project: Reference | None = None
    due_date: DayOrMoment | None = None
    status: Literal["open", "completed"] | None = None
    completed_at: Moment | None = None


class SentEntry(Sent):
    """What notes and engagements share: exactly one parent when creating."""

    content: LongText | None = None
    account: Reference | None = None
    contact: Annotated[list[Reference], Field(max_length=1)] | None = None
    opportunity: Annotated[list[Reference], Field(max_length=1)] | None = None
    project: Reference | None = None


class SentNote(SentEntry):
    """A plain note."""

    title: Words | None = None
    entry_at: Moment | None = None


class SentEngagement(SentEntry):
    """A call, a meeting or another activity; Capsule lets nobody create an e-mail (reference/capsule.md §4.5)."""

    subject: Words | None = None
    engagement_type: Literal["call", "meeting", "note"] | None = None
    engagement_type_id: TypeIdent | None = None
    start_time: Moment | None = None


SENT: Final[Mapping[str, type[Sent]]] = {
    "accounts": SentAccount,
    "contacts": SentContact,
    "engagements": SentEngagement,
    "notes": SentNote,
    "opportunities": SentOpportunity,
    "projects": SentProject,
    "tasks": SentTask,
}
# What must be there when creating (reference/capsule.md §4 and §5.2): one of each group.
REQUIRED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "accounts": (("name",),),
    "contacts": (("first_name", "last_name"),),
    "engagements": (("content",), ("engagement_type", "engagement_type_id"), ("account", "contact", "opportunity", "project")),
    "notes": (("content",), ("account", "contact", "opportunity", "project")),
    "opportunities": (("name",), ("account", "contact"), ("stage",)),
    "projects": (("name",), ("account", "contact")),
    "tasks": (("subject",), ("due_date",)),
}


def checked(model: str, body: object, *, creating: bool, shown: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What was sent, with only the fields that were there.

    `shown` is the record as it was answered: a field that is sent back as it was shown is dropped, so that a whole record may
    be sent with one field changed, even with fields that cannot be written.

    Raises:
        BodyInvalid: it cannot be written; names every fault.
    """
    if isinstance(body, dict) and shown is not None:
        body = {name: value for name, value in body.items() if name not in shown or value != shown[name]}
    try:
        found = SENT[model].model_validate(body).model_dump(exclude_unset=True, by_alias=True)
    except ValidationError as error:
        faults = tuple(Fault(".".join(str(step) for step in one["loc"]) or "body", one["msg"]) for one in error.errors())
        raise BodyInvalid(faults) from None
    if creating:
        missing = tuple(
            Fault(" or ".join(group), "is required when creating", "send it")
            for group in REQUIRED[model]
            if not any(found.get(name) not in (None, "", []) for name in group)
        )
        if missing:
            raise BodyInvalid(missing)
    return found
