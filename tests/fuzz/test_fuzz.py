"""A bounded run of the fuzzer in every test run: the corpus and deterministic mutations of it, without coverage guidance."""

from __future__ import annotations

import os
import random

import pytest

from receiver.protocol import HookProtocol
from tests.fuzz import harness, mutator

RUNS = int(os.environ.get("FUZZ_RUNS", "100000"))
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_no_input_breaks_what_strangers_can_reach(part: int) -> None:
    seed = 1 + part
    for number, data in enumerate(mutator.inputs(RUNS // PARTS, seed=seed)):
        try:
            harness.one(data)
        except BaseException:
            print(f"input {number} of seed {seed}: {data!r}")
            raise


def test_the_harness_sees_an_answer_that_must_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.STORE, "script", None)  # every admission is now a fault of ours: 503
    body = b'{"event": "party/updated", "payload": [{"id": 5}]}'
    with pytest.raises(AssertionError, match="was answered 503"):
        harness.one(bytes(5) + body)


def test_the_harness_sees_a_difference_between_our_protocol_and_uvicorns(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"POST {hook} HTTP/1.1\r\nContent-Length: 1\r\n\r\n{"
    harness.one(b"\x07\0\0" + whole)
    monkeypatch.setattr(HookProtocol, "on_message_complete", lambda _: None)
    with pytest.raises(AssertionError):
        harness.one(b"\x07\0\0" + whole)


def test_every_target_has_a_seed_and_every_seed_is_small() -> None:
    seeds = mutator.corpus()
    assert {harness.TARGETS[seed[0] % len(harness.TARGETS)] for seed in seeds} == set(harness.TARGETS)
    assert all(len(seed) < 2_048 for seed in seeds)


def test_the_same_seed_gives_the_same_inputs() -> None:
    assert list(mutator.inputs(300, seed=7)) == list(mutator.inputs(300, seed=7))
    assert mutator.mutate(b"\0" * 9, random.Random(1)) == mutator.mutate(b"\0" * 9, random.Random(1))
