"""A product as the sync flow sees it, on a real data store: versions, echoes, copies, and what is told while we are not sure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from mapping import rules
from mapping.agenda import RecordKey
from mapping.errors import RulesInvalid
from mapping.judge import Verdict
from mapping.plan import Create, Nothing, Update, Wanted
from mapping.records import Attached
from mapping.unified import deliveries
from mapping.unified.deliveries import DELETED, Message
from workers.downstream.port import Subject
from workers.downstream.unified.adapter import UnifiedDownstream
from workers.downstream.unified.copies import Copies, copy_key
from workers.downstream.unified.echoes import Echoes
from workers.downstream.unified.versions import Versions
from workers.echo import echo_key
from workers.errors import RateLimited
from workers.ledger import Vault

if TYPE_CHECKING:
    import redis

    from workers.downstream.unified.client import Product
    from workers.downstream.unified.references import References

KEY = RecordKey("acme", "party", 7)
ADA: dict[str, Any] = {"id": "7", "name": "Ada", "title": None, "tags": []}
EVE = {**ADA, "name": "Eve"}


@dataclass
class Sent:
    """Takes the place of the product's address."""

    messages: list[Message] = field(default_factory=list)

    def deliver(self, message: Message, *, before_send: Any) -> None:
        before_send()
        self.messages.append(message)


def make(store: redis.Redis, sent: Sent | None = None, *, vault: Vault | None = None, **unified: Any) -> UnifiedDownstream:
    document = {"connections": {"acme": {"downstream": "unified", "unified": {"url": "https://p.example", **unified}}}}
    return UnifiedDownstream(
        rules.parse(document)["acme"],
        cast("References", None),
        Versions(store),
        cast("Product", sent or Sent()),
        echoes=Echoes(store, "unified"),
        copies=Copies(store, vault, "acme") if vault is not None else None,
    )


def told(
    product: UnifiedDownstream, fields: dict[str, Any], have: dict[str, Any] | None, *, unsure: bool = False, ours: Any = ()
) -> list[Message]:
    wanted = Wanted("contact", fields)
    plan = product.compare(wanted, have, ours=ours, unsure=unsure)
    found, _ = product.writes(KEY, wanted, plan, downstream_id=None, have=have, current=None)
    return list(found)


def test_a_version_rises_with_each_content_and_stays_for_the_same(store: redis.Redis) -> None:
    versions = Versions(store)
    first = versions.draw(KEY, "contact", "a")
    assert versions.draw(KEY, "contact", "a") == first
    second = versions.draw(KEY, "contact", "b")
    assert second > first
    assert versions.draw(KEY, "contact", "a") > second
    assert versions.model(KEY, ("account", "contact")) == "contact"
    assert versions.model(RecordKey("acme", "party", 8), ("account", "contact")) is None


def test_a_version_does_not_go_back_with_the_clock(store: redis.Redis) -> None:
    far = 9_000_000_000_000_000
    store.hset("relay:versions:acme", "party|7|contact", f"{far} x")
    assert Versions(store).draw(KEY, "contact", "a") == far + 1


def test_a_message_sent_again_has_the_same_id(store: redis.Redis) -> None:
    product = make(store)
    (first,) = told(product, EVE, ADA)
    (again,) = told(product, EVE, ADA, unsure=True, ours={"name"})
    assert deliveries.message_id("acme", first) == deliveries.message_id("acme", again)
    assert first.changed == ("name",)


def test_what_went_back_while_an_answer_was_lost_is_told_all_the_same(store: redis.Redis) -> None:
    # Given that Eve was sent and never answered, and that she is Ada again
    product = make(store)
    (lost,) = told(product, EVE, ADA)
    (back,) = told(product, ADA, ADA, unsure=True, ours={*ADA, "name"})
    assert back.version > lost.version
    assert back.record == ADA


@pytest.mark.parametrize(
    ("fields", "have", "unsure", "plan"),
    [
        (ADA, None, False, Create),
        (ADA, ADA, False, Nothing),
        (ADA, {**ADA, "updated_at": "x"}, False, Nothing),
        (EVE, ADA, False, Update),
        (ADA, ADA, True, Update),
        (ADA, {DELETED: "out"}, False, Create),
        ({DELETED: "out"}, ADA, False, Update),
        ({DELETED: "out"}, {DELETED: "out"}, False, Nothing),
        ({DELETED: "out"}, {DELETED: "out"}, True, Update),
    ],
    ids=["new", "same", "same but restless", "changed", "unsure", "returned", "leaves", "has left", "has left, unsure"],
)
def test_what_is_to_be_told(store: redis.Redis, fields: Any, have: Any, unsure: bool, plan: type) -> None:
    found = make(store).compare(Wanted("contact", fields), have, ours=set(ADA), unsure=unsure)
    assert type(found) is plan


def test_what_the_product_wrote_itself_is_not_told_to_it(store: redis.Redis) -> None:
    sent, vault = Sent(), Vault(["k" * 40])
    product = make(store, sent, vault=vault, keep_copy=True)
    store.hset(echo_key("acme"), KEY.field, f"done 1 {deliveries.digest('contact', EVE)}")
    (message,) = told(product, EVE, ADA)
    product.send(message, downstream_id="7", before_send=lambda: None)
    assert (message.silent, sent.messages) == (True, [])
    assert not store.hexists(echo_key("acme"), KEY.field)
    # And its copy is as new as if it had been sent
    kept = vault.open(cast("bytes", store.hget(copy_key("acme", "contacts"), "7")))
    assert (kept["record"]["name"], kept["version"]) == ("Eve", message.version)


def test_what_became_of_it_after_the_product_wrote_it_is_told(store: redis.Redis) -> None:
    store.hset(echo_key("acme"), KEY.field, f"done 1 {deliveries.digest('contact', ADA)}")
    (message,) = told(make(store), EVE, ADA)
    assert not message.silent


@pytest.mark.parametrize(
    ("name", "mark", "age_ms", "have", "waits"),
    [
        ("party|7", "pending {}", 1_000, ADA, True),
        ("party|7", "pending {}", 11_000, ADA, False),
        ("creating", "1 {}", 1_000, None, True),
        ("creating", "1 {}", 1_000, ADA, False),
        ("creating", "0 {}", 1_000, None, False),
        ("creating", "2 {}", 31_000, None, False),
    ],
)
def test_a_record_waits_while_the_product_writes_it(
    store: redis.Redis, *, name: str, mark: str, age_ms: int, have: Any, waits: bool
) -> None:
    seconds, micros = store.time()
    store.hset(echo_key("acme"), name, mark.format(seconds * 1000 + micros // 1000 - age_ms))
    if waits:
        with pytest.raises(RateLimited) as raised:
            told(make(store), EVE, have)
        assert raised.value.wait_ms == 500
    else:
        assert told(make(store), EVE, have)


def test_a_copy_is_sealed_and_goes_with_its_record(store: redis.Redis) -> None:
    product = make(store, vault=Vault(["k" * 40]), keep_copy=True)
    product.send(told(product, EVE, None)[0], downstream_id=None, before_send=lambda: None)
    stored = cast("bytes", store.hget(copy_key("acme", "contacts"), "7"))
    assert b"Eve" not in stored
    product.send(told(product, {DELETED: "deleted"}, EVE)[0], downstream_id="7", before_send=lambda: None)
    assert not store.exists(copy_key("acme", "contacts"))


def entry(product: UnifiedDownstream, activity: int) -> tuple[Subject, Wanted]:
    body: dict[str, Any] = {"id": 9, "type": "note", "activityType": {"id": activity, "name": "x"}, "content": "Called"}
    record = Attached("entry", 9, None, None, restricted=False, raw=body)
    subject = Subject(RecordKey("acme", "entry", 9), record, Verdict(is_in=True, why=""))
    return subject, product.wanted(subject, alive=lambda: None)


@pytest.mark.parametrize(
    ("models", "activity", "types"),
    [
        (None, -1, ["crm.engagement.created", "crm.note.created"]),
        (None, -3, ["crm.engagement.created"]),
        (["engagements"], -1, ["crm.engagement.created"]),
        (["notes"], -1, ["crm.note.created"]),
    ],
    ids=["both", "a call", "engagements alone", "notes alone"],
)
def test_an_entry_is_an_engagement_and_a_plain_note_as_well(
    store: redis.Redis, models: list[str] | None, activity: int, types: list[str]
) -> None:
    chosen: dict[str, Any] = {"models": models} if models else {}
    product = make(store, **chosen)
    subject, wanted = entry(product, activity)
    assert product.declines(subject) == ""
    found, _ = product.writes(subject.key, wanted, Create(wanted.fields), downstream_id=None, have=None, current=None)
    assert [one.type for one in found] == types
    # And all of them are removed with it
    gone = product.released(wanted.resource, dict(wanted.fields), why="deleted")
    assert gone is not None
    plan = product.compare(gone, wanted.fields, ours=())
    left, _ = product.writes(subject.key, gone, plan, downstream_id="9", have=wanted.fields, current=None)
    assert [one.type for one in left] == [one.replace("created", "deleted") for one in types]


def test_models_that_are_left_out_are_declined_and_their_kinds_not_followed(store: redis.Redis) -> None:
    product = make(store, models=["notes", "tasks"])
    assert product.kinds == {"party", "task", "entry"}
    subject, _ = entry(product, -3)
    assert "notes alone" in product.declines(subject)
    assert make(store).kinds == {"party", "opportunity", "kase", "task", "user", "entry"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"models": ["contact"]}, 'Did you mean "contacts"?'),
        ({"triggers": ["opportunity.win"]}, 'Did you mean "opportunity.won"?'),
    ],
)
def test_names_that_are_none_are_faults(line: dict[str, Any], said: str) -> None:
    document = {"connections": {"acme": {"downstream": "unified", "unified": {"url": "https://p.example", **line}}}}
    with pytest.raises(RulesInvalid) as raised:
        rules.parse(document)
    assert raised.value.faults[0].hint == said


def test_a_product_that_is_asked_by_mistake_is_a_fault_and_no_record_that_is_gone(store: redis.Redis) -> None:
    product = make(store)
    assert product.can_be_asked is False
    with pytest.raises(TypeError, match="contact 7"):
        product.read("contact", "7", lane="live", alive=lambda: None)
