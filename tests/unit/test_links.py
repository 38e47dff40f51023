"""Addresses of records, for people and for programs."""

from __future__ import annotations

import pytest

from mapping import links, rules
from tests.unit.samples import connection


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("party", "parties/7"),
        ("opportunity", "opportunities/7"),
        ("kase", "kases/7"),
        ("task", "tasks/7"),
        ("user", "users/7"),
        ("entry", "entries/7"),
    ],
)
def test_every_kind_has_an_address_in_capsules_api(kind: str, path: str) -> None:
    assert links.capsule_api(connection(), kind, 7) == f"https://api.capsulecrm.com/api/v2/{path}"


@pytest.mark.parametrize("site", ["https://acme.example/X", "https://acme.example/X/"])
def test_a_page_is_below_the_address_of_the_account(site: str) -> None:
    assert links.capsule_page(site, "party", 7) == "https://acme.example/X/party/7"


@pytest.mark.parametrize("resource", ["company", "member", "opportunity"])
def test_a_record_of_officernd_is_named_below_its_organization(resource: str) -> None:
    acme = connection(officernd={"organization": "acme-spaces", "api_url": "https://officernd.example/api/v1"})
    path = {"company": "companies", "member": "members", "opportunity": "opportunities"}[resource]
    assert (
        links.downstream_api(acme, resource, "64b0") == f"https://officernd.example/api/v1/organizations/acme-spaces/{path}/64b0"
    )


def test_without_officernd_or_for_another_resource_there_is_no_address() -> None:
    unified = rules.parse({"connections": {"acme": {"downstream": "unified"}}})["acme"]
    assert links.downstream_api(unified, "company", "64b0") is None
    assert links.downstream_api(connection(), "contact", "64b0") is None
