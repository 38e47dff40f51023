"""`GET /{entity}/search?q=` (reference/capsule.md §3.8): a name, a postcode, a phone number; e-mail by switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record


def found(account: Account, kind: str, query: str) -> list[int]:
    """The ids of what a search finds. What was written within the last `search_lag` seconds is not found yet."""
    wanted = query.strip().casefold()
    known_until = account.control.now() - account.control.limits["search_lag"]
    return [
        number
        for number in account.everything(kind)
        if account.records[kind][number]["_written"] <= known_until and _matches(account, account.records[kind][number], wanted)
    ]


def full_name(record: Record) -> str:
    """The name of a record as a person would read it."""
    if record.get("type") == "person":
        return " ".join(part for part in (record["firstName"], record["lastName"]) if part)
    return str(record["name"])


def _matches(account: Account, record: Record, wanted: str) -> bool:
    """Whether a record answers a search."""
    if not wanted:
        return False
    if wanted in full_name(record).casefold():
        return True
    if "phoneNumbers" not in record:
        return False
    digits = _digits(wanted)
    if digits and any(digits in _digits(phone["number"]) for phone in record["phoneNumbers"]):
        return True
    if any(address["zip"] and wanted == address["zip"].casefold() for address in record["addresses"]):
        return True
    emails = {email["address"].casefold() for email in record["emailAddresses"]}
    return account.control.is_on("search_finds_email") and wanted in emails


def _digits(word: str) -> str:
    """The digits of a text."""
    return "".join(character for character in word if character.isdigit())
