"""The demonstration's second connection: a product that is told of the same account, and whether it holds what it should.

Written, like `compare`, without a line of Capsule Relay's own mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.demo.compare import Comparison, expected

if TYPE_CHECKING:
    from tests.demo.compare import State

NAME = "product"
RULES = """
[connections.product]
downstream = "unified"
tags_to_sync = "member, guest"
sync_opportunities = true
sync_untagged_contacts = true
auto_sync = false

[connections.product.capsule]
account = "demo"
api_url = "{capsule}/api/v2"

[connections.product.unified]
url = "{product}/webhooks"
models = ["accounts", "contacts", "opportunities"]
triggers = ["opportunity.stage_changed", "opportunity.won", "opportunity.lost", "tag.added"]
allow_private_addresses = true
"""
MODELS = {"companies": "account", "members": "contact", "opportunities": "opportunity"}


def compare(capsule: State, product: State) -> Comparison:
    """Compares both sides: the product must hold exactly the records that the rules let in now."""
    wanted = {(MODELS[resource], number): one for (resource, number), one in expected(capsule).items()}
    held: dict[tuple[str, str], Any] = {
        (model, number): record for model, records in product["records"].items() for number, record in records.items()
    }
    wrong: list[str] = []
    in_step = 0
    for (model, number), want in sorted(wanted.items()):
        record = held.get((model, number))
        faults = ["is not there"] if record is None else []
        if record is not None and record["name"] != want.name:
            faults.append(f"its name is {record['name']!r} and should be {want.name!r}")
        if record is not None and model != "opportunity":
            email = record["email_addresses"][0]["email"].lower() if record["email_addresses"] else ""
            faults += [f"its e-mail is {email!r} and should be {want.email!r}"] if email != want.email else []
        in_step += not faults
        wrong += [f"{model} {number}: {fault}" for fault in faults]
    wrong += [f"{model} {number}: should not be there" for model, number in sorted(held.keys() - wanted.keys())]
    refused = product["counts"].get("refused", 0)
    wrong += [f"{refused} messages with a wrong signature"] if refused else []
    return Comparison(expected=len(wanted), in_step=in_step, differences=tuple(wrong))
