"""Any history of edits, deletions, tag changes, duplicates, reorderings and faults ends as a fresh sync of the final state would.

The real flow runs in the test's own thread over the real scripts and real simulators (issue A2, "Shown by" 3). A failure prints
the steps, what differs, and the last lines of the relay's log. `HYPOTHESIS_PROFILE=thorough` looks much longer.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.properties.sync_capsule import own_field
from tests.properties.sync_world import Rules, Stage, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mapping.agenda import RecordKey
    from workers.embedded import EmbeddedServer

pytestmark = [pytest.mark.processes]

WHICH = st.integers(min_value=0, max_value=11)
HOW = st.sampled_from(("event", "at once", "worked", "worked", "double", "lost"))
TAGS = st.sampled_from(("member", "vip", "blocked", "shoreditch", "london"))
MAYBE_TAG = st.one_of(TAGS, st.just("member"), st.none())
BREAKS = st.sampled_from(("kill before", "kill after", "freeze"))
SOME_TAGS = st.lists(TAGS, max_size=2, unique=True)
FIRST = st.sampled_from(("Ada", "Bea", "Cleo"))
COMPANY = st.sampled_from(("Amber Ltd", "Birch & Co", "Amber Ltd "))
EMAIL = st.sampled_from((None, "ada@example.org", "Bea@Example.org", "cleo+x@example.net"))
PHONE = st.sampled_from((None, "020 7946 0001", "02079460001", "+44 20 7946 0002"))
TWITTER = st.sampled_from((None, "@AmberLtd", "amberltd", "birchco"))
URL = st.sampled_from((None, "amber.example.org", "https://birch.example.org/"))
PLAN = st.sampled_from((None, "Gold", "Silver"))
DAY = st.sampled_from((None, "2027-01-31", "2027-02-28"))
WORTH = st.sampled_from((None, 1000, 2500.5))
RULES = st.builds(
    Rules,
    tags_to_sync=st.sampled_from(("member", "member", "member, [vip, london]", "!blocked", "")),
    sync_untagged_contacts=st.sampled_from((True, True, False)),
    on_gone=st.sampled_from(("keep", "former")),
    default_location=st.sampled_from((True, True, False)),
    lost_has_status=st.booleans(),
    own_field=st.booleans(),
)
# The unknowns of the vendors that decide what a run reads or how a write is taken.
CAPSULE_SWITCHES = {
    "embedded_organisation_has_tags": ("no", "yes"),
    "multiget_unknown": ("skip", "fail"),
    "list_order": ("id", "id_descending", "updated", "updated_descending"),
    "people_of_deleted_organisation": ("unlinked", "updated", "deleted"),
    "cascade_fires_deleted": ("no", "yes"),
    "related_includes_additional": ("no", "yes"),
}
OFFICERND_SWITCHES = {
    "properties_on_put": ("merge", "replace"),
    "nested_on_put": ("replace", "merge"),
    "clear_with": ("empty_string", "both"),
    "social_profiles_on_post": ("refuse", "accept"),
    "company_required": ("all", "name"),
    "company_detach": ("refuse", "allow"),
    "opportunity_company_filled": ("yes", "no"),
    "opportunity_probability_on_post": ("as_sent", "from_status"),
    "property_types": ("store", "check"),
    "number_property_filter": ("no_match", "match"),
    "email_filter_case": ("exact", "ignored"),
    "name_filter_case": ("exact", "ignored"),
    "retry_after": ("suffixed", "plain", "none"),
    "ratelimit_reset": ("seconds_left", "epoch"),
}
# Positions in which Capsule tells of everything that it does: then events alone must be enough.
TELLING = {"people_of_deleted_organisation": ("updated", "deleted"), "cascade_fires_deleted": ("yes",)}


def drawn(table: dict[str, tuple[str, ...]]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({name: st.sampled_from(positions) for name, positions in table.items()})


BUSY = {"statusCode": 500, "message": "something went wrong"}
REFUSED = {"statusCode": 400, "message": ["name must be nicer"], "error": "Bad Request"}
OFFICERND_FAULTS = st.one_of(
    st.sampled_from(
        (
            {"kind": "lost"},
            {"kind": "cut"},
            {"kind": "slow", "seconds": 0.4},
            {"kind": "status", "status": 500, "body": BUSY},
            {"kind": "status", "status": 502, "body": BUSY},
            {"kind": "status", "status": 503, "body": BUSY},
            {"kind": "status", "status": 429, "headers": {"Retry-After-write-minute": "1", "Retry-After-read-minute": "1"}},
            {"kind": "token_expired"},
            {"kind": "html"},
        )
    ),
    st.just({"kind": "status", "status": 400, "body": REFUSED}),
)
OFFICERND_ROUTES = st.sampled_from(
    (
        "POST *",
        "PUT *",
        "POST /companies",
        "POST /members",
        "POST /opportunities",
        "PUT /members/{id}",
        "PUT /members/{id}/company",
        "PUT /members/{id}/status",
        "GET /members",
        "GET /members/{id}",
    )
)
CAPSULE_FAULTS = st.sampled_from(
    (
        {"kind": "cut"},
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1"}},
        {"kind": "html"},
    )
)
CAPSULE_ROUTES = st.sampled_from(("GET *", "GET /parties/{id}/people", "GET /parties/{id}/opportunities", "GET /parties/{ids}"))


class Histories(RuleBasedStateMachine):
    """One rule per thing that can happen. `stage` is set by the test that runs it."""

    stage: ClassVar[Stage]
    events_alone: ClassVar[bool]
    counts: ClassVar[Counter[str]]

    world: World

    @initialize(rules=RULES, data=st.data(), tags=st.lists(SOME_TAGS, min_size=4, max_size=4), first_sync=st.booleans())
    def begin(self, rules: Rules, data: st.DataObject, tags: list[list[str]], first_sync: bool) -> None:
        """Two organisations, two people of the first, a deal of each; perhaps all in step already."""
        told = TELLING if self.events_alone else {}
        switches = {"capsule": data.draw(drawn(CAPSULE_SWITCHES | told)), "officernd": data.draw(drawn(OFFICERND_SWITCHES))}
        self.world = world = World(self.stage, rules, switches, events_alone=self.events_alone)
        for n in range(2):
            world.create("party", {"type": "organisation", "name": f"Begun {n}", "tags": named(tags[n])})
        first = self.pick(0, sort="organisation")
        assert first is not None
        for n in range(2):
            person = {"type": "person", "firstName": "Zoe", "lastName": f"Begun{n}", "organisation": {"id": first.id}}
            world.create("party", {**person, "tags": named(tags[2 + n])})
        for n, sort in enumerate(("organisation", "person")):
            party = self.pick(0, sort=sort)
            assert party is not None
            milestone = world.capsule.milestones[n]["id"]
            world.create("opportunity", {"name": f"Deal {n}", "party": {"id": party.id}, "milestone": {"id": milestone}})
        if first_sync:
            world.wire.clear()
            assert world.relay.full_sync()
            world.relay.settle()

    def pick(self, n: int, *, kind: str = "party", sort: str | None = None) -> RecordKey | None:
        fitting = self.world.capsule.visible(kind, sort=sort)
        return fitting[n % len(fitting)] if fitting else None

    # ------------------------------------------------------------------ Capsule
    @rule(name=COMPANY, email=EMAIL, tags=SOME_TAGS, how=HOW)
    def create_organisation(self, name: str, email: str | None, tags: list[str], how: str) -> None:
        fields = {"type": "organisation", "name": name, "tags": named(tags), "emailAddresses": addresses(email)}
        self.world.create("party", fields, how)

    @rule(first=FIRST, email=EMAIL, of=st.none() | WHICH, tags=SOME_TAGS, how=HOW)
    def create_person(self, first: str, email: str | None, of: int | None, tags: list[str], how: str) -> None:
        organisation = None if of is None else self.pick(of, sort="organisation")
        fields: dict[str, Any] = {"type": "person", "firstName": first, "lastName": "Made", "tags": named(tags)}
        fields |= {"emailAddresses": addresses(email)}
        if organisation is not None:
            fields["organisation"] = {"id": organisation.id}
        self.world.create("party", fields, how)

    @rule(n=WHICH, milestone=WHICH, worth=WORTH, how=HOW)
    def create_deal(self, n: int, milestone: int, worth: float | None, how: str) -> None:
        party = self.pick(n)
        if party is not None:
            fields = {"name": "A deal", "party": {"id": party.id}, "milestone": {"id": self.milestone(milestone)}}
            self.world.create("opportunity", fields | worthy(worth), how)

    def milestone(self, n: int) -> int:
        milestones = self.world.capsule.milestones
        return int(milestones[n % len(milestones)]["id"])

    @rule(n=WHICH, tag=TAGS, how=HOW)
    def toggle_tag(self, n: int, tag: str, how: str) -> None:
        party = self.pick(n)
        if party is not None:
            self.world.edit(party, self.world.capsule.toggle_tag(party, tag), how)

    @rule(n=WHICH, how=HOW)
    def toggle_an_organisation(self, n: int, how: str) -> None:
        party = self.pick(n, sort="organisation")
        if party is not None:
            self.world.edit(party, self.world.capsule.toggle_tag(party, "member"), how)

    @rule(n=WHICH, data=st.data(), how=HOW)
    def edit_party(self, n: int, data: st.DataObject, how: str) -> None:
        party = self.pick(n)
        if party is None:
            return
        capsule = self.world.capsule
        is_person = capsule.records[party]["type"] == "person"
        what = data.draw(st.sampled_from(("name", "email", "phone", "twitter", "plan" if is_person else "url")))
        if what == "name":
            fields = {"firstName": data.draw(FIRST)} if is_person else {"name": data.draw(COMPANY)}
        elif what == "email":
            email = data.draw(EMAIL)
            fields = capsule.contact(party, "emailAddresses", None if email is None else {"address": email})
        elif what == "phone":
            phone = data.draw(PHONE)
            fields = capsule.contact(party, "phoneNumbers", None if phone is None else {"number": phone})
        elif what == "plan":
            fields = own_field("Plan", data.draw(PLAN))
        else:
            address = data.draw(TWITTER if what == "twitter" else URL)
            service = {"service": what.upper()}
            fields = capsule.contact(party, "websites", None if address is None else {"address": address}, where=service)
        self.world.edit(party, fields, how)

    @rule(n=WHICH, to=st.none() | WHICH, how=HOW)
    def move_person(self, n: int, to: int | None, how: str) -> None:
        person = self.pick(n, sort="person")
        organisation = None if to is None else self.pick(to, sort="organisation")
        if person is not None:
            self.world.edit(person, {"organisation": None if organisation is None else {"id": organisation.id}}, how)

    @rule(n=WHICH, data=st.data(), how=HOW)
    def edit_deal(self, n: int, data: st.DataObject, how: str) -> None:
        deal = self.pick(n, kind="opportunity")
        if deal is None:
            return
        what = data.draw(st.sampled_from(("name", "milestone", "worth", "day", "party", "probability")))
        fields: dict[str, Any] = {}
        if what == "name":
            fields = {"name": data.draw(st.sampled_from(("A deal", "Another deal")))}
        elif what == "milestone":
            fields = {"milestone": {"id": self.milestone(data.draw(WHICH))}}
        elif what == "worth":
            fields = worthy(data.draw(WORTH))
        elif what == "day":
            fields = {"expectedCloseOn": data.draw(DAY)}
        elif what == "party":
            party = self.pick(data.draw(WHICH))
            fields = {} if party is None else {"party": {"id": party.id}}
        elif self.world.capsule.records[deal]["closedOn"] is None:
            fields = {"probability": data.draw(st.sampled_from((10, 50, 75)))}
        self.world.edit(deal, fields, how)

    @rule(n=WHICH, kind=st.sampled_from(("party", "party", "opportunity")), how=HOW)
    def delete(self, n: int, kind: str, how: str) -> None:
        record = self.pick(n, kind=kind)
        if record is not None:
            self.world.delete(record, how)

    @precondition(lambda self: not self.events_alone)
    @rule(n=WHICH, kind=st.sampled_from(("party", "opportunity")), how=HOW)
    def hide(self, n: int, kind: str, how: str) -> None:
        record = self.pick(n, kind=kind)
        if record is not None:
            self.world.hide(record, hidden=True, how=how)

    @precondition(lambda self: self.world.capsule.restricted)
    @rule(n=WHICH, how=HOW)
    def show_again(self, n: int, how: str) -> None:
        hidden = sorted(self.world.capsule.restricted)
        kind, number = hidden[n % len(hidden)]
        record = next(one for one in self.world.capsule.records if (one.kind, one.id) == (kind, number))
        self.world.hide(record, hidden=False, how=how)

    # ------------------------------------------------------------------ between
    @precondition(lambda self: self.world.wire)
    @rule(n=WHICH, keep=st.booleans())
    def deliver(self, n: int, keep: bool) -> None:
        self.world.deliver(n, keep=keep)

    @rule(most=st.integers(min_value=1, max_value=6))
    def work(self, most: int) -> None:
        self.world.relay.drain(most=most)

    @rule()
    def deliver_and_settle(self) -> None:
        self.world.deliver_all()
        self.world.relay.settle()

    @rule(ms=st.sampled_from((100, 700, 1_500, 6_000, 40_000)))
    def time_passes(self, ms: int) -> None:
        self.world.relay.pass_time(ms)

    @rule()
    def full_sync(self) -> None:
        self.world.relay.full_sync()

    @rule()
    def redis_restarts(self) -> None:
        self.world.relay.redis_restarts()

    # ------------------------------------------------------------------ what goes wrong
    def provoke(self, n: int, tag: str | None) -> None:
        """A change whose runs meet what was just prepared; without a tag, later ones do."""
        party = self.pick(n)
        if party is not None and tag is not None:
            self.world.edit(party, self.world.capsule.toggle_tag(party, tag), "worked")

    @rule(route=OFFICERND_ROUTES, fault=OFFICERND_FAULTS, count=st.integers(min_value=1, max_value=3), n=WHICH, tag=MAYBE_TAG)
    def officernd_fails(self, route: str, fault: dict[str, Any], count: int, n: int, tag: str | None) -> None:
        self.world.fault("officernd", {"route": route, "count": count, **fault})
        self.provoke(n, tag)

    @rule(route=CAPSULE_ROUTES, fault=CAPSULE_FAULTS, count=st.integers(min_value=1, max_value=2), n=WHICH, tag=MAYBE_TAG)
    def capsule_fails(self, route: str, fault: dict[str, Any], count: int, n: int, tag: str | None) -> None:
        self.world.fault("capsule", {"route": route, "count": count, **fault})
        self.provoke(n, tag)

    @rule(what=BREAKS, at=st.integers(min_value=1, max_value=6), writes=st.booleans(), n=WHICH, tag=MAYBE_TAG)
    def a_run_is_broken_off(self, what: str, at: int, writes: bool, n: int, tag: str | None) -> None:
        self.world.trap(what, at=min(at, 2) if writes else at, writes=writes, act=lambda: None)
        self.provoke(n, tag)

    @rule(change=st.tuples(WHICH, TAGS), at=st.integers(min_value=1, max_value=6), writes=st.booleans(), n=WHICH, tag=MAYBE_TAG)
    def a_change_comes_during_a_run(self, change: tuple[int, str], at: int, writes: bool, n: int, tag: str | None) -> None:
        def act() -> None:
            party = self.pick(change[0])
            if party is not None:
                self.world.edit(party, self.world.capsule.toggle_tag(party, change[1]), "at once")

        self.world.trap("edit", at=min(at, 2) if writes else at, writes=writes, act=act)
        self.provoke(n, tag)

    @rule(n=WHICH, value=st.sampled_from(("by the window", "near the door")))
    def staff_edit(self, n: int, value: str) -> None:
        self.world.staff_edits(n, value)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.finish()
        finally:
            type(self).counts += self.world.counts()
            self.world.close()


def named(tags: list[str]) -> list[dict[str, str]]:
    return [{"name": tag} for tag in tags]


def addresses(email: str | None) -> list[dict[str, str]]:
    return [] if email is None else [{"address": email}]


def worthy(worth: float | None) -> dict[str, Any]:
    return {"value": None if worth is None else {"amount": worth, "currency": "GBP"}}


@pytest.fixture(scope="module")
def stage(server: EmbeddedServer) -> Iterator[Stage]:
    made = Stage(server.url)
    yield made
    made.stop()


THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


@pytest.mark.timeout(7_200 if THOROUGH else 900)  # finding the shortest history of a failure takes minutes
@pytest.mark.parametrize("events_alone", [True, False], ids=["by events alone", "with losses, and a full sync at the end"])
def test_a_history_ends_as_a_fresh_sync_of_the_final_state(stage: Stage, events_alone: bool) -> None:
    """`HISTORIES` in the environment is the number of histories of each kind."""
    attributes = {"stage": stage, "events_alone": events_alone, "counts": Counter()}
    made: type[Histories] = type("Histories", (Histories,), attributes)
    examples = int(os.environ.get("HISTORIES", "400" if THOROUGH else "15"))
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    bounds = settings(max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=quiet)
    run_state_machine_as_test(made, settings=bounds)
    print(", ".join(f"{name}: {count}" for name, count in made.counts.items()))
    assert made.counts["runs"] > made.counts["histories"]
    assert made.counts["records in step"]
