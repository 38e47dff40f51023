"""Messages to a product: how they are signed, what they say, and when two of them are one."""

from __future__ import annotations

import base64
import datetime as dt
import re
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from mapping.unified import deliveries
from mapping.unified.deliveries import Message

# reference/unified-crm.md §7, test vector
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
OTHER = "whsec_" + base64.b64encode(b"another-secret-of-32-bytes-long!").decode()
# By hand: the first 18 bytes of the SHA-256 of `acme|crm.contact.updated|contact|7|5`, and that of `{"id":"7","name":"Zoë"}`.
MESSAGE_ID = "msg_1xair5R2ywfeEBBvT2HG77jg"
DIGEST = "db20036075c39c48bdd98028953a5df58f32e62850da6ae550af237a979ef724"
RECORD: dict[str, Any] = {"id": "7", "name": "Ada", "updated_at": "2026-01-01T00:00:00Z", "tags": [{"id": "1", "name": "vip"}]}


def test_the_vector_of_the_specification_is_met() -> None:
    assert deliveries.sign(SECRET, *VECTOR) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert deliveries.sign(SECRET.removeprefix("whsec_"), *VECTOR) == deliveries.sign(SECRET, *VECTOR)


@pytest.mark.parametrize("held", [SECRET, OTHER], ids=["newest", "older"])
def test_the_official_library_accepts_what_was_signed_with_either_secret(held: str) -> None:
    message = deliveries.of_record("updated", "contact", "7", 5, record=RECORD, changed=["name"])
    body = orjson.dumps(deliveries.document(message, timestamp="2026-01-01T00:00:00.000Z"))
    now = int(dt.datetime.now(dt.UTC).timestamp())
    headers = deliveries.headers((SECRET, OTHER), deliveries.message_id("acme", message), now, body)
    assert list(headers) == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(held).verify(body, headers)["data"]["record"] == RECORD
    with pytest.raises(WebhookVerificationError):
        Webhook(held).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(body, headers)


def test_a_message_names_what_changed_and_holds_the_record_whole() -> None:
    message = deliveries.of_record("updated", "contact", "7", 5, record=RECORD, changed=["tags", "name"])
    assert deliveries.document(message, timestamp="now") == {
        "type": "crm.contact.updated",
        "timestamp": "now",
        "data": {
            "event": "record:updated",
            "model": "contact",
            "id": "7",
            "version": 5,
            "changed": ["name", "tags"],
            "record": RECORD,
        },
    }
    assert message.covers == ("name", "tags")


def test_every_kind_of_message_whole() -> None:
    created = deliveries.of_record("created", "contact", "7", 5, record=RECORD, changed=["tags", "name"])
    assert created == Message(
        "crm.contact.created", "record:created", "contact", "7", 5, changed=("name", "tags"), record=RECORD, reason="", more={}
    )
    assert (created.method, created.path, created.body) == ("POST", "crm.contact.created", RECORD)
    assert not created.silent
    trigger = deliveries.of_trigger(created, "tag.added", {"tags": ["vip"]})
    assert trigger == Message(
        "trigger.tag.added",
        "trigger",
        "contact",
        "7",
        5,
        changed=("name", "tags"),
        record=RECORD,
        more={"trigger": "tag.added", "tags": ["vip"]},
    )
    assert deliveries.document(trigger, timestamp="now") == {
        "type": "trigger.tag.added",
        "timestamp": "now",
        "data": {
            "event": "trigger",
            "model": "contact",
            "id": "7",
            "version": 5,
            "changed": ["name", "tags"],
            "trigger": "tag.added",
            "tags": ["vip"],
            "record": RECORD,
        },
    }
    removal = deliveries.of_removal("contact", "7", 6, reason="restricted")
    assert removal == Message("crm.contact.deleted", "record:deleted", "contact", "7", 6, reason="restricted")
    assert removal.covers == ("delete_reason",)


def test_ids_and_digests_stay_as_they_are_from_one_version_to_the_next() -> None:
    # Products keep the ids, and the relay its digests: another form would make everything new once.
    message = deliveries.of_record("updated", "contact", "7", 5, record={}, changed=[])
    assert deliveries.message_id("acme", message) == MESSAGE_ID
    assert deliveries.digest("contact", {"name": "Zoë", "id": "7", "etag": "x"}) == DIGEST


def test_a_removal_says_why_and_no_more() -> None:
    message = deliveries.of_removal("contact", "7", 6, reason="restricted")
    data = deliveries.document(message, timestamp="now")["data"]
    assert data == {"event": "record:deleted", "model": "contact", "id": "7", "version": 6, "delete_reason": "restricted"}


def test_a_trigger_has_an_id_of_its_own_and_the_version_of_its_record() -> None:
    cause = deliveries.of_record("updated", "opportunity", "7", 6, record=RECORD, changed=["status"])
    message = deliveries.of_trigger(cause, "opportunity.won", {"from": "open", "to": "won"})
    assert deliveries.document(message, timestamp="now")["data"]["version"] == 6
    assert message.type == "trigger.opportunity.won"
    assert deliveries.message_id("acme", message) != deliveries.message_id("acme", cause)


def test_an_id_stands_for_connection_record_and_version_and_holds_no_full_stop() -> None:
    def number(connection: str = "acme", model: str = "contact", record: str = "7", version: int = 5) -> str:
        message = deliveries.of_record("updated", model, record, version, record={}, changed=[])
        return deliveries.message_id(connection, message)

    ids = {number(), number("other"), number(model="account"), number(record="8"), number(version=6)}
    assert len(ids) == 5
    assert number() == number()
    assert all(re.fullmatch(r"msg_[\w-]+", one) for one in ids)


def test_what_changes_without_a_meaning_is_no_change() -> None:
    later = {**RECORD, "updated_at": "2027-01-01T00:00:00Z", "etag": "x", "picture_url": "y"}
    assert deliveries.changed(RECORD, later) == ()
    assert deliveries.digest("contact", RECORD) == deliveries.digest("contact", later)
    assert deliveries.changed(RECORD, {**later, "name": "Eve", "title": "Dr"}) == ("name", "title")
    assert deliveries.digest("contact", RECORD) != deliveries.digest("contact", {**RECORD, "name": "Eve"})


def test_nothing_personal_is_in_what_a_traceback_shows() -> None:
    message = Message("crm.contact.created", "record:created", "contact", "7", 1, record={"name": "Ada"})
    assert "Ada" not in repr(message)
