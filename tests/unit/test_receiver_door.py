"""The door without a server: bodies that drip, and whatever else a stranger may send."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from mapping.keys import hook_path, hook_token
from receiver import body
from receiver.hooks import Hooks
from receiver.log import Refusals
from receiver.settings import Connection, Settings
from receiver.tracing import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from receiver.store import StoreAway

SECRET = "s" * 32
PATH = hook_path("acme", hook_token(SECRET, "acme", 1))
SETTINGS = Settings(
    secret_keys=(SECRET,),
    redis_url="redis://nowhere",
    connections=(Connection(name="acme", owner="acme", generation=1, downstream="officernd", signing_secrets=(bytes(24),)),),
    max_body=4_096,
)


class Parts:
    """Admission, letters and counters that only take note."""

    def __init__(self) -> None:
        self.admitted: list[str] = []
        self.kept = 0
        self.counted: dict[str, int] = {}

    async def admit(self, records: list[str], _: str = "") -> None:
        self.admitted += records

    def submit(self, records: list[str], told: Callable[[StoreAway | None], None], _: str = "") -> None:
        self.admitted += records
        told(None)

    async def keep(self, _: str, **__: object) -> bool:
        self.kept += 1
        return True

    def add(self, name: str, connection: str = "", amount: int = 1) -> None:
        field = f"{name}|{connection}"
        self.counted[field] = self.counted.get(field, 0) + amount

    def delivered(self, connection: str, records: int, *, readable: bool) -> None:
        pass


def ask(parts: Parts, messages: Iterable[dict[str, Any]], **scope: Any) -> list[dict[str, Any]]:
    """What the door sends for one request."""
    sent: list[dict[str, Any]] = []
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in coming:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "POST", "path": PATH, "root_path": "", "headers": [], **scope}
    admitting: Any = parts
    door = Hooks(SETTINGS, admission=admitting, letters=admitting, counts=admitting, refusals=Refusals(), traces=Traces())
    asyncio.run(door(whole, receive, send))
    return sent


def request(content: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_body_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "IN_TIME_S", 0.02)
    parts = Parts()
    start, _ = ask(parts, [request(b"{", more=True)])
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert parts.counted == {"delivery.refused_408|acme": 1}


def test_a_sender_that_leaves_is_not_answered() -> None:
    parts = Parts()
    assert ask(parts, [request(b"{", more=True), {"type": "http.disconnect"}]) == []
    assert parts.counted == {"delivery.cut|": 1}


def test_a_body_in_many_pieces_is_read_whole() -> None:
    parts = Parts()
    whole = json.dumps({"event": "party/updated", "payload": [{"id": 5}]}).encode()
    start, _ = ask(parts, [*(request(whole[i : i + 1], more=True) for i in range(len(whole))), request(b"")])
    assert start["status"] == 202
    assert parts.admitted == ["acme|party|5"]


def test_a_path_below_a_mount_point_is_understood() -> None:
    assert ask(Parts(), [request(b"{}")], path="/relay" + PATH, root_path="/relay")[0]["status"] == 202


def test_a_fault_of_ours_is_answered_503_and_told_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Parts):
        def submit(self, records: list[str], told: Callable[[StoreAway | None], None], _: str = "") -> None:
            raise ZeroDivisionError(f"canary {records[0]} {told}")

    parts = Broken()
    start, _ = ask(parts, [request(b'{"event": "party/updated", "payload": [{"id": 5}]}')])
    assert start["status"] == 503
    assert parts.counted == {"delivery.failed|": 1}
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "canary" not in told


@given(
    content=st.binary(max_size=5_000) | st.text().map(lambda text: f'{{"event": "party/updated", "payload": [{text}]}}'.encode())
)
def test_no_body_is_answered_with_anything_but_202_or_413(content: bytes) -> None:
    parts = Parts()
    start, _ = ask(parts, [request(content)])
    assert start["status"] == (413 if len(content) > SETTINGS.max_body else 202)


@given(
    method=st.sampled_from(["POST", "GET", "BREW"]),
    path=st.text()
    | st.text().map("/hooks/signed/acme".__add__)
    | st.sampled_from([PATH, "/hooks/signed/acme", "/hooks/capsule/x/y"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [b"content-length", b"content-encoding", b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x"]
            ),
            st.binary(max_size=40),
        )
    ),
)
def test_no_request_is_answered_with_a_fault_of_ours(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
    start, _ = ask(Parts(), [request(b"{}")], method=method, path=path, headers=headers)
    assert start["status"] in {202, 401, 404, 405, 413}
