"""A product holds what Capsule holds, whatever happens on the way (issue 8, "Shown by" 1)."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests.acceptance.harness import until
from tests.acceptance.product import ProductSystem, wait_in_step
from workers.ledger import Vault
from workers.unified_tokens import UnifiedTokens

if TYPE_CHECKING:
    from pathlib import Path

    import redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

MODELS = ("account", "contact", "opportunity")


def sender_of(store: redis.Redis) -> int | None:
    """The process that has a message on its way: it holds the lease of a record for which one is noted."""
    leases, noted = (cast("dict[bytes, bytes]", store.hgetall(f"relay:{name}")) for name in ("lease", "intent"))
    found = [lease.decode().split(" ")[5].split(":")[1] for record, lease in leases.items() if record in noted]
    return int(found[0]) if found else None


def test_people_organisations_and_opportunities_reach_the_product_by_their_events(tmp_path: Path) -> None:
    with ProductSystem(tmp_path) as system:
        acme = system.party(type="organisation", name="Acme Ltd")
        ada = system.party(
            type="person",
            firstName="Ada",
            lastName="Byron",
            organisation={"id": acme["id"]},
            emailAddresses=[{"type": "Work", "address": "ada@acme.example"}],
            tags=[{"name": "vip"}],
        )
        wait_in_step(system, *MODELS)
        assert system.held()["contact"][str(ada["id"])]["account"] == {"id": str(acme["id"]), "name": "Acme Ltd"}

        system.edit(ada["id"], jobTitle="Analyst")
        wait_in_step(system, *MODELS)
        last = system.messages()[-1]
        assert (last["type"], last["data"]["event"]) == ("crm.contact.updated", "record:updated")
        assert "title" in last["data"]["changed"]
        assert last["data"]["record"]["title"] == "Analyst"

        assert system.api.delete(f"parties/{ada['id']}").status_code in {202, 204}
        until(lambda: str(ada["id"]) not in system.held().get("contact", {}), "the contact is dropped")
        last = system.messages()[-1]
        assert (last["type"], last["data"]["delete_reason"]) == ("crm.contact.deleted", "deleted")
        assert system.product.control("GET", "state")["counts"].get("refused", 0) == 0


def test_kases_tasks_and_users_reach_the_product_and_a_full_pass_finds_notes(tmp_path: Path) -> None:
    with ProductSystem(tmp_path) as system:
        # Given an account with a person, and a pipeline and a board as every account has them
        system.capsule.control("POST", "seed", {"organisations": 2, "people": 4, "opportunities": 2})
        ada = system.party(type="person", firstName="Ada", lastName="Byron")
        # When a kase and a task are made and changed
        kase = system.create("kase", "kases", name="Move in", party={"id": ada["id"]})
        task = system.create("task", "tasks", description="Call Ada", dueOn="2026-12-01", party={"id": ada["id"]})
        until(lambda: str(task["id"]) in system.held().get("task", {}), "the task is there")
        system.change("task", f"tasks/{task['id']}", status="COMPLETED")
        system.change("kase", f"kases/{kase['id']}", status="CLOSED")
        until(lambda: system.held()["task"][str(task["id"])]["status"] == "completed", "the task is completed")
        # Then they are with the product, and so is everything else after a full pass: users, notes and what was seeded
        system.create("entry", "entries", type="note", content="She called", party={"id": ada["id"]})
        assert (done := system.run("sync", "acme", "--full")).returncode == 0, done.stderr + done.stdout
        wait_in_step(system)
        held = system.held()
        assert {"project", "task", "user", "engagement", "note"} <= set(held)
        # And a second pass has nothing to say
        before = len(system.messages())
        assert system.run("sync", "acme", "--full").returncode == 0
        assert len(system.messages()) == before
        # And an incremental one finds a newer note
        system.create("entry", "entries", type="note", content="Again", party={"id": ada["id"]})
        assert system.run("sync", "acme").returncode == 0
        wait_in_step(system)
        assert [one["type"] for one in system.messages(before)] in (
            ["crm.engagement.created", "crm.note.created"],
            ["crm.contact.updated", "crm.engagement.created", "crm.note.created"],
        )


def test_duplicates_reordering_and_a_killed_worker_leave_the_product_with_what_capsule_holds(tmp_path: Path) -> None:
    with ProductSystem(tmp_path) as system:
        firm = system.party(type="organisation", name="Acme Ltd")
        people = [
            system.party(type="person", firstName=f"P{n}", lastName="One", organisation={"id": firm["id"]})["id"]
            for n in range(8)
        ]
        wait_in_step(system, *MODELS)
        # When answers of the product are lost, and one is slow to come
        system.product.control("POST", "faults", {"route": "POST /webhooks", "kind": "lost", "count": 4})
        # And every event comes twice and out of order, beside the real ones
        for number in people:
            system.edit(number, lastName="Two")
        url = system.hook_url()
        for number in [*reversed(people), *people, firm["id"]]:
            for event in ("party/updated", "party/created"):
                body = {"event": event, "payload": [{"id": number}]}
                assert system.api.post(url, json=body).status_code == 202
        # And a worker is killed while a message is on its way
        system.product.control("POST", "faults", {"route": "POST /webhooks", "kind": "stall", "seconds": 3, "count": 2})
        for number in people:
            system.edit(number, jobTitle="Analyst")
        with system.store() as store:
            sender = until(lambda: sender_of(store), "a message is on its way", seconds=30, every=0.005)
            os.kill(sender, signal.SIGKILL)
        system.edit(firm["id"], name="Acme Holdings Ltd")
        gone = people.pop()
        system.api.delete(f"parties/{gone}")
        # Then the product holds what Capsule holds
        wait_in_step(system, *MODELS, seconds=120)
        assert system.held()["contact"][str(people[0])]["account"]["name"] == "Acme Holdings Ltd"
        # And no version ever went back, and what was sent twice was the same message
        newest: dict[tuple[str, str], int] = {}
        seen: dict[str, object] = {}
        for message in system.messages():
            data = message["data"]
            assert data["version"] >= newest.get((data["model"], data["id"]), 0)
            newest[data["model"], data["id"]] = data["version"]
            said = {name: value for name, value in data.items() if name != "changed"}
            assert seen.setdefault(message["id"], said) == said
        counts = system.product.control("GET", "state")["counts"]
        assert counts["repeated"] >= 1
        assert counts.get("refused", 0) == 0


def test_a_product_that_asks_for_time_or_wants_no_more_is_obeyed(tmp_path: Path) -> None:
    with ProductSystem(tmp_path, unified='triggers = ["tag.added", "contact.created"]') as system:
        # Given a connection that is followed already: what was there before is not new
        system.party(type="organisation", name="Acme Ltd")
        wait_in_step(system, *MODELS)
        system.capsule.control("POST", "clock", {"advance": 2})
        ada = system.party(type="person", firstName="Ada", lastName="Byron")["id"]
        wait_in_step(system, *MODELS)
        # When it answers 429, the record waits and spends no attempt
        headers = {"Retry-After": "2"}
        fault = {"route": "POST /webhooks", "kind": "status", "status": 429, "headers": headers, "count": 1}
        system.product.control("POST", "faults", fault)
        system.edit(ada, jobTitle="Analyst", tags=[{"name": "vip"}])
        wait_in_step(system, *MODELS)
        with system.store() as store:
            assert not store.hlen("relay:letters")
        triggers = [one for one in system.messages() if one["type"].startswith("trigger.")]
        assert [one["type"] for one in triggers] == ["trigger.contact.created", "trigger.tag.added"]
        assert triggers[-1]["data"]["tags"][0]["name"] == "vip"
        # When it answers 410, everything waits until a person says so
        system.product.control("POST", "faults", {"route": "POST /webhooks", "kind": "status", "status": 410, "count": 1})
        system.edit(ada, lastName="Lovelace")
        until(lambda: "wants no more (410)" in system.run("status").stdout, "it is paused", every=0.5)
        before = len(system.messages())
        system.edit(ada, jobTitle="Countess")
        with system.store() as store:
            until(lambda: store.zcard("relay:parked:acme"), "the record is parked")
        assert len(system.messages()) == before
        said = system.run("resume", "acme")
        assert "acme goes on" in said.stdout, said.stderr
        wait_in_step(system, *MODELS)
        assert system.held()["contact"][str(ada)]["title"] == "Countess"


def test_what_the_product_writes_through_the_api_is_not_sent_round_to_it(tmp_path: Path) -> None:
    with ProductSystem(tmp_path, unified="keep_copy = true") as system:
        firm = system.party(type="organisation", name="Acme Ltd")["id"]
        wait_in_step(system, *MODELS)
        before = len(system.messages())
        with system.store() as store:
            _, token = UnifiedTokens(store, Vault((system.secret,))).create(["acme"], "write", label="product")
        url = f"http://127.0.0.1:{system.console_port}/unified/crm"
        with httpx.Client(trust_env=False, timeout=30, headers={"Authorization": f"Bearer {token}"}) as api:
            until(lambda: _answers(api, f"http://127.0.0.1:{system.console_port}/live"), "the console", seconds=60, every=0.2)
            # When the product makes a person and changes it
            person = {"first_name": "Ada", "last_name": "Byron", "account": {"id": str(firm)}, "tags": [{"name": "vip"}]}
            made = api.post(f"{url}/contacts", json=person)
            assert made.status_code in {200, 201}, made.text
            number = made.json()["id"]
            until(system.idle, "nothing is open")
            changed = api.patch(f"{url}/contacts/{number}", json={"title": "Analyst"})
            assert changed.status_code == 200, changed.text
        until(lambda: _outcome(system, f"party|{number}") == "in_step", "its event was worked on")
        until(system.idle, "nothing is open")
        # Then no message tells the product so
        told = [one["type"] for one in system.messages(before) if one["data"]["id"] == number]
        assert told == []
        # And what a person changes in Capsule is told
        system.edit(int(number), jobTitle="Countess")
        until(lambda: [one for one in system.messages(before) if one["data"]["id"] == number], "the change is told")
        (message,) = (one for one in system.messages(before) if one["data"]["id"] == number)
        assert (message["type"], message["data"]["record"]["title"]) == ("crm.contact.updated", "Countess")


def _answers(api: httpx.Client, url: str) -> bool:
    try:
        return api.get(url).is_success
    except httpx.TransportError:
        return False


def _outcome(system: ProductSystem, field: str) -> str:
    with system.store() as store:
        stored = cast("bytes | None", store.hget("relay:ledger:acme", field))
    return stored.split(b"\n", 1)[0][1:].decode() if stored is not None else ""
