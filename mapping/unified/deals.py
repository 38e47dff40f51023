"""Opportunities, their pipelines and stages (reference/unified-crm.md §5). Stages of projects are here too: one model holds both.

The ids of pipelines and stages carry their entity (`opportunity:12`, `project:34`), since those of milestones and of board
stages are numbered apart and may repeat.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from mapping import values
from mapping.body import as_table, decimal, integer, number_of, optional_table, rows, text, truth
from mapping.unified import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.unified.parts import Body, Definitions
    from mapping.values import Json

OPPORTUNITY: Final = "opportunity"
PROJECT: Final = "project"
WON: Final = 100
LOST: Final = 0


def opportunity(
    body: object, definitions: Definitions, *, milestone: Body | None = None, others: Sequence[Body] = ()
) -> dict[str, Json]:
    """An opportunity. `milestone` is its own as the pipeline's list gives it; `others` are its additional parties.

    `amount` is per unit of `duration_basis` as in Capsule; `total_amount` is the whole, `weighted_amount` the whole by its
    probability.

    Raises:
        UnreadableRecord: it is not an opportunity.
    """
    table = as_table(body, "an opportunity")
    where = f"opportunity {number_of(table, 'an opportunity')}"
    value = optional_table(table, "value", where) or {}
    amount, duration = decimal(value, "amount", where), integer(table, "duration", where)
    basis, probability = text(table, "durationBasis", where).upper() or "FIXED", integer(table, "probability", where)
    total = amount if amount is None or basis == "FIXED" else amount * (duration or 1)
    account, contacts = parts.party_refs(table, "party", where)
    contacts += [parts.named(one, f"a party of {where}") for one in others if text(one, "type", where) == "person"]
    nested = milestone if milestone is not None else optional_table(table, "milestone", where)
    primary = optional_table(table, "party", where)
    return {
        "id": parts.ident(table, where),
        "name": parts.some(text(table, "name", where)),
        "description": parts.some(text(table, "description", where)),
        "amount": _number(amount),
        "currency": parts.some(text(value, "currency", where)),
        "total_amount": _number(total),
        "weighted_amount": None if total is None or probability is None else _number(total * probability / Decimal(100)),
        "duration": duration,
        "duration_basis": basis,
        "owner": parts.ref(table, "owner", where),
        "team": parts.ref(table, "team", where),
        "account": account,
        "contact": contacts,
        "primary_party": None
        if primary is None
        else {"id": parts.ident(primary, where), "type": parts.some(text(primary, "type", where))},
        "stage": stage_ref(nested, OPPORTUNITY, where),
        "pipeline": pipeline_ref(nested, "pipeline", OPPORTUNITY, where),
        "status": _status(nested, where),
        "close_date": parts.moment(table, "closedOn", where) or parts.moment(table, "expectedCloseOn", where),
        "expected_close_date": parts.moment(table, "expectedCloseOn", where),
        "closed_on": parts.moment(table, "closedOn", where),
        "probability": probability,
        "lost_reason": parts.ref(table, "lostReason", where),
        "last_stage_changed_at": parts.moment(table, "lastStageChangedAt", where),
        "last_open_stage": stage_ref(optional_table(table, "lastOpenMilestone", where), OPPORTUNITY, where),
        "tags": parts.tags(table, where),
        "custom_fields": parts.custom_fields(table, definitions, where),
        "custom_field_details": parts.custom_field_details(table, definitions, where),
        "last_activity_at": parts.moment(table, "lastContactedAt", where),
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
        "missing_important_fields": truth(table, "missingImportantFields", where),
    }


def pipeline(body: object, stages: Sequence[object], *, entity: str) -> dict[str, Json]:
    """A pipeline of opportunities, or a board of projects (`entity`), with its stages in order.

    Raises:
        UnreadableRecord: it is neither.
    """
    table = as_table(body, "a pipeline")
    where = f"{entity} pipeline {number_of(table, 'a pipeline')}"
    number = parts.ident(table, where)
    own: dict[str, Json] = {"id": f"{entity}:{number}"}
    inside: list[Json] = [
        {
            "id": f"{entity}:{parts.ident(one, where)}",
            "name": parts.some(text(one, "name", where)),
            "status": _activity(one),
            "pipeline": dict(own),
        }
        for one in (as_table(stage, f"a stage of {where}") for stage in stages)
    ]
    return {
        "id": f"{entity}:{number}",
        "remote_id": number,
        "name": parts.some(text(table, "name", where)),
        "description": parts.some(text(table, "description", where)),
        "entity": entity,
        "stages": inside,
        "is_archived": _archived(table),
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
    }


def stage(body: object, *, entity: str, position: int, pipeline_of: Body | None = None) -> dict[str, Json]:
    """A milestone, or a stage of a board (`entity`). `position` is its place in the list, from 0, used where Capsule tells none.

    Raises:
        UnreadableRecord: it is neither.
    """
    table = as_table(body, "a stage")
    where = f"{entity} stage {number_of(table, 'a stage')}"
    number = parts.ident(table, where)
    order = integer(table, "displayOrder", where)
    outer = "pipeline" if entity == OPPORTUNITY else "board"
    within = pipeline_ref(table, outer, entity, where)
    if within is None and pipeline_of is not None:
        within = {"id": f"{entity}:{parts.ident(pipeline_of, where)}", "name": parts.some(text(pipeline_of, "name", where))}
    return {
        "id": f"{entity}:{number}",
        "remote_id": number,
        "name": parts.some(text(table, "name", where)),
        "position": position if order is None else order,
        "status": _activity(table),
        "pipeline": within,
        "entity": entity,
        "description": parts.some(text(table, "description", where)),
        "probability": integer(table, "probability", where),
        "is_closed": truth(table, "complete", where),
        "days_until_stale": integer(table, "daysUntilStale", where),
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
    }


def stage_ref(nested: Body | None, entity: str, where: str) -> dict[str, Json] | None:
    """`{id, name}` of a milestone or stage, with the entity in its id."""
    if nested is None:
        return None
    return {"id": f"{entity}:{parts.ident(nested, where)}", "name": parts.some(text(nested, "name", where))}


def pipeline_ref(nested: Body | None, key: str, entity: str, where: str) -> dict[str, Json] | None:
    """`{id, name}` of the pipeline or board under a key of a milestone or stage."""
    return stage_ref(None if nested is None else optional_table(nested, key, where), entity, where)


def additional(body: object) -> list[Body]:
    """The parties of `/opportunities/{id}/parties` and `/kases/{id}/parties`.

    Raises:
        UnreadableRecord: it is no such answer.
    """
    return list(rows(as_table(body, "the additional parties"), "parties", "the additional parties"))


def _status(milestone: Body | None, where: str) -> str | None:
    """Open, won, lost or closed: there is no such key in Capsule (reference/capsule.md §4.2). None where nothing tells."""
    if milestone is None or "complete" not in milestone:
        return None
    if not truth(milestone, "complete", where):
        return "open"
    ends: dict[int | None, str] = {WON: "won", LOST: "lost"}
    return ends.get(integer(milestone, "probability", where), "closed")


def _number(value: Decimal | None) -> int | float | None:
    return None if value is None else values.number(value)


def _archived(table: Body) -> bool:
    return table.get("deleted") is True or table.get("archived") is True


def _activity(table: Body) -> str:
    return "inactive" if _archived(table) else "active"
