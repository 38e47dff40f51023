from __future__ import annotations

import contextlib
import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from mapping import rules
from mapping.errors import Fault, RulesInvalid
from mapping.urls import is_loopback

EXAMPLE = """
[connections.acme]
downstream = "officernd"
tags_to_sync = "member, [vip, london]"
sync_opportunities = true
sync_untagged_contacts = true
auto_sync = true
auto_sync_minutes = 15
default_location = "London Bridge"
on_gone = "keep"
hook_generation = 1

[connections.acme.capsule]
[connections.acme.officernd]
organization = "acme-spaces"
[connections.acme.locations]
"London Bridge" = ["london", "lb"]
"Shoreditch" = ["east"]
[connections.acme.opportunity_statuses]
"Bid" = "Negotiation"
[connections.acme.fields]
"properties.plan" = "fields[?definition.name=='Plan'].value | [0]"
[connections.acme.fields.person]
description = "about"
"""


def read(text: str) -> dict[str, rules.Connection]:
    return rules.parse(tomllib.loads(text))


def faults_of(text: str) -> dict[str, Fault]:
    with pytest.raises(RulesInvalid) as raised:
        read(text)
    return {fault.path: fault for fault in raised.value.faults}


def acme(extra: str = "", above: str = "") -> str:
    """The smallest good file, with lines added below and above."""
    return f'[connections.acme]\ndownstream = "officernd"\n{above}\n[connections.acme.officernd]\norganization = "acme"\n{extra}'


def test_the_designs_example_is_read_whole() -> None:
    found = read(EXAMPLE)["acme"]
    assert (found.name, found.downstream, found.on_gone, found.hook_generation) == ("acme", "officernd", "keep", 1)
    assert found.tags.tags == ("member", "vip", "london")
    assert list(found.locations) == ["London Bridge", "Shoreditch"], "the order decides which location wins"
    assert found.opportunity_statuses == {"Bid": "Negotiation"}
    assert found.capsule.api_url == "https://api.capsulecrm.com/api/v2"
    assert found.capsule.oauth_url == "https://api.capsulecrm.com/oauth"
    assert found.capsule.auth == "oauth"
    assert found.officernd is not None
    assert found.officernd.api_url == "https://app.officernd.com/api/v2"
    assert found.officernd.token_url == "https://identity.officernd.com/oauth/token"
    assert [own.target for own in found.fields.of("person")] == ["properties.plan", "description"]
    assert [own.target for own in found.fields.of("opportunity")] == ["properties.plan"]


def test_what_is_not_said_has_the_defaults_of_the_design() -> None:
    found = read(acme())["acme"]
    assert found.tags.judge(())[0]
    assert (found.sync_opportunities, found.sync_untagged_contacts, found.auto_sync) == (True, True, True)
    assert (found.auto_sync_minutes, found.default_location) == (15, None)
    assert (found.guard_percent, found.guard_records) == (5.0, 10)
    assert (found.locations, found.opportunity_statuses) == ({}, {})
    assert found.capsule.account is None


def test_the_rules_cannot_be_changed_afterwards() -> None:
    found = read(acme())["acme"]
    with pytest.raises(ValidationError):
        found.on_gone = "former"


def test_an_own_field_of_one_kind_replaces_the_general_one() -> None:
    found = read(acme('[connections.acme.fields]\n"properties.a" = "x"\n[connections.acme.fields.person]\n"properties.a" = "y"'))[
        "acme"
    ]
    assert [own.text for own in found.fields.of("person")] == ["y"]
    assert [own.text for own in found.fields.of("organisation")] == ["x"]


def test_an_own_field_may_be_written_with_or_without_quotes() -> None:
    found = read(acme('[connections.acme.fields]\nproperties.plan = "a"\n[connections.acme.fields.person]\naddress.city = "b"'))[
        "acme"
    ]
    assert [own.target for own in found.fields.of("person")] == ["properties.plan", "address.city"]


def test_the_unified_downstream_needs_no_officernd_table_and_takes_any_target() -> None:
    found = read('[connections.a]\ndownstream = "unified"\n[connections.a.fields]\n"whatever" = "x"')["a"]
    assert found.officernd is None
    assert [own.target for own in found.fields.of("person")] == ["whatever"]


def test_connections_can_share_a_capsule_account() -> None:
    text = acme() + '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\naccount = "acme"'
    assert read(text)["b"].capsule.account == "acme"


SINGLE_FAULTS = [
    ("", "connections", "no connection is defined"),
    ("connections = 5", "connections", "no connection is defined"),
    ("[connections]", "connections", "no connection is defined"),
    ("conections = 1\n" + acme(), "conections", "unknown setting"),
    ('[connections]\nacme = "x"', "connections.acme", "is not a table"),
    ('[connections.Acme]\ndownstream = "unified"', "connections.Acme", "is no name for a connection"),
    (f'[connections.{"a" * 32}]\ndownstream = "unified"', f"connections.{'a' * 32}", "is no name for a connection"),
    ('[connections."a b"]\ndownstream = "unified"', 'connections."a b"', "is no name for a connection"),
    ("[connections.acme]", "connections.acme.downstream", "is missing"),
    (acme(above='name = "acme"'), "connections.acme.name", "unknown setting"),
    ('[connections.acme]\ndownstream = "hubspot"', "connections.acme.downstream", "must be one of 'officernd' or 'unified'"),
    ('[connections.acme]\ndownstream = "officernd"', "connections.acme.officernd", "is missing"),
    ('[connections.acme]\ndownstream = "officernd"\nofficernd = 5', "connections.acme.officernd", "must be a table"),
    (acme("organisation = 'x'"), "connections.acme.officernd.organisation", "unknown setting"),
    (acme(above="auto_sync = 'yes'"), "connections.acme.auto_sync", "must be true or false, without quotes"),
    (acme(above="auto_sync_minutes = '5'"), "connections.acme.auto_sync_minutes", "must be a whole number, without quotes"),
    (acme(above="auto_sync_minutes = 0"), "connections.acme.auto_sync_minutes", "must be greater than or equal to 1"),
    (acme(above="auto_sync_minutes = 1441"), "connections.acme.auto_sync_minutes", "must be less than or equal to 1440"),
    (acme(above="hook_generation = 0"), "connections.acme.hook_generation", "must be greater than or equal to 1"),
    (acme(above="guard_percent = 'x'"), "connections.acme.guard_percent", "must be a number, without quotes"),
    (acme(above="guard_percent = 101"), "connections.acme.guard_percent", "must be less than or equal to 100"),
    (acme(above="guard_records = -1"), "connections.acme.guard_records", "must be greater than or equal to 0"),
    (acme(above="default_location = ' '"), "connections.acme.default_location", "is blank"),
    (acme(above="default_location = 5"), "connections.acme.default_location", "must be a text in quotes"),
    (acme(above="on_gone = 'delete'"), "connections.acme.on_gone", "must be one of 'keep' or 'former'"),
    (acme(above="tags_to_sync = ['a']"), "connections.acme.tags_to_sync", "must be a text in quotes"),
    (acme(above="tags_to_sync = 'a,,b'"), "connections.acme.tags_to_sync", "character 3: a tag is missing here"),
    (acme("[connections.acme.locations]\nA = 'x'"), "connections.acme.locations.A", 'must be a list, such as ["london", "lb"]'),
    (acme("[connections.acme.locations]\nA = ['x', ' ']"), "connections.acme.locations.A.1", "is blank"),
    (acme("[connections.acme.locations]\nA = []\n'a ' = []"), 'connections.acme.locations."a "', "is the same as A"),
    (acme("[connections.acme.opportunity_statuses]\nBid = ''"), "connections.acme.opportunity_statuses.Bid", "is blank"),
    (
        acme("[connections.acme.opportunity_statuses]\nBid = 'a'\nBID = 'a'"),
        "connections.acme.opportunity_statuses.BID",
        "is the same as Bid",
    ),
    (acme("[connections.acme.fields]\n'properties.a' = 5"), 'connections.acme.fields."properties.a"', "is no expression"),
    (
        acme("[connections.acme.fields]\n'properties.a' = ''"),
        'connections.acme.fields."properties.a"',
        "not a JMESPath expression",
    ),
    (
        acme("[connections.acme.fields]\n'location' = 'a'"),
        "connections.acme.fields.location",
        '"location" is filled by the rules',
    ),
    (acme("[connections.acme.fields]\n'phone' = 'a'"), "connections.acme.fields.phone", '"phone" is not among the fields'),
    (acme("[connections.acme.fields]\nperson = 'a'"), "connections.acme.fields.person", '"person" is not among the fields'),
    (acme("fields = 5"), "connections.acme.officernd.fields", "unknown setting"),
    (acme(above="fields = 5"), "connections.acme.fields", "must be a table"),
    (acme("[connections.acme.capsule]\nauth = 'basic'"), "connections.acme.capsule.auth", "must be one of 'oauth' or 'token'"),
    (acme("[connections.acme.capsule]\naccount = 'acme'"), "connections.acme.capsule.account", "names no other connection"),
    (acme("[connections.acme.capsule]\naccount = 'b'"), "connections.acme.capsule.account", "names no other connection"),
    (acme("api_url = 'http://example.com'"), "connections.acme.officernd.api_url", "is plain http to another machine"),
    (acme("api_url = 'ftp://example.com'"), "connections.acme.officernd.api_url", "is no web address"),
    (acme("api_url = 'https://['"), "connections.acme.officernd.api_url", "is no web address"),
    (acme("api_url = 'https://a:b@example.com'"), "connections.acme.officernd.api_url", "holds a user name or a password"),
    (acme("api_url = 'https://example.com?a=b'"), "connections.acme.officernd.api_url", "holds a query or a fragment"),
    (acme("api_url = 'https://exa mple.com'"), "connections.acme.officernd.api_url", "is no web address"),
    (
        '[connections.a]\ndownstream="officernd"\n[connections.a.officernd]\norganization="../x"',
        "connections.a.officernd.organization",
        "is no organisation slug",
    ),
]


@pytest.mark.parametrize(
    ("text", "path", "message"), SINGLE_FAULTS, ids=[f"{number}-{row[1]}" for number, row in enumerate(SINGLE_FAULTS)]
)
def test_a_fault_is_named_with_its_place(text: str, path: str, message: str) -> None:
    faults = faults_of(text)
    assert list(faults) == [path]
    assert faults[path].message.startswith(message)


def test_a_secret_in_the_file_is_refused_and_never_repeated() -> None:
    faults = faults_of(acme(above='capsule_token = "hunter2"'))
    fault = faults["connections.acme.capsule_token"]
    assert fault.message == "secrets do not stand in this file"
    assert "RELAY_ACME_" in fault.hint
    assert "hunter2" not in str(fault)


def test_a_misspelt_setting_is_answered_with_the_one_that_was_meant() -> None:
    faults = faults_of(acme(above='tag_to_sync = "a"'))
    assert faults["connections.acme.tag_to_sync"].hint == 'Did you mean "tags_to_sync"?'
    assert faults_of(acme("orgnization = 'x'"))["connections.acme.officernd.orgnization"].hint == 'Did you mean "organization"?'
    assert "Known: " in faults_of(acme("xyz = 'x'"))["connections.acme.officernd.xyz"].hint


def test_an_account_that_is_itself_shared_cannot_be_shared() -> None:
    text = "".join(
        f'[connections.{name}]\ndownstream="unified"\n[connections.{name}.capsule]\naccount="{owner}"\n'
        for name, owner in ("ab", "bc")
    )
    text += '[connections.c]\ndownstream="unified"\n'
    assert faults_of(text)["connections.a.capsule.account"].message == "names a connection that itself shares an account"


def test_all_faults_of_a_file_are_named_at_once() -> None:
    faults = faults_of("""
top = 1
[connections.Acme]
downstream = "office"
tag_to_sync = "x"
tags_to_sync = "a,,b"
sync_opportunities = "yes"
auto_sync_minutes = 0
capsule_token = "hunter2"
[connections.Acme.capsule]
api_url = "http://example.com"
account = "nobody"
[connections.b]
downstream = "officernd"
[connections.b.locations]
"London" = "x"
[connections.b.fields]
"company" = "a["
person = {"properties.x" = "foo(a)", "properties" = "a"}
""")
    assert len(faults) == 15
    assert all(fault.message for fault in faults.values())


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://127.0.0.1:9102/api/v2/", "http://127.0.0.1:9102/api/v2"),
        ("http://[::1]:9102", "http://[::1]:9102"),
        ("http://localhost:9102", "http://localhost:9102"),
        ("https://eu.officernd.example/api/v2", "https://eu.officernd.example/api/v2"),
    ],
)
def test_plain_http_may_lead_to_this_machine_only(address: str, kept: str) -> None:
    found = read(acme(f'api_url = "{address}"'))["acme"].officernd
    assert found is not None
    assert found.api_url == kept


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback_is_told_from_other_hosts(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_fault_is_printed_with_place_and_hint() -> None:
    error = RulesInvalid((Fault("a.b", "is wrong", "Mend it."), Fault("c", "is missing")))
    assert str(error) == "a.b: is wrong (Mend it.); c: is missing"


def test_values_of_any_type_raise_nothing_but_named_faults() -> None:
    odd: list[Any] = [None, 5, "x", True, [], {}, [1], {"a": 1}, {"a": {"b": []}}, 1.5]
    refused = 0
    for setting in rules.Connection.model_fields:
        for value in odd:
            with contextlib.suppress(RulesInvalid):
                rules.parse({"connections": {"acme": {"downstream": "unified", setting: value}}})
                continue
            refused += 1
    assert refused > 100
