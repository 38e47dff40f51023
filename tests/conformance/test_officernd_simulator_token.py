"""The OfficeRnD simulator: tokens, scopes and slugs."""

from __future__ import annotations

import re

import pytest

from tests.conformance.officernd_desk import BASE, FORM, Desk

UNAUTHORIZED = {"statusCode": 401, "message": "Unauthorized access", "error": "Unauthorized"}
READ = "flex.community.members.read"


@pytest.fixture
def desk() -> Desk:
    return Desk(limits={"token_minute": 1000})


def test_a_token_is_opaque_and_lasts_an_hour(desk: Desk) -> None:
    """reference/officernd.md §1.1."""
    answer = desk.request("POST", "/oauth/token", data={**FORM, "scope": READ})
    assert answer.status_code == 200
    document = answer.json()
    assert re.fullmatch("[0-9a-f]{40}", document.pop("access_token"))
    assert document == {"token_type": "Bearer", "expires_in": 3600, "scope": READ}


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "grant_type", "scope"])
def test_a_token_request_without_a_field_is_refused(desk: Desk, missing: str) -> None:
    """reference/officernd.md §1.1: the scope is required like the rest."""
    answer = desk.request("POST", "/oauth/token", data={name: value for name, value in FORM.items() if name != missing})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("status", "error", "changes"),
    [
        pytest.param(400, "invalid_scope", {"scope": f"{READ} flex.billing.invoices.read"}, id="one scope not granted fails all"),
        pytest.param(400, "invalid_scope", {"scope": "officernd.api.read"}, id="a v1 scope that was not granted"),
        pytest.param(401, "invalid_client", {"client_secret": "wrong"}, id="a wrong secret"),
        pytest.param(401, "invalid_client", {"client_id": "wrong"}, id="a wrong id"),
        pytest.param(400, "unsupported_grant_type", {"grant_type": "password"}, id="another grant"),
    ],
)
def test_a_token_request_is_refused(desk: Desk, status: int, error: str, changes: dict[str, str]) -> None:
    """reference/officernd.md §1.1."""
    answer = desk.request("POST", "/oauth/token", data={**FORM, **changes})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_credentials_are_read_from_a_form_only(desk: Desk) -> None:
    """reference/officernd.md §1.1: neither JSON nor Basic authentication is known to work."""
    as_json = desk.request("POST", "/oauth/token", json=FORM)
    basic = {name: FORM[name] for name in ("grant_type", "scope")}
    as_basic = desk.request("POST", "/oauth/token", data=basic, auth=(FORM["client_id"], FORM["client_secret"]))
    assert {as_json.status_code, as_basic.status_code} == {400}


def test_the_token_endpoint_allows_five_requests_a_minute() -> None:
    """reference/officernd.md §1.1: the sixth is 429, refused requests count, the next minute is free."""
    desk = Desk()
    answers = [desk.request("POST", "/oauth/token", data={**FORM, "scope": ""}).status_code for _ in range(4)]
    assert answers == [400] * 4
    sixth = desk.request("POST", "/oauth/token", data=FORM)
    assert sixth.status_code == 429
    assert not [name for name in sixth.headers if name.startswith("retry-after")]
    desk.switch(token_retry_after="plain")
    assert 1 <= int(desk.request("POST", "/oauth/token", data=FORM).headers["retry-after"]) <= 60
    desk.advance(60)
    assert desk.request("POST", "/oauth/token", data=FORM).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer 0000", "Basic b2ZmaWNl"])
def test_a_missing_or_bad_token_is_401(desk: Desk, header: str) -> None:
    """reference/officernd.md §2.7."""
    answer = desk.ask("GET", "/members", headers={"Authorization": header})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_token_ends_after_its_lifetime(desk: Desk) -> None:
    """reference/officernd.md §1.1: no refresh; a new one works, and the lifetime can be set."""
    desk.advance(3599)
    desk.get("/members")
    desk.advance(1)
    assert desk.get("/members", expect=401) == UNAUTHORIZED
    desk.limit(token_seconds=5)
    desk.token = desk.new_token()
    desk.get("/members")
    desk.advance(5)
    desk.get("/members", expect=401)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/members", "flex.community.members.read"),
        ("GET", "/members/count", "flex.community.members.read"),
        ("POST", "/members", "flex.community.members.create"),
        ("PUT", "/members/1", "flex.community.members.update"),
        ("PUT", "/members/1/status", "flex.community.members.update"),
        ("PUT", "/members/1/company", "flex.community.members.update"),
        ("DELETE", "/members/1", "flex.community.members.delete"),
        ("GET", "/companies", "flex.community.companies.read"),
        ("POST", "/companies", "flex.community.companies.create"),
        ("PUT", "/companies/1", "flex.community.companies.update"),
        ("DELETE", "/companies/1", "flex.community.companies.delete"),
        ("GET", "/opportunities", "flex.community.opportunities.read"),
        ("POST", "/opportunities", "flex.community.opportunities.create"),
        ("PUT", "/opportunities/1", "flex.community.opportunities.update"),
        ("DELETE", "/opportunities/1", "flex.community.opportunities.delete"),
        ("GET", "/opportunity-statuses", "flex.community.opportunityStatuses.read"),
        ("GET", "/locations", "flex.space.locations.read"),
        ("GET", "/custom-properties", "flex.settings.customProperties.read"),
    ],
)
def test_a_token_without_the_scope_is_401_as_if_there_were_none(desk: Desk, method: str, path: str, scope: str) -> None:
    """reference/officernd.md §1.4, §2.7: never 403."""
    others = " ".join(name for name in FORM["scope"].split() if name != scope)
    desk.token = desk.new_token(scope=others)
    answer = desk.ask(method, path, json={})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    desk.token = desk.new_token(scope=scope)
    assert desk.ask(method, path, json={}).status_code != 401


def test_an_unknown_slug_is_500(desk: Desk) -> None:
    """reference/officernd.md §2.7."""
    answer = desk.request("GET", "/api/v2/organizations/somebody-else/members", headers={"Authorization": f"Bearer {desk.token}"})
    assert (answer.status_code, answer.json()["message"]) == (500, "Organization not found")


def test_a_malformed_slug_leads_to_a_login_page(desk: Desk) -> None:
    """reference/officernd.md §2.7: 302; an empty slug is 401."""
    answer = desk.request("GET", "/api/v2/organizations/acme%20spaces/members")
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")
    empty = desk.request("GET", "/api/v2/organizations//members", headers={"Authorization": f"Bearer {desk.token}"})
    assert empty.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/members/64b0c0ffee00000000000101"),
        ("POST", "/members/64b0c0ffee00000000000101"),
        ("DELETE", "/members"),
        ("PUT", "/members"),
        ("POST", "/locations"),
        ("PUT", "/locations/64b0c0ffee00000000000001"),
        ("POST", "/opportunity-statuses"),
        ("GET", "/opportunity-statuses/64b0c0ffee00000000000401"),
        ("POST", "/custom-properties"),
        ("GET", "/leads"),
        ("GET", "/teams"),
        ("GET", "/tags"),
        ("POST", "/members/64b0c0ffee00000000000101/status"),
        ("GET", "/members/64b0c0ffee00000000000101/company"),
        ("GET", "/members/"),
    ],
)
def test_an_unsupported_verb_or_path_is_404(desk: Desk, method: str, path: str) -> None:
    """reference/officernd.md §2.2, §2.7: locations, statuses and custom properties are read only; no leads, teams, tags."""
    answer = desk.ask(method, path)
    assert answer.status_code == 404
    assert answer.json() == {"statusCode": 404, "message": f"Cannot {method} {BASE}{path}", "error": "Not Found"}


def test_an_answer_has_the_vendors_headers(desk: Desk) -> None:
    """reference/officernd.md §1.2."""
    headers = desk.ask("GET", "/members").headers
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert (headers["x-powered-by"], headers["server"]) == ("Express", "cloudflare")
