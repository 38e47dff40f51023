from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.peer import Peer, answer
from tests.simulators.run import Simulator
from workers.capsule import wire
from workers.capsule.client import Capsule
from workers.errors import (
    CredentialsRefused,
    LeaseLost,
    NoAnswer,
    QueueAway,
    RateLimited,
    Refused,
    SystemDown,
    WorkerError,
)
from workers.http import Http
from workers.limits import Limits
from workers.tokens import PersonalToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

pytestmark = pytest.mark.processes

DEADLINE_S = 10.0
SEEDED = {"organisations": 8, "people": 30, "opportunities": 6, "tags": ["vip", "london"]}


def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("capsule") as running:
        yield running


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    simulator.control("POST", "reset", SEEDED)
    simulator.control("DELETE", "requests")
    return simulator


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test") as running:
        yield running


@pytest.fixture
def make(sim: Simulator, store: redis.Redis, http: Http) -> Callable[..., Capsule]:
    """Makes the client of one process."""

    def build(**changes: Any) -> Capsule:
        token = PersonalToken(changes.pop("token", "capsule-token"))
        options: dict[str, Any] = {"api_url": f"{sim.url}/api/v2", "gather_s": 0.05} | changes
        return Capsule("acme", http, Limits(store), token, **options)

    return build


def state(sim: Simulator) -> dict[str, Any]:
    found: dict[str, Any] = sim.control("GET", "state")
    return found


def ids(sim: Simulator, kind: str, **like: str) -> list[int]:
    wrapper = wire.COLLECTIONS[kind]
    return [row["id"] for row in state(sim)[wrapper] if all(row.get(key) == value for key, value in like.items())]


def counts(sim: Simulator) -> dict[str, int]:
    found: dict[str, int] = sim.control("GET", "counts")
    return found


def delete(sim: Simulator, http: Http, path: str) -> None:
    headers = {"Authorization": "Bearer capsule-token"}
    got = http.request("DELETE", f"{sim.url}/api/v2{path}", system="test", route="DELETE", headers=headers)
    assert got.status in (202, 204)
    sim.control("DELETE", "requests")


def test_a_person_comes_with_tags_fields_and_organisation(make: Callable[..., Capsule], sim: Simulator) -> None:
    number = next(row["id"] for row in state(sim)["parties"] if row.get("organisation"))

    body = make().party(number, lane="live", alive=nothing)

    assert body is not None
    assert body["id"] == number
    assert {"tags", "fields"} <= body.keys()
    assert body["organisation"]["id"]
    assert counts(sim) == {"GET /parties/{ids}": 1}


def test_an_opportunity_comes_with_tags_fields_and_milestone(make: Callable[..., Capsule], sim: Simulator) -> None:
    number = ids(sim, "opportunity")[0]

    body = make().opportunity(number, lane="live", alive=nothing)

    assert body is not None
    assert {"tags", "fields", "party"} <= body.keys()
    assert "pipeline" in body["milestone"]


def test_who_we_are_is_said_and_nothing_but_the_token_is_sent(make: Callable[..., Capsule], sim: Simulator) -> None:
    make().party(ids(sim, "party")[0], lane="live", alive=nothing)

    seen = sim.control("GET", "requests?since=0")["requests"][-1]
    assert seen["headers"]["user-agent"] == "capsule-relay/test"
    assert seen["headers"]["accept"] == "application/json"


def test_forty_threads_share_calls_of_ten(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "reset", {"organisations": 20, "people": 280})
    capsule = make(gather_s=0.3)
    wanted = ids(sim, "party")

    with ThreadPoolExecutor(40) as threads:
        bodies = list(threads.map(lambda number: capsule.party(number, lane="live", alive=nothing), wanted))

    assert [body["id"] for body in bodies if body] == wanted
    calls = sum(counts(sim).values())
    assert calls <= 0.15 * len(wanted)
    assert capsule._limits.usage()[0].used == calls


def test_many_records_are_read_ten_a_call(make: Callable[..., Capsule], sim: Simulator) -> None:
    wanted = ids(sim, "party")
    assert len(wanted) == 38

    bodies = make().parties([*wanted, wanted[0]])

    assert list(bodies) == wanted
    assert all(body is not None and body["id"] == number for number, body in bodies.items())
    assert sum(counts(sim).values()) == 4


@pytest.mark.parametrize("position", ["skip", "fail"])
def test_an_id_that_is_gone_is_settled_under_both_readings(
    make: Callable[..., Capsule], sim: Simulator, http: Http, position: str
) -> None:
    """Reference §3.7: an unknown id among ten is skipped, or the whole call is 404."""
    sim.control("POST", "switches", {"multiget_unknown": position})
    gone, *others = ids(sim, "party", type="person")[:4]
    delete(sim, http, f"/parties/{gone}")

    bodies = make().parties([gone, *others])

    assert bodies[gone] is None
    assert all(bodies[number] is not None for number in others)
    assert sum(counts(sim).values()) == (2 if position == "skip" else 5)


@pytest.mark.parametrize("position", ["skip", "fail"])
def test_an_id_that_is_gone_is_settled_for_its_own_thread_only(
    make: Callable[..., Capsule], sim: Simulator, http: Http, position: str
) -> None:
    sim.control("POST", "switches", {"multiget_unknown": position})
    gone, *others = ids(sim, "party", type="person")[:6]
    delete(sim, http, f"/parties/{gone}")
    capsule = make(gather_s=0.3)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda number: capsule.party(number, lane="live", alive=nothing), [gone, *others]))

    assert found[0] is None
    assert [body["id"] for body in found[1:] if body] == others


@pytest.mark.parametrize("text", ["resource", "named"])
def test_a_single_record_that_is_gone_is_none(make: Callable[..., Capsule], sim: Simulator, http: Http, text: str) -> None:
    sim.control("POST", "switches", {"not_found_text": text})
    gone = ids(sim, "opportunity")[0]
    delete(sim, http, f"/opportunities/{gone}")

    assert make().opportunity(gone, lane="live", alive=nothing) is None
    assert sum(counts(sim).values()) == 1


def test_a_restricted_record_is_none(make: Callable[..., Capsule], sim: Simulator) -> None:
    hidden, shown = ids(sim, "party", type="person")[:2]
    sim.control("POST", "restrict", {"kind": "party", "id": hidden})

    bodies = make().parties([hidden, shown])

    assert bodies[hidden] is None
    assert bodies[shown] is not None


def test_the_people_of_an_organisation_come_by_pages(make: Callable[..., Capsule], sim: Simulator, http: Http) -> None:
    parties = state(sim)["parties"]
    of = {row["id"]: row["organisation"]["id"] for row in parties if row.get("organisation")}
    organisation = next(iter(of.values()))
    expected = sorted(number for number, whose in of.items() if whose == organisation)
    capsule = make()

    pages = list(capsule.people_of(organisation, lane="live", alive=nothing))

    assert sorted(body["id"] for page in pages for body in page) == expected
    assert all("tags" in body for page in pages for body in page)
    assert list(capsule.people_of(expected[0], lane="live")) == [], "a person has no people"
    delete(sim, http, f"/parties/{organisation}")
    assert list(capsule.people_of(organisation, lane="live")) == [], "nor has one that is gone"


def test_the_opportunities_of_a_party(make: Callable[..., Capsule], sim: Simulator) -> None:
    deals = state(sim)["opportunities"]
    party = deals[0]["party"]["id"]

    found = [body["id"] for page in make().opportunities_of(party) for body in page]

    assert sorted(found) == sorted(deal["id"] for deal in deals if deal["party"]["id"] == party)


def test_a_list_is_walked_to_its_end(make: Callable[..., Capsule], sim: Simulator) -> None:
    pages = list(make().list_parties(per_page=10))

    assert [(page.number, len(page), page.more) for page in pages] == [(1, 10, True), (2, 10, True), (3, 10, True), (4, 8, False)]
    assert sorted(body["id"] for page in pages for body in page) == ids(sim, "party")
    assert counts(sim) == {"GET /parties": 4}


def test_a_list_can_be_taken_up_again_at_a_page(make: Callable[..., Capsule], sim: Simulator) -> None:
    whole = [body["id"] for page in make().list_parties(per_page=10) for body in page]

    rest = [body["id"] for page in make().list_parties(per_page=10, page=3) for body in page]

    assert rest == whole[20:]
    assert len(list(make().list_opportunities())) == 1
    assert sum(counts(sim).values()) == 7


def test_what_changed_since_is_asked_for(make: Callable[..., Capsule], sim: Simulator) -> None:
    capsule = make()

    assert list(capsule.list_parties(since="2030-01-01T00:00:00Z")) == []
    assert sum(len(page) for page in capsule.list_opportunities(since="2020-01-01T00:00:00Z")) == 6
    assert "since=" in sim.control("GET", "requests?since=0")["requests"][-1]["query"]


def test_a_list_is_read_from_the_link_alone_or_from_the_header_alone(make: Callable[..., Capsule]) -> None:
    def page(link: Any, head: bytes) -> None:
        number = int(head.split(b"page=")[1].split(b"&")[0])
        body = b'{"parties":[{"id":%d}]}' % number
        headers = {
            1: ("X-Pagination-Has-More: true",),
            2: ("Link: <https://elsewhere.example/other?page=3>; rel=next",),
            3: ("X-Pagination-Has-More: false", "Link: <https://elsewhere.example/other?page=4>; rel=next"),
        }
        link.sendall(answer(body, *headers[number]))

    with Peer(page) as peer:
        pages = list(make(api_url=peer.url).list_parties())

    assert [body["id"] for page in pages for body in page] == [1, 2, 3]
    assert all(head.startswith(b"GET /parties?") for head in peer.heads), "no link of an answer is followed"


def test_the_deleted_list_is_one_answer_unless_it_says_that_more_follow(make: Callable[..., Capsule], sim: Simulator) -> None:
    number = ids(sim, "party")[0]
    sim.control("POST", "restrict", {"kind": "party", "id": number})
    assert [list(some) for some in make().deleted("party", since="2020-01-01T00:00:00Z")] == [[number]]
    assert "page=" not in sim.control("GET", "requests?since=0")["requests"][-1]["query"]

    def page(link: Any, head: bytes) -> None:
        second = b"page=2" in head
        body = b'{"parties":[{"id":%d}],"restrictedParties":[{"id":%d}]}' % ((3, 4) if second else (1, 2))
        link.sendall(answer(body, *(() if second else ("X-Pagination-Has-More: true",))))

    with Peer(page) as peer:
        assert [*make(api_url=peer.url).deleted("party", since="2020-01-01T00:00:00Z")] == [[1, 2], [3, 4]]
    assert [b"since=2020-01-01T00" in head for head in peer.heads] == [True, True]


def test_a_page_that_repeats_ends_the_walk_with_an_error(make: Callable[..., Capsule]) -> None:
    whole = answer(b'{"parties":[{"id":1}]}', "X-Pagination-Has-More: true")
    with Peer(lambda link, _: link.sendall(whole)) as peer, pytest.raises(SystemDown, match="before"):
        list(make(api_url=peer.url).list_parties())
    assert len(peer.heads) == 2


def test_the_milestones_of_all_pipelines(make: Callable[..., Capsule], sim: Simulator) -> None:
    found = make().milestones()

    assert sorted(one["id"] for one in found) == sorted(one["id"] for one in state(sim)["milestones"])
    assert {one["pipeline"]["name"] for one in found} == {"Sales", "Renewals"}


def test_the_limit_of_the_account_is_learned_from_its_headers(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "limits", {"requests_per_hour": 400_000})
    capsule = make(account="owner")

    capsule.party(ids(sim, "party")[0], lane="live", alive=nothing)

    usage = capsule._limits.usage()[0]
    assert (usage.name, usage.limit, usage.used) == ("capsule:owner", 400_000, 1)
    assert 3_500_000 < usage.ends_in_ms <= 3_602_000


def test_no_call_is_made_that_the_limit_would_refuse(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "limits", {"requests_per_hour": 6})
    capsule = make(max_wait_ms=500)
    wanted = ids(sim, "party")

    for number in wanted[:6]:
        capsule.party(number, lane="live", alive=nothing)
    with pytest.raises(RateLimited) as caught:
        capsule.party(wanted[6], lane="live", alive=nothing)

    assert caught.value.wait_ms > 60_000
    statuses = [seen["status"] for seen in sim.control("GET", "requests?since=0")["requests"]]
    assert statuses == [200] * 6


def test_bulk_work_stops_earlier_than_live(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "limits", {"requests_per_hour": 10})
    capsule = make(max_wait_ms=500)
    capsule.parties(ids(sim, "party")[:1])

    with pytest.raises(RateLimited):
        capsule.parties([*ids(sim, "party"), *range(1, 200)])
    assert sum(counts(sim).values()) == 8

    assert capsule.party(ids(sim, "party")[0], lane="live", alive=nothing)


def test_a_429_closes_the_window_for_every_process(make: Callable[..., Capsule], sim: Simulator) -> None:
    """Another integration of the same user has used the window; we cannot know before we ask."""
    sim.control("POST", "limits", {"requests_per_hour": 0})
    one, other = make(max_wait_ms=500), make(max_wait_ms=500)

    for capsule in (one, other):
        with pytest.raises(RateLimited):
            capsule.party(7, lane="live", alive=nothing)

    assert sum(counts(sim).values()) == 1


def test_a_short_window_is_waited_for(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "limits", {"requests_per_hour": 2, "window_seconds": 1})
    capsule = make(lease_ms=2000, max_wait_ms=9000)
    beats: list[float] = []

    pages = list(capsule.list_parties(per_page=10, lane="live", alive=lambda: beats.append(time.monotonic())))

    assert sum(len(page) for page in pages) == 38
    assert max(later - sooner for sooner, later in itertools.pairwise(beats)) < 1.0, "the lease is kept alive"


def test_only_a_walk_over_everything_waits_for_the_next_window(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "limits", {"requests_per_hour": 2, "window_seconds": 1})
    capsule = make(max_wait_ms=0)

    pages = list(capsule.list_parties(per_page=10, lane="live"))

    assert sum(len(page) for page in pages) == 38
    deadline = time.monotonic() + DEADLINE_S
    with pytest.raises(RateLimited):  # noqa: PT012 - as many as it takes to use up a window
        while time.monotonic() < deadline:
            capsule.party(pages[0].bodies[0]["id"], lane="live", alive=nothing)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 500}, SystemDown),
        ({"kind": "status", "status": 503}, SystemDown),
        ({"kind": "html"}, NoAnswer),
        ({"kind": "html", "status": 200}, SystemDown),
        ({"kind": "html", "status": 404}, SystemDown),
        ({"kind": "cut"}, NoAnswer),
        ({"kind": "status", "status": 302, "headers": {"Location": "https://elsewhere.example/"}}, SystemDown),
        ({"kind": "status", "status": 403, "body": {"message": "Requires additional scope"}}, CredentialsRefused),
        ({"kind": "status", "status": 422, "body": {"message": "Validation Failed"}}, Refused),
    ],
    ids=["500", "503", "502 page", "page with 200", "page with 404", "cut", "redirect", "scope", "422"],
)
def test_every_failure_has_its_error_and_names_no_record(
    make: Callable[..., Capsule], sim: Simulator, fault: dict[str, Any], kind: type[WorkerError]
) -> None:
    number = ids(sim, "party")[0]
    sim.control("POST", "faults", {"route": "*", **fault})
    capsule = make()

    with pytest.raises(kind, match=r"capsule: GET /parties/\{id\}") as caught:
        capsule.party(number, lane="live", alive=nothing)

    assert "capsule-token" not in str(caught.value)
    assert "embed" not in str(caught.value)
    assert capsule.party(number, lane="live", alive=nothing), "and the next read works"


def test_a_slow_answer_ends_at_the_deadline(make: Callable[..., Capsule], sim: Simulator) -> None:
    sim.control("POST", "faults", {"route": "*", "kind": "slow", "seconds": 5})

    with pytest.raises(NoAnswer, match=r"longer than 0\.3 s"):
        make(deadline_s=0.3).party(7, lane="live", alive=nothing)


def test_a_refused_personal_token_is_not_tried_twice(make: Callable[..., Capsule], sim: Simulator) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        make(token="not-the-token").party(7, lane="live", alive=nothing)

    assert caught.value.status == 401
    assert sum(counts(sim).values()) == 1


def test_a_lost_lease_stops_before_the_read(make: Callable[..., Capsule], sim: Simulator) -> None:
    def lost() -> None:
        raise LeaseLost("another has it")

    capsule = make()
    for call in (
        lambda: capsule.party(7, lane="live", alive=lost),
        lambda: capsule.parties([7], alive=lost),
        lambda: list(capsule.list_parties(alive=lost)),
    ):
        with pytest.raises(LeaseLost):
            call()

    assert counts(sim) == {}


def test_without_redis_nothing_is_read(make: Callable[..., Capsule], sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    capsule = make()

    def away(*_: object, **__: object) -> int:
        raise QueueAway("Redis did not answer")

    monkeypatch.setattr(capsule._limits, "reserve", away)

    with pytest.raises(QueueAway):
        capsule.party(7, lane="live", alive=nothing)
    assert counts(sim) == {}


def test_a_read_begins_after_it_was_asked_for(make: Callable[..., Capsule], sim: Simulator, http: Http) -> None:
    """agenda.md §4, g read_after_take: an edit before the request is seen, though a call for the record was under way."""
    number = ids(sim, "party", type="person")[0]
    capsule = make()
    sim.control("POST", "faults", {"route": "GET /parties/{ids}", "kind": "stall", "seconds": 0.5})
    with ThreadPoolExecutor(2) as threads:
        early = threads.submit(capsule.party, number, lane="live", alive=nothing)
        deadline = time.monotonic() + DEADLINE_S
        while not counts(sim):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        edited = threading.Event()
        http.request(
            "PUT",
            f"{sim.url}/api/v2/parties/{number}",
            system="test",
            route="PUT",
            headers={"Authorization": "Bearer capsule-token"},
            json=b'{"party":{"jobTitle":"Changed"}}',
        )
        edited.set()
        late = threads.submit(capsule.party, number, lane="live", alive=nothing)

        before, after = early.result(DEADLINE_S), late.result(DEADLINE_S)

    assert before is not None
    assert after is not None
    assert before["jobTitle"] != "Changed"
    assert after["jobTitle"] == "Changed"
