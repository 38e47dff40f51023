"""What is legal in the environment and surely mistaken: warnings of `capsule-relay check`, which stop nothing.

No value of a variable is shown.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from mapping.errors import Fault
from workers.settings import PER_CONNECTION, strangers, variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_OF_A_CONNECTION: Final = re.compile(f"RELAY_(.+)_({'|'.join(PER_CONNECTION)})")
_ADDRESSES: Final = ("RELAY_PUBLIC_URL", "RELAY_CONSOLE_URL")


def of_environment(
    environ: Mapping[str, str], names: Sequence[str], document: Mapping[str, object], *, is_whole: bool
) -> tuple[Fault, ...]:
    """Every warning about the variables, for the connections of these names. `document` is the rules file as read.

    With `is_whole` False some of the file could not be read: nothing is said of connections that may be there.
    """
    found = [*_strangers(environ, names), *_plain(environ)]
    if is_whole:
        found += _unused(environ, names, document)
        found += _same_account(environ, names, document)
    return tuple(found)


def _strangers(environ: Mapping[str, str], names: Sequence[str]) -> Iterator[Fault]:
    """Variables that nobody reads; those of a connection that is not there with that reason."""
    # `strangers` looks at the names alone, so it can be asked even where the rules of a connection have faults.
    by_name: dict[str, Any] = dict.fromkeys(names)
    for fault in strangers(environ, by_name):
        parts = _OF_A_CONNECTION.fullmatch(fault.path)
        if parts is None or not names:
            yield fault
            continue
        near = difflib.get_close_matches(parts[1].lower(), names, n=1)
        hint = f"Did you mean {variable(near[0], parts[2])}?" if near else "Remove it, or add that connection to the rules file."
        yield Fault(fault.path, f"is not read: there is no connection {parts[1].lower()}", hint)


def _plain(environ: Mapping[str, str]) -> Iterator[Fault]:
    for name in _ADDRESSES:
        if environ.get(name, "").strip().lower().startswith("http://"):
            yield Fault(name, "is plain http: right for a trial on this machine and for nothing else", "Use https.")


def _unused(environ: Mapping[str, str], names: Sequence[str], document: Mapping[str, object]) -> Iterator[Fault]:
    """Credentials of a connection that it does not sign in with."""
    for name in names:
        table = _inner(_inner(document, "connections"), name)
        capsule = _inner(table, "capsule")
        account, is_oauth = capsule.get("account"), capsule.get("auth", "oauth") == "oauth"
        unused: dict[str, str] = {}
        if isinstance(account, str):
            why = f"the connection shares the account of {account} and signs in with its credentials"
            unused = dict.fromkeys(("CAPSULE_TOKEN", "CAPSULE_CLIENT_ID", "CAPSULE_CLIENT_SECRET"), why)
        elif not is_oauth:
            unused = dict.fromkeys(("CAPSULE_CLIENT_ID", "CAPSULE_CLIENT_SECRET"), 'auth is "token"')
        if table.get("downstream") == "unified":
            unused |= dict.fromkeys(("OFFICERND_CLIENT_ID", "OFFICERND_CLIENT_SECRET"), 'downstream is "unified"')
        for what, why in unused.items():
            if environ.get(variable(name, what), "").strip():
                yield Fault(variable(name, what), f"is not used: {why}", "Remove it: a secret that is not needed can only leak.")


def _same_account(environ: Mapping[str, str], names: Sequence[str], document: Mapping[str, object]) -> Iterator[Fault]:
    """The same token twice: hooks and the hourly limit belong to the account (DESIGN.md §6, "Hooks belong …")."""
    first: dict[str, str] = {}
    for name in names:
        token = environ.get(variable(name, "CAPSULE_TOKEN"), "").strip()
        account = _inner(_inner(_inner(document, "connections"), name), "capsule").get("account")
        if not token or account is not None:
            continue
        other = first.setdefault(token, name)
        if other != name:
            message = f"is the same token as that of {other}, so both count the hour's calls of one user without each other"
            yield Fault(variable(name, "CAPSULE_TOKEN"), message, f'Write account = "{other}" in [connections.{name}.capsule].')


def _inner(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}
