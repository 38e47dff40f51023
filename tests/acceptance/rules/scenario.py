"""One story of an account, told again under every position of the simulators' switches: it must always end the same.

Lanes of two simulators each serve one relay whose connections each live through the story once, on an account that was reset.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from mapping.keys import hook_path, hook_token
from tests.acceptance.harness import EVENTS, System, until
from tests.acceptance.rules.world import RAISED, SHORT, Rules
from tests.simulators.run import Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

RULES = Rules(
    settings='on_gone = "former"',
    fields='"properties.plan" = "fields[?definition.name==\'Plan\'].value | [0]"',
)
PROPERTIES = [{"key": key, "type": "String", "targets": ["member", "team", "lead"]} for key in ("plan", "kept")]
KEPT = ("email", "phone", "url", "location", "company", "member", "dealSize", "probability", "socialProfiles", "properties")
MISSING = {"capsule_phone"}  # a property that is not set up there, so that it matters what such keys meet


@dataclass(frozen=True, slots=True)
class Combination:
    """Switches that stand elsewhere than by default, and limits that make them matter."""

    capsule: Mapping[str, str]
    officernd: Mapping[str, str]
    limits: Mapping[str, float]

    @property
    def name(self) -> str:
        """For the test's id."""
        switches = [f"{name}={value}" for name, value in {**self.capsule, **self.officernd}.items()]
        return " ".join(switches) or "as it is by default"


@dataclass(slots=True)
class Lane:
    """Two simulators that serve one connection after the other."""

    capsule: Simulator
    officernd: Simulator


class Matrix(System):
    """The relay with one connection for each combination, named c0, c1 and so on; they are dealt out to the lanes in turn."""

    def __init__(self, directory: Path, *, connections: int, lanes: int) -> None:
        self.names = [f"c{n}" for n in range(connections)]
        given = {"CAPSULE_TOKEN": "capsule-token", "OFFICERND_CLIENT_ID": "officernd-client"}
        given["OFFICERND_CLIENT_SECRET"] = "officernd-secret"
        credentials = {f"RELAY_{name.upper()}_{key}": value for name in self.names for key, value in given.items()}
        super().__init__(directory, environment={**SHORT, **credentials}, hooks=False)
        self.lanes = [Lane(self.capsule, self.officernd)]
        self.lanes += [Lane(Simulator("capsule", limit=4_000_000), Simulator("officernd")) for _ in range(lanes - 1)]

    def __enter__(self) -> Self:
        for lane in self.lanes[1:]:
            lane.capsule.start()
            lane.officernd.start()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        for lane in self.lanes[1:]:
            lane.capsule.stop()
            lane.officernd.stop()

    def rules(self) -> str:
        texts = []
        for n, name in enumerate(self.names):
            lane = self.lanes[n % len(self.lanes)]
            text = RULES.toml(name, capsule=lane.capsule.url, officernd=lane.officernd.url)
            # A slug of its own, since the relay counts its calls by organisation.
            texts.append(text.replace('"acme-spaces"', f'"space-{name}"').replace('account = "acme"', ""))
        return "\n".join(texts)

    def story(self, n: int, combination: Combination) -> Story:
        """The story of connection `n`, which may be lived once."""
        return Story(self, self.names[n], self.lanes[n % len(self.lanes)], combination)


class Story:
    """Creating, changing, tagging, moving, deleting, taking up, a deal, writes whose answer is lost."""

    def __init__(self, matrix: Matrix, name: str, lane: Lane, combination: Combination) -> None:
        self.matrix = matrix
        self.name = name
        self.capsule = lane.capsule
        self.officernd = lane.officernd
        self.combination = combination
        self.store = matrix.store()
        self.late: set[str] = set()  # records whose write got no answer: they are tried again after a while
        self.api = httpx.Client(
            base_url=f"{self.capsule.url}/api/v2/",
            headers={"Authorization": "Bearer capsule-token"},
            params={"embed": "tags,fields"},
            timeout=30,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.api.close()
        self.store.close()

    # ------------------------------------------------------------------ the stage
    def prepare(self) -> None:
        """Both sides as new, with the switches of the combination, hooks for this connection, and what staff made before us."""
        self.capsule.control("POST", "reset")
        self.officernd.control("POST", "reset", {"slug": f"space-{self.name}"})
        self.officernd.control("POST", "limits", {**RAISED, **self.combination.limits})
        self.capsule.control("POST", "limits", {"batch_seconds": 0.1})
        self.capsule.control("POST", "switches", dict(self.combination.capsule))
        self.officernd.control("POST", "switches", dict(self.combination.officernd))
        self.officernd.control("POST", "custom-properties", PROPERTIES)
        for key in MISSING:
            self.officernd.control("DELETE", "custom-properties", {"key": key})
        path = hook_path(self.name, hook_token(self.matrix.secret, self.name, 1))
        url = f"http://127.0.0.1:{self.matrix.web_port}{path}"
        self.capsule.control("POST", "hooks", [{"event": event, "targetUrl": url} for event in EVENTS])
        bag = {"kept": "by staff"}
        member = {"name": "Before Us", "email": "bea@x.example", "properties": bag, "socialProfiles": {"linkedin": "bea"}}
        self.officernd.control("POST", "seed", {"members": [member], "companies": [{"name": "Taken Up Ltd", "properties": bag}]})

    def settle(self) -> None:
        """Waits until every delivery has come and nothing of this connection is open; without events, a full sync is needed."""
        until(self._settled, f"{self.name}: all is delivered and nothing is open", seconds=90, every=0.1)
        if self.combination.capsule.get("events_lost") == "yes":
            self.sync()

    def _settled(self) -> bool:
        if self.capsule.control("GET", "deliveries?since=1000000")["pending"]:
            return False
        return self._mine(self.store.zrange("relay:open", 0, -1)) <= self.late

    def _struck(self) -> bool:
        if self.combination.capsule.get("events_lost") == "yes":
            self.sync()
        return all(fault["struck"] for fault in self.officernd.control("GET", "faults")["faults"])

    def sync(self) -> None:
        """`capsule-relay sync NAME --full`, which must end well."""
        done = self.matrix.run("sync", self.name, "--full", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        until(self._settled, f"{self.name}: nothing is open after the sync", seconds=90, every=0.1)

    def send(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """A call of Capsule's API that succeeds; the record."""
        answer = self.api.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return dict(next(iter(answer.json().values()))) if answer.content else {}

    def party(self, **fields: Any) -> dict[str, Any]:
        """A new party."""
        return self.send("POST", "parties", party=fields)

    def edit(self, party: dict[str, Any], **fields: Any) -> None:
        """Changes a party."""
        self.send("PUT", f"parties/{party['id']}", party=fields)

    def milestone(self, pipeline: str, name: str) -> dict[str, int]:
        """A milestone as a reference."""
        all_of_them = self.capsule.control("GET", "state")["milestones"]
        return {"id": next(one["id"] for one in all_of_them if one["pipeline"]["name"] == pipeline and one["name"] == name)}

    def deal(self, name: str, party: dict[str, Any], milestone: dict[str, int], **fields: Any) -> dict[str, Any]:
        """A new opportunity."""
        return self.send(
            "POST", "opportunities", opportunity={"name": name, "party": {"id": party["id"]}, "milestone": milestone, **fields}
        )

    # ------------------------------------------------------------------ the story
    def live(self) -> dict[str, Any]:
        """Lives through it; what OfficeRnD holds in the end."""
        member, shoreditch = [{"name": "member"}], [{"name": "shoreditch"}]
        self.prepare()
        definitions = self.capsule.control("GET", "state")["definitions"]["party"]
        plan = {"definition": {"id": next(one["id"] for one in definitions if one["name"] == "Plan")}}

        # 1 to 3: organisations come over: a new one, one that is there by its name, one that will go.
        sites = [{"service": "URL", "address": "acme.example"}, {"service": "TWITTER", "address": "@acme"}]
        mail, phone = [{"address": "Hello@Acme.example"}], [{"number": "+44 1"}]
        acme = self.party(type="organisation", name="Acme", tags=member, websites=sites, emailAddresses=mail, phoneNumbers=phone)
        taken = self.party(type="organisation", name="Taken Up Ltd", tags=member, emailAddresses=[{"address": "t@x.example"}])
        gone = self.party(type="organisation", name="Gone Ltd", tags=member)
        self.settle()

        # 4: writes whose answer is lost: of a new record, and of a change. Both are tried again while the story goes on.
        for route in ("POST /members", "PUT /companies/{id}"):
            self.officernd.control("POST", "faults", {"route": route, "kind": "lost", "count": 1})
        fay = self.party(type="person", firstName="Fay", lastName="F", tags=member, emailAddresses=[{"address": "fay@x.example"}])
        self.edit(taken, emailAddresses=[{"id": taken["emailAddresses"][0]["id"], "address": "u@x.example"}])
        self.late = {f"{self.name}|party|{one['id']}" for one in (fay, taken)}
        until(self._struck, f"{self.name}: both writes have lost their answers", every=0.1)

        # 5 to 9: people: by their organisation, by a tag of their own and taken up by e-mail, not at all.
        of_acme, of_gone = {"id": acme["id"]}, {"id": gone["id"]}
        details = {"emailAddresses": [{"address": "Ada@x.example"}], "phoneNumbers": [{"number": "+44 2"}]}
        handle = [{"service": "TWITTER", "address": "ada"}]
        ada = self.party(type="person", firstName="Ada", lastName="A", organisation=of_acme, websites=handle, **details)
        bea = self.party(type="person", firstName="Bea", lastName="B", tags=member, emailAddresses=[{"address": "BEA@x.example"}])
        cleo = self.party(type="person", firstName="Cleo", lastName="C")
        dev = self.party(type="person", firstName="Dev", lastName="D", tags=member)
        self.party(type="person", firstName="Eli", lastName="E", organisation=of_gone)
        self.settle()

        # 10: deals of a person, of an organisation, and of one that will go.
        bid, new = self.milestone("Sales", "Bid"), self.milestone("Renewals", "New")
        worth = {"value": {"amount": 100, "currency": "GBP"}, "durationBasis": "MONTH", "duration": 3}
        desks = self.deal("Desks", ada, bid, probability=70, expectedCloseOn="2027-03-01", **worth)
        lost = self.deal("Deleted deal", taken, bid)
        self.deal("Deal of the gone", gone, bid)
        self.settle()

        # 11: later changes of each, with values that are cleared.
        self.edit(ada, lastName="Changed", emailAddresses=[{"id": ada["emailAddresses"][0]["id"], "address": "ada@new.example"}])
        self.edit(ada, websites=[{"id": ada["websites"][0]["id"], "_delete": True}], fields=[{**plan, "value": "Flex"}])
        self.edit(acme, name="Acme & Co", emailAddresses=[{"id": acme["emailAddresses"][0]["id"], "_delete": True}])
        changes = {"name": "More desks", "milestone": new, "value": {"amount": 200, "currency": "GBP"}, "expectedCloseOn": None}
        self.send("PUT", f"opportunities/{desks['id']}", opportunity=changes)
        # 12: a person moves to an organisation.
        self.edit(bea, organisation=of_acme)
        self.settle()

        # 13: tags alone: one comes in, one goes out, an organisation moves and its people with it. And an own field alone.
        self.edit(cleo, tags=member)
        self.edit(dev, tags=[{"id": dev["tags"][0]["id"], "_delete": True}])
        self.edit(acme, tags=shoreditch)
        self.edit(taken, fields=[{**plan, "value": "Fixed"}])
        self.send("POST", "entries", entry={"type": "note", "content": "Called", "party": {"id": ada["id"]}})
        self.settle()

        # 14: deletions: a deal; an organisation with its deal, whose person stays behind, or not.
        self.send("DELETE", f"opportunities/{lost['id']}")
        self.send("DELETE", f"parties/{gone['id']}")
        self.settle()

        # 15: what Capsule did not announce is found by the full sync, which also waits for the lost answers.
        self.late.clear()
        self.sync()
        return self.end()

    def again(self) -> list[str]:
        """What another full sync would write; nothing."""
        seen = self.officernd.control("GET", "requests")["requests"]
        last = seen[-1]["n"]
        self.sync()
        found = self.officernd.control("GET", f"requests?since={last}")["requests"]
        return [f"{one['method']} {one['route']}" for one in found if one["method"] != "GET" and "oauth" not in one["path"]]

    # ------------------------------------------------------------------ the end
    def end(self) -> dict[str, Any]:
        """What OfficeRnD holds, by name, with references by name, without what is empty."""
        state = self.officernd.control("GET", "state")
        rows = [row for resource in state.values() if isinstance(resource, list) for row in resource]
        names = {row["_id"]: row.get("name", row.get("description")) for row in rows}
        found: dict[str, Any] = {}
        for resource in ("companies", "members", "opportunities"):
            for one in state[resource]:
                shown = {name: names.get(str(one.get(name)), one.get(name)) for name in KEPT}
                shown = {name: _filled(value) for name, value in shown.items()}
                if resource == "opportunities":
                    shown |= {"status": names[one["status"]], "startDate": one["startDate"]}
                elif one["status"] == "former":
                    shown["status"] = "former"
                assert one["name"] not in found, f"{one['name']} twice"
                found[one["name"]] = {name: value for name, value in shown.items() if value not in (None, "", {})}
        return found

    def letters(self) -> list[str]:
        """The records of this connection that are dead letters."""
        return sorted(self._mine(self.store.hkeys("relay:letters")))

    def _mine(self, packed: Any) -> set[str]:
        """Those of some records of all connections that are this one's."""
        return {one.decode() for one in packed if one.startswith(f"{self.name}|".encode())}

    def said(self) -> str:
        """The last log lines about this connection, for a test that failed."""
        lines = [line for line in self.matrix.log().splitlines() if f'"{self.name}|' in line or f'"{self.name}"' in line]
        return "\n".join(lines[-40:])


def _filled(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if inner not in (None, "")} if isinstance(value, dict) else value


def document(found: dict[str, Any]) -> str:
    """An end as text, for a comparison that shows the difference."""
    return json.dumps(found, indent=1, sort_keys=True)
