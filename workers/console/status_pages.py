"""The console's first page and the page of one connection: what `capsule-relay status` says, for a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from workers import overview_words as words
from workers.console.frame import document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mapping.running import Process
    from workers.console.frame import Frame
    from workers.views import Budget, ConnectionView, Overview

REFRESH_SECONDS: Final = 10
SOON_SECONDS: Final = 2
OLD_OPEN_SECONDS: Final = 3_600
# State -> what the pill says, and its colour.
PILLS: Final = {
    "reconnect": ("connect it", "bad"),
    "paused": ("paused", "bad"),
    "guard": ("waits for you", "warn"),
    "first_sync": ("first sync", ""),
    "working": ("working", ""),
    "in_order": ("in order", "good"),
}
PLACES: Final = {
    "live": "ready",
    "bulk": "ready, bulk",
    "solo": "ready, alone",
    "due": "wait for a time",
    "parked": "parked",
    "lease": "under way",
}


def home(found: Overview, frame: Frame) -> str:
    """Every connection, the limits, the processes. It asks for itself again."""
    parts = ["<h1>Status</h1>", _missing(found.processes)]
    if not frame.may_change:
        parts.append(
            "<p>This console has no sign-in: it shows the status and changes nothing (README, The console).</p>"
            if not frame.who
            else ""
        )
    parts += [_card(view, frame, heading="h2") for view in found.connections]
    parts += [_budgets(found.budgets), _agenda(found), _processes(found.processes)]
    parts.append(
        f"<footer>capsule-relay {escape(found.versions['code'])}, {escape(found.versions['server'])}. "
        f"This page asks for itself again every {REFRESH_SECONDS} seconds.</footer>"
    )
    return document("Status", "".join(parts), frame, refresh=REFRESH_SECONDS)


def connection(view: ConnectionView, told: Mapping[str, object], frame: Frame) -> str:
    """One connection. `told` is what was noted since its last sign-in (`workers.flows.connect.told`)."""
    trouble = [str(told[what]) for what in ("hooks", "sync") if told.get(what, "ensured") != "ensured"]
    # What the guard found later says the same better.
    trouble = [] if view.hooks_trouble else trouble
    first = "every record was looked at" if view.synced else "under way" if view.state == "first_sync" else "not begun"
    figures = "".join(
        f"<li><b>{number:,}</b><span>{escape(PLACES.get(place, place))}</span></li>" for place, number in view.places.items()
    )
    figures = f'<ul class="figures">{figures}</ul>'
    held = "".join(
        f'<tr><td class="n">{number}</td><td>{escape(words.held_because(code))}</td></tr>' for code, number in view.held.items()
    )
    counters = "".join(
        f'<tr><td>{escape(what)}</td><td class="n">{number}</td></tr>'
        for what, number in sorted(view.counts.items())
        if not what.startswith("lag.")
    )
    opened = (
        f"<section><h2>Open records</h2>{figures}<dl><dt>Oldest</dt><dd>{_oldest(view)}</dd><dt>First sync</dt><dd>{first}</dd>"
        f"<dt>Capsule account</dt><dd>{escape(view.account)}{_token(view)}</dd></dl></section>"
    )
    body = [
        _card(view, frame, heading="h1", link=False),
        "".join(f'<p class="bad">{escape(one)}</p>' for one in trouble),
        opened,
        f"<section><h2>Held, by reason</h2><table><tbody>{held}</tbody></table></section>" if held else "",
        f"<section><h2>Counted since the first start</h2><table><tbody>{counters}</tbody></table></section>" if counters else "",
        # A page of its own: this one asks for itself again, and would take away what somebody has begun to type.
        f'<p class="row"><a href="{frame.root}connections/{escape(view.name)}/records">Why is a record as it is? …</a>',
        f'<a href="{frame.root}">All connections</a></p>',
    ]
    soon = view.waiting or (view.state == "first_sync")
    return document(view.name, "".join(body), frame, refresh=SOON_SECONDS if soon else REFRESH_SECONDS)


def _card(view: ConnectionView, frame: Frame, *, heading: str, link: bool = True) -> str:
    said, colour = PILLS[view.state]
    name = escape(view.name)
    shown = f'<a href="{frame.root}connections/{name}">{name}</a>' if link else name
    figures = (
        ("in step", view.tally["in_step"], ""),
        ("held", view.tally["held"], "warn" if view.tally["held"] else ""),
        ("waiting", view.waiting, ""),
        ("dead letters", view.letters, "bad" if view.letters else ""),
        ("unreadable", view.unreadable, "warn" if view.unreadable else ""),
        ("not in", view.tally["out"] + view.tally["gone"], ""),
    )
    cells = "".join(f'<li class="{colour}"><b>{number:,}</b><span>{text}</span></li>' for text, number, colour in figures)
    held = "".join(f"<br>{number}: {escape(words.held_because(code))}" for code, number in view.held.items())
    rows = [
        ("Last delivery", escape(words.ago(view.last_delivery_s))),
        ("Full sync", escape(words.ago(view.full_s))),
        ("Changes", escape(words.ago(view.incremental_s)) + (", one under way" if view.reconciling else "")),
        ("Round over tags", escape(words.ago(view.tags_s)) + (", one under way" if view.tags_under_way else "")),
        ("Hooks", escape(words.hooks(view))),
        ("In step", escape(words.lag(view))),
    ]
    rows += [("Held", held.removeprefix("<br>"))] if held and link else []
    rows += [("Oldest open", _oldest(view))] if view.oldest_open_s is not None and link else []
    listed = "".join(f"<dt>{what}</dt><dd>{value}</dd>" for what, value in rows)
    loud = {"bad": "bad", "warn": "warn", "good": "good"}.get(colour, "said")
    return (
        f'<section><div class="top"><{heading}>{shown}</{heading}><span class="pill {colour}">{said}</span></div>'
        f'<p class="{loud} said">{escape(words.headline(view))}</p><ul class="figures">{cells}</ul><dl>{listed}</dl></section>'
    )


def _oldest(view: ConnectionView) -> str:
    return "none is open" if view.oldest_open_s is None else f"opened {words.ago(view.oldest_open_s)}"


def _token(view: ConnectionView) -> str:
    if view.signed_in is None:
        return ", by a personal token"
    if view.token_expires_s is None:
        return ""
    if view.token_expires_s <= 0:
        return f", token over for {words.age(-view.token_expires_s)}"
    return f", token good for {words.age(view.token_expires_s)}"


def _budgets(budgets: Iterable[Budget]) -> str:
    rows = []
    for one in budgets:
        share = (
            f'<meter min="0" max="{one.limit}" low="{one.limit // 10}" high="{one.limit}" optimum="{one.limit}" '
            f'value="{one.left}">{one.left} of {one.limit}</meter>'
            if one.limit
            else ""
        )
        limit, left = (f"{one.limit:,}", f"{one.left:,}") if one.limit else ("not known", "")
        cells = [("n", f"{one.used:,}"), ("n wide", limit), ("n", left), ("wide", share)]
        rows.append(
            f"<tr><td>{escape(one.system)} {escape(one.who)}</td><td>{escape(one.window)}</td>"
            + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in cells)
            + "</tr>"
        )
    if not rows:
        return ""
    return (
        "<section><h2>API calls</h2><table><thead><tr><th>Who</th><th>Window</th><th class='n'>Used</th>"
        f"<th class='n wide'>Limit</th><th class='n'>Left</th><th class='wide'></th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _agenda(found: Overview) -> str:
    cells = "".join(
        f"<li><b>{number:,}</b><span>{escape(place.replace('_', ', '))}</span></li>" for place, number in found.agenda.items()
    )
    return f'<section><h2>Queue</h2><ul class="figures">{cells}</ul></section>'


def _processes(processes: Iterable[Process]) -> str:
    rows = "".join(
        f'<tr><td>{escape(one.part)}</td><td class="wide">{escape(one.name.rpartition(":")[0])}</td>'
        f"<td>{escape(one.version)}</td>"
        f"<td>{'runs' if one.alive else f'silent for {words.age(one.silent_ms // 1000)}'}</td></tr>"
        for one in processes
    )
    if not rows:
        return ""
    return (
        "<section><h2>Processes</h2><table><thead><tr><th>Part</th><th class='wide'>Process</th><th>Version</th><th></th></tr>"
        f"</thead><tbody>{rows}</tbody></table></section>"
    )


def _missing(processes: Iterable[Process]) -> str:
    """A part of which no process runs, said first."""
    running = {one.part for one in processes if one.alive}
    missing = [part for part in ("web", "worker", "solo", "clock") if part not in running]
    if not missing:
        return ""
    return f'<p class="bad">No {escape(", no ".join(missing))} runs. Start it (README, Operations).</p>'
