"""The names under which receiver and workers meet in Redis: what one release stored, the next must find."""

from __future__ import annotations

from typing import get_args

import pytest

from mapping import agenda
from mapping.agenda import RecordKey

ADA = RecordKey("acme", "party", 501)


def test_a_record_is_packed_and_read_back() -> None:
    assert ADA.pack() == "acme|party|501"
    assert ADA.field == "party|501"
    assert RecordKey.unpack("acme|party|501") == ADA


@pytest.mark.parametrize("packed", ["acme|party", "acme|party|501|x", "acme|party|x", "acme party 501", ""])
def test_what_is_no_packed_record_is_refused(packed: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|values to unpack"):
        RecordKey.unpack(packed)


def test_records_are_ordered_by_connection_kind_and_number() -> None:
    others = [RecordKey("acme", "party", 12), RecordKey("acme", "opportunity", 900), RecordKey("beta", "party", 1)]
    assert sorted([ADA, *others]) == [others[1], others[0], ADA, others[2]]


def test_keys_in_redis_have_the_names_that_earlier_releases_wrote() -> None:
    assert agenda.key("queue") == "relay:queue"
    assert agenda.ledger_key("acme") == "relay:ledger:acme"
    assert agenda.link_key("acme") == "relay:link:acme"
    assert agenda.match_key("acme") == "relay:email:acme"
    assert agenda.tally_key("acme") == "relay:tally:acme"
    assert agenda.deliveries_key("acme") == "relay:deliveries:acme"
    assert (agenda.LETTERS, agenda.COUNTS) == ("relay:letters", "relay:counts")


def test_words_that_stand_in_redis_are_those_that_earlier_releases_wrote() -> None:
    assert agenda.KINDS == ("party", "opportunity", "kase", "task", "user", "entry")
    assert agenda.LANES == get_args(agenda.Lane) == ("live", "bulk", "solo")
    assert set(get_args(agenda.Why)) >= {"event", "replay", "finding", "refused", "restart"}
    assert (agenda.ACTOR, agenda.DRAMATIQ_NAMESPACE) == ("work", "dramatiq")


@pytest.mark.parametrize("name", ["a", "acme", "acme_2", "a" * 31])
def test_a_name_that_a_connection_can_have(name: str) -> None:
    assert agenda.CONNECTION_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "2acme", "_acme", "Acme", "acme-2", "acme|2", "acmé", "a" * 32, "acme\n"])
def test_a_name_that_would_not_fit_into_a_key_or_an_address(name: str) -> None:
    assert not agenda.CONNECTION_NAME.fullmatch(name)
