"""The paths that lead from one record to others (reference/capsule.md §5.1, §5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.simulators.capsule.account import PLURALS, TAGGED
from tests.simulators.capsule.calls import BASE, Call, Desk, no_content
from tests.simulators.capsule.errors import NotFound, invalid
from tests.simulators.capsule.routes_records import answer_list, newest_first

if TYPE_CHECKING:
    from starlette.responses import Response

    from tests.simulators.capsule.calls import Handler


def related_routes(desk: Desk) -> list[Route]:
    """People, opportunities and projects of a party, projects of an opportunity, additional parties, entries."""
    read = desk.endpoint
    found = [
        Route(f"{BASE}/parties/{{id}}/people", read(people), methods=["GET"]),
        Route(f"{BASE}/parties/{{id}}/opportunities", read(_of_party("opportunity")), methods=["GET"]),
        Route(f"{BASE}/parties/{{id}}/kases", read(_of_party("kase")), methods=["GET"]),
        Route(f"{BASE}/opportunities/{{id}}/kases", read(_kases_of_opportunity), methods=["GET"]),
    ]
    found += [Route(f"{BASE}/{PLURALS[kind]}/{{id}}/entries", read(_entries_of(kind)), methods=["GET"]) for kind in TAGGED]
    for kind in ("opportunity", "kase"):
        root = f"{BASE}/{PLURALS[kind]}/{{id}}/parties"
        found += [
            Route(root, read(_additional(kind)), methods=["GET"]),
            Route(f"{root}/{{party}}", desk.endpoint(_add_party(kind), scope="write"), methods=["POST"]),
            Route(f"{root}/{{party}}", desk.endpoint(_remove_party(kind), scope="write"), methods=["DELETE"]),
        ]
    return found


def people(call: Call) -> Response:
    """The people of an organisation; a person gives an empty list."""
    number = call.number("id")
    call.account.get("party", number)
    ids = [person for person in call.account.people_of.get(number, ()) if call.account.visible("party", person)]
    return answer_list(call, "party", call.account.ordered("party", ids))


def _of_party(kind: str) -> Handler:
    """The records of a kind whose party this is; with additional ones by switch (§5.1: not stated)."""

    def handler(call: Call) -> Response:
        number = call.number("id")
        call.account.get("party", number)
        table = call.account.records[kind]
        more = call.desk.control.is_on("related_includes_additional")
        ids = [
            one
            for one in call.account.everything(kind)
            if table[one]["party"] == number or (more and number in table[one]["parties"])
        ]
        return answer_list(call, kind, call.account.ordered(kind, ids))

    return handler


def _kases_of_opportunity(call: Call) -> Response:
    """The projects that came from an opportunity."""
    number = call.number("id")
    call.account.get("opportunity", number)
    table = call.account.records["kase"]
    ids = [one for one in call.account.everything("kase") if table[one]["opportunity"] == number]
    return answer_list(call, "kase", call.account.ordered("kase", ids))


def _entries_of(kind: str) -> Handler:
    """The entries filed on this very record, newest first, at most 50 a page (§3.3, §4.5)."""

    def handler(call: Call) -> Response:
        number = call.number("id")
        call.account.get(kind, number)
        table = call.account.records["entry"]
        ids = [one for one in call.account.everything("entry") if table[one][kind] == number]
        return answer_list(call, "entry", newest_first(call.account, ids), largest=50)

    return handler


def _additional(kind: str) -> Handler:
    """The additional parties of a record."""

    def handler(call: Call) -> Response:
        ids = [party for party in call.account.get(kind, call.number("id"))["parties"] if call.account.visible("party", party)]
        return answer_list(call, "party", ids)

    return handler


def _add_party(kind: str) -> Handler:
    """204, or 422 when the party is there already. No event tells of it (§1.4: not documented)."""

    def handler(call: Call) -> Response:
        record = call.account.get(kind, call.number("id"))
        party = call.number("party")
        call.account.get("party", party)
        if party == record["party"]:
            raise invalid(f"party is already related to this {kind}", resource=kind, field="party")
        if party in record["parties"]:
            raise invalid(f"party is already a contact for this {kind}", resource=kind, field="party")
        call.account.put(kind, {**record, "parties": [*record["parties"], party]})
        return no_content()

    return handler


def _remove_party(kind: str) -> Handler:
    """204, or 404 when the party is not there."""

    def handler(call: Call) -> Response:
        record = call.account.get(kind, call.number("id"))
        party = call.number("party")
        if party not in record["parties"]:
            raise NotFound("party")
        call.account.put(kind, {**record, "parties": [one for one in record["parties"] if one != party]})
        return no_content()

    return handler
