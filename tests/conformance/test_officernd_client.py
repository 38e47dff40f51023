from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import pytest
from cryptography.fernet import Fernet, MultiFernet

from mapping import officernd
from mapping.keys import lookup_hash
from tests.conformance.peer import Peer, answer
from tests.simulators.run import Simulator
from workers.downstream.officernd import wire
from workers.downstream.officernd.client import OfficeRnD
from workers.downstream.officernd.index import Index
from workers.errors import (
    CredentialsRefused,
    LeaseLost,
    Misconfigured,
    NoAnswer,
    RateLimited,
    Refused,
    SystemDown,
    WorkerError,
)
from workers.http import Http
from workers.limits import Limits
from workers.tokens import ClientCredentials, PersonalToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import redis

pytestmark = pytest.mark.processes

VAULT = MultiFernet([Fernet(Fernet.generate_key())])
LONDON = "64b0c0ffee00000000000001"
UNKNOWN = "64b0c0ffee00000000009999"


def Write(method: Literal["POST", "PUT"], path: str, body: Mapping[str, Any] | None = None) -> officernd.Write:  # noqa: N802 - reads as the class does
    """A write, as far as the client looks at it."""
    return officernd.Write(method, path, body or {}, creates=method == "POST", covers=())


def post_member(number: int, **fields: Any) -> officernd.Write:
    body = {"name": "Ada Example", "location": LONDON, "startDate": "2026-11-01T00:00:00.000Z"}
    return Write("POST", "/members", {**body, "properties": {"capsule_link_id": str(number)}, **fields})


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("officernd") as running:
        yield running


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    simulator.control("POST", "reset", {})
    simulator.control("DELETE", "requests")
    return simulator


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test") as running:
        yield running


@pytest.fixture
def make(sim: Simulator, store: redis.Redis, http: Http) -> Callable[..., OfficeRnD]:
    """Makes the client of one process."""

    def build(**changes: Any) -> OfficeRnD:
        limits = Limits(store)
        tokens = changes.pop("tokens", None) or ClientCredentials(
            "acme",
            http=http,
            store=store,
            limits=limits,
            vault=VAULT,
            token_url=f"{sim.url}/oauth/token",
            client_id="officernd-client",
            client_secret="officernd-secret",
            scopes=wire.SCOPES,
        )
        options: dict[str, Any] = {"organization": "acme-spaces", "api_url": f"{sim.url}/api/v2"} | changes
        return OfficeRnD("acme", http, limits, tokens, **options)

    return build


def counts(sim: Simulator) -> dict[str, int]:
    found: dict[str, int] = sim.control("GET", "counts")
    found.pop("POST /oauth/token", None)
    return found


def seed(sim: Simulator, **documents: list[dict[str, Any]]) -> None:
    sim.control("POST", "seed", documents)


def members(sim: Simulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sim.control("GET", "state")["members"]
    return found


def fail(sim: Simulator, **fault: Any) -> None:
    sim.control("POST", "faults", {"route": "*", **fault})


def test_a_record_is_created_read_changed_and_found(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()

    made = client.send(post_member(11588, email="Ada@Example.com"), downstream_id=None)
    number = made["_id"]
    changed = client.send(Write("PUT", f"/members/{number}", {"phone": "123"}), downstream_id=number)

    assert changed["phone"] == "123"
    got = client.get("member", number)
    assert got is not None
    assert (got["email"], got["phone"]) == ("ada@example.com", "123")
    assert [body["_id"] for body in client.find("member", link_id=11588)] == [number]
    assert counts(sim) == {"POST /members": 1, "PUT /members/{id}": 1, "GET /members/{id}": 1, "GET /members": 1}


def test_the_id_of_a_record_just_created_goes_into_the_next_path(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()
    number = client.send(post_member(1), downstream_id=None)["_id"]

    assert client.send(Write("PUT", "/members/{id}/status", {"status": "former"}), downstream_id=number) == {}

    assert members(sim)[0]["status"] == "former"


@pytest.mark.parametrize("number", [None, "../companies", "1"])
def test_no_path_is_made_of_anything_but_an_id(make: Callable[..., OfficeRnD], number: str | None) -> None:
    with pytest.raises(ValueError, match="24 hex"):
        make().send(Write("PUT", "/members/{id}"), downstream_id=number)


def test_what_is_not_there_is_none(make: Callable[..., OfficeRnD]) -> None:
    assert make().get("member", UNKNOWN) is None


def test_a_list_is_walked_by_cursors_of_fifty(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    seed(sim, members=[{"name": f"Member {n}"} for n in range(120)])

    pages = list(make().list("member"))

    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({body["_id"] for page in pages for body in page}) == 120
    assert counts(sim) == {"GET /members": 3}


def test_a_cursor_that_repeats_ends_the_walk_with_an_error(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    seed(sim, members=[{"name": f"Member {n}"} for n in range(120)])
    sim.control("POST", "switches", {"repeated_cursor": "yes"})

    with pytest.raises(SystemDown, match="twice"):
        list(make().list("member"))
    assert counts(sim)["GET /members"] <= 3


def test_a_list_without_records_has_no_page(make: Callable[..., OfficeRnD]) -> None:
    assert list(make().list("opportunity")) == []


def test_a_link_goes_before_an_email_or_a_name(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    seed(
        sim,
        members=[
            {"name": "Linked", "email": "other@example.com", "properties": {"capsule_link_id": "7"}},
            {"name": "Alike", "email": "ada+x@example.com"},
            {"name": "Another", "email": "bea@example.com"},
        ],
        companies=[{"name": "Acme & Sons"}, {"name": "Acme"}, {"name": "Acme & Sons"}],
    )
    client = make()

    assert [body["name"] for body in client.find("member", link_id=7, email="ada+x@example.com")] == ["Linked"]
    assert [body["name"] for body in client.find("member", link_id=8, email=" Ada+X@Example.com ")] == ["Alike"]
    assert [body["name"] for body in client.find("company", link_id=9, name="Acme & Sons")] == ["Acme & Sons"] * 2
    assert client.find("company", link_id=9, name="acme") == []
    assert client.find("member", link_id=9) == []


@pytest.mark.parametrize("position", ["nothing", "ignored", "match"])
def test_a_link_is_never_believed_because_a_filter_let_it_through(
    make: Callable[..., OfficeRnD], sim: Simulator, position: str
) -> None:
    """A filter on a property that is not set up may be ignored: every record would come back."""
    sim.control("POST", "switches", {"undefined_property_filter": position})
    sim.control("DELETE", "custom-properties", {"key": "capsule_link_id"})
    seed(sim, members=[{"name": f"Member {n}"} for n in range(60)])

    assert make().find("member", link_id=7) == []


@pytest.mark.parametrize("given", ["member", "company", "both", "neither"])
def test_an_opportunity_is_found_by_walking(make: Callable[..., OfficeRnD], sim: Simulator, given: str) -> None:
    seed(sim, members=[{"name": "Ada"}], companies=[{"name": "Acme"}])
    state = sim.control("GET", "state")
    member, company = state["members"][0]["_id"], state["companies"][0]["_id"]
    deals = [
        {"name": "Theirs", "member": member, "company": company, "properties": {"capsule_link_id": "7"}},
        {"name": "Another", "member": member, "company": company, "properties": {"capsule_link_id": "8"}},
    ]
    seed(sim, opportunities=deals)

    found = make().find(
        "opportunity",
        link_id=7,
        member=member if given in ("member", "both") else None,
        company=company if given in ("company", "both") else None,
    )

    assert [body["name"] for body in found] == ["Theirs"]
    assert counts(sim) == {"GET /opportunities": 2 if given == "both" else 1}


def test_reference_data_is_read_once_an_hour_and_again_on_demand(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()

    for _ in range(3):
        names = {body["name"] for body in client.locations()}
        statuses = {body["description"] for body in client.statuses()}
        keys = {body["key"] for body in client.custom_properties()}

    assert {"London Bridge", "Shoreditch"} <= names
    assert {"Negotiation", "Tour booked"} <= statuses
    assert "capsule_link_id" in keys
    assert set(counts(sim).values()) == {1}
    sim.control("POST", "locations", {"name": "Leeds"})
    assert "Leeds" not in {body["name"] for body in client.locations()}
    assert "Leeds" in {body["name"] for body in client.locations(refresh=True)}
    assert "Leeds" in {body["name"] for body in client.locations()}


def test_reference_data_is_read_again_when_it_is_old(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make(cache_s=0)

    client.locations()
    client.locations()

    assert counts(sim) == {"GET /locations": 2}


def test_many_threads_that_need_reference_data_cause_one_read(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.locations(), range(32)))

    assert counts(sim) == {"GET /locations": 1}


def test_an_expired_token_is_replaced_and_the_write_sent_once_more(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()
    client.locations()
    sim.control("DELETE", "tokens")
    intents: list[int] = []

    client.send(post_member(1), downstream_id=None, alive=lambda: intents.append(len(members(sim))))

    assert counts(sim)["POST /members"] == 2
    assert intents == [0, 0], "the intent is noted before each request, and the refused one wrote nothing"
    assert len(members(sim)) == 1


def test_a_second_401_refuses_the_credentials(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    """A missing scope is the same 401 as an expired token (§2.7)."""
    fail(sim, route="GET /members/{id}", kind="token_expired", count=2)
    client = make()

    with pytest.raises(CredentialsRefused, match="new token"):
        client.get("member", UNKNOWN)

    assert counts(sim) == {"GET /members/{id}": 2}
    assert client.get("member", UNKNOWN) is None, "and later it works again by itself"


def test_a_refused_token_without_another_is_sent_once(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    with pytest.raises(CredentialsRefused):
        make(tokens=PersonalToken("not-a-token")).get("member", UNKNOWN)

    assert counts(sim) == {"GET /members/{id}": 1}


def test_a_wrong_slug_is_a_setting_to_mend(make: Callable[..., OfficeRnD]) -> None:
    for slug in ("another-slug", "not a slug"):
        with pytest.raises((Misconfigured, SystemDown)) as caught:
            make(organization=slug).get("member", UNKNOWN)
        assert "officernd.organization" in caught.value.advice


@pytest.mark.parametrize(
    ("fault", "kind", "applied"),
    [
        ({"kind": "lost"}, NoAnswer, 1),
        ({"kind": "cut"}, NoAnswer, 0),
        ({"kind": "stall", "seconds": 3}, NoAnswer, 1),
        ({"kind": "html"}, NoAnswer, 0),
        ({"kind": "html", "status": 200}, NoAnswer, 0),
        ({"kind": "status", "status": 504}, NoAnswer, 0),
        ({"kind": "status", "status": 500, "body": {"statusCode": 500, "message": "Something else"}}, NoAnswer, 0),
        ({"kind": "status", "status": 503}, SystemDown, 0),
        ({"kind": "status", "status": 500, "body": {"statusCode": 500, "message": "Path 'name' is required."}}, Refused, 0),
        ({"kind": "status", "status": 404, "body": {"statusCode": 404, "message": "Item with Id (x)"}}, Refused, 0),
        ({"kind": "status", "status": 302, "headers": {"Location": "/login"}}, SystemDown, 0),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_write_is_sent_once_whatever_becomes_of_it(
    make: Callable[..., OfficeRnD], sim: Simulator, fault: dict[str, Any], kind: type[WorkerError], applied: int
) -> None:
    client = make(deadline_s=1.0)
    client.locations()
    fail(sim, **fault)

    with pytest.raises(kind, match="officernd: POST /members") as caught:
        client.send(post_member(1, email="ada@example.com"), downstream_id=None)

    assert counts(sim)["POST /members"] == 1
    assert len(members(sim)) == applied
    assert "ada" not in str(caught.value)


def test_a_refused_write_names_every_fault_and_keeps_what_was_tried(make: Callable[..., OfficeRnD]) -> None:
    with pytest.raises(Refused) as caught:
        make().send(Write("POST", "/members", {"location": LONDON, "nonsense": 1}), downstream_id=None)

    assert caught.value.status == 400
    assert "property nonsense should not exist" in caught.value.answer
    assert "name must be a string" in caught.value.answer
    assert b"nonsense" in caught.value.body
    assert caught.value.route == "POST /members"


def test_an_unknown_location_is_permanent_though_it_is_a_500(make: Callable[..., OfficeRnD]) -> None:
    with pytest.raises(Refused) as caught:
        make().send(post_member(1, location=UNKNOWN), downstream_id=None)

    assert caught.value.status == 500


@pytest.mark.parametrize("form", ["suffixed", "plain", "none"])
@pytest.mark.parametrize("reset", ["seconds_left", "epoch"])
def test_a_429_closes_the_window_of_writes_and_not_that_of_reads(
    make: Callable[..., OfficeRnD], sim: Simulator, form: str, reset: str
) -> None:
    sim.control("POST", "switches", {"retry_after": form, "ratelimit_reset": reset})
    sim.control("POST", "limits", {"write_minute": 1})
    client = make()
    client.send(post_member(1), downstream_id=None)

    with pytest.raises(RateLimited) as caught:
        client.send(post_member(2), downstream_id=None)

    assert 0 < caught.value.wait_ms <= 60_000
    assert 0 < client.reserve_write("live") <= 61_000
    assert client.get("member", UNKNOWN) is None
    assert len(members(sim)) == 1


def test_the_day_is_over_when_its_window_is(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    sim.control("POST", "limits", {"write_day": 1})
    client = make()
    client.reserve_write("live")
    client.send(post_member(1), downstream_id=None)

    assert client.room("live") > 3_600_000
    assert client.reserve_write("live") > 3_600_000


def test_writes_reserved_by_several_processes_never_pass_the_limit(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    sim.control("POST", "limits", {"write_minute": 12})
    processes = [make(writes_per_minute=12) for _ in range(3)]

    def write(number: int) -> bool:
        client = processes[number % 3]
        if client.reserve_write("live"):
            return False
        client.send(post_member(number), downstream_id=None)
        return True

    with ThreadPoolExecutor(6) as threads:
        written = list(threads.map(write, range(30)))

    assert written.count(True) == 12
    assert {seen["status"] for seen in sim.control("GET", "requests?since=0")["requests"]} <= {200, 201}


def test_reserving_a_write_has_the_token_ready(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    make().reserve_write("live")

    assert sim.control("GET", "counts") == {"POST /oauth/token": 1}


def test_looking_for_room_costs_nothing(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make(writes_per_minute=1)

    assert [client.room("live") for _ in range(3)] == [0, 0, 0]
    assert client.reserve_write("live") == 0
    assert client.room("live") > 0
    assert counts(sim) == {}


def test_a_read_waits_for_its_window_or_frees_the_thread(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    sim.control("POST", "limits", {"read_minute": 2})
    client = make(max_wait_ms=500)
    client.get("member", UNKNOWN)
    client.get("member", UNKNOWN)

    with pytest.raises(RateLimited):
        client.get("member", UNKNOWN)

    assert counts(sim) == {"GET /members/{id}": 2}


def test_a_lost_lease_stops_before_each_request(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    def lost() -> None:
        raise LeaseLost("another has it")

    client = make()
    for call in (
        lambda: client.get("member", UNKNOWN, alive=lost),
        lambda: list(client.list("member", alive=lost)),
        lambda: client.send(post_member(1), downstream_id=None, alive=lost),
    ):
        with pytest.raises(LeaseLost):
            call()

    assert counts(sim) == {}


def test_a_read_that_fails_says_how(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()
    for fault, kind in (
        ({"kind": "status", "status": 500, "body": {"statusCode": 500, "message": "x"}}, SystemDown),
        ({"kind": "html"}, NoAnswer),
        ({"kind": "html", "status": 200}, SystemDown),
        ({"kind": "cut"}, NoAnswer),
    ):
        client.locations()
        fail(sim, **fault)
        with pytest.raises(kind, match=r"officernd: GET /members"):
            client.find("member", link_id=7, email="ada@example.com")


def test_a_bare_array_is_a_page(make: Callable[..., OfficeRnD]) -> None:
    body = b'[{"_id":"64b0c0ffee00000000000101"}]'
    with Peer(lambda link, _: link.sendall(answer(body))) as peer:
        pages = list(make(api_url=peer.url, tokens=PersonalToken("x")).list("member"))

    assert [len(page) for page in pages] == [1]


def test_a_failed_refresh_of_reference_data_leaves_no_thread_waiting(make: Callable[..., OfficeRnD], sim: Simulator) -> None:
    client = make()
    client.reserve_write("live")
    fail(sim, kind="status", status=503)
    with pytest.raises(SystemDown):
        client.locations()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(client.locations).result(5), "the lock of the memory was given back"


def test_an_index_is_built_from_list_pages_alone(make: Callable[..., OfficeRnD], sim: Simulator, store: redis.Redis) -> None:
    seed(
        sim,
        members=[
            {"name": f"Member {n}", "email": f"m{n}@example.com", "properties": {"capsule_link_id": str(n)}} for n in range(120)
        ],
        companies=[{"name": "Acme"}],
    )
    index = Index("acme", make(), store, lambda text: lookup_hash("s" * 40, text))

    assert index.build()

    by_name = {body["name"]: body["_id"] for body in members(sim)}
    assert index.lookup_link("member", 77) == by_name["Member 77"]
    assert index.lookup_match("member", "M119@example.com") == (by_name["Member 119"],)
    assert len(index.lookup_match("company", "Acme")) == 1
    assert counts(sim) == {"GET /companies": 1, "GET /members": 3, "GET /opportunities": 1}
