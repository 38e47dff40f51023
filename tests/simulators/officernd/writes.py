"""POST, PUT and DELETE of members, companies and opportunities (reference/officernd.md §2.3, §3, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulators.officernd.answers import CAST_MESSAGE, Refusal, is_object_id, no_such_item
from tests.simulators.officernd.checks import check, cleaned
from tests.simulators.officernd.schemas import MANUAL_STATUSES, NESTED, STATUS_BODY, Schema, company_body, schema
from tests.simulators.officernd.store import APPLICATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulators.control import Control, Document
    from tests.simulators.officernd.store import Store

REFERENCES = {
    "location": ("locations", "Specified office was not found"),
    "company": ("companies", "Specified team was not found"),
    "member": ("members", "Specified member was not found"),
    "status": ("opportunity-statuses", "Specified opportunity status was not found"),
}
"""Where a reference must lead on a write, and the 500 when it does not; the last two sentences by analogy (§7)."""

NAME_REQUIRED = "Path 'name' is required."
EMAIL_TAKEN = "Member with this email already exists"
NEITHER_OWNER = "member or company must be provided"
DEFAULTS: Mapping[str, Document] = {
    "members": {
        "isContactPerson": False,
        "isBillingPerson": False,
        "tags": [],
        "properties": {},
        "address": {},
        "billingDetails": {},
    },
    "companies": {
        "tags": [],
        "properties": {},
        "address": {},
        "billingDetails": {},
        "hasActiveMembersAllowance": False,
        "activeMembersAllowanceLimit": None,
    },
    "opportunities": {
        "member": None,
        "company": None,
        "startDate": None,
        "dealSize": 0,
        "membersCount": None,
        "resources": [],
        "requestedPlans": [],
        "properties": {},
    },
}

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "text": (str,),
    "select": (str,),
    "date": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "multi-select": (list,),
}


class Writes:
    """The writing half of the API. Every method raises Refusal where the vendor refuses; then nothing has changed."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control

    def create(self, resource: str, body: object) -> Document:
        """POST: a new record, and another one when the same is sent again."""
        switches = self._control.switches
        fields = self._read(resource, body, schema("POST", resource, switches))
        if resource == "opportunities" and fields.get("member") is None and fields.get("company") is None:
            raise Refusal(400, [NEITHER_OWNER])
        self._check_business_rules(resource, fields, identity=None)
        row = {**DEFAULTS[resource], **fields, **self._store.created(by=APPLICATION)}
        if resource == "opportunities":
            probability = self._probability(row["status"])
            if "probability" not in fields or switches["opportunity_probability_on_post"] == "from_status":
                row["probability"] = probability
            if row["company"] is None and self._control.is_on("opportunity_company_filled"):
                row["company"] = self._store["members"].rows[row["member"]].get("company")
        return self._store.shown(resource, self._store.put(resource, row))

    def update(self, resource: str, identity: str, body: object) -> Document:
        """PUT: only what was sent changes. `{}`, and by default what is stored already, leave `modifiedAt` alone."""
        fields = self._read(resource, body, schema("PUT", resource, self._control.switches))
        stored = self._found(resource, identity)
        self._check_business_rules(resource, fields, identity=identity)
        row = {**stored, **{name: self._joined(name, stored.get(name), value) for name, value in fields.items()}}
        if resource == "opportunities" and row["status"] != stored["status"]:
            row["probability"] = self._probability(row["status"])
        changed = row != stored or (fields and self._control.is_on("put_same_value_bumps_modified"))
        return self._store.shown(resource, self._touched(resource, row) if changed else stored)

    def delete(self, resource: str, identity: str) -> Document:
        """DELETE: the record as it was. What refers to it dangles."""
        row = self._store.remove(resource, identity)
        if row is None:
            raise no_such_item(identity)
        return row

    def set_status(self, identity: str, body: object) -> None:
        """/members/{id}/status: former or contact by hand, or calculated again."""
        faults = check(_as_object(body), STATUS_BODY.fields, STATUS_BODY.required, self._control.switches)
        if faults:
            raise Refusal(400, faults)
        row = self._found("members", identity)
        wanted = _as_object(body)["status"]
        before = self._store.manual.get(identity)
        if wanted == MANUAL_STATUSES[-1]:
            self._store.manual.pop(identity, None)
        else:
            self._store.manual[identity] = wanted
        if self._store.manual.get(identity) != before:
            self._touched("members", dict(row))

    def set_company(self, identity: str, body: object) -> Document:
        """/members/{id}/company: move a member. Its opportunities stay where they are (§3.2)."""
        fields = self._read("members", body, company_body(self._control.switches))
        stored = self._found("members", identity)
        self._check_references({"company": fields["company"]})
        if fields["company"] == stored.get("company") and not self._control.is_on("put_same_value_bumps_modified"):
            return self._store.shown("members", stored)
        return self._store.shown("members", self._touched("members", {**stored, "company": fields["company"]}))

    def _read(self, resource: str, body: object, wanted: Schema) -> Document:
        """The fields of a body, judged and as the server keeps them. Raises a 400 with every fault."""
        document = _as_object(body)
        faults = check(document, wanted.fields, wanted.required, self._control.switches)
        bag = document.get("properties")
        if isinstance(bag, dict):
            faults += self._property_faults(resource, bag)
        if isinstance(body, list) and not faults:
            faults = ["an array is not accepted"]
        if faults:
            raise Refusal(400, faults)
        fields = cleaned(document, wanted.fields)
        if isinstance(bag, dict) and self._control.switches["undefined_property_keys"] == "drop":
            fields["properties"] = {key: value for key, value in bag.items() if self._store.custom_property(resource, key)}
        return fields

    def _property_faults(self, resource: str, bag: Document) -> list[str]:
        """What is wrong with a bag of properties, as the switches have it (§3.6)."""
        faults = []
        for key, value in bag.items():
            definition = self._store.custom_property(resource, key)
            if definition is None and self._control.switches["undefined_property_keys"] == "refuse":
                faults.append(f"properties.property {key} should not exist")
            if definition is not None and self._control.switches["property_types"] == "check" and value is not None:
                kind = definition["type"].lower()
                is_flag = isinstance(value, bool)
                if not isinstance(value, _TYPES.get(kind, (object,))) or (is_flag and kind == "number"):
                    faults.append(f"properties.{key} must be a {kind}")
        return faults

    def _check_business_rules(self, resource: str, fields: Document, *, identity: str | None) -> None:
        """What the vendor answers 500 to: an empty name, references that lead nowhere, a taken address where refused."""
        if fields.get("name") == "":
            raise Refusal(500, NAME_REQUIRED)
        self._check_references({name: fields[name] for name in REFERENCES if name in fields})
        email = fields.get("email")
        if resource == "members" and email and self._control.switches["duplicate_email"] == "refuse":
            holders = self._store["members"].matching("email", email)
            if holders - {identity}:
                raise Refusal(500, EMAIL_TAKEN)

    def _check_references(self, references: Document) -> None:
        """Raises a 500 for the first reference that is no ObjectId, or else leads nowhere."""
        given = {name: identity for name, identity in references.items() if identity is not None}
        if not all(is_object_id(identity) for identity in given.values()):
            raise Refusal(500, CAST_MESSAGE)
        for name, identity in given.items():
            resource, sentence = REFERENCES[name]
            if identity not in self._store[resource].rows:
                raise Refusal(500, sentence)

    def _found(self, resource: str, identity: str) -> Document:
        row = self._store[resource].rows.get(identity)
        if row is None:
            raise no_such_item(identity)
        return row

    def _touched(self, resource: str, row: Document) -> Document:
        """Keep a changed record, with the time and the author of the change."""
        return self._store.put(resource, {**row, "modifiedAt": self._store.now(), "modifiedBy": APPLICATION})

    def _joined(self, name: str, stored: object, value: object) -> object:
        """The value that a field has after a PUT: objects join or replace what is stored, as the switches have it."""
        switch = "properties_on_put" if name == "properties" else "nested_on_put"
        is_bag = name == "properties" or name in NESTED
        if is_bag and self._control.switches[switch] == "merge" and isinstance(stored, dict) and isinstance(value, dict):
            return {**stored, **value}
        return value

    def _probability(self, status: str) -> int:
        probability: int = self._store["opportunity-statuses"].rows[status]["probability"]
        return probability


def _as_object(body: object) -> Document:
    """A body as the validator sees it: an array is an object with numbers for keys."""
    if isinstance(body, list):
        return {str(n): item for n, item in enumerate(body)}
    return body if isinstance(body, dict) else {}
