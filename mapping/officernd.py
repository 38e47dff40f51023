"""A Capsule record -> what OfficeRnD should hold (DESIGN.md §6 and its edges; reference/officernd.md §3).

This module answers "what should be"; `officernd_fields` knows the API's fields, `officernd_writes` the calls,
`officernd_match` how to find what is there, `officernd_lookup` what the rules' names mean there. All of it is used
through this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapping import fields as own_fields
from mapping import officernd_fields as names
from mapping import values
from mapping.errors import ValueUnusable
from mapping.judge import judge_party
from mapping.officernd_fields import observed, same
from mapping.officernd_lookup import Context, Status, location_by_tags, place, status_for
from mapping.officernd_match import Adopt, Search, choose, link_of, match_key, search_terms
from mapping.officernd_writes import Write, needs_current, otherwise, writes
from mapping.plan import Held, Note, Waits, Wanted
from mapping.records import Opportunity, Organisation, Party, Person
from mapping.trace import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.values import Json

__all__ = [
    "Adopt",
    "Context",
    "Search",
    "Status",
    "Write",
    "choose",
    "link_of",
    "location_by_tags",
    "match_key",
    "needs_current",
    "observed",
    "otherwise",
    "released",
    "same",
    "search_terms",
    "wanted_opportunity",
    "wanted_party",
    "writes",
]

_HIDDEN = "Private"  # what Capsule shows in place of a name that the token's user may not see (reference/capsule.md §6.10)
_TWITTER_SERVICES = frozenset({"TWITTER", "X"})

_ID = Source("Capsule: id", ("id",))
_EMAIL = Source("Capsule: the first usable of emailAddresses", ("emailAddresses",))
_PHONE = Source("Capsule: the first of phoneNumbers", ("phoneNumbers",))
_TWITTER = Source("Capsule: the first of websites with the service TWITTER or X", ("websites",))
_URL = Source("Capsule: the first of websites with the service URL", ("websites",))
_CREATED = Source("Capsule: the day of createdAt", ("createdAt",))
_NAME = Source("Capsule: name", ("name",))
_FULL_NAME = Source("Capsule: firstName and lastName", ("firstName", "lastName"))
_NAMELESS = Source("Capsule: the first of emailAddresses, as there is no name", ("firstName", "lastName", "emailAddresses"))
_CLOSE = Source("Capsule: expectedCloseOn", ("expectedCloseOn",))
_DEAL_SIZE = Source("Capsule: value.amount times duration, unless FIXED", ("value", "duration", "durationBasis"))
_PROBABILITY = Source("Capsule: probability, where the status has another", ("probability", "milestone"))


def wanted_party(  # noqa: PLR0911 - each return is one reason why there is nothing to write
    context: Context, party: Party, organisation: Organisation | None, organisation_in: bool
) -> Wanted | Held | Waits:
    """What a person's member or an organisation's company should hold.

    `organisation` is the person's, None if it has none or it is not known; `organisation_in` says whether it is in by
    the rules: only then does the member have a company.
    """
    if party.restricted:
        return Held("hidden", "the record is hidden from the token's user in Capsule")
    email, notes = _email(party.emails)
    named = _name(party)
    name = named or (email if isinstance(party, Person) else None)
    if name is None:
        return Held("no_name", "the record has neither a name nor an e-mail in Capsule")
    if name == _HIDDEN:
        return Held("hidden_name", f'the record\'s whole name is "{_HIDDEN}", which Capsule shows in place of a hidden name')
    led_by: list[Source] = []
    location = place(context, party, organisation if isinstance(party, Person) else None, told=led_by.append)
    if isinstance(location, Held):
        return location
    started = values.day(party.created_at)
    if started is None:
        return Held("no_start_date", "Capsule tells no day of creation, which OfficeRnD needs as the start date")
    fields: dict[str, Json] = {"name": name, "email": email, names.LINK: str(party.id)}
    initial: dict[str, Json] = {"startDate": started}
    sources = {"email": _EMAIL, names.LINK: _ID, "startDate": _CREATED, "location": led_by[0]}
    if isinstance(party, Organisation):
        fields |= {"location": location[0], "url": _url(party), names.TWITTER: _twitter(party), names.PHONE: _phone(party)}
        sources |= {"name": _NAME, "url": _URL, names.TWITTER: _TWITTER, names.PHONE: _PHONE}
        return _finished(context, names.COMPANY, party, fields=fields, initial=initial, notes=notes, sources=sources)
    fields |= {"phone": _phone(party), names.MEMBER_TWITTER: _twitter(party), names.LOCATION: location[1]}
    sources |= {"phone": _PHONE, names.MEMBER_TWITTER: _TWITTER, names.LOCATION: led_by[0]}
    sources["name"] = _FULL_NAME if named else _NAMELESS
    initial["location"] = location[0]
    if organisation_in and party.organisation_id is not None:
        company = _linked(context, party.organisation_id, "its organisation must be in OfficeRnD first")
        if isinstance(company, Waits):
            return company
        fields["company"] = company
        sources["company"] = Source(f"OfficeRnD's company of its organisation, {party.organisation_id}", ("organisation",))
    return _finished(context, names.MEMBER, party, fields=fields, initial=initial, notes=notes, sources=sources)


def wanted_opportunity(  # noqa: PLR0911 - each return is one reason why there is nothing to write
    context: Context, opportunity: Opportunity, party: Party, organisation: Organisation | None = None
) -> Wanted | Held | Waits:
    """What an opportunity should hold. `organisation` is the person's, if its party is a person and it is known.

    It goes to the party's member or company; for a person whose organisation is in, to both, and for a person who is
    out of an organisation that is in, to the company alone.

    Raises:
        UnreadableRecord: the party was read without its tags.
    """
    if opportunity.restricted:
        return Held("hidden", "the record is hidden from the token's user in Capsule")
    name = values.name(opportunity.name)
    if not name:
        return Held("no_name", "the opportunity has no name in Capsule")
    if name == _HIDDEN:
        return Held("hidden_name", f'the record\'s whole name is "{_HIDDEN}", which Capsule shows in place of a hidden name')
    led_by: list[Source] = []
    status = status_for(context, opportunity, told=led_by.append)
    if isinstance(status, Held):
        return status
    size = _deal_size(opportunity)
    if isinstance(size, Held):
        return size
    owners = _owners(context, party, organisation)
    if not isinstance(owners, dict):
        return owners
    differs = opportunity.probability is not None and opportunity.probability != status.probability
    fields: dict[str, Json] = {
        "name": name,
        "status": status.id,
        "startDate": values.day(opportunity.expected_close_on),
        names.LINK: str(opportunity.id),
        names.DEAL_SIZE: size,
        names.PROBABILITY: opportunity.probability if differs else None,
    }
    notes = (
        (Note("probability", "OfficeRnD keeps the probability of the status; capsule_probability holds Capsule's"),)
        if differs
        else ()
    )
    initial: dict[str, Json] = {"probability": status.probability, "dealSize": size, **owners}
    sources = {"name": _NAME, "status": led_by[0], "startDate": _CLOSE, names.LINK: _ID, names.PROBABILITY: _PROBABILITY}
    sources |= {"dealSize": _DEAL_SIZE, names.DEAL_SIZE: _DEAL_SIZE}
    sources["probability"] = Source("OfficeRnD's probability of that status", ("milestone",))
    sources |= {owner: Source(f"OfficeRnD's {owner} of its party, {party.id}", ("party",)) for owner in owners}
    return _finished(context, names.OPPORTUNITY, opportunity, fields=fields, initial=initial, notes=notes, sources=sources)


def released(context: Context, resource: str, have: Mapping[str, Json]) -> Wanted | None:
    """What a record should hold that left Capsule or the rules (`on_gone`); None if nothing is to be done.

    `have` is what the ledger says we wrote: none of it is changed or cleared. When the record comes back, its status is
    no longer wanted, and clearing it sets it to `auto`.
    """
    if context.connection.on_gone == "keep":
        return None
    kept = frozenset(have) - {"status"}
    if resource == names.MEMBER:
        return Wanted(resource, {"status": "former"}, untouched=kept)
    text = f"on_gone is former, and OfficeRnD has no such thing for a {resource}: it stays as it is"
    return Wanted(resource, {}, (Note("cannot_release", text),), untouched=frozenset(have))


def _finished(
    context: Context,
    resource: str,
    record: Party | Opportunity,
    *,
    fields: dict[str, Json],
    initial: dict[str, Json],
    notes: tuple[Note, ...],
    sources: dict[str, Source],
) -> Wanted | Held:
    """Adds the operator's own fields, and leaves out properties that are not set up in OfficeRnD."""
    untouched: set[str] = set()
    told = list(notes)
    for own in context.connection.fields.of(names.SOURCES[resource]):
        try:
            value = own_fields.evaluate(own, record.raw)
        except ValueUnusable as unusable:
            told.append(Note(f"own_field:{own.target}", str(unusable)))
            if own.target not in names.NEVER_CLEARED[resource]:
                untouched.add(own.target)
                fields.pop(own.target, None)
                continue
            value = None
        if value is None and own.target in names.NEVER_CLEARED[resource]:
            if own.target in sources:
                text = f"{sources[own.target].text}; the own field gives nothing: {own.text}"
                sources[own.target] = Source(text, ("*",))
            continue
        (initial if own.target in names.fixed_at_creation(resource) else fields)[own.target] = value
        sources[own.target] = Source(f"own field: {own.text}", ("*",))
    known = context.properties.get(names.TARGETS[resource], frozenset())
    for name in [name for name in fields if names.head(name) == "properties" and name.partition(".")[2] not in known]:
        value = fields.pop(name)
        untouched.add(name)
        key, target = name.partition(".")[2], names.TARGETS[resource]
        kind = "opportunity" if resource == names.OPPORTUNITY else "party"
        text = f'OfficeRnD has no custom property "{key}" for {resource} records (target {target})'
        if name == names.LINK and context.link(kind, record.id) is None:
            return Held("no_link_property", f"{text}; without it nothing is created: add it as a String in OfficeRnD")
        if not values.is_empty(value):
            told.append(Note(f"no_property:{key}", f"{text}, so its value is left out"))
    filled = {name: value for name, value in fields.items() if not values.is_empty(value)}
    return Wanted(
        resource,
        filled,
        tuple(told),
        initial={name: value for name, value in initial.items() if name not in filled and not values.is_empty(value)},
        fixed=names.fixed_at_creation(resource) | names.NEVER_CLEARED[resource],
        untouched=frozenset(untouched),
        sources=sources,
    )


def _owners(context: Context, party: Party, organisation: Organisation | None) -> dict[str, Json] | Held | Waits:
    """Member and company of an opportunity. Both are given where known, as the API expects them to agree (§3.3)."""
    waits = "its party must be in OfficeRnD first"
    if isinstance(party, Organisation):
        company = _linked(context, party.id, waits)
        return company if isinstance(company, Waits) else {"company": company}
    owners: dict[str, Json] = {}
    if judge_party(context.connection, party, organisation).is_in:
        member = _linked(context, party.id, waits)
        if isinstance(member, Waits):
            return member
        owners["member"] = member
    if organisation is not None and judge_party(context.connection, organisation, None).is_in:
        company = _linked(context, organisation.id, "the organisation of its party must be in OfficeRnD first")
        if isinstance(company, Waits):
            return company
        owners["company"] = company
    return owners or Held("no_party", "neither the opportunity's party nor the party's organisation is in")


def _linked(context: Context, number: int, text: str) -> str | Waits:
    found = context.link("party", number)
    return Waits("party", number, text) if found is None else found


def _name(party: Party) -> str | None:
    parts = (party.first_name, party.last_name) if isinstance(party, Person) else (party.name,)
    return values.name(*parts) or None


def _email(emails: tuple[str, ...]) -> tuple[str | None, tuple[Note, ...]]:
    """The first address that is one; one that is not would make OfficeRnD refuse the whole record."""
    usable = [address for address in map(values.email, emails) if address is not None]
    if len(usable) == len(emails):
        return (usable[0] if usable else None), ()
    note = Note("email_unusable", "an e-mail of this record in Capsule is no address, and is left out")
    return (usable[0] if usable else None), (note,)


def _phone(party: Party) -> str | None:
    return values.phone(party.phones[0]) if party.phones else None


def _url(party: Party) -> str | None:
    found = next(
        (site.address or site.url for site in party.websites if site.service == "URL" and (site.address or site.url)), None
    )
    return None if found is None else values.url(found)


def _twitter(party: Party) -> str | None:
    found = next((site.address or site.url for site in party.websites if site.service in _TWITTER_SERVICES), None)
    return None if found is None else values.twitter(found)


def _deal_size(opportunity: Opportunity) -> int | float | Held:
    """Amount times duration unless FIXED; no value is 0; currencies are not converted (DESIGN.md, "Values")."""
    if opportunity.amount is None:
        return 0
    units = 1 if opportunity.duration_basis == "FIXED" or opportunity.duration is None else opportunity.duration
    size = values.number(opportunity.amount * units)
    return Held("deal_size", "the deal's value is too large to be written without loss") if size is None else size
