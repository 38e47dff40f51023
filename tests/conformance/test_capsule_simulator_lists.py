"""Capsule's simulator: lists, pages, since, embed, several at once, search (reference/capsule.md §3.3 to §3.8)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule


def ids(document: Any, key: str = "parties") -> list[int]:
    """The ids of a list."""
    return [item["id"] for item in document[key]]


def later(printed: str, seconds: int) -> str:
    """A printed time, moved."""
    return (dt.datetime.fromisoformat(printed) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_page_has_fifty_unless_told_otherwise_and_says_whether_more_follow(capsule: Capsule) -> None:
    """§3.3."""
    capsule.control("POST", "seed", {"organisations": 51})
    first = capsule.ask("GET", "/parties")
    assert len(first.json()["parties"]) == 50
    assert first.headers["x-pagination-has-more"] == "true"
    second = capsule.ask("GET", "/parties", params={"page": 2})
    assert len(second.json()["parties"]) == 1
    assert second.headers["x-pagination-has-more"] == "false"
    assert 'rel="next"' not in second.headers["link"]
    assert 'rel="prev"' in second.headers["link"]


def test_following_the_links_gives_every_record_once(capsule: Capsule) -> None:
    """§3.3: the query goes on in the link."""
    capsule.control("POST", "seed", {"organisations": 5, "people": 7})
    seen: list[int] = []
    path = "/parties?perPage=5&embed=tags"
    while path:
        answer = capsule.ask("GET", path)
        assert all("tags" in party for party in answer.json()["parties"])
        seen += ids(answer.json())
        path = str(answer.links.get("next", {}).get("url", "")).partition("/api/v2")[2]
    assert sorted(seen) == sorted(set(seen))
    assert len(seen) == 12


@pytest.mark.parametrize("query", ["perPage=101", "perPage=0", "page=0", "page=x", "perPage=-1"])
def test_a_page_out_of_range_is_400(capsule: Capsule, query: str) -> None:
    """§3.3: 1 to 100; switch per_page_over."""
    assert capsule.ask("GET", f"/parties?{query}").status_code == 400


def test_a_page_too_large_is_cut_by_switch(capsule: Capsule) -> None:
    """§3.3, switch per_page_over."""
    capsule.control("POST", "seed", {"organisations": 101})
    capsule.switch(per_page_over="clamp")
    assert len(capsule.get("/parties", perPage=500)["parties"]) == 100


def test_a_page_of_entries_has_fifty_at_most(capsule: Capsule) -> None:
    """§3.3."""
    party = capsule.person()["id"]
    assert capsule.ask("GET", f"/parties/{party}/entries?perPage=51").status_code == 400
    assert capsule.ask("GET", f"/parties/{party}/entries?perPage=50").status_code == 200


def test_the_total_is_there_only_when_asked_for(capsule: Capsule) -> None:
    """§3.3: embed=meta."""
    capsule.control("POST", "seed", {"organisations": 3})
    assert "meta" not in capsule.get("/parties")
    assert capsule.get("/parties", embed="meta", perPage=1)["meta"] == {"totalCount": 3}


def test_tags_and_fields_are_absent_unless_embedded_and_unknown_embeds_do_nothing(capsule: Capsule) -> None:
    """§3.5, fact 8."""
    number = capsule.person(tags=[{"name": "member"}])["id"]
    plain = capsule.get(f"/parties/{number}", embed="nonsense")["party"]
    assert not {"tags", "fields", "missingImportantFields", "nonsense"} & plain.keys()
    rich = capsule.get(f"/parties/{number}", embed="tags,fields,missingImportantFields")["party"]
    assert [tag["name"] for tag in rich["tags"]] == ["member"]
    assert (rich["fields"], rich["missingImportantFields"]) == ([], False)


@pytest.mark.parametrize(("position", "carried"), [("no", False), ("yes", True)])
def test_whether_an_embedded_organisation_carries_tags_is_a_switch(capsule: Capsule, position: str, carried: bool) -> None:
    """§3.5: unknown."""
    capsule.switch(embedded_organisation_has_tags=position)
    organisation = capsule.organisation(tags=[{"name": "member"}])["id"]
    person = capsule.person(organisation={"id": organisation})["id"]
    nested = capsule.get(f"/parties/{person}", embed="organisation,tags")["party"]["organisation"]
    assert nested["updatedAt"]
    assert ("tags" in nested) is carried


def test_a_nested_organisation_is_brief_unless_embedded(capsule: Capsule) -> None:
    """§4.1: nested party."""
    organisation = capsule.organisation()["id"]
    person = capsule.person(organisation={"id": organisation})["id"]
    nested = capsule.get(f"/parties/{person}")["party"]["organisation"]
    assert nested.keys() == {"id", "type", "name", "pictureURL"}


@pytest.mark.parametrize(("position", "listed"), [("no", False), ("yes", True)])
def test_the_boundary_of_since_is_a_switch(capsule: Capsule, position: str, listed: bool) -> None:
    """§3.4: unknown; exclusive is the default."""
    party = capsule.person()
    capsule.switch(since_inclusive=position)
    assert (party["id"] in ids(capsule.get("/parties", since=party["updatedAt"]))) is listed
    assert party["id"] in ids(capsule.get("/parties", since=later(party["updatedAt"], -1)))
    assert party["id"] not in ids(capsule.get("/parties", since=later(party["updatedAt"], 1)))


def test_since_that_is_no_time_is_400(capsule: Capsule) -> None:
    """§3.10."""
    assert capsule.ask("GET", "/parties?since=yesterday").status_code == 400


def test_a_list_after_a_write_is_a_new_list(capsule: Capsule) -> None:
    """§3.3: nothing is cached (§3.2)."""
    assert capsule.get("/parties")["parties"] == []
    number = capsule.person()["id"]
    assert ids(capsule.get("/parties")) == [number]
    capsule.ask("DELETE", f"/parties/{number}")
    assert capsule.get("/parties")["parties"] == []


@pytest.mark.parametrize(
    ("position", "expected"),
    [("id", [0, 1, 2]), ("id_descending", [2, 1, 0]), ("updated", [1, 2, 0]), ("updated_descending", [0, 2, 1])],
)
def test_the_order_of_lists_is_a_switch(capsule: Capsule, position: str, expected: list[int]) -> None:
    """§3.3: not documented."""
    made = [capsule.person()["id"] for _ in range(3)]
    for number in (1, 2, 0):
        capsule.control("POST", "clock", {"advance": 2})
        capsule.put(f"/parties/{made[number]}", "party", jobTitle="Director")
    capsule.switch(list_order=position)
    assert ids(capsule.get("/parties")) == [made[number] for number in expected]


def test_up_to_ten_ids_give_the_list_wrapper(capsule: Capsule) -> None:
    """§3.7: one id gives the single wrapper."""
    made = [capsule.person()["id"] for _ in range(10)]
    assert ids(capsule.get("/parties/" + ",".join(str(number) for number in reversed(made)))) == made
    assert capsule.get(f"/parties/{made[0]}")["party"]["id"] == made[0]


@pytest.mark.parametrize("status", ["400", "422"])
def test_eleven_ids_are_too_many(capsule: Capsule, status: str) -> None:
    """§3.7: an error saying so; its status is a switch."""
    capsule.switch(multiget_over=status)
    answer = capsule.ask("GET", "/parties/" + ",".join(str(number) for number in range(1, 12)))
    assert (answer.status_code, answer.json()) == (int(status), {"message": "too many ids"})


@pytest.mark.parametrize("plural", ["parties", "opportunities", "kases", "tasks"])
def test_unknown_ids_among_several_are_skipped_or_fail_the_call(capsule: Capsule, plural: str) -> None:
    """§3.7: unknown, switch multiget_unknown."""
    assert capsule.get(f"/{plural}/1,2") == {plural: []}
    capsule.switch(multiget_unknown="fail")
    assert capsule.ask("GET", f"/{plural}/1,2").status_code == 404


def test_entries_cannot_be_read_several_at_once(capsule: Capsule) -> None:
    """§3.7."""
    assert capsule.ask("GET", "/entries/1,2").status_code == 404


def test_the_order_of_several_at_once_is_a_switch(capsule: Capsule) -> None:
    """§3.7: not stated."""
    first, second = capsule.person()["id"], capsule.person()["id"]
    capsule.switch(multiget_order="request")
    assert ids(capsule.get(f"/parties/{second},{first},{second}")) == [second, first]


def test_people_of_an_organisation_and_none_of_a_person(capsule: Capsule) -> None:
    """§5.1."""
    organisation = capsule.organisation()["id"]
    people = [capsule.person(organisation=organisation)["id"] for _ in range(3)]
    assert ids(capsule.get(f"/parties/{organisation}/people", perPage=2)) == people[:2]
    assert capsule.get(f"/parties/{people[0]}/people") == {"parties": []}
    assert capsule.ask("GET", "/parties/1/people").status_code == 404


@pytest.mark.parametrize("query", ["Example", "ada ex", "EX1 1AA", "020 7946"], ids=str)
def test_search_finds_by_name_postcode_and_phone_but_only_after_a_while(capsule: Capsule, query: str) -> None:
    """§3.8: how closely it follows a write is not stated."""
    number = capsule.person(addresses=[{"zip": "EX1 1AA"}], phoneNumbers=[{"number": "020 7946 0001"}])["id"]
    assert capsule.get("/parties/search", q=query)["parties"] == []
    capsule.control("POST", "clock", {"advance": 10})
    assert ids(capsule.get("/parties/search", q=query)) == [number]


def test_search_finds_an_email_only_by_switch(capsule: Capsule) -> None:
    """§3.8: not stated."""
    number = capsule.person(emailAddresses=[{"address": "Ada@Example.com"}])["id"]
    capsule.control("POST", "clock", {"advance": 10})
    assert capsule.get("/parties/search", q="ada@example.com")["parties"] == []
    capsule.switch(search_finds_email="yes")
    assert ids(capsule.get("/parties/search", q="ada@example.com")) == [number]


def test_the_list_of_tasks_hides_what_is_not_open(capsule: Capsule) -> None:
    """§5.1, trap 5."""
    done = capsule.make("task", "tasks", description="Call", dueOn="2026-01-01", status="COMPLETED")["id"]
    to_do = capsule.make("task", "tasks", description="Write", dueOn="2026-01-01")["id"]
    assert ids(capsule.get("/tasks"), "tasks") == [to_do]
    assert ids(capsule.get("/tasks", status="open,completed"), "tasks") == [done, to_do]


def test_milestones_are_only_those_of_the_oldest_active_pipeline(capsule: Capsule) -> None:
    """§5.4, trap 4."""
    first, second = capsule.get("/pipelines")["pipelines"]

    def pipelines_of(path: str) -> set[int]:
        return {row["pipeline"]["id"] for row in capsule.get(path)["milestones"]}

    assert pipelines_of("/milestones") == {first["id"]}
    assert pipelines_of("/milestones/all") == {first["id"], second["id"]}
    assert pipelines_of(f"/pipelines/{second['id']}/milestones") == {second["id"]}
    capsule.control("POST", "reference", {"sort": "pipeline", "id": first["id"], "changes": {"deleted": True}})
    assert pipelines_of("/milestones") == {second["id"]}


def test_the_example_milestones(capsule: Capsule) -> None:
    """§4.6: New 10, Bid 50, Won 100 complete, Lost 0 complete."""
    rows = [(row["name"], row["probability"], row["complete"]) for row in capsule.get("/milestones")["milestones"]]
    assert rows == [("New", 10, False), ("Bid", 50, False), ("Won", 100, True), ("Lost", 0, True)]


def test_reference_data_has_its_documented_wrappers(capsule: Capsule) -> None:
    """§4.6, §5.4."""
    for path, key in [
        ("users", "users"),
        ("teams", "teams"),
        ("boards", "boards"),
        ("stages", "stages"),
        ("lostreasons", "lostReasons"),
        ("categories", "categories"),
        ("activitytypes", "activityTypes"),
        ("countries", "countries"),
        ("currencies", "currencies"),
        ("parties/tags", "tags"),
        ("parties/fields/definitions", "definitions"),
    ]:
        assert isinstance(capsule.get(f"/{path}")[key], list), path
    assert capsule.get("/site")["site"]["subdomain"] == "exampleco"
    current = capsule.get("/users/current")["user"]
    assert not {"email", "emailAddress"} & current.keys()
    assert capsule.ask("GET", "/users/me").status_code == 404


def test_seeding_is_the_same_for_the_same_seed(capsule: Capsule) -> None:
    """The seed's own promise: unique e-mails, mixed case among them, people without organisation, Twitter among websites."""
    wanted = {"organisations": 30, "people": 120, "opportunities": 20, "seed": 7, "tags": ["member", "london"]}
    capsule.control("POST", "reset", wanted)
    first = capsule.control("GET", "state")
    capsule.control("POST", "reset", wanted)
    second = capsule.control("GET", "state")
    assert first["parties"] == second["parties"]
    assert first["opportunities"] == second["opportunities"]
    emails = [one["address"] for party in first["parties"] for one in party["emailAddresses"]]
    assert len({email.lower() for email in emails}) == len(emails) > 100
    assert any(email != email.lower() for email in emails)
    people = [party for party in first["parties"] if party["type"] == "person"]
    assert any(person["organisation"] is None for person in people)
    assert any(site["service"] == "TWITTER" for person in people for site in person["websites"])
    assert {tag["name"] for party in first["parties"] for tag in party["tags"]} == {"member", "london"}
