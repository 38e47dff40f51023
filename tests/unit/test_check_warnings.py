"""What is legal and surely mistaken, in the rules file and in the environment: warned of, and nothing else."""

from __future__ import annotations

import tomllib

import pytest

from mapping import rules
from mapping.rules_warnings import warnings
from tests.unit.test_rules import EXAMPLE
from workers.environment_warnings import of_environment

GOOD = """
[connections.acme]
downstream = "officernd"
tags_to_sync = "member"
default_location = "London Bridge"
{above}
[connections.acme.officernd]
organization = "acme-spaces"
[connections.acme.opportunity_statuses]
"Sales / Bid" = "Negotiation"
{below}
"""


def found(text: str) -> dict[str, str]:
    return {fault.path: f"{fault.message} | {fault.hint}" for fault in warnings(tomllib.loads(text))}


def good(above: str = "", below: str = "") -> str:
    return GOOD.format(above=above, below=below)


def test_nothing_is_said_of_good_rules() -> None:
    assert found(good()) == {}
    assert found(EXAMPLE) == {}


TAGS = [
    ("vip, !vip", 'names "vip" and "!vip"'),
    ("[vip, london], !Vip", 'so tags "vip" and "london" never lets'),
    ("[vip, !vip]", 'both with and without "!"'),
    ("a, ![x, !x]", 'both with and without "!"'),
    ("a, [b, c], A", 'tag "A" stands there twice'),
]
FINE_TAGS = ["a, b", "[a, !b], [b, !a]", "vip, [london, !vip]", "a, !b, ![c, d]", "a, [a, b]", "!a", "", "a, !b, [c, !b]", "a,,"]


@pytest.mark.parametrize(("tags", "said"), TAGS, ids=[tags for tags, _ in TAGS])
def test_tags_that_contradict_each_other_are_warned_of(tags: str, said: str) -> None:
    assert said in found(good().replace('"member"', f"'{tags}'"))["connections.acme.tags_to_sync"]


@pytest.mark.parametrize("tags", FINE_TAGS)
def test_tags_that_make_sense_are_not(tags: str) -> None:
    assert "connections.acme.tags_to_sync" not in found(good().replace('"member"', f"'{tags}'"))


SINGLE = [
    (good("on_gone = 'former'").replace('"member"', '" "'), "on_gone", "tags_to_sync is empty"),
    (good("auto_sync = false\nauto_sync_minutes = 5"), "auto_sync_minutes", "no effect"),
    (good().replace('default_location = "London Bridge"', ""), "", "every person and organisation is held"),
    (good(below="[connections.acme.locations]\nA = []"), "locations.A", "has no tags"),
    (good(below="[connections.acme.locations]\nA = ['x']\nB = ['y', ' X']"), "locations.B.1", "leads to A already"),
    (good(below="[connections.acme.locations]\nA = ['x', 'X']"), "locations.A.1", "twice"),
    (good(below="'New' = ' negotiation'"), "opportunity_statuses.New", 'stands for "Sales / Bid" already'),
    (good(below="on_gone = 'keep'"), "opportunity_statuses.on_gone", "is a setting of [connections.acme]"),
    (good().replace('"Sales / Bid" = "Negotiation"', ""), "opportunity_statuses", "every opportunity is held"),
    (good("sync_opportunities = false"), "opportunity_statuses", "no effect"),
    (good(below="[connections.acme.capsule]\napi_url = 'http://localhost:1'"), "capsule.api_url", "plain http"),
    (
        good().replace("[connections.acme.opp", "token_url = 'http://localhost:1'\n[connections.acme.opp"),
        "officernd.token_url",
        "plain",
    ),
]


@pytest.mark.parametrize(("text", "path", "said"), SINGLE, ids=[path or "connection" for _, path, _ in SINGLE])
def test_one_doubt_is_named_and_no_other(text: str, path: str, said: str) -> None:
    doubts = found(text)
    assert list(doubts) == [f"connections.acme.{path}".rstrip(".")]
    assert said in doubts[f"connections.acme.{path}".rstrip(".")]
    rules.parse(tomllib.loads(text))  # It is legal, so it is no fault.


@pytest.mark.parametrize(
    "below",
    ["'Renewals / Bid' = 'Negotiation'", "'Won' = 'won'\n'Renewed' = 'won'", "'New' = 'Tour booked'"],
    ids=["same step of two pipelines", "two ends", "another status"],
)
def test_a_status_may_stand_for_several_milestones_where_that_makes_sense(below: str) -> None:
    assert found(good(below=below)) == {}


def test_two_connections_into_one_organisation_are_warned_of() -> None:
    two = good() + good().replace("acme]", "beta]").replace("acme.", "beta.")
    assert list(found(two)) == ["connections.beta.officernd.organization"]
    assert found(two.replace('"acme-spaces"', '"beta-spaces"', 1)) == {}


def test_a_shared_account_signs_in_as_its_owner_does() -> None:
    text = good() + '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\naccount = "acme"\nauth = "token"\n'
    text += '[connections.b.officernd]\norganization = "x"'
    assert set(found(text)) == {"connections.b.capsule.auth", "connections.b.officernd"}


def test_tables_of_any_shape_raise_nothing() -> None:
    for odd in (5, "x", True, [], [1], {}, {"a": 1}, {"a": [1, " "]}):
        for setting in rules.Connection.model_fields:
            warnings({"connections": {"acme": {"downstream": "officernd", setting: odd}}})
    assert warnings({"connections": 5}) == warnings({"connections": {"a": 5}}) == ()


# ------------------------------------------------------------------ the environment
def doubted(environ: dict[str, str], text: str = "", *, is_whole: bool = True) -> dict[str, str]:
    document = tomllib.loads(text or good(below="[connections.acme.capsule]\nauth = 'token'"))
    names = tuple(document["connections"])
    return {
        fault.path: f"{fault.message} | {fault.hint}" for fault in of_environment(environ, names, document, is_whole=is_whole)
    }


def test_variables_that_are_read_are_not_doubted() -> None:
    assert doubted({"RELAY_ACME_CAPSULE_TOKEN": "x", "RELAY_PUBLIC_URL": "https://x.example", "OTHER": "1"}) == {}


def test_variables_of_a_connection_that_is_not_there_are_told_with_it() -> None:
    said = doubted({"RELAY_ACM_CAPSULE_TOKEN": "canary", "RELAY_BETA_SIGNING_SECRET": "canary", "RELAY_WEBPORT": "80"})
    assert "there is no connection acm | Did you mean RELAY_ACME_CAPSULE_TOKEN?" in said["RELAY_ACM_CAPSULE_TOKEN"]
    assert "there is no connection beta | Remove it" in said["RELAY_BETA_SIGNING_SECRET"]
    assert "RELAY_WEB_PORT" in said["RELAY_WEBPORT"]
    assert "canary" not in str(said)


def test_plain_http_and_credentials_that_nobody_uses() -> None:
    said = doubted({"RELAY_PUBLIC_URL": "http://localhost:8080", "RELAY_ACME_CAPSULE_CLIENT_SECRET": "canary"})
    assert set(said) == {"RELAY_PUBLIC_URL", "RELAY_ACME_CAPSULE_CLIENT_SECRET"}
    assert 'auth is "token"' in said["RELAY_ACME_CAPSULE_CLIENT_SECRET"]


def test_a_shared_account_needs_no_token_and_the_same_token_twice_is_a_shared_account() -> None:
    b = '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\n'
    tokens = {"RELAY_ACME_CAPSULE_TOKEN": "canary", "RELAY_B_CAPSULE_TOKEN": "canary", "RELAY_B_OFFICERND_CLIENT_ID": "x"}
    shared = doubted(tokens, good() + b + 'account = "acme"')
    assert set(shared) == {"RELAY_B_CAPSULE_TOKEN", "RELAY_B_OFFICERND_CLIENT_ID"}
    assert "shares the account of acme" in shared["RELAY_B_CAPSULE_TOKEN"]
    twice = doubted(tokens, good() + b + 'auth = "token"')
    assert 'account = "acme"' in twice["RELAY_B_CAPSULE_TOKEN"]
    assert "canary" not in f"{shared}{twice}"
    assert doubted(tokens, good() + b + 'auth = "token"', is_whole=False) == {}
