from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mapping.officernd_match import Adopt, Search, choose, link_of, match_key, search_terms
from mapping.plan import Held, Wanted

if TYPE_CHECKING:
    from mapping.values import Json

ADA = Wanted("member", {"name": "Ada Example", "email": "ada@acme.example", "properties.capsule_link_id": "501"})
ACME = Wanted("company", {"name": "Acme Robotics", "email": "hello@acme.example", "properties.capsule_link_id": "701"})
DEAL = Wanted("opportunity", {"name": "Six desks", "properties.capsule_link_id": "901"}, initial={"company": "c", "member": "m"})


def body(number: str, link: Json = None, **keys: Any) -> dict[str, Any]:
    return {"_id": number, "properties": {} if link is None else {"capsule_link_id": link}, **keys}


def test_a_member_is_looked_for_by_link_and_then_by_email() -> None:
    assert search_terms(ADA) == (
        Search("link", "501", "/members", {"properties[capsule_link_id]": "501"}),
        Search("email", "ada@acme.example", "/members", {"email": "ada@acme.example"}),
    )
    without = Wanted("member", {"name": "Ada", "properties.capsule_link_id": "501"})
    assert [term.by for term in search_terms(without)] == ["link"]


def test_a_company_is_looked_for_by_link_and_then_by_name_since_the_api_has_no_filter_on_email() -> None:
    assert search_terms(ACME) == (
        Search("link", "701", "/companies", {"properties[capsule_link_id]": "701"}),
        Search("name", "Acme Robotics", "/companies", {"name": "Acme Robotics"}),
    )


def test_a_search_looks_in_an_index_by_the_form_and_asks_the_api_by_the_value() -> None:
    member = search_terms(Wanted("member", {"email": "Ada@Acme.example"}))[0]
    assert (member.value, member.query) == ("ada@acme.example", {"email": "Ada@Acme.example"})
    company = search_terms(Wanted("company", {"name": "Acme  Robotics"}))[0]
    assert (company.value, company.query) == ("Acme Robotics", {"name": "Acme  Robotics"})


def test_an_opportunity_is_looked_for_among_those_of_its_party() -> None:
    assert search_terms(DEAL) == (Search("link", "901", "/opportunities", {"member": "m"}),)
    assert search_terms(Wanted("opportunity", {"properties.capsule_link_id": "1"}, initial={"company": "c"}))[0].query == {
        "company": "c"
    }
    assert search_terms(Wanted("opportunity", {"properties.capsule_link_id": "1"})) == (Search("link", "1", None, None),)


def test_a_record_without_a_link_property_is_not_looked_for_by_it() -> None:
    assert [term.by for term in search_terms(Wanted("member", {"email": "a@b.example"}))] == ["email"]


def test_the_linked_record_comes_before_one_with_the_same_email() -> None:
    linked, alike = body("m2", "501", email="old@acme.example"), body("m1", email="ada@acme.example")
    assert choose(ADA, [alike, linked]) == Adopt("m2", linked)


@pytest.mark.parametrize("link", ["501", " 501 ", 501, 501.0])
def test_a_link_is_known_in_any_form(link: Json) -> None:
    assert isinstance(choose(ADA, [body("m1", link)]), Adopt)


@pytest.mark.parametrize("link", ["", " ", None, True, ["501"], 501.5])
def test_what_is_no_link_links_nothing(link: Json) -> None:
    assert link_of(body("m1", link)) is None
    assert link_of({"_id": "m1", "properties": None}) is None
    assert link_of({"_id": "m1"}) is None


def test_a_single_member_with_the_email_is_taken_up_whatever_its_status_and_case() -> None:
    found = body("m1", email=" ADA@acme.example ", status="former")
    assert choose(ADA, [found, body("m2", email="bob@acme.example"), found]) == Adopt("m1", found)


def test_two_unlinked_members_with_the_email_are_held() -> None:
    found = choose(ADA, [body("m1", email="ada@acme.example"), body("m2", email="ada@acme.example")])
    assert isinstance(found, Held)
    assert found.code == "shared_email"
    assert found.text == (
        "2 member records of OfficeRnD have this e-mail and no capsule_link_id; "
        "set capsule_link_id to 501 on the right one of: m1, m2"
    )
    assert "ada@" not in found.text


def test_a_member_linked_to_another_person_is_never_taken() -> None:
    """Two people who share an e-mail are two members."""
    other = body("m1", "777", email="ada@acme.example")
    assert choose(ADA, [other]) is None
    mine = body("m2", email="ada@acme.example")
    assert choose(ADA, [other, mine]) == Adopt("m2", mine)


def test_two_records_with_our_link_are_held() -> None:
    found = choose(ADA, [body("m1", "501"), body("m2", "501")])
    assert isinstance(found, Held)
    assert found.code == "linked_twice"
    assert found.text == (
        "2 records of OfficeRnD carry capsule_link_id 501; empty the property on all but one of these member records: m1, m2"
    )


def test_a_single_company_with_exactly_the_name_is_taken_up() -> None:
    found = body("c1", name="Acme  Robotics ")
    assert choose(ACME, [found, body("c2", name="ACME ROBOTICS"), body("c3", name="Acme")]) == Adopt("c1", found)
    several = choose(ACME, [found, body("c2", name="Acme Robotics")])
    assert isinstance(several, Held)
    assert several.code == "shared_name"
    assert several.text.startswith("2 company records of OfficeRnD have this name and no capsule_link_id; ")


def test_a_company_is_not_matched_by_email_and_a_member_not_by_name() -> None:
    assert choose(ACME, [body("c1", name="Other", email="hello@acme.example")]) is None
    assert choose(ADA, [body("m1", name="Ada Example")]) is None


def test_an_opportunity_is_matched_by_link_alone() -> None:
    assert choose(DEAL, [body("o1", name="Six desks")]) is None
    assert isinstance(choose(DEAL, [body("o1", "901")]), Adopt)


def test_nothing_found_is_nothing() -> None:
    assert choose(ADA, []) is None
    assert choose(Wanted("member", {"name": "x"}), [body("m1", email="")]) is None
    assert choose(ADA, [{"email": "ada@acme.example"}]) is None, "a record without an id cannot be taken up"


def test_a_record_without_a_link_is_not_matched_by_the_word_for_none() -> None:
    unlinked = Wanted("member", {"email": "ada@acme.example"})
    assert choose(unlinked, [body("m1", "None", email="ada@acme.example")]) is None
    mine = body("m2", email="ada@acme.example")
    assert choose(unlinked, [mine]) == Adopt("m2", mine)


def test_an_email_in_any_case_is_the_same_email() -> None:
    found = body("m1", email="ADA@ACME.example")
    assert choose(Wanted("member", {"email": "Ada@acme.Example"}), [found]) == Adopt("m1", found)


def test_emails_match_without_case_and_names_with_it() -> None:
    assert match_key("email", " ADA@Acme.example") == "ada@acme.example"
    assert match_key("name", " Acme  Robotics") == "Acme Robotics"


def test_personal_data_does_not_show_when_a_search_is_printed() -> None:
    shown = repr(search_terms(ADA)) + repr(choose(ADA, [body("m1", email="ada@acme.example")]))
    assert "ada@" not in shown
