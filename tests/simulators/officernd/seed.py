"""The account at the start, records placed by tests, and edits made by staff by hand in the admin portal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulators.control import ControlRefused
from tests.simulators.officernd.answers import is_object_id, read_date
from tests.simulators.officernd.store import RESOURCES, STAFF, TARGETS, Collection, Store
from tests.simulators.officernd.writes import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulators.control import Document

_CRUD = ("read", "create", "update", "delete")
SCOPES = frozenset(
    {f"flex.community.{resource}.{action}" for resource in ("members", "companies", "opportunities") for action in _CRUD}
    | {"flex.community.opportunityStatuses.read", "flex.space.locations.read", "flex.settings.customProperties.read"}
)
"""What the application was granted unless told otherwise: every scope of §1.4 that a sync could want."""

LOCATIONS = ("London Bridge", "Shoreditch")
STATUSES = (
    ("System status for open opportunities", 10, True),
    ("Tour booked", 40, False),
    ("System status for won opportunities", 100, True),
    ("System status for lost opportunities", 0, True),
    ("Negotiation", 50, False),
)
PROPERTIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("capsule_link_id", "String", ("member", "team", "lead")),
    ("capsule_twitter", "String", ("team",)),
    ("capsule_phone", "String", ("team",)),
    ("capsule_location", "String", ("member",)),
    ("capsule_deal_size", "Number", ("lead",)),
    ("capsule_probability", "Number", ("lead",)),
    ("hubspot_link_id", "String", ("member", "team", "lead")),
    ("Preferred Desk", "Text", ("member",)),
)
SEEDED_STATUSES = ("active", "pending", "drop-in", "not_approved", "former")


@dataclass(frozen=True, slots=True)
class Account:
    """Who the organisation and its one application are, and what stands in the portal at the start.

    `properties` are custom properties as (key, type, targets) or as objects with these keys. `switches` and `limits` hold
    from the start; `limit_factor` multiplies every number of requests, so that a demonstration need not wait.
    """

    slug: str = "acme-spaces"
    client_id: str = "officernd-client"
    client_secret: str = "officernd-secret"
    scopes: frozenset[str] = SCOPES
    locations: tuple[str, ...] = LOCATIONS
    properties: tuple[Any, ...] = PROPERTIES
    switches: Mapping[str, object] = field(default_factory=dict)
    limits: Mapping[str, object] = field(default_factory=dict)
    limit_factor: float = 1


def account_from(options: Mapping[str, Any]) -> Account:
    """An account from options by name. Raises ControlRefused for one that does not exist."""
    unknown = set(options) - set(Account.__slots__)
    if unknown:
        raise ControlRefused(f"no such options: {', '.join(sorted(unknown))}; there are {', '.join(Account.__slots__)}")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    for name in ("slug", "client_id", "client_secret"):
        if name in given:
            given[name] = str(given[name])
    if "scopes" in given:
        scopes = given["scopes"]
        given["scopes"] = frozenset(scopes.split() if isinstance(scopes, str) else scopes)
    return Account(**given)


def furnish(store: Store, account: Account) -> None:
    """Put locations, opportunity statuses and custom properties into an empty store, with ids that never change."""
    for n, name in enumerate(account.locations, start=1):
        store.put("locations", {"_id": fixed_id(n), **_location(name)})
    for n, (description, probability, is_system) in enumerate(STATUSES, start=1):
        row = {"_id": fixed_id(0x400 + n), "description": description, "probability": probability, "isSystem": is_system}
        store.put("opportunity-statuses", row)
    for n, given in enumerate(account.properties, start=1):
        document = given if isinstance(given, dict) else dict(zip(("key", "type", "targets"), given, strict=True))
        store.put("custom-properties", {"_id": fixed_id(0x500 + n), **_custom_property(document)})


def fixed_id(n: int) -> str:
    """An ObjectId that is older than any that the store gives: location 1 is n = 1, status 1 is n = 0x401."""
    return f"64b0c0ffee{n:014x}"


def seed(store: Store, documents: Mapping[str, Any]) -> dict[str, list[Document]]:
    """Add invented records as they might stand there already, without any validation but of their ids and statuses.

    What is left out is filled: an `_id`, times, a name, the first location, the open status. `status` of a member or
    company says what its memberships make of it; `manualStatus` of a member was set by hand. Returns the records.

    Raises:
        ControlRefused: an unknown resource, an `_id` that is none or is taken, a status that is never seeded.
    """
    unknown = set(documents) - set(RESOURCES)
    if unknown:
        raise ControlRefused(f"no such resources: {', '.join(sorted(unknown))}; there are {', '.join(RESOURCES)}")
    return {
        resource: [_seed_one(store, resource, _as_kept(dict(document))) for document in documents[resource]]
        for resource in RESOURCES
        if resource in documents
    }


def edit(store: Store, order: Mapping[str, Any]) -> dict[str, list[Document]]:
    """Change a record (`id`) or several at one moment (`ids`) as staff or a system job would: any field, `modifiedAt` moved.

    An empty `fields` only touches the records, as the job of §3.9 does. `fields` may hold `status` and `manualStatus` as in
    `seed`, and `modifiedAt`.

    Raises:
        ControlRefused: an unknown resource or id.
    """
    resource, identities = order.get("resource"), order.get("ids") or [order.get("id")]
    collection = _collection(store, resource)
    now = store.now()
    edited = []
    for identity in identities:
        if identity not in collection.rows:
            raise ControlRefused(f"no such record: {resource} {identity}")
        fields = _as_kept(dict(order.get("fields") or {}))
        _take_statuses(store, str(resource), identity, fields)
        row = {**collection.rows[identity], "modifiedAt": now, "modifiedBy": STAFF, **fields}
        if resource == "opportunities" and "status" in fields and "probability" not in fields:
            row["probability"] = _probability(store, row["status"])
        edited.append(store.shown(str(resource), store.put(str(resource), row)))
    return {str(resource): edited}


def remove(store: Store, order: Mapping[str, Any]) -> Document:
    """Take a record away as staff would. Raises ControlRefused for an unknown resource or id."""
    _collection(store, order.get("resource"))
    row = store.remove(str(order["resource"]), str(order.get("id")))
    if row is None:
        raise ControlRefused(f"no such record: {order['resource']} {order.get('id')}")
    return row


def _collection(store: Store, resource: object) -> Collection:
    if resource not in RESOURCES:
        raise ControlRefused(f"no such resource: {resource}; there are {', '.join(RESOURCES)}")
    return store[str(resource)]


def _seed_one(store: Store, resource: str, given: Document) -> Document:
    """One record, filled and kept."""
    identity = given.get("_id") or store.new_id()
    if not is_object_id(identity) or identity in store[resource].rows:
        raise ControlRefused(f"not an ObjectId, or taken: {resource} {identity}")
    given["_id"] = identity
    _take_statuses(store, resource, identity, given)
    made = store.created(by=STAFF) if resource in DEFAULTS else {}
    if "createdAt" in given:
        made["modifiedAt"] = given["createdAt"]
    row = {**made, **_filled(store, resource, given)}
    return store.shown(resource, store.put(resource, row))


def _as_kept(given: Document) -> Document:
    """Fields in the form in which the server keeps them, whoever writes: dates whole, addresses of e-mail in lower case."""
    for name in ("startDate", "createdAt", "modifiedAt"):
        given |= {name: read_date(given[name]) or given[name]} if name in given else {}
    if isinstance(given.get("email"), str):
        given["email"] = given["email"].lower()
    return given


def _filled(store: Store, resource: str, given: Document) -> Document:
    """A record with what was left out."""
    if resource == "locations":
        return {**_location(str(given.get("name", "Another place"))), **given}
    if resource == "opportunity-statuses":
        return {"description": "Another status", "probability": 50, "isSystem": False, **given}
    if resource == "custom-properties":
        return {**given, **_custom_property(given)}
    row = {**DEFAULTS[resource], "name": "Somebody", **given}
    if resource == "opportunities":
        row.setdefault("status", store["opportunity-statuses"].ids[0])
        row.setdefault("probability", _probability(store, row["status"]))
    else:
        row.setdefault("location", store["locations"].ids[0])
    return row


def _take_statuses(store: Store, resource: str, identity: str, fields: Document) -> None:
    """Take `status` and `manualStatus` of a member or company out of its fields and remember them."""
    if resource not in {"members", "companies"}:
        return
    status, manual = fields.pop("status", None), fields.pop("manualStatus", None)
    if status is not None:
        if status not in SEEDED_STATUSES:
            raise ControlRefused(f"memberships give {', '.join(SEEDED_STATUSES)}, not {status}; see manualStatus")
        store.memberships[identity] = status
    if manual is not None:
        store.manual[identity] = manual


def _probability(store: Store, status: str) -> int:
    probability: int = store["opportunity-statuses"].rows[status]["probability"]
    return probability


def _location(name: str) -> Document:
    """A location as §3.5 describes it."""
    code = "".join(word[0] for word in name.split()).upper()
    address = {"country": "United Kingdom", "city": "London", "street": f"1 {name}"}
    place = {"name": name, "code": code, "timezone": "Europe/London", "isOpen": True, "isPublic": True}
    return {**place, "address": address, "properties": {}, "targetRevenuePerPeriod": []}


def _custom_property(given: Mapping[str, Any]) -> Document:
    """A custom property as §3.6 describes it. Raises ControlRefused without a key."""
    if not isinstance(given.get("key"), str):
        raise ControlRefused("a custom property needs a key")
    targets = list(given.get("targets", TARGETS.values()))
    row = {"key": given["key"], "title": given.get("title", given["key"]), "type": given.get("type", "String")}
    return {**row, "privacy": given.get("privacy", "admin"), "targets": targets, "values": given.get("values"), "rates": []}
