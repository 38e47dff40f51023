"""The paths of reference data: pipelines, milestones, boards, users, teams, site and the dictionaries (§4.6, §5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.simulators.capsule.calls import BASE, Call, Desk
from tests.simulators.capsule.countries import COUNTRIES, CURRENCIES
from tests.simulators.capsule.errors import NotFound, invalid, required
from tests.simulators.capsule.paging import page_of
from tests.simulators.capsule.values import reference, text, whole
from tests.simulators.control import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from tests.simulators.capsule.account import Account, Record
    from tests.simulators.capsule.calls import Handler
    from tests.simulators.capsule.shapes import Document

PLAIN = {
    "lostreasons": ("lostReason", "lostReasons"),
    "categories": ("category", "categories"),
    "activitytypes": ("activityType", "activityTypes"),
}


def reference_routes(desk: Desk) -> list[Route]:
    """All routes of this module."""
    read = desk.endpoint
    plain = [
        route
        for path, (sort, plural) in PLAIN.items()
        for route in (
            Route(f"{BASE}/{path}", read(_rows(sort, plural)), methods=["GET"]),
            Route(f"{BASE}/{path}/{{id}}", read(_row(sort)), methods=["GET"]),
        )
    ]
    return [
        Route(f"{BASE}/pipelines", read(pipelines), methods=["GET"]),
        Route(f"{BASE}/pipelines/{{id}}", read(_row("pipeline")), methods=["GET"]),
        Route(f"{BASE}/pipelines/{{id}}/milestones", read(milestones_of_pipeline), methods=["GET"]),
        Route(f"{BASE}/milestones", read(milestones), methods=["GET"]),
        Route(f"{BASE}/milestones", read(create_milestone, scope="write"), methods=["POST"]),
        Route(f"{BASE}/milestones/all", read(all_milestones), methods=["GET"]),
        Route(f"{BASE}/milestones/{{id}}", read(milestone), methods=["GET"]),
        Route(f"{BASE}/boards", read(_rows("board", "boards")), methods=["GET"]),
        Route(f"{BASE}/boards/{{id}}", read(_row("board")), methods=["GET"]),
        Route(f"{BASE}/boards/{{id}}/stages", read(stages_of_board), methods=["GET"]),
        Route(f"{BASE}/stages", read(stages), methods=["GET"]),
        Route(f"{BASE}/users", read(users), methods=["GET"]),
        Route(f"{BASE}/users/current", read(current_user), methods=["GET"]),
        Route(f"{BASE}/users/{{id}}", read(user), methods=["GET"]),
        Route(f"{BASE}/teams", read(teams), methods=["GET"]),
        Route(f"{BASE}/teams/{{id}}", read(team), methods=["GET"]),
        Route(f"{BASE}/site", read(site), methods=["GET"]),
        Route(f"{BASE}/countries", read(lambda _call: Json({"countries": COUNTRIES})), methods=["GET"]),
        Route(f"{BASE}/currencies", read(lambda _call: Json({"currencies": CURRENCIES})), methods=["GET"]),
        Route(f"{BASE}/jobs/{{uuid}}", read(job), methods=["GET"]),
        *plain,
    ]


def active_pipelines(account: Account) -> list[Record]:
    """The pipelines that are not archived, oldest first."""
    rows = [row for row in account.reference["pipeline"].values() if not row["deleted"]]
    return sorted(rows, key=lambda row: (row["createdAt"], row["id"]))


def pipelines(call: Call) -> Response:
    """The active pipelines; `q` is part of the name."""
    wanted = call.request.query_params.get("q", "").casefold()
    rows = {row["id"]: row for row in active_pipelines(call.account) if wanted in row["name"].casefold()}
    page = page_of(call.request, call.desk.control, list(rows))
    return Json({"pipelines": [call.shapes.timed(rows[number]) for number in page.ids]}, headers=page.headers)


def milestones(call: Call) -> Response:
    """Only those of the oldest active pipeline: the others stay hidden (§5.4, §6 trap 4)."""
    return _milestones(call, active_pipelines(call.account)[:1])


def all_milestones(call: Call) -> Response:
    """Those of every active pipeline."""
    return _milestones(call, active_pipelines(call.account))


def milestones_of_pipeline(call: Call) -> Response:
    """Those of one pipeline."""
    return _milestones(call, [call.account.find_reference("pipeline", call.number("id"))])


def milestone(call: Call) -> Response:
    """One milestone of any pipeline."""
    return Json({"milestone": call.shapes.milestone(call.account.find_reference("milestone", call.number("id")))})


def create_milestone(call: Call) -> Response:
    """A new milestone; only an administrator may."""
    call.need_administrator()
    body = call.wrapped("milestone")
    name = text(body.get("name"), "name")
    pipeline = reference(call.account, "pipeline", body.get("pipeline"), "pipeline", resource="milestone")
    if name is None or pipeline is None:
        raise required("name" if name is None else "pipeline", resource="milestone")
    probability = whole(body.get("probability"), "probability")
    if probability is None or not 0 <= probability <= 100:
        raise invalid("probability: invalid value", resource="milestone", field="probability")
    row = new_milestone(call.account, name, pipeline=pipeline, probability=probability, complete=body.get("complete") is True)
    return call.created(f"milestones/{row['id']}", {"milestone": call.shapes.milestone(row)})


def new_milestone(account: Account, name: str, *, pipeline: int, probability: int, complete: bool) -> Record:
    """Store a milestone."""
    now = account.now()
    row: Record = {
        "id": account.next_id("milestone"),
        "name": name,
        "description": None,
        "complete": complete,
        "probability": probability,
        "daysUntilStale": None if complete else 30,
        "pipeline": pipeline,
        "createdAt": now,
        "updatedAt": now,
    }
    account.reference["milestone"][row["id"]] = row
    return row


def stages(call: Call) -> Response:
    """The stages of every board."""
    return _stages(call, call.account.reference["stage"].values())


def stages_of_board(call: Call) -> Response:
    """The stages of one board."""
    board = call.account.find_reference("board", call.number("id"))["id"]
    return _stages(call, [row for row in call.account.reference["stage"].values() if row["board"] == board])


def users(call: Call) -> Response:
    """The users; no paging is documented."""
    rows = [row for row in call.account.reference["user"].values() if not row["deleted"]]
    return Json({"users": [call.shapes.user(row, call.embed) for row in rows]})


def user(call: Call) -> Response:
    """One user."""
    row = call.account.find_reference("user", call.number("id"))
    if row["deleted"]:
        raise NotFound("user")
    return Json({"user": call.shapes.user(row, call.embed)})


def current_user(call: Call) -> Response:
    """The user that the token acts for."""
    return Json({"user": call.shapes.user(call.account.reference["user"][call.token.user], call.embed)})


def teams(call: Call) -> Response:
    """The teams."""
    return Json({"teams": [_team(call, row) for row in call.account.reference["team"].values()]})


def team(call: Call) -> Response:
    """One team."""
    return Json({"team": _team(call, call.account.find_reference("team", call.number("id")))})


def site(call: Call) -> Response:
    """The account's address."""
    subdomain = call.desk.subdomain
    return Json({"site": {"url": f"https://{subdomain}.capsulecrm.com", "subdomain": subdomain, "name": "Example Co."}})


def job(call: Call) -> Response:
    """A queued piece of work (§3.10)."""
    found = call.account.jobs.get(call.request.path_params["uuid"])
    if found is None:
        raise NotFound
    return Json({"job": found})


def _rows(sort: str, plural: str) -> Handler:
    """A list of reference data."""

    def handler(call: Call) -> Response:
        rows = call.account.reference[sort]
        return Json({plural: [call.shapes.timed(row) for row in rows.values() if not row.get("deleted")]})

    return handler


def _row(sort: str) -> Handler:
    """One row of reference data."""

    def handler(call: Call) -> Response:
        return Json({sort: call.shapes.timed(call.account.find_reference(sort, call.number("id")))})

    return handler


def _milestones(call: Call, chosen: Iterable[Record]) -> Response:
    """The milestones of some pipelines."""
    wanted = {row["id"] for row in chosen}
    table = call.account.reference["milestone"]
    ids = sorted(number for number, row in table.items() if row["pipeline"] in wanted)
    page = page_of(call.request, call.desk.control, ids)
    return Json({"milestones": [call.shapes.milestone(table[number]) for number in page.ids]}, headers=page.headers)


def _stages(call: Call, rows: Iterable[Record]) -> Response:
    """Stages with their boards."""
    boards = call.account.reference["board"]
    shown = []
    for row in rows:
        board = boards[row["board"]]
        shown.append({**call.shapes.timed(row), "board": {"id": board["id"], "name": board["name"]}})
    return Json({"stages": shown})


def _team(call: Call, row: Record) -> Document:
    """A team; its members only when they are embedded."""
    shown = {key: value for key, value in call.shapes.timed(row).items() if key != "members"}
    if "memberships" in call.embed:
        shown["memberships"] = [{"user": call.shapes.nested_user(number)} for number in sorted(row["members"])]
    return shown
