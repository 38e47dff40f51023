"""Where a setting stands in a TOML file, and what is not TOML in it."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.rules_faults import quoted
from workers.lines import Lines, read, split

TEXT = '''# a comment with [brackets] and = signs
top = 1
[connections.acme.capsule]   # not a secret
auth = "token" # nor this
[connections.acme]
downstream = "x # no comment"
tags = """a
b""" # after a text of two lines
"quoted.key" = { a = 1, "b c" = [1, 2,
  3] }
[connections.acme.locations]
"London \\"Bridge" = ["a", # one
  "b",
  " "
]
[connections.acme.fields]
properties.plan = 'x'
[[list]]
a = 1
[[list]]
a = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("top", 2),
        ("connections", 3),
        ("connections.acme", 5),
        ("connections.acme.capsule", 3),
        ("connections.acme.capsule.auth", 4),
        ("connections.acme.downstream", 6),
        ("connections.acme.tags", 7),
        ('connections.acme."quoted.key"', 9),
        ('connections.acme."quoted.key".a', 9),
        ('connections.acme."quoted.key"."b c".2', 10),
        ('connections.acme.locations."London \\"Bridge"', 12),
        ('connections.acme.locations."London \\"Bridge".2', 14),
        ('connections.acme.fields."properties.plan"', 17),
        ("list.0.a", 19),
        ("list.1.a", 21),
    ],
)
def test_a_path_is_found_on_its_line(path: str, line: int) -> None:
    assert tomllib.loads(TEXT)
    assert Lines(TEXT).of(path) == line
    assert Lines(TEXT).has(path)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("connections.acme.on_gone", 5),
        ("connections.acme.capsule.x.y", 4 - 1),
        ("connections.b.downstream", 3),
        ("nothing", None),
    ],
)
def test_what_is_missing_has_the_line_of_the_nearest_table(path: str, line: int | None) -> None:
    assert Lines(TEXT).of(path) == line
    assert not Lines(TEXT).has(path)


def test_windows_line_ends_count_as_one() -> None:
    assert Lines(TEXT.replace("\n", "\r\n")).of("list.1.a") == 21


def test_a_line_is_shown_without_comments_and_without_what_is_hidden() -> None:
    lines = Lines(TEXT)

    def shown(number: int) -> str:
        return lines.shown(number, lambda path: path[-1] in {"auth", "tags"} or "b c" in path)

    assert shown(3) == "[connections.acme.capsule]"
    assert shown(4) == "auth = [hidden]"
    assert shown(6) == 'downstream = "x # no comment"'
    assert shown(7) == "tags = [hidden]"
    assert shown(8) == "[hidden]"
    assert shown(9) == '"quoted.key" = { a = 1, "b c" = [[hidden], [hidden],'
    assert shown(12) == '"London \\"Bridge" = ["a",'


NAMES = st.text(st.sampled_from("ab.\" '#=[]é-"), min_size=1, max_size=4)
VALUES = st.sampled_from(['"x"', "'y # z'", '"""m\nn"""', "[ 1,\n 2, ]", "{ a = 1 }", "1979-05-27", "true", '""', '"a \\" b"'])


@given(tables=st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4), noisy=st.booleans())
def test_any_setting_is_found_on_the_line_on_which_it_was_written(tables: dict[str, dict[str, str]], *, noisy: bool) -> None:
    # Given a file written table by table, and a note of the line on which each setting was written
    text, written = "", {}
    for table, settings in tables.items():
        text += "# [no.table]\n\n" * noisy + f"[t.{quoted(table)}]\n"
        written[f"t.{quoted(table)}"] = text.count("\n")
        for key, value in settings.items():
            text += f"{quoted(key)} = {value}{' # = [' * noisy}\n"
            written[f"t.{quoted(table)}.{quoted(key)}"] = text.count("\n") - value.count("\n")
    assert tomllib.loads(text) is not None
    # Then every one is found there, and its path reads back
    lines = Lines(text)
    assert {path: lines.of(path) for path in written} == written
    assert all(split(path)[0] == "t" and ".".join(map(quoted, split(path))) == path for path in written)


@pytest.mark.parametrize(
    ("text", "places", "rest"),
    [
        ("a = 1\nb = x\nc = 2\n", [(2, 5, "b")], {"a": 1, "c": 2}),
        ("a = x\nb = y\nc = 2\n", [(1, 5, "a"), (2, 5, "b")], {"c": 2}),
        ('a = "x\nb = 1\n', [(1, 7, "a")], {"b": 1}),
        ("a = 1\na = 2\nb = 3\n", [(2, 6, "a")], {"a": 1, "b": 3}),
        ("a b = 1\nc = 2\n", [(1, 3, "a b")], {"c": 2}),
        ("a = {b = 1\nc = 2\n", [(1, 11, "a")], {"c": 2}),
        ('[t]\na = ["x",\n "y"\nb = 2\n', [(2, 1, "a")], {"t": {"b": 2}}),
        ("[t\na = 1\n", [(1, 3, "")], {"t": {"a": 1}}),
        ("[t]\n[t]\na = 1\n", [(2, 3, "")], None),
        ('a = """x\nb = 1\n', [(1, 1, "a")], None),
        ("a = 1\nnonsense\n", [(2, 9, "")], None),
    ],
)
def test_what_is_not_toml_is_named_with_line_and_column_and_the_rest_is_read(
    text: str, places: list[tuple[int, int, str]], rest: dict[str, object] | None
) -> None:
    document, readable, faults = read(text)
    assert [(fault.line, fault.column, fault.key) for fault in faults] == places
    assert document == rest
    assert all(fault.message for fault in faults)
    if document is not None:
        assert tomllib.loads(readable) == rest


def test_a_good_text_is_read_as_it_stands() -> None:
    document, _, faults = read(TEXT)
    assert (document, faults) == (tomllib.loads(TEXT), ())


@given(st.text(st.sampled_from("ab=\"[]{}\n',.# \\1"), max_size=40))
def test_any_text_is_read_or_refused_and_never_raises(text: str) -> None:
    document, readable, faults = read(text)
    assert document is not None or faults
    if document is not None:
        Lines(readable)
        assert tomllib.loads(readable) == document
