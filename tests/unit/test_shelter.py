"""The shelter without a server: when it asks Redis, when it keeps, and what it brings over."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from receiver import letters, shelter
from receiver.counts import Counts
from receiver.shelter import Shelter
from receiver.spool import Spool, read
from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

SECRET = "s" * 32


class Redis:
    """Takes records when it is well, and letters into a dictionary."""

    def __init__(self) -> None:
        self.well = False
        self.calls: list[list[str]] = []
        self.probes = 0
        self.held: dict[Any, bytes] = {}

    async def open(self, records: Collection[str]) -> None:
        self.probes += not records
        if not self.well:
            raise StoreAway("gone")
        if records:
            self.calls.append(list(records))

    async def script(self, name: str, *arguments: Any) -> object:
        if not self.well:
            raise StoreAway("gone")
        if name == "look":
            return [self.held.get(arguments[:2], b""), len(self.held), b"1000000"]
        assert name == "keep"
        self.held[arguments[:2]] = arguments[3]
        return b"kept"

    @property
    def records(self) -> list[str]:
        return [record for call in self.calls for record in call]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelter, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(shelter, "LOOK_EVERY_S", 0.002)


def tell(folder: Path | None, story: Callable[[Redis, Shelter], Awaitable[None]], *, most: int = 1 << 20) -> Redis:
    """Runs a story with a Redis that is away at first."""

    async def told() -> Redis:
        redis = Redis()
        made = Shelter(
            redis.open,
            letters=letters.Letters(redis, [SECRET]),  # type: ignore[arg-type]
            counts=Counts(),
            folder=Spool(folder, most) if folder is not None else None,
        )
        try:
            await story(redis, made)
        finally:
            await made.close()
        return redis

    return asyncio.run(told())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


def letter(body: bytes, by: float = 1e9) -> dict[str, Any]:
    return {"body": body, "reason": "the body is not JSON", "event": "", "encoding": "", "opened": 0, "by": by}


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def entries(folder: Path) -> list[Any]:
    return [entry for path in files(folder) for entry in read(path.read_bytes()).entries]


def test_without_a_spool_the_error_comes_through() -> None:
    async def story(_: Redis, made: Shelter) -> None:
        with pytest.raises(StoreAway, match="gone"):
            await made.open(["a|party|1"])
        with pytest.raises(StoreAway, match="gone"):
            await made.keep("a", **letter(b"x"))
        assert not made.away

    tell(None, story)


def test_what_redis_does_not_take_is_on_the_disk_when_the_answer_comes_and_in_redis_afterwards(tmp_path: Path) -> None:
    async def story(redis: Redis, made: Shelter) -> None:
        await made.open(["a|party|1", "a|party|2"])
        assert made.away
        assert [entry["open"] for entry in entries(tmp_path)] == [["a|party|1", "a|party|2"]]
        await made.open(["a|party|3"])
        redis.well = True
        await until(lambda: not files(tmp_path))
        assert redis.records == ["a|party|1", "a|party|2", "a|party|3"]
        # And from then on it is asked first again
        await made.open(["a|party|4"])
        assert redis.records[-1] == "a|party|4"
        assert not files(tmp_path)

    tell(tmp_path, story)


def test_while_redis_is_away_no_delivery_waits_for_it(tmp_path: Path) -> None:
    async def story(redis: Redis, made: Shelter) -> None:
        asked: list[list[str]] = []

        async def call(records: Collection[str]) -> None:
            asked.append(list(records))
            await redis.open(records)

        made._call = call
        for number in range(20):
            await made.open([f"a|party|{number}"])
        assert [records for records in asked if records] == [["a|party|0"]]

    tell(tmp_path, story)


def test_deliveries_that_wait_together_share_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real, gate = os.fsync, threading.Event()

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        gate.wait(5)
        real(descriptor)

    async def story(_: Redis, made: Shelter) -> None:
        await made.open(["a|party|0"])
        monkeypatch.setattr(os, "fsync", slow)
        first = asyncio.create_task(made.open(["a|party|1"]))
        await until(lambda: len(syncs) == 1)
        others = [asyncio.create_task(made.open([f"a|party|{number}"])) for number in range(2, 30)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others))
        gate.set()
        await asyncio.gather(first, *others)
        assert len(syncs) == 2

    tell(tmp_path, story)


def test_a_record_that_waits_already_needs_no_second_entry_until_it_is_brought_over(tmp_path: Path) -> None:
    async def story(redis: Redis, made: Shelter) -> None:
        for _ in range(50):
            await made.open(["a|party|1"])
        assert len(entries(tmp_path)) == 1
        redis.well = True
        await until(lambda: not files(tmp_path))
        redis.well = False
        # A new event of it, in a new outage, is a new entry
        await made.open(["a|party|1"])
        assert len(entries(tmp_path)) == 1
        redis.well = True
        await until(lambda: not files(tmp_path))
        assert redis.records == ["a|party|1"] * 2

    tell(tmp_path, story)


def test_a_replay_that_is_cut_short_keeps_the_file_and_is_repeated_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelter, "REPLAY_BATCH", 2)

    async def story(redis: Redis, made: Shelter) -> None:
        await made.open([f"a|party|{number}" for number in range(6)])

        async def call(records: Collection[str]) -> None:
            if len(redis.calls) == 1:
                redis.well = False
            await redis.open(records)

        made._call = call
        redis.well = True
        await until(lambda: made.away and len(redis.calls) == 1)
        assert len(entries(tmp_path)) == 1
        made._call = redis.open
        redis.well = True
        await until(lambda: not files(tmp_path))
        assert redis.records == [f"a|party|{number}" for number in (0, 1, 0, 1, 2, 3, 4, 5)]

    tell(tmp_path, story)


def test_what_a_dead_process_left_is_brought_over_by_whoever_looks(tmp_path: Path) -> None:
    orphan = Spool(tmp_path, 1 << 20)
    orphan.append([{"at": 1, "open": ["a|party|7"]}, {"at": 1, "of": "a later version"}])
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b"00000000 torn")
    orphan.rest()

    async def story(redis: Redis, made: Shelter) -> None:
        redis.well = True
        made.look()
        await until(lambda: not files(tmp_path))
        assert redis.records == ["a|party|7"]

    tell(tmp_path, story)


def test_a_full_spool_is_told_and_holds_again_when_it_was_emptied(tmp_path: Path) -> None:
    async def story(redis: Redis, made: Shelter) -> None:
        answers = await asyncio.gather(*(made.open([f"a|party|{n:0100d}"]) for n in range(12)), return_exceptions=True)
        assert answers == [None] * 12
        with pytest.raises(StoreAway, match="full"):
            await made.open([f"a|party|{n:0100d}" for n in range(12, 20)])
        held = await made.held()
        assert held is not None
        assert 0 < held.size <= 2048
        redis.well = True
        await until(lambda: not files(tmp_path))
        redis.well = False
        await made.open(["a|party|1"])

    tell(tmp_path, story, most=2048)


def test_a_disk_that_hangs_is_a_refusal_and_not_a_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(shelter, "DISK_S", 0.01)

    async def story(_: Redis, made: Shelter) -> None:
        real = os.fsync
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: (gate.wait(5), real(descriptor)))
            for _round in range(3):
                with pytest.raises(StoreAway, match="disk does not answer"):
                    await made.open(["a|party|1"])
            gate.set()
        monkeypatch.setattr(shelter, "DISK_S", 5)
        await until(lambda: made._hanging is not None and made._hanging.done())
        await made.open(["a|party|1"])
        # The one that hung was written in the end, and the one that was answered is an entry of its own
        assert [entry["open"] for entry in entries(tmp_path)] == [["a|party|1"]] * 2

    tell(tmp_path, story)


def test_letters_are_kept_encrypted_and_come_over_with_their_time(tmp_path: Path) -> None:
    async def story(redis: Redis, made: Shelter) -> None:
        assert await made.keep("a", **letter(b"canary"))
        assert await made.keep("a", **letter(b"canary"))
        assert await made.keep("a", **letter(b"other"))
        held = b"".join(path.read_bytes() for path in files(tmp_path))
        assert b"canary" not in held
        assert b"Y2FuYXJ5" not in held
        redis.well = True
        await until(lambda: not files(tmp_path))
        opened = [made._letters._open(value) for value in redis.held.values()]
        assert sorted((one["size"], one["count"]) for one in opened) == [(5, 1), (6, 1)]
        assert all(one["first"] <= 1_000_000 for one in opened)

    tell(tmp_path, story)


def test_letters_take_no_more_than_their_share_of_the_spool(tmp_path: Path) -> None:
    async def story(_: Redis, made: Shelter) -> None:
        kept = [await made.keep("a", **letter(b"%d" % number * 900)) for number in range(30)]
        assert kept[0]
        assert not kept[-1]
        held = await made.held()
        assert held is not None
        assert held.size < 8_192
        # And events are still taken
        await made.open(["a|party|1"])

    tell(tmp_path, story, most=16_384)


def test_what_is_left_at_the_end_waits_for_the_next_process(tmp_path: Path) -> None:
    async def story(_: Redis, made: Shelter) -> None:
        await made.open(["a|party|1"])

    tell(tmp_path, story)
    claim = Spool(tmp_path, 1 << 20).next()
    assert claim is not None
    assert [entry["open"] for entry in claim.content().entries] == [["a|party|1"]]
    claim.release()
