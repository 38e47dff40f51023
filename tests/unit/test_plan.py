from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping.plan import Create, Nothing, Update, Wanted, compare, remembered

if TYPE_CHECKING:
    from mapping.values import Json


def equal(_field: str, a: Json, b: Json) -> bool:
    return a == b


WANTED = Wanted("thing", {"name": "Ada", "phone": "1"}, initial={"place": "L", "day": "D"}, fixed=frozenset({"owner", "place"}))


def test_what_is_not_there_is_created_with_everything() -> None:
    plan = compare(WANTED, None, equal, ours=())
    assert plan == Create({"place": "L", "day": "D", "name": "Ada", "phone": "1"})
    assert remembered(WANTED, plan, None, ours=()) == {"place": "L", "day": "D", "name": "Ada", "phone": "1"}


def test_empty_values_are_left_out_when_creating() -> None:
    wanted = Wanted("thing", {"name": "Ada", "phone": None, "note": "", "count": 0}, initial={"day": None})
    assert compare(wanted, None, equal, ours=()) == Create({"name": "Ada", "count": 0})


def test_only_what_differs_is_updated() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "2", "place": "L", "day": "D", "theirs": "x"}
    plan = compare(WANTED, have, equal, ours=())
    assert plan == Update({"phone": "1"}, {})
    assert remembered(WANTED, plan, have, ours=()) == {"name": "Ada", "phone": "1", "place": "L", "day": "D"}


def test_each_field_is_compared_in_its_own_way() -> None:
    asked: list[str] = []

    def loose(field: str, a: Json, b: Json) -> bool:
        asked.append(field)
        return field == "phone" or a == b

    have: dict[str, Json] = {"name": "Ada", "phone": "(1)", "place": "L", "day": "D"}
    assert compare(WANTED, have, loose, ours=()) == Nothing({})
    assert asked == ["name", "phone", "place", "day"]


def test_a_record_that_holds_what_is_wanted_needs_nothing() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "1", "place": "L", "day": "D"}
    assert compare(WANTED, have, equal, ours=have) == Nothing({})


def test_a_field_that_we_wrote_and_no_longer_want_is_cleared_and_forgotten() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "1", "place": "L", "day": "D", "note": "ours"}
    plan = compare(WANTED, have, equal, ours=have)
    assert plan == Update({"note": None}, {})
    assert "note" not in remembered(WANTED, plan, have, ours=have)


@pytest.mark.parametrize("empty", [None, "", []], ids=["null", "blank", "empty list"])
def test_a_field_that_is_wanted_empty_is_cleared_only_where_we_wrote_it(empty: Json) -> None:
    wanted = Wanted("thing", {"name": "Ada", "phone": empty})
    assert compare(wanted, {"name": "Ada", "phone": "1"}, equal, ours={"phone"}) == Update({"phone": None}, {})
    assert compare(wanted, {"name": "Ada", "phone": "1"}, equal, ours=()) == Nothing({})
    assert compare(wanted, {"name": "Ada", "phone": ""}, equal, ours={"phone"}) == Nothing({})
    assert compare(wanted, {"name": "Ada"}, equal, ours={"phone"}) == Nothing({})


def test_a_field_that_was_never_ours_is_left_alone() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "1", "place": "L", "day": "D", "note": "theirs"}
    assert compare(WANTED, have, equal, ours={"name", "phone"}) == Nothing({})


def test_what_is_sent_only_when_creating_is_told_when_it_differs_later() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "1", "place": "M", "day": "D"}
    plan = compare(WANTED, have, equal, ours=have)
    assert plan == Nothing({"place": "L"})
    assert remembered(WANTED, plan, have, ours=have)["place"] == "M", "the ledger says what the record really holds"


def test_what_cannot_be_cleared_is_told_and_stays_ours() -> None:
    have: dict[str, Json] = {"name": "Ada", "phone": "0", "place": "L", "day": "D", "owner": "o"}
    plan = compare(WANTED, have, equal, ours=have)
    assert plan == Update({"phone": "1"}, {"owner": None})
    after = remembered(WANTED, plan, have, ours=have)
    assert after["owner"] == "o"
    assert compare(WANTED, after, equal, ours=after) == Nothing({"owner": None}), "it is told, not tried again"


def test_what_is_to_be_left_alone_is_neither_written_nor_cleared_nor_taken_for_ours() -> None:
    wanted = Wanted("thing", {"name": "Ada"}, untouched=frozenset({"note", "other"}))
    have: dict[str, Json] = {"name": "Ada", "note": "ours", "other": "theirs"}
    plan = compare(wanted, have, equal, ours={"name", "note"})
    assert plan == Nothing({})
    assert remembered(wanted, plan, have, ours={"name", "note"}) == {"name": "Ada", "note": "ours"}


def test_a_field_that_moves_from_initial_to_wanted_is_brought_into_step() -> None:
    wanted = Wanted("thing", {"day": "E"}, initial={"day": "D"})
    assert compare(wanted, None, equal, ours=()) == Create({"day": "E"})
    assert compare(wanted, {"day": "D"}, equal, ours={"day"}) == Update({"day": "E"}, {})


def test_values_do_not_show_when_a_plan_is_printed() -> None:
    wanted = Wanted("thing", {"name": "Ada"}, initial={"name": "Ada"})
    shown = "".join(map(repr, (wanted, Create({"name": "Ada"}), Update({"name": "Ada"}, {"a": "Ada"}), Nothing({"a": "Ada"}))))
    assert "Ada" not in shown
