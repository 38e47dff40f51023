"""More of what is legal and surely mistaken: what must not be warned of, and what hides no other warning."""

from __future__ import annotations

import tomllib

import pytest

from mapping.rules_warnings import warnings
from tests.unit.test_check_warnings import SINGLE, TAGS, found, good
from tests.unit.wording import is_hint, is_reason

TWO = good() + good().replace("acme]", "beta]").replace("acme.", "beta.")
DOUBTS = [text for text, _, _ in SINGLE] + [good().replace('"member"', f"'{tags}'") for tags, _ in TAGS] + [TWO]


@pytest.mark.parametrize("text", DOUBTS, ids=[str(number) for number in range(len(DOUBTS))])
def test_every_doubt_says_what_to_do(text: str) -> None:
    doubts = warnings(tomllib.loads(text))
    assert doubts
    for doubt in doubts:
        assert is_reason(doubt.message), doubt.message
        assert is_hint(doubt.hint), doubt.hint


def test_former_is_doubted_only_without_tags() -> None:
    assert found(good('on_gone = "former"')) == {}
    assert list(found(good('on_gone = "former"').replace('tags_to_sync = "member"', ""))) == ["connections.acme.on_gone"]


def test_a_group_that_excludes_does_not_exclude_its_single_tags() -> None:
    assert found(good().replace('"member"', "'c, ![c, d]'")) == {}


def test_a_location_of_another_form_hides_no_other() -> None:
    doubts = found(good(below="[connections.acme.locations]\nA = 'x'\nB = []\nC = [5, ' ', 'x', 'X']\nD = [' ']"))
    assert list(doubts) == ["connections.acme.locations.B", "connections.acme.locations.C.3"], "a blank tag is a fault already"


def test_a_status_that_may_be_shared_hides_no_other() -> None:
    below = "'Won' = 'won'\n'Odd' = 5\n'New' = 'Negotiation'"
    assert list(found(good(below=below))) == ["connections.acme.opportunity_statuses.New"]


@pytest.mark.parametrize("setting", ["capsule.api_url", "capsule.oauth_url", "officernd.api_url", "officernd.token_url"])
def test_plain_http_is_doubted_wherever_it_stands(setting: str) -> None:
    side, _, key = setting.partition(".")
    line = f"{key} = 'HTTP://localhost:1'\n"
    text = good(below=f"[connections.acme.capsule]\n{line if side == 'capsule' else ''}")
    if side == "officernd":
        text = text.replace("[connections.acme.opp", line + "[connections.acme.opp")
    assert list(found(text)) == [f"connections.acme.{setting}"]


def test_a_product_beside_officernd_is_doubted() -> None:
    assert found(good(below="[connections.acme.unified]\nurl = 'https://product.example/'")) == {
        "connections.acme.unified": 'has no effect while downstream is "officernd" | Remove one of the two.'
    }


def test_a_shared_account_is_named_and_so_is_the_other_downstream() -> None:
    text = good() + '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\naccount = "acme"\nauth = "token"\n'
    doubts = found(text + '[connections.b.officernd]\norganization = "acme-spaces"')
    assert doubts["connections.b.capsule.auth"] == (
        "has no effect: the connection signs in as acme does, whose account it shares | Remove the line."
    )
    assert doubts["connections.b.officernd"] == 'has no effect while downstream is "unified" | Remove one of the two.'


def test_two_connections_into_one_organisation_are_known_by_address_and_slug() -> None:
    path = "connections.beta.officernd.organization"
    default, own = "https://app.officernd.com/api/v2", "api_url = '{}'\n[connections.beta.opportunity"
    assert "of the connection acme too" in found(TWO)[path]
    assert "Give each connection an organisation of its own" in found(TWO)[path]
    same = TWO.replace("[connections.beta.opportunity", own.format(default.replace("app", "APP") + "/"))
    assert path in found(same)
    another = TWO.replace("[connections.beta.opportunity", own.format("https://eu.officernd.example/api/v2"))
    assert found(another) == {}
    longer = TWO.replace("[connections.beta.opportunity", own.format(default + "/X"))
    assert found(longer) == {}
    assert found(TWO.replace("[connections.beta.opportunity", "api_url = 5\n[connections.beta.opportunity")) == {}
    assert found(TWO.replace('"acme-spaces"', "5")) == {}


def test_a_connection_of_another_downstream_hides_no_other() -> None:
    first = '[connections.a]\ndownstream = "unified"\n[connections.a.officernd]\norganization = "acme-spaces"\n'
    assert list(found(first + TWO)) == ["connections.a.officernd", "connections.beta.officernd.organization"]
