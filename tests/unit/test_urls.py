"""Which addresses a rule may name, and in which form they are kept."""

from __future__ import annotations

import pytest

from mapping import rules
from mapping.urls import checked_url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example/api/v2//", "https://a.example/api/v2"),
        ("https://a.example/X", "https://a.example/X"),
        ("https://a.example:1/api", "https://a.example:1/api"),
        ("HTTPS://a.example", "HTTPS://a.example"),
        ("http://127.0.0.1:65535", "http://127.0.0.1:65535"),
    ],
)
def test_an_address_loses_nothing_but_the_slashes_at_its_end(given: str, kept: str) -> None:
    assert checked_url(given) == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("https:///api", "is no web address"),
        ("https://:8080", "is no web address"),
        ("https://a.example:0", "is no web address"),
        ("https://a.example:65536", "is no web address"),
        ("https://a.example:x", "is no web address"),
        (" https://a.example", "is no web address"),
        ("a.example", "is no web address"),
        ("", "is no web address"),
        ("https://canary@a.example", "holds a user name or a password"),
        ("https://:canary@a.example", "holds a user name or a password"),
        ("https://a.example?canary", "holds a query or a fragment"),
        ("https://a.example#canary", "holds a query or a fragment"),
        ("http://a.example", "is plain http to another machine"),
        ("http://10.0.0.1", "is plain http to another machine"),
    ],
)
def test_an_address_that_may_not_be_used_is_refused_without_being_repeated(given: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + why + "$"):
        checked_url(given)


@pytest.mark.parametrize("slug", ["a", "7", "acme-spaces", "a.b_c~d"])
def test_an_organisation_is_named_by_its_slug(slug: str) -> None:
    assert rules.OfficerndRules(organization=slug).organization == slug
