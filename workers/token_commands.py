"""`capsule-relay token NAME create|list|revoke`: the tokens of the unified API. A door: it prints a new token once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import orjson
import typer

from workers.datastore import find_redis
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.settings import Settings
    from workers.unified_tokens import ApiToken, UnifiedTokens

ACTIONS: Final = ("create", "list", "revoke")
SCOPES: Final = ("read", "write")
LONGEST_LABEL: Final = 80
HELP: Final = "Make, list and revoke the tokens with which a product uses the unified API and the proxy."


def register(app: typer.Typer, environ: Mapping[str, str]) -> None:
    """Adds the command to an application."""

    @app.command(name="token", help=HELP)
    def token(  # noqa: PLR0917 - each is an argument or option of the command
        name: Annotated[str, typer.Argument(metavar="NAME", help="The connection.", show_default=False)],
        action: Annotated[str, typer.Argument(metavar="create|list|revoke", help="What to do.", show_default=False)],
        number: Annotated[str | None, typer.Argument(metavar="[ID]", help="The token to revoke.", show_default=False)] = None,
        scope: Annotated[str, typer.Option("--scope", help="read, or write (which reads too).")] = "read",
        label: Annotated[str, typer.Option("--label", help="What it is for, such as the product's name.")] = "",
        also: Annotated[list[str] | None, typer.Option("--also", help="A further connection that it opens.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")] = False,
    ) -> None:
        settings = load(environ)
        names = (name, *(also or ()))
        _known(settings, names)
        if action not in ACTIONS:
            _mistake(f"`token` cannot {action}", f"It knows {', '.join(ACTIONS)}.")
        from workers.agenda import connect  # noqa: PLC0415 - loaded when used, so that every command starts fast
        from workers.ledger import Vault  # noqa: PLC0415 - the same
        from workers.unified_tokens import UnifiedTokens  # noqa: PLC0415 - the same

        client = connect(find_redis(settings))
        try:
            tokens = UnifiedTokens(client, Vault(settings.secret_keys))
            if action == "create":
                _create(tokens, names, scope, label, as_json=as_json)
            elif action == "list":
                _list(tokens.list(name), as_json=as_json)
            else:
                _revoke(tokens, name, number, as_json=as_json)
        finally:
            client.close()


def _create(tokens: UnifiedTokens, names: Sequence[str], scope: str, label: str, *, as_json: bool) -> None:
    if scope not in SCOPES:
        _mistake(f"there is no scope {scope}", f"It is one of {', '.join(SCOPES)}.")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        _mistake("the label cannot be used", f"At most {LONGEST_LABEL} printable characters.")
    made, text = tokens.create(names, "write" if scope == "write" else "read", label=label)
    if as_json:
        _print(_shown(made) | {"token": text})
        return
    typer.echo(text)
    typer.echo(f"This is shown once. It may {_may(made)} {', '.join(made.connections)}. Its id is {made.id}.", err=True)


def _list(found: Sequence[ApiToken], *, as_json: bool) -> None:
    if as_json:
        _print([_shown(one) for one in found])
        return
    for one in found:
        used = _when(one.used_ms) or "never"
        typer.echo(f"{one.id}  {one.scope:<5}  made {_when(one.created_ms)}  used {used}  {one.label}".rstrip())
    if not found:
        typer.echo("There are none.", err=True)


def _revoke(tokens: UnifiedTokens, name: str, number: str | None, *, as_json: bool) -> None:
    mine = {one.id for one in tokens.list(name)}
    if number is None or number not in mine:
        _mistake(f"{name} has no token {number or '(no id given)'}", f"`capsule-relay token {name} list` shows them.")
    gone = tokens.revoke(number)
    if as_json:
        _print({"id": number, "revoked": gone is not None})
    else:
        typer.echo(f"{number} is revoked")


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "connections": list(token.connections),
        "scope": token.scope,
        "label": token.label,
        "created_at": _when(token.created_ms),
        "used_at": _when(token.used_ms),
    }


def _may(token: ApiToken) -> str:
    return "read and write" if token.may_write else "read"


def _when(ms: int) -> str | None:
    return dt.datetime.fromtimestamp(ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else None


def _print(document: object) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def _known(settings: Settings, names: Sequence[str]) -> None:
    for name in names:
        if name not in settings.connections:
            there = ", ".join(settings.connections) or "none"
            _mistake(f"there is no connection {name}", f"{settings.config_path} has these: {there}.")


def _mistake(message: str, hint: str) -> NoReturn:
    typer.echo(f"capsule-relay: {message}\n  {hint}", err=True)
    raise typer.Exit(1)
