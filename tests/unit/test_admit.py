"""Admission: batches that grow by themselves, and no answer before the records are in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from receiver import admit
from receiver.admit import LARGEST_BATCH, MOST_WAITING, Admission
from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Mapping


class Calls:
    """Stands for Redis: notes each call and ends it when told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.traces: list[list[str]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self, records: Mapping[str, str]) -> None:
        self.batches.append(list(records))
        self.traces.append(list(records.values()))
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate

    async def number(self, expected: int) -> asyncio.Future[None]:
        """The gate of that call, once it has been made."""
        async with asyncio.timeout(5):
            while len(self.gates) < expected:  # noqa: ASYNC110 - each round is a turn of the loop, not a wait
                await asyncio.sleep(0)
        return self.gates[expected - 1]


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_arrives_during_a_call_shares_the_next_and_is_answered_after_it() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        # Given a call under way
        first = asyncio.create_task(admission.admit(["a"]))
        gate = await calls.number(1)
        # When three more arrive, one of them with a record that another has too
        later = [asyncio.create_task(admission.admit(records)) for records in (["b"], ["c", "d"], ["b", "a"])]
        await settle()
        assert len(calls.batches) == 1
        gate.set_result(None)
        gate = await calls.number(2)
        await settle()
        # Then the first is answered, and they are together in the second call, each record once
        assert first.done()
        assert calls.batches == [["a"], ["b", "c", "d", "a"]]
        await settle()
        assert not any(task.done() for task in later)
        gate.set_result(None)
        await asyncio.gather(*later)
        # And the next delivery begins anew
        last = asyncio.create_task(admission.admit(["e"]))
        (await calls.number(3)).set_result(None)
        await last

    asyncio.run(story())


def test_each_record_takes_the_newest_delivery_s_trace_along() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        first = asyncio.create_task(admission.admit(["a"], "trace 1"))
        gate = await calls.number(1)
        later = [asyncio.create_task(admission.admit(*told)) for told in ((["b", "c"], "trace 2"), (["c", "d"], "trace 3"))]
        await settle()
        gate.set_result(None)
        (await calls.number(2)).set_result(None)
        await asyncio.gather(first, *later)
        assert calls.batches == [["a"], ["b", "c", "d"]]
        assert calls.traces == [["trace 1"], ["trace 2", "trace 3", "trace 3"]]

    asyncio.run(story())


def test_many_records_are_cut_into_calls_and_answered_after_the_last() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        big = asyncio.create_task(admission.admit([str(number) for number in range(2 * LARGEST_BATCH + 1)]))
        small = asyncio.create_task(admission.admit(["small"]))
        for number in (1, 2):
            (await calls.number(number)).set_result(None)
        gate = await calls.number(3)
        assert not big.done()
        gate.set_result(None)
        await asyncio.gather(big, small)
        assert [len(batch) for batch in calls.batches] == [LARGEST_BATCH, LARGEST_BATCH, 2]
        assert sorted(sum(calls.batches, [])) == sorted([*(str(n) for n in range(2 * LARGEST_BATCH + 1)), "small"])  # noqa: RUF017 - three lists

    asyncio.run(story())


def test_a_call_that_fails_refuses_all_whom_it_served_and_nobody_else() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        served = [asyncio.create_task(admission.admit([record])) for record in "ab"]
        big = asyncio.create_task(admission.admit([str(number) for number in range(LARGEST_BATCH)]))
        gate = await calls.number(1)
        other = asyncio.create_task(admission.admit(["c"]))
        await settle()
        gate.set_exception(StoreAway("gone"))
        # Then also the one of which only a part was on its way
        for task in (*served, big):
            with pytest.raises(StoreAway, match="gone"):
                await task
        (await calls.number(2)).set_result(None)
        await other
        assert calls.batches[1] == ["c"]

    asyncio.run(story())


def test_a_fault_of_ours_is_an_answer_too() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        task = asyncio.create_task(admission.admit(["a"]))
        (await calls.number(1)).set_exception(ZeroDivisionError("canary"))
        with pytest.raises(StoreAway, match="ZeroDivisionError") as caught:
            await task
        assert "canary" not in str(caught.value)

    asyncio.run(story())


def test_a_delivery_that_waited_too_long_is_refused_instead_of_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        first = asyncio.create_task(admission.admit(["a"]))
        gate = await calls.number(1)
        late = asyncio.create_task(admission.admit(["b"]))
        await settle()
        monkeypatch.setattr(admit, "LONGEST_WAIT_S", -1.0)
        gate.set_result(None)
        await first
        with pytest.raises(StoreAway, match="in time"):
            await late
        assert calls.batches == [["a"]]

    asyncio.run(story())


def test_a_delivery_whose_sender_has_gone_is_not_begun() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        first = asyncio.create_task(admission.admit(["a"]))
        gate = await calls.number(1)
        gone = asyncio.create_task(admission.admit(["b"]))
        stays = asyncio.create_task(admission.admit(["c"]))
        await settle()
        gone.cancel()
        await settle()
        gate.set_result(None)
        (await calls.number(2)).set_result(None)
        await asyncio.gather(first, stays)
        assert calls.batches == [["a"], ["c"]]

    asyncio.run(story())


def test_too_many_waiting_records_are_refused_at_once_and_the_count_goes_down_again() -> None:
    async def story() -> None:
        calls = Calls()
        admission = Admission(calls)
        first = asyncio.create_task(admission.admit(["a"]))
        gate = await calls.number(1)
        many = asyncio.create_task(admission.admit([f"m{number}" for number in range(MOST_WAITING)]))
        await settle()
        with pytest.raises(StoreAway, match="too many"):
            await admission.admit(["b"])
        # When the large one fails with its first call
        gate.set_result(None)
        (await calls.number(2)).set_exception(StoreAway("gone"))
        with pytest.raises(StoreAway):
            await many
        # Then there is room again
        again = asyncio.create_task(admission.admit(["c"]))
        (await calls.number(3)).set_result(None)
        await asyncio.gather(first, again)
        assert admission._waiting == 0

    asyncio.run(story())


def test_nothing_to_admit_is_no_call() -> None:
    calls = Calls()
    asyncio.run(Admission(calls).admit([]))
    assert not calls.batches
