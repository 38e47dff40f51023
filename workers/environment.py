"""Single values out of an environment, with everything that is wrong with them gathered instead of raised."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from mapping.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Reader:
    """Reads single variables and gathers what is wrong with them. An empty variable counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[Fault] = []

    def fault(self, path: str, message: str, hint: str) -> None:
        """Notes one thing that is wrong."""
        self.faults.append(Fault(path=path, message=message, hint=hint))

    def text(self, name: str) -> str | None:
        """The variable without surrounding space; None when it is not set or empty."""
        return self.environ.get(name, "").strip() or None

    def secret(self, name: str) -> SecretStr | None:
        """The same, hidden from `repr` and `str`."""
        value = self.text(name)
        return None if value is None else SecretStr(value)

    def one_of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, whatever its case; `default` when it is not set."""
        value = self.text(name)
        if value is None:
            return default
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        self.fault(name, "is none of the values that it can have", f"Use one of {', '.join(choices)}, or leave it out.")
        return default

    def port(self, name: str, default: int) -> int:
        """A TCP port."""
        value = self.text(name)
        if value is None:
            return default
        if re.fullmatch(r"[0-9]{1,5}", value) and 1 <= int(value) <= 65535:  # noqa: PLR2004 - the range of TCP ports
            return int(value)
        self.fault(name, "is not a port", f"Use a whole number from 1 to 65535, such as {default}.")
        return default

    def seconds(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number of seconds within bounds."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if least <= number <= most:
            return number
        self.fault(name, f"is not a number of seconds from {least:g} to {most:g}", f"Leave it out for {default:g}.")
        return default

    def url(self, name: str, *, schemes: tuple[str, ...], hint: str) -> str | None:
        """An address with one of these schemes, or None."""
        value = self.text(name)
        if value is None:
            return None
        parts, host = _split(value)
        if parts not in schemes or (host is None and parts != "unix"):
            self.fault(name, f"is not an address that begins with {' or '.join(f'{s}://' for s in schemes)}", hint)
            return None
        return value

    def web_url(self, name: str, example: str) -> str | None:
        """The address of a web server, without a slash at its end: https, or http to this machine."""
        hint = f"Give scheme and host, such as {example}."
        value = self.url(name, schemes=("https", "http"), hint=hint)
        if value is None:
            return None
        scheme, host = _split(value)
        if scheme == "http" and host not in LOOPBACK:
            self.fault(name, "is plain http to another machine", "Use https: whoever reads the address can send deliveries.")
        if urlsplit(value).query or urlsplit(value).fragment or "@" in urlsplit(value).netloc:
            self.fault(name, "has a query, a fragment or a user in it", hint)
        return value.rstrip("/")


def _split(url: str) -> tuple[str, str | None]:
    """Scheme and host of a URL; both empty when it cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it raises ValueError for a port that is no number
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname
