"""The work of one event, with the product's own mapping: fetch the record, search it in OfficeRnD, create or update it.

No agenda, no lease, no intent: what a careful person writes in an afternoon. Whatever goes wrong is raised, for the queue's own
retries. Settings come from the environment (`PEER_CAPSULE`, `PEER_OFFICERND`, `PEER_RULES`).
"""

from __future__ import annotations

import os
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx

from mapping import officernd
from mapping.capsule import party as party_of
from mapping.judge import judge_party
from mapping.plan import Held, Waits, compare
from mapping.records import Gone, Organisation, Person
from mapping.rules import parse

PATHS = {"member": "/members", "company": "/companies"}
SCOPES = " ".join(
    [
        *(f"flex.community.{what}.{verb}" for what in ("members", "companies") for verb in ("read", "create", "update")),
        "flex.space.locations.read",
        "flex.settings.customProperties.read",
    ]
)
DEADLINE_SECONDS = 10.0


class NotYet(Exception):
    """The record's organisation is not in OfficeRnD yet."""


class Peer:
    """Both systems as one task sees them. Safe to share between threads."""

    def __init__(self) -> None:
        (self._connection,) = parse(tomllib.loads(Path(os.environ["PEER_RULES"]).read_text(encoding="utf-8"))).values()
        self._capsule = os.environ["PEER_CAPSULE"] + "/api/v2"
        self._identity = os.environ["PEER_OFFICERND"] + "/oauth/token"
        self._officernd = os.environ["PEER_OFFICERND"] + "/api/v2/organizations/acme-spaces"
        self._http = httpx.Client(timeout=DEADLINE_SECONDS, trust_env=False)
        self._lock = threading.Lock()
        self._token: tuple[str, float] = ("", 0.0)
        self._reference: tuple[dict[str, str], dict[str, frozenset[str]]] | None = None

    def bring(self, kind: str, number: int) -> None:
        """Makes OfficeRnD hold what Capsule's record says. Raises NotYet and httpx.HTTPError."""
        record = self._party(number) if kind == "party" else None
        if record is None or isinstance(record, Gone):
            return
        organisation, its_verdict = None, False
        if isinstance(record, Person) and record.organisation_id is not None:
            found = self._party(record.organisation_id)
            organisation = found if isinstance(found, Organisation) else None
            its_verdict = organisation is not None and judge_party(self._connection, organisation, None).is_in
        if not judge_party(self._connection, record, organisation).is_in:
            return
        wanted = officernd.wanted_party(self._context(), record, organisation, its_verdict)
        if isinstance(wanted, Waits):
            raise NotYet(wanted.text)
        if isinstance(wanted, Held):
            return
        current = self._find(wanted.resource, number)
        have = officernd.observed(wanted.resource, current) if current is not None else None
        plan = compare(wanted, have, officernd.same, ours=frozenset())
        identity = str(current["_id"]) if current is not None else None
        calls, _ = officernd.writes(wanted.resource, plan, downstream_id=identity, current=current)
        for call in calls:
            answer = self._call(call.method, call.path.replace("{id}", identity or ""), json=dict(call.body))
            identity = identity or str(answer["_id"])

    def _party(self, number: int) -> Person | Organisation | Gone | None:
        answer = self._http.get(
            f"{self._capsule}/parties/{number}",
            params={"embed": "tags,fields,organisation"},
            headers={"Authorization": "Bearer capsule-token"},
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return party_of(answer.json()["party"])

    def _find(self, resource: str, number: int) -> dict[str, Any] | None:
        found = self._call("GET", PATHS[resource], params={"properties[capsule_link_id]": str(number)})
        results: list[dict[str, Any]] = found["results"] if isinstance(found, dict) else found
        return results[0] if results else None

    def _context(self) -> officernd.Context:
        with self._lock:
            kept = self._reference
        if kept is None:
            places = self._call("GET", "/locations")["results"]
            keys: dict[str, set[str]] = {}
            for one in self._call("GET", "/custom-properties")["results"]:
                for target in one.get("targets") or ():
                    keys.setdefault(str(target), set()).add(str(one["key"]))
            locations = {str(one["_id"]): str(one["name"]) for one in places}
            kept = (locations, {target: frozenset(names) for target, names in keys.items()})
            with self._lock:
                self._reference = kept

        def link(_kind: str, number: int) -> str | None:
            there = self._find("company", number)
            return str(there["_id"]) if there is not None else None

        return officernd.Context(
            connection=self._connection, locations=kept[0], statuses={}, properties=kept[1], milestones={}, link=link
        )

    def _call(self, method: str, path: str, **rest: Any) -> Any:
        for again in (True, False):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            answer = self._http.request(method, self._officernd + path, headers=headers, **rest)
            if answer.status_code == httpx.codes.UNAUTHORIZED and again:
                self._token = ("", 0.0)
                continue
            answer.raise_for_status()
            return answer.json()
        raise AssertionError("not reached")

    def _bearer(self) -> str:
        with self._lock:
            if time.monotonic() > self._token[1]:
                form = {
                    "grant_type": "client_credentials",
                    "client_id": "officernd-client",
                    "client_secret": "officernd-secret",
                    "scope": SCOPES,
                }
                answer = self._http.post(self._identity, data=form)
                answer.raise_for_status()
                self._token = (answer.json()["access_token"], time.monotonic() + 3000)
            return self._token[0]


class Shared:
    """One peer per process, made at its first task (after any fork)."""

    def __init__(self) -> None:
        self._made: tuple[int, Peer] | None = None
        self._lock = threading.Lock()

    def bring(self, kind: str, number: int) -> None:
        """As `Peer.bring`. With `PEER_BEGAN` the moment is noted in the file of that name."""
        if noted := os.environ.get("PEER_BEGAN"):
            with Path(noted).open("a", encoding="ascii") as lines:
                lines.write(f"{time.time()} {number}\n")
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), Peer())
            peer = self._made[1]
        peer.bring(kind, number)
