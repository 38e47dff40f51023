"""Capsule's simulator: parties, nested lists, tags, fields, errors (reference/capsule.md §3.10, §4.1, §5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule


def refusal(answer: Any) -> tuple[int, str]:
    """The status and the text of an error."""
    document = answer.json()
    return answer.status_code, document["errors"][0]["message"] if "errors" in document else document["message"]


def definition(capsule: Capsule, name: str) -> int:
    """The id of a field of parties."""
    rows = capsule.get("/parties/fields/definitions")["definitions"]
    return int(next(row["id"] for row in rows if row["name"] == name))


def test_a_record_is_created_with_201_and_its_address(capsule: Capsule) -> None:
    """§3.10."""
    answer = capsule.ask("POST", "/parties", json={"party": {"type": "organisation", "name": "Acme"}})
    number = answer.json()["party"]["id"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"http://capsule.example/api/v2/parties/{number}"


def test_there_is_no_idempotency_and_a_repeated_post_makes_a_second_record(capsule: Capsule) -> None:
    """§3.2."""
    first, second = (
        capsule.ask(
            "POST", "/parties", json={"party": {"type": "organisation", "name": "Acme"}}, headers={"Idempotency-Key": "1"}
        )
        for _ in range(2)
    )
    assert first.json()["party"]["id"] < second.json()["party"]["id"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "party is required"),
        ({"party": []}, 400, "party is required"),
        ({"party": {"name": "X"}}, 422, "type is required"),
        ({"party": {"type": "company", "name": "X"}}, 422, "type: invalid value"),
        ({"party": {"type": "organisation"}}, 422, "name is required"),
        ({"party": {"type": "person"}}, 422, "firstName is required"),
        ({"party": {"type": "person", "firstName": 7}}, 400, "firstName: invalid type"),
        ({"party": {"type": "person", "firstName": "A", "title": "Sultan"}}, 422, "title: invalid value"),
        ({"party": {"type": "person", "firstName": "A", "emailAddresses": [{"type": "Work"}]}}, 422, "address is required"),
        (
            {"party": {"type": "person", "firstName": "A", "phoneNumbers": [{"number": "1", "type": "Pager"}]}},
            422,
            "type: invalid value",
        ),
        (
            {"party": {"type": "person", "firstName": "A", "addresses": [{"country": "UK"}]}},
            422,
            "address.country: unknown country",
        ),
        ({"party": {"type": "person", "firstName": "A", "websites": [{"address": "x"}]}}, 422, "service is required"),
        ({"party": {"type": "person", "firstName": "A", "organisation": {"id": 5}}}, 422, "party not found"),
        ({"party": {"type": "person", "firstName": "A", "owner": {"id": 5}}}, 422, "owner not found"),
        ({"party": {"type": "person", "firstName": "A", "tags": [{"id": 5}]}}, 422, "tag not found"),
        (
            {"party": {"type": "person", "firstName": "A", "fields": [{"definition": 5, "value": "x"}]}},
            422,
            "definition not found",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_faulty_party_is_refused(capsule: Capsule, body: dict[str, Any], status: int, text: str) -> None:
    """§3.10, §4.1."""
    assert refusal(capsule.ask("POST", "/parties", json=body)) == (status, text)
    assert capsule.get("/parties")["parties"] == []


def test_the_body_of_a_422_names_resource_and_field(capsule: Capsule) -> None:
    """§3.10: the documented body, key by key."""
    answer = capsule.ask("POST", "/tasks", json={"task": {"description": "Call"}})
    assert answer.status_code == 422
    assert answer.json() == {
        "message": "Validation Failed",
        "errors": [{"message": "dueOn is required", "resource": "task", "field": "dueOn"}],
    }


def test_what_is_not_json_is_400(capsule: Capsule) -> None:
    """§3.10."""
    assert capsule.ask("POST", "/parties", content=b"{").status_code == 400


def test_an_unknown_path_and_an_unknown_record_are_404_with_a_message(capsule: Capsule) -> None:
    """§3.10."""
    for path in ("/nothing", "/parties/1", "/parties/x", "/parties/1,x", "/titles"):
        assert refusal(capsule.ask("GET", path)) == (404, "Could not find resource"), path
    capsule.switch(not_found_text="named")
    assert refusal(capsule.ask("GET", "/parties/1")) == (404, "party not found")


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/parties/1"), ("POST", "/parties/1"), ("PUT", "/resthooks/1")])
def test_a_wrong_method_is_405(capsule: Capsule, method: str, path: str) -> None:
    """§3.10, and no PUT on hooks (§1.2)."""
    assert refusal(capsule.ask(method, path)) == (405, "Method not allowed")


def test_keys_left_out_stay_and_null_clears(capsule: Capsule) -> None:
    """§5.2."""
    party = capsule.person(jobTitle="Director", about="Tall")
    after = capsule.put(f"/parties/{party['id']}", "party", about=None)
    assert (after["jobTitle"], after["about"], after["firstName"]) == ("Director", None, "Ada")


def test_read_only_and_unknown_keys_are_ignored(capsule: Capsule) -> None:
    """§4.1, §5.2."""
    party = capsule.person()
    after = capsule.put(f"/parties/{party['id']}", "party", id=1, createdAt="2001-01-01T00:00:00Z", colour="red")
    assert (after["id"], after["createdAt"]) == (party["id"], party["createdAt"])
    assert "colour" not in after


def test_an_element_without_an_id_is_added_even_when_it_is_there_already(capsule: Capsule) -> None:
    """§5.2: re-sending duplicates."""
    party = capsule.person(emailAddresses=[{"address": "ada@example.com"}])
    after = capsule.put(f"/parties/{party['id']}", "party", emailAddresses=[{"address": "ada@example.com"}])
    assert [email["address"] for email in after["emailAddresses"]] == ["ada@example.com"] * 2


def test_an_element_with_an_id_is_changed_and_the_others_stay(capsule: Capsule) -> None:
    """§5.2."""
    party = capsule.person(emailAddresses=[{"address": "a@example.com"}, {"address": "b@example.com", "type": "Home"}])
    second = party["emailAddresses"][1]["id"]
    after = capsule.put(f"/parties/{party['id']}", "party", emailAddresses=[{"id": second, "address": "c@example.com"}])
    assert [(email["address"], email["type"]) for email in after["emailAddresses"]] == [
        ("a@example.com", None),
        ("c@example.com", "Home"),
    ]


def test_an_element_goes_by_delete_and_not_by_destroy_or_an_empty_list(capsule: Capsule) -> None:
    """§5.2."""
    party = capsule.person(emailAddresses=[{"address": "a@example.com"}])
    number = party["emailAddresses"][0]["id"]
    path = f"/parties/{party['id']}"
    assert len(capsule.put(path, "party", emailAddresses=[])["emailAddresses"]) == 1
    assert len(capsule.put(path, "party", emailAddresses=[{"id": number, "_destroy": True}])["emailAddresses"]) == 1
    assert capsule.put(path, "party", emailAddresses=[{"id": number, "_delete": True}])["emailAddresses"] == []


def test_removing_what_is_not_there_is_404_for_details_and_422_for_tags(capsule: Capsule) -> None:
    """§5.2."""
    path = f"/parties/{capsule.person()['id']}"
    details = capsule.ask("PUT", path, json={"party": {"phoneNumbers": [{"id": 5, "_delete": True}]}})
    tags = capsule.ask("PUT", path, json={"party": {"tags": [{"id": 5, "_delete": True}]}})
    assert details.status_code == 404
    assert refusal(tags) == (422, "tag not found to delete")


def test_a_change_that_is_refused_changes_nothing(capsule: Capsule) -> None:
    """§3.10: a 422 is whole."""
    party = capsule.person()
    path = f"/parties/{party['id']}"
    refused = capsule.ask("PUT", path, json={"party": {"jobTitle": "Director", "tags": [{"id": 5}]}})
    assert refused.status_code == 422
    assert capsule.get(path)["party"]["jobTitle"] is None


def test_tags_are_matched_without_case_made_when_new_and_harmless_when_on(capsule: Capsule) -> None:
    """§5.2."""
    first = capsule.person(tags=[{"name": "VIP"}])
    second = capsule.person(tags=[{"name": "vip"}, {"name": "Vip"}])
    assert first["tags"] == second["tags"]
    assert [tag["name"] for tag in second["tags"]] == ["VIP"]
    after = capsule.put(f"/parties/{second['id']}", "party", tags=[{"id": second["tags"][0]["id"], "_delete": True}])
    assert after["tags"] == []
    assert [tag["name"] for tag in capsule.get("/parties/tags")["tags"]] == ["VIP"]


def test_removing_a_tag_needs_its_id(capsule: Capsule) -> None:
    """§5.2: an element without an id adds."""
    party = capsule.person(tags=[{"name": "VIP"}])
    after = capsule.put(f"/parties/{party['id']}", "party", tags=[{"name": "VIP", "_delete": True}])
    assert len(after["tags"]) == 1


def test_deleting_a_tag_definition_takes_it_from_every_record(capsule: Capsule) -> None:
    """§5.4."""
    party = capsule.person(tags=[{"name": "VIP"}])
    answer = capsule.ask("DELETE", f"/parties/tags/{party['tags'][0]['id']}")
    assert answer.status_code == 204
    assert capsule.get(f"/parties/{party['id']}", embed="tags")["party"]["tags"] == []
    assert capsule.get("/parties/tags")["tags"] == []


def test_deleting_a_tag_definition_may_be_queued(capsule: Capsule) -> None:
    """§3.10, §5.4, switch tag_delete."""
    capsule.switch(tag_delete="202")
    tag = capsule.person(tags=[{"name": "VIP"}])["tags"][0]["id"]
    answer = capsule.ask("DELETE", f"/parties/tags/{tag}")
    assert (answer.status_code, answer.content) == (202, b"")
    job = capsule.get(answer.headers["location"].partition("/api/v2")[2])["job"]
    assert (job["status"], job["progress"], job["action"]) == ("completed", 100, "Deleting Tag")


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("Plan", "Flex", "Flex"),
        ("Desks", 42, "42"),
        ("Desks", "42", "42"),
        ("Newsletter", True, True),
        ("Member since", "2024-02-29", "2024-02-29"),
    ],
)
def test_a_custom_field_reads_back_as_its_type_says(capsule: Capsule, name: str, value: object, read: object) -> None:
    """§4.6: a number comes back as a string."""
    party = capsule.person(fields=[{"definition": definition(capsule, name), "value": value}])
    assert [(field["definition"]["name"], field["value"]) for field in party["fields"]] == [(name, read)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("Plan", 5), ("Desks", "many"), ("Newsletter", "yes"), ("Newsletter", None), ("Member since", "2023-02-29")],
)
def test_a_custom_field_of_the_wrong_type_is_422(capsule: Capsule, name: str, value: object) -> None:
    """§5.2: null clears, except a boolean."""
    body = {"party": {"type": "person", "firstName": "A", "fields": [{"definition": {"name": name}, "value": value}]}}
    assert refusal(capsule.ask("POST", "/parties", json=body)) == (422, "field.value: invalid type for field")


def test_only_the_named_definitions_change_and_a_false_boolean_is_absent(capsule: Capsule) -> None:
    """§5.2, trap 7."""
    party = capsule.person(
        fields=[{"definition": {"name": "Plan"}, "value": "Flex"}, {"definition": {"name": "Newsletter"}, "value": True}]
    )
    path = f"/parties/{party['id']}"
    after = capsule.put(path, "party", fields=[{"definition": {"name": "Newsletter"}, "value": False}])
    assert [field["definition"]["name"] for field in after["fields"]] == ["Plan"]
    assert capsule.put(path, "party", fields=[{"definition": {"name": "Plan"}, "value": None}])["fields"] == []


@pytest.mark.parametrize(("country", "kept"), [("United Kingdom", "United Kingdom"), ("USA", "United States"), ("", None)])
def test_a_country_is_kept_as_the_dictionary_has_it(capsule: Capsule, country: str, kept: str | None) -> None:
    """§5.2."""
    assert capsule.person(addresses=[{"city": "X", "country": country}])["addresses"][0]["country"] == kept


@pytest.mark.parametrize("country", ["UK", "Britain", "Czech Republic", "United States of America"])
def test_a_country_that_the_dictionary_does_not_have_is_422(capsule: Capsule, country: str) -> None:
    """§5.2."""
    body = {"party": {"type": "person", "firstName": "A", "addresses": [{"country": country}]}}
    assert refusal(capsule.ask("POST", "/parties", json=body)) == (422, "address.country: unknown country")


def test_a_website_gets_its_url(capsule: Capsule) -> None:
    """§4.1: the address is the account's name for Twitter."""
    party = capsule.person(
        websites=[{"service": "TWITTER", "address": "capsulecrm"}, {"service": "URL", "address": "https://x.example"}]
    )
    assert [site["url"] for site in party["websites"]] == ["https://twitter.com/capsulecrm", "https://x.example"]


def test_creating_a_person_links_or_makes_an_organisation_by_name(capsule: Capsule) -> None:
    """§5.2."""
    first = capsule.person(organisation={"name": "Acme"})
    second = capsule.person(organisation={"name": "Acme"})
    assert first["organisation"] == second["organisation"]
    assert first["organisation"]["name"] == "Acme"


def test_an_organisation_must_be_one(capsule: Capsule) -> None:
    """§4.1: a person is in an organisation, not in a person."""
    other = capsule.person()["id"]
    answer = capsule.ask("POST", "/parties", json={"party": {"type": "person", "firstName": "A", "organisation": other}})
    assert refusal(answer) == (422, "organisation not found")


def test_an_owner_alone_clears_the_team_and_a_team_alone_keeps_the_owner(capsule: Capsule) -> None:
    """§5.3, trap 6."""
    user, team = capsule.get("/users")["users"][0]["id"], capsule.get("/teams")["teams"][0]["id"]
    path = f"/parties/{capsule.person(owner=user, team=team)['id']}"
    assert capsule.put(path, "party", owner=user)["team"] is None
    after = capsule.put(path, "party", team=team)
    assert (after["owner"]["id"], after["team"]["id"]) == (user, team)


def test_a_deleted_owner_says_so(capsule: Capsule) -> None:
    """§6, trap 12."""
    user = capsule.get("/users")["users"][1]["id"]
    number = capsule.person(owner=user)["id"]
    capsule.control("POST", "users", {"id": user, "deleted": True})
    assert capsule.get(f"/parties/{number}")["party"]["owner"]["deleted"] is True


def test_a_change_moves_updated_at_in_whole_seconds(capsule: Capsule) -> None:
    """§4, §1.7."""
    party = capsule.person()
    capsule.control("POST", "clock", {"advance": 5})
    after = capsule.put(f"/parties/{party['id']}", "party", jobTitle="Director")
    assert after["updatedAt"] > party["updatedAt"]
    assert len(after["updatedAt"]) == len("2015-09-15T10:43:23Z")
    assert after["createdAt"] == party["createdAt"]


@pytest.mark.parametrize("position", ["no", "yes"])
@pytest.mark.parametrize(
    ("switch", "change"),
    [
        ("tag_change_moves_updated_at", {"tags": [{"name": "VIP"}]}),
        ("field_change_moves_updated_at", {"fields": [{"definition": {"name": "Plan"}, "value": "Flex"}]}),
        ("unchanged_put_counts", {}),
    ],
    ids=["tags", "fields", "nothing"],
)
def test_whether_a_change_of_tags_fields_or_nothing_moves_updated_at_is_a_switch(
    capsule: Capsule,
    switch: str,
    change: dict[str, Any],
    position: str,
) -> None:
    """§1.4, §3.4: unknown."""
    capsule.switch(**{switch: position})
    party = capsule.person()
    capsule.control("POST", "clock", {"advance": 5})
    after = capsule.put(f"/parties/{party['id']}", "party", **change)
    assert (after["updatedAt"] > party["updatedAt"]) is (position == "yes")


def test_a_note_moves_last_contacted_of_its_party_and_of_the_organisation_alone(capsule: Capsule) -> None:
    """§4.5."""
    organisation = capsule.organisation()["id"]
    person = capsule.person(organisation=organisation)
    capsule.control("POST", "clock", {"advance": 5})
    capsule.make("entry", "entries", type="note", content="Met", party=person["id"])
    for number in (organisation, person["id"]):
        assert capsule.get(f"/parties/{number}")["party"]["lastContactedAt"] is not None
    assert capsule.get(f"/parties/{person['id']}")["party"]["updatedAt"] == person["updatedAt"]
    assert capsule.get(f"/parties/{organisation}/entries")["entries"] == []
    assert len(capsule.get(f"/parties/{person['id']}/entries")["entries"]) == 1


@pytest.mark.parametrize("body", [{"type": "email"}, {"type": "note", "content": "x"}], ids=["kind", "parent"])
def test_only_notes_with_one_parent_can_be_made(capsule: Capsule, body: dict[str, Any]) -> None:
    """§4.5, §5.5."""
    assert capsule.ask("POST", "/entries", json={"entry": body}).status_code == 422
