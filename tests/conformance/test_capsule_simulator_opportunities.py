"""Capsule's simulator: opportunities, projects, tasks (reference/capsule.md §4.2 to §4.4, §5.3)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule


def text_of(answer: Any) -> str:
    """The text of a 422."""
    assert answer.status_code == 422, answer.text
    return str(answer.json()["errors"][0]["message"])


@pytest.mark.parametrize("missing", ["name", "party", "milestone"])
def test_name_party_and_milestone_are_required(capsule: Capsule, missing: str) -> None:
    """§4.2."""
    whole = {"name": "Desks", "party": capsule.organisation()["id"], "milestone": capsule.milestone("New")}
    body = {key: value for key, value in whole.items() if key != missing}
    assert text_of(capsule.ask("POST", "/opportunities", json={"opportunity": body})) == f"{missing} is required"


def test_there_is_no_status_and_no_pipeline_and_the_milestone_is_brief(capsule: Capsule) -> None:
    """§4.2."""
    deal = capsule.opportunity()
    assert not {"status", "pipeline"} & deal.keys()
    assert deal["milestone"] == {"id": capsule.milestone("New"), "name": "New"}
    embedded = capsule.get(f"/opportunities/{deal['id']}", embed="milestone")["opportunity"]["milestone"]
    assert (embedded["complete"], embedded["pipeline"]["name"]) == (False, "Sales")


def test_probability_comes_from_the_milestone_until_it_is_set(capsule: Capsule) -> None:
    """§4.2."""
    assert capsule.opportunity()["probability"] == 10
    assert capsule.opportunity(probability=35)["probability"] == 35


def test_the_token_s_user_becomes_owner(capsule: Capsule) -> None:
    """§5.3."""
    assert capsule.opportunity()["owner"]["id"] == capsule.get("/users/current")["user"]["id"]


def test_owner_or_team_is_required(capsule: Capsule) -> None:
    """§5.3."""
    deal = capsule.opportunity()
    answer = capsule.ask("PUT", f"/opportunities/{deal['id']}", json={"opportunity": {"owner": None}})
    assert text_of(answer) == "owner or team is required"


def test_the_owner_must_be_in_the_team(capsule: Capsule) -> None:
    """§5.3."""
    stranger = capsule.control("POST", "users", {"name": "New Example", "username": "new"})["id"]
    team = capsule.get("/teams")["teams"][0]["id"]
    deal = capsule.opportunity()
    answer = capsule.ask("PUT", f"/opportunities/{deal['id']}", json={"opportunity": {"owner": stranger, "team": team}})
    assert text_of(answer) == "owner is not a member of the team"


def test_closing_sets_the_day_and_the_probability_and_reopening_clears_them(capsule: Capsule) -> None:
    """§4.2, behaviour."""
    path = f"/opportunities/{capsule.opportunity()['id']}"
    won = capsule.put(path, "opportunity", milestone=capsule.milestone("Won"))
    today = dt.datetime.now(dt.UTC).date()
    assert won["closedOn"] in {today.isoformat(), (today - dt.timedelta(days=1)).isoformat()}
    assert (won["probability"], won["lastOpenMilestone"]["name"]) == (100, "New")
    again = capsule.put(path, "opportunity", milestone=capsule.milestone("Bid"))
    assert (again["closedOn"], again["probability"], again["lastOpenMilestone"]["name"]) == (None, 50, "Bid")


def test_probability_with_a_closing_milestone_is_422(capsule: Capsule) -> None:
    """§4.2, behaviour."""
    deal = capsule.opportunity()
    body = {"opportunity": {"milestone": capsule.milestone("Won"), "probability": 90}}
    answer = capsule.ask("PUT", f"/opportunities/{deal['id']}", json=body)
    assert text_of(answer) == "probability can be updated only for open opportunity"


def test_a_closed_opportunity_stays_editable(capsule: Capsule) -> None:
    """§4.2, behaviour."""
    deal = capsule.opportunity(milestone=capsule.milestone("Lost"))
    assert capsule.put(f"/opportunities/{deal['id']}", "opportunity", name="Other")["name"] == "Other"


def test_a_milestone_of_another_pipeline_moves_it_there(capsule: Capsule) -> None:
    """§4.2, behaviour."""
    deal = capsule.opportunity()
    other = capsule.milestone("Bid", pipeline="Renewals")
    assert capsule.put(f"/opportunities/{deal['id']}", "opportunity", milestone=other)["milestone"]["id"] == other


def test_an_amount_needs_a_currency_and_fixed_has_no_duration(capsule: Capsule) -> None:
    """§4.2."""
    deal = capsule.opportunity(value={"amount": 500, "currency": "GBP"}, durationBasis="MONTH", duration=6)
    assert (deal["value"], deal["durationBasis"], deal["duration"]) == ({"amount": 500, "currency": "GBP"}, "MONTH", 6)
    path = f"/opportunities/{deal['id']}"
    assert capsule.ask("PUT", path, json={"opportunity": {"value": {"amount": 5}}}).status_code == 422
    assert capsule.put(path, "opportunity", durationBasis="FIXED")["duration"] is None
    assert capsule.put(path, "opportunity", value=None)["value"] is None


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [("durationBasis", "HOURLY", 422), ("expectedCloseOn", "2026-02-30", 422), ("probability", 101, 422), ("value", 500, 400)],
)
def test_a_faulty_value_is_refused(capsule: Capsule, key: str, value: object, status: int) -> None:
    """§4.2."""
    answer = capsule.ask("PUT", f"/opportunities/{capsule.opportunity()['id']}", json={"opportunity": {key: value}})
    assert answer.status_code == status


def test_additional_parties_come_and_go(capsule: Capsule) -> None:
    """§3.10, §5.1."""
    deal, extra = capsule.opportunity(), capsule.person()["id"]
    root = f"/opportunities/{deal['id']}/parties"
    assert capsule.ask("POST", f"{root}/{extra}").status_code == 204
    assert text_of(capsule.ask("POST", f"{root}/{extra}")) == "party is already a contact for this opportunity"
    assert text_of(capsule.ask("POST", f"{root}/{deal['party']['id']}")) == "party is already related to this opportunity"
    assert [party["id"] for party in capsule.get(root)["parties"]] == [extra]
    assert capsule.get(f"/parties/{extra}/opportunities")["opportunities"] == []
    capsule.switch(related_includes_additional="yes")
    assert len(capsule.get(f"/parties/{extra}/opportunities")["opportunities"]) == 1
    assert capsule.ask("DELETE", f"{root}/{extra}").status_code == 204
    assert capsule.ask("DELETE", f"{root}/{extra}").status_code == 404


def test_a_project_has_a_status_and_may_leave_its_board(capsule: Capsule) -> None:
    """§4.3."""
    stage = capsule.get("/stages")["stages"][0]
    party = capsule.organisation()["id"]
    kase = capsule.make("kase", "kases", name="Research", party=party, stage=stage["id"])
    assert (kase["status"], kase["stage"]) == ("OPEN", {"name": stage["name"], "id": stage["id"]})
    path = f"/kases/{kase['id']}"
    assert capsule.put(path, "kase", stage=None)["stage"] is None
    closed = capsule.put(path, "kase", status="CLOSED")
    assert closed["closedOn"] is not None
    assert capsule.put(path, "kase", status="OPEN")["closedOn"] is None


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"status": "PENDING"}, "cannot set task status to PENDING"),
        ({"description": None}, "description is required"),
        ({"dueTime": "25:00"}, "dueTime: invalid value"),
    ],
    ids=["pending", "description", "time"],
)
def test_a_faulty_task_is_refused(capsule: Capsule, more: dict[str, Any], text: str) -> None:
    """§3.10, §4.4."""
    body = {"description": "Call", "dueOn": "2026-01-01", **more}
    assert text_of(capsule.ask("POST", "/tasks", json={"task": body})) == text


def test_a_task_has_one_parent_at_most(capsule: Capsule) -> None:
    """§4.4."""
    deal = capsule.opportunity()
    body = {"description": "Call", "dueOn": "2026-01-01", "party": deal["party"]["id"], "opportunity": deal["id"]}
    answer = capsule.ask("POST", "/tasks", json={"task": body})
    assert text_of(answer) == "task can be related to at most one entity"


def test_completing_a_task_says_who_and_when(capsule: Capsule) -> None:
    """§4.4."""
    task = capsule.make("task", "tasks", description="Call", dueOn="2026-01-01")
    done = capsule.put(f"/tasks/{task['id']}", "task", status="COMPLETED")
    assert (done["status"], done["completedBy"]) == ("COMPLETED", "integration.user")
    assert done["completedAt"] is not None
