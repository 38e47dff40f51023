"""The OfficeRnD simulator: `/_control/`, faults, and the simulator as a server."""

from __future__ import annotations

import concurrent.futures
import re
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conformance.officernd_desk import BASE, COMPANY, FORM, LONDON, MEMBER, NEGOTIATION, OPEN, UNKNOWN, Desk
from tests.simulators.officernd.switches import SWITCHES
from tests.simulators.run import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.control import Switch

ACME = "64b0c0ffee00000000000201"


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- switches and settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.name)
def test_every_switch_says_where_its_question_stands(desk: Desk, switch: Switch) -> None:
    """reference/officernd.md §8: an unknown is a switch with its section, and every position can be set."""
    name = switch.name
    entry = desk.control("GET", "switches")["table"][name]
    assert re.match(r"§\d", entry["section"])
    assert len(entry["positions"]) >= 2
    assert desk.control("GET", "switches")["switches"][name] == entry["positions"][0]
    for position in entry["positions"]:
        assert desk.control("POST", "switches", {name: position})["switches"][name] == position


def test_a_mistyped_order_is_refused(desk: Desk) -> None:
    """A test that asks for something that does not exist fails at once."""
    desk.control("POST", "switches", {"properties_on_put": "both"}, expect=400)
    desk.control("POST", "limits", {"reads": 1}, expect=400)
    desk.control("POST", "reset", {"slugs": "x"}, expect=400)
    desk.control("POST", "seed", {"people": []}, expect=400)
    desk.control("POST", "edit", {"resource": "members", "id": UNKNOWN}, expect=400)
    desk.control("POST", "faults", {"kind": "fire"}, expect=400)
    desk.control("POST", "application", {"secret": "x"}, expect=400)
    desk.control("DELETE", "locations", {"id": UNKNOWN}, expect=400)


def test_a_reset_begins_again_and_keeps_what_was_built() -> None:
    """Records, switches, limits, tokens and windows go; the account of `build` stays unless the options say otherwise."""
    built = Desk(switches={"properties_on_put": "replace"}, limits={"read_minute": 7})
    built.members(2)
    built.switch(properties_on_put="merge")
    built.control("POST", "reset", {"locations": ["Leeds"]})
    state = built.control("GET", "state")
    assert state["members"] == []
    assert [row["name"] for row in state["locations"]] == ["Leeds"]
    assert built.control("GET", "switches")["switches"]["properties_on_put"] == "replace"
    assert built.control("GET", "limits")["limits"]["read_minute"] == 7
    built.get("/members", expect=401)
    built.control("POST", "reset", {})
    assert [row["name"] for row in built.control("GET", "state")["locations"]] == ["London Bridge", "Shoreditch"]


def test_ids_go_on_ascending_after_a_reset(desk: Desk) -> None:
    """reference/officernd.md §2.4: an id is never given twice."""
    before = desk.members(1)[0]
    desk.control("POST", "reset", {})
    assert desk.members(1)[0] > before


def test_seeded_records_stand_there_as_given(desk: Desk) -> None:
    """reference/officernd.md §3.2: members with a shared address, without one, with a status by hand."""
    seeded = desk.seed(
        companies=[{"_id": ACME, "name": "Acme", "status": "active", "properties": {"capsule_link_id": "9"}}],
        members=[{"email": "Ada@a.example", "company": ACME}, {"email": "ada@a.example", "manualStatus": "former"}],
        opportunities=[{"name": "Desks", "company": ACME, "dealSize": 5}],
    )
    assert [row["_id"] for row in seeded["companies"]] == [ACME]
    ada, other = desk.get("/members?email=ada@a.example")["results"]
    assert (ada["status"], other["status"], ada["location"]) == ("active", "former", LONDON)
    (deal,) = desk.get("/opportunities")["results"]
    assert (deal["status"], deal["probability"], deal["dealSize"]) == (OPEN, 10, 5)
    assert desk.control("GET", "state")["members"] == [ada, other]
    desk.control("POST", "seed", {"companies": [{"_id": ACME}]}, expect=400)


def test_an_edit_by_staff_moves_modified_at_and_may_touch_any_field(desk: Desk) -> None:
    """reference/officernd.md §3.9: also the location of a member, which the API cannot change."""
    record = desk.post("/members", {**MEMBER, "email": "ada@a.example"})
    desk.advance(1)
    order = {"resource": "members", "id": record["_id"], "fields": {"location": UNKNOWN, "email": "By@Hand.example"}}
    desk.control("POST", "edit", order)
    after = desk.get("/members?email=by@hand.example")["results"][0]
    assert after["location"] == UNKNOWN
    assert after["modifiedAt"] > record["modifiedAt"]
    assert after["modifiedBy"] != record["modifiedBy"]


def test_a_job_touches_many_records_in_one_moment(desk: Desk) -> None:
    """reference/officernd.md §3.9."""
    everybody = desk.members(5)
    desk.advance(60)
    desk.control("POST", "edit", {"resource": "members", "ids": everybody})
    rows = desk.get("/members")["results"]
    assert len({row["modifiedAt"] for row in rows}) == 1
    assert rows[0]["modifiedAt"] > rows[0]["createdAt"]


def test_an_edit_of_a_deal_sets_its_probability(desk: Desk) -> None:
    """reference/officernd.md §3.3: in the portal as by the API."""
    (deal,) = desk.seed(opportunities=[{"name": "Desks"}])["opportunities"]
    desk.control("POST", "edit", {"resource": "opportunities", "id": deal["_id"], "fields": {"status": NEGOTIATION}})
    assert desk.get(f"/opportunities/{deal['_id']}")["probability"] == 50


def test_staff_remove_records_and_keep_the_settings(desk: Desk) -> None:
    """reference/officernd.md §3.4 to §3.6: what the API only reads is set up in the portal."""
    identity = desk.members(1)[0]
    desk.control("POST", "remove", {"resource": "members", "id": identity})
    desk.get(f"/members/{identity}", expect=404)
    desk.control("DELETE", "custom-properties", {"key": "capsule_link_id"})
    desk.control("POST", "custom-properties", [{"key": "Plan", "type": "select", "targets": ["team"]}])
    keys = [row["key"] for row in desk.get("/custom-properties")["results"]]
    assert "capsule_link_id" not in keys
    assert keys[-1] == "Plan"
    desk.control("POST", "statuses", {"description": "Proposal", "probability": 60})
    assert desk.get("/opportunity-statuses")["results"][-1]["probability"] == 60
    desk.control("DELETE", "statuses", {"id": NEGOTIATION})
    assert NEGOTIATION not in [row["_id"] for row in desk.get("/opportunity-statuses")["results"]]
    desk.control("POST", "locations", {"name": "Leeds"})
    leeds = desk.get("/locations?name=Leeds")["results"][0]["_id"]
    desk.post("/companies", {**COMPANY, "location": leeds})
    desk.control("DELETE", "locations", {"id": leeds})
    assert desk.failure("POST", "/companies", {**COMPANY, "location": leeds}) == "Specified office was not found"


def test_the_application_can_lose_a_scope_and_change_its_secret(desk: Desk) -> None:
    """reference/officernd.md §1.1, §1.3."""
    desk.control("POST", "application", {"scopes": ["flex.community.members.read"], "client_secret": "other"})
    assert desk.request("POST", "/oauth/token", data=FORM).status_code == 401
    assert desk.request("POST", "/oauth/token", data={**FORM, "client_secret": "other"}).json()["error"] == "invalid_scope"


def test_every_request_is_written_down_and_counted(desk: Desk) -> None:
    """The log names routes by template, without the organisation."""
    record = desk.post("/members", MEMBER)
    desk.put(f"/members/{record['_id']}", {"name": "Ada"})
    desk.put(f"/members/{record['_id']}/status", {"status": "auto"}, expect=204)
    desk.get("/members/count")
    desk.get("/leads", expect=404)
    assert desk.control("GET", "counts") == {
        "POST /oauth/token": 1,
        "POST /members": 1,
        "PUT /members/{id}": 1,
        "PUT /members/{id}/status": 1,
        "GET /members/count": 1,
        "GET (unknown)": 1,
    }
    entry = desk.control("GET", "requests?since=2")["requests"][0]
    assert (entry["method"], entry["route"], entry["status"]) == ("PUT", "/members/{id}", 200)
    assert entry["path"] == f"{BASE}/members/{record['_id']}"
    assert entry["body"] == {"name": "Ada"}


# --- faults ------------------------------------------------------------------------------------------------------


def test_a_token_can_end_in_the_middle_of_a_run(desk: Desk) -> None:
    """reference/officernd.md §7 Faults: 401 until a new token."""
    desk.control("POST", "faults", {"route": "PUT /members/{id}", "kind": "token_expired"})
    identity = desk.members(1)[0]
    desk.get("/members")
    desk.put(f"/members/{identity}", {"name": "Ada"}, expect=401)
    desk.get("/members", expect=401)
    desk.token = desk.new_token()
    desk.put(f"/members/{identity}", {"name": "Ada"})
    desk.control("DELETE", "tokens")
    desk.get("/members", expect=401)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_request_can_fail_with_a_status_and_skip(desk: Desk, status: int) -> None:
    """reference/officernd.md §7 Faults: nothing is applied."""
    desk.control("POST", "faults", {"route": "POST /members", "kind": "status", "status": status, "skip": 1, "count": 1})
    answers = [desk.ask("POST", "/members", json=MEMBER).status_code for _ in range(3)]
    assert answers == [201, status, 201]
    assert desk.get("/members/count") == {"total": 2}


def test_a_proxy_can_answer_with_a_page(desk: Desk) -> None:
    """reference/officernd.md §7 Faults."""
    desk.control("POST", "faults", {"route": "GET /members", "kind": "html", "status": 502})
    answer = desk.ask("GET", "/members")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (502, "text/html")


# --- as a server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("officernd", limit_factor=1000) as simulator:
        yield simulator


@pytest.fixture
def caller(server: Simulator) -> Iterator[httpx.Client]:
    """A client of the server with a token, after a reset."""
    server.control("POST", "reset", {})
    token = httpx.post(f"{server.url}/oauth/token", data=FORM, trust_env=False).json()["access_token"]
    with httpx.Client(
        base_url=server.url + BASE, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=10
    ) as client:
        yield client


@pytest.mark.processes
@pytest.mark.parametrize(("kind", "applied"), [("cut", 0), ("lost", 1)])
def test_a_connection_can_be_cut_before_or_after_the_work(
    server: Simulator, caller: httpx.Client, kind: str, applied: int
) -> None:
    """reference/officernd.md §7 Faults: the caller sees a dropped connection either way."""
    server.control("POST", "faults", {"route": "POST /members", "kind": kind})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        caller.post("/members", json=MEMBER)
    assert caller.get("/members/count").json() == {"total": applied}
    assert caller.post("/members", json=MEMBER).status_code == 201


@pytest.mark.processes
def test_a_slow_answer_comes_late_and_its_effect_too(server: Simulator, caller: httpx.Client) -> None:
    """reference/officernd.md §7 Faults: a write may be applied after its caller has gone."""
    server.control("POST", "faults", {"route": "POST /members", "kind": "slow", "seconds": 0.4})
    with pytest.raises(httpx.ReadTimeout):
        caller.post("/members", json=MEMBER, timeout=0.1)
    deadline = time.monotonic() + 5
    seen = [caller.get("/members/count").json()["total"]]
    while seen[-1] == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
        seen.append(caller.get("/members/count").json()["total"])
    assert (seen[0], seen[-1]) == (0, 1)


@pytest.mark.processes
def test_the_server_serves_many_at_once(caller: httpx.Client) -> None:
    """In-memory and quick: records that arrive together are all there, each once."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: caller.post("/members", json={**MEMBER, "name": f"M {n}"}), range(200)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["_id"] for answer in answers}) == 200
    assert caller.get("/members/count").json() == {"total": 200}
