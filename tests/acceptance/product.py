"""The whole system with a product behind it: `capsule-relay up`, Capsule's simulator and the product's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from mapping.events import EVENTS
from mapping.unified import deals, definitions, deliveries, entries, parties, people, work
from tests.acceptance.harness import System, until
from tests.simulators.product.app import SECRET
from tests.simulators.run import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

RULES = """
[connections.acme]
downstream = "unified"
tags_to_sync = "{tags}"
auto_sync = false
{extra}

[connections.acme.capsule]
api_url = "{capsule}/api/v2"
auth = "token"

[connections.acme.unified]
url = "{product}/webhooks"
allow_private_addresses = true
{unified}
"""
COLLECTIONS = {
    "parties": "tags,fields,organisation",
    "opportunities": "tags,fields,milestone",
    "kases": "tags,fields",
    "tasks": "party,opportunity,kase,owner",
    "users": "party",
    "entries": "party,kase,opportunity,creator,activityType",
}


class ProductSystem(System):
    """Capsule, the relay and a product that verifies what it is sent. `unified` are further lines of the product's table."""

    def __init__(self, directory: Path, *, tags: str = "", unified: str = "", extra: str = "", events: bool = True) -> None:
        super().__init__(directory, extra=extra, environment={"RELAY_ACME_WEBHOOK_SECRETS": SECRET})
        self.tags, self.unified, self.events = tags, unified, events
        self.product = Simulator("product")

    def __enter__(self) -> Self:
        self.capsule.start()
        self.product.start()
        self.api.headers["Authorization"] = "Bearer capsule-token"
        self.api.base_url = httpx.URL(f"{self.capsule.url}/api/v2/")
        (self.directory / "relay.toml").write_text(self.rules(), encoding="utf-8")
        if self.events:
            url = self.hook_url()
            self.capsule.control("POST", "hooks", [{"event": event, "targetUrl": url} for event in EVENTS])
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.product.stop()

    def rules(self) -> str:
        return RULES.format(
            capsule=self.capsule.url, product=self.product.url, tags=self.tags, extra=self.extra, unified=self.unified
        )

    # ------------------------------------------------------------------ both sides
    def create(self, kind: str, path: str, **fields: Any) -> dict[str, Any]:
        """Creates a record through Capsule's API."""
        answer = self.api.post(path, json={kind: fields})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()[kind]
        return created

    def change(self, kind: str, path: str, **fields: Any) -> None:
        """Changes a record through Capsule's API."""
        answer = self.api.put(path, json={kind: fields})
        assert answer.status_code == 200, answer.text

    def held(self) -> dict[str, dict[str, Any]]:
        """The records that the product holds, by model and id."""
        found: dict[str, dict[str, Any]] = self.product.control("GET", "state")["records"]
        return {model: records for model, records in found.items() if records}

    def messages(self, since: int = 0) -> list[dict[str, Any]]:
        """Every message that the product accepted."""
        found: list[dict[str, Any]] = self.product.control("GET", f"messages?since={since}")["messages"]
        return found

    def truth(self) -> dict[str, dict[str, Any]]:
        """What the product should hold: Capsule's records as its API shows them, read by the mapping."""
        found: dict[str, dict[str, Any]] = {}
        for model, number, record in self._unified():
            found.setdefault(model, {})[number] = record
        return found

    def in_step(self, *models: str) -> bool:
        """Whether the product holds what Capsule holds, in these models or in all; what changes without a meaning is left out."""
        have, want = self.held(), self.truth()
        return all(settled(have.get(model, {})) == settled(want.get(model, {})) for model in models or {*have, *want})

    def _unified(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        fields = {name: definitions.definitions(self._all(f"{name}/fields/definitions")) for name in definitions.MODELS}
        milestones = {one["id"]: one for one in self._milestones()}
        stages = {one["id"]: one for one in self._all("stages", status="all")}
        users = {one["id"]: one for one in self._all("users", embed="party")}
        for body in self._all("parties", embed=COLLECTIONS["parties"]):
            person = body["type"] == "person"
            of = parties.contact if person else parties.account
            yield "contact" if person else "account", str(body["id"]), of(body, fields["parties"])
        for body in self._all("opportunities", embed=COLLECTIONS["opportunities"]):
            milestone = milestones.get(body["milestone"]["id"])
            record = deals.opportunity(body, fields["opportunities"], milestone=milestone)
            yield "opportunity", str(body["id"]), record
        for body in self._all("kases", embed=COLLECTIONS["kases"]):
            stage = stages.get(body["stage"]["id"]) if body.get("stage") else None
            yield "project", str(body["id"]), work.project(body, fields["kases"], stage=stage)
        for body in self._all("tasks", embed=COLLECTIONS["tasks"], status="open,completed,pending"):
            owner = users.get((body.get("owner") or {}).get("id"), {})
            yield "task", str(body["id"]), work.task(body, timezone=owner.get("timezone"))
        for body in users.values():
            yield "user", str(body["id"]), people.user(body)
        for body in self._all("entries", embed=COLLECTIONS["entries"]):
            yield "engagement", str(body["id"]), entries.engagement(body)
            if entries.is_note(body):
                yield "note", str(body["id"]), entries.note(body)

    def _milestones(self) -> Iterator[dict[str, Any]]:
        for pipeline in self._all("pipelines"):
            for one in self._all(f"pipelines/{pipeline['id']}/milestones"):
                yield {**one, "pipeline": {"id": pipeline["id"], "name": pipeline["name"]}}

    def _all(self, path: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self.api.get(path, params={**query, "page": page, "perPage": 50 if path == "entries" else 100})
            assert answer.status_code == 200, (path, answer.text)
            rows = next(value for value in answer.json().values() if isinstance(value, list))
            found += rows
            if not rows or "next" not in answer.links:
                return found
            page += 1


def settled(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records without what changes with no meaning."""
    return {
        number: {name: value for name, value in record.items() if name not in deliveries.RESTLESS}
        for number, record in records.items()
    }


def wait_in_step(system: ProductSystem, *models: str, seconds: float = 40.0) -> None:
    """Until the product holds what Capsule holds."""
    until(lambda: system.idle() and system.in_step(*models), "the product holds what Capsule holds", seconds=seconds, every=0.2)
