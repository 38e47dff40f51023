"""A running relay with several connections, each with rules and an OfficeRnD of its own, that follow one Capsule account.

A change in Capsule is judged by every connection, so one change shows what several settings make of it.
"""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mapping.agenda import RecordKey
from tests.acceptance.harness import NAME, System, until
from tests.simulators.run import Simulator
from workers.ledger import Ledger, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from workers.ledger import Entry

LONDON = "64b0c0ffee00000000000001"
SHOREDITCH = "64b0c0ffee00000000000002"
OPEN = "64b0c0ffee00000000000401"
TOUR = "64b0c0ffee00000000000402"
WON = "64b0c0ffee00000000000403"
LOST = "64b0c0ffee00000000000404"
NEGOTIATION = "64b0c0ffee00000000000405"

RAISED = {
    "read_minute": 1_000_000,
    "write_minute": 1_000_000,
    "read_day": 10_000_000,
    "write_day": 10_000_000,
    "token_minute": 1_000_000,
}
# The friendlier positions, so that a change of tags or of own fields reaches the relay by itself. What the harsher ones hide
# is the reconcile's to find: test_switches.py goes through both.
ANNOUNCED = {
    "tag_change_fires_updated": "yes",
    "tag_change_moves_updated_at": "yes",
    "field_change_fires_updated": "yes",
    "field_change_moves_updated_at": "yes",
}
STATUSES = {"New": "Tour booked", "Bid": "Negotiation", "Won": "won", "Lost": "lost"}
SHORT = {"RELAY_CALL_DEADLINE": "2", "RELAY_STRAY": "0.5"}  # the stray window of a lost answer is over in a moment


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one connection. `settings` and `fields` are lines of TOML."""

    tags: str = "member"
    settings: str = ""
    default_location: str | None = "London Bridge"
    locations: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"Shoreditch": ("shoreditch",)})
    statuses: Mapping[str, str] = field(default_factory=lambda: dict(STATUSES))
    fields: str = ""

    def toml(self, name: str, *, capsule: str, officernd: str) -> str:
        """The tables of the connection `name`."""
        place = "" if self.default_location is None else f"default_location = {_quoted(self.default_location)}"
        shared = "" if name == NAME else f'account = "{NAME}"'
        return "\n".join(
            (
                f'[connections.{name}]\ndownstream = "officernd"\nauto_sync = false',
                f"tags_to_sync = {_quoted(self.tags)}\n{place}\n{self.settings}",
                f'[connections.{name}.capsule]\napi_url = "{capsule}/api/v2"\nauth = "token"\n{shared}',
                f'[connections.{name}.officernd]\norganization = "acme-spaces"\napi_url = "{officernd}/api/v2"',
                f'token_url = "{officernd}/oauth/token"\n[connections.{name}.locations]',
                *(f"{_quoted(place)} = {json.dumps(list(tags), ensure_ascii=False)}" for place, tags in self.locations.items()),
                f"[connections.{name}.opportunity_statuses]",
                *(f"{_quoted(milestone)} = {_quoted(status)}" for milestone, status in self.statuses.items()),
                *([f"[connections.{name}.fields]\n{self.fields}"] if self.fields else []),
                "",
            )
        )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class World(System):
    """The relay with the connections that are given; the first is `acme`, whose Capsule account all share."""

    def __init__(self, directory: Path, connections: Mapping[str, Rules]) -> None:
        assert next(iter(connections)) == NAME
        credentials = {
            f"RELAY_{name.upper()}_OFFICERND_CLIENT_{key}": f"officernd-{value}"
            for name in connections
            for key, value in (("ID", "client"), ("SECRET", "secret"))
        }
        super().__init__(directory, environment={**SHORT, **credentials})
        self.connections = dict(connections)
        others = {name: Simulator("officernd") for name in connections if name != NAME}
        self.officernds = {NAME: self.officernd, **others}
        self.sides = {name: Side(self, name, simulator) for name, simulator in self.officernds.items()}

    def __enter__(self) -> Self:
        others = [simulator for name, simulator in self.officernds.items() if name != NAME]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Simulator.start, others))
        for simulator in others:
            simulator.control("POST", "limits", RAISED)
        super().__enter__()
        self.capsule.control("POST", "switches", ANNOUNCED)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        for simulator in self.officernds.values():
            simulator.stop()

    def __getitem__(self, name: str) -> Side:
        return self.sides[name]

    @property
    def acme(self) -> Side:
        """The first connection's side."""
        return self.sides[NAME]

    def rules(self) -> str:
        texts = (
            rules.toml(name, capsule=self.capsule.url, officernd=self.officernds[name].url)
            for name, rules in self.connections.items()
        )
        return "\n".join(texts)

    def rewrite(self, **connections: Rules) -> None:
        """Writes other rules for these connections and starts the relay again."""
        self.connections |= connections
        self.down()
        (self.directory / "relay.toml").write_text(self.rules(), encoding="utf-8")
        self.up()

    def full_sync(self, name: str = NAME) -> dict[str, Any]:
        """`capsule-relay sync NAME --full`, which must end well; its document."""
        done = self.run("sync", name, "--full", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def settle(self, seconds: float = 30.0) -> None:
        """Waits until every delivery has come and nothing is open."""
        until(self._settled, "all is delivered and nothing is open", seconds=seconds)

    def _settled(self) -> bool:
        return not self.capsule.control("GET", "deliveries?since=1000000")["pending"] and self.idle()

    # ------------------------------------------------------------------ what a person does in Capsule
    def person(self, first: str, *tags: str, last: str = "Example", **fields: Any) -> int:
        """A new person; see `_details` for `email`, `phone`, `twitter`, `url`. `of` is its organisation's id."""
        of = fields.pop("of", None)
        link = {} if of is None else {"organisation": {"id": of}}
        made = self.party(type="person", firstName=first, lastName=last, tags=_named(tags), **link, **_details(fields))
        self.settle()
        return int(made["id"])

    def organisation(self, name: str, *tags: str, **fields: Any) -> int:
        """A new organisation, as `person`."""
        made = self.party(type="organisation", name=name, tags=_named(tags), **_details(fields))
        self.settle()
        return int(made["id"])

    def deal(self, name: str, party: int, **fields: Any) -> int:
        """A new opportunity of a party. `milestone` is a name, or "Pipeline / Milestone"."""
        milestone = self.milestone(fields.pop("milestone", "Bid"))
        body = {"name": name, "party": {"id": party}, "milestone": {"id": milestone}, **fields}
        answer = self.api.post("opportunities", json={"opportunity": body})
        assert answer.status_code == 201, answer.text
        self.settle()
        return int(answer.json()["opportunity"]["id"])

    def change(self, number: int, **fields: Any) -> None:
        """Edits a party."""
        self.edit(number, **fields)
        self.settle()

    def change_deal(self, number: int, **fields: Any) -> None:
        """Edits an opportunity; `milestone` as in `deal`."""
        if "milestone" in fields:
            fields["milestone"] = {"id": self.milestone(fields["milestone"])}
        answer = self.api.put(f"opportunities/{number}", json={"opportunity": fields})
        assert answer.status_code == 200, answer.text
        self.settle()

    def tag(self, number: int, *names: str) -> None:
        """Puts tags on a party."""
        self.change(number, tags=_named(names))

    def untag(self, number: int, *names: str) -> None:
        """Takes tags off a party."""
        there = {tag["name"]: tag["id"] for tag in self.shown(number)["tags"]}
        self.change(number, tags=[{"id": there[name], "_delete": True} for name in names])

    def details(self, number: int, key: str, /, **element: Any) -> None:
        """Changes the first e-mail address, phone number or website of a party: `details(7, "phoneNumbers", number="1")`."""
        there = self.shown(number)[key]
        self.change(number, **{key: [{"id": there[0]["id"], **element}]})

    def delete(self, number: int, path: str = "parties") -> None:
        """Deletes a record."""
        answer = self.api.delete(f"{path}/{number}")
        assert answer.status_code in {202, 204}, answer.text
        self.settle()

    def shown(self, number: int, path: str = "parties") -> dict[str, Any]:
        """A record as Capsule shows it."""
        answer = self.api.get(f"{path}/{number}", params={"embed": "tags,fields"})
        assert answer.status_code == 200, answer.text
        record: dict[str, Any] = next(iter(answer.json().values()))
        return record

    def milestone(self, name: str) -> int:
        """The id of a milestone: "Bid" is the first pipeline's, "Renewals / Bid" the other's."""
        pipeline, _, last = name.rpartition(" / ")
        for one in self.capsule.control("GET", "state")["milestones"]:
            if one["name"] == last and (not pipeline or one["pipeline"]["name"] == pipeline):
                return int(one["id"])
        raise AssertionError(f"no milestone {name}")

    def definition(self, name: str) -> int:
        """The id of a custom field of parties."""
        definitions = self.capsule.control("GET", "state")["definitions"]["party"]
        return int(next(one["id"] for one in definitions if one["name"] == name))

    # ------------------------------------------------------------------ what was said
    def lines(self, event: str, record: str) -> list[dict[str, Any]]:
        """The workers' log lines of this event about a record, such as `acme|party|100001`."""
        found = []
        for line in self.log().splitlines():
            _, brace, rest = line.partition("{")
            with contextlib.suppress(json.JSONDecodeError):
                said = json.loads(brace + rest)
                if said.get("event") == event and said.get("record") == record:
                    found.append(said)
        return found


@dataclass(slots=True)
class Side:
    """What one connection made of it: its OfficeRnD and its entries in the ledger."""

    world: World
    name: str
    simulator: Simulator

    def records(self, resource: str) -> list[dict[str, Any]]:
        """Members, companies or opportunities as OfficeRnD's simulator holds them."""
        found: list[dict[str, Any]] = self.simulator.control("GET", "state")[resource]
        return found

    def linked(self, resource: str, number: int) -> dict[str, Any] | None:
        """The one record that carries this Capsule id; fails when there are two."""
        found = [one for one in self.records(resource) if one["properties"].get("capsule_link_id") == str(number)]
        assert len(found) < 2, f"{len(found)} {resource} for {number}"
        return found[0] if found else None

    def has(self, number: int) -> bool:
        """Whether a party is a member or a company here."""
        return bool(self.linked("members", number) or self.linked("companies", number))

    def member(self, number: int) -> dict[str, Any]:
        """The member of a person; fails when there is none."""
        return self._one("members", number)

    def company(self, number: int) -> dict[str, Any]:
        """The company of an organisation."""
        return self._one("companies", number)

    def opportunity(self, number: int) -> dict[str, Any]:
        """The opportunity of an opportunity."""
        return self._one("opportunities", number)

    def _one(self, resource: str, number: int) -> dict[str, Any]:
        found = self.linked(resource, number)
        kind = "opportunity" if resource == "opportunities" else "party"
        assert found is not None, f"{self.name} has none of {resource} for {number}: {self.entry(number, kind)}"
        return found

    def entry(self, number: int, kind: str = "party") -> Entry | None:
        """What the ledger says of a record."""
        with self.world.store() as store:
            return Ledger(store, Vault([self.world.secret])).get(RecordKey(self.name, kind, number))

    def judged(self, number: int, kind: str = "party") -> Entry:
        """The same of a record that was looked at and is no dead letter."""
        entry = self.entry(number, kind)
        assert entry is not None, f"{self.name} never looked at {kind} {number}"
        assert self.letter(number, kind) is False
        return entry

    def held(self, number: int, kind: str = "party") -> str | None:
        """The code for which a record is held, None if it is not."""
        entry = self.judged(number, kind)
        return str(entry.state["held"][0]) if entry.outcome == "held" else None

    def reason(self, number: int, kind: str = "party") -> str:
        """The sentence for which a record is held."""
        return str(self.judged(number, kind).state["held"][1])

    def notes(self, number: int, kind: str = "party") -> list[str]:
        """The codes of what the ledger keeps as told about a record."""
        return sorted(code for code, _ in self.judged(number, kind).state.get("notes", []))

    def told(self, number: int, code: str, kind: str = "party") -> int:
        """How often the log has told this of a record."""
        lines = self.world.lines("note", f"{self.name}|{kind}|{number}")
        return len([line for line in lines if line["code"] == code])

    def letter(self, number: int, kind: str = "party") -> bool:
        """Whether the record is a dead letter."""
        with self.world.store() as store:
            return bool(store.hexists("relay:letters", f"{self.name}|{kind}|{number}"))

    def seed(self, resource: str, **fields: Any) -> str:
        """Puts a record there that staff or the built-in integration made long ago; its id."""
        made = self.simulator.control("POST", "seed", {resource: [fields]})[resource]
        return str(made[0]["_id"])

    @contextlib.contextmanager
    def writing(self) -> Iterator[list[str]]:
        """Gathers the requests that change something here, such as "PUT /members/{id}", until everything has settled."""
        before = max((one["n"] for one in self._requests(0)), default=0)
        found: list[str] = []
        yield found
        self.world.settle()
        found += [f"{one['method']} {one['route']}" for one in self._requests(before) if one["method"] not in {"GET", "HEAD"}]

    def _requests(self, since: int) -> list[dict[str, Any]]:
        seen = self.simulator.control("GET", f"requests?since={since}")["requests"]
        return [one for one in seen if not one["path"].startswith(("/oauth", "/_control"))]


def _named(tags: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": tag} for tag in tags]


def _details(fields: dict[str, Any]) -> dict[str, Any]:
    """`email`, `phone`, `url` and `twitter` as Capsule's lists; anything else as it is."""
    lists: dict[str, Any] = {}
    if "email" in fields:
        lists["emailAddresses"] = [{"address": fields.pop("email")}]
    if "phone" in fields:
        lists["phoneNumbers"] = [{"number": fields.pop("phone")}]
    for key, service in (("url", "URL"), ("twitter", "TWITTER")):
        if key in fields:
            lists.setdefault("websites", []).append({"service": service, "address": fields.pop(key)})
    return {**lists, **fields}
