"""`POST /{entity}/filters/results` (reference/capsule.md §3.9): conditions, all of which must hold.

The JSON of a nested group is unknown, so a condition that holds other conditions is refused. A field of the reference that
this simulator has no data for (stale, tracks, conversion) is refused as unknown: stricter, never kinder.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.errors import bad_request, invalid
from tests.simulators.capsule.filter_fields import FIELDS, Question, custom_question
from tests.simulators.capsule.values import is_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.simulators.capsule.account import Account, Record

OPERATORS = {
    "boolean": {"is", "is not"},
    "date": {"is", "is not", "is after", "is before", "is older than", "is within last", "is within next"},
    "number": {"is", "is not", "is greater than", "is less than"},
    "string": {"is", "is not", "starts with", "ends with", "contains"},
    "choice": {"is", "is not"},
}


def results(account: Account, kind: str, body: object) -> list[int]:
    """The ids of the records for which every condition holds, in the order of lists or of `orderBy` (by switch)."""
    wanted = body.get("filter") if isinstance(body, dict) else None
    if not isinstance(wanted, dict) or not isinstance(wanted.get("conditions"), list):
        raise bad_request("filter.conditions is required")
    tests = [_condition(account, kind, condition) for condition in wanted["conditions"]]
    records = account.records[kind]
    ids = [number for number in account.everything(kind) if all(test(records[number]) for test in tests)]
    ordered = account.ordered(kind, ids)
    if account.control.switches["filter_order_by"] == "honoured":
        for key in reversed(wanted.get("orderBy") or []):
            question = _question(account, kind, key.get("field"))
            ordered.sort(
                key=lambda number, ask=question.ask: str(next(iter(ask(account, records[number])), "")),  # type: ignore[misc]
                reverse=key.get("direction") == "descending",
            )
    return ordered


def _question(account: Account, kind: str, field: object) -> Question:
    """What a field asks of a record. Raises 422 `invalid field name`."""
    name = field if isinstance(field, str) else ""
    question = FIELDS[kind].get(name) or custom_question(account, kind, name)
    if question is None:
        raise invalid("invalid field name", resource="filter", field="field")
    return question


def _condition(account: Account, kind: str, condition: object) -> Callable[[Record], bool]:
    """A condition as a test of one record."""
    if not isinstance(condition, dict) or "conditions" in condition:
        raise bad_request("condition: invalid type")
    question = _question(account, kind, condition.get("field"))
    operator, value = condition.get("operator"), condition.get("value")
    if operator not in OPERATORS[question.sort]:
        raise invalid("invalid operator", resource="filter", field="operator")
    negative = operator == "is not"
    holds = _holds(account, question.sort, "is" if negative else operator, value)

    def test(record: Record) -> bool:
        return holds(question.ask(account, record)) is not negative

    return test


def _holds(account: Account, sort: str, operator: str, value: Any) -> Callable[[Iterable[Any]], bool]:
    """Whether an operator holds for the values that a record has for a field; it may have several, or none."""
    if value is None:
        if operator != "is":
            raise _wrong_value()
        return lambda held: not any(one is not None for one in held)
    if sort == "date":
        return _date_holds(account, operator, value)
    if sort == "boolean":
        if not isinstance(value, bool):
            raise _wrong_value()
        return lambda held: value in set(held)
    if sort == "number":
        return _number_holds(operator, value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise _wrong_value()
    return _text_holds(operator, str(value).casefold())


def _text_holds(operator: str, wanted: str) -> Callable[[Iterable[Any]], bool]:
    """Text operators, without regard to case."""
    compare: dict[str, Callable[[str], bool]] = {
        "is": lambda one: one == wanted,
        "starts with": lambda one: one.startswith(wanted),
        "ends with": lambda one: one.endswith(wanted),
        "contains": lambda one: wanted in one,
    }
    test = compare[operator]
    return lambda held: any(one is not None and test(str(one).casefold()) for one in held)


def _number_holds(operator: str, value: object) -> Callable[[Iterable[Any]], bool]:
    """Number operators; an amount may be given as `{"currency", "amount"}`."""
    amount = value.get("amount") if isinstance(value, dict) else value
    try:
        wanted = float(amount)  # type: ignore[arg-type]  # anything that is no number is refused below
    except (TypeError, ValueError):
        raise _wrong_value() from None
    compare: dict[str, Callable[[float], bool]] = {
        "is": lambda one: one == wanted,
        "is greater than": lambda one: one > wanted,
        "is less than": lambda one: one < wanted,
    }
    test = compare[operator]
    return lambda held: any(one is not None and test(float(one)) for one in held)


def _date_holds(account: Account, operator: str, value: object) -> Callable[[Iterable[Any]], bool]:
    """Date operators work on whole days (UTC)."""
    today = dt.datetime.fromtimestamp(account.now(), dt.UTC).date()
    if operator in {"is", "is after", "is before"}:
        if not isinstance(value, str) or not is_day(value):
            raise _wrong_value()
        limit = value
    else:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_value()
        limit = (today + dt.timedelta(days=value if operator == "is within next" else -value)).isoformat()
    now = today.isoformat()
    compare: dict[str, Callable[[str], bool]] = {
        "is": lambda one: one == limit,
        "is after": lambda one: one > limit,
        "is before": lambda one: one < limit,
        "is older than": lambda one: one < limit,
        "is within last": lambda one: limit <= one <= now,
        "is within next": lambda one: now <= one <= limit,
    }
    test = compare[operator]
    return lambda held: any(one is not None and test(one) for one in held)


def _wrong_value() -> Exception:
    """422 for a value that does not suit the operator."""
    return invalid("invalid value", resource="filter", field="value")
