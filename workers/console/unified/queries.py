"""What the query string asks (reference/unified-crm.md §1.3): paging, form, filters. Pure.

Objects are written `owner[id]=1`, lists `tags[][name]=VIP`, comparisons `updated_at[gt]=2026-01-01T00:00:00Z`. A parameter that
is not known is refused, with those that are: a filter that is dropped in silence would answer too much.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.console.unified.problems import Problem, failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USUAL: Final = 50
MOST: Final = 100
LONGEST_VALUE: Final = 500
MOST_PARAMETERS: Final = 200
OPERATORS: Final = ("eq", "gt", "gte", "lt", "lte")
FORMATS: Final = ("unified", "raw")
CONTROLS: Final = (
    "integrated_account_id",
    "limit",
    "next_cursor",
    "prev_cursor",
    "read",
    "search_term",
    "sort_by",
    "truto_exclude_fields",
    "truto_ignore_limit",
    "truto_ignore_remote_data",
    "truto_response_format",
)
_KEY: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,60})((?:\[[^\[\]]{0,200}\]){0,4})")
_INNER: Final = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: `name` in dots (`owner.id`), `part` the key of a custom field, `operator` one of OPERATORS."""

    name: str
    operator: str
    value: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a list or a record."""

    limit: int = USUAL
    cursor: str = ""
    cached: bool = False
    raw: bool = False
    remote_data: bool = False
    without: frozenset[str] = frozenset()
    search: str = ""
    sort: tuple[str, str] | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def essence(self) -> str:
        """What a cursor belongs to: everything that decides which records come, in which order."""
        conditions = sorted((one.name, one.part, one.operator, one.value) for one in self.conditions)
        return repr((self.cached, self.search, self.sort, conditions))


def parse(pairs: Sequence[tuple[str, str]], *, filters: Iterable[str], dated: Iterable[str], listing: bool) -> Ask:
    """Reads the parameters. `filters` are the names that this model takes (in dots), `dated` those that take operators.

    Raises:
        Problem: 400, naming every parameter that cannot be read.
    """
    known, comparable = set(filters), set(dated)
    if len(pairs) > MOST_PARAMETERS:
        raise Problem(400, f"There are more than {MOST_PARAMETERS} parameters.")
    single: dict[str, str] = {}
    without: set[str] = set()
    conditions: list[Condition] = []
    sort: tuple[str, str] | None = None
    faults: list[tuple[str, str, str]] = []
    for key, value in pairs:
        form = _KEY.fullmatch(key)
        name, inner = (form.group(1), _INNER.findall(form.group(2))) if form is not None else (key, [])
        if len(value) > LONGEST_VALUE and name not in ("next_cursor", "prev_cursor"):
            faults.append((key[:60], f"is longer than {LONGEST_VALUE} characters", ""))
        elif name == "truto_exclude_fields":
            without.update(part for part in value.split(",") if part)
        elif name == "sort_by" and listing:
            sort = (".".join(part for part in inner if part), value)
        elif name in CONTROLS and not inner and (listing or name not in ("limit", "next_cursor", "prev_cursor", "search_term")):
            single[name] = value
        elif listing and (found := _condition(name, inner, value, known, comparable)) is not None:
            conditions.append(found)
        else:
            faults.append((key[:60], "is not a parameter that can be served here", _hint(known, listing=listing)))
    ask = _controls(single, faults)
    if faults:
        raise failures(400, "The question cannot be served.", faults)
    return Ask(
        limit=ask.limit,
        cursor=ask.cursor,
        cached=ask.cached,
        raw=ask.raw,
        remote_data=ask.remote_data,
        without=frozenset(without),
        search=ask.search,
        sort=sort,
        conditions=tuple(conditions),
    )


def _condition(name: str, inner: list[str], value: str, known: set[str], comparable: set[str]) -> Condition | None:
    if name == "custom_fields" and name in known and len(inner) == 1:
        return Condition(name, "eq", value, part=inner[0])
    path = [name, *(part for part in inner if part)]
    operator = "eq"
    if len(path) > 1 and path[-1] in OPERATORS and (".".join(path[:-1]) in comparable or path[-1] == "eq"):
        operator = path.pop()
    dotted = ".".join(path)
    return Condition(dotted, operator, value) if dotted in known and dotted != "custom_fields" else None


def _controls(single: dict[str, str], faults: list[tuple[str, str, str]]) -> Ask:
    def one_of(name: str, *words: str) -> str:
        value = single.get(name, words[0])
        if value not in words:
            faults.append((name, "cannot be that", f"It is one of {', '.join(word or '(empty)' for word in words)}."))
        return value

    limit = single.get("limit", str(USUAL))
    number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) <= len(str(MOST)) else 0
    if not 1 <= number <= MOST:
        faults.append(("limit", f"is not a number from 1 to {MOST}", "Follow next_cursor for more."))
    one_of("truto_ignore_limit", "false", "true")
    if "search_term" in single and not single["search_term"].strip():
        faults.append(("search_term", "is empty", "Leave it out."))
    return Ask(
        limit=MOST if single.get("truto_ignore_limit") == "true" else number,
        cursor=single.get("next_cursor") or single.get("prev_cursor") or "",
        cached=one_of("read", "live", "cache") == "cache",
        raw=one_of("truto_response_format", *FORMATS) == "raw",
        remote_data=one_of("truto_ignore_remote_data", "true", "false") == "false",
        search=single.get("search_term", "").strip(),
    )


def _hint(known: set[str], *, listing: bool) -> str:
    names = [*CONTROLS, *sorted(known)] if listing else ["integrated_account_id", "read", "truto_*"]
    return f"These can: {', '.join(names)}."
