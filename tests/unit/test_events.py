"""Which records a delivery concerns: every payload that we have, and everything that may be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.agenda import KINDS
from mapping.errors import UnreadableDelivery
from mapping.events import DOWNSTREAMS, EVENTS, LARGEST_ID, delivery, kinds_of_interest, records
from tests.unit.wording import is_reason

PAYLOADS = sorted((Path(__file__).parent.parent / "payloads").glob("*.json"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["id", "event", "payload"]), inner),
    max_leaves=20,
)


def test_there_are_the_nineteen_events_of_the_documentation() -> None:
    assert len(EVENTS) == len(set(EVENTS)) == 19
    assert {event.partition("/")[0] for event in EVENTS} == set(KINDS) - {"entry"}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_every_payload_names_its_records(path: Path) -> None:
    document = json.loads(path.read_bytes())
    kind = path.stem.split("__")[0]
    event, found = delivery(document)
    assert event.split("/") == path.stem.split("__")[:2]
    assert found == tuple((kind, item["id"]) for item in document["payload"])
    assert found


def test_the_same_record_twice_counts_once_and_the_order_is_kept() -> None:
    payload = [{"id": 3}, {"id": 1}, {"id": 3, "name": "again"}, {"id": 2}]
    assert records("party/updated", payload) == (("party", 3), ("party", 1), ("party", 2))


def test_hundreds_of_items_all_count() -> None:
    assert len(records("party/created", [{"id": number} for number in range(1, 801)])) == 800


def test_unknown_keys_are_no_matter() -> None:
    document = {"event": "kase/moved", "payload": [{"id": 12, "new": {"deep": [1]}}], "site": "acme", "attempt": 3}
    assert delivery(document) == ("kase/moved", (("kase", 12),))


def test_an_empty_payload_concerns_nothing() -> None:
    assert records("user/deleted", []) == ()


@pytest.mark.parametrize("number", [1, 2**53 + 1, 9_223_372_036_854_775_807])
def test_ids_up_to_the_largest_long_are_read(number: int) -> None:
    assert records("task/created", [{"id": number}]) == (("task", number),)


@pytest.mark.parametrize(
    "item",
    [
        pytest.param({"id": True}, id="a truth value is no number"),
        pytest.param({"id": 0}, id="zero"),
        pytest.param({"id": -5}, id="negative"),
        pytest.param({"id": 12.0}, id="a float, though whole"),
        pytest.param({"id": "12"}, id="text"),
        pytest.param({"id": None}, id="null"),
        pytest.param({"id": [12]}, id="a list"),
        pytest.param({"id": 9_223_372_036_854_775_808}, id="more than a Long"),
        pytest.param({}, id="no id"),
        pytest.param([12], id="not an object"),
        pytest.param(12, id="a bare number"),
        pytest.param(None, id="nothing"),
    ],
)
def test_an_item_without_a_usable_id_spoils_itself_and_not_its_neighbours(item: object) -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        records("party/updated", [{"id": 1}, item, {"id": 2}])
    assert caught.value.records == (("party", 1), ("party", 2))
    assert caught.value.event == "party/updated"
    assert "first at position 1" in caught.value.reason


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param([], "not a JSON object", id="a list"),
        pytest.param(None, "not a JSON object", id="null"),
        pytest.param("party/updated", "not a JSON object", id="text"),
        pytest.param({}, "no event", id="empty"),
        pytest.param({"event": None, "payload": []}, "no event", id="null event"),
        pytest.param({"event": ["party/updated"], "payload": []}, "no event", id="list of events"),
        pytest.param({"event": "party/updated"}, "no payload", id="no payload"),
        pytest.param({"event": "party/updated", "payload": {"id": 1}}, "not a list", id="payload is an object"),
        pytest.param({"event": "party/updated", "payload": None}, "not a list", id="payload is null"),
        pytest.param({"event": "party/renamed", "payload": []}, "none of those", id="unknown event"),
        pytest.param({"event": "Party/Updated", "payload": []}, "none of those", id="event in other case"),
        pytest.param({"event": "", "payload": []}, "none of those", id="empty event"),
    ],
)
def test_a_body_of_another_form_is_unreadable_for_a_named_reason(document: object, reason: str) -> None:
    with pytest.raises(UnreadableDelivery, match=reason) as caught:
        delivery(document)
    assert is_reason(caught.value.reason), caught.value.reason


@given(JSON)
def test_whatever_comes_only_an_unreadable_delivery_is_raised(document: object) -> None:
    try:
        event, found = delivery(document)
    except UnreadableDelivery as error:
        event, found = error.event, error.records
    # Then: an event that is told is a documented one, so nothing of the body is repeated.
    assert event in {"", *EVENTS}
    assert all(0 < number <= LARGEST_ID for _, number in found)


@given(event=st.sampled_from(EVENTS), items=st.lists(JSON | st.fixed_dictionaries({"id": st.integers()})))
def test_good_items_are_never_lost_to_bad_ones(event: str, items: list[object]) -> None:
    ids = [item.get("id") for item in items if isinstance(item, dict)]
    good = {number for number in ids if type(number) is int and 0 < number <= LARGEST_ID}
    try:
        found = records(event, items)
    except UnreadableDelivery as error:
        found = error.records
    assert {number for _, number in found} == good
    assert len(found) == len(good)


def test_no_reason_repeats_the_body() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        delivery({"event": "canary/event", "payload": [{"id": "canary"}]})
    assert "canary" not in str(caught.value)
    assert not caught.value.event


@pytest.mark.parametrize(
    ("document", "event"),
    [
        ({"event": "party/updated"}, "party/updated"),
        ({"event": "canary/event"}, ""),
        ({"event": "party/updated", "payload": {}}, "party/updated"),
        ({"event": "canary/event", "payload": []}, ""),
        ([], ""),
    ],
    ids=["no payload", "no payload and an unknown event", "payload is an object", "unknown event", "no object"],
)
def test_an_unreadable_delivery_is_kept_under_its_event_if_that_is_known(document: object, event: str) -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        delivery(document)
    assert caught.value.event == event
    assert caught.value.records == ()


def test_each_downstream_says_which_kinds_concern_it() -> None:
    assert kinds_of_interest("officernd") == {"party", "opportunity"}
    assert kinds_of_interest("unified") == set(KINDS) - {"entry"}
    assert set(DOWNSTREAMS) == {"officernd", "unified"}
    with pytest.raises(ValueError, match=r"no downstream is called 'salesforce'; there are officernd, unified$"):
        kinds_of_interest("salesforce")
