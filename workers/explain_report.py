"""How `capsule-relay explain` says what it found: sections for a person, or one JSON document.

Everything that came from Capsule or OfficeRnD is made printable first, since it could steer a terminal.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from workers.check_report import printable
from workers.letters.hiding import said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workers.flows.explanation import Explanation
    from workers.letters import Letter
    from workers.standing import Standing

LONGEST_VALUE: Final = 200
# Of Capsule's record: shown first, and in this order.
_FIRST: Final = ("id", "type", "name", "firstName", "lastName", "tags", "organisation", "party", "milestone")


def document(told: Explanation) -> dict[str, Any]:
    """The same as a JSON document. Times are ISO 8601, UTC."""
    standing, entry = told.standing, told.entry
    return {
        "record": {"connection": told.record.connection, "kind": told.record.kind, "id": told.record.id},
        "state": told.state,
        "answer": told.answer,
        "in": told.is_in,
        "why": told.why,
        "capsule": told.capsule,
        "rules": [asdict(step) for step in told.steps],
        "resource": told.resource or None,
        "body": [asdict(one) for one in told.body],
        "notes": list(told.notes),
        "held": None if told.held is None else {"code": told.held[0], "text": told.held[1]},
        "waits_for": None
        if told.waits_for is None
        else {"kind": told.waits_for[0].kind, "id": told.waits_for[0].id, "why": told.waits_for[1]},
        "downstream": {"id": told.downstream_id, "there": told.there},
        "differences": [asdict(one) for one in told.differences],
        "would_send": [asdict(one) for one in told.calls],
        "last": None
        if entry is None
        else {
            "outcome": entry.outcome,
            "why": entry.why,
            "in": entry.is_in,
            "first": moment(entry.first_ms),
            "run": moment(entry.last_ms),
            "written": moment(entry.wrote_ms),
            "wrote": dict(entry.wrote),
        },
        "agenda": {
            "place": standing.place or None,
            "lane": standing.lane or None,
            "opened": moment(standing.opened_ms),
            "again": moment(standing.due_ms),
            "lease_until": moment(standing.lease_ms),
            "attempts": standing.attempts,
            "deaths": standing.deaths,
            "error": standing.error or None,
            "text": standing.text or None,
            "doubt_until": moment(standing.doubt_ms),
            "paused": None
            if standing.pause is None
            else {
                "reason": standing.pause.reason,
                "until": moment(standing.pause.until_ms),
                "probe": moment(standing.pause.probe_ms),
            },
        },
        "letter": None if told.letter is None else _letter_document(told.letter),
        "links": dict(told.links),
        "unasked": dict(told.unasked),
    }


def lines(told: Explanation) -> list[str]:
    """The explanation in sections, for a person."""
    record = told.record
    shown = [f"{record.connection}: {record.kind} {record.id}", printable(told.answer)]
    for title, body in sections(told):
        shown += ["", title, *(f"  {line}" for line in body)]
    return shown


def sections(told: Explanation) -> Iterator[tuple[str, list[str]]]:
    """Title and printable lines of each section that has any."""
    for title, body in (
        ("Capsule holds", _capsule(told)),
        ("Rules", _rules(told)),
        ("Should be there", _body(told)),
        ("There now", _there(told)),
        ("Last written", _last(told)),
        ("Waiting", _waiting(told.standing)),
        ("Dead letter", _letter(told.letter)),
        ("Links", [f"{name.replace('_', ' ')}: {address}" for name, address in told.links.items()]),
        ("Could not be asked", [f"{side}: {why}" for side, why in told.unasked.items()]),
    ):
        if found := [printable(line) for line in body]:
            yield title, found


def _capsule(told: Explanation) -> Iterator[str]:
    record = told.capsule
    if record is None:
        yield "not asked" if "capsule" in told.unasked else "nothing: deleted, merged, or hidden from our Capsule user"
        return
    yield from _table(capsule_rows(record))


def capsule_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of what a record of Capsule's holds, the most telling first."""
    names = [name for name in _FIRST if name in record] + [name for name in record if name not in _FIRST]
    return [(name, _short(record[name])) for name in names if record[name] not in (None, "", [])]


def _rules(told: Explanation) -> Iterator[str]:
    for step in told.steps:
        verdict = f"{step.says.upper()}: " if step.says else ""
        yield f"{step.about}, {step.rule}: {verdict}{step.text}"


def _body(told: Explanation) -> Iterator[str]:
    if told.held is not None:
        yield f"held ({told.held[0]}): {told.held[1]}"
    if told.waits_for is not None:
        yield f"first {told.waits_for[0].kind} {told.waits_for[0].id}: {told.waits_for[1]}"
    if told.body:
        yield f"a {told.resource} with"
    for one in told.body:
        once = "; sent when creating" if one.when == "creating" else ""
        yield f"  {one.name} = {value_text(one.value)}    <- {one.source}{once}"
    yield from (f"note: {note}" for note in told.notes)
    if told.is_in is False:
        yield "nothing: it is out" + (", and what we wrote before stays" if told.downstream_id else "")


def _there(told: Explanation) -> Iterator[str]:
    if told.downstream_id is None:
        yield "no record of it" if not told.unasked else "not known"
    else:
        yield f"{told.resource} {told.downstream_id}" + ("" if told.there is not None else ", not read")
    if told.there is not None:
        yield from (f"  {name} = {value_text(value)}" for name, value in told.there.items())
        if told.body and not told.differences:
            yield "no difference"
    for one in told.differences:
        stuck = "; cannot be changed there" if one.stuck else ""
        yield f"differs: {one.name} is {value_text(one.there)}, should be {value_text(one.wanted)}{stuck}"
    for call in told.calls:
        yield f"a run would send {call.method} {call.path} ({', '.join(call.covers)})"


def _last(told: Explanation) -> Iterator[str]:
    entry = told.entry
    if entry is None:
        yield "never: no run of it was finished"
        return
    yield f"last run {moment(entry.last_ms)}: {entry.outcome.replace('_', ' ')}, {entry.why}"
    if entry.wrote_ms is None:
        yield "never written"
        return
    yield f"written {moment(entry.wrote_ms)}:"
    yield from (f"  {name} = {value_text(value)}" for name, value in entry.wrote.items())


def _waiting(standing: Standing) -> Iterator[str]:
    if standing.pause is not None:
        until = f" until {moment(standing.pause.until_ms)}" if standing.pause.until_ms is not None else ""
        probe = f"; tried next {moment(standing.pause.probe_ms)}" if standing.pause.probe_ms is not None else ""
        yield f"the connection is paused{until}: {standing.pause.reason}{probe}"
    if not standing.place:
        yield "nothing"
        return
    place = {
        "due": f"until {moment(standing.due_ms)}",
        "parked": "until its connection goes on",
        "lease": f"a worker has it, until {moment(standing.lease_ms)} at most",
    }.get(standing.place, f"ready on the lane {standing.place}")
    yield f"{place}; open since {moment(standing.opened_ms)}, lane {standing.lane}"
    yield f"attempt {standing.attempts + 1}" + (f"; {standing.deaths} runs ended with their worker" if standing.deaths else "")
    if standing.error:
        yield f"last error: {standing.error}: {standing.text}"


def _letter(letter: Letter | None) -> Iterator[str]:
    if letter is None:
        yield "none"
        return
    sent = f"{letter.route} " if letter.route.startswith(letter.method) else f"{letter.method} {letter.route} "
    status = f"answered {letter.status}" if letter.status is not None else ""
    yield f"{letter.id}, since {moment(letter.first_ms)}, last {moment(letter.last_ms)}, {_attempts(letter.attempts)}"
    yield f"{letter.error}: {said(letter, letter.text)}"
    if sent or status:
        yield f"{sent}{status}".strip() or "nothing was sent"
    if letter.place is not None:
        yield f"something newer is on its way ({letter.place}); it closes the letter if it succeeds"
    yield letter.advice
    yield f"more: `capsule-relay dead show {letter.id}`"


def _letter_document(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "error": letter.error,
        "text": said(letter, letter.text),
        "method": letter.method or None,
        "route": letter.route or None,
        "status": letter.status,
        "attempts": letter.attempts,
        "first": moment(letter.first_ms),
        "last": moment(letter.last_ms),
        "version": letter.version or None,
        "advice": letter.advice,
    }


def _attempts(number: int) -> str:
    return f"{number} attempt{'' if number == 1 else 's'}"


def moment(ms: int | None) -> str | None:
    """Milliseconds as ISO 8601 in UTC, whole seconds."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A value of Capsule's: names of tags, organisations and milestones, else the JSON."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return ", ".join(_short(one) for one in value)
    if isinstance(value, dict):
        # For a custom field its definition's name and its value; for all others what a person would call it.
        if "definition" in value:
            return f"{_short(value['definition'])}={value_text(value.get('value'))}"
        called = next((value[name] for name in ("name", "address", "number", "url") if value.get(name)), None)
        if called is not None:
            return str(called) + (f" ({value['id']})" if "id" in value else "")
    return value_text(value)


def value_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A value on one line; a long one is cut."""
    if value is None:
        return "(empty)"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    pairs: Mapping[str, str] = dict(rows)
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {value}" for name, value in pairs.items()]
