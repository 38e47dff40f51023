"""The overview in words, for a person at a terminal. The console says the same with `age`, `held_because` and `headline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.views import Budget, ConnectionView, Overview

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
TWO: Final = 2

REASONS: Final = {
    "no_location": "no tag leads to a location, and there is no default_location",
    "location_unknown": "a rule names a location that OfficeRnD does not have",
    "location_ambiguous": "a rule names a location that OfficeRnD has several of",
    "no_status": "the milestone has no status in opportunity_statuses",
    "status_unknown": "opportunity_statuses names a status that OfficeRnD does not have",
    "status_ambiguous": "opportunity_statuses names a status that OfficeRnD has several of",
    "linked_twice": "several records of OfficeRnD carry its Capsule id",
    "shared_email": "several members of OfficeRnD have its e-mail",
    "shared_name": "several companies of OfficeRnD have its name",
    "hidden": "hidden from the token's user in Capsule",
    "hidden_name": "the name is hidden in Capsule",
    "no_name": "neither a name nor an e-mail in Capsule",
    "no_start_date": "Capsule tells no day of creation",
    "no_link_property": "the property capsule_link_id is missing in OfficeRnD",
    "no_party": "neither its party nor that party's organisation is in",
    "deal_size": "the deal's value is too large",
    "other_dead": "waits for a record that is a dead letter",
    "other_held": "waits for a record that is held",
    "not_noted_yet": "noted by an earlier release; the next full sync says why",
}


def age(seconds: int | None) -> str:
    """An age as people say it: `12 s`, `5 min`, `3 h`, `2 days`; `never` without one."""
    if seconds is None:
        return "never"
    for unit, length in (("days", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= (TWO * length if unit != "min" else length):
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def ago(seconds: int | None) -> str:
    """The same as a moment: `5 min ago`, `never`."""
    return "never" if seconds is None else f"{age(seconds)} ago"


def held_because(code: str) -> str:
    """What a code of a held record means; a code that is not known here says itself."""
    return REASONS.get(code, code.replace("_", " "))


def headline(view: ConnectionView) -> str:
    """One sentence on how a connection is, and what to do if a person must act."""
    match view.state:
        case "reconnect":
            return f"Not connected to Capsule. Run: capsule-relay connect {view.account}"
        case "paused":
            return f"Paused: {view.paused}"
        case "guard":
            return (
                f"The guard stopped {view.guard} releases. Look why; if they are meant: "
                f"capsule-relay sync {view.name} --full --allow-release"
            )
        case "first_sync":
            return f"{_signed(view)}; " + ("the first sync is under way." if view.reconciling else "no full sync has ended yet.")
        case "working":
            return f"{_signed(view)}; work is under way."
        case _:
            return f"{_signed(view)}; nothing to do."


def hooks(view: ConnectionView) -> str:
    """How the hooks are."""
    gap = "; a hook was missing, and a full sync finds what it did not tell" if view.gap_open else ""
    if view.hooks_trouble:
        return f"NOT IN ORDER: {view.hooks_trouble}{gap}"
    if view.signed_in is None:
        return "not managed: hooks need OAuth" if view.hooks_seen_s is None else f"all there {ago(view.hooks_seen_s)}{gap}"
    return f"not subscribed yet{gap}" if view.hooks_seen_s is None else f"all there {ago(view.hooks_seen_s)}{gap}"


def passes(view: ConnectionView) -> str:
    """When the passes of the reconcile last ended."""
    said = f"full {ago(view.full_s)}, changes {ago(view.incremental_s)}, round over tags {ago(view.tags_s)}"
    said += " (one under way)" if view.tags_under_way else ""
    said += "; a sync is under way" if view.reconciling else ""
    return said + (f"; the guard stopped {view.guard} releases" if view.guard else "")


def lag(view: ConnectionView) -> str:
    """How long live changes took."""
    if not view.counts.get("lag.le.inf"):
        return "no live change yet"
    return f"half {_within(view.lag_p50_ms)}, 19 of 20 {_within(view.lag_p95_ms)}, of their event"


def budget(one: Budget) -> str:
    """One limit and what is left of it."""
    if not one.limit:
        return f"{one.used} used, the limit is not known yet"
    return f"{one.used} of {one.limit} used, {one.left} left"


def records(tally: dict[str, int]) -> str:
    """Records by outcome."""
    return ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in tally.items())


def lines(found: Overview) -> list[str]:
    """The whole overview."""
    said: list[str] = []
    for view in found.connections:
        oldest = f", the oldest opened {ago(view.oldest_open_s)}" if view.oldest_open_s is not None else ""
        said += [
            view.name + (f"  PAUSED: {view.paused}" if view.paused else ""),
            f"  state        {headline(view)}",
            f"  delivery     {ago(view.last_delivery_s)}",
            f"  syncs        {passes(view)}",
            f"  records      {records(view.tally)}",
        ]
        said += [f"    held       {number}: {held_because(code)}" for code, number in view.held.items()]
        said += [
            f"  to do        {view.waiting} waiting or under way, {view.parked} parked{oldest}",
            f"  failed       {view.letters} dead letters, {view.unreadable} unreadable deliveries",
            f"  hooks        {hooks(view)}",
            f"  in step      {lag(view)}",
        ]
    said.append("agenda")
    said += [f"  {place:<11}  {number}" for place, number in found.agenda.items()]
    if found.budgets:
        said.append("API calls")
        said += [f"  {one.system} {one.who}, {one.window}: {budget(one)}" for one in found.budgets]
    said.append("processes")
    for process in found.processes:
        how = "runs" if process.alive else f"SILENT for {age(process.silent_ms // 1000)}"
        said.append(f"  {process.part:<8}  {process.name.rpartition(':')[0]}  {process.version}  {how}")
    if not found.processes:
        said.append("  none runs")
    said.append(f"versions: capsule-relay {found.versions['code']}, {found.versions['server']}")
    return said


def _signed(view: ConnectionView) -> str:
    return "Signed in with a personal token" if view.signed_in is None else "Connected to Capsule"


def _within(bound: int | None) -> str:
    return "later than a minute" if bound is None else f"within {bound} ms"
