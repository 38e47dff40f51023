"""Kases, tasks, users and entries: how they are read, when they are in, and what of them a reconcile page shows to differ."""

from __future__ import annotations

from typing import Any

import pytest

from mapping import capsule, drift, rules
from mapping.errors import UnreadableRecord
from mapping.judge import Verdict, judge_attached, needs_party
from mapping.records import Attached, Gone, Organisation, Person
from tests.unit.samples import organisation, person

IN = {"in": True, "location": None, "name": "x"}
THROUGH = {"in": False, "organisation_in": True}
OUT = {"in": False, "organisation_in": False}


def connection(**settings: object) -> rules.Connection:
    table = {"downstream": "unified", "tags_to_sync": "member", **settings}
    return rules.parse({"connections": {"acme": table}})["acme"]


MEMBERS = connection()
ALL = connection(tags_to_sync="")
TASK: dict[str, Any] = {"id": 9, "party": {"id": 5}, "opportunity": {"id": 12}, "kase": None, "description": "Ring"}


class Kept:
    """A ledger entry, as far as it matters here."""

    outcome = "in_step"

    def __init__(self, *, is_in: bool, number: str | None = "9", **state: Any) -> None:
        self.is_in = is_in
        self.id = number
        self.state = state


@pytest.mark.parametrize(
    ("kind", "body", "party_id", "through"),
    [
        ("task", TASK, 5, ("opportunity", 12)),
        ("task", {"id": 9, "opportunity": {"id": 12}, "kase": {"id": 13}}, None, ("kase", 13)),
        ("entry", {"id": 9, "kase": {"id": 13}}, None, ("kase", 13)),
        ("kase", TASK, 5, None),
        ("user", {**TASK, "party": {"id": 5}}, None, None),
        ("user", {"id": 9, "party": "hers"}, None, None),
        ("task", {"id": 9}, None, None),
    ],
)
def test_whom_a_record_belongs_to(kind: str, body: dict[str, Any], party_id: int | None, through: tuple[str, int] | None) -> None:
    found = capsule.attached(kind, body)
    assert found == Attached(kind, 9, party_id=party_id, through=through, restricted=False, raw={})
    assert found.raw == body
    assert capsule.attached(kind, {**body, "isRestricted": True}).restricted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "a record of kind task is not a JSON object"),
        ({}, "a record of kind task has no usable `id`"),
        ({"id": 9, "party": 5}, "`party` of task 9 is not a JSON object"),
        ({"id": 9, "party": {}}, "the party of task 9 has no usable `id`"),
        ({"id": 9, "opportunity": 5}, "`opportunity` of task 9 is not a JSON object"),
        ({"id": 9, "kase": {}}, "the kase of task 9 has no usable `id`"),
    ],
)
def test_what_is_no_such_record_is_refused(body: Any, said: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        capsule.attached("task", body)
    assert str(caught.value) == said


def record(kind: str = "task", **keys: Any) -> Attached:
    return capsule.attached(kind, {**TASK, **keys})


HIDDEN = "it belongs to no party that Capsule shows us, and tags_to_sync is not empty"


@pytest.mark.parametrize(
    ("by", "found", "party", "employer", "verdict"),
    [
        (ALL, Gone("task", 9, restricted=False), None, None, Verdict(is_in=False, why="it was deleted in Capsule")),
        (ALL, record(isRestricted=True), None, None, Verdict(is_in=False, why="it is hidden from the token's user in Capsule")),
        (MEMBERS, record("user"), None, None, Verdict(is_in=True, why="users are always in")),
        (ALL, record(), None, None, Verdict(is_in=True, why="tags_to_sync is empty, so everything is in")),
        (MEMBERS, record(), None, None, Verdict(is_in=False, why=HIDDEN)),
        (MEMBERS, record(), Gone("party", 5, restricted=False), None, Verdict(is_in=False, why=HIDDEN)),
        (MEMBERS, record(), person(isRestricted=True), None, Verdict(is_in=False, why=HIDDEN)),
        (
            MEMBERS,
            record(),
            person(tags=("member",)),
            None,
            Verdict(is_in=True, why='its party is in: tag "member" matches "member"'),
        ),
        (
            connection(sync_untagged_contacts=False),
            record(),
            person(employer=701),
            organisation(tags=("member",)),
            Verdict(is_in=True, why='the organisation of its party is in: tag "member" matches "member"'),
        ),
        (
            MEMBERS,
            record(),
            person(),
            None,
            Verdict(is_in=False, why='its party is out: no tag matches "member", and it has no organisation'),
        ),
    ],
)
def test_a_record_is_in_by_its_party(
    by: rules.Connection,
    found: Attached | Gone,
    party: Person | Organisation | Gone | None,
    employer: Organisation | None,
    verdict: Verdict,
) -> None:
    heard: list[tuple[str, str, str, str]] = []
    said = judge_attached(
        by, found, party, employer, heard=lambda step: heard.append((step.about, step.rule, step.says, step.text))
    )
    assert said == verdict
    rule = "capsule" if verdict.why == HIDDEN or "in Capsule" in verdict.why else "tags_to_sync"
    kind = found.kind
    assert heard[-1] == (f"{kind} 9", rule, "in" if verdict.is_in else "out", verdict.why)


@pytest.mark.parametrize(
    ("by", "kind", "needed"), [(MEMBERS, "task", True), (MEMBERS, "user", False), (ALL, "task", False), (ALL, "user", False)]
)
def test_the_party_is_read_only_where_the_verdict_rests_on_it(by: rules.Connection, kind: str, needed: bool) -> None:
    assert needs_party(by, record(kind)) is needed
    assert drift.account(by, record(kind), {})["alone"] is not needed


def test_a_run_leaves_an_account_of_it_like_that_of_a_party() -> None:
    left = drift.account(MEMBERS, record(), {"party|5": (IN, "b")})
    assert left == {
        "body": drift.fingerprint(MEMBERS, TASK),
        "rules": drift.rules_digest(MEMBERS, "task"),
        "rests": {"party|5": [IN, "b"]},
        "tags": [],
        "alone": False,
    }
    assert left["rules"] == drift.rules_digest(MEMBERS, "party") != drift.rules_digest(MEMBERS, "opportunity")


@pytest.mark.parametrize("kind", ["kase", "task", "entry"])
def test_what_it_rests_on_is_its_party(kind: str) -> None:
    assert drift.concerned(kind, TASK) == "party|5"


def test_a_user_rests_on_nobody() -> None:
    assert drift.concerned("user", TASK) is None


def test_the_models_of_a_product_are_a_rule() -> None:
    def of(*models: str, url: str = "https://product.example/hook") -> str:
        return drift.rules_digest(connection(unified={"url": url, "models": list(models)}), "task")

    assert of("contacts") != of("contacts", "tasks")
    assert of("contacts") == of("contacts", url="https://product.example/other")


CHANGED = {**TASK, "description": "Write"}
LOOSE = {"id": 9, "opportunity": {"id": 12}}


@pytest.mark.parametrize(
    ("by", "was_in", "party", "body", "found"),
    [
        (MEMBERS, True, IN, TASK, None),
        (MEMBERS, True, IN, CHANGED, drift.Finding("changed")),
        (MEMBERS, True, THROUGH, CHANGED, drift.Finding("changed")),
        (MEMBERS, True, OUT, CHANGED, drift.Finding("fell out", releases=True)),
        (MEMBERS, False, IN, CHANGED, drift.Finding("came in")),
        (MEMBERS, True, IN, {**TASK, "isRestricted": True}, drift.Finding("fell out", releases=True)),
        (MEMBERS, True, IN, LOOSE, drift.Finding("changed")),
        (MEMBERS, True, OUT, LOOSE, drift.Finding("fell out", releases=True)),
        (ALL, True, OUT, CHANGED, drift.Finding("changed")),
        (ALL, True, OUT, {**CHANGED, "isRestricted": True}, drift.Finding("fell out", releases=True)),
    ],
)
def test_what_a_page_shows_of_it(
    by: rules.Connection, was_in: bool, party: dict[str, Any], body: dict[str, Any], found: drift.Finding | None
) -> None:
    account = drift.account(by, record(), {"party|5": (party, "b")})
    entry = Kept(is_in=was_in, account=account)
    others: dict[str, drift.Known | None] = {"party|5": Kept(is_in=party["in"], number="b", passes_on=party)}
    assert drift.compare(by, "task", body, entry, others, letter=False, full=True) == found


def test_a_user_stays_in_whatever_its_party_is() -> None:
    entry = Kept(is_in=True, account=drift.account(MEMBERS, record("user"), {}))
    others: dict[str, drift.Known | None] = {"party|5": Kept(is_in=False, passes_on=OUT)}
    assert drift.compare(MEMBERS, "user", CHANGED, entry, others, letter=False, full=True) == drift.Finding("changed")


def test_who_rests_on_nobody_is_out_by_tags_alone() -> None:
    entry = Kept(is_in=True, account=drift.account(MEMBERS, record(party=None, opportunity=None), {}))
    loose: dict[str, Any] = {"id": 9, "description": "Write"}
    assert drift.compare(MEMBERS, "task", loose, entry, {}, letter=False, full=True) == drift.Finding("fell out", releases=True)
