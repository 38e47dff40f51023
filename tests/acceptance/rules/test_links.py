"""Which record of OfficeRnD is the one: taken up rather than made (DESIGN.md §6, "First match", and its edges, "Links")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping.agenda import key, ledger_key, link_key, match_key, tally_key
from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), {"acme": Rules()}) as running:
        yield running


def next_party(world: World) -> int:
    """The id that Capsule will give to its next party."""
    return world.person("Somebody") + 1


@pytest.mark.parametrize("synced", [False, True], ids=["by an event", "by a full sync"])
def test_a_record_that_carries_the_id_is_taken_up(world: World, synced: bool) -> None:
    """First match, in order: our ledger; `capsule_link_id`; and so on."""
    firm, name = next_party(world), f"Linked {synced} Ltd"
    link = {"capsule_link_id": str(firm)}
    company = world.acme.seed("companies", name="Another name altogether", properties={**link, "kept": "by staff"})
    world.acme.seed("companies", name=name)
    if synced:
        world.capsule.control("POST", "switches", {"events_lost": "yes"})
    try:
        assert world.organisation(name, "member") == firm
        if synced:
            world.full_sync()
    finally:
        world.capsule.control("POST", "switches", {"events_lost": "no"})
    taken = world.acme.company(firm)
    assert (taken["_id"], taken["name"], taken["properties"]["kept"]) == (company, name, "by staff")


@pytest.mark.parametrize("synced", [False, True], ids=["by an event", "by a full sync"])
def test_one_single_member_with_that_email_is_taken_up(world: World, synced: bool) -> None:
    """One single member with that e-mail (lower case); any status is a candidate."""
    address = f"adopted{synced:d}@x.example"
    member = world.acme.seed("members", name="Before Us", email=address, manualStatus="former")
    if synced:
        world.capsule.control("POST", "switches", {"events_lost": "yes"})
    try:
        number = world.person("Ada", "member", email=address.upper())
        if synced:
            world.full_sync()
    finally:
        world.capsule.control("POST", "switches", {"events_lost": "no"})
    taken = world.acme.member(number)
    assert (taken["_id"], taken["name"]) == (member, "Ada Example")
    assert [one["_id"] for one in world.acme.records("members") if one.get("email") == address] == [member]


def test_one_single_company_with_that_exact_name_is_taken_up(world: World) -> None:
    """One single company with that exact name."""
    company, other = world.acme.seed("companies", name="Exact Ltd"), world.acme.seed("companies", name="exact ltd")
    firm = world.organisation("Exact Ltd", "member")
    assert world.acme.company(firm)["_id"] == company
    assert "capsule_link_id" not in next(one for one in world.acme.records("companies") if one["_id"] == other)["properties"]


def test_no_match_is_a_new_record(world: World) -> None:
    """Else create: a name alone does not make a member, nor an e-mail a company."""
    world.acme.seed("members", name="Bea Example", email="another@x.example")
    world.acme.seed("companies", name="Another Ltd", email="hello@bea.example")
    with world.acme.writing() as writes:
        world.person("Bea", "member", email="bea@x.example")
        world.organisation("Bea Ltd", "member", email="hello@bea.example")
    assert writes == ["POST /members", "POST /companies"]


def test_several_members_with_that_email_are_held_until_a_person_decides(world: World) -> None:
    """Several matches: held, as when two members share an e-mail."""
    first, second = (world.acme.seed("members", name="Twin", email="twin@x.example") for _ in range(2))
    number = world.person("Cleo", "member", email="twin@x.example")
    assert world.acme.held(number) == "shared_email"
    assert first in world.acme.reason(number)
    assert second in world.acme.reason(number)
    assert "twin@x.example" not in world.acme.reason(number)
    assert not world.acme.has(number)

    edit = {"resource": "members", "id": second, "fields": {"properties": {"capsule_link_id": str(number)}}}
    world.officernd.control("POST", "edit", edit)
    world.change(number, about="tried again when the record changes")
    assert world.acme.member(number)["_id"] == second


def test_several_companies_with_that_name_are_held(world: World) -> None:
    """Several matches: held."""
    for _ in range(2):
        world.acme.seed("companies", name="Branches Ltd")
    firm = world.organisation("Branches Ltd", "member")
    assert world.acme.held(firm) == "shared_name"
    number = world.person("Dev", of=firm)
    assert world.acme.held(number) == "other_held"


def test_several_records_with_our_id_are_held(world: World) -> None:
    """Several matches: held, also among those that carry the id."""
    number = next_party(world)
    for _ in range(2):
        world.acme.seed("members", name="Doubled", properties={"capsule_link_id": str(number)})
    assert world.person("Eli", "member") == number
    assert world.acme.held(number) == "linked_twice"


def test_a_record_that_is_linked_elsewhere_is_never_a_candidate(world: World) -> None:
    """A member or company linked to another Capsule id is never a candidate; any status is."""
    member = world.acme.seed("members", name="Linked", email="linked@x.example", properties={"capsule_link_id": "7"})
    company = world.acme.seed("companies", name="Linked elsewhere Ltd", properties={"capsule_link_id": "8"})
    number, firm = world.person("Fay", "member", email="linked@x.example"), world.organisation("Linked elsewhere Ltd", "member")
    assert world.acme.member(number)["_id"] != member
    assert world.acme.company(firm)["_id"] != company


def test_two_people_who_share_an_email_are_two_members(world: World) -> None:
    """Two people who share an e-mail are two members."""
    first, second = world.person("Gus", "member", email="us@x.example"), world.person("Hana", "member", email="us@x.example")
    assert world.acme.member(first)["_id"] != world.acme.member(second)["_id"]
    assert {world.acme.member(one)["email"] for one in (first, second)} == {"us@x.example"}


def test_our_ledger_comes_first(world: World) -> None:
    """First match, in order: our ledger; …: a second record that fits better later changes nothing."""
    number = world.person("Ivo", "member", email="ivo@x.example")
    member = world.acme.member(number)["_id"]
    world.acme.seed("members", name="Ivo Example", email="new@x.example")
    world.details(number, "emailAddresses", address="new@x.example")
    assert world.acme.member(number)["_id"] == member


def test_a_deal_that_carries_the_id_is_taken_up(world: World) -> None:
    """First match: `capsule_link_id`, for opportunities among those of their party."""
    firm = world.organisation("Dealt Ltd", "member")
    deal = world.deal("The one before", firm) + 1
    company = world.acme.company(firm)["_id"]
    seeded = world.acme.seed("opportunities", name="There already", company=company, properties={"capsule_link_id": str(deal)})
    assert world.deal("Dealt", firm) == deal
    assert (world.acme.opportunity(deal)["_id"], world.acme.opportunity(deal)["name"]) == (seeded, "Dealt")


def test_a_full_sync_after_a_lost_data_store_makes_nothing_twice(world: World) -> None:
    """Idea 4: "a lost Redis is rebuilt by a reconcile without one" (a duplicate)."""
    before = {name: {one["_id"] for one in world.acme.records(name)} for name in ("members", "companies", "opportunities")}
    with world.store() as store:
        store.delete(*(of("acme") for of in (ledger_key, tally_key, link_key, match_key)), key("index"))
    with world.acme.writing() as writes:
        world.full_sync()
    assert {name: {one["_id"] for one in world.acme.records(name)} for name in before} == before
    assert not [one for one in writes if one.startswith("POST")]


def test_a_second_member_with_an_email_that_officernd_refuses_is_a_letter(world: World) -> None:
    """Two people who share an e-mail are two members, unless OfficeRnD refuses that (officernd.md §3.2: unknown)."""
    world.officernd.control("POST", "switches", {"duplicate_email": "refuse"})
    try:
        first = world.person("Jun", "member", email="both@x.example")
        second = world.person("Kit", "member", email="both@x.example")
        assert world.acme.has(first)
        assert not world.acme.has(second)
        assert world.acme.letter(second)
        # A later edit heals it.
        world.details(second, "emailAddresses", address="kit@x.example")
        assert world.acme.member(second)["email"] == "kit@x.example"
        assert not world.acme.letter(second)
    finally:
        world.officernd.control("POST", "switches", {"duplicate_email": "allow"})
