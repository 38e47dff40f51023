"""The commands `capsule-relay dead list | show | replay | discard | cancel | audit`, for whoever is on call.

Part of the door `workers/cli.py`, which gives it the environment. What changes something says first how much it would change.
"""

from __future__ import annotations

import contextlib
import getpass
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from workers.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workers.dead_report import Answer
    from workers.flows.replay import Result, Summary
    from workers.letters import Filter
    from workers.services import Services

DEFAULT_RATE: Final = 20.0

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of letters, or records as acme/party/123.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
ConnectionName = Annotated[str, typer.Option("--connection", metavar="NAME", help="Of this connection.")]
Kind = Annotated[str, typer.Option("--kind", help="record, delivery, party, opportunity …")]
ErrorClass = Annotated[str, typer.Option("--error", help="Of this error class, such as Refused.")]
SystemName = Annotated[str, typer.Option("--system", help="That this side caused: capsule or officernd.")]
Status = Annotated[int | None, typer.Option("--status", help="With this HTTP status.")]
Older = Annotated[str, typer.Option("--older-than", metavar="AGE", help="Failed last at least so long ago: 90s, 30m, 2h, 7d.")]
Newer = Annotated[str, typer.Option("--newer-than", metavar="AGE", help="Failed last at most so long ago.")]
Before = Annotated[
    str, typer.Option("--before", metavar="TIME", help="Failed last before this moment, such as 2026-11-20T03:00:00Z.")
]
Everything = Annotated[bool, typer.Option("--all", help="Every letter, where neither ids nor conditions are given.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def make(environ: Mapping[str, str]) -> typer.Typer:
    """The commands over this environment."""
    app = typer.Typer(
        help="Show, replay and discard what could not be synced.", no_args_is_help=True, pretty_exceptions_enable=False
    )

    @app.command("list")
    def show_list(  # noqa: PLR0917 - each is an option of the command
        ids: Ids = None,
        connection: ConnectionName = "",
        kind: Kind = "",
        error: ErrorClass = "",
        system: SystemName = "",
        status: Status = None,
        older_than: Older = "",
        newer_than: Newer = "",
        before: Before = "",
        limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many on a page.")] = 20,
        page: Annotated[int, typer.Option("--page", min=1, help="Which page, newest letters first.")] = 1,
        as_json: AsJson = False,
    ) -> None:
        """List dead letters, with totals by error and what to do about it."""
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast
        from workers.dead_report import asked  # noqa: PLC0415 - the same

        with dead_report.services(environ) as services:
            wanted = asked(
                services,
                ids,
                connection,
                kind,
                error,
                system,
                status,
                older_than=older_than,
                newer_than=newer_than,
                before=before,
            )
            _answer(dead_report.listed(services, wanted, limit=limit, page=page), as_json=as_json)

    @app.command()
    def show(
        letter: Annotated[str, typer.Argument(metavar="ID", help="The id of a letter, or a record as acme/party/123.")],
        reveal: Annotated[bool, typer.Option("--reveal", help="Show personal data too. That is written down.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show everything about one dead letter; values that come from a record are hidden."""
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast

        with dead_report.services(environ) as services:
            _answer(dead_report.shown(services, letter, reveal=reveal, who=_who()), as_json=as_json)

    @app.command()
    def replay(  # noqa: PLR0917 - each is an option of the command
        ids: Ids = None,
        connection: ConnectionName = "",
        kind: Kind = "",
        error: ErrorClass = "",
        system: SystemName = "",
        status: Status = None,
        older_than: Older = "",
        newer_than: Newer = "",
        before: Before = "",
        everything: Everything = False,
        yes: Yes = False,
        rate: Annotated[float, typer.Option("--rate", min=0.1, max=10_000, help="At most so many a second.")] = DEFAULT_RATE,
        keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on although most of them fail again.")] = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when all are handed over.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Try letters again, each record as it is now. Ctrl-C stops it; what was handed over goes on.

        Exit status: 0 all went well, 1 some failed again, or it was stopped.
        """
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast
        from workers.dead_report import asked  # noqa: PLC0415 - the same
        from workers.flows import replay as flow  # noqa: PLC0415 - the same

        with dead_report.services(environ) as services:
            wanted = asked(
                services,
                ids,
                connection,
                kind,
                error,
                system,
                status,
                older_than=older_than,
                newer_than=newer_than,
                before=before,
            )
            summary = _confirmed(services, wanted, "replay", everything=everything, yes=yes, as_json=as_json)
            if not summary.total:
                _answer(dead_report.nothing("replay"), as_json=as_json)
                return
            with _interruptible() as stop, dead_report.progress(quiet=as_json) as progress:
                result = flow.replay(
                    services,
                    wanted,
                    who=_who(),
                    rate=rate,
                    progress=progress,
                    cancelled=stop.is_set,
                    keep_going=keep_going,
                    wait=not no_wait,
                )
            _end(services, result, as_json=as_json)

    @app.command()
    def discard(  # noqa: PLR0917 - each is an option of the command
        ids: Ids = None,
        connection: ConnectionName = "",
        kind: Kind = "",
        error: ErrorClass = "",
        system: SystemName = "",
        status: Status = None,
        older_than: Older = "",
        newer_than: Newer = "",
        before: Before = "",
        everything: Everything = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Take letters away without trying again. A change of the record, or a full sync, tries it anew."""
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast
        from workers.dead_report import asked  # noqa: PLC0415 - the same
        from workers.flows import replay as flow  # noqa: PLC0415 - the same

        with dead_report.services(environ) as services:
            wanted = asked(
                services,
                ids,
                connection,
                kind,
                error,
                system,
                status,
                older_than=older_than,
                newer_than=newer_than,
                before=before,
            )
            summary = _confirmed(services, wanted, "discard", everything=everything, yes=yes, as_json=as_json)
            if not summary.total:
                _answer(dead_report.nothing("discard"), as_json=as_json)
                return
            with _interruptible() as stop, dead_report.progress(quiet=as_json) as progress:
                result = flow.discard(services, wanted, who=_who(), progress=progress, cancelled=stop.is_set)
            _end(services, result, as_json=as_json)

    @app.command()
    def cancel(
        job: Annotated[
            str, typer.Argument(metavar="[JOB]", help="The job, as `dead audit` names it; all of them if left out.")
        ] = "",
        as_json: AsJson = False,
    ) -> None:
        """Stop a replay or discard that runs elsewhere. What it has handed over goes on."""
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast

        with dead_report.services(environ) as services:
            _answer(dead_report.cancelled(services, job, who=_who()), as_json=as_json)

    @app.command()
    def audit(
        limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many, newest first.")] = 50,
        as_json: AsJson = False,
    ) -> None:
        """List who did what with dead letters."""
        from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast

        with dead_report.services(environ) as services:
            _answer(dead_report.audited(services, limit), as_json=as_json)

    return app


def _who() -> str:
    """The user of this machine who asks."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _confirmed(services: Services, wanted: Filter, action: str, *, everything: bool, yes: bool, as_json: bool) -> Summary:
    """What would be done, said first. Goes on only when that was agreed to.

    Raises:
        Misconfigured: nothing was said about which letters, or nobody is there to ask.
    """
    from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast
    from workers.flows.replay import count  # noqa: PLC0415 - the same

    if not wanted.document() and not everything:
        raise Misconfigured(f"which letters to {action} was not said.", advice="Give ids or conditions, or --all.")
    summary = count(services, wanted)
    for line in dead_report.group_lines(summary):
        typer.echo(line, err=True)
    if summary.total and not yes:
        number = f"{summary.total} letter{'' if summary.total == 1 else 's'}"
        if as_json or not sys.stdin.isatty():
            raise Misconfigured(f"{number} would be {action}ed; nothing was done.", advice="Give --yes to do it.")
        typer.confirm(f"{action.capitalize()} {number}?", abort=True, err=True)
    return summary


def _end(services: Services, result: Result, *, as_json: bool) -> None:
    from workers import dead_report  # noqa: PLC0415 - loaded when used, so that every command starts fast

    _answer(dead_report.ended(services, result), as_json=as_json)


def _answer(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(answer.document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
    else:
        typer.echo("\n".join(answer.lines))
    if not answer.in_order:
        raise typer.Exit(1)


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM sets the event; the second ends the command at once."""
    stop = threading.Event()

    def asked(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {one: signal.signal(one, asked) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
