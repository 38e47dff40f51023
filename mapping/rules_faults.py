"""Faults of `relay.toml`: pydantic's errors in an operator's words, and what no single setting shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args

from mapping import fields as own_fields
from mapping import officernd_fields
from mapping.errors import ExpressionInvalid, Fault
from mapping.values import milestone_key, word_key

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECRET: Final = re.compile(r"token|secret|password|client_id|api_key", re.IGNORECASE)
_NO_SECRETS: Final = "secrets do not stand in this file"
# Secrets of a connection, without RELAY_<NAME>_ before them (DESIGN.md §6, Environment).
_VARIABLES: Final = frozenset(
    {
        "CAPSULE_TOKEN",
        "CAPSULE_CLIENT_ID",
        "CAPSULE_CLIENT_SECRET",
        "OFFICERND_CLIENT_ID",
        "OFFICERND_CLIENT_SECRET",
        "WEBHOOK_SECRETS",
    }
)
_TABLES: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("capsule",),
    ("officernd",),
    ("unified",),
)  # those with settings of fixed names
_WORDS: Final[Mapping[str, str]] = {
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "float_parsing": "must be a number, without quotes",
    "list_type": 'must be a list, such as ["london", "lb"]',
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "missing": "is missing",
}

_HINTS: Final[Mapping[str, str]] = {
    "string_type": 'Write "…".',
    "list_type": "Put the brackets in, also around a single one.",
    "dict_type": "Write its header in brackets, and its settings below it.",
    "model_type": "Write its header in brackets, and its settings below it.",
}


def quoted(key: object) -> str:
    """A key as TOML writes it in a dotted path."""
    text = str(key)
    return text if _BARE.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def meant(key: str, known: Iterable[str]) -> str:
    """A hint for an unknown key: the nearest known one, or all of them."""
    names = sorted(known)
    near = get_close_matches(key, names)
    return f'Did you mean "{near[0]}"?' if near else "Known: " + ", ".join(names) + "."


def at_top(key: str) -> Fault:
    """A key beside the connections, where nothing else stands."""
    if is_secret(key):
        return Fault(quoted(key), _NO_SECRETS, "Set it in the environment (deploy/env.example), and have a new one made.")
    return Fault(quoted(key), "unknown setting", meant(key, ("connections",)))


def is_secret(key: str) -> bool:
    """Whether a key sounds like that of a secret. An address that tokens come from is none."""
    return _SECRET.search(key) is not None and not key.endswith("_url")


def of_pydantic(path: str, name: str, error: ValidationError, model: type[BaseModel]) -> Iterator[Fault]:
    """Every error that pydantic found in one connection's table. No value of the file is repeated."""
    for detail in error.errors():
        steps = [step for step in detail["loc"] if step not in {"[key]", "every"}]
        where = ".".join([path, *map(quoted, steps)])
        yield Fault(where, *_words(detail, name, steps, model))


def across(path: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """What only several settings together show to be wrong, whether or not each is right by itself."""
    if table.get("downstream") == "officernd":
        if "officernd" not in table:
            yield Fault(f"{path}.officernd", "is missing", f'Add [{path}.officernd] with organization = "<slug>".')
        yield from _targets(path, table.get("fields"))
    yield from _twice(f"{path}.locations", table.get("locations"), word_key)
    yield from _twice(f"{path}.opportunity_statuses", table.get("opportunity_statuses"), milestone_key)


def of_accounts(tables: Mapping[str, Any]) -> Iterator[Fault]:
    """A shared Capsule account must belong to another connection that has it itself (DESIGN.md, "Hooks belong …")."""
    owners = {name: _account(table) for name, table in tables.items()}
    for name, owner in owners.items():
        if owner is None:
            continue
        path = f"connections.{quoted(name)}.capsule.account"
        if owner not in tables or owner == name:
            others = [other for other in tables if other != name]
            hint = meant(owner, others) if others else "Remove the setting: there is no other connection."
            yield Fault(path, "names no other connection", hint)
        elif owners[owner] is not None:
            yield Fault(path, "names a connection that itself shares an account", "Name the connection that has the account.")


def _account(table: object) -> str | None:
    capsule = table.get("capsule") if isinstance(table, Mapping) else None
    account = capsule.get("account") if isinstance(capsule, Mapping) else None
    return account if isinstance(account, str) else None


def _targets(path: str, table: object) -> Iterator[Fault]:
    """Own fields whose target OfficeRnD does not take; a general one must suit every kind."""
    if not isinstance(table, Mapping):
        return
    every, kinds = own_fields.split(table)
    yield from _refused(f"{path}.fields", every, officernd_fields.RESOURCES)
    for resource, kind in officernd_fields.SOURCES.items():
        yield from _refused(f"{path}.fields.{kind}", kinds.get(kind, {}), (resource,))


def _refused(path: str, targets: Iterable[str], resources: tuple[str, ...]) -> Iterator[Fault]:
    for target in targets:
        try:
            for resource in resources:
                own_fields.check_target(resource, target)
        except ExpressionInvalid as error:
            yield Fault(f"{path}.{quoted(target)}", str(error), error.hint)


def _twice(path: str, table: object, same: Callable[[str], str]) -> Iterator[Fault]:
    """Keys that differ only by case or space: which of them is meant cannot be known."""
    if not isinstance(table, Mapping):
        return
    seen: dict[str, str] = {}
    for key in table:
        first = seen.setdefault(same(str(key)), key)
        if first != key:
            yield Fault(f"{path}.{quoted(key)}", f"is the same as {quoted(first)}", "Keep one of the two.")


def _words(detail: ErrorDetails, name: str, steps: list[Any], model: type[BaseModel]) -> tuple[str, str]:
    """Message and hint for one of pydantic's errors."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "rule":
        return str(context["message"]), str(context["hint"])
    if kind == "extra_forbidden":
        key = str(steps[-1])
        if is_secret(key):
            known = "_".join(map(str, steps)).upper()
            variable = f"RELAY_{name.upper()}_{known if known in _VARIABLES else '…'}"
            return _NO_SECRETS, f"Set {variable} in the environment (deploy/env.example), and have a new one made."
        return "unknown setting", _misplaced(model, name, steps) or meant(key, _known(model, steps[:-1]))
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        near = get_close_matches(str(detail["input"]).strip().lower(), choices)
        return f"must be one of {context['expected']}", f'Did you mean "{near[0]}"?' if near else "Write one of them in quotes."
    if kind == "missing":
        return "is missing", 'Add it, such as downstream = "officernd".' if steps == ["downstream"] else "Add it."
    message = _WORDS.get(kind, detail["msg"].replace("Input should be", "must be"))
    return message, _misplaced(model, name, steps) or _default(model, steps) or _HINTS.get(kind, "")


def _default(model: type[BaseModel], steps: list[Any]) -> str:
    """A hint for a value that cannot be used: what holds without the line."""
    within, key = tuple(steps[:-1]), str(steps[-1])
    if within not in _TABLES or key not in _known(model, list(within)):
        return ""
    default = _table(model, list(within)).model_fields[key].default
    if not isinstance(default, bool | int | float | str):
        return ""
    shown = str(default).lower() if isinstance(default, bool) else f'"{default}"' if isinstance(default, str) else f"{default:g}"
    return f"Without the line it is {shown}."


def _misplaced(model: type[BaseModel], name: str, steps: list[Any]) -> str:
    """A hint for the name of a setting in another table than its own: TOML gives each line to the last header above it."""
    within, key = tuple(steps[:-1]), str(steps[-1])
    if within in _TABLES and key in _known(model, list(within)):
        return ""
    home = next((table for table in _TABLES if key in _known(model, list(table))), None)
    if home is None:
        return ""
    header = ".".join(("connections", quoted(name), *home))
    return f"{key} is a setting of [{header}]: write it {'right below it' if home else 'above the first of its other tables'}."


def _known(model: type[BaseModel], steps: list[Any]) -> set[str]:
    """The settings of the table to which the path leads."""
    return set(_table(model, steps).model_fields) - {"name"}


def _table(model: type[BaseModel], steps: list[Any]) -> type[BaseModel]:
    inner: Any = model
    for step in steps:
        annotation = inner.model_fields[step].annotation
        inner = next(part for part in (annotation, *get_args(annotation)) if hasattr(part, "model_fields"))
    found: type[BaseModel] = inner
    return found
