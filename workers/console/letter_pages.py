"""The console's pages of dead letters: what failed, one of them with values hidden, the question before an action."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import orjson

from workers.console.frame import document
from workers.letters.hiding import body_of, said

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workers.console.frame import Frame
    from workers.flows.replay import Summary
    from workers.letters import Filter, Letter
    from workers.letters.jobs import Entry, Job

SHOWN: Final = 50
LAST: Final = 5
REFRESH_SECONDS: Final = 5
LONGEST_NUMBER: Final = 12
ACTIONS: Final = {
    "replay": ("Try again", "Each record is read as it is now and brought in step."),
    "discard": ("Discard", "The letters go; their records stay as they are until they change or a full sync looks at them."),
}


def listed(
    summary: Summary,
    wanted: Filter,
    letters: Sequence[Letter],
    frame: Frame,
    *,
    jobs: Iterable[Job] = (),
    lately: Iterable[Entry] = (),
    said: str = "",
) -> str:
    """What a filter admits: groups, the first letters, and the actions on all of them.

    `jobs` are under way, `lately` are the newest actions, `said` is what is told of the one that was just begun.
    """
    query = asked(wanted)
    rows = "".join(
        f'<tr><td class="n">{group.number:,}</td><td>{escape(group.connection)} {escape(group.what)}</td>'
        f'<td class="said"><a href="{frame.root}letters?{_group(group)}">{escape(group.error)}</a>'
        f"{f' {group.status}' if group.status is not None else ''}<br>{escape(group.advice)}</td>"
        f'<td class="wide">{moment(group.newest_ms)}</td></tr>'
        for group in summary.groups
    )
    one_by_one = "".join(
        f'<tr><td><a href="{frame.root}letters/{escape(one.id)}">{escape(one.id)}</a></td>'
        f"<td>{escape(one.connection)} {escape(one.what)} {one.record.id if one.record is not None else ''}</td>"
        f'<td>{escape(one.error)}</td><td class="wide">{moment(one.last_ms)}</td></tr>'
        for one in letters
    )
    under_way = "".join(
        f"<li>{escape(job.action)} of {job.total:,}, begun by {escape(job.who)} at {moment(job.began_ms)}</li>" for job in jobs
    )
    parts = [f'<p class="good" role="status">{escape(said)}</p>'] if said else []
    parts += [f"<h1>Dead letters</h1><section><p>{summary.total:,} in all, {summary.open:,} of them being tried now.</p>"]
    parts += (
        [f"<p>Of those that match: {escape(str(wanted.document()))}. <a href='{frame.root}letters'>All</a></p>"] if query else []
    )
    parts += [f"<p>Under way:</p><ul>{under_way}</ul>"] if under_way else []
    if summary.total and frame.may_change:
        buttons = "".join(
            f'<a href="{frame.root}letters/ask?action={action}&amp;{escape(query)}">{label} {summary.total:,} …</a>'
            for action, (label, _) in ACTIONS.items()
        )
        parts.append(f'<p class="row">{buttons}</p>')
    parts.append("</section>")
    head = "<thead><tr><th class='n'>Number</th><th>Of</th><th>Error, and what to do</th><th class='wide'>Last</th></tr></thead>"
    parts += [f"<section><h2>By error</h2><table>{head}<tbody>{rows}</tbody></table></section>"] if rows else []
    head = "<thead><tr><th>Letter</th><th>Record</th><th>Error</th><th class='wide'>Last</th></tr></thead>"
    first = f"The first {SHOWN}" if summary.total > SHOWN else "One by one"
    parts += [f"<section><h2>{first}</h2><table>{head}<tbody>{one_by_one}</tbody></table></section>"] if one_by_one else []
    parts.append(_lately(lately))
    # While something is under way, how far it is changes.
    return document("Dead letters", "".join(parts), frame, refresh=REFRESH_SECONDS if under_way or said else 0)


def begun(action: str, number: str) -> str:
    """What is told when an action was just begun; nothing for anything else that an address may say."""
    if action not in ACTIONS or not (number.isascii() and number.isdigit() and len(number) < LONGEST_NUMBER):
        return ""
    letters = "1 letter" if number == "1" else f"{int(number):,} letters"
    return f"Begun: {letters} {'tried again' if action == 'replay' else 'discarded'}. How it ended stands below."


def _lately(entries: Iterable[Entry]) -> str:
    rows = "".join(
        f'<tr><td class="wide">{moment(one.began_ms)}</td><td>{escape(one.action)} of {one.total:,}</td>'
        f"<td>{escape(one.who)}</td><td>{escape(_result(one))}</td></tr>"
        for one in entries
    )
    head = "<thead><tr><th class='wide'>When</th><th>What</th><th>Who</th><th>Result</th></tr></thead>"
    return f"<section><h2>Last actions</h2><table>{head}<tbody>{rows}</tbody></table></section>" if rows else ""


def _result(entry: Entry) -> str:
    words = {"done": "handed over" if entry.action == "replay" else "discarded", "open": "being tried already"}
    words |= {"waiting": "not decided yet", "changed": "not that letter any more"}
    counts = ", ".join(f"{number:,} {words.get(name, name.replace('_', ' '))}" for name, number in entry.counts.items() if number)
    return f"{entry.result} ({counts})" if counts else entry.result


def shown(letter: Letter, frame: Frame) -> str:
    """One letter; no value that came from a person's record is shown."""
    body = body_of(letter)
    text = "" if body is None else body if isinstance(body, str) else orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    rows = [
        ("Record", f"{escape(letter.connection)} {escape(letter.what)} {letter.record.id if letter.record is not None else ''}"),
        ("What to do", escape(letter.advice)),
        ("Error", f"{escape(letter.error)}: {escape(said(letter, letter.text))}"),
        ("Tried", escape(_sent(letter)) or "nothing was sent"),
        ("Answer", escape(f"{letter.status or ''} {said(letter, letter.answer)}".strip()) or "none"),
        ("Attempts", f"{letter.attempts}, first {moment(letter.first_ms)}, last {moment(letter.last_ms)}"),
        ("Replays", str(letter.replays)),
        ("Version", escape(letter.version)),
        ("Now", f"in the agenda: {escape(letter.place)}" if letter.place else "nobody works on it"),
    ]
    parts = ["<section><h1>Dead letter</h1><dl>", *(f"<dt>{what}</dt><dd>{value}</dd>" for what, value in rows), "</dl>"]
    parts += [f"<p>What was sent, or would have been, without its values:</p><pre>{escape(text)}</pre>"] if text else []
    if frame.may_change:
        links = "".join(
            f'<a href="{frame.root}letters/ask?{urlencode({"action": action, "id": letter.id})}">{label} …</a>'
            for action, (label, _) in ACTIONS.items()
        )
        parts.append(f'<p class="row">{links}</p>')
    if letter.record is not None and frame.who:
        path = f"connections/{letter.record.connection}/records/{letter.record.kind}/{letter.record.id}"
        parts.append(f'<p><a href="{frame.root}{escape(path)}">Why the record is as it is</a></p>')
    parts.append(f"<p>With values: <code>capsule-relay dead show {escape(letter.id)}</code>, which says how.</p></section>")
    return document("Dead letter", "".join(parts), frame)


def _sent(letter: Letter) -> str:
    """Method and route; a route may name its method already."""
    return letter.route if letter.route.startswith(letter.method) else f"{letter.method} {letter.route}".strip()


def ask(action: str, summary: Summary, wanted: Filter, frame: Frame) -> str:
    """The question before an action, with the number of letters that it concerns."""
    label, meaning = ACTIONS[action]
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in pairs(wanted, summary)
    )
    back = f"letters?{asked(wanted)}"
    body = (
        f"<section><h1>{label}: {summary.total:,} letters</h1><p>{meaning}</p>"
        f'<form method="post" action="{frame.root}letters/do">{frame.hidden()}{fields}'
        f'<input type="hidden" name="action" value="{action}"><input type="hidden" name="back" value="{escape(back)}">'
        f'<p class="row"><button class="{"bad" if action == "discard" else ""}">{label}: {summary.total:,}</button>'
        f'<a href="{frame.root}{escape(back)}">No</a></p></form></section>'
    )
    return document(label, body, frame)


def pairs(wanted: Filter, summary: Summary | None = None) -> list[tuple[str, str]]:
    """A filter as fields of a form or an address. With a summary: nothing that came after it is meant."""
    found = [("connection", wanted.connection), ("kind", wanted.kind), ("error", wanted.error), ("system", wanted.system)]
    found += [("status", str(wanted.status))] if wanted.status is not None else []
    found += [("id", one) for one in sorted(wanted.ids)]
    newest = max((group.newest_ms for group in summary.groups), default=0) if summary is not None else 0
    found += [("before", str(newest + 1))] if newest else []
    return [(name, value) for name, value in found if value]


def asked(wanted: Filter) -> str:
    """A filter as a query."""
    return urlencode(pairs(wanted))


def moment(ms: int) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _group(group: object) -> str:
    wanted = {name: getattr(group, name) for name in ("connection", "error", "system", "status")}
    return escape(urlencode({name: value for name, value in wanted.items() if value not in ("", None)}))
