"""The marks of our own writes in Redis, and the keys under which answers are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from workers.echo import Echoes, echo_key
from workers.ledger import Vault
from workers.unified_tokens import AUDIT, TOKENS, USED, UnifiedTokens, _hash

if TYPE_CHECKING:
    import pytest
    import redis


def held(store: redis.Redis) -> dict[str, list[str]]:
    found = store.hgetall(echo_key("acme"))
    return {bytes(name).decode(): bytes(value).decode().split() for name, value in found.items()}  # type: ignore[arg-type] # bytes


def test_a_write_is_pending_then_done_with_what_the_record_says(store: redis.Redis) -> None:
    echoes = Echoes(store, "acme")
    echoes.pending("party", 7)
    assert held(store)["party|7"][0] == "pending"
    echoes.done("party", 7, "abc")
    assert held(store)["party|7"][::2] == ["done", "abc"]
    echoes.nothing("party", 7)
    assert held(store) == {}


def test_records_that_are_being_made_are_counted_down_to_nothing(store: redis.Redis) -> None:
    echoes = Echoes(store, "acme")
    echoes.creating()
    echoes.creating()
    assert held(store)["creating"][0] == "2"
    echoes.created()
    assert held(store)["creating"][0] == "1"
    echoes.created()
    echoes.created()
    assert held(store) == {}


def test_a_count_that_a_dead_process_left_does_not_count_for_ever(store: redis.Redis) -> None:
    echoes = Echoes(store, "acme")
    seconds, _ = store.time()
    store.hset(echo_key("acme"), "creating", f"5 {(int(seconds) - 31) * 1000}")
    echoes.creating()
    assert held(store)["creating"][0] == "1"


def test_old_marks_go_when_there_are_too_many(store: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.echo.MOST", 3)
    seconds, _ = store.time()
    for number in range(4):
        store.hset(echo_key("acme"), f"party|{number}", f"done {(int(seconds) - 120) * 1000} abc")
    Echoes(store, "acme").done("party", 9, "abc")
    assert list(held(store)) == ["party|9"]


def test_a_token_is_found_by_its_text_alone_until_it_is_revoked(store: redis.Redis) -> None:
    tokens = UnifiedTokens(store, Vault(("k" * 40,)))
    made, text = tokens.create(("acme",), "read", label="Warehouse")
    assert tokens.find(text) == made
    for wrong in ("", text[:-1], text + "x", text[:-1] + ("A" if text[-1] != "A" else "B"), "relay_000000000000_" + text[-43:]):
        assert tokens.find(wrong) is None
    assert tokens.list("acme")[0].used_ms > 0
    assert tokens.list("other") == ()
    assert tokens.revoke(made.id) == made
    assert tokens.find(text) is None
    assert tokens.revoke(made.id) is None
    assert not store.exists(TOKENS, USED)
    assert [line["action"] for line in tokens.audit()] == ["revoked", "created"]
    assert store.llen(AUDIT) == 2


def test_a_token_outlives_a_change_of_the_secret_key_if_it_is_used_meanwhile(store: redis.Redis) -> None:
    old, new = "o" * 40, "n" * 40
    made, text = UnifiedTokens(store, Vault((old,))).create(("acme",), "write")
    idle, idle_text = UnifiedTokens(store, Vault((old,))).create(("acme",), "write")
    assert UnifiedTokens(store, Vault((new, old))).find(text) == made
    assert UnifiedTokens(store, Vault((new,))).find(text) == made
    assert UnifiedTokens(store, Vault((new,))).find(idle_text) is None
    assert [one.id for one in UnifiedTokens(store, Vault((new,))).list()] == [made.id]
    assert idle.id != made.id


def test_whoever_writes_to_the_data_store_cannot_make_a_token(store: redis.Redis) -> None:
    tokens = UnifiedTokens(store, Vault(("k" * 40,)))
    text = f"relay_{'0' * 12}_{'A' * 43}"
    document = {"connections": ["acme"], "scope": "write", "label": "", "created_ms": 1, "hash": _hash(text)}
    for value in (orjson.dumps(document), Vault(("x" * 40,)).seal(document)):
        store.hset(TOKENS, "0" * 12, value)
        assert tokens.find(text) is None
