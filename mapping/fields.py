"""An operator's own fields: JMESPath expressions on the Capsule record (DESIGN.md §6, `[connections.NAME.fields]`).

An expression is compiled once, when the rules are read, and everything that can be known to be wrong then is told then:
syntax, unknown functions, wrong numbers of arguments, targets that OfficeRnD does not take.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from mapping import officernd_fields, values
from mapping.errors import ExpressionInvalid, ValueUnusable

if TYPE_CHECKING:
    from mapping.values import Json

# What the rules themselves fill: an own field for one of these would contradict them.
RESERVED: Final = frozenset(
    {
        "location",
        "company",
        "member",
        "status",
        "probability",
        "dealSize",
        officernd_fields.LINK,
        officernd_fields.TWITTER,
        officernd_fields.PHONE,
        officernd_fields.LOCATION,
        officernd_fields.DEAL_SIZE,
        officernd_fields.PROBABILITY,
    }
)

_MOST_CHARACTERS: Final = 1000  # of an expression: far more than anyone writes, and too few to nest without end


@dataclass(frozen=True, slots=True)
class OwnField:
    """One own field: the flat name of the target, the expression as written, and compiled."""

    target: str
    text: str
    expression: jmespath.parser.ParsedResult = field(repr=False, compare=False)


def split(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A table `fields` as it stands in the file, as (target -> expression for every kind, kind -> the same for one kind)."""
    kinds = {kind: _flat(table[kind]) for kind in officernd_fields.SOURCES.values() if isinstance(table.get(kind), Mapping)}
    return _flat({target: text for target, text in table.items() if target not in kinds}), kinds


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without its inner tables: TOML reads an unquoted `properties.plan = …` as a table `properties`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update({f"{key}.{inner}": text for inner, text in value.items()} if isinstance(value, Mapping) else {key: value})
    return flat


def compile_field(target: str, text: str) -> OwnField:
    """Compiles one expression. Called while the rules are read, before any thread is started.

    Raises:
        ExpressionInvalid: it can never be evaluated.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ExpressionInvalid("the expression is too long", hint=f"Use at most {_MOST_CHARACTERS} characters.")
    try:
        with warnings.catch_warnings():
            # Literals in the old form, such as `Plan`, still work, and jmespath warns of each.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            expression = jmespath.compile(text)
        for node in _nodes(expression.parsed):
            _check_node(node)
    except JMESPathError as error:
        reason = " ".join(str(error).partition("\n")[0].split())
        raise ExpressionInvalid(f"not a JMESPath expression: {reason}", hint="See jmespath.org for the language.") from error
    except RecursionError:
        raise ExpressionInvalid("the expression is nested too deeply", hint="Use fewer brackets.") from None
    return OwnField(target, text, expression)


def check_target(resource: str, target: str) -> None:
    """Whether an own field may be written to `target` on that resource of OfficeRnD.

    Raises:
        ExpressionInvalid: it may not; the hint says what may.
    """
    allowed = officernd_fields.POST[resource] | officernd_fields.PUT[resource]
    head, dot, inner = target.partition(".")
    if target in RESERVED:
        raise ExpressionInvalid(f'"{target}" is filled by the rules of the connection', hint="Write to another field.")
    if head not in allowed or target.strip() != target:
        known = sorted(name + ".…" if name in officernd_fields.BAGS else name for name in allowed - RESERVED)
        raise ExpressionInvalid(
            f'"{target}" is not among the fields of the {resource} in OfficeRnD', hint="Known: " + ", ".join(known) + "."
        )
    if head in officernd_fields.BAGS and not inner:
        raise ExpressionInvalid(f'"{target}" needs a name after the dot', hint=f'Write "{head}.name".')
    if head not in officernd_fields.BAGS and dot:
        raise ExpressionInvalid(f'"{head}" has no inner fields', hint=f'Write "{head}".')


def evaluate(own: OwnField, raw: Mapping[str, Json]) -> Json:
    """The value for one record in the form of its target; None if the record has none.

    Raises:
        ValueUnusable: the expression fails on this record, or its result is of a type that the target does not take.
    """
    try:
        result = own.expression.search(raw)
    except Exception as error:  # noqa: BLE001 - an operator's expression may fail in any way on a record, and must not stop the sync
        raise ValueUnusable(
            f'the own field "{own.target}" cannot be worked out from this record ({type(error).__name__})'
        ) from None
    value = _in_form(own.target, result)
    return None if values.is_empty(value) else value


def _in_form(target: str, result: Any) -> Json:  # noqa: ANN401 - jmespath gives any JSON value
    """The result as the target takes it."""
    if result is None or (isinstance(result, str) and not result.strip()):
        return None
    kind = officernd_fields.type_of(target)
    if kind == "any":
        return _property(target, result)
    if kind == "list":
        if isinstance(result, list) and all(isinstance(item, str) for item in result):
            return [values.text(item) for item in result if item.strip()]
        raise _wrong(target, "a list of texts")
    if kind == "truth":
        if isinstance(result, bool):
            return result
        raise _wrong(target, "true or false")
    if kind == "number":
        as_decimal = values.decimal(result)
        number = None if as_decimal is None else values.number(as_decimal)
        if number is None:
            raise _wrong(target, "a number")
        return number
    if isinstance(result, bool) or not isinstance(result, str | int | float):
        raise _wrong(target, "a text")
    return _text(target, str(result))


def _text(target: str, value: str) -> Json:
    if officernd_fields.type_of(target) == "date":
        as_day = values.day(value)
        if as_day is None:
            raise _wrong(target, "a date")
        return as_day
    if target == "email":
        as_email = values.email(value)
        if as_email is None:
            raise _wrong(target, "an e-mail address")
        return as_email
    if target == officernd_fields.MEMBER_TWITTER:
        return values.twitter(value)
    if target == "url":
        return values.url(value)
    return values.text(value) if target in {"name", "phone"} else value.strip()


def _property(target: str, result: Any) -> Json:  # noqa: ANN401 - jmespath gives any JSON value
    """Custom properties keep texts, numbers, truths and lists of them (reference/officernd.md §3.6)."""
    if isinstance(result, str):
        return result.strip()
    if isinstance(result, bool | int | float) and values.is_sendable(result):
        return result
    if isinstance(result, list) and all(
        isinstance(item, str | bool | int | float) and values.is_sendable(item) for item in result
    ):
        return list(result)
    raise _wrong(target, "a text, a number, true or false, or a list of these")


def _wrong(target: str, wanted: str) -> ValueUnusable:
    return ValueUnusable(f'the own field "{target}" takes {wanted}, and its expression gave something else for this record')


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - jmespath's syntax tree is plain dicts
    """Every node of a compiled expression, inner ones too."""
    if isinstance(node, Mapping) and "type" in node:
        yield node
        for child in node["children"]:
            yield from _nodes(child)


def _check_node(node: Mapping[str, Any]) -> None:
    """Refuses a call that cannot work: jmespath itself would only notice at the first record."""
    if node["type"] == "slice" and node["children"][2] == 0:  # start, stop, step
        raise ExpressionInvalid("a slice with step 0", hint="Leave the step out, or use 1 or -1.")
    if node["type"] != "function_expression":
        return
    known = Functions.FUNCTION_TABLE
    called = node["value"]
    if called not in known:
        raise ExpressionInvalid(f'there is no function "{called}"', hint="Known: " + ", ".join(sorted(known)) + ".")
    signature = known[called]["signature"]
    given, least = len(node["children"]), len(signature)
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if given < least or (given > least and not variadic):
        raise ExpressionInvalid(f'"{called}" takes {least} argument{"" if least == 1 else "s"}, not {given}', hint="Count them.")
