"""Faults of `relay.toml`: each names its place, hides its neighbours from nobody, and says what to do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mapping.errors import RulesInvalid
from mapping.rules import Connection
from mapping.rules_faults import at_top, is_secret, meant, quoted
from tests.unit.test_rules import SINGLE_FAULTS, acme, faults_of, read
from tests.unit.wording import is_hint, is_reason

UNIFIED = '[connections.acme]\ndownstream = "unified"\n[connections.acme.unified]\nurl = "https://p.example/"\n'


@pytest.mark.parametrize(("text", "path"), [row[:2] for row in SINGLE_FAULTS], ids=[row[1] for row in SINGLE_FAULTS])
def test_every_fault_says_what_is_wrong_and_what_to_do(text: str, path: str) -> None:
    fault = faults_of(text)[path]
    assert is_reason(fault.message.rstrip(".")), fault.message
    assert is_hint(fault.hint), fault.hint


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        (acme(above="tags_to_sync = 'a,,b'"), "tags_to_sync", "Remove the comma, or quote"),
        (acme("[connections.acme.locations]\nA = 'x'"), "locations.A", "Put the brackets in"),
        (acme(above="locations = 5"), "locations", "Write its header in brackets"),
        (acme("[connections.acme.locations]\nA = ['x', 5]"), "locations.A.1", 'Write "…".'),
        (
            acme("[connections.acme.capsule]\naccount = 'b'"),
            "capsule.account",
            "Remove the setting: there is no other connection.",
        ),
        (acme("[connections.acme.capsule]\napi_url = 5"), "capsule.api_url", '"https://api.capsulecrm.com/api/v2"'),
        (acme("[connections.acme.capsule]\nauth = 'tokn'"), "capsule.auth", 'Did you mean "token"?'),
        (acme(above="on_gone = ' FORMER'"), "on_gone", 'Did you mean "former"?'),
        ('[connections.acme]\ndownstream = "unified"\nofficernd = {}', "officernd.organization", "Add it."),
        ("[connections.acme]", "downstream", 'Add it, such as downstream = "officernd".'),
        (
            '[connections.acme]\ndownstream = "officernd"',
            "officernd",
            'Add [connections.acme.officernd] with organization = "<slug>".',
        ),
        (
            acme("[connections.acme.opportunity_statuses]\nBID = 'a'\nBid = 'a'"),
            "opportunity_statuses.Bid",
            "Keep one of the two.",
        ),
        (
            acme("[connections.acme.opportunity_statuses]\non_gone = 5"),
            "opportunity_statuses.on_gone",
            "on_gone is a setting of [connections.acme]: write it above the first of its other tables.",
        ),
        (
            acme("[connections.acme.capsule]\norganization = 'x'"),
            "capsule.organization",
            "organization is a setting of [connections.acme.officernd]: write it right below it.",
        ),
        (acme(above="[connections.acme.capsule]\nname = 'x'"), "capsule.name", "Known: account, api_url, auth, oauth_url."),
        (acme("[connections.acme.fields.person]\n'url' = 'a'"), "fields.person.url", "Known: address.…, "),
        (acme("[connections.acme.fields]\n'properties.a' = 'shout(a)'"), 'fields."properties.a"', "Known: abs, avg, "),
        (acme("[connections.acme.locations]\n' ' = ['x']"), 'locations." "', "Write a name, or remove the setting."),
        (UNIFIED + "models = ['contcts']", "unified.models.0", 'Did you mean "contacts"?'),
        (
            UNIFIED + "models = ['zz']",
            "unified.models.0",
            "There are accounts, contacts, opportunities, projects, tasks, users, ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value and len(value) < 40 and value.isascii() else "",
)
def test_a_hint_tells_this_fault_from_others(text: str, path: str, hint: str) -> None:
    faults = faults_of(text)
    assert list(faults) == [f"connections.acme.{path}"]
    fault = faults[f"connections.acme.{path}"]
    assert hint in fault.hint
    assert is_hint(fault.hint), fault.hint


@pytest.mark.parametrize("table", ["models = ['contcts']", "triggers = ['tag.add']"])
def test_a_word_that_there_is_not_is_a_fault(table: str) -> None:
    (fault,) = faults_of(UNIFIED + table).values()
    assert is_reason(fault.message), fault.message


def test_where_nothing_can_be_advised_there_is_no_hint() -> None:
    assert faults_of(UNIFIED + "models = []")["connections.acme.unified.models"].hint == ""


@pytest.mark.parametrize("other", ["A / B", "a/b", "A/ B", "A  /  B"])
def test_milestones_that_differ_by_space_around_the_slash_are_the_same(other: str) -> None:
    text = acme(f"[connections.acme.opportunity_statuses]\n'A /B' = 'x'\n'{other}' = 'x'")
    (fault,) = faults_of(text).values()
    assert fault.message == 'is the same as "A /B"'


def test_no_value_of_the_file_stands_in_an_error_of_the_library() -> None:
    with pytest.raises(ValidationError) as raised:
        Connection.model_validate({"name": "acme", "downstream": "unified", "auto_sync_minutes": "canary", "canary_key": 1})
    assert "'canary'" not in str(raised.value)


def test_an_account_that_is_no_text_is_one_fault() -> None:
    with pytest.raises(RulesInvalid) as raised:
        read(acme("[connections.acme.capsule]\naccount = 5"))
    assert [fault.path for fault in raised.value.faults] == ["connections.acme.capsule.account"]


def test_an_account_of_a_later_connection_is_checked_too() -> None:
    text = acme() + '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\naccount = "acm"\n'
    fault = faults_of(text)["connections.b.capsule.account"]
    assert (fault.message, fault.hint) == ("names no other connection", 'Did you mean "acme"?')
    shared = text.replace('"acm"', '"acme"') + '[connections.c]\ndownstream = "unified"\n[connections.c.capsule]\naccount = "b"\n'
    assert faults_of(shared)["connections.c.capsule.account"].hint == "Name the connection that has the account."


def test_a_table_that_is_none_hides_no_fault_of_the_next() -> None:
    faults = faults_of('[connections]\na = "x"\n[connections.b]\ndownstream = "other"')
    assert list(faults) == ["connections.a", "connections.b.downstream"]


@pytest.mark.parametrize(
    ("text", "path", "variable"),
    [
        (acme("[connections.acme.capsule]\ntoken = 'canary'"), "capsule.token", "RELAY_ACME_CAPSULE_TOKEN "),
        (acme(above="capsule_client_secret = 'canary'"), "capsule_client_secret", "RELAY_ACME_CAPSULE_CLIENT_SECRET "),
        (acme("client_id = 'canary'"), "officernd.client_id", "RELAY_ACME_OFFICERND_CLIENT_ID "),
        (acme("client_secret = 'canary'"), "officernd.client_secret", "RELAY_ACME_OFFICERND_CLIENT_SECRET "),
        (acme(above="capsule_client_id = 'canary'"), "capsule_client_id", "RELAY_ACME_CAPSULE_CLIENT_ID "),
        (acme(above="api_key = 'canary'"), "api_key", "RELAY_ACME_… "),
    ],
)
def test_a_secret_is_sent_to_its_variable_and_never_shown(text: str, path: str, variable: str) -> None:
    faults = faults_of(text)
    assert list(faults) == [f"connections.acme.{path}"]
    fault = faults[f"connections.acme.{path}"]
    assert fault.message == "secrets do not stand in this file"
    assert f"Set {variable}in the environment" in fault.hint
    assert "canary" not in str(fault)


def test_a_key_beside_the_connections_is_a_fault_of_its_own() -> None:
    secret = at_top("capsule token")
    assert (secret.path, secret.message) == ('"capsule token"', "secrets do not stand in this file")
    assert is_hint(secret.hint)
    assert at_top("conections").hint == 'Did you mean "connections"?'
    assert at_top("x").hint == "Known: connections."


@pytest.mark.parametrize("key", ["capsule_token", "CLIENT_ID", "password", "my_api_key", "signing_secret"])
def test_a_key_that_sounds_like_a_secret(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["token_url", "downstream", "organization"])
def test_a_key_that_holds_no_secret(key: str) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a-b_C9", "a-b_C9"),
        ("a b", '"a b"'),
        ("", '""'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a\\b", '"a\\\\b"'),
        (5, "5"),
    ],
)
def test_a_key_is_quoted_as_toml_writes_it(key: object, path: str) -> None:
    assert quoted(key) == path


def test_a_key_without_a_near_one_gets_the_list() -> None:
    assert meant("xyz", ("b", "a")) == "Known: a, b."
    assert meant("aple", ("pear", "apple")) == 'Did you mean "apple"?'


def test_rules_are_made_ready_before_any_thread_reads_them() -> None:
    found = read(acme("[connections.acme.fields]\n'properties.a' = 'b'"))["acme"]
    assert "tags" in vars(found)
    assert "_compiled" in vars(found.fields)
