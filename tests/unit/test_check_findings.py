"""All that `capsule-relay check` finds without asking anybody, and how it says it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from mapping.errors import Fault
from workers import check_report
from workers.findings import Finding, Inspection, inspect
from workers.flows.check_calls import Asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULES = """\
[connections.acme]
downstream = "officernd"
default_location = "London Bridge"
sync_opportunities = false

[connections.acme.capsule]
auth = "token"

[connections.acme.officernd]
organization = "acme-spaces"
"""


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Inspection]:
    """Inspects a rules file in a good environment; keyword arguments set (or, with None, remove) variables."""
    monkeypatch.chdir(tmp_path)

    def one(text: str | bytes = RULES, **changes: str | None) -> Inspection:
        (tmp_path / "relay.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        given: dict[str, str | None] = {
            "RELAY_SECRET_KEY": "k" * 32,
            "RELAY_ACME_CAPSULE_TOKEN": "canary",
            "RELAY_ACME_OFFICERND_CLIENT_ID": "canary",
            "RELAY_ACME_OFFICERND_CLIENT_SECRET": "canary",
            **changes,
        }
        seen = inspect({name: value for name, value in given.items() if value is not None})
        assert "canary" not in repr(seen.findings)
        return seen

    return one


def named(seen: Inspection) -> list[tuple[str, str, int | None]]:
    return [(one.level, one.fault.path, one.line) for one in seen.findings]


def test_good_settings_have_no_findings(look: Callable[..., Inspection]) -> None:
    seen = look()
    assert (seen.findings, seen.file) == ((), "relay.toml")
    assert seen.settings is not None


def test_faults_of_the_file_come_by_line_before_those_of_the_environment(look: Callable[..., Inspection]) -> None:
    text = RULES.replace("false", "no").replace('"officernd"', '"office"') + "slug = 1\n"
    seen = look(text, RELAY_SECRET_KEY="short", RELAY_MAX_BODY="12", RELAY_ACME_CAPSULE_TOKEN=None, RELAY_X="1")
    assert named(seen) == [
        ("fault", "connections.acme.downstream", 2),
        ("fault", "connections.acme.sync_opportunities", 4),
        ("fault", "connections.acme.officernd.slug", 11),
        ("fault", "RELAY_SECRET_KEY", None),
        ("fault", "RELAY_ACME_CAPSULE_TOKEN", None),
        ("fault", "RELAY_MAX_BODY", None),
        ("warning", "RELAY_X", None),
    ]
    assert seen.settings is None
    assert seen.findings[0].text == 'downstream = "office"'


def test_a_missing_setting_has_the_line_of_its_table(look: Callable[..., Inspection]) -> None:
    assert named(look(RULES.replace('organization = "acme-spaces"', ""))) == [
        ("fault", "connections.acme.officernd.organization", 9)
    ]


def test_a_setting_in_another_table_than_its_own_is_told_where_it_belongs(look: Callable[..., Inspection]) -> None:
    (one,) = look(RULES + 'on_gone = "former"\n').findings
    assert one.fault.hint == "on_gone is a setting of [connections.acme]: write it above the first of its other tables."
    (other,) = look(RULES.replace("sync_opportunities = false", "organization = 'x'\nsync_opportunities = false")).findings
    assert other.fault.hint.startswith("organization is a setting of [connections.acme.officernd]")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('on_gone = "Formr"', 'Did you mean "former"?'),
        ('on_gone = "delete"', "Write one of them in quotes."),
        ("on_gone = 5", "Write one of them in quotes."),
        ("auto_sync = 1", "Without the line it is true."),
        ('hook_generation = "1"', "Without the line it is 1."),
        ('guard_percent = "x"', "Without the line it is 5."),
        ("default_locaton = 'x'", 'Did you mean "default_location"?'),
    ],
)
def test_every_fault_of_a_value_has_a_hint(look: Callable[..., Inspection], line: str, hint: str) -> None:
    (one,) = look(RULES.replace("sync_opp", f"{line}\nsync_opp")).findings
    assert (one.fault.hint, one.line, one.text) == (hint, 4, line if "locaton" not in line else "default_locaton = [hidden]")


def test_an_account_that_is_misspelt_is_suggested(look: Callable[..., Inspection]) -> None:
    text = RULES + '[connections.b]\ndownstream = "unified"\n[connections.b.capsule]\naccount = "acm"\n'
    (one,) = look(text).findings
    assert (one.line, one.fault.hint) == (14, 'Did you mean "acme"?')


@pytest.mark.parametrize(
    "line",
    [
        'capsule_token = "canary"',
        'tokn = "canary"',
        'capsul = { tokn = "canary" }',
        'on_gone = "x" # canary',
        "capsule_token = canary",
        'capsule_tokn = "canary1234567890canary',
        'RELAY_ACME_CAPSULE_TOKEN = "canary"',
    ],
)
def test_a_secret_in_the_file_is_never_shown(look: Callable[..., Inspection], line: str) -> None:
    seen = look(line + "\n" + RULES)
    assert seen.findings
    assert "canary" not in str([one.document() for one in seen.findings])
    assert look(RULES.replace("sync_opp", f"{line}\nsync_opp")).findings


def test_what_sounds_like_a_secret_is_hidden_beside_another_fault_too(look: Callable[..., Inspection]) -> None:
    (one,) = look(RULES.replace("sync_opp", 'opportunity_statuses = { Bid = 5, api_key = "canary" }\nsync_opp')).findings[:1]
    assert one.text == "opportunity_statuses = { Bid = 5, api_key = [hidden] }"


def test_an_address_that_tokens_come_from_is_no_secret(look: Callable[..., Inspection]) -> None:
    (one,) = look(RULES + 'token_url = "ftp://x.example"\n').findings
    assert (one.text, one.fault.message) == ('token_url = "ftp://x.example"', "is no web address")
    (other,) = look(RULES.replace("sync_opp", 'token_url = "https://x.example"\nsync_opp')).findings
    assert other.fault.hint == "token_url is a setting of [connections.acme.officernd]: write it right below it."


def test_a_milestone_that_stands_twice_in_two_spellings_is_a_fault(look: Callable[..., Inspection]) -> None:
    text = RULES.replace("sync_opportunities = false\n", "") + "[connections.acme.opportunity_statuses]\n"
    (one,) = look(text + '"Sales / Bid" = "x"\n"sales/bid" = "y"\n').findings
    assert (one.level, one.line, one.fault.message) == ("fault", 12, 'is the same as "Sales / Bid"')


@pytest.mark.parametrize(
    ("line", "named_as", "column"),
    [
        ("default_location = London", "connections.acme.default_location", 20),
        ('default_location = "London', "connections.acme.default_location", 27),
        ('default_location == "London"', "connections.acme.default_location", 19),
        ("default location = 1", 'connections.acme."default location"', 9),
    ],
)
def test_a_line_that_is_not_toml_has_line_and_column_and_hides_no_other_fault(
    look: Callable[..., Inspection], line: str, named_as: str, column: int
) -> None:
    text = RULES.replace('default_location = "London Bridge"', line).replace('"token"', '"tokn"')
    seen = look(text, RELAY_WEB_PORT="web", RELAY_ACME_OFFICERND_CLIENT_ID=None)
    first = seen.findings[0]
    assert (first.line, first.text, first.fault.path, first.column) == (3, line, named_as, column)
    assert first.fault.message.startswith("is not TOML: ")
    assert first.fault.hint
    assert [path for _, path, _ in named(seen)[1:]] == [
        "connections.acme.capsule.auth",
        "RELAY_ACME_OFFICERND_CLIENT_ID",
        "RELAY_WEB_PORT",
    ]


def test_nothing_is_called_missing_because_its_line_is_not_toml(look: Callable[..., Inspection]) -> None:
    for good, bad in (('= "officernd"', "= officernd"), ('= "token"', "= token"), ('= "acme-spaces"', "= acme-spaces")):
        assert len(look(RULES.replace(good, bad)).findings) == 1


def test_a_table_that_stands_twice_is_named_with_its_line(look: Callable[..., Inspection]) -> None:
    (one,) = look(RULES + "[connections.acme]\n").findings
    assert (one.line, one.fault.path) == (11, "relay.toml")
    assert "stands there twice" in one.fault.message


@pytest.mark.parametrize(
    ("content", "path", "line"),
    [(b"a = 1\n\xff\xfe", "relay.toml", 2), (b"", "connections", None)],
    ids=["not UTF-8", "empty"],
)
def test_a_file_without_lines_to_show(look: Callable[..., Inspection], content: bytes, path: str, line: int | None) -> None:
    assert named(look(content))[0] == ("fault", path, line)


def test_a_file_that_is_not_there_is_a_fault_of_its_variable(look: Callable[..., Inspection]) -> None:
    assert named(look(RELAY_CONFIG="nowhere.toml")) == [("fault", "RELAY_CONFIG", None)]


def test_a_doubt_about_a_setting_that_is_a_fault_is_not_said_beside_it(look: Callable[..., Inspection]) -> None:
    seen = look(RULES.replace('auth = "token"', 'auth = "token"\napi_url = "http://api.example.com"'))
    assert named(seen) == [("fault", "connections.acme.capsule.api_url", 8)]


def test_what_the_live_check_found_is_placed_too(look: Callable[..., Inspection]) -> None:
    placed = look().located("fault", [Fault("connections.acme.officernd", "x"), Fault("RELAY_ACME_CAPSULE_TOKEN", "y")])
    assert [(one.file, one.line) for one in placed] == [("relay.toml", 9), ("", None)]


# ------------------------------------------------------------------ how it is said
FAULT = Finding("fault", Fault("a.b", "is wrong", "Mend it."), "relay.toml", 3, 7, "b = 1")
WARNING = Finding("warning", Fault("RELAY_X", "is odd", ""))
UNASKED = Asked("acme", "Capsule", unasked="it is away")


def said(*findings: Finding) -> str:
    stream = io.StringIO()
    check_report.show(findings, stream)
    return stream.getvalue()


def test_findings_are_plain_text_away_from_a_terminal() -> None:
    assert said(WARNING, FAULT) == (
        "1 thing is wrong with the settings:\n"
        "  relay.toml:3:7: a.b: is wrong\n"
        "      | b = 1\n"
        "      Mend it.\n"
        "  warning: RELAY_X: is odd\n"
    )
    assert said(WARNING) == "  warning: RELAY_X: is odd\n"


def test_at_a_terminal_there_are_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in said(FAULT)


def test_nothing_in_the_file_can_steer_the_terminal(look: Callable[..., Inspection]) -> None:
    assert "\x1b" not in said(*look('"\\u001b[2J" = 1\n' + RULES).findings)
    assert "\x1b" not in said(*look("a = \x1b[2J\n" + RULES).findings)
    assert "[bold]" in said(Finding("fault", Fault("[bold]", "x")))


def test_a_long_line_is_cut(look: Callable[..., Inspection]) -> None:
    (one,) = look(RULES.replace("sync_opp", f"on_gone = '{'x' * 500}'\nsync_opp")).findings
    assert len(one.text) == 120


@pytest.mark.parametrize(
    ("findings", "asked", "status"),
    [((), (), 0), ((WARNING,), (), 0), ((FAULT,), (), 1), ((FAULT,), (UNASKED,), 1), ((WARNING,), (UNASKED,), 2)],
)
def test_the_exit_status_is_that_of_the_worst(findings: tuple[Finding, ...], asked: tuple[Asked, ...], status: int) -> None:
    assert check_report.exit_status(findings, asked) == status
    assert check_report.document(findings, asked)["ok"] is (status == 0)


def test_each_side_says_who_it_is() -> None:
    capsule = Asked("acme", "Capsule", {"user": "Ada", "account": "https://x.example", "tags": 1, "milestones": 8})
    officernd = Asked("acme", "OfficeRnD", {"organization": "acme-spaces", "statuses": 5, "properties": 1})
    assert check_report.facts((capsule, officernd, UNASKED)) == [
        "acme, Capsule: signed in as Ada at https://x.example; 1 party tag, 8 milestones",
        "acme, OfficeRnD: organisation acme-spaces; 5 opportunity statuses, 1 custom property",
    ]
    stream = io.StringIO()
    check_report.show_unasked((capsule, UNASKED), stream)
    assert stream.getvalue() == "could not ask Capsule for acme: it is away\n"
