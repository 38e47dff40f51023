"""Reconcile with whole processes: what no hook told, what staff changed in OfficeRnD, and what must never be released."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.drift import inject
from tests.acceptance.harness import NAME, ROOT, System, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

PEOPLE = 24
LISTS = {"capsule": {"/parties", "/opportunities"}, "officernd": {"/companies", "/members", "/opportunities"}}


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


def dump(system: System) -> dict[bytes, Any]:
    """All that Redis holds of ours, without the counters of calls, tokens and the clock's own beat."""
    passing = (
        b"relay:limits",
        b"relay:procs",
        b"relay:running",
        b"relay:tick",
        b"relay:counts",
        b"relay:token",
        b"relay:wake",
        b"relay:born",
    )
    with system.store() as store:
        return {name: store.dump(name) for name in store.scan_iter("relay:*") if not name.startswith(passing)}


def lists(system: System, since: dict[str, int]) -> list[tuple[str, str]]:
    """The pages of lists that were asked for since then, the downstream's first: (system, route)."""
    found = []
    for simulator in (system.officernd, system.capsule):
        requests = simulator.control("GET", f"requests?since={since[simulator.name]}")["requests"]
        found += [(simulator.name, one["route"]) for one in requests if one["route"] in LISTS[simulator.name]]
    return found


def pages(system: System, *words: str) -> list[tuple[str, str]]:
    """The pages that one sync asks for."""
    marks = {one.name: one.control("GET", "requests")["requests"][-1]["n"] for one in (system.capsule, system.officernd)}
    sync(system, *words)
    return lists(system, marks)


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


def test_drift_on_both_sides_is_repaired_by_one_run_and_counted_as_it_is(system: System) -> None:
    drift = inject(system, share=0.2)
    assert min(drift.document().values()) > 3, "enough to tell a count from luck"

    found = sync(system, "--full")

    print(f"injected {drift.document()}, counted {drift.counted(found)}, not repaired {len(drift.left(system))}")
    assert drift.counted(found) == drift.document()
    assert drift.left(system) == []
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
        assert store.hget(f"relay:ledger:{NAME}", f"party|{made['id']}").startswith(b"1out")


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(system: System) -> None:
    there = [one for one in system.records("members") if one.get("properties", {}).get("capsule_link_id")]
    number = int(there[0]["properties"]["capsule_link_id"])
    system.edit(number, lastName="Rehearsed")
    staff(system, "members", there[1]["_id"], name="Changed By Staff")
    company = system.party(type="organisation", name="Dry Company", tags=[{"name": "member"}])
    system.party(type="person", firstName="Dry", lastName="Person", organisation={"id": company["id"]})
    before, kept = system.last_request(), dump(system)

    full, quick = sync(system, "--full", "--dry-run"), sync(system, "--dry-run")

    assert system.writes(before) == []
    assert dump(system) == kept
    assert {name: full["would"].get(name, 0) for name in ("created", "updated", "released", "failed")} == {
        "created": 2,
        "updated": 2,
        "released": 0,
        "failed": 0,
    }
    assert {name: quick["would"].get(name, 0) for name in ("created", "updated")} == {"created": 2, "updated": 1}
    real = sync(system, "--full")
    assert real["opened"] == 4
    assert len([one for one in system.writes(before) if one["method"] == "POST"]) == 2


def test_killed_at_a_page_it_goes_on_at_most_one_page_back(system: System) -> None:
    system.capsule.control("POST", "seed", {"people": 380, "seed": 3})  # without a tag: they stay out
    sync(system, "--full")
    whole = pages(system, "--full")

    for stuck in range(len(whole)):
        # Given a sync that is killed while it waits for this page,
        side, route = whole[stuck]
        simulator = system.officernd if side == system.officernd.name else system.capsule
        # Both vendors have a list of that name: those of the other one do not count.
        skip = whole[:stuck].count(whole[stuck])
        simulator.control("POST", "faults", {"route": f"GET {route}", "kind": "slow", "seconds": 60, "skip": skip})
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "sync", NAME, "--full"],
            cwd=ROOT,
            env=system.env | {"REDIS_URL": system.redis_url()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        marks = {one.name: one.control("GET", "requests")["requests"][-1]["n"] for one in (system.capsule, system.officernd)}
        until(lambda: len(lists(system, marks)) > stuck, f"page {stuck} is asked for")  # noqa: B023 - called at once
        process.kill()
        process.wait()
        for simulator in (system.capsule, system.officernd):
            simulator.control("DELETE", "faults")
        with system.store() as store:
            store.delete(f"relay:sync:{NAME}", f"relay:index-lock:{NAME}")  # as when their time is over

        # the next one asks for no more than what was left, and the page before it.
        after = pages(system, "--full")

        assert len(after) <= len(whole) - stuck + 1, (stuck, whole[stuck], after)
        assert system.idle()


def test_an_empty_list_by_mistake_releases_nothing(system: System) -> None:
    def tally() -> dict[bytes, bytes]:
        with system.store() as store:
            return dict(store.hgetall(f"relay:tally:{NAME}"))

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

    sync(system, "--full")

    assert [one for one in system.writes(before) if one["method"] == "POST"] == []
    assert sync(system, "--full")["opened"] == 0


def test_what_the_guard_stopped_is_asked_once_waits_and_is_taken_up_again(tmp_path: Path) -> None:
    """The guard acts above 10 records: 16 lose their tag, told by no hook."""
    with System(tmp_path, hooks=False, extra="auto_sync_minutes = 1440") as system:
        made = [system.party(type="person", firstName="Guarded", lastName=f"N{n}", tags=[{"name": "member"}]) for n in range(24)]
        tag = {one["id"]: one["tags"][0]["id"] for one in made}
        sync(system, "--full")
        leaving = list(tag)[:16]
        for number in leaving:
            system.edit(number, lastName="Leaving", tags=[{"id": tag[number], "_delete": True}])

        # The first pass stops and asks; those that follow find the same without asking Capsule for it, and do not ask again
        said = [system.run("sync", NAME) for _ in range(3)]
        assert [one.returncode for one in said] == [3, 3, 3]
        assert ['"event": "guard"' in one.stderr for one in said] == [True, False, False], said[0].stderr
        mine = json.loads(system.run("status", "--json").stdout)["connections"][0]
        assert (mine["state"], mine["guard"]) == ("guard", 16)

        # One that is tagged again is settled; below the guard the rest goes on by itself
        for number in leaving[:3]:
            system.edit(number, tags=[{"name": "member"}])
        assert sync(system, status=3)["guarded"] == 13
        for number in leaving[3:7]:
            system.edit(number, tags=[{"name": "member"}])
        assert sync(system)["guarded"] == 0
        assert outcomes(system) == {"in_step": 15, "out": 9}

        # And where a person allows it, everything that was stopped is released, without a full pass
        for number in leaving[:7] + list(tag)[16:]:
            there = system.api.get(f"parties/{number}", params={"embed": "tags"}).json()["party"]["tags"]
            system.edit(number, lastName="Leaving too", tags=[{"id": one["id"], "_delete": True} for one in there])
        assert sync(system, status=3)["guarded"] == 15
        assert sync(system, "--allow-release")["guarded"] == 0
        assert outcomes(system) == {"out": 24}
        assert json.loads(system.run("status", "--json").stdout)["connections"][0]["guard"] == 0


def outcomes(system: System) -> dict[str, int]:
    """How many records there are of each outcome."""
    with system.store() as store:
        tally = store.hgetall(f"relay:tally:{NAME}")
    return {what.decode(): int(number) for what, number in tally.items() if int(number)}


def test_a_watched_sync_says_how_it_goes_on_until_it_is_interrupted(system: System) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "sync", NAME, "--watch", "--json"],
        cwd=ROOT,
        env=system.env | {"REDIS_URL": system.redis_url()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    first, then = json.loads(process.stdout.readline()), json.loads(process.stdout.readline())
    assert (first["waited"], first["ok"]) == (True, True)
    assert (then["waiting"], then["letters"], then["guard"], then["paused"]) == (0, 0, 0, "")
    # What others do meanwhile is shown too
    made = system.party(type="person", firstName="Watched", lastName="Person", tags=[{"name": "member"}])
    sync(system)
    while json.loads(process.stdout.readline())["tally"]["in_step"] == then["tally"]["in_step"]:
        assert process.poll() is None
    assert system.linked("members", made["id"])
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.stdout.close()
