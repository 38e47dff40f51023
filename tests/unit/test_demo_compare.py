"""The demonstration's comparison finds every kind of difference: a verdict that could only be good would prove nothing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo import product as follower
from tests.demo.__main__ import Plan, plan
from tests.demo.compare import compare

if TYPE_CHECKING:
    from collections.abc import Callable

CAPSULE: dict[str, Any] = {
    "parties": [
        {"id": 1, "type": "organisation", "name": "Amber Mill", "emailAddresses": [], "tags": [{"id": 9, "name": "Member"}]},
        {
            "id": 2,
            "type": "person",
            "firstName": "Ada",
            "lastName": "Venn",
            "emailAddresses": [{"id": 1, "address": "Ada@example.com"}],
            "organisation": {"id": 1},
            "tags": [],
        },
        {"id": 3, "type": "person", "firstName": "Bea", "lastName": None, "emailAddresses": [], "organisation": None, "tags": []},
    ],
    "opportunities": [
        {"id": 1, "name": "Two desks", "party": {"id": 2}, "milestone": {"id": 5, "name": "Bid"}},
        {"id": 2, "name": "No desks", "party": {"id": 3}, "milestone": {"id": 5, "name": "Bid"}},
    ],
}
OFFICERND: dict[str, Any] = {
    "companies": [{"_id": "c", "name": "Amber Mill", "properties": {"capsule_link_id": "1"}, "status": "inactive"}],
    "members": [
        {
            "_id": "m",
            "name": "Ada Venn",
            "email": "ada@example.com",
            "company": "c",
            "properties": {"capsule_link_id": "2"},
            "status": "contact",
        },
        {"_id": "own", "name": "Not Capsule's", "email": "x@example.com", "properties": {}, "status": "contact"},
    ],
    "opportunities": [{"_id": "o", "name": "Two desks", "member": "m", "status": "s", "properties": {"capsule_link_id": "1"}}],
    "opportunity-statuses": [{"_id": "s", "description": "Negotiation"}, {"_id": "t", "description": "Tour booked"}],
}


def test_two_sides_that_agree_are_in_step() -> None:
    found = compare(CAPSULE, OFFICERND)
    assert (found.expected, found.in_step, found.equal, found.differences) == (3, 3, True, ())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda o: o["companies"].clear(), "0 records", id="missing"),
        pytest.param(lambda o: o["members"].append({**o["members"][0], "_id": "m2"}), "2 records", id="doubled"),
        pytest.param(lambda o: o["companies"][0].update(name="Amber"), "name", id="name"),
        pytest.param(lambda o: o["members"][0].update(email="old@example.com"), "e-mail", id="e-mail"),
        pytest.param(lambda o: o["members"][0].update(company=None), "company", id="company"),
        pytest.param(lambda o: o["members"][0].update(status="former"), "former", id="former member"),
        pytest.param(lambda o: o["opportunities"][0].update(status="t"), "status", id="status"),
        pytest.param(lambda o: o["opportunities"][0].update(member="own"), "member", id="another's deal"),
        pytest.param(
            lambda o: o["members"][1]["properties"].update(capsule_link_id="3"), "should not be there", id="one that is not in"
        ),
    ],
)
def test_every_difference_is_found(spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    officernd = copy.deepcopy(OFFICERND)
    spoil(officernd)
    found = compare(CAPSULE, officernd)
    assert not found.equal
    assert any(said in difference for difference in found.differences)


def test_what_was_in_once_may_stay_but_not_twice() -> None:
    officernd = copy.deepcopy(OFFICERND)
    officernd["members"][1]["properties"]["capsule_link_id"] = "3"
    assert compare(CAPSULE, officernd, ever={("members", "3")}).equal
    officernd["members"].append({**officernd["members"][1], "_id": "again"})
    assert not compare(CAPSULE, officernd, ever={("members", "3")}).equal


def test_the_plan_follows_the_environment() -> None:
    assert plan({}) == Plan(seconds=None, real_limits=False, seed=1)
    assert plan({"DEMO_SECONDS": "60", "DEMO_LIMITS": "real"}) == Plan(seconds=60, real_limits=True, seed=1)


@pytest.mark.parametrize("environ", [{"DEMO_SECONDS": "soon"}, {"DEMO_SECONDS": "-1"}, {"DEMO_LIMITS": "none"}])
def test_a_variable_that_cannot_be_read_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"DEMO_|float"):
        plan(environ)


PRODUCT: dict[str, Any] = {
    "records": {
        "account": {"1": {"name": "Amber Mill", "email_addresses": []}},
        "contact": {"2": {"name": "Ada Venn", "email_addresses": [{"email": "Ada@example.com"}]}},
        "opportunity": {"1": {"name": "Two desks"}},
    },
    "counts": {},
}


def test_a_product_that_agrees_is_in_step() -> None:
    found = follower.compare(CAPSULE, PRODUCT)
    assert (found.expected, found.in_step, found.equal) == (3, 3, True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda state: state["records"]["contact"].pop("2"), "contact 2: is not there"),
        (lambda state: state["records"]["contact"]["2"].update(name="Eve"), "its name is 'Eve'"),
        (lambda state: state["records"]["contact"]["2"].update(email_addresses=[]), "its e-mail is ''"),
        (lambda state: state["records"]["contact"].update({"3": {"name": "Bea"}}), "contact 3: should not be there"),
        (lambda state: state["counts"].update(refused=2), "2 messages with a wrong signature"),
    ],
    ids=["missing", "name", "e-mail", "too many", "signature"],
)
def test_a_product_that_differs_is_not(spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    state = copy.deepcopy(PRODUCT)
    spoil(state)
    found = follower.compare(CAPSULE, state)
    assert not found.equal
    assert said in " ".join(found.differences)
