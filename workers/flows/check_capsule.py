"""What a check asks of Capsule: whose token it is, the tags of parties, the milestones of every pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from mapping import officernd_check
from mapping.capsule import milestone as milestone_of
from mapping.errors import Fault
from mapping.rules_faults import quoted
from workers.capsule import wire
from workers.flows.check_calls import MOST_PAGES, Asked, Stop, nobody, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mapping.records import Milestone
    from mapping.rules import Connection
    from workers.answers import Body
    from workers.errors import CredentialsRefused
    from workers.flows.check_calls import Bearer
    from workers.http import Http
    from workers.settings import Settings


@dataclass(frozen=True, slots=True)
class _Capsule:
    """Reads of one account. `path` is the connection's, `variable` holds the token."""

    http: Http
    api_url: str
    token: str = field(repr=False)
    deadline_s: float
    path: str
    variable: str
    hint: str

    def document(self, read: wire.Read) -> tuple[Body | None, Mapping[str, str]]:
        """The answer to one read and its headers; None for "not found"."""
        call = partial(self._call, read)
        return understood(call, refused=self._refused, misplaced=f"{self.path}.capsule.api_url")

    def one(self, route: str, wrapper: str) -> Body:
        """The object under `wrapper` of a route that every account has."""
        document, _ = self.document(wire.Read(f"GET {route}", route))
        found = (document or {}).get(wrapper)
        if not isinstance(found, dict):
            message = f"there is no GET {route} at this address, so it is not that of Capsule's API"
            raise Stop(fault=Fault(f"{self.path}.capsule.api_url", message, "Capsule's own ends in /api/v2."))
        return found

    def all(self, read: Callable[[int], wire.Read], wrapper: str) -> Iterator[Body]:
        """Every record of a list."""
        page: int | None = 1
        while page is not None:
            document, headers = self.document(read(page))
            if document is None:
                return
            yield from understood(partial(wire.many, document, wrapper, route=read(page).route))
            page = wire.next_page(headers, page)
            if page is not None and page > MOST_PAGES:
                raise Stop(unasked=f"its list of {wrapper} does not end")

    def _call(self, read: wire.Read) -> tuple[Body | None, Mapping[str, str]]:
        answer = self.http.request(
            "GET",
            read.url(self.api_url),
            system=wire.SYSTEM,
            route=read.route,
            headers={"Authorization": f"Bearer {self.token}"},
            deadline_s=self.deadline_s,
        )
        return wire.decipher(answer, route=read.route), answer.headers

    def _refused(self, error: CredentialsRefused) -> Fault:
        if error.status == 403:  # noqa: PLR2004 - "forbidden"
            message = f"opens too little: Capsule answers 403 ({error})"
            return Fault(self.variable, message, "Its user must be allowed to see contacts, opportunities and settings.")
        return Fault(self.variable, "is refused by Capsule (401): it is mistyped, or was revoked", self.hint)


def ask_capsule(settings: Settings, http: Http, connection: Connection, signed_in: Bearer = nobody) -> Asked:
    """What Capsule says of the rules of one connection. `signed_in`: where to get the access token of an OAuth sign-in.

    Raises:
        Stop: it could not be asked, or the settings are wrong where they lead to it.
        UnreadableRecord: it answers a milestone that is none.
    """
    owner = connection.capsule.account or connection.name
    given = settings.credentials[owner].capsule_token
    variable = f"RELAY_{owner.upper()}_CAPSULE_TOKEN"
    token = given.get_secret_value() if given is not None else understood(partial(signed_in, owner))
    if token is None:
        raise Stop(unasked=f"{variable} is not set, and nobody has signed in by OAuth")
    hint = "Make a new one in Capsule: My Preferences, API Authentication Tokens."
    if given is None:
        variable, hint = "the OAuth sign-in", f"Run `capsule-relay connect {owner}` and open the link that it prints."
    reads = _Capsule(
        http=http,
        api_url=connection.capsule.api_url,
        token=token,
        hint=hint,
        deadline_s=settings.call_deadline_s,
        path=f"connections.{quoted(connection.name)}",
        variable=variable,
    )
    user, site = reads.one("/users/current", "user"), reads.one("/site", "site")
    tags = [str(tag.get("name") or "") for tag in reads.all(_party_tags, "tags")]
    milestones = tuple(_milestones(reads))
    found = officernd_check.of_capsule(connection, milestones=milestones, tags=tags)
    facts: dict[str, str | int] = {
        "user": str(user.get("name") or user.get("username") or user.get("id")),
        "account": str(site.get("url") or site.get("subdomain") or ""),
        "tags": len(tags),
        "milestones": len(milestones),
    }
    return Asked(connection.name, "Capsule", facts, found.faults, found.warnings)


def _party_tags(page: int) -> wire.Read:
    query = (("page", str(page)), ("perPage", str(wire.MOST_PER_PAGE)))
    return wire.Read("GET /parties/tags", "/parties/tags", query)


def _milestones(reads: _Capsule) -> Iterator[Milestone]:
    """Those of every pipeline: `GET /milestones` shows one pipeline's alone (reference/capsule.md §6, trap 4)."""
    for pipeline in reads.all(_pipelines, "pipelines"):
        if pipeline.get("deleted") is not True:
            whose = {"id": pipeline["id"], "name": pipeline.get("name")}
            for body in reads.all(partial(_milestones_of, pipeline["id"]), "milestones"):
                yield milestone_of({**body, "pipeline": whose})


def _pipelines(page: int) -> wire.Read:
    return wire.pipelines(page=page)


def _milestones_of(pipeline: int, page: int) -> wire.Read:
    return wire.milestones(pipeline, page=page)
