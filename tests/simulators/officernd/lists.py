"""List pages: `$limit`, cursors, `$select`, `$sort` (reference/officernd.md §2.4, §2.5)."""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import orjson

from tests.simulators.officernd.answers import Refusal
from tests.simulators.officernd.filters import Filters, Values, read_filters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.simulators.control import Control, Document
    from tests.simulators.officernd.store import Store

MOST = 50
FALL_BACK = 20
EVERYTHING = -1
PAGING = ("$limit", "$cursorNext", "$cursorPrev", "$select", "$sort")
SORTS = {
    "members": ("name", "email", "location", "company", "status", "modifiedAt"),
    "companies": ("name", "email", "startDate"),
}
NO_ROWS = "Cannot read properties of undefined (reading '_id')"

_WHOLE = re.compile(r"-?[0-9]{1,9}")
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a walk: the key that orders it, how many records lie before, and the value of the key there."""

    key: str
    position: int
    value: str

    def text(self) -> str:
        """The cursor as the vendor prints it: compact JSON in base64url without padding (§2.4)."""
        content = orjson.dumps({"k": self.key, "p": self.position, "v": self.value})
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Query:
    """A list request that was understood."""

    filters: Filters
    limit: int
    select: tuple[str, ...] | None
    sort: str
    descending: bool
    onward: str | None
    back: str | None


def read_query(store: Store, control: Control, resource: str, text: str) -> Query:
    """Understand a query string.

    Raises:
        Refusal: 400 with every fault, or 500 for an id that is none.
    """
    keys = _grouped(text)
    paging = {name: keys.pop(name) for name in PAGING if name in keys and (name != "$sort" or resource in SORTS)}
    faults: list[str] = []
    limit = _limit(_single(paging, "$limit", faults), faults)
    select = _single(paging, "$select", faults)
    if select is not None and not select.strip(","):
        faults.append("$select should not be empty")
    sort, descending = _sort(paging.get("$sort"), SORTS.get(resource, ()), faults)
    onward, back = _single(paging, "$cursorNext", faults), _single(paging, "$cursorPrev", faults)
    filters = read_filters(store, control, resource, keys)
    faults += filters.faults
    if faults:
        raise Refusal(400, faults)
    names = None if select is None else tuple(name.strip() for name in select.split(","))
    return Query(filters, limit, names, sort, descending, onward, back)


def page(store: Store, control: Control, resource: str, query: Query) -> Document:
    """The page that a query asks for, with its cursors.

    Raises:
        Refusal: 500, for a cursor that is none and for `$limit=-2`.
    """
    onward, back = _cursor(query.onward, query.sort), _cursor(query.back, query.sort)
    rows, before, more = _rows(store, resource, query, onward, back)
    first = onward.position if onward else 0
    if back:
        first = max(back.position - len(rows), 0)
    key = query.sort
    shown = [store.shown(resource, row) for row in rows]
    answer: Document = {"rangeStart": first + 1 if rows else 0, "rangeEnd": first + len(rows) if rows else 0}
    if rows and more:
        answer["cursorNext"] = Cursor(key, first + len(rows), _value(shown[-1], key)).text()
    if rows and before:
        answer["cursorPrev"] = Cursor(key, first, _value(shown[0], key)).text()
    if query.onward and control.is_on("repeated_cursor"):
        answer["cursorNext"] = query.onward
    answer["results"] = shown if query.select is None else [_selected(row, query.select) for row in shown]
    return answer


def _rows(
    store: Store, resource: str, query: Query, onward: Cursor | None, back: Cursor | None
) -> tuple[list[Document], bool, bool]:
    """The records of a page, whether there are some before it, and whether there are more after it."""
    if back is None and query.sort == "_id" and not query.descending:
        rows, ids = store[resource].rows, _candidates(store, resource, query.filters)
        low = bisect_right(ids, onward.value) if onward else 0
        wanted = None if query.limit == EVERYTHING else abs(query.limit) + 1
        tail = (rows[ids[n]] for n in range(low, len(ids)) if query.filters.passes(rows[ids[n]]))
        found, more = _cut(list(islice(tail, wanted)), query.limit)
        return found, onward is not None, more
    ordered = _ordered(store, resource, query)
    if back is not None:
        earlier = [row for value, row in ordered if _follows(back.value, value, query)]
        found, more = _cut(earlier[::-1], query.limit)
        return found[::-1], more, True
    later = [row for value, row in ordered if onward is None or _follows(value, onward.value, query)]
    found, more = _cut(later, query.limit)
    return found, onward is not None, more


def _cut(rows: list[Document], limit: int) -> tuple[list[Document], bool]:
    """The records that a page shows of those left to show, and whether there are more.

    Raises:
        Refusal: 500 for `$limit=-2` and the like: a negative limit fetches one less than asked and drops the last (§2.4).
    """
    if limit == EVERYTHING:
        return rows, False
    if limit > 0:
        return rows[:limit], len(rows) > limit
    fetched = rows[: -limit - 1]
    if len(fetched) <= 1:
        raise Refusal(500, NO_ROWS)
    return fetched[:-1], True


def _follows(value: str, mark: str, query: Query) -> bool:
    """Whether a value comes after a cursor's; records with an equal one are lost between pages (§3.9)."""
    return value < mark if query.descending else value > mark


def _ordered(store: Store, resource: str, query: Query) -> list[tuple[str, Document]]:
    """Every matching record with its place in the order that was asked for; equal ones by `_id`."""
    rows = store[resource].rows
    matching = [
        rows[identity] for identity in _candidates(store, resource, query.filters) if query.filters.passes(rows[identity])
    ]
    placed = [(_value(store.shown(resource, row), query.sort), row) for row in matching]
    return sorted(placed, key=itemgetter(0), reverse=query.descending)


def _candidates(store: Store, resource: str, filters: Filters) -> list[str]:
    """The ids, in order, among which the matching records are."""
    collection = store[resource]
    if not filters.exact:
        return collection.ids
    sets = [collection.matching(field, value) for field, value in filters.exact]
    return sorted(set.intersection(*sets))


def _value(row: Document, key: str) -> str:
    """What a record is ordered by; nothing comes before everything."""
    return str(row.get(key) or "")


def _selected(row: Document, names: Iterable[str]) -> Document:
    """The keys that `$select` asked for, with `_id`; unknown ones are ignored (§2.5)."""
    return {"_id": row["_id"], **{name: row[name] for name in names if name in row}}


def _grouped(text: str) -> dict[str, Values]:
    """The query by key and brackets."""
    keys: dict[str, Values] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        parts = _KEY.fullmatch(name)
        key, brackets = (parts[1], tuple(re.findall(r"\[([^\[\]]*)\]", parts[2]))) if parts else (name, ())
        keys.setdefault(key, {}).setdefault(brackets, []).append(value)
    return keys


def _single(paging: dict[str, Values], name: str, faults: list[str]) -> str | None:
    """The one value of a paging key."""
    values = paging.get(name)
    if values is None:
        return None
    if set(values) != {()} or len(values[()]) != 1:
        faults.append(f"{name} must be a string")
        return None
    return values[()][0]


def _limit(text: str | None, faults: list[str]) -> int:
    """`$limit` as §2.4 observed it: 50 when left out, 20 for 0."""
    if text is None:
        return MOST
    if _WHOLE.fullmatch(text) is None:
        faults.append("$limit must be a number conforming to the specified constraints")
        return MOST
    limit = int(text)
    if limit > MOST:
        faults.append(f"$limit must not be greater than {MOST}")
    return limit or FALL_BACK


def _sort(values: Values | None, allowed: tuple[str, ...], faults: list[str]) -> tuple[str, bool]:
    """`$sort` in its three likely forms: in brackets, as JSON, and as `field:asc` (§2.5)."""
    if values is None:
        return "_id", False
    pairs = [(brackets[0], given[0]) for brackets, given in values.items() if len(brackets) == 1]
    if not pairs and () in values:
        text = values[()][0]
        try:
            document = orjson.loads(text)
            pairs = list(document.items()) if isinstance(document, dict) else []
        except orjson.JSONDecodeError:
            field, _, direction = text.partition(":")
            pairs = [(field, direction)]
    if len(pairs) != 1 or pairs[0][0] not in allowed or pairs[0][1] not in {"asc", "desc"}:
        faults.append(f"$sort must be one of the following values: {', '.join(allowed)}, with asc or desc")
        return "_id", False
    return pairs[0][0], pairs[0][1] == "desc"


def _cursor(text: str | None, key: str) -> Cursor | None:
    """The cursor that was sent. Raises a 500 with a JSON parser's words for anything else (§2.4)."""
    if text is None:
        return None
    if not text:
        raise Refusal(500, "Unexpected end of JSON input")
    try:
        padded = text + "=" * (-len(text) % 4)
        document = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        cursor = Cursor(document["k"], document["p"], document["v"])
    except (binascii.Error, ValueError, TypeError, KeyError) as problem:
        raise Refusal(500, f"Unexpected token {text[0]} in JSON at position 0") from problem
    if cursor.key != key or not isinstance(cursor.position, int) or not isinstance(cursor.value, str):
        raise Refusal(500, NO_ROWS)
    return cursor
