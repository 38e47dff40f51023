"""The OfficeRnD simulator: what every write has in common, and properties."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conformance.officernd_desk import COMPANY, MEMBER, UNKNOWN, Desk

ACME = "64b0c0ffee00000000000201"
DESKS = {"name": "Six desks", "status": "64b0c0ffee00000000000401", "company": ACME}
BODIES = {"members": MEMBER, "companies": COMPANY, "opportunities": DESKS}


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.seed(companies=[{"_id": ACME, "name": "Acme"}])
    return desk


def unchanged(desk: Desk, path: str, body: dict[str, Any]) -> bool:
    """Whether a PUT leaves `modifiedAt` alone although time has passed."""
    before = desk.get(path)["modifiedAt"]
    desk.advance(1)
    after = desk.put(path, body)["modifiedAt"]
    return bool(after == before)


# --- every resource ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", BODIES)
def test_a_post_answers_the_whole_record(desk: Desk, resource: str) -> None:
    """reference/officernd.md §3, §7: 24-hex id, times with milliseconds, created and modified alike."""
    record = desk.post(f"/{resource}", BODIES[resource])
    assert re.fullmatch("[0-9a-f]{24}", record["_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["createdAt"])
    assert record["createdAt"] == record["modifiedAt"]
    assert record["createdBy"] == record["modifiedBy"]
    shown = desk.get(f"/{resource}/{record['_id']}")
    assert shown == {name: value for name, value in record.items() if name != "properties"}


@pytest.mark.parametrize("resource", BODIES)
def test_the_same_post_twice_makes_two_records_with_ascending_ids(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3."""
    first, second = desk.post(f"/{resource}", BODIES[resource]), desk.post(f"/{resource}", BODIES[resource])
    assert first["_id"] < second["_id"]


@pytest.mark.parametrize("resource", BODIES)
def test_a_deletion_answers_the_record_and_a_second_one_404(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3."""
    record = desk.post(f"/{resource}", BODIES[resource])
    answer = desk.ask("DELETE", f"/{resource}/{record['_id']}")
    assert (answer.status_code, answer.json()) == (200, record)
    assert desk.ask("DELETE", f"/{resource}/{record['_id']}").status_code == 404
    desk.get(f"/{resource}/{record['_id']}", expect=404)


def test_a_deletion_leaves_references_dangling(desk: Desk) -> None:
    """reference/officernd.md §2.3, §3.10."""
    member = desk.post("/members", {**MEMBER, "company": ACME})
    deal = desk.post("/opportunities", {**DESKS, "member": member["_id"]})
    desk.ask("DELETE", f"/companies/{ACME}")
    desk.ask("DELETE", f"/members/{member['_id']}")
    assert desk.get(f"/opportunities/{deal['_id']}")["member"] == member["_id"]
    assert desk.get(f"/opportunities/{deal['_id']}")["company"] == ACME


@pytest.mark.parametrize("resource", BODIES)
@pytest.mark.parametrize("identity", [UNKNOWN, "none"])
def test_a_put_to_an_unknown_id_is_404(desk: Desk, resource: str, identity: str) -> None:
    """reference/officernd.md §2.7."""
    assert desk.put(f"/{resource}/{identity}", {"name": "x"}, expect=404)["message"] == f"Item with Id ({identity})"


@pytest.mark.parametrize("resource", BODIES)
def test_a_put_changes_only_what_was_sent(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3: and moves modifiedAt."""
    record = desk.post(f"/{resource}", BODIES[resource])
    desk.advance(1)
    after = desk.put(f"/{resource}/{record['_id']}", {"name": "Another name"})
    changed = {name for name in record if record[name] != after[name]}
    assert changed == {"name", "modifiedAt"}
    assert after["modifiedAt"] > record["modifiedAt"]


@pytest.mark.parametrize("resource", BODIES)
def test_an_empty_put_is_200_and_touches_nothing(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3: also when the switch says that stored values count as a change."""
    record = desk.post(f"/{resource}", BODIES[resource])
    assert unchanged(desk, f"/{resource}/{record['_id']}", {})
    desk.switch(put_same_value_bumps_modified="yes")
    assert unchanged(desk, f"/{resource}/{record['_id']}", {})


@pytest.mark.parametrize("resource", BODIES)
def test_a_put_of_stored_values_touches_nothing_unless_the_switch_says_so(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3."""
    record = desk.post(f"/{resource}", BODIES[resource])
    assert unchanged(desk, f"/{resource}/{record['_id']}", {"name": record["name"]})
    desk.switch(put_same_value_bumps_modified="yes")
    assert not unchanged(desk, f"/{resource}/{record['_id']}", {"name": record["name"]})


@pytest.mark.parametrize("resource", BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_empty_name_is_500_and_a_blank_one_is_stored(desk: Desk, resource: str, method: str) -> None:
    """reference/officernd.md §2.7: no trimming."""
    path = f"/{resource}"
    if method == "PUT":
        path += f"/{desk.post(path, BODIES[resource])['_id']}"
    body = BODIES[resource] if method == "POST" else {}
    assert desk.failure(method, path, {**body, "name": ""}) == "Path 'name' is required."
    answer = desk.ask(method, path, json={**body, "name": "   "})
    assert (answer.status_code, answer.json()["name"]) == (201 if method == "POST" else 200, "   ")


@pytest.mark.parametrize("resource", BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_null_for_a_required_string_is_400(desk: Desk, resource: str, method: str) -> None:
    """reference/officernd.md §2.3."""
    path = f"/{resource}"
    if method == "PUT":
        path += f"/{desk.post(path, BODIES[resource])['_id']}"
    body = BODIES[resource] if method == "POST" else {}
    assert desk.faults_of(method, path, {**body, "name": None}) == {"name must be a string"}


@pytest.mark.parametrize("field", ["_id", "createdAt", "createdBy", "modifiedAt", "modifiedBy", "nickname", "externalId"])
@pytest.mark.parametrize("resource", BODIES)
def test_an_unknown_or_read_only_field_is_400(desk: Desk, resource: str, field: str) -> None:
    """reference/officernd.md §2.7, §3: on POST and on PUT; a record that was read cannot be sent back."""
    record = desk.post(f"/{resource}", BODIES[resource])
    fault = {f"property {field} should not exist"}
    assert desk.faults_of("POST", f"/{resource}", {**BODIES[resource], field: "x"}) == fault
    assert desk.faults_of("PUT", f"/{resource}/{record['_id']}", {field: "x"}) == fault


def test_every_fault_of_a_body_is_named_at_once(desk: Desk) -> None:
    """reference/officernd.md §2.7."""
    body = {"startDate": "soon", "isContactPerson": "yes", "tags": "a", "status": "active", "properties": [], "phone": 1}
    assert desk.faults_of("POST", "/members", body) == {
        "name must be a string",
        "location must be a string",
        "startDate must be a valid ISO 8601 date string",
        "isContactPerson must be a boolean value",
        "tags must be an array",
        "property status should not exist",
        "properties must be an object",
        "phone must be a string",
    }
    assert desk.get("/members/count") == {"total": 0}


REQUIRED = {
    "members": {"name must be a string", "location must be a string", "startDate must be a valid ISO 8601 date string"},
    "companies": {"name must be a string", "location must be a string", "startDate must be a valid ISO 8601 date string"},
    "opportunities": {"name must be a string", "status must be a string"},
}


@pytest.mark.parametrize("resource", BODIES)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_without_the_json_type_is_not_read(desk: Desk, resource: str, content_type: str | None) -> None:
    """reference/officernd.md §1.2: the answer lists every required field."""
    headers = {"Content-Type": content_type} if content_type else {}
    answer = desk.ask("POST", f"/{resource}", content=b'{"name": "x"}', headers=headers)
    assert (answer.status_code, set(answer.json()["message"])) == (400, REQUIRED[resource])


def test_a_put_without_the_json_type_changes_nothing(desk: Desk) -> None:
    """reference/officernd.md §1.2, §2.3: what is not read is an empty body."""
    answer = desk.ask("PUT", f"/companies/{ACME}", content=b'{"name": "x"}', headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Acme")


def test_a_charset_beside_the_json_type_is_fine(desk: Desk) -> None:
    """reference/officernd.md §1.2."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert desk.ask("PUT", f"/companies/{ACME}", content=b'{"name": "x"}', headers=headers).json()["name"] == "x"


@pytest.mark.parametrize("content", [b'{"name": ', b"rubbish", b'"text"', b"7"])
def test_malformed_json_is_400(desk: Desk, content: bytes) -> None:
    """reference/officernd.md §2.7."""
    for method, path in (("POST", "/members"), ("PUT", f"/companies/{ACME}")):
        answer = desk.ask(method, path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")


@pytest.mark.parametrize("resource", BODIES)
def test_an_array_is_400(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.3: no bulk."""
    assert desk.faults_of("POST", f"/{resource}", [BODIES[resource]]) >= REQUIRED[resource]
    assert desk.faults_of("PUT", f"/{resource}/{UNKNOWN}", [])


@pytest.mark.parametrize("resource", ["members", "companies"])
def test_a_location_must_be_known(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.7."""
    body = BODIES[resource]
    assert "24 character hex" in desk.failure("POST", f"/{resource}", {**body, "location": "London Bridge"})
    assert desk.failure("POST", f"/{resource}", {**body, "location": UNKNOWN}) == "Specified office was not found"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-12-01", "2026-12-01T00:00:00.000Z"),
        ("2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"),
        ("2026-12-01T01:30:00+02:00", "2026-11-30T23:30:00.000Z"),
        ("2026-12-01T10:00:00", "2026-12-01T10:00:00.000Z"),
    ],
)
def test_a_date_is_kept_as_a_moment_in_utc(desk: Desk, given: str, kept: str) -> None:
    """reference/officernd.md §3."""
    assert desk.post("/members", {**MEMBER, "startDate": given})["startDate"] == kept


@pytest.mark.parametrize("given", ["", "2026-13-01", "2026-02-30", "01/12/2026", 1796083200, None, "2026-12", "20261201"])
def test_a_date_that_is_none_is_400(desk: Desk, given: object) -> None:
    """reference/officernd.md §2.7."""
    assert desk.faults_of("POST", "/members", {**MEMBER, "startDate": given}) == {
        "startDate must be a valid ISO 8601 date string"
    }


@pytest.mark.parametrize("resource", ["members", "companies"])
def test_an_address_of_email_is_kept_in_lower_case(desk: Desk, resource: str) -> None:
    """reference/officernd.md §2.6: on POST and on PUT."""
    record = desk.post(f"/{resource}", {**BODIES[resource], "email": "Ada@ACME.example"})
    assert record["email"] == "ada@acme.example"
    assert desk.put(f"/{resource}/{record['_id']}", {"email": "NEW@acme.example"})["email"] == "new@acme.example"


@pytest.mark.parametrize("email", ["ada", "ada@", "ada@acme", " ada@acme.example", "a b@acme.example"])
def test_an_address_of_email_must_look_like_one_unless_the_switch_says_otherwise(desk: Desk, email: str) -> None:
    """reference/officernd.md §3.2 is silent: the harsher reading first."""
    assert desk.faults_of("POST", "/members", {**MEMBER, "email": email}) == {"email must be an email"}
    desk.switch(email_format="any")
    desk.post("/members", {**MEMBER, "email": email})


@pytest.mark.parametrize(("position", "empty", "null"), [("empty_string", 200, 400), ("null", 400, 200), ("both", 200, 200)])
@pytest.mark.parametrize("field", ["email", "phone"])
def test_what_clears_an_optional_string_is_a_switch(desk: Desk, field: str, position: str, empty: int, null: int) -> None:
    """reference/officernd.md §2.3."""
    desk.switch(clear_with=position)
    identity = desk.post("/members", {**MEMBER, field: "ada@acme.example"})["_id"]
    for value, status in (("", empty), (None, null)):
        answer = desk.put(f"/members/{identity}", {field: value}, expect=status)
        assert status == 400 or answer[field] == value


@pytest.mark.parametrize("position", ["empty_string", "null", "both"])
def test_a_required_id_is_never_cleared(desk: Desk, position: str) -> None:
    """reference/officernd.md §2.3, §2.7: whatever clears an optional string."""
    desk.switch(clear_with=position)
    assert desk.faults_of("POST", "/members", {**MEMBER, "location": None}) == {"location must be a string"}
    assert "24 character hex" in desk.failure("POST", "/members", {**MEMBER, "location": ""})


# --- properties --------------------------------------------------------------------------------------------------


def test_properties_join_key_by_key_unless_the_switch_says_replace(desk: Desk) -> None:
    """reference/officernd.md §2.3: values keep their JSON type."""
    identity = desk.post("/members", {**MEMBER, "properties": {"a": "1", "b": 2}})["_id"]
    assert desk.put(f"/members/{identity}", {"properties": {"b": None, "c": True}})["properties"] == {
        "a": "1",
        "b": None,
        "c": True,
    }
    desk.switch(properties_on_put="replace")
    assert desk.put(f"/members/{identity}", {"properties": {"d": ["x"]}})["properties"] == {"d": ["x"]}


def test_properties_that_are_stored_already_touch_nothing(desk: Desk) -> None:
    """reference/officernd.md §2.3."""
    identity = desk.post("/members", {**MEMBER, "properties": {"a": "1", "b": "2"}})["_id"]
    assert unchanged(desk, f"/members/{identity}", {"properties": {"a": "1"}})


@pytest.mark.parametrize(
    ("position", "kept"), [("store", {"capsule_link_id": "1", "nope": "x"}), ("drop", {"capsule_link_id": "1"})]
)
def test_a_property_that_is_not_set_up_is_a_switch(desk: Desk, position: str, kept: dict[str, str]) -> None:
    """reference/officernd.md §3.6, §8.4."""
    desk.switch(undefined_property_keys=position)
    assert desk.post("/companies", {**COMPANY, "properties": {"capsule_link_id": "1", "nope": "x"}})["properties"] == kept


def test_a_property_that_is_not_set_up_for_the_resource_can_be_refused(desk: Desk) -> None:
    """reference/officernd.md §3.6: targets."""
    desk.switch(undefined_property_keys="refuse")
    desk.post("/companies", {**COMPANY, "properties": {"capsule_twitter": "@acme"}})
    fault = {"properties.property capsule_twitter should not exist"}
    assert desk.faults_of("POST", "/members", {**MEMBER, "properties": {"capsule_twitter": "@ada"}}) == fault


@pytest.mark.parametrize("value", ["5", True, [5]])
def test_a_property_of_another_type_is_stored_unless_the_switch_says_check(desk: Desk, value: object) -> None:
    """reference/officernd.md §3.6 is silent."""
    body = {**DESKS, "properties": {"capsule_deal_size": value}}
    assert desk.post("/opportunities", body)["properties"] == {"capsule_deal_size": value}
    desk.switch(property_types="check")
    assert desk.faults_of("POST", "/opportunities", body) == {"properties.capsule_deal_size must be a number"}
    desk.post("/opportunities", {**DESKS, "properties": {"capsule_deal_size": 5.5}})
