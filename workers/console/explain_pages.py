"""The page that says why a record is as it is, and the form that leads to it: `capsule-relay explain` for a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from workers.check_report import printable
from workers.console.frame import document
from workers.explain_report import capsule_rows, sections, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.console.frame import Frame
    from workers.flows.explanation import Explanation

# What the form offers; any kind that `capsule-relay explain` takes is good in an address.
OFFERED: Final = ("person", "organisation", "opportunity")
# State -> colour of its pill.
COLOURS: Final = {"in step": "good", "dead": "bad", "paused": "bad", "unknown": "bad", "held": "warn", "waiting": "warn"}
_INDENTED: Final = "  "


def asking(name: str, frame: Frame) -> str:
    """The page with the form alone."""
    body = f'{form(name, frame)}<p><a href="{frame.root}connections/{escape(name)}">{escape(name)}</a></p>'
    return document("Explain a record", body, frame)


def form(name: str, frame: Frame) -> str:
    """Asks for a record of this connection."""
    options = "".join(f"<option>{kind}</option>" for kind in OFFERED)
    return (
        f'<section><h2>Why is a record as it is?</h2><form method="get" action="{frame.root}connections/{escape(name)}/records">'
        f'<div class="row"><label>Kind<select name="kind">{options}</select></label>'
        '<label>Id in Capsule<input name="id" inputmode="numeric" pattern="[0-9]+" maxlength="19" required></label>'
        "<button>Explain</button></div></form></section>"
    )


def explained(told: Explanation, warning: str, frame: Frame) -> str:
    """Everything that is known of one record, values of its person among it."""
    record = told.record
    name = escape(record.connection)
    parts = [
        f'<section><div class="top"><h1>{name}: {escape(record.kind)} {record.id}</h1>',
        f'<span class="pill {COLOURS.get(told.state, "")}">{escape(told.state)}</span></div>',
        f'<p class="said">{escape(told.answer)}</p>',
        f'<p class="warn">{escape(warning)}</p>' if warning else "",
        f'<p class="row">{_actions(told, frame)}</p></section>',
    ]
    for title, lines in sections(told):
        parts.append(f"<section><h2>{escape(title)}</h2>{_section(title, lines, told)}{_fields(_rows(title, told))}</section>")
    parts += [form(record.connection, frame), f'<p><a href="{frame.root}connections/{name}">{name}</a></p>']
    return document(f"{record.kind} {record.id}", "".join(parts), frame)


def _actions(told: Explanation, frame: Frame) -> str:
    letter = told.letter
    if letter is None:
        return ""
    shown = f'<a href="{frame.root}letters/{escape(letter.id)}">The dead letter</a>'
    query = escape(urlencode({"action": "replay", "id": letter.id}))
    return shown + (f'<a href="{frame.root}letters/ask?{query}">Try again …</a>' if frame.may_change else "")


def _section(title: str, lines: Iterable[str], told: Explanation) -> str:
    if title == "Links":
        return f"<ul>{''.join(f'<li>{_link(name, address)}</li>' for name, address in told.links.items())}</ul>"
    # Fields are indented there, and stand in a list of their own here.
    plain = [line for line in lines if not line.startswith(_INDENTED)] if title != "Capsule holds" or told.capsule is None else []
    if title == "Rules":
        return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in plain)}</ul>"
    return "".join(f'<p class="said">{escape(line)}</p>' for line in plain)


def _rows(title: str, told: Explanation) -> list[tuple[str, str, str]]:
    """Name, value and source of the fields of a section, if it has any."""
    if title == "Capsule holds":
        return [(name, value, "") for name, value in capsule_rows(told.capsule or {})]
    if title == "Should be there":
        once = {"creating": "; sent when creating"}
        return [(one.name, value_text(one.value), one.source + once.get(one.when, "")) for one in told.body]
    held: Mapping[str, Any] = {}
    if title == "There now":
        held = told.there or {}
    elif title == "Last written" and told.entry is not None:
        held = told.entry.wrote
    return [(name, value_text(value), "") for name, value in held.items()]


def _fields(rows: Iterable[tuple[str, str, str]]) -> str:
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(printable(value))}"
        + (f'<br><span class="soft">{escape(printable(source))}</span>' if source else "")
        + "</dd>"
        for name, value, source in rows
    )
    return f"<dl>{listed}</dl>" if listed else ""


def _link(name: str, address: str) -> str:
    """An address of Capsule's own or of the other side; what else it may be is shown and leads nowhere."""
    shown = f"{escape(name.replace('_', ' '))}: "
    if urlsplit(address).scheme not in {"http", "https"}:
        return shown + escape(address)
    return f'{shown}<a href="{escape(address)}" rel="noreferrer">{escape(address)}</a>'
