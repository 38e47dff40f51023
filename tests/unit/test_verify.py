"""Tokens and signatures: what opens the door, and all that must not."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from mapping.keys import hook_token
from receiver.settings import Connection
from receiver.verify import TOLERANCE_S, Tokens, signature_headers, signed, timely

OLD, NEW = "o" * 32, "n" * 32
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
BODY = b'{"event": "party/updated", "payload": []}'
STAMP = b"1700000000"


def connection(name: str, *, owner: str = "", generation: int = 1) -> Connection:
    return Connection(name=name, owner=owner or name, generation=generation, downstream="officernd")


TOKENS = Tokens((NEW, OLD), [connection("acme", generation=3), connection("solo"), connection("b", owner="acme")])


@pytest.mark.parametrize("secret", [NEW, OLD], ids=["newest secret", "older secret"])
@pytest.mark.parametrize("generation", [3, 2], ids=["this generation", "the one before"])
def test_the_current_and_the_previous_token_open_under_every_secret(secret: str, generation: int) -> None:
    assert TOKENS.admit("acme", hook_token(secret, "acme", generation))


@pytest.mark.parametrize(
    ("name", "token"),
    [
        pytest.param("acme", hook_token(NEW, "acme", 1), id="two generations back"),
        pytest.param("acme", hook_token(NEW, "acme", 4), id="a generation to come"),
        pytest.param("acme", hook_token("x" * 32, "acme", 3), id="another secret"),
        pytest.param("acme", hook_token(NEW, "solo", 1), id="another connection's token"),
        pytest.param("acme", hook_token(NEW, "acme", 3)[:-1], id="cut short"),
        pytest.param("acme", hook_token(NEW, "acme", 3) + "A", id="too long"),
        pytest.param("acme", hook_token(NEW, "acme", 3).swapcase(), id="other case"),
        pytest.param("acme", "", id="empty"),
        pytest.param("acme", "tök\udcff", id="not ASCII"),
        pytest.param("solo", hook_token(NEW, "solo", 0), id="generation nought"),
        pytest.param("b", hook_token(NEW, "b", 1), id="a connection that has no hooks of its own"),
        pytest.param("b", hook_token(NEW, "acme", 3), id="the owner's token at a member's name"),
        pytest.param("nobody", hook_token(NEW, "nobody", 1), id="unknown connection, token derived for it"),
        pytest.param("", "", id="nothing at all"),
    ],
)
def test_nothing_else_opens(name: str, token: str) -> None:
    assert not TOKENS.admit(name, token)


def test_every_name_costs_the_same_number_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def count(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return real(expected, given)

    monkeypatch.setattr("receiver.verify.hmac", type("Counting", (), {"compare_digest": staticmethod(count)}))
    costs = set()
    for name, token in [
        ("acme", hook_token(NEW, "acme", 3)),
        ("acme", "wrong"),
        ("solo", hook_token(NEW, "solo", 1)),
        ("nobody", "x" * 43),
    ]:
        compared.clear()
        TOKENS.admit(name, token)
        costs.add((len(compared), {len(expected) for expected in compared} == {43}))
    assert costs == {(4, True)}


def sign(body: bytes = BODY, *, identity: bytes = b"msg_1", stamp: bytes = STAMP, key: bytes = KEY) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(key, b".".join((identity, stamp, body)), hashlib.sha256))


def check(listed: bytes, *, identity: bytes = b"msg_1", body: bytes = BODY, keys: tuple[bytes, ...] = (KEY,)) -> bool:
    return signed(keys, identity=identity, stamp=STAMP, listed=listed, body=body)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(sign(), id="alone"),
        pytest.param(sign(key=OTHER_KEY) + b" " + sign(), id="second in the list"),
        pytest.param(b"v2,abc " + sign(), id="after a version to come"),
        pytest.param(b"v1a," + b"A" * 86 + b"== " + sign(), id="after an asymmetric one"),
        pytest.param(b"nonsense " + sign(), id="after an item without a comma"),
        pytest.param(b"v1,a,b " + sign(), id="after an item with two commas"),
        pytest.param(b"v1,%%% " + sign(), id="after bad base64"),
        pytest.param(b"v1, " + sign(), id="after an empty signature"),
        pytest.param(b"v1,\xff\xfe " + sign(), id="after bytes that are no text"),
        pytest.param(b"  " + sign() + b" ", id="between spaces"),
    ],
)
def test_one_good_signature_in_the_list_is_enough(listed: bytes) -> None:
    assert check(listed)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="a space"),
        pytest.param(sign(key=OTHER_KEY), id="another key"),
        pytest.param(sign(key=b""), id="empty key"),
        pytest.param(sign(BODY + b" "), id="another body"),
        pytest.param(sign(identity=b"msg_2"), id="another id"),
        pytest.param(sign(stamp=b"1700000001"), id="another time"),
        pytest.param(sign()[:-1], id="cut short"),
        pytest.param(sign()[:8], id="cut very short"),
        pytest.param(sign() + b"=", id="padded twice"),
        pytest.param(sign().replace(b"v1,", b"V1,"), id="version in other case"),
        pytest.param(sign().replace(b"v1,", b"v2,"), id="labelled as another version"),
        pytest.param(sign().replace(b"v1,", b""), id="without a version"),
        pytest.param(sign().replace(b",", b";"), id="other separator"),
        pytest.param(b"v1," + hmac.digest(KEY, b"msg_1." + STAMP + b"." + BODY, hashlib.sha256).hex().encode(), id="as hex"),
        pytest.param(b"v1," + base64.b64encode(hmac.digest(KEY, b"msg_1." + STAMP + b"." + BODY, hashlib.sha1)), id="SHA-1"),
        pytest.param(b"v1," + base64.b64encode(hmac.digest(KEY, BODY, hashlib.sha256)), id="over the body alone"),
    ],
)
def test_no_other_list_is_enough(listed: bytes) -> None:
    assert not check(listed)


def test_each_listed_secret_is_tried_during_a_rotation() -> None:
    assert check(sign(key=OTHER_KEY), keys=(KEY, OTHER_KEY))
    assert not check(sign(), keys=())


@pytest.mark.parametrize("identity", [b"", b"msg.1"], ids=["empty", "with a dot"])
def test_an_id_that_blurs_what_was_signed_is_refused_though_its_signature_is_right(identity: bytes) -> None:
    assert not check(sign(identity=identity), identity=identity)


@pytest.mark.parametrize(
    ("offset", "good"),
    [(0, True), (TOLERANCE_S, True), (-TOLERANCE_S, True), (TOLERANCE_S + 1, False), (-TOLERANCE_S - 1, False)],
)
def test_a_time_is_good_up_to_five_minutes_either_way(offset: int, good: bool) -> None:
    assert timely(str(1_700_000_000 + offset).encode(), now=1_700_000_000.0) is good


@pytest.mark.parametrize(
    "stamp", [b"", b"abc", b"+1700000000", b" 1700000000", b"1_700_000_000", b"1700000000.0", b"9" * 400, b"-1"]
)
def test_a_time_is_plain_digits(stamp: bytes) -> None:
    assert not timely(stamp, now=1_700_000_000.0)


def test_the_three_headers_must_be_there_exactly_once() -> None:
    headers = [(b"host", b"x"), (b"webhook-id", b"i"), (b"webhook-timestamp", b"t"), (b"webhook-signature", b"s")]
    assert signature_headers(headers) == (b"i", b"t", b"s")
    for number in (1, 2, 3):
        assert signature_headers(headers[:number] + headers[number + 1 :]) is None
        assert signature_headers([*headers, headers[number]]) is None
