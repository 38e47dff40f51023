"""How `capsule-relay check` says what it found: sentences, with colours at a terminal, or one JSON document.

What is wrong goes to standard error and what is in order to standard output, as with every command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from workers.findings import Finding
    from workers.flows.check_calls import Asked

OK: Final = 0
FAULTS: Final = 1
NOT_ASKED: Final = 2  # a side could not be asked, and nothing else is wrong

_COLOURS: Final = {"fault": "bold red", "warning": "bold yellow"}


def exit_status(findings: Sequence[Finding], asked: Sequence[Asked]) -> int:
    """0 in order, warnings allowed; 1 faults; 2 a side could not be asked."""
    if any(finding.level == "fault" for finding in findings):
        return FAULTS
    return NOT_ASKED if any(one.unasked for one in asked) else OK


def document(findings: Sequence[Finding], asked: Sequence[Asked] | None) -> dict[str, Any]:
    """Everything as one JSON document. `asked` is None when nobody was to be asked."""
    by_level = {level: [one.document() for one in findings if one.level == level] for level in ("fault", "warning")}
    told: dict[str, Any] = {"faults": by_level["fault"], "warnings": by_level["warning"]}
    if asked is not None:
        told["asked"] = [
            {"connection": one.connection, "side": one.side, "facts": dict(one.facts), "unasked": one.unasked or None}
            for one in asked
        ]
    return {"ok": exit_status(findings, asked or ()) == OK, **told}


def show(findings: Sequence[Finding], stream: TextIO) -> None:
    """All findings, faults first: place, path and what is wrong; the line; what to do."""
    console = Console(file=stream, highlight=False, soft_wrap=True, emoji=False, markup=False)
    faults = [one for one in findings if one.level == "fault"]
    if faults:
        things = "1 thing is" if len(faults) == 1 else f"{len(faults)} things are"
        console.print(Text(f"{things} wrong with the settings:", "bold"))
    for one in (*faults, *(other for other in findings if other.level == "warning")):
        console.print(_head(one))
        if one.text:
            console.print(Text.assemble(("      | ", "dim"), (one.text, "cyan")))
        if one.fault.hint:
            console.print(Text(f"      {printable(one.fault.hint)}", "green"))


def _head(one: Finding) -> Text:
    place = ":".join(str(part) for part in (one.file, one.line, one.column) if part)
    return Text.assemble(
        "  ",
        ("warning: " if one.level == "warning" else "", _COLOURS[one.level]),
        (f"{place}: " if place else "", "dim"),
        (printable(one.fault.path), "bold"),
        ": ",
        (printable(one.fault.message).rstrip(":"), _COLOURS[one.level] if one.level == "fault" else ""),
    )


def show_unasked(asked: Sequence[Asked], stream: TextIO) -> None:
    """The sides that could not be asked, and why."""
    console = Console(file=stream, highlight=False, soft_wrap=True, emoji=False, markup=False)
    for one in asked:
        if one.unasked:
            head = (f"could not ask {one.side} for {one.connection}: ", _COLOURS["warning"])
            console.print(Text.assemble(head, printable(one.unasked)))


def facts(asked: Sequence[Asked]) -> list[str]:
    """What each side said of itself, one line each."""
    lines = []
    for one in asked:
        known = dict(one.facts)
        who = [f"signed in as {known.pop('user')}"] if "user" in known else []
        who += [f"at {known.pop('account')}"] if known.get("account") else []
        who += [f"organisation {known.pop('organization')}"] if "organization" in known else []
        counts = ", ".join(f"{number} {_count_of(what, number)}" for what, number in known.items() if isinstance(number, int))
        if who or counts:
            said = "; ".join(part for part in (" ".join(who), counts) if part)
            lines.append(printable(f"{one.connection}, {one.side}: {said}"))
    return lines


def _count_of(what: str, number: str | int) -> str:
    many = {"statuses": "opportunity statuses", "properties": "custom properties", "tags": "party tags"}.get(what, what)
    one = {"opportunity statuses": "opportunity status", "custom properties": "custom property"}.get(many, many.removesuffix("s"))
    return one if number == 1 else many


def printable(text: str) -> str:
    """The text with everything replaced that could steer a terminal: keys of the file and names there are anyone's."""
    return "".join(one if one.isprintable() else "?" for one in text)
