"""The commands of `capsule-relay`. A door: it reads the environment, calls a flow, and puts answers into words.

Standard output carries what was asked for, as text or (`--json`) as one JSON document; standard error carries warnings,
progress and mistakes. Exit status: 0 done; 1 something is wrong that the message names; 2 the command was typed wrongly.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer

from mapping.keys import hook_owner, hook_path, hook_token
from workers import dead_cli, token_commands
from workers.datastore import UpFailed, find_redis
from workers.embedded import EmbeddedServerFailed
from workers.errors import QueueAway, WorkerError
from workers.settings import Settings, SettingsInvalid, load, strangers
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mapping.errors import Fault
    from workers.account_commands import Said
    from workers.flows.check_calls import Asked

app = typer.Typer(
    name="capsule-relay",
    help="Keeps another system true to a Capsule CRM account.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(dead_cli.make(os.environ), name="dead")
token_commands.register(app, os.environ)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The connection, as relay.toml names it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]


class Mistake(Exception):
    """Something that the person at the terminal can put right: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main() -> NoReturn:
    """Runs one command and leaves with its exit status. Mistakes become sentences, not tracebacks."""
    with _words():
        app(prog_name="capsule-relay")
    sys.exit(0)


@contextlib.contextmanager
def _words() -> Iterator[None]:
    try:
        yield
    except SettingsInvalid as error:
        _say_faults(error.faults)
        sys.exit(1)
    except (Mistake, UpFailed) as error:
        _fail(str(error), error.hint)
    except EmbeddedServerFailed as error:
        _fail(str(error), "")
    except WorkerError as error:
        if isinstance(error, QueueAway):
            _fail_away(error)
        _fail(str(error), error.advice)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone away; the flush at the interpreter's end must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # Not loaded here, so that `up` starts without it; a command that never loaded it cannot have its errors.
        redis = sys.modules.get("redis")
        if redis is None or not isinstance(error, redis.RedisError):
            raise
        _fail_away(error)


def _fail_away(error: Exception) -> NoReturn:
    _fail(f"the data store does not answer ({type(error).__name__})", "Is `capsule-relay up` running? Is REDIS_URL right?")


def _say_faults(faults: tuple[Fault, ...]) -> None:
    things = "1 thing is" if len(faults) == 1 else f"{len(faults)} things are"
    typer.echo(f"{things} wrong with the settings:", err=True)
    _lines("", faults)


def _lines(what: str, faults: Iterable[Fault]) -> None:
    for fault in faults:
        typer.echo(f"  {what}{fault.path}: {fault.message}", err=True)
        if fault.hint:
            typer.echo(f"      {fault.hint}", err=True)


def _fail(message: str, hint: str) -> NoReturn:
    typer.echo(f"capsule-relay: {message}", err=True)
    if hint:
        typer.echo(f"  {hint}", err=True)
    sys.exit(1)


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON document
    """One JSON document on standard output."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def known(settings: Settings, name: str) -> str:
    """The name, if the rules file has such a connection.

    Raises:
        Mistake: it has not.
    """
    if name not in settings.connections:
        there = ", ".join(settings.connections) or "none"
        raise Mistake(f"there is no connection {name}", f"{settings.config_path} has these: {there}.")
    return name


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"capsule-relay {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The options that stand before a command."""


@app.command()
def up() -> None:
    """Run everything on this machine: data store, receiver, workers, clock, console. Ctrl-C stops it."""
    from workers.local import up as run_all  # noqa: PLC0415 - loaded when used, so that every command starts fast

    _warn_of_strangers(settings := load(os.environ))
    raise typer.Exit(run_all(settings, dict(os.environ)))


@app.command()
def clock() -> None:
    """Run the clock alone: due retries, sweeps, and what else is done at set times."""
    # A thread waits for the signals: a handler could run while the main thread holds a lock that it needs.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    stop = threading.Event()

    def listen() -> None:
        signal.sigwait(ends)
        stop.set()
        signal.sigwait(ends)  # asked twice: at once
        os._exit(1)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    from workers import tracing  # noqa: PLC0415 - loaded when used, so that every command starts fast
    from workers.clock import run  # noqa: PLC0415 - the same
    from workers.log import configure  # noqa: PLC0415 - the same

    settings = load(os.environ)
    configure(settings.log_format, settings.log_level, process="clock")
    tracing.start(os.environ, process="clock")
    run(settings, stop)


@app.command()
def check(
    live: Annotated[bool, typer.Option("--live", help="Also ask Capsule and OfficeRnD.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name everything that is wrong with the rules file and the environment, with line and hint.

    Exit status: 0 in order (warnings allowed), 1 something is wrong, 2 a side could not be asked.
    """
    from workers import check_report  # noqa: PLC0415 - loaded when used, so that every command starts fast
    from workers.findings import inspect  # noqa: PLC0415 - the same

    seen = inspect(os.environ)
    findings, asked = seen.findings, None
    if live and seen.settings is not None:
        asked = _ask(seen.settings)
        for one in asked:
            findings += (*seen.located("fault", one.faults), *seen.located("warning", one.warnings))
    left = check_report.exit_status(findings, asked or ())
    if as_json:
        print_json(check_report.document(findings, asked))
        raise typer.Exit(left)
    for line in check_report.facts(asked or ()):
        typer.echo(line)
    check_report.show(findings, sys.stderr)
    check_report.show_unasked(asked or (), sys.stderr)
    if live and asked is None:
        typer.echo("Neither side was asked: mend this first.", err=True)
    if left == check_report.OK and seen.settings is not None:
        number = len(seen.settings.connections)
        agree = ", and both sides agree" if live else ""
        typer.echo(f"{seen.file} and the environment are in order{agree}: {number} connection{'' if number == 1 else 's'}.")
    raise typer.Exit(left)


def _ask(settings: Settings) -> tuple[Asked, ...]:
    """Both sides of every connection, with a word on whom we wait for. A sign-in by OAuth needs the running data store."""
    from rich.console import Console  # noqa: PLC0415 - loaded when used, so that every command starts fast

    from workers.flows.check import ask  # noqa: PLC0415 - the same
    from workers.flows.check_calls import nobody  # noqa: PLC0415 - the same
    from workers.flows.doctor_sides import bearer  # noqa: PLC0415 - the same
    from workers.http import Http  # noqa: PLC0415 - the same
    from workers.services import build  # noqa: PLC0415 - the same

    services = None
    if any(one.capsule.auth == "oauth" for one in settings.connections.values()):
        with contextlib.suppress(UpFailed):
            services = build(replace(settings, redis_url=find_redis(settings)))
            services.start()
    try:
        with Http(user_agent=f"capsule-relay/{VERSION}") as http, Console(stderr=True).status("") as waiting:
            return ask(settings, http, waiting.update, signed_in=bearer(services) if services is not None else nobody)
    finally:
        if services is not None:
            services.close()


@app.command()
def connect(name: Name, as_json: AsJson = False) -> None:
    """Print a one-time link that connects the Capsule account by OAuth, or connects it again."""
    from workers import account_commands  # noqa: PLC0415 - loaded when used, so that every command starts fast

    settings = load(os.environ)
    _answer(account_commands.print_link(settings, known(settings, name)), as_json=as_json)


@app.command()
def disconnect(name: Name, as_json: AsJson = False) -> None:
    """Remove the hooks from the Capsule account, end its tokens and forget them."""
    from workers import account_commands  # noqa: PLC0415 - loaded when used, so that every command starts fast

    settings = load(os.environ)
    _answer(account_commands.disconnect(settings, known(settings, name), redis_url=find_redis(settings)), as_json=as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Let a paused connection go on, such as one whose product answered that it wants no more (410)."""
    from workers import resume_command  # noqa: PLC0415 - loaded when used, so that every command starts fast

    settings = load(os.environ)
    _answer(resume_command.resume(known(settings, name), redis_url=find_redis(settings)), as_json=as_json)


@app.command()
def hooks(
    name: Name,
    action: Annotated[
        str,
        typer.Argument(
            metavar="[url|list|ensure|remove]",
            help="url: print their address. list: show them. ensure: make them right. remove: take ours away.",
        ),
    ] = "url",
    as_json: AsJson = False,
) -> None:
    """Show, mend or remove the account's REST hooks, or print the address that they post to.

    Exit status of `list`: 0 all in order, 1 something is missing or wrong.
    """
    from workers import account_commands  # noqa: PLC0415 - loaded when used, so that every command starts fast

    if action not in account_commands.ACTIONS:
        raise Mistake(f"`hooks` cannot {action}", f"It knows {', '.join(account_commands.ACTIONS)}.")
    settings = load(os.environ)
    known(settings, name)
    if action != "url":
        said = account_commands.hooks(settings, name, action, redis_url=find_redis(settings))
        _answer(said, as_json=as_json)
        return
    owner = hook_owner(name, settings.connections[name].capsule.account)
    token = hook_token(settings.secret_keys[0], owner, settings.connections[owner].hook_generation)
    if settings.public_url is None:
        typer.echo("warning: RELAY_PUBLIC_URL is not set, so this address works on this machine alone", err=True)
    address = settings.public_base + hook_path(owner, token)
    if as_json:
        print_json({"connection": name, "owner": owner, "url": address, "public": settings.public_url is not None})
    else:
        typer.echo(address)


def _answer(said: Said, *, as_json: bool) -> None:
    """Prints what a command answers, and leaves with 1 when not all is in order."""
    if as_json:
        print_json(said.document)
    else:
        typer.echo("\n".join(said.lines))
    for line in said.beside:
        typer.echo(line, err=True)
    if not said.in_order:
        raise typer.Exit(1)


@app.command()
def sync(  # noqa: PLR0917 - each is an option of the command
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Look at every record of the account.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when what differs is in the agenda.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing anywhere.")] = False,
    allow_release: Annotated[bool, typer.Option("--allow-release", help="Release even more than the guard lets pass.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show how it goes on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the other side in step with the account, and wait until it is.

    Without --full: with what was changed since the last time. Exit status: 0 done, 1 something failed, 3 the guard stopped it.
    """
    settings = load(os.environ)
    from workers.progress import Wish, run_sync  # noqa: PLC0415 - loaded when used, so that every command starts fast

    wish = Wish(full=full, wait=not no_wait, allow_release=allow_release, dry_run=dry_run)
    if watch:
        from workers.watch import sync_and_watch  # noqa: PLC0415 - the same

        if dry_run or no_wait:
            raise Mistake("--watch goes with neither --dry-run nor --no-wait", "Leave one of them out.")
        raise typer.Exit(
            sync_and_watch(settings, known(settings, name), redis_url=find_redis(settings), wish=wish, as_json=as_json)
        )
    result = run_sync(settings, known(settings, name), redis_url=find_redis(settings), wish=wish, quiet=as_json)
    if as_json:
        print_json(result.document())
    else:
        typer.echo(result.sentence())
    raise typer.Exit(result.exit_status)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show for each connection what is in step, held, waiting and failed."""
    from workers import overview, overview_words  # noqa: PLC0415 - loaded when used, so that every command starts fast

    settings = load(os.environ)
    with overview.reading(find_redis(settings)) as client:
        found = overview.read(client, settings.connections, overview.vault(settings.secret_keys))
    if as_json:
        print_json(found.document())
    else:
        typer.echo("\n".join(overview_words.lines(found)))


@app.command()
def explain(
    name: Name,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="person, organisation, party or opportunity.", show_default=False)],
    number: Annotated[str, typer.Argument(metavar="ID", help="Capsule's id of the record.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say why a record is synced or not: what Capsule holds, the rules, what would be written, what waits. Writes nothing.

    Exit status: 0 explained, 1 a word or a setting is wrong, 2 a side could not be asked.
    """
    from workers import explain_command  # noqa: PLC0415 - loaded when used, so that every command starts fast
    from workers.flows import explanation  # noqa: PLC0415 - the same

    settings = load(os.environ)
    known(settings, name)
    explanation.record_of(name, kind, number)
    said = explain_command.run(settings, name, kind, number, redis_url=find_redis(settings))
    _answer(replace(said, in_order=True), as_json=as_json)
    raise typer.Exit(0 if said.in_order else 2)


@app.command(name="console-password")
def console_password() -> None:
    """Ask for a password, and print the hash that RELAY_CONSOLE_PASSWORD takes in its place."""
    from workers.console_commands import ask  # noqa: PLC0415 - loaded when used, so that every command starts fast

    ask()


@app.command()
def doctor(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this connection.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything that the relay rests on, and say of each thing that it is in order, or what to do. Changes nothing.

    Exit status: 0 in order (warnings allowed), 1 something is wrong, 2 nothing is, but something could not be asked.
    """
    from rich.console import Console  # noqa: PLC0415 - loaded when used, so that every command starts fast

    from workers import doctor_command  # noqa: PLC0415 - the same

    if name is not None:
        known(load(os.environ), name)
    with Console(stderr=True).status("") as waiting:
        results = tuple(doctor_command.run(os.environ, name, lambda what: waiting.update(f"looking at {what}")))
    if as_json:
        print_json(doctor_command.document(results))
    else:
        doctor_command.show(results, sys.stdout)
    raise typer.Exit(doctor_command.exit_status(results))


def _warn_of_strangers(settings: Settings) -> None:
    _lines("warning: ", strangers(os.environ, settings.connections))
