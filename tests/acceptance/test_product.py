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
