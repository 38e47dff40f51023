"""Capsule's simulator: subscribing and delivering (reference/capsule.md §1)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.capsule_desk import Capsule, Receiver, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://relay.example/hooks"


def subscribe(capsule: Capsule, *, token: str | None = None, **body: Any) -> Any:
    """Subscribe through the API, by default with the application's token."""
    wanted = {"event": "party/created", "targetUrl": URL, **body}
    return capsule.ask("POST", "/resthooks", token=token or capsule.application, json={"restHook": wanted})


def test_an_application_subscribes_lists_shows_and_unsubscribes(capsule: Capsule) -> None:
    """§1.2."""
    made = subscribe(capsule, embed="tags,fields")
    hook = made.json()["restHook"]
    assert (made.status_code, made.headers["location"]) == (201, f"http://capsule.example/api/v2/resthooks/{hook['id']}")
    assert hook == {"id": hook["id"], "event": "party/created", "targetUrl": URL, "embed": "tags,fields", "batched": True}
    assert capsule.ask("GET", "/resthooks", token=capsule.application).json() == {"restHooks": [hook]}
    assert capsule.ask("GET", f"/resthooks/{hook['id']}", token=capsule.application).json() == {"restHook": hook}
    gone = capsule.ask("DELETE", f"/resthooks/{hook['id']}", token=capsule.application)
    assert (gone.status_code, gone.content) == (204, b"")
    assert capsule.ask("GET", f"/resthooks/{hook['id']}", token=capsule.application).status_code == 404


def test_hooks_print_more_by_switch(capsule: Capsule) -> None:
    """§1.1: absent in the examples."""
    capsule.switch(hook_shape="full")
    hook = subscribe(capsule, description="mine").json()["restHook"]
    assert (hook["description"], hook["clientId"]) == ("mine", "capsule-client")
    assert {"user", "createdAt", "updatedAt"} <= hook.keys()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/resthooks"), ("POST", "/resthooks"), ("GET", "/resthooks/1"), ("DELETE", "/resthooks/1")]
)
@pytest.mark.parametrize("status", ["403", "401"])
def test_a_personal_token_cannot_manage_hooks(capsule: Capsule, method: str, path: str, status: str) -> None:
    """§1.3, §2.1; the status is a switch."""
    capsule.switch(pat_hooks=status)
    body = {"restHook": {"event": "party/created", "targetUrl": URL}} if method == "POST" else None
    assert capsule.ask(method, path, json=body).status_code == int(status)


def test_only_an_administrator_manages_hooks(capsule: Capsule) -> None:
    """§1.3."""
    other = next(row["id"] for row in capsule.get("/users")["users"] if row["username"] == "rupert")
    capsule.control("POST", "tokens", {"token": "plain-user", "user": other, "application": "capsule-client"})
    assert subscribe(capsule, token="plain-user").status_code == 403


def test_another_application_s_hooks_are_invisible_but_use_up_the_twenty(capsule: Capsule) -> None:
    """§1.3: 20 for each account."""
    others = [{"event": "party/created", "targetUrl": URL, "application": "zapier"}] * 19
    made = capsule.control("POST", "hooks", others)["restHooks"]
    assert subscribe(capsule).status_code == 201
    refused = subscribe(capsule, event="party/updated")
    assert (refused.status_code, refused.json()["message"]) == (422, "Validation Failed")
    assert len(capsule.ask("GET", "/resthooks", token=capsule.application).json()["restHooks"]) == 1
    for method in ("GET", "DELETE"):
        assert capsule.ask(method, f"/resthooks/{made[0]['id']}", token=capsule.application).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"event": "task/deleted"},
        {"event": "entry/created"},
        {"event": "party/*"},
        {"event": None},
        {"targetUrl": None},
        {"targetUrl": "http://relay.example/hooks"},
    ],
    ids=str,
)
def test_a_subscription_that_cannot_be_is_422(capsule: Capsule, body: dict[str, Any]) -> None:
    """§1.4: no task/deleted, nothing for notes, no wildcards; §7: other refusals are likely."""
    assert subscribe(capsule, **body).status_code == 422


@pytest.mark.parametrize(("position", "status"), [("accepted", 201), ("refused", 422)])
def test_subscribing_twice_is_a_switch(capsule: Capsule, position: str, status: int) -> None:
    """§1.3: no rule documented."""
    capsule.switch(duplicate_hooks=position)
    subscribe(capsule)
    assert subscribe(capsule).status_code == status


def test_subscribing_sends_no_verification(capsule: Capsule, receiver: Receiver) -> None:
    """§1.2: no handshake."""
    assert subscribe(capsule, targetUrl=receiver.url).status_code == 201
    capsule.idle()
    assert receiver.bodies == []


def test_a_delivery_has_event_and_payload_and_nothing_else(capsule: Capsule, receiver: Receiver) -> None:
    """§1.5: items as Show prints them, without tags and fields for a hook without embed; no signature (§1.8)."""
    capsule.hook("party/created", receiver.url)
    number = capsule.person(tags=[{"name": "VIP"}])["id"]
    capsule.idle()
    assert receiver.bodies == [{"event": "party/created", "payload": [capsule.get(f"/parties/{number}")["party"]]}]
    assert receiver.headers[0]["content-type"] == "application/json"
    assert not [name for name in receiver.headers[0] if "signature" in name or name.startswith("x-")]


def test_a_hook_s_embed_shapes_its_items(capsule: Capsule, receiver: Receiver) -> None:
    """§3.5."""
    capsule.hook("party/created", receiver.url, embed="tags,fields,organisation")
    person = capsule.person(tags=[{"name": "VIP"}], organisation={"name": "Acme"})["id"]
    capsule.idle()
    item = next(body["payload"][0] for body in receiver.bodies if body["payload"][0]["id"] == person)
    assert item == capsule.get(f"/parties/{person}", embed="tags,fields,organisation")["party"]


EDITS: list[tuple[str, Callable[[Capsule], object], list[str]]] = [
    ("a person is made", lambda c: c.person(), ["party/created"]),
    (
        "a person is made with a new organisation",
        lambda c: c.person(organisation={"name": "Acme"}),
        ["party/created", "party/created"],
    ),
    ("an opportunity is made", lambda c: c.opportunity(), ["opportunity/created", "party/created"]),
    ("a task is made", lambda c: c.make("task", "tasks", description="x", dueOn="2026-01-01"), ["task/created"]),
    ("a user is made", lambda c: c.control("POST", "users", {"name": "N Example", "username": "n"}), ["user/created"]),
]


@pytest.mark.parametrize(("edit", "expected"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_what_is_made_fires_created(
    capsule: Capsule, receiver: Receiver, edit: Callable[[Capsule], object], expected: list[str]
) -> None:
    """§1.4: one's own writes are not suppressed."""
    for event in ("party/created", "opportunity/created", "kase/created", "task/created", "user/created"):
        capsule.hook(event, receiver.url)
    edit(capsule)
    capsule.idle()
    assert sorted(receiver.events()) == expected


@pytest.mark.parametrize(("position", "more"), [("no", []), ("yes", ["opportunity/updated"])])
def test_moving_and_closing_an_opportunity(capsule: Capsule, receiver: Receiver, position: str, more: list[str]) -> None:
    """§1.4; whether updated fires too is a switch."""
    capsule.switch(updated_fires_with_moved_closed=position)
    for operation in ("updated", "moved", "closed"):
        capsule.hook(f"opportunity/{operation}", receiver.url)
    deal = capsule.opportunity()
    capsule.put(f"/opportunities/{deal['id']}", "opportunity", milestone=capsule.milestone("Bid"))
    capsule.idle()
    assert sorted(receiver.events()) == sorted(["opportunity/moved", *more])
    receiver.bodies.clear()
    capsule.put(f"/opportunities/{deal['id']}", "opportunity", milestone=capsule.milestone("Lost"))
    capsule.idle()
    assert sorted(receiver.events()) == sorted(["opportunity/closed", "opportunity/moved", *more])
    closed = next(body["payload"][0] for body in receiver.bodies if body["event"] == "opportunity/closed")
    assert (closed["milestone"]["name"], closed["probability"]) == ("Lost", 0)
    assert closed["closedOn"] is not None


def test_moving_and_closing_a_project_and_completing_a_task(capsule: Capsule, receiver: Receiver) -> None:
    """§1.4."""
    for event in ("kase/updated", "kase/moved", "kase/closed", "task/updated", "task/completed"):
        capsule.hook(event, receiver.url)
    stages = capsule.get("/stages")["stages"]
    kase = capsule.make("kase", "kases", name="x", party=capsule.person()["id"], stage=stages[0]["id"])
    task = capsule.make("task", "tasks", description="x", dueOn="2026-01-01")
    for path, kind, change in [
        (f"/kases/{kase['id']}", "kase", {"stage": stages[1]["id"]}),
        (f"/kases/{kase['id']}", "kase", {"status": "CLOSED"}),
        (f"/tasks/{task['id']}", "task", {"status": "COMPLETED"}),
    ]:
        capsule.put(path, kind, **change)
    capsule.idle()
    assert sorted(receiver.events()) == ["kase/closed", "kase/moved", "task/completed"]


@pytest.mark.parametrize("position", ["no", "yes"])
@pytest.mark.parametrize(
    ("switch", "change"),
    [
        ("tag_change_fires_updated", {"tags": [{"name": "VIP"}]}),
        ("field_change_fires_updated", {"fields": [{"definition": {"name": "Plan"}, "value": "Flex"}]}),
        ("unchanged_put_counts", {}),
    ],
    ids=["tags", "fields", "nothing"],
)
def test_whether_a_change_of_tags_fields_or_nothing_fires_updated_is_a_switch(
    capsule: Capsule,
    receiver: Receiver,
    switch: str,
    change: dict[str, Any],
    position: str,
) -> None:
    """§1.4: unknown."""
    capsule.switch(**{switch: position})
    capsule.hook("party/updated", receiver.url)
    capsule.put(f"/parties/{capsule.person()['id']}", "party", **change)
    capsule.idle()
    assert receiver.events() == ["party/updated"] * (position == "yes")


@pytest.mark.parametrize("position", ["no", "yes"])
def test_whether_a_note_fires_updated_is_a_switch(capsule: Capsule, receiver: Receiver, position: str) -> None:
    """§1.4: unknown."""
    capsule.switch(note_fires_updated=position)
    capsule.hook("party/updated", receiver.url)
    capsule.make("entry", "entries", type="note", content="x", party=capsule.person()["id"])
    capsule.idle()
    assert receiver.events() == ["party/updated"] * (position == "yes")


@pytest.mark.parametrize("position", ["minimal", "full"])
def test_what_a_deleted_payload_holds_is_a_switch(capsule: Capsule, receiver: Receiver, position: str) -> None:
    """§1.6: unknown."""
    capsule.switch(deleted_payload=position)
    capsule.hook("party/deleted", receiver.url)
    party = capsule.get(f"/parties/{capsule.person()['id']}")["party"]
    capsule.ask("DELETE", f"/parties/{party['id']}")
    capsule.idle()
    item = receiver.bodies[0]["payload"][0]
    assert item == party if position == "full" else (item["id"] == party["id"] and item.keys() == {"id", "deletedAt"})


@pytest.mark.parametrize(("position", "expected"), [("no", ["party/deleted"]), ("yes", ["opportunity/deleted", "party/deleted"])])
def test_whether_a_cascade_fires_deleted_is_a_switch(
    capsule: Capsule, receiver: Receiver, position: str, expected: list[str]
) -> None:
    """§1.4, §5.6: unknown."""
    capsule.switch(cascade_fires_deleted=position)
    for event in ("party/deleted", "opportunity/deleted"):
        capsule.hook(event, receiver.url)
    capsule.ask("DELETE", f"/parties/{capsule.opportunity()['party']['id']}")
    capsule.idle()
    assert sorted(receiver.events()) == expected


def test_hiding_a_record_fires_nothing(capsule: Capsule, receiver: Receiver) -> None:
    """§1.11."""
    for operation in ("updated", "deleted"):
        capsule.hook(f"party/{operation}", receiver.url)
    capsule.control("POST", "restrict", {"kind": "party", "id": capsule.person()["id"]})
    capsule.idle()
    assert receiver.bodies == []


def test_a_batch_holds_several_events_and_the_same_record_twice(capsule: Capsule, receiver: Receiver) -> None:
    """§1.7."""
    capsule.switch(batched="3")
    capsule.control("POST", "limits", {"batch_seconds": 0.05})
    capsule.hook("party/updated", receiver.url)
    first, second = capsule.person()["id"], capsule.person()["id"]
    for number in (first, first, second, second):
        capsule.put(f"/parties/{number}", "party", jobTitle="Director")
    capsule.idle()
    batches = sorted(([item["id"] for item in body["payload"]] for body in receiver.bodies), key=len)
    assert batches == [[second], [first, first, second]]


def test_now_and_then_a_delivery_comes_twice(capsule: Capsule, receiver: Receiver) -> None:
    """§1.10, limit duplicate_every."""
    capsule.control("POST", "limits", {"duplicate_every": 2})
    capsule.hook("party/created", receiver.url)
    capsule.person()
    capsule.person()
    capsule.idle()
    assert len(receiver.bodies) == 3


@pytest.mark.parametrize("status", [500, 404, 400, 301, 503, 429])
def test_a_delivery_that_is_not_taken_is_tried_again(capsule: Capsule, receiver: Receiver, status: int) -> None:
    """§1.9: redirects are not followed; other 4xx are retried (assumed)."""
    receiver.answers = [status, status]
    capsule.hook("party/created", receiver.url)
    capsule.person()
    attempts = capsule.idle()
    assert [attempt["status"] for attempt in attempts] == [status, status, 202]
    assert len({attempt["delivery"] for attempt in attempts}) == 1
    assert receiver.bodies[0] == receiver.bodies[2]


def test_after_six_failures_the_hook_is_dropped_without_notice(capsule: Capsule, receiver: Receiver) -> None:
    """§1.9: five more attempts after the first."""
    receiver.answers = [500] * 6
    hook = capsule.hook("party/created", receiver.url)
    capsule.person()
    assert len(capsule.idle()) == 6
    assert [drop["hook"] for drop in capsule.control("GET", "deliveries")["dropped"]] == [hook]
    assert capsule.ask("GET", "/resthooks", token=capsule.application).json() == {"restHooks": []}
    capsule.person()
    assert len(capsule.idle()) == 6


def test_the_waits_between_attempts(capsule: Capsule, receiver: Receiver) -> None:
    """§1.9: 5 s, 1 min, 5 min, 15 min, 15 min, here scaled by time_scale."""
    capsule.control("POST", "limits", {"time_scale": 0.0003})
    receiver.answers = [500] * 6
    capsule.hook("party/created", receiver.url)
    capsule.person()
    times = [attempt["at"] for attempt in capsule.idle()]
    waits = [after - before for before, after in pairwise(times)]
    for waited, documented in zip(waits, (5, 60, 300, 900, 900), strict=True):
        assert waited >= documented * 0.0003


def test_410_drops_the_hook_at_once(capsule: Capsule, receiver: Receiver) -> None:
    """§1.9."""
    receiver.answers = [410]
    capsule.hook("party/created", receiver.url)
    capsule.person()
    assert [attempt["status"] for attempt in capsule.idle()] == [410]
    assert capsule.control("GET", "hooks") == {"restHooks": []}


def test_a_receiver_that_is_slow_or_away_has_failed(capsule: Capsule, receiver: Receiver) -> None:
    """§1.9: the time-out is a limit."""
    capsule.control("POST", "limits", {"delivery_timeout": 0.05})
    receiver.seconds = 0.3
    capsule.hook("party/created", receiver.url)
    capsule.hook("party/created", "http://127.0.0.1:1/hook")
    capsule.person()
    attempts = capsule.idle()
    assert {attempt["status"] for attempt in attempts} == {None}
    assert {attempt["problem"] for attempt in attempts} == {"TimeoutError", "ConnectionRefusedError"}
    assert len(capsule.control("GET", "deliveries")["dropped"]) == 2


def test_unsubscribing_stops_what_waits_for_another_attempt(capsule: Capsule, receiver: Receiver) -> None:
    """§1.2: events stop at once."""
    capsule.control("POST", "limits", {"time_scale": 0.02})
    receiver.answers = [500] * 6
    hook = capsule.hook("party/created", receiver.url)
    capsule.person()
    eventually(lambda: len(receiver.bodies) == 1, what="the first attempt")
    assert capsule.ask("DELETE", f"/resthooks/{hook}", token=capsule.application).status_code == 204
    capsule.idle()
    assert len(receiver.bodies) == 1


def test_edits_can_go_unannounced(capsule: Capsule, receiver: Receiver) -> None:
    """§1.11: what was missed while a hook was dead; switch events_lost."""
    capsule.hook("party/created", receiver.url)
    capsule.switch(events_lost="yes")
    capsule.person()
    capsule.idle()
    assert receiver.bodies == []


def test_one_hook_s_retries_do_not_hold_back_its_other_deliveries(capsule: Capsule, receiver: Receiver) -> None:
    """§1.10: a later event may arrive first."""
    capsule.control("POST", "limits", {"time_scale": 0.05})
    receiver.answers = [500]
    capsule.hook("party/created", receiver.url)
    first = capsule.person()["id"]
    eventually(lambda: len(receiver.bodies) == 1, what="the first attempt")
    second = capsule.person()["id"]
    capsule.idle()
    assert [body["payload"][0]["id"] for body in receiver.bodies] == [first, second, first]


def test_a_delivery_whose_connection_ends_is_tried_again_only_after_the_wait(capsule: Capsule, receiver: Receiver) -> None:
    """§1.9: a cut is a failed attempt; nothing is sent again at once."""
    receiver.answers = [202, 0]
    capsule.hook("party/created", receiver.url)
    capsule.person()
    capsule.idle()
    capsule.person()
    attempts = capsule.idle()
    assert [attempt["status"] for attempt in attempts] == [202, None, 202]
    assert len(receiver.bodies) == 3
