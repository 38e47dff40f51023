"""The calls to Capsule that the unified API makes, and what is taken from their answers (reference/capsule.md §3, §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from workers.answers import NotJson
from workers.capsule import wire
from workers.capsule.caller import Call
from workers.console.unified import problems
from workers.errors import SystemDown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.answers import Answer, Body
    from workers.capsule.caller import Caller

# Capsule's word for a kind -> the word of its paths and lists.
PATHS: Final = {"party": "parties", "opportunity": "opportunities", "kase": "kases", "task": "tasks", "entry": "entries"}
# What is asked for beside the record (§3.5): whoever reads a kind for its unified form asks for the same.
EMBED: Final = {
    "party": "tags,fields,organisation,missingImportantFields",
    "opportunity": "tags,fields,party,milestone,missingImportantFields",
    "kase": "tags,fields,party,opportunity,missingImportantFields",
    "task": "party,opportunity,kase,owner,nextTask",
    "entry": "party,kase,opportunity,creator,activityType",
    "user": "party",
}
OK: Final = 200
CREATED: Final = 201
NOT_FOUND: Final = 404
LARGEST: Final = 100
LARGEST_ENTRIES: Final = 50  # §3.3
MOST_PAGES: Final = 100


def one(caller: Caller, kind: str, number: int) -> Body | None:
    """A record as it is now; None when it is gone or hidden from us.

    Raises:
        Problem: Capsule refuses. Also as `Caller.ask`.
    """
    call = Call("GET", f"/{PATHS[kind]}/{number:d}", f"GET /{PATHS[kind]}/{{id}}", _embed(kind), reads=True)
    found = document(caller.ask(call), absent=True)
    if found is None:
        return None
    record = found.get(kind)
    if not isinstance(record, dict) or record.get("id") != number or record.get("isRestricted") is True:
        return None
    return record


def page(
    caller: Caller,
    path: str,
    wrapper: str,
    *,
    number: int,
    size: int,
    query: Sequence[tuple[str, str]] = (),
    conditions: Sequence[Mapping[str, Any]] | None = None,
    lane: str = "bulk",
    route: str = "",
) -> tuple[list[Body], bool]:
    """One page of a list or of a filter's results, and whether another follows; of a path that is not there an empty one.

    Raises:
        Problem: Capsule refuses. Also as `Caller.ask`.
    """
    body = None if conditions is None else orjson.dumps({"filter": {"conditions": list(conditions)}})
    paging = (("page", str(number)), ("perPage", str(size)))
    method = "GET" if body is None else "POST"
    call = Call(method, path, f"{method} {route or path}", (*query, *paging), body, reads=True, lane=lane)
    answer = caller.ask(call)
    found = document(answer, absent=True)
    if found is None:
        return [], False
    bodies = wire.many(found, wrapper, route=call.route)
    seen = [body for body in bodies if wire.seen(body) is not None]
    return seen, bool(bodies) and wire.next_page(answer.headers, number) is not None


def everything(caller: Caller, path: str, wrapper: str, *, query: Sequence[tuple[str, str]] = (), route: str = "") -> list[Body]:
    """A whole list of reference data, page by page. Some lists know no pages and answer all at once. Raises as `page`."""
    found: dict[int, Body] = {}
    for number in range(1, MOST_PAGES + 1):
        bodies, more = page(caller, path, wrapper, number=number, size=LARGEST, query=query, lane="live", route=route)
        before = len(found)
        found.update((body["id"], body) for body in bodies)
        if not more or len(found) == before:
            break
    return list(found.values())


def write(caller: Caller, method: str, path: str, route: str, *, body: object = None, kind: str = "") -> Answer:
    """A write, sent once. Raises Problem when Capsule refuses, and as `Caller.ask`."""
    sent = None if body is None else orjson.dumps(body)
    answer = caller.ask(Call(method, path, f"{method} {route}", _embed(kind) if kind else (), sent))
    if answer.status not in (OK, CREATED, 202, 204):
        raise problems.of_answer(answer)
    return answer


def document(answer: Answer, *, absent: bool = False) -> Body | None:
    """The document of a good answer; None for a 404 in Capsule's own form where that may be.

    Raises:
        Problem: Capsule refuses.
        SystemDown: the answer is not Capsule's.
    """
    try:
        found = answer.json() if answer.status in (OK, CREATED, NOT_FOUND) else None
    except NotJson as error:
        raise SystemDown(f"capsule: {answer.status}: {error}", system=wire.SYSTEM, status=answer.status) from None
    if answer.status == NOT_FOUND and absent:
        return None
    if answer.status not in (OK, CREATED):
        raise problems.of_answer(answer)
    if not isinstance(found, dict):
        raise SystemDown(f"capsule: {answer.status}: the answer is not an object", system=wire.SYSTEM, status=answer.status)
    return found


def _embed(kind: str) -> tuple[tuple[str, str], ...]:
    return (("embed", EMBED[kind]),) if kind in EMBED else ()
