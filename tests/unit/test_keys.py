"""What is derived from RELAY_SECRET_KEY: stable, different for each use, and rotated without a gap."""

from __future__ import annotations

import re

import orjson
import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from mapping.keys import (
    fernet_keys,
    hook_owner,
    hook_path,
    hook_token,
    hook_tokens,
    is_signed,
    lookup_hash,
    signature,
    signed_path,
    split_secrets,
)

OLD, NEW = "o" * 32, "n" * 32


def test_a_token_is_256_bits_of_url_safe_text() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", hook_token(NEW, "acme", 1))


def test_a_token_never_changes_between_versions_of_this_program() -> None:
    # These are what hooks at Capsule were subscribed with; another value would cut every one of them off.
    assert hook_token("k" * 32, "acme", 1) == "1DCbGqoz2qhVJM-IkGBdIqALikVdp1_5F5MwUa8cyaE"
    assert lookup_hash("k" * 32, "a@example.com") == "7fc0c63ffe1940e982e8a46bebf022a2"
    assert fernet_keys(["k" * 32]) == (b"orUcY8fVtK_dha0QrctN8KTalnT49FmL9wlFe8Qc_fI=",)


@pytest.mark.parametrize(
    ("secret", "connection", "generation"),
    [(OLD, "acme", 1), (NEW, "acme2", 1), (NEW, "acme", 2), (NEW, "acme", 11)],
    ids=["other secret", "other connection", "next generation", "a generation that ends alike"],
)
def test_a_token_opens_one_connection_of_one_generation_under_one_secret(secret: str, connection: str, generation: int) -> None:
    assert hook_token(secret, connection, generation) != hook_token(NEW, "acme", 1)


def test_the_current_and_the_previous_generation_are_good_under_every_secret() -> None:
    good = hook_tokens((NEW, OLD), "acme", 3)
    assert good == (
        hook_token(NEW, "acme", 3),
        hook_token(NEW, "acme", 2),
        hook_token(OLD, "acme", 3),
        hook_token(OLD, "acme", 2),
    )


def test_the_first_generation_has_none_before_it_and_the_second_has_the_first() -> None:
    assert hook_tokens((NEW,), "acme", 1) == (hook_token(NEW, "acme", 1),)
    assert hook_tokens((NEW,), "acme", 2) == (hook_token(NEW, "acme", 2), hook_token(NEW, "acme", 1))


def test_paths_are_those_that_the_receiver_answers() -> None:
    assert hook_path("acme", "T") == "/hooks/capsule/acme/T"
    assert signed_path("acme") == "/hooks/signed/acme"


def test_a_connection_that_shares_an_account_uses_its_owners_hooks() -> None:
    assert hook_owner("b", "acme") == "acme"
    assert hook_owner("acme", None) == "acme"


def test_what_an_older_secret_encrypted_stays_readable_after_rotation() -> None:
    # Given a text written before the rotation
    before = MultiFernet([Fernet(key) for key in fernet_keys([OLD])]).encrypt(orjson.dumps({"a": 1}))
    # When a new secret stands before the old one
    after = MultiFernet([Fernet(key) for key in fernet_keys([NEW, OLD])])
    # Then it can be read, and new texts need the new secret
    assert orjson.loads(after.decrypt(before)) == {"a": 1}
    assert Fernet(fernet_keys([NEW])[0]).decrypt(after.encrypt(b"x")) == b"x"
    with pytest.raises(InvalidToken):
        Fernet(fernet_keys([NEW])[0]).decrypt(before)


def test_a_lookup_hash_stands_for_a_text_without_showing_it() -> None:
    hashed = lookup_hash(NEW, "a@example.com")
    assert re.fullmatch(r"[0-9a-f]{32}", hashed)
    assert hashed == lookup_hash(NEW, "a@example.com")
    assert hashed != lookup_hash(OLD, "a@example.com")
    assert hashed != lookup_hash(NEW, "b@example.com")


def test_secrets_are_listed_with_commas_and_empty_places_are_no_secrets() -> None:
    assert split_secrets(f" {NEW}, ,{OLD},") == (NEW, OLD)
    assert split_secrets(" , ") == ()


def test_a_signature_is_good_under_the_newest_and_the_older_secret() -> None:
    for secret in (NEW, OLD):
        given = signature(secret, "console", "text")
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", given)
        assert is_signed((NEW, OLD), "console", "text", given)


@pytest.mark.parametrize(
    ("secret", "use", "text"),
    [("x" * 32, "console", "text"), (NEW, "other", "text"), (NEW, "console", "text ")],
    ids=["another secret", "another use", "another text"],
)
def test_a_signature_is_good_for_one_text_and_one_use_alone(secret: str, use: str, text: str) -> None:
    assert not is_signed((NEW, OLD), "console", "text", signature(secret, use, text))


@pytest.mark.parametrize("given", ["", "x", "ö", signature(NEW, "console", "text")[:-1], signature(NEW, "console", "text") + "="])
def test_what_is_not_the_signature_to_the_letter_is_none(given: str) -> None:
    assert not is_signed((NEW, OLD), "console", "text", given)
    assert not is_signed((), "console", "text", signature(NEW, "console", "text"))


def test_a_signature_is_the_same_in_every_version_and_is_no_hook_token() -> None:
    # One version signs a link or a state of a sign-in, and the next may have to check it.
    assert signature("k" * 32, "link", "text") == "nZuLcjYhxOe4x-KY16pczlY0zRgJAHJH8O4Ylr74GrI"
    assert signature(NEW, "hook", "acme|1") != hook_token(NEW, "acme", 1)
