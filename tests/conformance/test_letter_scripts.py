"""What a person does with letters, as steps of the agenda on a real server: once, whatever is clicked twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping.agenda import LETTERS, RecordKey, deliveries_key
from tests.conformance.letter_box import LetterBox, refusal
from workers.ledger import Ledger

if TYPE_CHECKING:
    import redis

    from workers.letters import Letter


@pytest.fixture
def box(store: redis.Redis) -> LetterBox:
    return LetterBox(store)


def wish(letter: Letter) -> tuple[RecordKey, str, int]:
    assert letter.record is not None
    return letter.record, letter.id, letter.first_ms


def test_a_replay_opens_the_record_in_bulk_and_leaves_the_letter_until_it_is_decided(box: LetterBox) -> None:
    letter = box.bury(501)

    assert box.agenda.replay([wish(letter)]) == ["replayed"]

    assert box.store.hget("relay:place", letter.field) == b"bulk"
    under_way = box.letters.of_record(box.record(501))
    assert under_way is not None
    assert (under_way.id, under_way.place, under_way.replays) == (letter.id, "bulk", 1)
    box.done(box.run(box.record(501), "bulk"))
    assert box.letters.of_record(box.record(501)) is None
    assert not box.store.exists("relay:replays")


def test_a_replay_reads_back_what_the_other_side_holds(box: LetterBox) -> None:
    letter = box.bury(501)
    box.agenda.replay([wish(letter)])
    assert box.run(box.record(501), "bulk").taken.read_back


@pytest.mark.parametrize("again", ["at once", "during its run", "after a new letter", "after it is in step"])
def test_the_same_click_twice_replays_once(box: LetterBox, again: str) -> None:
    letter = box.bury(501)
    assert box.agenda.replay([wish(letter)]) == ["replayed"]
    if again == "during its run":
        box.run(box.record(501), "bulk")
    elif again == "after a new letter":
        box.bury(501, lane="bulk")
    elif again == "after it is in step":
        box.done(box.run(box.record(501), "bulk"))
    expected = "open" if again in {"at once", "during its run"} else "changed"

    assert box.agenda.replay([wish(letter)]) == [expected]

    assert box.store.zcard("relay:open") == (expected == "open")


def test_a_replay_that_fails_counts_in_the_letter_that_follows(box: LetterBox) -> None:
    first = box.bury(501)
    box.agenda.replay([wish(first)])
    second = box.bury(501, lane="bulk")
    assert (second.replays, second.first_ms, second.replayed_ms is not None) == (1, first.first_ms, True)
    box.agenda.replay([wish(second)])
    third = box.bury(501, lane="bulk")
    assert (third.replays, third.first_ms, len(third.history)) == (2, first.first_ms, 2)


def test_a_letter_whose_record_an_event_has_opened_is_left_to_that(box: LetterBox) -> None:
    letter = box.bury(501)
    box.agenda.open([box.record(501)], lane="live", why="event")
    assert box.agenda.replay([wish(letter)]) == ["open"]
    assert box.agenda.discard([wish(letter)[:2]]) == ["open"]
    assert box.store.hget("relay:place", letter.field) == b"live"


def test_a_record_that_has_killed_its_workers_is_replayed_alone(box: LetterBox) -> None:
    box.store.hset(LETTERS, "acme|party|7", b'0{"class":"killer","deaths":3,"seq":9,"at":6}')
    letter = box.letters.of_record(box.record(7))
    assert letter is not None
    box.agenda.replay([wish(letter)])
    assert box.store.hget("relay:place", "acme|party|7") == b"solo"


def test_the_first_time_outlives_a_letter_of_the_sweep(box: LetterBox) -> None:
    letter = box.bury(501)
    box.agenda.replay([wish(letter)])
    box.store.hset(LETTERS, letter.field, b'0{"class":"killer","deaths":3,"seq":9,"at":99999999999999}')
    found = box.letters.of_record(box.record(501))
    assert found is not None
    assert found.first_ms == letter.first_ms


def test_a_replay_of_a_paused_connection_waits_and_spends_nothing(box: LetterBox) -> None:
    letter = box.bury(501)
    box.agenda.pause("acme", reason="test")
    assert box.agenda.replay([wish(letter)]) == ["replayed"]
    assert box.store.hget("relay:place", letter.field) == b"parked"
    assert box.agenda.take("bulk", proc="test") is None
    assert not box.store.exists("relay:attempts")


def test_many_are_one_step_and_each_has_its_answer(box: LetterBox) -> None:
    letters = [box.bury(number) for number in range(1, 5)]
    box.agenda.open([box.record(2)], lane="live", why="event")
    wishes = [wish(one) for one in letters]
    wishes[2] = (wishes[2][0], "r00000000000", 0)
    assert box.agenda.replay(wishes) == ["replayed", "open", "changed", "replayed"]
    assert box.agenda.replay([]) == []


def test_a_discarded_letter_is_gone_once_and_its_record_is_not_opened(box: LetterBox) -> None:
    letter = box.bury(501)
    assert box.agenda.discard([wish(letter)[:2]]) == ["discarded"]
    assert box.agenda.discard([wish(letter)[:2]]) == ["changed"]
    assert box.agenda.discard([]) == []
    assert box.letters.of_record(box.record(501)) is None
    assert not box.store.exists("relay:open")


def test_a_discard_of_what_has_failed_anew_leaves_the_newer_letter(box: LetterBox) -> None:
    old = box.bury(501)
    new = box.bury(501)
    assert box.agenda.discard([wish(old)[:2]]) == ["changed"]
    found = box.letters.of_record(box.record(501))
    assert found is not None
    assert found.id == new.id


def test_a_discard_keeps_the_doubt_about_what_was_written(box: LetterBox) -> None:
    run = box.run(box.record(501))
    box.agenda.hold(run.record, run.taken.token, writing=True)
    run.touched = True
    box.letters.bury(run, refusal(), {})
    letter = box.letters.of_record(box.record(501))
    assert letter is not None
    box.agenda.discard([wish(letter)[:2]])
    assert box.store.hexists("relay:intent", letter.field)


def test_a_delivery_is_replayed_once(box: LetterBox) -> None:
    box.store.hset(deliveries_key("acme"), "a" * 32, b"sealed")
    records = [box.record(1), box.record(2)]
    assert box.agenda.replay_delivery("acme", "a" * 32, records)
    assert not box.agenda.replay_delivery("acme", "a" * 32, records)
    assert box.store.zcard("relay:open") == 2
    assert not box.store.exists(deliveries_key("acme"))


def test_a_discarded_letter_is_remembered_until_its_record_is_decided(box: LetterBox) -> None:
    ledger = Ledger(box.store, box.vault)
    letter = box.bury(501)
    box.agenda.discard([wish(letter)[:2]])
    assert ledger.known(box.record(501)).letter
    box.done(box.run(box.record(501)))
    assert not box.store.exists("relay:discarded")


def test_a_discarded_record_that_fails_again_is_a_letter_again(box: LetterBox) -> None:
    box.agenda.discard([wish(box.bury(501))[:2]])
    again = box.bury(501)
    assert (again.replays, again.history) == (0, ())
    assert not box.store.exists("relay:discarded")
