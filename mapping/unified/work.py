"""Kase -> project, task -> task (reference/unified-crm.md §5)."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import TYPE_CHECKING, Final

from mapping.body import as_table, integer, number_of, optional_table, text, truth
from mapping.unified import parts
from mapping.unified.deals import PROJECT, pipeline_ref, stage_ref
from mapping.unified.parties import with_etag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.unified.parts import Body, Definitions
    from mapping.values import Json

TASK_STATUS: Final = {"OPEN": "open", "COMPLETED": "completed", "PENDING": "open"}


def project(body: object, definitions: Definitions, *, stage: Body | None = None, others: Sequence[Body] = ()) -> dict[str, Json]:
    """A kase as a project. `stage` is its own as the boards' lists give it; `others` are its additional parties.

    Raises:
        UnreadableRecord: it is not a kase.
    """
    table = as_table(body, "a kase")
    where = f"kase {number_of(table, 'a kase')}"
    account, contacts = parts.party_refs(table, "party", where)
    contacts += [parts.named(one, f"a party of {where}") for one in others if text(one, "type", where) == "person"]
    nested = stage if stage is not None else optional_table(table, "stage", where)
    opportunity = parts.ref(table, "opportunity", where)
    return {
        "id": parts.ident(table, where),
        "name": parts.some(text(table, "name", where)),
        "description": parts.some(text(table, "description", where)),
        "amount": None,
        "currency": None,
        "owner": parts.ref(table, "owner", where),
        "team": parts.ref(table, "team", where),
        "account": account,
        "contact": contacts,
        "opportunity": [] if opportunity is None else [opportunity],
        "stage": stage_ref(nested, PROJECT, where),
        "pipeline": pipeline_ref(nested, "board", PROJECT, where),
        "status": parts.some(text(table, "status", where).lower()),
        "close_date": parts.moment(table, "closedOn", where) or parts.moment(table, "expectedCloseOn", where),
        "expected_close_date": parts.moment(table, "expectedCloseOn", where),
        "closed_on": parts.moment(table, "closedOn", where),
        "start_date": parts.moment(table, "startOn", where),
        "tags": parts.tags(table, where),
        "custom_fields": parts.custom_fields(table, definitions, where),
        "custom_field_details": parts.custom_field_details(table, definitions, where),
        "last_activity_at": parts.moment(table, "lastContactedAt", where),
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
        "missing_important_fields": truth(table, "missingImportantFields", where),
    }


def task(body: object, *, timezone: str | None = None) -> dict[str, Json]:
    """A task. `timezone` is its owner's (IANA name), in which Capsule's `dueTime` is meant; without it the day alone is told.

    Raises:
        UnreadableRecord: it is not a task.
    """
    table = as_table(body, "a task")
    where = f"task {number_of(table, 'a task')}"
    account, contacts = parts.party_refs(table, "party", where)
    opportunity = parts.ref(table, "opportunity", where)
    category = optional_table(table, "category", where)
    status = text(table, "status", where).upper()
    repeat = optional_table(table, "repeat", where)
    day, clock = parts.moment(table, "dueOn", where), parts.moment(table, "dueTime", where)
    return with_etag(
        {
            "id": parts.ident(table, where),
            "subject": parts.some(text(table, "description", where)),
            "content": parts.some(text(table, "detail", where)),
            "type": None
            if category is None
            else {**parts.named(category, where), "colour": parts.some(text(category, "colour", where))},
            "owner": parts.ref(table, "owner", where),
            "account": account,
            "contact": contacts,
            "opportunity": [] if opportunity is None else [opportunity],
            "project": parts.ref(table, "kase", where),
            "due_date": due(day, clock, timezone),
            "due_on": day,
            "due_time": clock,
            "status": TASK_STATUS.get(status, status.lower() or None),
            "remote_status": parts.some(status),
            "completed_at": parts.moment(table, "completedAt", where),
            "completed_by": parts.some(text(table, "completedBy", where)),
            "repeat": None
            if repeat is None
            else {
                "interval": integer(repeat, "interval", where),
                "frequency": parts.some(text(repeat, "frequency", where)),
                "on": repeat.get("on"),
            },
            "has_track": truth(table, "hasTrack", where),
            "created_at": parts.moment(table, "createdAt", where),
            "updated_at": parts.moment(table, "updatedAt", where),
        }
    )


def due(day: str | None, clock: str | None, timezone: str | None) -> str | None:
    """The moment at which a task is due, in UTC; its day alone where the time of day or the owner's time zone is not known.

    `clock` is `HH:MM` with or without seconds (reference/capsule.md §4.4). A time that the clocks skip in spring is taken an
    hour later, one that they show twice in autumn is the first.
    """
    if day is None or clock is None or timezone is None:
        return day
    try:
        local = dt.datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    except (ValueError, zoneinfo.ZoneInfoNotFoundError):
        return day
    return local.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
