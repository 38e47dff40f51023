from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from mapping import values

if TYPE_CHECKING:
    from mapping.values import Json


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param((" Ada ", " Example"), "Ada Example", id="spaces around the parts"),
        pytest.param(("Ada  Maria", "Example"), "Ada Maria Example", id="two spaces inside"),
        pytest.param(("Ada\u00a0Maria\t", "Example"), "Ada Maria Example", id="other white space"),
        pytest.param(("", "Example"), "Example", id="no first name"),
        pytest.param((" ", ""), "", id="blank"),
        pytest.param(("A" * 300, "B"), "A" * 300 + " B", id="longer than any seen"),
    ],
)
def test_a_name_is_its_parts_with_one_space_between(given: tuple[str, str], expected: str) -> None:
    assert values.name(*given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada@x@example.com", "ada@x@example.com"),
        ("ada@example.com@", None),
        ("ada @example.com", None),
        ("ada@", None),
        ("@example.com", None),
        ("ada", None),
        ("", None),
        ("ada\x07@example.com", None),
    ],
)
def test_an_email_is_trimmed_and_lower_case_or_none(given: str, expected: str | None) -> None:
    assert values.email(given) == expected


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("+44 113 496 0000", "(44) 113-4960000", True),
        ("0113 496 0000", "0113 496 0001", False),
        ("123 ext 4", "1234", False),
        ("123 EXT 4", "123ext4", True),
        ("?", " ? ", True),
        ("?", "-", False),
    ],
)
def test_phones_are_compared_by_digits_and_letters(a: str, b: str, *, alike: bool) -> None:
    assert (values.phone_key(a) == values.phone_key(b)) is alike


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ada", "ada"),
        ("@ada", "ada"),
        (" Ada ", "Ada"),
        ("https://twitter.com/ada", "ada"),
        ("http://www.twitter.com/@ada?lang=en", "ada"),
        ("x.com/ada/", "ada"),
        ("https://mobile.twitter.com/#!/ada", "ada"),
        ("twitter.com/", "twitter.com/"),
        ("@", "@"),
        ("ada lovelace", "ada lovelace"),
        ("ada/b", "ada/b"),
    ],
)
def test_a_twitter_handle_comes_bare(given: str, expected: str) -> None:
    assert values.twitter(given) == expected


def test_twitter_handles_do_not_regard_case() -> None:
    assert values.twitter_key("https://X.com/ADA") == values.twitter_key("@ada")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acme.example", "https://acme.example"),
        (" http://acme.example/a b ", "http://acme.example/ab"),
        ("//acme.example", "https://acme.example"),
        ("", ""),
        ("http://[", "http://["),
    ],
)
def test_an_address_gets_a_scheme(given: str, expected: str) -> None:
    assert values.url(given) == expected


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("https://acme.example", "acme.example", True),
        ("http://acme.example", "acme.example/", True),
        ("HTTPS://ACME.example/", "https://acme.example", True),
        ("http://acme.example", "https://acme.example", False),
        ("https://acme.example/A", "https://acme.example/a", False),
        ("https://acme.example", "https://acme.example.org", False),
        ("https://ac me.example", "https://acme.example", True),
        ("//acme.example", "acme.example", True),
        ("https://acme.example/a/B", "https://ACME.example/a/B/", True),
        ("https://acme.example/A/b", "https://acme.example/a/b", False),
        ("https://acme.example/X", "https://acme.example", False),
    ],
)
def test_addresses_are_compared_without_what_is_only_form(a: str, b: str, *, alike: bool) -> None:
    assert values.same_url(a, b) is alike
    assert values.same_url(b, a) is alike


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-03-04T23:59:59Z", "2026-03-04T00:00:00.000Z"),
        ("2026-03-04", "2026-03-04T00:00:00.000Z"),
        (" 2026-03-04 ", "2026-03-04T00:00:00.000Z"),
        ("2026-02-30", None),
        ("2026-03-04x", None),
        ("0000-01-01", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_a_day_is_midnight_utc(given: str, expected: str | None) -> None:
    assert values.day(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Decimal("1500.00"), 1500),
        (Decimal("10.5"), 10.5),
        (Decimal(0), 0),
        (Decimal(10) ** 15, 10**15),
        (Decimal(10) ** 15 + 1, None),
        (Decimal("-1e16"), None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
    ],
)
def test_a_number_is_whole_where_it_can_be_and_none_where_it_would_lose(given: Decimal, expected: float | None) -> None:
    found = values.number(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, Decimal(5)),
        (0.1, Decimal("0.1")),
        (" 42 ", Decimal(42)),
        ("-1.50", Decimal("-1.50")),
        ("1_000", None),
        ("٤٢", None),
        ("1e5", None),
        ("", None),
        (True, None),
        (None, None),
        (float("inf"), None),
        (2**128, None),
        (2**128 - 1, Decimal(2**128 - 1)),
    ],
)
def test_a_decimal_is_read_from_numbers_and_texts_that_spell_one(given: Json, expected: Decimal | None) -> None:
    assert values.decimal(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, True), ("", True), (" \t", True), ([], True), ({}, True), (0, False), (False, False), ("0", False), ([None], False)],
)
def test_absent_null_blank_and_empty_are_one(given: Json, *, expected: bool) -> None:
    assert values.is_empty(given) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1.5, True),
        (float("nan"), False),
        (2**63 - 1, True),
        (2**63, False),
        (-(2**63), True),
        (-(2**63) - 1, False),
        ("x", True),
        (True, True),
    ],
)
def test_only_what_json_keeps_whole_is_sendable(given: Json, *, expected: bool) -> None:
    assert values.is_sendable(given) is expected


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        pytest.param("Acme  Ltd", " Acme Ltd", True, id="white space"),
        pytest.param("Caf\u00e9", "Cafe\u0301", True, id="encoding of accents"),
        pytest.param("Acme", "ACME", False, id="case counts"),
        pytest.param(42, "42", True, id="number and its text"),
        pytest.param(42, 42.0, True, id="whole and decimal"),
        pytest.param(0.1, "0.10", True, id="decimal places"),
        pytest.param("042", "42", False, id="two texts stay texts"),
        pytest.param(1, True, False, id="truth is no number"),
        pytest.param("true", True, False, id="truth is no text"),
        pytest.param(0, False, False, id="zero is not false"),
        pytest.param("1980-04-01", "1980-04-01T00:00:00.000Z", True, id="date and midnight"),
        pytest.param("1980-04-01", "1980-04-01T10:00:00.000Z", False, id="date and another hour"),
        pytest.param(["a", "b"], ["b", "a"], True, id="lists have no order"),
        pytest.param(["a"], ["a", "a"], False, id="lists count"),
        pytest.param({"a": 1}, {"a": 1.0}, True, id="tables"),
        pytest.param({"a": 1}, {"b": 1}, False, id="other keys"),
        pytest.param(None, "None", False, id="nothing is no text"),
        pytest.param(2**200, 2**200, True, id="huge"),
        pytest.param(2**200, 2**201, False, id="huge and other"),
        pytest.param(10**5000, 10**5000, True, id="more digits than Python writes"),
        pytest.param(float("nan"), float("nan"), True, id="no number is no number, so it is not written again and again"),
        pytest.param(float("inf"), float("-inf"), False, id="two infinities"),
        pytest.param([float("inf"), 2**200], [2**200, float("inf")], True, id="a list of what cannot be ordered"),
        pytest.param(["a"], ["b"], False, id="other items"),
        pytest.param({"a": 1}, {"a": 2}, False, id="another value of a key"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, True, id="tables have no order"),
        pytest.param([1, "a", None, {"b": True}], [{"b": True}, None, "a", 1], True, id="a list of everything"),
    ],
)
def test_plain_values_are_compared_by_what_they_say(a: Json, b: Json, *, alike: bool) -> None:
    assert values.same_plain(a, b) is alike
    assert values.same_plain(b, a) is alike


def test_words_of_rules_regard_neither_case_nor_space_around_them() -> None:
    assert values.word_key("  Straße ") == values.word_key("STRASSE")
    assert values.word_key("a  b") != values.word_key("a b")


def test_a_phone_is_compared_by_its_digits_and_letters_and_nothing_else() -> None:
    assert values.phone_key("+44 (0)113 496-0000 Ext 5") == "4401134960000ext5"


def test_an_address_is_compared_by_scheme_and_rest() -> None:
    assert values.url_key(" HTTPS://ACME.example/A/ ") == ("https", "acme.example/A")
    assert values.url_key("ACME.example") == ("", "acme.example")


@pytest.mark.parametrize("written", ["Sales / Bid", "sales/bid", " SALES  /  Bid ", "Sales/ bid", "Sales /Bid"])
def test_a_milestone_is_known_whatever_its_case_and_the_space_around_the_slash(written: str) -> None:
    assert values.milestone_key(written) == "sales/bid"
