"""OfficeRnD's side of one record, as strict as the reference about what each verb takes, for property tests.

Merge or replace of bags, and what is there before we come, are chosen by the test (reference/officernd.md §2.3: unknown).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import orjson

from mapping.officernd_fields import BAGS, POST, PUT

if TYPE_CHECKING:
    from mapping.officernd import Write

_REQUIRED = {
    "company": {"name", "location", "startDate"},
    "member": {"name", "location", "startDate"},
    "opportunity": {"name", "status"},
}


class Refused(AssertionError):
    """The API would have answered 400 or 500."""


class Record:
    """One record; `body` is what a GET answers, or None before it is created. `calls` counts the writes."""

    def __init__(self, resource: str, *, replaces_bags: bool, body: dict[str, Any] | None = None) -> None:
        self.resource = resource
        self.replaces_bags = replaces_bags
        self.body = copy.deepcopy(body)
        self.calls = 0

    def apply(self, write: Write) -> None:
        """Carries out one call as the server would."""
        self.calls += 1
        sent: dict[str, Any] = orjson.loads(orjson.dumps(dict(write.body)))
        if write.method == "POST":
            self._check(sent, POST[self.resource])
            missing = _REQUIRED[self.resource] - set(sent)
            if missing or self.body is not None or "{id}" in write.path:
                raise Refused(f"POST {write.path}: {missing or 'there already'}")
            self.body = {"_id": "64b0c0ffee0000000000aaaa", "properties": {}, "tags": [], "status": "contact"}
        elif write.path.endswith("/company"):
            if not isinstance(sent.get("company"), str) or set(sent) != {"company"}:
                raise Refused("company must be a string")
        elif write.path.endswith("/status"):
            if sent.get("status") not in {"former", "contact", "auto"} or set(sent) != {"status"}:
                raise Refused("status must be one of the following values")
            sent = {"status": "contact" if sent["status"] == "auto" else sent["status"]}
        else:
            self._check(sent, PUT[self.resource])
        self._store(sent)

    def _check(self, sent: dict[str, Any], allowed: frozenset[str]) -> None:
        unknown = set(sent) - allowed
        if unknown or not sent:
            raise Refused(f"property {sorted(unknown)} should not exist")
        for key, value in sent.items():
            if value is None and key not in {"startDate", "membersCount", "activeMembersAllowanceLimit"}:
                raise Refused(f"{key} must be a string")
        if not str(sent.get("name", "x")).strip():
            raise Refused("Path 'name' is required.")

    def _store(self, sent: dict[str, Any]) -> None:
        assert self.body is not None, "nothing can be changed before it is created"
        for key, value in sent.items():
            if key in BAGS and not self.replaces_bags:
                self.body[key] = {**(self.body.get(key) or {}), **value}
            elif key == "email":
                self.body[key] = value.lower()
            else:
                self.body[key] = value
        if self.resource == "opportunity" and "status" in sent:
            self.body["probability"] = 50  # it follows the status
