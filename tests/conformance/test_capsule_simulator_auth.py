"""Capsule's simulator: tokens and OAuth (reference/capsule.md §2)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule

BACK = "http://127.0.0.1:8081/connect/acme"
CLIENT = {"client_id": "capsule-client", "client_secret": "capsule-secret"}


def authorise(capsule: Capsule, **more: str) -> dict[str, list[str]]:
    """Go through the authorise page; what came back in the query."""
    query = {"response_type": "code", "client_id": "capsule-client", "redirect_uri": BACK, "state": "s1", **more}
    answer = capsule.ask("GET", "/oauth/authorise", token=None, params=query)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(BACK)
    return parse_qs(urlsplit(answer.headers["location"]).query)


def exchange(capsule: Capsule, **form: str) -> Any:
    """Ask the token endpoint."""
    return capsule.ask("POST", "/oauth/token", token=None, data={**CLIENT, **form})


def first_tokens(capsule: Capsule) -> dict[str, Any]:
    """Tokens by the whole flow."""
    code = authorise(capsule)["code"][0]
    answer = exchange(capsule, grant_type="authorization_code", code=code, redirect_uri=BACK)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic Y2Fwc3VsZS10b2tlbjo=", "capsule-token"], ids=str)
def test_a_call_without_a_good_token_is_401_with_a_body_and_details_in_a_header(capsule: Capsule, header: str | None) -> None:
    """§2.3."""
    headers = {} if header is None else {"Authorization": header}
    answer = capsule.ask("GET", "/parties", token=None, headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"message"}
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_without_the_scope_is_403(capsule: Capsule) -> None:
    """§2.3: the vendor's own text."""
    capsule.control("POST", "tokens", {"token": "reader", "scope": "read"})
    assert capsule.ask("GET", "/parties", token="reader").status_code == 200
    answer = capsule.ask("POST", "/parties", token="reader", json={"party": {"type": "organisation", "name": "X"}})
    assert (answer.status_code, answer.json()) == (403, {"message": "Requires additional scope"})
    assert "insufficient_scope" in answer.headers["www-authenticate"]


def test_the_code_flow_gives_tokens_that_work_and_name_the_account(capsule: Capsule) -> None:
    """§2.2."""
    back = authorise(capsule)
    assert back["state"] == ["s1"]
    given = exchange(capsule, grant_type="authorization_code", code=back["code"][0], redirect_uri=BACK).json()
    assert given.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope", "subdomain"}
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("bearer", 604_799, "read write")
    assert given["subdomain"] == "exampleco"
    assert capsule.ask("GET", "/users/current", token=given["access_token"]).status_code == 200


def test_a_code_works_once(capsule: Capsule) -> None:
    """§2.2."""
    code = authorise(capsule)["code"][0]
    assert exchange(capsule, grant_type="authorization_code", code=code).status_code == 200
    again = exchange(capsule, grant_type="authorization_code", code=code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_wrong_secret_is_refused_and_basic_authentication_accepted(capsule: Capsule) -> None:
    """§2.2: client_secret_post or client_secret_basic."""
    code = authorise(capsule)["code"][0]
    form = {"grant_type": "authorization_code", "code": code}
    wrong = capsule.ask("POST", "/oauth/token", token=None, data={**form, "client_id": "capsule-client", "client_secret": "no"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    basic = {"Authorization": "Basic " + base64.b64encode(b"capsule-client:capsule-secret").decode()}
    assert capsule.ask("POST", "/oauth/token", token=None, data=form, headers=basic).status_code == 200


def test_the_token_endpoint_takes_json_too(capsule: Capsule) -> None:
    """§2.2, by basic-auth-migrate."""
    body = {**CLIENT, "grant_type": "authorization_code", "code": authorise(capsule)["code"][0]}
    assert capsule.ask("POST", "/oauth/token", token=None, json=body).status_code == 200


@pytest.mark.parametrize("method", ["plain", "S256"])
def test_a_challenge_must_be_met(capsule: Capsule, method: str) -> None:
    """§2.2: PKCE plain or S256."""
    verifier = "v" * 43
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    challenge = {"code_challenge": verifier if method == "plain" else hashed, "code_challenge_method": method}
    code = authorise(capsule, **challenge)["code"][0]
    assert exchange(capsule, grant_type="authorization_code", code=code, code_verifier="other").status_code == 400
    code = authorise(capsule, **challenge)["code"][0]
    assert exchange(capsule, grant_type="authorization_code", code=code, code_verifier=verifier).status_code == 200


def test_an_access_token_ends_after_its_time(capsule: Capsule) -> None:
    """§2.2: 604,799 seconds."""
    token = first_tokens(capsule)["access_token"]
    capsule.control("POST", "clock", {"advance": 604_700})
    assert capsule.ask("GET", "/site", token=token).status_code == 200
    capsule.control("POST", "clock", {"advance": 100})
    assert capsule.ask("GET", "/site", token=token).status_code == 401


def test_a_refresh_rotates_and_the_old_tokens_die(capsule: Capsule) -> None:
    """§2.2: may be; the harsher reading is the default."""
    old = first_tokens(capsule)
    new = exchange(capsule, grant_type="refresh_token", refresh_token=old["refresh_token"]).json()
    assert new["refresh_token"] != old["refresh_token"]
    assert capsule.ask("GET", "/site", token=old["access_token"]).status_code == 401
    assert capsule.ask("GET", "/site", token=new["access_token"]).status_code == 200
    assert exchange(capsule, grant_type="refresh_token", refresh_token=old["refresh_token"]).status_code == 400


def test_a_refresh_without_rotation_leaves_the_old_refresh_token(capsule: Capsule) -> None:
    """§2.2, switches refresh_rotates and refresh_ends_access_token."""
    capsule.switch(refresh_rotates="no", refresh_ends_access_token="no")
    old = first_tokens(capsule)
    new = exchange(capsule, grant_type="refresh_token", refresh_token=old["refresh_token"]).json()
    assert "refresh_token" not in new
    assert capsule.ask("GET", "/site", token=old["access_token"]).status_code == 200
    assert exchange(capsule, grant_type="refresh_token", refresh_token=old["refresh_token"]).status_code == 200


@pytest.mark.parametrize("path", ["/oauth/token/revoke", "/oauth/revoke"])
def test_both_published_addresses_revoke(capsule: Capsule, path: str) -> None:
    """§2.2: the page and the discovery document disagree."""
    given = first_tokens(capsule)
    assert capsule.ask("POST", path, token=None, data={**CLIENT, "token": given["refresh_token"]}).status_code == 200
    assert capsule.ask("GET", "/site", token=given["access_token"]).status_code == 401
    assert exchange(capsule, grant_type="refresh_token", refresh_token=given["refresh_token"]).status_code == 400


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_there_is_no_other_grant(capsule: Capsule, grant: str) -> None:
    """§2.2."""
    answer = exchange(capsule, grant_type=grant, username="x", password="y")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
