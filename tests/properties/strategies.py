"""Strategies for the mapping: records as Capsule may answer them, rules as people may write them, any JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from mapping import capsule, rules
from mapping.records import Organisation, Person
from tests.unit.samples import MILESTONES, STATUSES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from mapping.records import Opportunity

WORDS = ("member", "VIP", "London ", "lb", "a, b", "[x]", "!y", "école", 'say "hi"')

any_text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
any_json: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
plain_values: SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | any_text | st.lists(any_text, max_size=3)
)

names = st.sampled_from(
    ["Ada", "Bob", "Example", " Ada  Maria ", "", "  ", "Private", "A" * 200, "Zoë", "Zoe\u0308", "\u00a0x\u00a0"]
)
some_names = st.sampled_from(["Acme", "Acme  Ltd "]) | names | any_text
addresses = (
    st.sampled_from(["ada@acme.example", " Ada@Acme.Example ", "ada @acme.example", "no address", "@", "b@b.example"]) | any_text
)
numbers = st.sampled_from(["0113 496", "+44 113", "(44)-113", "123 ext 4", "?"]) | any_text
sites = (
    st.sampled_from(["acme.example", "https://ACME.example/", "http://[", "//x", "@ada", "https://x.com/ada", "ada", "x.com/"])
    | any_text
)
moments = st.sampled_from(["2026-03-04T10:43:23Z"] * 5 + ["2015-01-01T00:00:00Z", "2026-02-30T00:00:00Z", ""])
days = st.sampled_from(["2026-12-01", "2027-01-31", "soon"])
tag_lists = st.lists(st.sampled_from(WORDS) | any_text, max_size=4)


def maybe(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | strategy


def rows(key: str, inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """A nested list as Capsule has them, with null lists, null entries and null values among them."""
    entry = st.fixed_dictionaries({"id": st.integers(1, 99), "type": st.none(), key: maybe(inner)})
    return maybe(st.lists(maybe(entry), max_size=3))


custom_fields = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 99),
            "definition": st.fixed_dictionaries({"id": st.integers(1, 9), "name": st.sampled_from(["Plan", "Desks", "Since"])}),
            "value": st.sampled_from(["Gold", "6", "2026-02-03", True, None]) | any_json,
        }
    ),
    max_size=3,
)
websites = maybe(
    st.lists(
        st.fixed_dictionaries(
            {"service": st.sampled_from(["URL", "TWITTER", "url", "FACEBOOK"]), "address": maybe(sites), "url": maybe(sites)},
            optional={"id": st.integers(1, 9)},
        ),
        max_size=3,
    )
)


def _contacts() -> dict[str, SearchStrategy[Any]]:
    return {
        "createdAt": moments,
        "updatedAt": moments,
        "emailAddresses": rows("address", addresses),
        "phoneNumbers": rows("number", numbers),
        "websites": websites,
        "tags": st.lists(st.builds(lambda name: {"id": 1, "name": name}, st.sampled_from(WORDS) | any_text), max_size=4),
        "fields": custom_fields,
        "about": maybe(any_text),
    }


hidden: dict[str, SearchStrategy[Any]] = {"isRestricted": st.sampled_from([False, None, False, None, True])}


def organisation_bodies(number: int = 701) -> SearchStrategy[dict[str, Any]]:
    keys = {"id": st.just(number), "type": st.just("organisation"), "name": some_names | st.none(), **_contacts()}
    return st.fixed_dictionaries(keys, optional=hidden)


def person_bodies(number: int = 501, employer: int = 701) -> SearchStrategy[dict[str, Any]]:
    nested = st.just({"id": employer, "type": "organisation", "name": "Acme"})
    keys = {
        "id": st.just(number),
        "type": st.just("person"),
        "firstName": maybe(names),
        "lastName": some_names | st.none(),
        "organisation": maybe(nested),
        **_contacts(),
    }
    return st.fixed_dictionaries(keys, optional=hidden)


def opportunity_bodies(number: int = 901) -> SearchStrategy[dict[str, Any]]:
    amounts = maybe(
        st.integers(-(10**6), 10**6) | st.decimals(-1000, 1000, places=2).map(float) | st.sampled_from(["12.50", 1e300])
    )
    milestones = st.sampled_from([*MILESTONES, 77]).map(lambda found: {"id": found, "name": "Bid"})
    keys: dict[str, SearchStrategy[Any]] = {
        "id": st.just(number),
        "name": some_names | st.none(),
        "party": st.just({"id": 501, "type": "person"}),
        "milestone": milestones,
        "value": maybe(st.fixed_dictionaries({"amount": amounts, "currency": st.just("GBP")})),
        "durationBasis": st.sampled_from(["FIXED", "HOUR", "MONTH", "YEAR"]),
        "duration": maybe(st.integers(0, 60)),
        "probability": maybe(st.integers(0, 100)),
        "expectedCloseOn": maybe(days),
        "closedOn": maybe(days),
        "fields": custom_fields,
        "createdAt": moments,
        "updatedAt": moments,
    }
    return st.fixed_dictionaries(keys, optional=hidden)


def _person(body: dict[str, Any]) -> Person:
    found = capsule.party(body)
    assert isinstance(found, Person)
    return found


def _organisation(body: dict[str, Any]) -> Organisation:
    found = capsule.party(body)
    assert isinstance(found, Organisation)
    return found


persons: SearchStrategy[Person] = person_bodies().map(_person)
organisations: SearchStrategy[Organisation] = organisation_bodies().map(_organisation)
opportunities: SearchStrategy[Opportunity] = opportunity_bodies().map(capsule.opportunity)

_tag_words = st.sampled_from(WORDS).map(lambda word: '"' + word.strip().replace('"', '""') + '"')
_negatable = st.builds(lambda mark, word: mark + word, st.sampled_from(["", "", "!"]), _tag_words)
_groups = st.builds(
    lambda mark, words: f"{mark}[{', '.join(words)}]",
    st.sampled_from(["", "", "!"]),
    st.lists(_negatable, min_size=1, max_size=3),
)
tag_rules = st.lists(_negatable | _groups, max_size=4).map(", ".join)

_expressions = st.sampled_from(
    [
        "fields[?definition.name=='Plan'].value | [0]",
        "to_number(fields[?definition.name=='Desks'].value | [0])",
        "fields[].value",
        "about",
        "length(about)",
        "emailAddresses[1].address",
        "id",
        "nothing",
        "@",
    ]
)
_own_fields = st.fixed_dictionaries(
    {},
    optional={
        "properties.plan": _expressions,
        "properties.score": _expressions,
        "name": _expressions,
        "startDate": _expressions,
        "person": st.dictionaries(
            st.sampled_from(["description", "phone", "email", "tags", "address.city", "isContactPerson"]),
            _expressions,
            max_size=3,
        ),
        "organisation": st.dictionaries(
            st.sampled_from(["description", "url", "email", "address.city", "image"]), _expressions, max_size=3
        ),
        "opportunity": st.dictionaries(st.sampled_from(["membersCount", "resources"]), _expressions, max_size=2),
    },
)


@st.composite
def connections(draw: st.DrawFn) -> rules.Connection:
    """Any connection of OfficeRnD that a person may have written without a fault."""
    table: dict[str, Any] = {
        "downstream": "officernd",
        "officernd": {"organization": "acme-spaces"},
        "tags_to_sync": draw(tag_rules),
        "sync_opportunities": draw(st.booleans()),
        "sync_untagged_contacts": draw(st.booleans()),
        "on_gone": draw(st.sampled_from(["keep", "former"])),
        "locations": draw(
            st.sampled_from([{}, {"Shoreditch": ["lb", "vip"], "London Bridge": ["london"]}, {"Nowhere": ["member"]}])
        ),
        "opportunity_statuses": draw(
            st.sampled_from(
                [{}, {"Bid": "Negotiation", "Won": "won"}, {"Sales / Bid": "Tour booked", "77": next(iter(STATUSES)), "Bid": "x"}]
            )
        ),
        "fields": draw(_own_fields),
    }
    default = draw(st.sampled_from([None, "Paris"] + ["London Bridge", "Shoreditch"] * 3))
    if default is not None:
        table["default_location"] = default
    return rules.parse({"connections": {"acme": table}})["acme"]
