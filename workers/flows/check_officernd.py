"""What a check asks of OfficeRnD: a token for every scope, locations, opportunity statuses, custom properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mapping import officernd_check
from mapping.errors import Fault
from mapping.officernd_lookup import Status
from mapping.rules_faults import quoted
from workers.answers import NotJson
from workers.downstream.officernd import wire
from workers.flows.check_calls import MOST_PAGES, Asked, Stop, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mapping.rules import Connection
    from workers.answers import Answer, Body
    from workers.errors import CredentialsRefused
    from workers.http import Http
    from workers.settings import Credentials, Settings

_COMMUNITY: Final = ("members", "companies", "opportunities")


@dataclass(frozen=True, slots=True)
class _OfficeRnD:
    """Reads of one organisation with a token of this moment."""

    http: Http
    base: str
    token: str = field(repr=False)
    deadline_s: float
    path: str
    variable: str

    def all(self, resource: str) -> Iterator[Body]:
        """Every record of a list."""
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            bodies, cursor = understood(
                partial(self._page, resource, cursor),
                refused=self._refused,
                misplaced=f"{self.path}.officernd.organization",
            )
            yield from bodies
            if cursor is None:
                return
        raise Stop(unasked=f"its list {wire.ALL_PATHS[resource]} does not end")

    def _page(self, resource: str, cursor: str | None) -> tuple[list[Body], str | None]:
        read = wire.page(resource, {}, cursor=cursor)
        answer = self.http.request(
            "GET",
            read.url(self.base),
            system=wire.SYSTEM,
            route=read.route,
            headers={"Authorization": f"Bearer {self.token}"},
            deadline_s=self.deadline_s,
        )
        return wire.results(wire.decipher_read(answer, route=read.route), route=read.route)

    def _refused(self, error: CredentialsRefused) -> Fault:
        message = f"signs in, and OfficeRnD refuses its token ({error}): a permission is missing, or it is of another region"
        return Fault(self.variable, message, "Check the application's permissions, and officernd.api_url and token_url.")


def ask_officernd(settings: Settings, http: Http, connection: Connection) -> Asked:
    """What OfficeRnD says of the rules of one connection.

    Raises:
        Stop: it could not be asked, or the settings are wrong where they lead to it.
    """
    rules, credentials = connection.officernd, settings.credentials[connection.name]
    variable = f"RELAY_{connection.name.upper()}_OFFICERND_CLIENT_ID"
    if rules is None or credentials.officernd_client_id is None or credentials.officernd_client_secret is None:
        raise Stop(unasked=f"{variable} or its secret is not set")
    path = f"connections.{quoted(connection.name)}"

    def sign_in(scopes: Sequence[str]) -> str:
        return _token(settings, http, credentials, scopes=scopes, token_url=rules.token_url, path=path, variable=variable)

    missing: tuple[str, ...] = ()
    try:
        token = sign_in(wire.SCOPES)
    except _ScopeMissing:
        token, missing = _narrow(sign_in)
    facts: dict[str, str | int] = {"organization": rules.organization}
    faults = [_scopes_fault(variable, missing)] if missing else []
    if not token:
        return Asked(connection.name, "OfficeRnD", facts, tuple(faults))
    base = wire.base_url(rules.api_url, rules.organization)
    reads = _OfficeRnD(http=http, base=base, token=token, deadline_s=settings.call_deadline_s, path=path, variable=variable)
    try:
        locations = {str(body["_id"]): str(body.get("name") or "") for body in reads.all(wire.LOCATION)}
        statuses = {str(body["_id"]): _status(body) for body in reads.all(wire.STATUS)}
        properties = [_property(body) for body in reads.all(wire.CUSTOM_PROPERTY)]
    except Stop as stop:
        # What is known by now is told all the same.
        faults += [stop.fault] if stop.fault is not None else []
        return Asked(connection.name, "OfficeRnD", facts, tuple(faults), unasked=stop.unasked)
    found = officernd_check.of_officernd(connection, locations=locations, statuses=statuses, properties=properties)
    facts |= {"locations": len(locations), "statuses": len(statuses), "properties": len(properties)}
    return Asked(connection.name, "OfficeRnD", facts, (*faults, *found.faults), found.warnings)


class _ScopeMissing(Exception):
    """The application was not granted at least one of the scopes that were asked for."""


def _token(
    settings: Settings,
    http: Http,
    credentials: Credentials,
    *,
    scopes: Sequence[str],
    token_url: str,
    path: str,
    variable: str,
) -> str:
    """A new token for these scopes (reference/officernd.md §1.1); "" never."""
    client_id, client_secret = credentials.officernd_client_id, credentials.officernd_client_secret
    if client_id is None or client_secret is None:
        raise Stop(unasked=f"{variable} or its secret is not set")
    form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
    form |= {"client_id": client_id.get_secret_value(), "client_secret": client_secret.get_secret_value()}
    route = "POST token"

    def call() -> Answer:
        return http.request("POST", token_url, system=wire.SYSTEM, route=route, form=form, deadline_s=settings.call_deadline_s)

    answer = understood(call, misplaced=f"{path}.officernd.token_url")
    document = _json(answer)
    token, word = document.get("access_token"), document.get("error")
    if answer.status in (200, 201) and isinstance(token, str) and token:
        return token
    if answer.status in (400, 403) and word == "invalid_scope":
        raise _ScopeMissing
    if answer.status in (400, 401, 403):
        hint = "Compare both with OfficeRnD: Settings, Data & Extensibility, Developer Tools, Applications, View."
        raise Stop(fault=Fault(variable, f"or its secret is refused by OfficeRnD ({answer.status})", hint))
    if answer.status in (301, 302, 303, 307, 308, 404, 405):
        message = f"there is no token endpoint at this address ({answer.status})"
        raise Stop(fault=Fault(f"{path}.officernd.token_url", message, "Remove the line for OfficeRnD's own address."))
    wait = " (about five sign-ins a minute are allowed): try again in a minute" if answer.status == 429 else ""  # noqa: PLR2004 - "too many"
    raise Stop(unasked=f"its token endpoint answers {answer.status}{wait}")


def _narrow(sign_in: Callable[[Sequence[str]], str]) -> tuple[str, tuple[str, ...]]:
    """A token for the lists, "" without one, and the scopes among which one or more are missing.

    One scope that is not granted fails the whole request, without being named (§1.1). In these groups it takes four further
    requests to say where it is missing, and the endpoint allows about five a minute.
    """
    lists = tuple(scope for scope in wire.SCOPES if not any(f".{word}." in scope for word in _COMMUNITY))
    token, missing = "", tuple[str, ...]()
    for group in (lists, *(tuple(one for one in wire.SCOPES if f".{word}." in one) for word in _COMMUNITY)):
        try:
            given = sign_in(group)
        except _ScopeMissing:
            missing += group
        except Stop:
            return token, missing or wire.SCOPES  # The endpoint's limit: what is known so far is all there is.
        else:
            token = given if group == lists else token
    return token, missing or wire.SCOPES


def _scopes_fault(variable: str, missing: Sequence[str]) -> Fault:
    message = "signs in, and the application was not granted every permission: at least one of these is missing: "
    hint = "Grant them in OfficeRnD: Settings, Data & Extensibility, Developer Tools, Applications, Permissions."
    return Fault(variable, message + ", ".join(missing), hint)


def _status(body: Body) -> Status:
    return Status(
        id=str(body["_id"]),
        description=str(body.get("description") or ""),
        probability=int(body.get("probability") or 0),
        is_system=str(body.get("isSystem", "")).lower() == "true",
    )


def _property(body: Body) -> officernd_check.Property:
    targets = body.get("targets")
    return officernd_check.Property(
        key=str(body.get("key")),
        type=str(body.get("type") or ""),
        targets=frozenset(map(str, targets)) if isinstance(targets, list) else frozenset(),
    )


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except NotJson:
        return {}
    return document if isinstance(document, dict) else {}
