"""Reconcile with whole processes: what no hook told, what staff changed in OfficeRnD, and what must never be released."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import NAME, System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

PEOPLE = 24


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Both sides in step, with no hook: only reconciles find anything."""
    with System(tmp_path_factory.mktemp("reconcile"), hooks=False) as running:
        wanted = {"organisations": 6, "people": PEOPLE, "opportunities": 8, "tags": ["member"]}
        running.capsule.control("POST", "seed", wanted)
        sync(running, "--full")
        yield running


def sync(system: System, *words: str, status: int = 0) -> dict[str, Any]:
    """`capsule-relay sync`, which must leave with this exit status; its document."""
    done = system.run("sync", NAME, "--json", *words)
    assert done.returncode == status, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def member(system: System) -> dict[str, Any]:
    """One member that is in step."""
    return next(one for one in system.records("members") if one.get("properties", {}).get("capsule_link_id"))


def staff(system: System, resource: str, number: str, **fields: Any) -> None:
    """A change that somebody makes in OfficeRnD itself."""
    token = system.api.post(
        f"{system.officernd.url}/oauth/token",
        data={
            "client_id": "officernd-client",
            "client_secret": "officernd-secret",
            "grant_type": "client_credentials",
            "scope": "flex.community.members.update flex.community.companies.update",
        },
    ).json()["access_token"]
    url = f"{system.officernd.url}/api/v2/organizations/acme-spaces/{resource}/{number}"
    answer = system.api.put(url, json=fields, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text


def test_a_full_pass_over_unchanged_records_opens_nothing(system: System) -> None:
    before = system.last_request()
    calls = len(system.capsule.control("GET", "requests")["requests"])

    found = sync(system, "--full")

    assert found["opened"] == 0, found
    assert found["found"] > PEOPLE
    assert system.writes(before) == []
    later = system.capsule.control("GET", "requests")["requests"][calls:]
    assert {one["route"] for one in later} <= {"/parties", "/opportunities"}


def test_what_staff_changed_in_officernd_is_repaired_and_counted(system: System) -> None:
    there = member(system)
    staff(system, "members", there["_id"], name="Changed By Staff")

    found = sync(system, "--full")

    assert found["findings"]["drift"] == 1
    assert system.officernd_state()["members"] is not None
    again = next(one for one in system.records("members") if one["_id"] == there["_id"])
    assert again["name"] == there["name"]
    assert sync(system, "--full")["opened"] == 0


def test_a_link_that_staff_cleared_comes_back(system: System) -> None:
    there = member(system)
    staff(system, "members", there["_id"], properties={"capsule_link_id": ""})

    found = sync(system, "--full")

    assert found["findings"]["vanished"] == 1
    again = next(one for one in system.records("members") if one["_id"] == there["_id"])
    assert again["properties"]["capsule_link_id"] == there["properties"]["capsule_link_id"]


def test_an_edit_that_no_hook_told_is_found_by_the_incremental_pass(system: System) -> None:
    there = member(system)
    number = int(there["properties"]["capsule_link_id"])
    system.edit(number, firstName="Unheard", lastName="Edit")

    found = sync(system)

    assert found["opened"] == 1, found
    assert (system.linked("members", number) or {})["name"] == "Unheard Edit"


def test_a_deleted_record_is_found_by_the_incremental_pass(system: System) -> None:
    made = system.party(type="person", firstName="Soon", lastName="Gone", tags=[{"name": "member"}])
    sync(system)
    assert system.linked("members", made["id"])
    assert system.api.delete(f"parties/{made['id']}").status_code == 204

    found = sync(system)

    assert found["findings"]["deleted"] == 1
    assert found["outcomes"]["gone"] == 1


def test_a_change_of_tags_that_moves_nothing_is_found_by_the_pass_over_tags(system: System) -> None:
    made = system.party(type="person", firstName="Silent", lastName="Tag")
    sync(system)
    assert system.linked("members", made["id"]) is None
    tagged = system.edit(made["id"], tags=[{"name": "member"}])

    sync(system)
    assert system.linked("members", made["id"]) is not None

    system.edit(made["id"], tags=[{"id": tagged["tags"][0]["id"], "_delete": True}])
    found = sync(system)
    assert found["findings"]["tag_lost"] == 1
    with system.store() as store:
        assert store.hget(f"relay:ledger:{NAME}", f"party|{made['id']}").startswith(b"1out")  # type: ignore[union-attr]


def test_an_empty_list_by_mistake_releases_nothing(system: System) -> None:
    def tally() -> dict[bytes, bytes]:
        with system.store() as store:
            return store.hgetall(f"relay:tally:{NAME}")

    before = tally()
    for entity in ("parties", "opportunities"):
        fault = {"route": f"GET /{entity}", "count": 1, "kind": "status", "status": 200, "body": {entity: []}}
        system.capsule.control("POST", "faults", fault)

    found = sync(system, "--full", status=3)

    assert found["guarded"] > PEOPLE
    assert system.idle()
    assert tally() == before
    sync(system, "--full")
    assert tally() == before


def test_after_a_flushall_a_full_pass_creates_nothing(system: System) -> None:
    before = system.last_request()
    with system.store() as store:
        store.flushall()
    until(lambda: system.store().exists("relay:born"), "the clock has noticed")

    sync(system, "--full")

    assert [one for one in system.writes(before) if one["method"] == "POST"] == []
    assert sync(system, "--full")["opened"] == 0
