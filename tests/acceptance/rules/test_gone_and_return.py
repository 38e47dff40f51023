"""What leaves Capsule, the rules, or our sight, and what comes back (DESIGN.md §6, `on_gone`, and its edges, "Release")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    connections = {"acme": Rules(), "former": Rules(settings='on_gone = "former"')}
    with World(tmp_path_factory.mktemp("world"), connections) as running:
        yield running


# ---------------------------------------------------------------------- leaving
def test_keep_changes_nothing_and_remembers(world: World) -> None:
    """`keep` changes nothing and remembers."""
    number = world.person("Ada", "member", email="ada@x.example", phone="1")
    before = world.acme.member(number)
    with world.acme.writing() as writes:
        world.untag(number, "member")
    assert writes == []
    assert world.acme.member(number) == before
    entry = world.acme.judged(number)
    assert (entry.outcome, entry.is_in, entry.id) == ("out", False, before["_id"])


def test_former_sets_the_members_status_and_nothing_else(world: World) -> None:
    """`former` sets members' status to former."""
    number = world.person("Bea", "member", email="bea@x.example", phone="2")
    before = world["former"].member(number)
    with world["former"].writing() as writes:
        world.untag(number, "member")
    assert writes == ["PUT /members/{id}/status"]
    after = world["former"].member(number)
    changed = {name for name in after if after[name] != before.get(name)} - {"modifiedAt", "modifiedBy"}
    assert (changed, after["status"]) == ({"status"}, "former")

    with world["former"].writing() as writes:
        world.change(number, about="a change of a record that is out")
    assert writes == []


@pytest.mark.parametrize("payload", ["minimal", "full"])
def test_a_deleted_person_is_released(world: World, payload: str) -> None:
    """`on_gone`: the record left Capsule; "a deleted event carries id and deletedAt, or the record as it was"."""
    world.capsule.control("POST", "switches", {"deleted_payload": payload})
    number = world.person("Cleo", "member", last=payload)
    world.delete(number)
    assert world["former"].judged(number).outcome == "gone"
    assert world["former"].member(number)["status"] == "former"
    assert world.acme.member(number)["status"] == "contact"


def test_nothing_is_ever_deleted_in_officernd(world: World) -> None:
    """We never delete in OfficeRnD: company, member and opportunity stay when all of them are deleted in Capsule."""
    firm = world.organisation("Deleted Ltd", "member")
    number, deal = world.person("Dev", "member", of=firm), world.deal("Deleted", firm)
    world.delete(deal, "opportunities")
    world.delete(number)
    world.delete(firm)
    for side in world.sides.values():
        assert side.company(firm)["name"] == "Deleted Ltd"
        assert side.member(number)["name"] == "Dev Example"
        assert side.opportunity(deal)["name"] == "Deleted"
        assert [side.judged(*one).outcome for one in ((firm,), (number,), (deal, "opportunity"))] == ["gone"] * 3
        requests = side.simulator.control("GET", "requests")["requests"]
        assert not [one for one in requests if one["method"] == "DELETE"]


def test_companies_and_deals_that_leave_are_told(world: World) -> None:
    """Companies and deals have no such thing: reported."""
    firm = world.organisation("Told Ltd", "member")
    deal = world.deal("Told", firm)
    world.untag(firm, "member")
    assert [world["former"].judged(*one).outcome for one in ((firm,), (deal, "opportunity"))] == ["out", "out"]
    assert world["former"].told(firm, "cannot_release") == 1
    assert world["former"].told(deal, "cannot_release", "opportunity") == 1


def test_the_people_and_deals_of_a_deleted_organisation_are_judged_again(world: World) -> None:
    """When it leaves, they are judged again; what Capsule takes away without a word is found by a full sync."""
    firm = world.organisation("Dissolved Ltd", "member")
    number, tagged, deal = world.person("Eli", of=firm), world.person("Fay", "member", of=firm), world.deal("Dissolved", firm)
    world.delete(firm)
    world.full_sync("former")
    assert world["former"].judged(firm).outcome == "gone"
    assert world["former"].judged(deal, "opportunity").outcome == "gone"
    assert (world["former"].judged(number).outcome, world["former"].member(number)["status"]) == ("out", "former")
    assert world["former"].judged(tagged).outcome == "in_step"
    assert world["former"].notes(tagged) == ["company_stays"]


def test_a_merge_keeps_the_winner_and_releases_the_loser(world: World) -> None:
    """Merges (issue A2): Capsule gives the loser's deals to the winner and deletes it (capsule.md §1.4: no event of its own)."""
    winner, loser = world.person("Gus", "member", email="gus@x.example"), world.person("August", "member")
    deal = world.deal("Inherited", loser)
    world.change_deal(deal, party={"id": winner})
    world.change(winner, phoneNumbers=[{"number": "3"}])
    world.delete(loser)
    assert world["former"].member(loser)["status"] == "former"
    assert world["former"].member(winner)["phone"] == "3"
    assert world["former"].judged(deal, "opportunity").outcome == "in_step"
    assert world["former"].notes(deal, "opportunity") == ["party_fixed"]


# ---------------------------------------------------------------------- coming back
def test_on_return_the_same_record_is_taken_up_again(world: World) -> None:
    """On return the same record is taken up again, status `auto`."""
    number = world.person("Hana", "member", email="hana@x.example")
    members = {name: side.member(number)["_id"] for name, side in world.sides.items()}
    world.untag(number, "member")
    world.change(number, lastName="Changed meanwhile")
    assert world["former"].member(number)["name"] == "Hana Example"
    assert "manual" not in str(world["former"].member(number))

    world.tag(number, "member")
    for name, side in world.sides.items():
        member = side.member(number)
        assert (member["_id"], member["name"], member["status"]) == (members[name], "Hana Changed meanwhile", "contact")
        assert side.simulator.control("GET", "state")["manual_statuses"].get(member["_id"]) is None


def test_a_status_that_staff_set_by_hand_is_left_alone(world: World) -> None:
    """A null … clears only what we wrote before; "never write status from a CRM sync" (officernd.md §3.8)."""
    number = world.person("Ivo", "member")
    member = world["former"].member(number)["_id"]
    edit = {"resource": "members", "id": member, "fields": {"manualStatus": "former"}}
    world["former"].simulator.control("POST", "edit", edit)
    world.change(number, lastName="Edited")
    assert (world["former"].member(number)["name"], world["former"].member(number)["status"]) == ("Ivo Edited", "former")


def test_companies_and_deals_come_back_as_they_were(world: World) -> None:
    """On return the same record is taken up again."""
    firm = world.organisation("Returning Ltd", "member")
    deal = world.deal("Returning", firm)
    ids = (world["former"].company(firm)["_id"], world["former"].opportunity(deal)["_id"])
    world.untag(firm, "member")
    world.change_deal(deal, name="Renamed meanwhile")
    world.tag(firm, "member")
    assert (world["former"].company(firm)["_id"], world["former"].opportunity(deal)["_id"]) == ids
    assert world["former"].opportunity(deal)["name"] == "Renamed meanwhile"


# ---------------------------------------------------------------------- hidden from our user
def test_a_restricted_record_is_never_written_as_private(world: World) -> None:
    """Restricted records ("Private") never written (issue A2); hidden is as good as gone."""
    firm = world.organisation("Secret Ltd", "member")
    number, deal = world.person("Jun", of=firm, last="Seen"), world.deal("Secret", firm)
    world.capsule.control("POST", "restrict", {"kind": "party", "id": firm})
    world.capsule.control("POST", "restrict", {"kind": "opportunity", "id": deal})
    with world.acme.writing() as writes:
        world.full_sync()
        world.full_sync("former")
    assert writes == []
    for side in world.sides.values():
        assert (side.company(firm)["name"], side.opportunity(deal)["name"]) == ("Secret Ltd", "Secret")
        assert [side.judged(*one).outcome for one in ((firm,), (deal, "opportunity"), (number,))] == ["gone", "gone", "out"]
    assert world["former"].member(number)["status"] == "former"

    for kind, one in (("party", firm), ("opportunity", deal)):
        world.capsule.control("POST", "unrestrict", {"kind": kind, "id": one})
    world.full_sync("former")
    assert [world["former"].judged(*one).outcome for one in ((firm,), (deal, "opportunity"), (number,))] == ["in_step"] * 3
    assert world["former"].member(number)["status"] == "lead"  # of an open deal again


def test_a_record_that_was_always_hidden_never_comes_over(world: World) -> None:
    """Restricted records ("Private") never written."""
    world.capsule.control("POST", "switches", {"events_lost": "yes"})
    firm = world.organisation("Always secret Ltd", "member")
    number = world.person("Kit", "member", of=firm, last="Always secret")
    for one in (firm, number):
        world.capsule.control("POST", "restrict", {"kind": "party", "id": one})
    world.capsule.control("POST", "switches", {"events_lost": "no"})
    body = {"event": "party/updated", "payload": [{"id": firm}, {"id": number}]}
    assert world.api.post(world.hook_url(), json=body).status_code == 202
    world.settle()
    # Nothing was ever known of them, so nothing is kept of them either.
    assert [world.acme.entry(one) for one in (firm, number)] == [None, None]
    assert not world.acme.letter(firm)
    assert not world.acme.has(firm)
    assert not world.acme.has(number)


def test_a_record_whose_whole_name_is_the_word_of_hidden_ones_is_held(world: World) -> None:
    """Never sync that word as a name (capsule.md §6.10): held, since a person must look at it."""
    number = world.person("Private", "member", last="")
    assert world.acme.held(number) == "hidden_name"
    assert not any(one["name"] == "Private" for side in world.sides.values() for one in side.records("members"))
