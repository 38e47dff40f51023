"""A product holds what Capsule holds, whatever happens on the way (issue 8, "Shown by" 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.harness import until
from tests.acceptance.product import ProductSystem, wait_in_step

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("account", "contact", "opportunity")


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
