"""The shape of every model as a product sees it (reference/unified-crm.md §2 and §5); what may be sent is in `sent`.

The OpenAPI document is made of these classes, and tests hold what is answered against them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """What is answered: every field is there, None or [] where there is nothing."""

    model_config = ConfigDict(extra="forbid")


# Shared objects -----------------------------------------------------------------------------------------------------


class Ref(Shape):
    """Another record."""

    id: str
    name: str | None


class TaskType(Ref):
    """A category of tasks."""

    colour: str | None


class Address(Shape):
    """A postal address."""

    id: str | None
    street_1: str | None
    street_2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str | None
    type: str | None


class Email(Shape):
    """An e-mail address."""

    id: str | None
    email: str
    type: str | None
    is_primary: bool


class Phone(Shape):
    """A telephone number."""

    id: str | None
    number: str
    extension: str | None
    type: str | None


class Url(Shape):
    """A website or an account of a social service."""

    id: str | None
    url: str
    type: str | None
    service: str | None
    handle: str | None


class Link(Shape):
    """A web address of a record that is none of its own (always empty for Capsule)."""

    url: str
    type: str | None


class Tag(Shape):
    """A tag; a data tag groups custom fields."""

    id: str | None
    name: str
    is_data_tag: bool | None


class FieldValue(Shape):
    """A custom field's value with all its ids."""

    field_id: str
    name: str | None
    value: Any
    tag_id: str | None
    value_id: str | None


class Attachment(Shape):
    """A file of a note or an e-mail."""

    id: str | None
    filename: str | None
    content_type: str | None
    size: int | None


class Participant(Shape):
    """Somebody named in an e-mail."""

    id: str | None
    name: str | None
    email: str | None
    role: str | None


class Common(Shape):
    """What every record carries beside its own fields. `remote_data` is Capsule's body, where it was asked for."""

    id: str
    remote_data: Annotated[Any, Field(default=None)]
    remote_url: Annotated[str | None, Field(default=None)]
    synced_at: Annotated[str | None, Field(default=None)]
    created_at: str | None
    updated_at: str | None


class Labelled(Common):
    """What carries tags and custom fields."""

    tags: list[Tag]
    custom_fields: dict[str, Any]
    custom_field_details: list[FieldValue]
    owner: Ref | None
    team: Ref | None
    last_activity_at: str | None
    missing_important_fields: bool | None


# Models -------------------------------------------------------------------------------------------------------------


class PartyShape(Labelled):
    """What accounts and contacts share."""

    description: str | None
    addresses: list[Address]
    email_addresses: list[Email]
    phone_numbers: list[Phone]
    urls: list[Url]
    picture_url: str | None


class Account(PartyShape):
    """A company: Capsule's organisation."""

    name: str | None
    website: str | None
    industry: str | None
    number_of_employees: int | None


class Contact(PartyShape):
    """A person."""

    first_name: str | None
    last_name: str | None
    name: str | None
    title: str | None
    salutation: str | None
    account: Ref | None
    etag: str


class PrimaryParty(Shape):
    """The main contact of a deal."""

    id: str
    type: str | None


class Opportunity(Labelled):
    """A deal."""

    name: str | None
    description: str | None
    amount: float | None
    currency: str | None
    total_amount: float | None
    weighted_amount: float | None
    duration: int | None
    duration_basis: str
    account: Ref | None
    contact: list[Ref]
    primary_party: PrimaryParty | None
    stage: Ref | None
    pipeline: Ref | None
    status: Literal["open", "won", "lost", "closed"] | None
    close_date: str | None
    expected_close_date: str | None
    closed_on: str | None
    probability: int | None
    lost_reason: Ref | None
    last_stage_changed_at: str | None
    last_open_stage: Ref | None


class Project(Labelled):
    """A project: Capsule's kase."""

    name: str | None
    description: str | None
    amount: float | None
    currency: str | None
    account: Ref | None
    contact: list[Ref]
    opportunity: list[Ref]
    stage: Ref | None
    pipeline: Ref | None
    status: str | None
    close_date: str | None
    expected_close_date: str | None
    closed_on: str | None
    start_date: str | None


class Repeat(Shape):
    """How a task repeats."""

    interval: int | None
    frequency: str | None
    on: Any


class Task(Common):
    """A task."""

    subject: str | None
    content: str | None
    type: TaskType | None
    owner: Ref | None
    account: Ref | None
    contact: list[Ref]
    opportunity: list[Ref]
    project: Ref | None
    due_date: str | None
    due_on: str | None
    due_time: str | None
    status: str | None
    remote_status: str | None
    completed_at: str | None
    completed_by: str | None
    repeat: Repeat | None
    has_track: bool | None
    etag: str


class EntryShape(Common):
    """What notes and engagements share."""

    owner: Ref | None
    content: str | None
    account: Ref | None
    contact: list[Ref]
    opportunity: list[Ref]
    lead: list[Ref]
    project: Ref | None
    attachments: list[Attachment]


class NoteRef(Shape):
    """The note that an engagement also is."""

    id: str


class Engagement(EntryShape):
    """Something that happened: a call, a meeting, an e-mail, a note, a task done."""

    engagement_type: str | None
    engagement_type_id: str | None
    subject: str | None
    direction: str | None
    internal_notes: str | None
    notes: list[NoteRef]
    status: str | None
    start_time: str | None
    end_time: str | None
    duration: str | None
    phone_numbers: list[Phone]
    custom_fields: dict[str, Any]
    participants: list[Participant]


class Note(EntryShape):
    """A plain note."""

    title: str | None
    visibility: Literal["public", "private"]
    urls: list[Link]
    entry_at: str | None


class EngagementType(Common):
    """A kind of engagement."""

    type: str | None
    name: str | None
    is_system: bool | None
    updates_last_contacted: bool | None


class Option(Shape):
    """A value that a field of a list may have."""

    label: str
    value: str
    description: str | None
    is_hidden: bool | None


class FieldShape(Common):
    """An attribute that records have: a custom field, or (`is_user_defined` false) a built-in one."""

    remote_id: str | None
    name: str
    label: str | None
    description: str | None
    type: str | None
    format: str | None
    is_hidden: bool | None
    is_unique: bool | None
    is_required: bool | None
    is_editable: bool | None
    is_important: bool | None
    options: list[Option]
    is_user_defined: bool
    entity_type: Literal["contact", "account", "opportunity", "project"]
    reference_entity: str | None
    field_groups: list[Ref]
    urls: list[Link]


class StageOfPipeline(Shape):
    """A stage as its pipeline lists it."""

    id: str
    name: str | None
    status: str
    pipeline: NoteRef


class Pipeline(Common):
    """The stages through which opportunities go, or projects (a board)."""

    remote_id: str
    name: str | None
    description: str | None
    entity: Literal["opportunity", "project"]
    stages: list[StageOfPipeline]
    is_archived: bool


class Stage(Common):
    """One step of a pipeline: Capsule's milestone, or a stage of a board."""

    remote_id: str
    name: str | None
    position: int
    status: Literal["active", "inactive"]
    pipeline: Ref | None
    entity: Literal["opportunity", "project"]
    description: str | None
    probability: int | None
    is_closed: bool | None
    days_until_stale: int | None


class User(Common):
    """Somebody who works with the CRM."""

    name: str | None
    email: str | None
    is_active: bool
    username: str | None
    timezone: str | None
    locale: str | None
    currency: str | None
    party_id: str | None
    urls: list[Link]


class DirectoryEmail(Shape):
    """An e-mail address of a user."""

    email: str
    type: str | None
    is_primary: bool


class DirectoryPhone(Shape):
    """A telephone number of a user."""

    number: str
    extension: str | None
    type: str | None


class Role(Shape):
    """What a user may do."""

    id: str
    name: str


class DirectoryUser(Common):
    """A user as a directory lists it."""

    external_id: str | None
    identifiers: dict[str, str]
    first_name: str | None
    last_name: str | None
    name: str | None
    title: str | None
    username: str | None
    emails: list[DirectoryEmail]
    phones: list[DirectoryPhone]
    status: str
    is_email_verified: bool | None
    is_2fa_enabled: bool | None
    roles: list[Role]
    last_login_at: str | None
    timezone: str | None
    locale: str | None
    avatar: str | None


SHAPES: dict[str, type[Common]] = {
    "accounts": Account,
    "contacts": Contact,
    "engagement_types": EngagementType,
    "engagements": Engagement,
    "fields": FieldShape,
    "notes": Note,
    "opportunities": Opportunity,
    "pipelines": Pipeline,
    "projects": Project,
    "stages": Stage,
    "tasks": Task,
    "users": User,
}
