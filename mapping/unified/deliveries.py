"""What a product is told, and how it is signed (reference/unified-crm.md §1.9, §7). Pure: the time comes from the caller.

A message names the record, its version and what changed, and holds the record whole. Its id is made of connection, record and
version, so that a message sent twice has one id, and whoever keeps ids or versions drops the second.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mapping.values import Json

Event = Literal["created", "updated", "deleted"]
Reason = Literal["deleted", "restricted", "out"]

DELETED: Final = "delete_reason"
"""The one field that is remembered of a record that the product was told to drop."""

MODELS: Final = ("accounts", "contacts", "opportunities", "projects", "tasks", "users", "engagements", "notes")
"""What `models` of the rules can name: the collections of the unified API."""

COLLECTIONS: Final = {
    "account": "accounts",
    "contact": "contacts",
    "opportunity": "opportunities",
    "project": "projects",
    "task": "tasks",
    "user": "users",
    "engagement": "engagements",
    "note": "notes",
}
"""Model -> its collection."""

RESTLESS: Final = frozenset(
    {"remote_data", "synced_at", "updated_at", "last_activity_at", "etag", "picture_url", "missing_important_fields"}
)
"""Fields that change without a meaning: a difference in these alone is no change."""

PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a product. `record` is whole, and empty for a record that is gone; `covers` are the fields that it sets."""

    type: str
    event: str
    model: str
    id: str
    version: int
    changed: tuple[str, ...] = ()
    record: Mapping[str, Json] = field(default_factory=dict, repr=False)
    reason: str = ""
    more: Mapping[str, Json] = field(default_factory=dict, repr=False)
    silent: bool = False  # the product made this change itself: it is noted and not sent

    @property
    def covers(self) -> tuple[str, ...]:
        """The names of the fields that it sets, for the note that is made before it is sent."""
        return (DELETED,) if self.event == "record:deleted" else self.changed

    @property
    def method(self) -> str:
        """How it is sent."""
        return "POST"

    @property
    def path(self) -> str:
        """What of it a letter may name: its type, since the address is the product's own matter."""
        return self.type

    @property
    def body(self) -> Mapping[str, Json]:
        """What a letter keeps of it, encrypted."""
        return dict(self.record)


def of_record(
    event: Event, model: str, number: str, version: int, *, record: Mapping[str, Json], changed: Collection[str]
) -> Message:
    """The message that a record was created or changed."""
    return Message(
        f"crm.{model}.{event}", f"record:{event}", model, number, version, changed=tuple(sorted(changed)), record=record
    )


def of_trigger(cause: Message, name: str, details: Mapping[str, Json]) -> Message:
    """The message of a trigger, beside the one of the record that it comes from and with its version."""
    more = {"trigger": name, **details}
    return Message(
        f"trigger.{name}", "trigger", cause.model, cause.id, cause.version, changed=cause.changed, record=cause.record, more=more
    )


def of_removal(model: str, number: str, version: int, *, reason: str) -> Message:
    """The message that a record is to be dropped: it was deleted, hidden from us, or is no longer in by the rules."""
    return Message(f"crm.{model}.deleted", "record:deleted", model, number, version, reason=reason)


def changed(before: Mapping[str, Json], after: Mapping[str, Json]) -> tuple[str, ...]:
    """The fields that differ, those without a meaning left out."""
    names = {*before, *after} - RESTLESS
    return tuple(sorted(name for name in names if before.get(name) != after.get(name)))


def digest(model: str, record: Mapping[str, Json]) -> str:  # noqa: ARG001 - part of the contract: models may differ one day
    """A digest of what a record says, without the fields that change with no meaning."""
    plain = {name: value for name, value in record.items() if name not in RESTLESS}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def message_id(connection: str, message: Message) -> str:
    """The id of a message, the same however often it is sent. It holds no full stop, which separates what is signed (§7)."""
    what = f"{connection}|{message.type}|{message.model}|{message.id}|{message.version}"
    return "msg_" + base64.urlsafe_b64encode(hashlib.sha256(what.encode()).digest()[:18]).decode()


def document(message: Message, *, timestamp: str) -> dict[str, Any]:
    """The body of a message. `timestamp` (ISO 8601, UTC) is when its record was read."""
    data: dict[str, Any] = {"event": message.event, "model": message.model, "id": message.id, "version": message.version}
    if message.event == "record:deleted":
        data[DELETED] = message.reason
    else:
        data |= {"changed": list(message.changed), **message.more, "record": dict(message.record)}
    return {"type": message.type, "timestamp": timestamp, "data": data}


def headers(secrets: Sequence[str], number: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt at `seconds` (Unix time), signed with each secret, newest first (§7)."""
    signatures = " ".join(sign(secret, number, seconds, body) for secret in secrets)
    return {"webhook-id": number, "webhook-timestamp": str(seconds), "webhook-signature": signatures}


def sign(secret: str, number: str, seconds: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of id, time and raw body, in base64 (§7). `secret` is base64, with `whsec_` before it or not."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{number}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()
