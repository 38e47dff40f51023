"""People of organisations (DESIGN.md §6, `sync_untagged_contacts`, and its edges)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    connections = {
        "acme": Rules('member, !"not this one"'),
        "strict": Rules("member", settings="sync_untagged_contacts = false"),
        "former": Rules("member", settings='on_gone = "former"'),
    }
    with World(tmp_path_factory.mktemp("world"), connections) as running:
        yield running


def test_a_person_is_in_when_its_organisation_is_in(world: World) -> None:
    """`sync_untagged_contacts`: a person is in when its organisation is in."""
    firm = world.organisation("Open Ltd", "member")
    number = world.person("Ada", of=firm)
    assert world.acme.member(number)["company"] == world.acme.company(firm)["_id"]
    assert world.acme.judged(number).why.startswith("its organisation is in: ")


def test_without_the_setting_only_tagged_people_are_in(world: World) -> None:
    """`sync_untagged_contacts = false`: a person needs a tag of its own."""
    firm = world.organisation("Strict Ltd", "member")
    untagged, tagged = world.person("Bea", of=firm), world.person("Cleo", "member", of=firm)
    assert not world["strict"].has(untagged)
    assert "sync_untagged_contacts is off" in world["strict"].judged(untagged).why
    assert world["strict"].member(tagged)["company"] == world["strict"].company(firm)["_id"]


def test_an_organisation_that_comes_in_brings_its_people(world: World) -> None:
    """When an organisation comes in, its people follow."""
    firm = world.organisation("Later Ltd")
    people = [world.person(first, of=firm) for first in ("Dev", "Eli", "Fay")]
    assert not any(world.acme.has(one) for one in people)

    world.tag(firm, "member")

    company = world.acme.company(firm)["_id"]
    assert [world.acme.member(one)["company"] for one in people] == [company] * 3
    assert not any(world["strict"].has(one) for one in people)


def test_when_it_leaves_they_are_judged_again(world: World) -> None:
    """When it leaves, they are judged again: who has a tag of its own stays."""
    firm = world.organisation("Leaving Ltd", "member")
    untagged, tagged = world.person("Gus", of=firm), world.person("Hana", "member", of=firm)

    world.untag(firm, "member")

    assert [world["former"].judged(one).outcome for one in (firm, untagged, tagged)] == ["out", "out", "in_step"]
    assert world["former"].member(untagged)["status"] == "former"
    assert world["former"].member(tagged)["status"] == "contact"
    assert world.acme.judged(untagged).outcome == "out"
    assert world.acme.member(untagged)["status"] == "contact"


def test_an_excluded_person_of_an_organisation_that_is_in_stays_out(world: World) -> None:
    """`!x` excludes, also what the organisation would let in."""
    firm = world.organisation("Choosy Ltd", "member")
    number = world.person("Ivo", "not this one", of=firm)
    assert not world.acme.has(number)
    assert world["former"].has(number)


def test_a_tagged_person_of_an_untagged_organisation_has_no_company(world: World) -> None:
    """A tagged person of an untagged organisation has no company."""
    firm = world.organisation("Untagged Ltd")
    number = world.person("Jun", "member", of=firm)
    assert world.acme.member(number).get("company") is None
    assert not world.acme.has(firm)


def test_a_person_gets_its_company_when_the_organisation_comes_in(world: World) -> None:
    """Person → member: company (team), for a later change of the organisation."""
    firm = world.organisation("Untagged as yet Ltd")
    number = world.person("Kit", "member", of=firm)
    world.tag(firm, "member")
    assert world.acme.member(number)["company"] == world.acme.company(firm)["_id"]


def test_a_person_who_moves_to_another_organisation_moves_to_its_company(world: World) -> None:
    """Person → member: company (team), for a later change of the person."""
    first, second = world.organisation("First Ltd", "member"), world.organisation("Second Ltd", "member")
    number = world.person("Lena", of=first)
    with world.acme.writing() as writes:
        world.change(number, organisation={"id": second})
    assert writes == ["PUT /members/{id}/company"]
    assert world.acme.member(number)["company"] == world.acme.company(second)["_id"]


def test_a_person_who_moves_to_an_organisation_that_is_out_is_out(world: World) -> None:
    """A person is in when its organisation is in: as it is now, not as it was."""
    inside, outside = world.organisation("Inside Ltd", "member"), world.organisation("Outside Ltd")
    number = world.person("Milo", of=inside)
    world.change(number, organisation={"id": outside})
    assert world["former"].member(number)["status"] == "former"
    world.change(number, organisation={"id": inside})
    assert world["former"].member(number)["status"] == "contact"


def test_a_member_who_left_its_company_stays_there_and_it_is_told_once(world: World) -> None:
    """v2 cannot detach a company or move a location: what stays behind is reported."""
    firm = world.organisation("Sticky Ltd", "member")
    number = world.person("Nia", "member", of=firm)
    world.change(number, organisation=None)
    assert world.acme.member(number)["company"] == world.acme.company(firm)["_id"]
    assert world.acme.notes(number) == ["company_stays"]

    with world.acme.writing() as writes:
        world.change(number, about="a change that concerns nobody")
        world.change(number, about="and another")
    assert writes == []
    assert world.acme.told(number, "company_stays") == 1


def test_the_company_is_made_before_its_person_whatever_comes_first(world: World) -> None:
    """A person's company is created before the person (issue A2)."""
    with world.acme.writing() as writes:
        made = world.party(type="organisation", name="All at once Ltd", tags=[{"name": "member"}])
        people = [
            world.party(type="person", firstName=first, lastName="Example", organisation={"id": made["id"]})["id"]
            for first in ("Otis", "Pia", "Quin")
        ]
    assert writes == ["POST /companies", "POST /members", "POST /members", "POST /members"]
    assert {world.acme.member(one)["company"] for one in people} == {world.acme.company(made["id"])["_id"]}


def test_without_an_announced_change_of_tags_a_full_sync_brings_the_people(world: World) -> None:
    """When an organisation comes in, its people follow; Capsule may announce no change of tags alone (capsule.md §1.4)."""
    firm = world.organisation("Quiet Ltd")
    number = world.person("Rosa", of=firm)
    silent = {"tag_change_fires_updated": "no", "tag_change_moves_updated_at": "no"}
    world.capsule.control("POST", "switches", silent)
    try:
        world.tag(firm, "member")
        assert not world.acme.has(firm)
        world.full_sync()
        assert world.acme.member(number)["company"] == world.acme.company(firm)["_id"]
        world.untag(firm, "member")
        world.full_sync()
        assert [world.acme.judged(one).outcome for one in (firm, number)] == ["out", "out"]
    finally:
        world.capsule.control("POST", "switches", dict.fromkeys(silent, "yes"))
