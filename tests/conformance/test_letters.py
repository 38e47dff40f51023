"""Dead letters in a real store: what they say, how long they stay, how many can be read in a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from mapping.agenda import LETTERS, RecordKey, deliveries_key
from mapping.errors import UnreadableRecord
from tests.conformance.letter_box import SECRET, LetterBox, refusal
from workers import errors
from workers.letters import Filter
from workers.letters.hiding import HIDDEN, body_of, said
from workers.letters.letter import record_id
from workers.version import VERSION

if TYPE_CHECKING:
    import redis


@pytest.fixture
def box(store: redis.Redis) -> LetterBox:
    return LetterBox(store)


def deliver(box: LetterBox, body_hash: str, **told: Any) -> None:
    """A letter as the receiver writes it."""
    letter = {
        "reason": "the body is not JSON", "event": "", "encoding": "", "opened": 0, "body": "e25vdCBqc29u", "size": 9,
        "count": 2, "first": 1_000, "last": 2_000,
    } | told  # fmt: skip
    box.store.hset(deliveries_key("acme"), body_hash, box.vault.seal(letter))


def test_a_letter_says_what_was_tried_what_came_back_and_what_to_do(box: LetterBox) -> None:
    letter = box.bury(501)

    assert (letter.kind, letter.connection, letter.record, letter.what) == (
        "record",
        "acme",
        RecordKey("acme", "party", 501),
        "party",
    )
    assert (letter.method, letter.route, letter.status, letter.system) == ("POST", "POST /members", 400, "officernd")
    assert (letter.error, letter.text, letter.attempts, letter.version) == (
        "Refused",
        "officernd: POST /members: 400",
        1,
        VERSION,
    )
    assert "phone must be a string" in letter.answer
    assert "replay" in letter.advice
    assert letter.first_ms == letter.last_ms > 0
    assert (letter.replays, letter.place, letter.history) == (0, None, ())


def test_nothing_personal_lies_in_redis_in_the_clear(box: LetterBox) -> None:
    box.bury(501, refusal(answer='{"message":"ada@example.com is taken"}'))

    stored = b"".join(box.store.hgetall(LETTERS).values())
    assert b"ada" not in stored.lower()
    assert b"7946" not in stored


def test_values_are_hidden_unless_asked_for_and_ids_of_the_other_side_stay(box: LetterBox) -> None:
    letter = box.bury(501, refusal(answer='{"message":["Ada Lovelace (ada@example.com, +44 20 7946 0018) exists in team 3"]}'))

    shown = str(body_of(letter)) + said(letter, letter.answer)
    for personal in ("Ada", "ada", "Lovelace", "7946", "example.com"):
        assert personal not in shown
    assert body_of(letter) == {
        "name": f"{HIDDEN} text, 12 characters",
        "email": f"{HIDDEN} text, 15 characters",
        "phone": f"{HIDDEN} text, 16 characters",
        "location": "64b7f0c2a1d3e4f5a6b7c8d9",
        "seats": f"{HIDDEN} number",
    }
    assert "exists in team 3" in said(letter, letter.answer)
    assert body_of(letter, reveal=True)["email"] == "ada@example.com"
    assert "Ada Lovelace" in said(letter, letter.answer, reveal=True)


def test_a_body_that_is_no_json_is_hidden_whole(box: LetterBox) -> None:
    letter = box.bury(501, refusal(body=b"Ada"))
    assert body_of(letter) == f"{HIDDEN} 3 characters that are not JSON"
    assert body_of(letter, reveal=True) == "Ada"


def test_a_letter_that_fails_again_keeps_its_first_time_and_its_history(box: LetterBox) -> None:
    first = box.bury(501)
    while box.agenda.hello() <= first.last_ms:
        pass  # the clock of Redis counts milliseconds
    second = box.bury(501, refusal(status=422))

    assert second.first_ms == first.first_ms
    assert second.last_ms > first.last_ms
    assert second.id != first.id
    assert [(one.error, one.status, one.at_ms) for one in second.history] == [("Refused", 400, first.last_ms)]


def test_a_history_does_not_grow_for_ever(box: LetterBox) -> None:
    for _ in range(15):
        letter = box.bury(501)
    assert len(letter.history) == 10


@pytest.mark.parametrize("outcome", ["in_step", "held", "out", "gone"])
def test_a_letter_goes_when_the_record_is_decided(box: LetterBox, outcome: str) -> None:
    box.bury(501)
    box.store.hset("relay:replays", "acme|party|501", "1 1 1")
    run = box.run(box.record(501))
    under_way = box.letters.of_record(box.record(501))
    assert under_way is not None
    assert under_way.place == "lease"

    box.agenda.done(run.record, run.taken.token, wrote=False, entry=b"entry", outcome=outcome)

    assert box.letters.of_record(box.record(501)) is None
    assert not box.store.exists("relay:replays")


def test_a_letter_of_an_earlier_release_is_read(box: LetterBox) -> None:
    old = {
        "record": "acme|party|7", "seq": 9, "class": "Refused", "text": "officernd: 400", "advice": "Read the answer.",
        "attempts": 1, "opened": 5, "at": 6, "version": "0.1.0", "system": "officernd", "status": 400, "answer": "no",
        "method": "POST", "route": "POST /members", "body": "{}",
    }  # fmt: skip
    box.store.hset(LETTERS, "acme|party|7", b"1" + box.vault.seal(old))
    letter = box.letters.of_record(box.record(7))
    assert letter is not None
    assert (letter.error, letter.first_ms, letter.last_ms, letter.seq) == ("Refused", 6, 6, 9)


@pytest.mark.parametrize("extra", [b"", b',"opened":1790000000000'], ids=["earlier release", "this release"])
def test_a_letter_of_the_sweep_is_read_without_a_key(box: LetterBox, extra: bytes) -> None:
    stored = b'0{"class":"killer","deaths":3,"seq":9,"at":6' + extra + b"}"
    box.store.hset(LETTERS, "acme|party|7", stored)
    letter = box.letters.of_record(box.record(7))
    assert letter is not None
    assert (letter.error, letter.attempts, letter.last_ms) == ("killer", 3, 6)
    assert "3 workers" in letter.text
    assert "memory" in letter.advice


def test_a_letter_whose_key_was_lost_is_shown_as_such_and_hides_no_other(store: redis.Redis) -> None:
    LetterBox(store, secrets=("another-key-of-at-least-thirty-two-characters",)).bury(1)
    box = LetterBox(store, secrets=(SECRET,))
    box.bury(2)

    found = {one.field: one for one in box.letters.find()}

    assert found["acme|party|1"].error == "locked"
    assert "RELAY_SECRET_KEY" in found["acme|party|1"].advice
    assert found["acme|party|2"].error == "Refused"


def test_the_id_is_of_what_is_stored_so_an_equal_letter_has_an_equal_id() -> None:
    assert record_id("acme|party|7", b"1x") == record_id("acme|party|7", b"1x")
    assert len({record_id("acme|party|7", b"1x"), record_id("acme|party|8", b"1x"), record_id("acme|party|7", b"1y")}) == 3
    assert record_id("acme|party|7", b"1x").startswith("r")


def test_deliveries_are_found_with_their_advice(box: LetterBox) -> None:
    deliver(box, "a" * 32)
    deliver(box, "b" * 32, size=9_000)

    found = {one.id: one for one in box.letters.find(connections=["acme"])}

    whole, cut = found["d" + "a" * 11], found["d" + "b" * 11]
    assert (whole.kind, whole.what, whole.error, whole.text) == (
        "delivery",
        "delivery",
        "unreadable delivery",
        "the body is not JSON",
    )
    assert (whole.first_ms, whole.last_ms) == (1_000, 2_000)
    assert whole.delivery is not None
    assert (whole.delivery.body, whole.delivery.count) == (b"{not json", 2)
    assert "replay" in whole.advice
    assert "cannot be replayed" in cut.advice


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), {1, 2, 3, 0}),
        (Filter(connection="acme"), {1, 2, 3, 0}),
        (Filter(connection="beta"), set()),
        (Filter(kind="record"), {1, 2, 3}),
        (Filter(kind="party"), {1, 2}),
        (Filter(kind="opportunity"), {3}),
        (Filter(kind="delivery"), {0}),
        (Filter(error="refused"), {1, 3}),
        (Filter(error="UnreadableRecord"), {2}),
        (Filter(system="officernd"), {1, 3}),
        (Filter(status=422), {3}),
        (Filter(before_ms=10_000), {0}),
        (Filter(after_ms=10_000), {1, 2, 3}),
        (Filter(ids=frozenset({"acme|party|2"})), {2}),
        (Filter(kind="party", error="Refused", status=400), {1}),
    ],
    ids=lambda value: str(value.document()) if isinstance(value, Filter) else "",
)
def test_a_filter_admits(box: LetterBox, wanted: Filter, numbers: set[int]) -> None:
    box.bury(1)
    box.bury(2, UnreadableRecord("no id"))
    box.bury(3, refusal(status=422), kind="opportunity")
    deliver(box, "a" * 32)
    assert {one.record.id if one.record else 0 for one in box.letters.find(wanted, connections=["acme"])} == numbers


def test_letters_are_found_by_their_ids(box: LetterBox) -> None:
    letters = [box.bury(number) for number in range(1, 6)]
    wanted = Filter(ids=frozenset({letters[1].id, letters[3].id}))
    assert {one.field for one in box.letters.find(wanted)} == {"acme|party|2", "acme|party|4"}


def test_ten_thousand_letters_are_read_page_by_page(box: LetterBox, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = box.vault.seal({"class": "Refused", "text": "x" * 200, "at": 5, "body": "y" * 500})
    box.store.hset(LETTERS, mapping={f"acme|party|{number}": b"1" + sealed for number in range(10_000)})
    calls: list[int] = []
    scan = box.store.hscan

    def counted(*words: Any, **named: Any) -> Any:
        calls.append(1)
        return scan(*words, **named)

    monkeypatch.setattr(box.store, "hscan", counted)

    began = time.monotonic()
    number = sum(1 for _ in box.letters.find())

    print(f"{number} letters in {time.monotonic() - began:.2f} s, {len(calls)} pages")
    assert number == 10_000
    assert len(calls) >= 10, "a page must not hold everything"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.NoAnswer("x", system="officernd"), "check --live"),
        (errors.Temporary("KeyError in our own code; see the log."), "A fault of ours"),
        (refusal(answer="property plan should not exist"), "custom property"),
        (refusal(), "its answer names the field"),
        (refusal(status=409), "Read the answer"),
        (refusal(status=404), "sync NAME --full"),
        (refusal(status=500), "fails on this content each time"),
        (errors.Misconfigured("x", advice="Mend the slug."), "Mend the slug."),
        (UnreadableRecord("x"), "save it"),
        (ValueError("x"), "A fault of ours"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_advice_of_a_letter_never_promises_another_try(box: LetterBox, error: Exception, says: str) -> None:
    letter = box.bury(501, error)
    assert says in letter.advice
    assert "tried again by itself" not in letter.advice


def test_a_write_without_an_answer_leaves_what_was_sent_in_the_letter(box: LetterBox) -> None:
    from mapping.officernd_writes import Write  # noqa: PLC0415 - a write of the downstream that is there

    run = box.run(box.record(501))
    path = "/members/64b7f0c2a1d3e4f5a6b7c8d9"
    run.tried = Write(method="PUT", path=path, body={"name": "Ada"}, creates=False, covers=("name",))
    box.letters.bury(run, errors.NoAnswer("officernd: no answer", system="officernd"), {})
    letter = box.letters.of_record(box.record(501))
    assert letter is not None
    assert (letter.method, letter.route, orjson.loads(letter.body)) == ("PUT", "PUT /members/{id}", {"name": "Ada"})
