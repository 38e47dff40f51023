"""The commands that belong to the console. A door: it asks for a password and prints its hash."""

from __future__ import annotations

import sys

import typer

from workers.console.passwords import make_hash
from workers.console_settings import SHORTEST_PASSWORD


def ask() -> None:
    """Asks for a password and prints the hash that RELAY_CONSOLE_PASSWORD takes in its place.

    At a terminal it asks twice; else it reads one line of standard input.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        typer.echo(f"capsule-relay: the password is shorter than {SHORTEST_PASSWORD} characters", err=True)
        raise typer.Exit(1)
    typer.echo(make_hash(password).text)
