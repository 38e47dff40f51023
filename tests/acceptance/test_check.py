"""`capsule-relay check` as a process of its own: a file with ten different faults, and both simulators asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from tests.acceptance.harness import RULES
from tests.simulators.run import Simulator, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "RELAY_SECRET_KEY": "k" * 40,
    "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
    "RELAY_ACME_OFFICERND_CLIENT_ID": "officernd-client",
    "RELAY_ACME_OFFICERND_CLIENT_SECRET": "officernd-secret",
}

TEN_FAULTS = """\
# Ten different faults, and two doubts.
[connections.acme]
downstream = "oficernd"
tag_to_sync = "member"
auto_sync_minutes = 0
default_location = London Bridge
on_gone = "fromer"
capsule_token = "hunter2-hunter2"

[connections.acme.capsule]
api_url = "http://api.capsulecrm.com/api/v2"
auth = "token"

[connections.acme.officernd]
organization = "acme-spaces"

[connections.acme.locations]
"London Bridge" = "london"
"Shoreditch" = []

[connections.acme.opportunity_statuses]
"Sales / Bid" = "Negotiation"
"sales/bid" = "Tour booked"

[connections.acme.fields.person]
"properties.plan" = "fields[?definition.name=='Plan'.value"
"""
TEN_NAMED = [
    (3, "connections.acme.downstream", 'Did you mean "officernd"?'),
    (4, "connections.acme.tag_to_sync", 'Did you mean "tags_to_sync"?'),
    (5, "connections.acme.auto_sync_minutes", "Without the line it is 15."),
    (6, "connections.acme.default_location", "Put a text in quotes"),
    (7, "connections.acme.on_gone", 'Did you mean "former"?'),
    (8, "connections.acme.capsule_token", "RELAY_ACME_CAPSULE_TOKEN"),
    (11, "connections.acme.capsule.api_url", "plain http only to this machine"),
    (18, 'connections.acme.locations."London Bridge"', "Put the brackets in"),
    (23, 'connections.acme.opportunity_statuses."sales/bid"', "Keep one of the two."),
    (26, 'connections.acme.fields.person."properties.plan"', "jmespath.org"),
]


def check(folder: Path, *words: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Runs `capsule-relay check` over the relay.toml in that folder, without a data store and without a running relay."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_") and name != "REDIS_URL"}
    given = {**kept, **ENVIRONMENT, "PYTHONPATH": str(ROOT), **changes}
    return subprocess.run(
        [sys.executable, "-m", "workers", "check", *words],
        cwd=folder,
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_file_with_ten_different_faults_has_all_ten_named_with_line_and_hint(tmp_path: Path) -> None:
    # Given a file in which ten settings are wrong, each in its own way, one of them even as TOML
    (tmp_path / "relay.toml").write_text(TEN_FAULTS)
    # When it is checked
    done = check(tmp_path)
    # Then each is named once with its line, that line's text, its path and what to do, and no secret is shown
    print(done.stderr)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("10 things are wrong with the settings:\n")
    heads = re.findall(r"^  relay\.toml:(\d+)(?::\d+)?: (.+?): (?=[a-z])", done.stderr, re.MULTILINE)
    assert heads == [(str(line), path) for line, path, _ in TEN_NAMED]
    blocks = re.split(r"^  (?=relay\.toml)", done.stderr, flags=re.MULTILINE)[1:]
    written = TEN_FAULTS.splitlines()
    for block, (line, _, hint) in zip(blocks, TEN_NAMED, strict=True):
        assert hint in block
        assert f"| {written[line - 1].partition('=')[0]}" in block
    assert "hunter2" not in done.stderr


def test_the_same_ten_as_json(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(TEN_FAULTS)
    done = check(tmp_path, "--json", "--live")
    found = orjson.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert [(fault["line"], fault["path"]) for fault in found["faults"]] == [(line, path) for line, path, _ in TEN_NAMED]
    assert all(fault["hint"] and fault["text"] and fault["file"] == "relay.toml" for fault in found["faults"])
    assert "asked" not in found
    assert "hunter2" not in done.stdout + done.stderr


# ------------------------------------------------------------------ both sides
@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Simulator, Simulator]]:
    with Simulator("capsule") as capsule, Simulator("officernd") as officernd:
        yield capsule, officernd


class Bench:
    """A folder with a rules file that leads to both simulators, which begin anew."""

    def __init__(self, folder: Path, capsule: Simulator, officernd: Simulator) -> None:
        self.folder = folder
        self.capsule = capsule
        self.officernd = officernd
        for one in (capsule, officernd):
            one.control("POST", "reset", {})
        officernd.control("DELETE", "faults")
        for tag in ("member", "shoreditch"):
            self.post("parties/tags", {"tag": {"name": tag}})
        self.text = RULES.format(capsule=capsule.url, officernd=officernd.url, extra="")
        self.write()

    def write(self, **changes: str) -> None:
        """Writes the rules with parts of the text replaced."""
        for old, new in changes.items():
            assert old in self.text
            self.text = self.text.replace(old, new)
        (self.folder / "relay.toml").write_text(self.text)

    def swap(self, old: str, new: str) -> None:
        self.write(**{old: new})

    def post(self, path: str, body: object) -> Any:
        answer = httpx.post(
            f"{self.capsule.url}/api/v2/{path}", json=body, headers={"Authorization": "Bearer capsule-token"}, trust_env=False
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def live(self, **changes: str | None) -> tuple[int, dict[str, str], dict[str, str], dict[str, Any]]:
        """Exit status, faults and warnings as path -> message and hint, and what each side said of itself."""
        done = check(self.folder, "--live", "--json", **changes)
        assert "Traceback" not in done.stderr
        found = orjson.loads(done.stdout)
        faults, warnings = (
            {one["path"]: f"{one['line']} {one['message']} {one['hint']}" for one in found[level]}
            for level in ("faults", "warnings")
        )
        asked = {one["side"]: one for one in found["asked"]}
        # The rules lead to simulators by plain http, which is right here and is said each time.
        plain = {path: warnings.pop(path) for path in list(warnings) if path.endswith("_url")}
        assert len(plain) == 3
        return done.returncode, faults, warnings, asked


@pytest.fixture
def bench(tmp_path: Path, sides: tuple[Simulator, Simulator]) -> Bench:
    return Bench(tmp_path, *sides)


def test_when_both_sides_have_what_the_rules_name_all_is_in_order(bench: Bench) -> None:
    done = check(bench.folder, "--live")
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "acme, Capsule: signed in as Integration User at https://" in done.stdout
    assert "8 milestones" in done.stdout
    assert "acme, OfficeRnD: organisation acme-spaces; 2 locations, 5 opportunity statuses" in done.stdout
    assert "both sides agree: 1 connection." in done.stdout
    status, faults, warnings, asked = bench.live()
    assert (status, faults, warnings) == (0, {}, {})
    assert all(one["unasked"] is None for one in asked.values())


def test_a_missing_property_an_unknown_location_an_unmapped_milestone_and_an_unused_tag_are_named(bench: Bench) -> None:
    # Given OfficeRnD without two properties, rules with a misspelt location and tag, and a milestone that nobody mapped
    for key in ("capsule_link_id", "capsule_twitter"):
        bench.officernd.control("DELETE", "custom-properties", {"key": key})
    one = {"key": "capsule_link_id", "type": "String", "targets": ["member"]}
    bench.officernd.control("POST", "custom-properties", one)
    bench.swap('"Shoreditch" = ["shoreditch"]', '"Shorditch" = ["shoreditch"]')
    bench.swap('tags_to_sync = "member"', 'tags_to_sync = "memebr"')
    pipeline = bench.capsule.control("GET", "state")["pipelines"][-1]["id"]
    milestone = {"name": "Viewing", "pipeline": pipeline, "probability": 30}
    bench.post("milestones", {"milestone": milestone})
    # When it is checked against both sides
    status, faults, warnings, _ = bench.live()
    # Then each is named at its line, with what to do
    assert status == 1
    assert set(faults) == {"connections.acme.officernd", "connections.acme.locations.Shorditch"}
    link = faults["connections.acme.officernd"]
    assert '"capsule_link_id" is not set up for companies (target team) and opportunities (target lead)' in link
    assert "type String" in link
    assert "Custom Properties" in link
    assert 'Did you mean "Shoreditch"?' in faults["connections.acme.locations.Shorditch"]
    assert set(warnings) == {
        "connections.acme.officernd",
        "connections.acme.tags_to_sync",
        "connections.acme.opportunity_statuses",
    }
    assert '"capsule_twitter"' in warnings["connections.acme.officernd"]
    assert 'Did you mean "member"?' in warnings["connections.acme.tags_to_sync"]
    assert '"Renewals / Viewing"' in warnings["connections.acme.opportunity_statuses"]
    lines = (bench.folder / "relay.toml").read_text().splitlines()
    assert [lines[int(text.split()[0]) - 1] for text in faults.values()] == [
        '"Shorditch" = ["shoreditch"]',
        "[connections.acme.officernd]",
    ]


def test_a_status_that_is_not_there_and_a_location_that_is_there_twice(bench: Bench) -> None:
    bench.swap('"Bid" = "Negotiation"', '"Bid" = "Negotiations"')
    bench.officernd.control("POST", "locations", {"name": "london bridge"})
    status, faults, _, _ = bench.live()
    assert status == 1
    assert 'Did you mean "Negotiation"?' in faults["connections.acme.opportunity_statuses.Bid"]
    assert "Use one of 64" in faults["connections.acme.default_location"]


def test_own_fields_need_their_properties(bench: Bench) -> None:
    bench.text += '[connections.acme.fields]\n"properties.hubspot_link_id" = "id"\n"properties.Preferred Desk" = "id"\n'
    bench.text += '[connections.acme.fields.person]\n"properties.plan" = "id"\n'
    bench.write()
    status, faults, warnings, _ = bench.live()
    assert status == 1
    assert set(faults) == {'connections.acme.fields.person."properties.plan"'}
    assert set(warnings) == {'connections.acme.fields."properties.Preferred Desk"'}


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("RELAY_ACME_CAPSULE_TOKEN", "refused by Capsule (401)"),
        ("RELAY_ACME_OFFICERND_CLIENT_SECRET", "refused by OfficeRnD (401)"),
    ],
)
def test_refused_credentials_are_a_fault_of_their_variable_and_the_other_side_is_asked(
    bench: Bench, variable: str, said: str
) -> None:
    status, faults, _, asked = bench.live(**{variable: "wrong-canary"})
    assert status == 1
    assert list(faults) == [variable.replace("SECRET", "ID")]
    assert said in next(iter(faults.values()))
    assert "canary" not in str(faults)
    assert sorted(bool(one["facts"]) for one in asked.values()) == [False, True]


def test_a_scope_that_was_not_granted_is_narrowed_down_within_the_endpoint_s_limit(bench: Bench) -> None:
    granted = bench.officernd.control("POST", "application", {})["scopes"]
    without = [scope for scope in granted if scope != "flex.community.companies.update"]
    bench.officernd.control("POST", "application", {"scopes": without})
    bench.swap('default_location = "London Bridge"', 'default_location = "Nowhere"')
    status, faults, _, asked = bench.live()
    assert status == 1
    said = faults["RELAY_ACME_OFFICERND_CLIENT_ID"]
    assert "flex.community.companies.update" in said
    assert "flex.community.members" not in said
    assert "connections.acme.default_location" in faults, "the lists are read with the scopes that there are"
    assert asked["OfficeRnD"]["facts"]["locations"] == 2
    assert bench.officernd.control("GET", "counts")["POST /oauth/token"] == 5


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('organization = "acme-spaces"', 'organization = "acme-space"', "connections.acme.officernd.organization"),
        ("/oauth/token", "/oauth/tokens", "connections.acme.officernd.token_url"),
        ('capsule}/api/v2"', 'capsule}/api/v3"', "connections.acme.capsule.api_url"),
    ],
    ids=["slug", "token address", "Capsule's address"],
)
def test_an_address_that_leads_nowhere_is_a_fault_of_its_setting(bench: Bench, old: str, new: str, path: str) -> None:
    bench.swap(old.replace("capsule}", bench.capsule.url), new.replace("capsule}", bench.capsule.url))
    status, faults, _, _ = bench.live()
    assert (status, list(faults)) == (1, [path])


def test_a_side_that_does_not_answer_is_no_fault_of_the_settings(bench: Bench) -> None:
    bench.swap(bench.officernd.url, f"http://127.0.0.1:{free_port()}")
    status, faults, _, asked = bench.live()
    assert (status, faults) == (2, {})
    assert "nothing was sent" in asked["OfficeRnD"]["unasked"]
    assert asked["Capsule"]["facts"]["milestones"] == 8
    done = check(bench.folder, "--live")
    assert done.returncode == 2
    assert "could not ask OfficeRnD for acme: officernd: POST token: nothing was sent" in done.stderr
    assert "in order" not in done.stdout


@pytest.mark.parametrize("status", [429, 503])
def test_a_side_that_is_busy_is_no_fault_of_the_settings(bench: Bench, status: int) -> None:
    bench.capsule.control("POST", "faults", {"route": "GET /parties/tags", "kind": "status", "status": status, "body": {}})
    left, faults, _, asked = bench.live()
    assert (left, faults) == (2, {})
    assert str(status) in asked["Capsule"]["unasked"]


def test_connections_that_share_an_account_are_asked_with_its_token(bench: Bench) -> None:
    capsule = f'[connections.b.capsule]\naccount = "acme"\napi_url = "{bench.capsule.url}/api/v2"\n'
    bench.text += f'[connections.b]\ndownstream = "unified"\ntags_to_sync = "member, nobody"\n{capsule}'
    bench.write()
    done = check(bench.folder, "--live")
    assert done.returncode == 0, done.stderr
    assert "b, Capsule: signed in as Integration User" in done.stdout
    assert 'no record carries the tag "nobody"' in done.stderr
    assert "b, OfficeRnD" not in done.stdout
