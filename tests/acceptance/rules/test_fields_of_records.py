"""What comes over of a person and an organisation, every later change of it, and its form (DESIGN.md §6, edges "Values")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.rules.world import LONDON, Rules, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), {"acme": Rules()}) as running:
        yield running


def today(world: World, number: int) -> str:
    return str(world.shown(number)["createdAt"])[:10] + "T00:00:00.000Z"


DETAILS = {"email": "Hello@Acme.example", "phone": "+44 20 7946 0001", "url": "https://acme.example", "twitter": "@acme"}


# ---------------------------------------------------------------------- organisations
def test_every_property_of_an_organisation(world: World) -> None:
    """Organisation → company: name, email, url, location, and twitter handle and phone as custom properties.

    "E-mail trimmed, lower case"; "Start date of companies and members = Capsule's `createdAt` day".
    """
    number = world.organisation("Acme Robotics", "member", **DETAILS)
    company = world.acme.company(number)
    assert {name: company[name] for name in ("name", "email", "url", "location", "startDate", "properties")} == {
        "name": "Acme Robotics",
        "email": "hello@acme.example",
        "url": "https://acme.example",
        "location": LONDON,
        "startDate": today(world, number),
        "properties": {"capsule_link_id": str(number), "capsule_twitter": "acme", "capsule_phone": "+44 20 7946 0001"},
    }


@pytest.mark.parametrize(
    ("key", "element", "read", "value"),
    [
        pytest.param("emailAddresses", {"address": "new@acme.example"}, lambda c: c["email"], "new@acme.example", id="email"),
        pytest.param("websites", {"address": "https://new.example"}, lambda c: c["url"], "https://new.example", id="url"),
        pytest.param("phoneNumbers", {"number": "+44 1"}, lambda c: c["properties"]["capsule_phone"], "+44 1", id="phone"),
    ],
)
def test_a_later_change_of_an_organisation(
    world: World, key: str, element: dict[str, str], read: Callable[[dict[str, Any]], str], value: str
) -> None:
    """Organisation → company: every later change of each (issue A2)."""
    number = world.organisation(f"Changing {key} Ltd", "member", email="a@acme.example", url="https://old.example", phone="+44 2")
    with world.acme.writing() as writes:
        world.details(number, key, **element)
    assert read(world.acme.company(number)) == value
    assert writes == ["PUT /companies/{id}"]


def test_a_later_change_of_an_organisations_name_and_twitter_handle(world: World) -> None:
    """Organisation → company: every later change of each (issue A2)."""
    number = world.organisation("Before Ltd", "member", twitter="before")
    world.change(number, name="After Ltd")
    world.details(number, "websites", address="after")
    company = world.acme.company(number)
    assert (company["name"], company["properties"]["capsule_twitter"]) == ("After Ltd", "after")


def test_what_an_organisation_no_longer_has_is_cleared(world: World) -> None:
    """An optional text that was cleared is sent as `""`."""
    number = world.organisation("Clearing Ltd", "member", **DETAILS)
    shown = world.shown(number)
    keys = ("emailAddresses", "phoneNumbers", "websites")
    world.change(number, **{key: [{"id": one["id"], "_delete": True} for one in shown[key]] for key in keys})
    company = world.acme.company(number)
    assert (company["email"], company["url"]) == ("", "")
    assert company["properties"] == {"capsule_link_id": str(number), "capsule_twitter": "", "capsule_phone": ""}


# ---------------------------------------------------------------------- people
def test_every_property_of_a_person(world: World) -> None:
    """Person → member: name, email, phone, twitter, company (team), location.

    "A member's Twitter handle goes to `socialProfiles.twitter` by PUT after the POST"; "`name` = first and last name".
    """
    firm = world.organisation("Ada's Ltd", "member")
    with world.acme.writing() as writes:
        number = world.person("Ada", of=firm, email=" Ada@Acme.example", phone="+44 20 7946 0002", twitter="ada")
    member = world.acme.member(number)
    assert {name: member[name] for name in ("name", "email", "phone", "location", "startDate", "company")} == {
        "name": "Ada Example",
        "email": "ada@acme.example",
        "phone": "+44 20 7946 0002",
        "location": LONDON,
        "startDate": today(world, number),
        "company": world.acme.company(firm)["_id"],
    }
    assert member["socialProfiles"] == {"twitter": "ada"}
    assert member["properties"] == {"capsule_link_id": str(number), "capsule_location": "London Bridge"}
    assert writes == ["POST /members", "PUT /members/{id}"]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        pytest.param({"firstName": "Bea", "lastName": "Sample"}, "Bea Sample", id="both names"),
        pytest.param({"firstName": "Cher"}, "Cher", id="a first name alone"),
        pytest.param({"lastName": "Sample"}, "Sample", id="a last name alone"),
        pytest.param({"firstName": " Dora  Maria ", "lastName": "  Sample"}, "Dora Maria Sample", id="double spaces"),
        pytest.param({"firstName": " ", "emailAddresses": [{"address": "Eve@x.example"}]}, "eve@x.example", id="the e-mail"),
    ],
)
def test_the_name_of_a_member(world: World, fields: dict[str, Any], name: str) -> None:
    """`name` = first and last name with one space, else the e-mail, else held."""
    made = world.party(type="person", tags=[{"name": "member"}], **fields)
    world.settle()
    assert world.acme.member(made["id"])["name"] == name


def test_a_person_without_name_and_email_is_held(world: World) -> None:
    """`name` = …, else held."""
    made = world.party(type="person", firstName=" ", tags=[{"name": "member"}])
    world.settle()
    assert world.acme.held(made["id"]) == "no_name"
    assert not world.acme.has(made["id"])
    world.change(made["id"], lastName="Named")
    assert world.acme.member(made["id"])["name"] == "Named"


def test_the_first_email_phone_and_service_url_count(world: World) -> None:
    """First e-mail, phone, website of service URL."""
    made = world.party(
        type="organisation",
        name="Many Ltd",
        tags=[{"name": "member"}],
        emailAddresses=[{"address": "first@x.example"}, {"address": "second@x.example"}],
        phoneNumbers=[{"number": "111"}, {"number": "222"}],
        websites=[
            {"service": "FACEBOOK", "address": "many"},
            {"service": "URL", "address": "one.example"},
            {"service": "URL", "address": "two.example"},
        ],
    )
    world.settle()
    company = world.acme.company(made["id"])
    assert (company["email"], company["url"]) == ("first@x.example", "https://one.example")
    assert company["properties"]["capsule_phone"] == "111"


@pytest.mark.parametrize(
    ("key", "element", "read", "value"),
    [
        pytest.param("emailAddresses", {"address": "New@x.example"}, lambda m: m["email"], "new@x.example", id="email"),
        pytest.param("phoneNumbers", {"number": "+44 3"}, lambda m: m["phone"], "+44 3", id="phone"),
        pytest.param("websites", {"address": "@newer"}, lambda m: m["socialProfiles"]["twitter"], "newer", id="twitter"),
    ],
)
def test_a_later_change_of_a_person(
    world: World, key: str, element: dict[str, str], read: Callable[[dict[str, Any]], str], value: str
) -> None:
    """Person → member: every later change of each (issue A2)."""
    number = world.person("Fay", "member", last=key, email="fay@x.example", phone="+44 2", twitter="fay")
    with world.acme.writing() as writes:
        world.details(number, key, **element)
    assert read(world.acme.member(number)) == value
    assert writes == ["PUT /members/{id}"]


def test_a_later_change_of_a_persons_name_is_one_put_of_the_name_alone(world: World) -> None:
    """Person → member: every later change of each; what did not change is not sent."""
    number = world.person("Gus", "member", email="gus@x.example")
    before = world.last_request()
    world.change(number, lastName="Married")
    assert [one["body"] for one in world.writes(before)] == [{"name": "Gus Married"}]


def test_what_a_person_no_longer_has_is_cleared(world: World) -> None:
    """An optional text that was cleared is sent as `""`."""
    number = world.person("Hana", "member", email="hana@x.example", phone="+44 4", twitter="hana")
    shown = world.shown(number)
    keys = ("emailAddresses", "phoneNumbers", "websites")
    world.change(number, **{key: [{"id": one["id"], "_delete": True} for one in shown[key]] for key in keys})
    member = world.acme.member(number)
    assert (member["email"], member["phone"], member["socialProfiles"]["twitter"]) == ("", "", "")


def test_an_email_that_is_none_is_left_out_and_told(world: World) -> None:
    """Values, and "nothing is dropped in silence": an address without the form of one would be refused with the whole record."""
    number = world.person("Ivo", "member", email="ivo at home")
    assert not world.acme.member(number).get("email")
    assert world.acme.notes(number) == ["email_unusable"]


# ---------------------------------------------------------------------- form
FORMS = [
    pytest.param("emailAddresses", {"address": "  JUN@X.example "}, id="e-mail in another case"),
    pytest.param("phoneNumbers", {"number": "+44 (20) 7946-0003"}, id="phone with other spaces"),
    pytest.param("websites", {"address": "https://twitter.com/Jun"}, id="Twitter as an address"),
]


@pytest.mark.parametrize(("key", "element"), FORMS)
def test_nothing_is_written_again_for_its_form(world: World, key: str, element: dict[str, str]) -> None:
    """Names, e-mails, phones, Twitter, URLs normalised on both sides, so that nothing is written twice for its form (A2)."""
    number = world.person("Jun", "member", last=key, email="jun@x.example", phone="+44 20 79460003", twitter="@jun")
    with world.acme.writing() as writes:
        world.details(number, key, **element)
        world.change(number, firstName=" Jun ", lastName=f"  {key}")
    assert writes == []


def test_nothing_is_written_again_for_the_form_of_a_web_address(world: World) -> None:
    """URLs normalised on both sides: scheme, case of the host, slash at the end."""
    number = world.organisation("Kit  Ltd ", "member", url="kit.example")
    assert world.acme.company(number)["name"] == "Kit Ltd"
    assert world.acme.company(number)["url"] == "https://kit.example"
    with world.acme.writing() as writes:
        for address in ("https://kit.example/", "KIT.example", " https://Kit.Example"):
            world.details(number, "websites", address=address)
    assert writes == []


def test_the_form_that_officernd_keeps_is_left_alone_when_it_is_taken_up(world: World) -> None:
    """Normalised on both sides: what staff wrote in another form is no difference."""
    member = world.acme.seed(
        "members",
        name="Lena  Example",
        email="Lena@X.example",
        phone="+44-20-7946-0004",
        location=LONDON,
        socialProfiles={"twitter": "https://x.com/Lena"},
    )
    with world.acme.writing() as writes:
        number = world.person("Lena", "member", email="lena@x.example", phone="+44 20 7946 0004", twitter="lena")
    assert world.acme.member(number)["_id"] == member
    assert world.acme.member(number)["phone"] == "+44-20-7946-0004"
    assert [one for one in writes if one != "PUT /members/{id}"] == []
    sent = [one["body"] for one in world.writes() if member in one["path"]]
    assert sent == [{"properties": {"capsule_link_id": str(number), "capsule_location": "London Bridge"}}]


# ---------------------------------------------------------------------- what may not be written
def test_officernd_took_every_write_of_this_module(world: World) -> None:
    """Any unknown body key is a 400 (officernd.md §6.2), so nothing is sent that a verb does not take."""
    refused = [one for one in world.officernd.control("GET", "requests")["requests"] if one["status"] not in {200, 201, 204}]
    assert refused == []
