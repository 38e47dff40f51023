"""Everything that is wrong with the settings, each with its place in the rules file: what `capsule-relay check` shows.

`workers.settings.load` finds the faults; here the rules file is read a second time for the lines, and warnings are added:
what is legal and surely mistaken (`mapping.rules_warnings`), and variables that nobody reads.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mapping.errors import Fault, RulesInvalid
from mapping.rules import parse
from mapping.rules_faults import is_secret, quoted
from mapping.rules_warnings import warnings
from workers.environment_warnings import of_environment
from workers.lines import Lines, SyntaxFault, read, split
from workers.log import HIDDEN, hide
from workers.settings import SettingsInvalid, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.settings import Settings

SMALLEST_BODY: Final = 1024  # bytes, of RELAY_MAX_BODY, as the receiver has it
LONGEST_LINE: Final = 120
_OPAQUE: Final = re.compile(r"(?=[\w+/=.-]*\d)(?=[\w+/=.-]*[A-Za-z])[\w+/=.-]{16,}")  # what a token looks like
_HEADER: Final = re.compile(r"\s*\[([^\[\]#]+)")
_NO_VALUE: Final = ("unknown setting", "secrets do not stand in this file")
_NOT_TOML: Final[Mapping[str, tuple[str, str]]] = {
    "Invalid value": ("there is no value here that TOML knows", 'Put a text in quotes: key = "value".'),
    "Illegal character": ("the quotes are not closed, or a character may not stand here", "Close the quotes on the same line."),
    "Unterminated string": ("the quotes are not closed", "Close them."),
    'Expected "\'"': ("the quotes are not closed", "Close them."),
    "Expected '='": ("an equals sign is missing after the key", "A key with a space or a slash in it stands in quotes."),
    "Expected ']'": ("the bracket of the table is not closed", "Write [connections.name]."),
    "Expected newline": ("something stands behind the value", "One setting a line; a comment begins with #."),
    "Unclosed array": ("the list is not closed", 'Write ["a", "b"], with commas between.'),
    "Unclosed inline table": ("the bracket { is not closed", "Close it on the same line."),
    "Invalid statement": ("this is neither a table, a setting nor a comment", "Write key = value, or begin the line with #."),
    "Cannot overwrite": ("this setting stands there twice", "Keep one of the two."),
    "Cannot declare": ("this table stands there twice", "Keep one header, and all its settings below it."),
    "Unescaped": ("a backslash in double quotes", "Write it twice, or use single quotes."),
}

Level = Literal["fault", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `line` and `column` count from 1, None where it is not the file's; `text` is that line's."""

    level: Level
    fault: Fault
    file: str = ""
    line: int | None = None
    column: int | None = None
    text: str = ""

    def document(self) -> dict[str, Any]:
        """The same for a JSON document."""
        named = {"path": self.fault.path, "message": self.fault.message, "hint": self.fault.hint}
        return {**named, "file": self.file or None, "line": self.line, "column": self.column, "text": self.text or None}


@dataclass(frozen=True, slots=True)
class Inspection:
    """All findings, faults first, those of the file in the order of its lines. `settings` is None when there is a fault."""

    file: str
    findings: tuple[Finding, ...]
    settings: Settings | None
    places: Places = field(repr=False)

    def located(self, level: Level, faults: Iterable[Fault]) -> tuple[Finding, ...]:
        """Findings that came later, of the live check, with their places: the file, or a variable."""
        return tuple(
            Finding(level, fault) if fault.path.startswith("RELAY_") else self.places.finding(level, fault) for fault in faults
        )


def inspect(environ: Mapping[str, str]) -> Inspection:
    """Reads the environment and the rules file that it names, and finds everything that is wrong with either. Raises nothing."""
    path = Path(environ.get("RELAY_CONFIG", "").strip() or "relay.toml")
    text = _text(path)
    document, rest, broken = read(text) if text is not None else (None, "", ())
    settings, faults = _load(environ, path, rest, document, broken)
    rules_faults = set(_rules_faults(document))
    places = Places(
        file=str(path),
        raw=(text or "").split("\n"),
        lines=Lines(rest) if document is not None else None,
        hidden=tuple(split(fault.path) for fault in rules_faults if fault.message in _NO_VALUE),
    )
    found = [_of_syntax(places, fault) for fault in broken]
    found += [places.finding("fault", fault) for fault in faults if fault in rules_faults]
    found = _by_line(found) + [places.outside(path, fault) for fault in faults if fault not in rules_faults]
    # A file that could not be read whole may have what seems to be missing.
    doubts = warnings(document) if document is not None and not broken else ()
    faulty = {fault.path for fault in faults}
    doubted = _by_line([places.finding("warning", fault) for fault in doubts if fault.path not in faulty])
    if document is not None:
        names = tuple(_table(document, "connections"))
        doubted += [Finding("warning", fault) for fault in of_environment(environ, names, document, is_whole=not broken)]
    return Inspection(str(path), (*found, *doubted), None if found else settings, places)


def _by_line(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.line or 0)


def _load(
    environ: Mapping[str, str], path: Path, rest: str, document: Mapping[str, object] | None, broken: tuple[SyntaxFault, ...]
) -> tuple[Settings | None, tuple[Fault, ...]]:
    """What `load` makes of the settings; of a file with faults of syntax, what it makes of the rest."""
    extra = _max_body(environ)
    if not broken or document is None:
        try:
            return load(environ), extra
        except SettingsInvalid as error:
            return None, tuple(fault for fault in error.faults if not (broken and fault.path == str(path))) + extra
    with tempfile.TemporaryDirectory(prefix="capsule-relay-") as folder:
        readable = Path(folder) / "relay.toml"
        readable.write_text(rest, encoding="utf-8")
        try:
            load({**environ, "RELAY_CONFIG": str(readable)})
        except SettingsInvalid as error:
            left_out = {fault.key for fault in broken}
            return None, tuple(fault for fault in error.faults if not _follows(fault, left_out)) + extra
    return None, extra


def _follows(fault: Fault, left_out: set[str]) -> bool:
    """Whether it may only be there because a line with a fault of syntax was left out."""
    if left_out & {"downstream", "auth", "account"} and fault.path.startswith("RELAY_"):
        return "needs it" in fault.message
    steps = split(fault.path)
    return fault.message in {"is missing", "no connection is defined"} and bool(left_out & set(steps[-1:]))


def _rules_faults(document: Mapping[str, object] | None) -> tuple[Fault, ...]:
    try:
        parse(document or {"connections": {}})
    except RulesInvalid as error:
        return error.faults
    return ()


def _text(path: Path) -> str | None:
    """The rules file; None when it cannot be read, which `load` has a sentence for."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _max_body(environ: Mapping[str, str]) -> tuple[Fault, ...]:
    """The one variable that the receiver alone reads."""
    text = environ.get("RELAY_MAX_BODY", "").strip()
    if not text or (text.isascii() and text.isdigit() and int(text) >= SMALLEST_BODY):
        return ()
    return (Fault("RELAY_MAX_BODY", f"must be a whole number of at least {SMALLEST_BODY}", "Bytes, such as 1048576."),)


@dataclass(frozen=True, slots=True)
class Places:
    """The rules file as far as findings are placed in it. `lines` is None when it is no TOML at all."""

    file: str
    raw: list[str]
    lines: Lines | None
    hidden: tuple[tuple[str, ...], ...]  # settings that nobody knows: what stands there may be a secret

    def finding(self, level: Level, fault: Fault) -> Finding:
        """With the line of its path; without one when nothing of it stands in the file."""
        line = None if self.lines is None else self.lines.of(fault.path)
        if self.lines is None or line is None:
            return Finding(level, fault, self.file)
        return Finding(level, fault, self.file, line, None, _printable(hide(self.lines.shown(line, self._is_hidden))))

    def outside(self, path: Path, fault: Fault) -> Finding:
        """A fault of the environment, or of the file as a whole."""
        if fault.path != str(path):
            return Finding("fault", fault)
        line = None
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
        except OSError:
            pass
        return Finding("fault", fault, self.file, line)

    def _is_hidden(self, path: tuple[str, ...]) -> bool:
        return any(is_secret(step) for step in path) or any(path[: len(one)] == one for one in self.hidden)


def _of_syntax(places: Places, fault: SyntaxFault) -> Finding:
    known = next((words for start, words in _NOT_TOML.items() if fault.message.startswith(start)), None)
    message, hint = known or (fault.message[:1].lower() + fault.message[1:], "See https://toml.io for the form.")
    line = places.raw[fault.line - 1] if fault.line <= len(places.raw) else ""
    key, equals, value = line.partition("=")
    if is_secret(line):
        line = f"{key}{equals} {HIDDEN}" if equals else HIDDEN
    elif equals:
        line = key + equals + _OPAQUE.sub(HIDDEN, hide(value.partition(" #")[0]))
    header = next((found[1] for one in places.raw[fault.line - 1 :: -1] if (found := _HEADER.match(one))), "")
    path = ".".join(part for part in (header.strip(), quoted(fault.key)) if part) if fault.key else places.file
    said = Fault(path, f"is not TOML: {message}", hint)
    return Finding("fault", said, places.file, fault.line, fault.column, _printable(line.rstrip()))


def _printable(text: str) -> str:
    """One line of bounded length in which nothing can steer a terminal."""
    safe = "".join(one if one.isprintable() else " " if one == "\t" else "?" for one in text)
    return safe if len(safe) <= LONGEST_LINE else safe[: LONGEST_LINE - 1] + "…"


def _table(document: Mapping[str, object] | None, key: str) -> Mapping[str, object]:
    found = (document or {}).get(key)
    return found if isinstance(found, dict) else {}
