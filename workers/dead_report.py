"""What the commands `capsule-relay dead …` answer: a JSON document, and lines for a person at night."""

from __future__ import annotations

import contextlib
import datetime as dt
import heapq
import re
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from workers.datastore import find_redis
from workers.errors import Misconfigured
from workers.flows import replay as flow
from workers.letters import Filter
from workers.letters.hiding import body_of, said
from workers.log import configure
from workers.progress import shown_on
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workers.flows.replay import Group, Progress, Result, Summary
    from workers.letters import Letter
    from workers.services import Services

_AGE: Final = re.compile(r"(\d{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RECORD: Final = re.compile(r"([a-z][a-z0-9_]{0,30})[/|]([a-z]+)[/|](\d{1,19})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers. `in_order`: the exit status is 0."""

    document: Any
    lines: tuple[str, ...]
    in_order: bool = True


@contextlib.contextmanager
def services(environ: Mapping[str, str]) -> Iterator[Services]:
    """The services of a command: nothing is started that calls anybody.

    A person reads the result; where no person looks, the line of a replay goes where those of the other processes go.
    """
    settings = load(environ)
    configure(settings.log_format, "WARNING" if sys.stderr.isatty() else settings.log_level)
    built = build(replace(settings, redis_url=find_redis(settings)))
    try:
        yield built
    finally:
        built.close()


def progress(*, quiet: bool) -> contextlib.AbstractContextManager[Progress]:
    """Where it is shown how far a long piece of work is."""
    return contextlib.nullcontext(_silent) if quiet else shown_on(sys.stderr)


def _silent(stage: str, done: int, total: int | None) -> None:
    """For `--json`."""


def asked(  # noqa: PLR0917 - the options of the commands in their order
    services: Services,
    ids: list[str] | None,
    connection: str,
    kind: str,
    error: str,
    system: str,
    status: int | None,
    *,
    older_than: str,
    newer_than: str,
    before: str,
) -> Filter:
    """The filter that the options mean.

    Raises:
        Misconfigured: an age or a time is none, or there is no such connection.
    """
    if connection and connection not in services.connections:
        there = ", ".join(services.connections) or "none"
        raise Misconfigured(f"there is no connection {connection}", advice=f"relay.toml has these: {there}.")
    now = services.agenda.hello()
    bounds = [now - _age_ms(older_than) + 1] if older_than else []
    bounds += [_moment_ms(before)] if before else []
    return Filter(
        connection=connection,
        kind=kind,
        error=error,
        system=system,
        status=status,
        before_ms=min(bounds, default=None),
        after_ms=now - _age_ms(newer_than) if newer_than else None,
        ids=frozenset(_id(one) for one in ids or ()),
    )


def _id(text: str) -> str:
    """A letter's id as it is; a record in the form in which letters name it."""
    found = _RECORD.fullmatch(text)
    return "|".join(found.groups()) if found else text


def _age_ms(text: str) -> int:
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise Misconfigured(f"{text!r} is no age", advice="Say it as 90s, 30m, 2h or 7d.")
    return int(found[1]) * _SECONDS[found[2]] * 1000


def _moment_ms(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(f"{text!r} is no moment", advice="Say it as 2026-11-20T03:00:00Z.") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


# ---------------------------------------------------------------------- list and show
def listed(services: Services, wanted: Filter, *, limit: int, page: int) -> Answer:
    """A page of letters, newest first, and the totals of all that the filter admits."""
    tally = flow.Tally()
    found = tally.through(services.letters.find(wanted, connections=services.connections))
    newest = heapq.nlargest(limit * page, found, key=lambda one: (one.last_ms, one.id))[limit * (page - 1) :]
    summary = tally.summary()
    pages = -(-summary.total // limit)
    now = services.agenda.hello()
    lines = [_line(one, now) for one in newest]
    if pages > 1:
        lines.append(f"page {page} of {pages}; --page shows the others")
    lines += ["", *group_lines(summary)] if lines else group_lines(summary)
    document = {
        "total": summary.total,
        "open": summary.open,
        "groups": [asdict(group) for group in summary.groups],
        "page": page,
        "pages": pages,
        "letters": [brief(one) for one in newest],
    }
    return Answer(document, tuple(lines))


def _line(letter: Letter, now_ms: int) -> str:
    what = f"{letter.connection} {letter.what} {letter.record.id if letter.record else ''}".strip()
    state = f"  being tried ({letter.place})" if letter.place else f"  replayed {letter.replays}x" if letter.replays else ""
    return f"{letter.id}  {_ago(now_ms - letter.last_ms):>8}  {what:<28}  {_cause(letter)}{state}"


def _cause(letter: Letter | Group) -> str:
    status = f" {letter.status}" if letter.status else ""
    return f"{letter.error}{' ' + letter.system if letter.system else ''}{status}"


def group_lines(summary: Summary) -> list[str]:
    """The totals, each with what to do."""
    if not summary.total:
        return ["no dead letters"]
    open_ = f", {summary.open} of them being tried now" if summary.open else ""
    lines = [f"{summary.total} dead letter{'' if summary.total == 1 else 's'}{open_}"]
    for group in summary.groups:
        lines += [f"  {group.number:>6}  {group.connection} {group.what}: {_cause(group)}", f"          {group.advice}"]
    return lines


def one_of(services: Services, name: str) -> Letter:
    """The letter of that id, or of that record.

    Raises:
        Misconfigured: there is none.
    """
    wanted = Filter(ids=frozenset({_id(name)}))
    letter = next(services.letters.find(wanted, connections=services.connections), None)
    if letter is None:
        raise Misconfigured(
            f"there is no dead letter {name}",
            advice="It may have been resolved, or have failed again under another id: see `capsule-relay dead list`.",
        )
    return letter


def shown(services: Services, name: str, *, reveal: bool, who: str) -> Answer:
    """One letter in full. Raises as `one_of`."""
    letter = one_of(services, name)
    if reveal:
        flow.revealed(services, letter, who=who)
    body = body_of(letter, reveal=reveal)
    document = brief(letter) | {
        "text": said(letter, letter.text, reveal=reveal),
        "answer": said(letter, letter.answer, reveal=reveal),
        "body": body,
        "history": [asdict(one) for one in letter.history],
    }
    if letter.delivery is not None:
        kept = letter.delivery
        document["delivery"] = {
            "event": kept.event,
            "encoding": kept.encoding,
            "size": kept.size,
            "kept": len(kept.body),
            "count": kept.count,
            "opened": kept.opened,
        }
    return Answer(document, tuple(_lines(letter, document, services.agenda.hello())))


def brief(letter: Letter) -> dict[str, Any]:
    """What a list shows of a letter: nothing that came from the record."""
    return {
        "id": letter.id,
        "kind": letter.kind,
        "connection": letter.connection,
        "record": letter.record.pack() if letter.record else None,
        "error": letter.error,
        "system": letter.system,
        "status": letter.status,
        "method": letter.method,
        "route": letter.route,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "first_ms": letter.first_ms,
        "last_ms": letter.last_ms,
        "replayed_ms": letter.replayed_ms,
        "version": letter.version,
        "advice": letter.advice,
        "place": letter.place,
    }


def _lines(letter: Letter, document: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    record = letter.record
    yield f"{letter.id}  {letter.connection} {letter.what} {record.id if record else ''}".rstrip()
    yield f"  what to do   {letter.advice}"
    if letter.place:
        yield f"  now          being tried again ({letter.place}); the letter goes when that succeeds"
    yield f"  error        {_cause(letter)}"
    yield f"  text         {document['text']}"
    if document["answer"]:
        yield f"  answer       {document['answer']}"
    yield f"  first, last  {_when(letter.first_ms, now_ms)}; {_when(letter.last_ms, now_ms)}"
    version = f" (version {letter.version})" if letter.version else ""
    yield f"  attempts     {letter.attempts}, then given up{version}; replayed {letter.replays} times"
    for failure in letter.history:
        status = f" {failure.status}" if failure.status else ""
        yield f"  before       {_when(failure.at_ms, now_ms)}: {failure.error}{status}, version {failure.version or '?'}"
    if letter.delivery is not None:
        kept = letter.delivery
        whole = "" if kept.size == len(kept.body) else f", of which {len(kept.body)} are kept"
        opened = f"; {kept.opened} records of it were opened all the same" if kept.opened else ""
        yield f"  delivery     {kept.event or 'of no known event'}, {kept.size} bytes{whole}, came {kept.count} times{opened}"
    if document["body"] is not None:
        yield f"  tried        {letter.route}" if letter.route else "  body"
        text = document["body"]
        if not isinstance(text, str):
            text = orjson.dumps(text, option=orjson.OPT_INDENT_2).decode()
        yield from (f"      {line}" for line in text.splitlines())


def _when(ms: int, now_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{moment} ({_ago(now_ms - ms)} ago)"


def _ago(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# ---------------------------------------------------------------------- what was done
def nothing(action: str) -> Answer:
    """No letter was meant."""
    return Answer({"action": action, "total": 0, "done": 0}, (f"nothing to {action}",))


def ended(services: Services, result: Result) -> Answer:
    """How a replay or discard ended, and how to go on."""
    del services
    document = asdict(result)
    parts = [f"{result.done} of {result.total} {'handed over' if result.action == 'replay' else 'discarded'}"]
    if result.action == "replay":
        parts += [f"{result.in_step} resolved", f"{result.failed} failed again", f"{result.waiting} wait"]
    parts += [f"{result.open} were being tried already"] if result.open else []
    parts += [f"{result.changed} were letters no more, or others"] if result.changed else []
    parts += [f"{result.unreadable} deliveries can still not be read"] if result.unreadable else []
    lines = [f"{', '.join(parts)} in {result.seconds:.1f} s (job {result.job})"]
    if result.ended == "failing":
        lines.append(
            "Stopped, because most of them fail again: see `capsule-relay dead list`; --keep-going goes on all the same."
        )
    if result.ended != "done":
        moment = dt.datetime.fromtimestamp(result.before_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
        bound = shlex.quote(moment.replace("+00:00", "Z"))
        lines.append(f"The rest are letters still. To go on: the same command with --before {bound}")
    good = result.ended == "done" and not result.failed
    return Answer(document, tuple(lines), in_order=good)


def cancelled(services: Services, job: str, *, who: str) -> Answer:
    """Which jobs were asked to stop."""
    asked_ = flow.cancel(services, job, who=who)
    lines = tuple(f"{one.id}: {one.action} by {one.who} stops; {one.done} of {one.total} were handed over" for one in asked_)
    return Answer([asdict(one) for one in asked_], lines or ("nothing is under way",), in_order=bool(asked_) or not job)


def audited(services: Services, limit: int) -> Answer:
    """Who did what."""
    entries = flow.audit(services, limit)
    now = services.agenda.hello()
    lines = []
    for one in entries:
        counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in one.counts.items() if number)
        asked_ = " ".join(f"{name}={_brief(value)}" for name, value in one.filter.items()) or "all"
        result = f"{one.result}{': ' + counts if counts else ''}"
        lines.append(f"{one.id}  {_when(one.began_ms, now)}  {one.who}  {one.action} of {one.total} ({asked_})  {result}")
    return Answer([asdict(one) for one in entries], tuple(lines) or ("nothing was done yet",))


def _brief(value: object) -> str:
    if isinstance(value, list) and len(value) > 3:  # noqa: PLR2004 - as many as fit on a line
        return f"{value[0]} and {len(value) - 1} more"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
