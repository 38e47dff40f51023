"""Capsule's simulator: control, faults, shapes, and life as a process."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from tests.simulators.capsule.switches import LIMITS, SWITCHES
from tests.simulators.run import Simulator

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule

PAYLOADS = Path(__file__).parents[1] / "payloads"


def item(name: str) -> dict[str, Any]:
    """The first item of a recorded payload."""
    found: dict[str, Any] = orjson.loads((PAYLOADS / f"{name}.json").read_bytes())["payload"][0]
    return found


def shape(value: Any) -> Any:
    """The keys of a document, all the way down, without its values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return None


def test_a_person_has_the_keys_of_the_recorded_payload(capsule: Capsule) -> None:
    """§4.1, tests/payloads/party__updated__embed-tags-fields.json."""
    owner = capsule.get("/users/current")["user"]["id"]
    person = capsule.person(
        owner=owner,
        organisation={"name": "Acme"},
        phoneNumbers=[{"number": "1"}],
        addresses=[{"city": "X"}],
        emailAddresses=[{"address": "a@example.com"}],
        websites=[{"service": "URL", "address": "https://x.example"}],
        tags=[{"name": "VIP"}],
        fields=[{"definition": {"name": "Plan"}, "value": "Flex"}],
    )
    assert shape(person) == shape(item("party__updated__embed-tags-fields"))


def test_the_other_kinds_have_the_keys_of_the_recorded_payloads(capsule: Capsule) -> None:
    """§4.1 to §4.4, §4.6."""
    organisation = capsule.organisation(owner=None)
    assert organisation.keys() - {"tags", "fields"} == item("party__created__organisation").keys()
    deal = capsule.opportunity()
    assert deal.keys() - {"tags", "fields"} == item("opportunity__closed__lost").keys()
    kase = capsule.make("kase", "kases", name="x", party=organisation["id"], opportunity=deal["id"])
    assert kase.keys() - {"tags", "fields"} == item("kase__updated").keys()
    task = capsule.make("task", "tasks", description="x", dueOn="2026-01-01")
    assert task.keys() == item("task__created").keys()
    assert capsule.get("/users/current")["user"].keys() == item("user__created").keys()


def test_every_switch_has_two_positions_and_a_place_in_the_reference(capsule: Capsule) -> None:
    """§7: what is unknown is configurable."""
    assert all(len(switch.positions) >= 2 and "§" in switch.section for switch in SWITCHES)
    table = capsule.control("GET", "switches")
    assert table["switches"] == {switch.name: switch.positions[0] for switch in SWITCHES}
    assert table["table"].keys() == table["switches"].keys()
    for switch in SWITCHES:
        for position in switch.positions:
            capsule.switch(**{switch.name: position.replace("<n>", "7")})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("switches", {"since_inclusive": "maybe"}),
        ("switches", {"nonsense": "yes"}),
        ("limits", {"nonsense": 5}),
        ("limits", {"hooks": "many"}),
        ("faults", {"route": "*", "kind": "explode"}),
        ("faults", {"kind": "cut", "colour": "red"}),
        ("restrict", {"kind": "party", "id": 5}),
        ("hooks", {"event": "party/nothing", "targetUrl": "https://x.example"}),
        ("reference", {"sort": "milestone", "id": 5, "changes": {}}),
    ],
    ids=str,
)
def test_a_control_request_that_makes_no_sense_is_refused(capsule: Capsule, path: str, body: object) -> None:
    """So that a mistyped test fails at once."""
    answer = capsule.ask("POST", f"/_control/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_every_request_is_written_down_and_counted_by_route(capsule: Capsule) -> None:
    """The brief's control API."""
    capsule.control("DELETE", "requests")
    capsule.organisation()
    capsule.ask("GET", "/parties/5,6?embed=tags")
    capsule.ask("PUT", "/parties/5", json={"party": {}})
    capsule.ask("GET", "/nothing")
    assert capsule.control("GET", "counts") == {
        "POST /parties": 1,
        "GET /parties/{ids}": 1,
        "PUT /parties/{id}": 1,
        "GET (unknown)": 1,
    }
    first, second, *_ = capsule.control("GET", "requests")["requests"]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/parties", 201)
    assert first["body"] == {"party": {"type": "organisation", "name": "Example Works"}}
    assert (second["path"], second["query"]) == ("/api/v2/parties/5,6", "embed=tags")
    assert len(capsule.control("GET", f"requests?since={second['n']}")["requests"]) == 2


def test_a_status_fault_applies_nothing_and_is_spent(capsule: Capsule) -> None:
    """Kind status, with skip, count, body and headers."""
    fault = {"route": "POST /parties", "kind": "status", "status": 503, "skip": 1, "count": 1}
    capsule.control("POST", "faults", {**fault, "body": {"message": "later"}, "headers": {"X-Test": "1"}})
    body = {"party": {"type": "organisation", "name": "X"}}
    answers = [capsule.ask("POST", "/parties", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 503, 201]
    assert (answers[1].json(), answers[1].headers["x-test"]) == ({"message": "later"}, "1")
    assert len(capsule.get("/parties")["parties"]) == 2
    assert capsule.control("GET", "faults")["faults"][0]["struck"] == 1


def test_an_html_fault_is_no_json(capsule: Capsule) -> None:
    """Kind html."""
    capsule.control("POST", "faults", {"route": "GET *", "kind": "html"})
    answer = capsule.ask("GET", "/parties")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")


@pytest.mark.parametrize(("kind", "applied"), [("cut", 0), ("lost", 1)])
def test_a_connection_ends_before_or_after_the_effect(capsule: Capsule, kind: str, applied: int) -> None:
    """Kinds cut and lost."""
    capsule.control("POST", "faults", {"route": "* /parties", "kind": kind})
    with pytest.raises(httpx.RemoteProtocolError):
        capsule.ask("POST", "/parties", json={"party": {"type": "organisation", "name": "X"}})
    assert len(capsule.get("/parties")["parties"]) == applied
    assert capsule.control("GET", "requests")["requests"][-2]["fault"] == kind


@pytest.mark.parametrize("kind", ["slow", "stall"])
def test_a_slow_answer_comes_late(capsule: Capsule, kind: str) -> None:
    """Kinds slow and stall."""
    capsule.control("POST", "faults", {"route": "GET /site", "kind": kind, "seconds": 0.05})
    began = time.perf_counter()
    assert capsule.ask("GET", "/site").status_code == 200
    assert time.perf_counter() - began >= 0.05


def test_a_token_can_be_ended(capsule: Capsule) -> None:
    """Kind token_expired: the vendor's own 401."""
    capsule.control("POST", "faults", {"kind": "token_expired"})
    answer = capsule.ask("GET", "/site", token=capsule.application)
    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid or expired token"})
    assert capsule.ask("GET", "/site", token=capsule.application).status_code == 401
    assert capsule.ask("GET", "/site").status_code == 200


def test_a_fault_can_name_one_path(capsule: Capsule) -> None:
    """Key path."""
    first, second = capsule.person()["id"], capsule.person()["id"]
    capsule.control("POST", "faults", {"kind": "status", "status": 500, "path": f"/{second}", "count": None})
    statuses = [capsule.ask("GET", f"/parties/{number}").status_code for number in (first, second, second)]
    assert statuses == [200, 500, 500]
    capsule.control("DELETE", "faults")
    assert capsule.ask("GET", f"/parties/{second}").status_code == 200


def test_a_fault_may_strike_by_chance(capsule: Capsule) -> None:
    """Key chance, seeded."""
    capsule.control("POST", "faults", {"kind": "status", "status": 500, "count": None, "chance": 0.5})
    statuses = [capsule.ask("GET", "/site").status_code for _ in range(60)]
    assert 10 < statuses.count(500) < 50


def test_a_reset_forgets_everything(capsule: Capsule) -> None:
    """Records, hooks, switches, limits, faults, log."""
    capsule.person()
    capsule.hook("party/created", "https://x.example")
    capsule.switch(since_inclusive="yes")
    capsule.control("POST", "faults", {"kind": "cut", "count": None})
    capsule.control("POST", "limits", {"hooks": 5})
    capsule.control("POST", "reset", {"organisations": 2})
    assert len(capsule.get("/parties")["parties"]) == 2
    assert capsule.control("GET", "hooks") == {"restHooks": []}
    assert capsule.control("GET", "switches")["switches"]["since_inclusive"] == "no"
    assert capsule.control("GET", "limits")["limits"]["hooks"] == LIMITS["hooks"]


@pytest.mark.processes
def test_as_a_process_it_answers_cuts_connections_and_ends_at_once() -> None:
    """`python -m tests.simulators capsule`, with options, on a real port."""
    with Simulator("capsule", token="other-token", limit=7, seed_organisations=3) as simulator:
        with httpx.Client(base_url=simulator.url, headers={"Authorization": "Bearer other-token"}, trust_env=False) as client:
            answer = client.get("/api/v2/parties")
            assert len(answer.json()["parties"]) == 3
            assert answer.headers["x-ratelimit-limit"] == "7"
            for kind in ("cut", "lost"):
                simulator.control("POST", "faults", {"route": "POST /parties", "kind": kind})
                with pytest.raises(httpx.RemoteProtocolError):
                    client.post("/api/v2/parties", json={"party": {"type": "organisation", "name": "X"}})
            assert len(simulator.control("GET", "state")["parties"]) == 4
        # Half a request, as of a sender that was killed, is no request: nothing is noted, and nothing made of it.
        seen = sum(simulator.control("GET", "counts").values())
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as half:
            half.sendall(b"POST /api/v2/parties HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as whole:
            whole.sendall(b"POST /api/v2/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            assert whole.recv(65_536)
        assert sum(simulator.control("GET", "counts").values()) == seen + 1
        with httpx.stream("GET", f"{simulator.url}/_control/state", trust_env=False) as held:
            process = simulator._process
            assert process is not None
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5.0) == 0
            assert time.monotonic() - began < 2.0
            held.close()
