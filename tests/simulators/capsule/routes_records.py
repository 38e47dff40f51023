"""The paths of records: lists, show, several at once, create, update, delete, search, filters, deleted lists (§5.1)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from tests.simulators.capsule import filters, search
from tests.simulators.capsule.account import PLURALS
from tests.simulators.capsule.calls import BASE, Call, Desk, no_content, path_id
from tests.simulators.capsule.commit import commit_delete
from tests.simulators.capsule.entries import create_entry, update_entry
from tests.simulators.capsule.errors import NotFound, Refusal, bad_request, invalid
from tests.simulators.capsule.kases import create_kase, update_kase
from tests.simulators.capsule.opportunities import create_opportunity, update_opportunity
from tests.simulators.capsule.paging import page_of
from tests.simulators.capsule.parties import create_party, update_party
from tests.simulators.capsule.shapes import moment
from tests.simulators.capsule.tasks import create_task, update_task
from tests.simulators.capsule.values import instant
from tests.simulators.control import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulators.capsule.account import Account, Record
    from tests.simulators.capsule.shapes import Document

    Create = Callable[[Account, dict[str, Any], int], Record]
    Update = Callable[[Account, int, dict[str, Any], int], Record]

MULTIGET = 10
STATUSES = frozenset({"open", "completed", "pending"})
WRITERS: dict[str, tuple[Create, Update]] = {
    "party": (create_party, update_party),
    "opportunity": (create_opportunity, update_opportunity),
    "kase": (create_kase, update_kase),
    "task": (create_task, update_task),
    "entry": (create_entry, update_entry),
}


def answer_list(call: Call, kind: str, ids: Sequence[int], *, largest: int = 100) -> Response:
    """A page of records in the list wrapper."""
    account, control = call.account, call.desk.control
    page = page_of(call.request, control, ids, largest=largest)
    embed, table = call.embed, account.records[kind]
    document: Document = {PLURALS[kind]: [call.shapes.record(kind, table[number], embed) for number in page.ids]}
    if "meta" in embed:
        document["meta"] = {"totalCount": page.total}
    return Json(document, headers=page.headers)


class RecordRoutes:
    """The paths of one kind of record."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.plural = PLURALS[kind]
        self._create, self._update = WRITERS[kind]

    def routes(self, desk: Desk) -> list[Route]:
        """The routes; fixed names come before ids."""
        root = f"{BASE}/{self.plural}"
        read, write = desk.endpoint, desk.endpoint
        found = [
            Route(root, read(self.list_records), methods=["GET"]),
            Route(root, write(self.create, scope="write"), methods=["POST"]),
        ]
        if self.kind in {"party", "opportunity", "kase"}:
            found += [
                Route(f"{root}/deleted", read(self.deleted), methods=["GET"]),
                Route(f"{root}/search", read(self.search), methods=["GET"]),
                Route(f"{root}/filters", read(lambda _call: Json({"filters": []})), methods=["GET"]),
                Route(f"{root}/filters/results", read(self.filter), methods=["POST"]),
            ]
        return [
            *found,
            Route(f"{root}/{{ids}}", read(self.show), methods=["GET"]),
            Route(f"{root}/{{id}}", write(self.update, scope="write"), methods=["PUT"]),
            Route(f"{root}/{{id}}", write(self.delete, scope="write"), methods=["DELETE"]),
        ]

    def list_records(self, call: Call) -> Response:
        """The list, with `since` where the kind has it (§3.4), by status for tasks (§5.1), newest first for entries (§5.5)."""
        account = call.account
        if self.kind == "entry":
            return answer_list(call, "entry", newest_first(account, account.everything("entry")), largest=50)
        key = call.request.query_params.get("status" if self.kind == "task" else "since", "")
        choose = self._by_status if self.kind == "task" else self._since
        key = f"{key}|{account.control.switches['since_inclusive']}"
        return answer_list(call, self.kind, account.listed(self.kind, key, lambda: choose(call)))

    def create(self, call: Call) -> Response:
        """201 with the record and its URL."""
        record = self._create(call.account, call.wrapped(self.kind), call.token.user)
        return call.created(f"{self.plural}/{record['id']}", self._one(call, record))

    def show(self, call: Call) -> Response:
        """One record, or up to 10 by ids with commas (§3.7), which entries do not have."""
        parts = call.request.path_params["ids"].split(",")
        if len(parts) == 1:
            return Json(self._one(call, call.account.get(self.kind, path_id(parts[0]))))
        if self.kind == "entry":
            raise NotFound
        control = call.desk.control
        if len(parts) > MULTIGET:
            raise Refusal(int(control.switches["multiget_over"]), {"message": "too many ids"})
        wanted = list(dict.fromkeys(path_id(part) for part in parts))
        ids = [number for number in wanted if call.account.visible(self.kind, number)]
        if len(ids) < len(wanted) and control.switches["multiget_unknown"] == "fail":
            raise NotFound(self.kind)
        if control.switches["multiget_order"] == "id":
            ids.sort()
        table, embed = call.account.records[self.kind], call.embed
        return Json({self.plural: [call.shapes.record(self.kind, table[number], embed) for number in ids]})

    def update(self, call: Call) -> Response:
        """200 with the record after the merge (§5.2)."""
        number = call.number("id")
        call.account.get(self.kind, number)
        return Json(self._one(call, self._update(call.account, number, call.wrapped(self.kind), call.token.user)))

    def delete(self, call: Call) -> Response:
        """204, or 202 with a job when much goes with it (§5.6)."""
        others = commit_delete(call.account, self.kind, call.number("id"))
        if others < call.desk.control.limits["big_cascade"]:
            return no_content()
        return queued(call, f"Deleting {self.kind.capitalize()}")

    def search(self, call: Call) -> Response:
        """What the web's search would find (§3.8)."""
        found = search.found(call.account, self.kind, call.request.query_params.get("q", ""))
        return answer_list(call, self.kind, call.account.ordered(self.kind, found))

    def filter(self, call: Call) -> Response:
        """What a filter finds (§3.9): a read, though it is a POST."""
        return answer_list(call, self.kind, filters.results(call.account, self.kind, call.document()))

    def deleted(self, call: Call) -> Response:
        """What was deleted, and what became hidden, after `since` (§3.6). No paging is documented, so there is none."""
        account = call.account
        since = instant(call.request.query_params.get("since"), "since")
        if since is None:
            if account.control.switches["deleted_needs_since"] == "all" or self.kind == "party":
                raise invalid("since is required", resource=self.kind, field="since")
            since = 0.0
        gone = [(at, number) for number, at in account.deleted[self.kind].items() if self._after(account, at, since)]
        shown: Document = {
            self.plural: [{"id": number, "deletedAt": moment(at)} for at, number in sorted(gone)],
        }
        hidden = [
            call.shapes.restricted(self.kind, number)
            for (kind, number), at in account.restricted.items()
            if kind == self.kind and self._after(account, at, since)
        ]
        if hidden:
            shown[f"restricted{self.plural.capitalize()}"] = hidden
        return Json(shown)

    def _one(self, call: Call, record: Record) -> Document:
        """A record in its wrapper."""
        return {self.kind: call.shapes.record(self.kind, record, call.embed)}

    def _since(self, call: Call) -> list[int]:
        """The ids of a list by `since`."""
        account = call.account
        since = instant(call.request.query_params.get("since"), "since")
        ids = account.everything(self.kind)
        if since is None:
            return ids
        table = account.records[self.kind]
        return [number for number in ids if self._after(account, table[number]["updatedAt"], since)]

    @staticmethod
    def _after(account: Account, at: int, since: float) -> bool:
        """Whether a time comes after `since` (switch since_inclusive)."""
        return at >= since if account.control.is_on("since_inclusive") else at > since

    def _by_status(self, call: Call) -> list[int]:
        """The ids of tasks by status: open alone unless others are asked for."""
        wanted = set(call.request.query_params.get("status", "open").lower().split(","))
        if not wanted <= STATUSES:
            raise bad_request("status: invalid value")
        table = call.account.records["task"]
        return [number for number in call.account.everything("task") if table[number]["status"].lower() in wanted]


def newest_first(account: Account, ids: Sequence[int]) -> list[int]:
    """Entries by `entryAt`, newest first."""
    table = account.records["entry"]
    return sorted(ids, key=lambda number: (table[number]["entryAt"], number), reverse=True)


def queued(call: Call, action: str) -> Response:
    """202 with a job, which is done by the time anyone asks."""
    number = str(uuid.uuid4())
    call.account.jobs[number] = {"status": "completed", "progress": 100, "action": action, "id": number}
    location = str(call.request.url.replace(path=f"{BASE}/jobs/{number}", query=""))
    return Response(status_code=202, headers={"Location": location})
