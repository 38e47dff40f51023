"""The page that says why a record is as it is, and the form that leads to it: `capsule-relay explain` for a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from workers.console.frame import document
from workers.explain_report import sections

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.console.frame import Frame
    from workers.flows.explanation import Explanation

# What the form offers; any kind that `capsule-relay explain` takes is good in an address.
OFFERED: Final = ("person", "organisation", "opportunity")
# State -> colour of its pill.
COLOURS: Final = {"in step": "good", "dead": "bad", "paused": "bad", "unknown": "bad", "held": "warn", "waiting": "warn"}
# Sections whose lines are a table or indented: their spaces mean something.
_ALIGNED: Final = frozenset({"Capsule holds", "Should be there", "There now", "Last written"})


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
        parts.append(f"<section><h2>{escape(title)}</h2>{_section(title, lines, told)}</section>")
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
    if title in _ALIGNED:
        return f"<pre>{escape(chr(10).join(lines))}</pre>"
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _link(name: str, address: str) -> str:
    """An address of Capsule's own or of the other side; what else it may be is shown and leads nowhere."""
    shown = f"{escape(name.replace('_', ' '))}: "
    if urlsplit(address).scheme not in {"http", "https"}:
        return shown + escape(address)
    return f'{shown}<a href="{escape(address)}" rel="noreferrer">{escape(address)}</a>'
