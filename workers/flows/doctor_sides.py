"""What `doctor` asks of Capsule and OfficeRnD: the answers of `check --live`, sorted by name, and the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.accounts import owners, sharing
from workers.flows import subscribe
from workers.flows.check import ask
from workers.flows.diagnosis import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mapping.errors import Fault
    from workers.flows.check_calls import Asked, Bearer
    from workers.flows.diagnosis import State
    from workers.http import Http
    from workers.services import Services
    from workers.settings import Settings

TOKEN: Final = {"Capsule": "Capsule token", "OfficeRnD": "OfficeRnD token and scopes"}
# The other checks of a side, each with the parts of a setting's path by which a fault belongs to it. The first that fits wins.
_PARTS: Final[Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "Capsule": (
        ("milestones", (".opportunity_statuses",)),
        ("tags", (".tags_to_sync", ".locations")),
    ),
    "OfficeRnD": (
        ("statuses", (".opportunity_statuses",)),
        ("locations", (".locations", ".default_location")),
        ("custom properties", (".fields",)),
    ),
}


def sides(settings: Settings, http: Http, told: Callable[[str], None], *, signed_in: Bearer) -> Iterator[Result]:
    """Tokens and scopes, custom properties, and the names in the rules, of every connection in `settings`."""
    for asked in ask(settings, http, told, signed_in=signed_in):
        yield from sorted_out(asked)


def sorted_out(asked: Asked) -> Iterator[Result]:
    """What one side said, as one result at least for each named check: its faults, its warnings, or ok."""
    names = [TOKEN[asked.side], *(name for name, _ in _PARTS[asked.side])]
    found: dict[str, list[tuple[State, Fault]]] = {name: [] for name in names}
    for state, faults in (("wrong", asked.faults), ("warning", asked.warnings)):
        for fault in faults:
            found[name_of(asked.side, fault.path)].append(("wrong" if state == "wrong" else "warning", fault))
    for name, faults_of in found.items():
        for state, fault in faults_of:
            where = fault.path.removeprefix(f"connections.{asked.connection}.").removeprefix(f"connections.{asked.connection}")
            said = fault.message if not where or where == "officernd" else f"{where}: {fault.message}"
            yield Result(name, state, said, fault.hint, asked.connection)
        if faults_of:
            continue
        if asked.unasked or (asked.faults and not asked.facts):
            # A token that is refused opens nothing else either.
            text = asked.unasked or "not asked, as there is no way in"
            advice = "Mend what is wrong with the token first." if not asked.unasked else "Try again when it answers."
            yield Result(name, "unasked", text, advice, asked.connection)
        else:
            yield Result(name, "ok", _facts(asked, name), about=asked.connection)


def name_of(side: str, path: str) -> str:
    """The check to which a fault at this path belongs."""
    if side == "OfficeRnD" and path.endswith(".officernd"):
        return "custom properties"
    return next((name for name, parts in _PARTS[side] if any(part in path for part in parts)), TOKEN[side])


def _facts(asked: Asked, name: str) -> str:
    """A word on what was found in order."""
    facts = asked.facts
    counted = {"milestones": "milestones", "tags": "tags", "statuses": "statuses", "locations": "locations"}.get(name)
    if name == "custom properties":
        counted = "properties"
    if counted is not None and counted in facts:
        return f"{facts[counted]} looked at"
    return f"at {facts['account']}" if facts.get("account") else str(facts.get("organization", "in order"))


def hooks(services: Services, wanted: set[str]) -> Iterator[Result]:
    """Whether Capsule has the hooks of each account that serves one of the connections in `wanted`."""
    for owner in owners(services.connections):
        if not wanted & {connection.name for connection in sharing(services.connections, owner)}:
            continue
        tokens = services.oauth(owner)
        if tokens is None:
            said = "signed in with a personal token, with which hooks cannot be looked at"
            yield Result("hooks", "warning", said, f'Set auth = "oauth" for {owner}, or see to its hooks yourself.', owner)
            continue
        if not tokens.signed_in():
            advice = f"Run `capsule-relay connect {owner}` and open the link that it prints."
            yield Result("hooks", "wrong", "nobody is signed in to Capsule", advice, owner)
            continue
        found = subscribe.look(services, owner)
        absent = tuple(step.event for step in found.steps if step.subscribe is not None)
        if found.steps:
            said = f"{len(found.kept)} in order; missing or wrong: {', '.join(absent) or 'some to be removed'}"
            advice = f"Run `capsule-relay hooks {owner} ensure`; the clock does it too, if it runs."
            yield Result("hooks", "wrong", said, advice, owner)
        else:
            yield Result("hooks", "ok", f"{len(found.kept)} alive", about=owner)


def bearer(services: Services) -> Bearer:
    """The access token of an account, None when nobody is signed in. Asks for no new one if that would pause anything."""

    def get(owner: str) -> str | None:
        tokens = services.oauth(owner)
        return tokens.bearer() if tokens is not None and tokens.signed_in() else None

    return get
