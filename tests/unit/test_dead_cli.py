"""`capsule-relay dead` at a terminal: what it asks, what it prints, how it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from tests.conformance.letter_box import SECRET, LetterBox, refusal
from workers import dead_cli
from workers.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from typer.testing import Result

    from workers.embedded import EmbeddedServer

RULES = """
[connections.acme]
downstream = "officernd"

[connections.acme.capsule]
auth = "token"

[connections.acme.officernd]
organization = "acme-spaces"
"""


@pytest.fixture
def box(store: redis.Redis) -> LetterBox:
    return LetterBox(store)


@pytest.fixture
def dead(server: EmbeddedServer, tmp_path: Path, box: LetterBox) -> Any:
    """Runs one command."""
    assert box
    (tmp_path / "relay.toml").write_text(RULES)
    environ = {
        "RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_SECRET_KEY": SECRET, "REDIS_URL": server.url,
        "RELAY_ACME_CAPSULE_TOKEN": "token", "RELAY_ACME_OFFICERND_CLIENT_ID": "id",
        "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret",
    }  # fmt: skip
    app = dead_cli.make(environ)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    return run


def document(answer: Result) -> Any:
    return orjson.loads(answer.stdout)


def test_a_list_shows_a_page_newest_first_and_the_totals_of_all(dead: Any, box: LetterBox) -> None:
    letters = [box.bury(number) for number in range(1, 6)]
    box.bury(9, refusal(status=404))

    first = document(dead("list", "--limit", "4", "--json"))
    second = document(dead("list", "--limit", "4", "--page", "2", "--json"))

    assert (first["total"], first["pages"], first["page"]) == (6, 2, 1)
    assert [group["number"] for group in first["groups"]] == [5, 1]
    assert first["letters"][0]["record"] == "acme|party|9"
    assert {one["id"] for one in second["letters"]} == {letters[0].id, letters[1].id}
    text = dead("list").stdout
    assert letters[0].id in text
    assert letters[0].advice in text
    assert "6 dead letters" in text


def test_without_letters_that_is_said(dead: Any) -> None:
    assert "no dead letters" in dead("list").stdout
    assert "nothing to replay" in dead("replay", "--all", "--yes").stdout


@pytest.mark.parametrize("name", ["id", "acme/party/501", "acme|party|501"])
def test_one_is_shown_by_its_id_or_its_record(dead: Any, box: LetterBox, name: str) -> None:
    letter = box.bury(501)
    shown = dead("show", letter.id if name == "id" else name)
    assert letter.advice in shown.stdout
    assert "phone must be a string" in shown.stdout
    assert "Lovelace" not in shown.stdout
    assert "Lovelace" not in dead("show", letter.id, "--json").stdout


def test_personal_data_is_shown_when_asked_for_and_that_is_written_down(dead: Any, box: LetterBox) -> None:
    letter = box.bury(501)
    assert document(dead("show", letter.id, "--reveal", "--json"))["body"]["name"] == "Ada Lovelace"
    (entry,) = document(dead("audit", "--json"))
    assert (entry["action"], entry["filter"]) == ("reveal", {"ids": [letter.id]})


def test_what_is_not_there_is_said(dead: Any) -> None:
    failed = dead("show", "r00000000000")
    assert isinstance(failed.exception, Misconfigured)
    assert "no dead letter" in str(failed.exception)


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_nothing_is_done_without_a_word_on_which_or_without_a_yes(dead: Any, box: LetterBox, action: str) -> None:
    letter = box.bury(501)
    for words in ((action, "--yes"), (action, "--all"), (action, letter.id, "--json")):
        assert isinstance(dead(*words).exception, Misconfigured)
    assert box.letters.of_record(box.record(501)) is not None
    assert not box.store.exists("relay:open")


def test_a_count_is_printed_before_anything_is_done(dead: Any, box: LetterBox) -> None:
    box.bury(501)
    answer = dead("discard", "acme/party/501")
    assert "1 dead letter" in answer.stderr
    assert "1 letter would be discarded" in str(answer.exception)


def test_a_replay_without_waiting_hands_over_and_leaves(dead: Any, box: LetterBox) -> None:
    letter = box.bury(501)
    now = box.agenda.hello()
    while box.agenda.hello() <= now:
        pass
    result = document(dead("replay", letter.id, "--yes", "--no-wait", "--json"))
    assert (result["total"], result["done"], result["ended"]) == (1, 1, "done")
    assert box.store.hget("relay:place", "acme|party|501") == b"bulk"
    assert "being tried" in dead("list").stdout
    (entry,) = document(dead("audit", "--json"))
    assert (entry["action"], entry["result"], entry["counts"]["done"]) == ("replay", "done", 1)
    assert "replay of 1" in dead("audit").stdout


def test_a_discard_by_filter(dead: Any, box: LetterBox) -> None:
    box.bury(1)
    box.bury(2, refusal(status=404))
    now = box.agenda.hello()
    while box.agenda.hello() <= now:
        pass
    answer = dead("discard", "--status", "404", "--yes")
    assert answer.exit_code == 0
    assert "1 of 1 discarded" in answer.stdout
    assert box.letters.of_record(box.record(1)) is not None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--older-than", "soon"), "no age"),
        (("--newer-than", "2 weeks"), "no age"),
        (("--before", "yesterday"), "no moment"),
        (("--connection", "nobody"), "no connection"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_condition_that_means_nothing_is_said(dead: Any, words: tuple[str, ...], says: str) -> None:
    failed = dead("list", *words)
    assert isinstance(failed.exception, Misconfigured)
    assert says in str(failed.exception)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("--older-than", "1h"), 0),
        (("--newer-than", "1h"), 1),
        (("--before", "2001-01-01T00:00:00Z"), 0),
        (("--before", "2999-01-01"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_letters_are_chosen_by_their_age(dead: Any, box: LetterBox, words: tuple[str, ...], number: int) -> None:
    box.bury(1)
    assert document(dead("list", *words, "--json"))["total"] == number


def test_nothing_to_cancel_is_said(dead: Any) -> None:
    assert "nothing is under way" in dead("cancel").stdout
    assert dead("cancel", "abcd").exit_code == 1
    assert "nothing was done yet" in dead("audit").stdout
