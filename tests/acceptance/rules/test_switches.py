"""The story of scenario.py under both positions of every switch of both simulators, and under pairs of some of them.

Each switch stands for something that the references do not know of Capsule or OfficeRnD. Whatever the truth is, the end
must be the same.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.rules.scenario import Combination, Matrix, document
from tests.simulators.capsule.switches import SWITCHES as CAPSULE
from tests.simulators.officernd.switches import SWITCHES as OFFICERND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tests.simulators.control import Switch

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

LANES = 5
# An answer of 429 carries what these say, so they matter only where the limit is met.
TIGHT = {"retry_after", "ratelimit_reset"}
# Pairs of switches that could mean more together than each alone.
CAPSULE_PAIRS = (
    {"tag_change_fires_updated": "yes", "tag_change_moves_updated_at": "yes"},
    {"tag_change_fires_updated": "yes", "embedded_organisation_has_tags": "yes"},
    {"deleted_payload": "full", "cascade_fires_deleted": "yes"},
    {"people_of_deleted_organisation": "deleted", "cascade_fires_deleted": "yes"},
    {"people_of_deleted_organisation": "updated", "embedded_organisation_has_tags": "yes"},
    {"multiget_unknown": "fail", "multiget_order": "request"},
    {"batched": "3", "updated_fires_with_moved_closed": "yes"},
)
OFFICERND_PAIRS = (
    {"properties_on_put": "replace", "nested_on_put": "merge"},
    {"properties_on_put": "replace", "undefined_property_keys": "refuse"},
    {"properties_on_put": "replace", "undefined_property_keys": "drop"},
    {"undefined_property_keys": "refuse", "property_types": "check"},
    {"clear_with": "null", "properties_on_put": "replace"},
    {"status_verb": "patch", "company_verb": "patch"},
)
MIXED_PAIRS: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({"events_lost": "yes"}, {"properties_on_put": "replace"}),
    ({"events_lost": "yes", "list_order": "updated_descending"}, {}),
    ({"tag_change_fires_updated": "yes"}, {"properties_on_put": "replace"}),
)


def other_positions(switch: Switch) -> tuple[str, ...]:
    """Every position but the default; `<n>` is any number."""
    return tuple("3" if position == "<n>" else position for position in switch.positions[1:])


def combinations() -> Iterator[Combination]:
    """As it is by default; each switch alone in each other position; the pairs."""
    yield Combination({}, {}, {})
    for switch in CAPSULE:
        for position in other_positions(switch):
            yield Combination({switch.name: position}, {}, {})
    for switch in OFFICERND:
        limits: dict[str, float] = {"write_minute": 6, "minute_seconds": 2} if switch.name in TIGHT else {}
        if switch.name in TIGHT:
            yield Combination({}, {switch.name: switch.positions[0]}, limits)
        for position in other_positions(switch):
            yield Combination({}, {switch.name: position}, limits)
    yield from (Combination(pair, {}, {}) for pair in CAPSULE_PAIRS)
    yield from (Combination({}, pair, {}) for pair in OFFICERND_PAIRS)
    yield from (Combination(first, second, {}) for first, second in MIXED_PAIRS)


ALL = tuple(combinations())

END: dict[str, Any] = {
    "Acme & Co": {
        "url": "https://acme.example",
        "location": "Shoreditch",
        "properties": {"capsule_link_id": "100001", "capsule_twitter": "acme"},
    },
    "Taken Up Ltd": {
        "email": "u@x.example",
        "location": "London Bridge",
        "properties": {"capsule_link_id": "100002", "kept": "by staff", "plan": "Fixed"},
    },
    "Gone Ltd": {"location": "London Bridge", "properties": {"capsule_link_id": "100003"}},
    "Fay F": {
        "email": "fay@x.example",
        "location": "London Bridge",
        "properties": {"capsule_link_id": "100004", "capsule_location": "London Bridge"},
    },
    "Ada Changed": {
        "email": "ada@new.example",
        "phone": "+44 2",
        "location": "London Bridge",
        "company": "Acme & Co",
        "properties": {"capsule_link_id": "100005", "capsule_location": "Shoreditch", "plan": "Flex"},
    },
    "Bea B": {
        "email": "bea@x.example",
        "location": "London Bridge",
        "company": "Acme & Co",
        "socialProfiles": {"linkedin": "bea"},
        "properties": {"capsule_link_id": "100006", "capsule_location": "Shoreditch", "kept": "by staff"},
    },
    "Cleo C": {
        "location": "London Bridge",
        "properties": {"capsule_link_id": "100007", "capsule_location": "London Bridge"},
    },
    "Dev D": {
        "status": "former",
        "location": "London Bridge",
        "properties": {"capsule_link_id": "100008", "capsule_location": "London Bridge"},
    },
    "Eli E": {
        "status": "former",
        "location": "London Bridge",
        "company": "Gone Ltd",
        "properties": {"capsule_link_id": "100009", "capsule_location": "London Bridge"},
    },
    "More desks": {
        "member": "Ada Changed",
        "company": "Acme & Co",
        "status": "Tour booked",
        "probability": 40,
        "dealSize": 300,
        "properties": {"capsule_link_id": "100001", "capsule_deal_size": 600, "capsule_probability": 10},
    },
    "Deleted deal": {
        "company": "Taken Up Ltd",
        "status": "Negotiation",
        "probability": 50,
        "dealSize": 0,
        "properties": {"capsule_link_id": "100002", "capsule_deal_size": 0},
    },
    "Deal of the gone": {
        "company": "Gone Ltd",
        "status": "Negotiation",
        "probability": 50,
        "dealSize": 0,
        "properties": {"capsule_link_id": "100003", "capsule_deal_size": 0},
    },
}


class Stories:
    """Every chosen combination's story, begun at once on as many lanes as there are."""

    def __init__(self, matrix: Matrix, chosen: list[int]) -> None:
        self.matrix = matrix
        self.ended = 0
        self._pools = [ThreadPoolExecutor(1) for _ in range(LANES)]
        self._futures: dict[int, Future[dict[str, Any]]] = {}
        for n in chosen:
            self._futures[n] = self._pools[n % LANES].submit(self._live, n)

    def _live(self, n: int) -> dict[str, Any]:
        with self.matrix.story(n, ALL[n]) as story:
            try:
                found: dict[str, Any] = {"end": story.live(), "letters": story.letters(), "said": story.said()}
                # What OfficeRnD shows is compared with what we want: of Capsule's switches none concerns that.
                found["again"] = [] if ALL[n].capsule and not ALL[n].officernd else story.again()
            except AssertionError as error:
                raise AssertionError(f"{error}\nletters: {story.letters()}\n{story.said()}") from error
        self.ended += 1
        return found

    def told(self, n: int) -> dict[str, Any]:
        """How the story of this combination ended."""
        return self._futures[n].result()

    def close(self) -> None:
        """Begins no further story."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    here = [item for item in request.session.items if item.fspath == request.node.fspath]
    chosen = [item.callspec.params["n"] for item in here if hasattr(item, "callspec") and "n" in item.callspec.params]
    with Matrix(tmp_path_factory.mktemp("matrix"), connections=len(ALL), lanes=LANES) as matrix:
        told = Stories(matrix, chosen)
        try:
            yield told
        finally:
            told.close()
            plugins = request.config.pluginmanager
            with plugins.getplugin("capturemanager").global_and_fixture_disabled():
                print(f"\n{told.ended} of {len(ALL)} combinations of switches were lived through to their end")


@pytest.mark.parametrize("n", range(len(ALL)), ids=[one.name for one in ALL])
def test_the_story_always_ends_the_same(stories: Stories, n: int) -> None:
    """Issue A2, "Shown by" 2: the acceptance tests pass with every simulator switch in both positions."""
    found = stories.told(n)
    assert found["letters"] == [], found["said"]
    assert document(found["end"]) == document(END), found["said"]
    assert found["again"] == [], "a second full sync still has something to write"


def test_every_position_of_every_switch_is_among_the_combinations() -> None:
    """So that a new switch, or a new position of one, cannot be forgotten."""
    alone = [(*one.capsule.items(), *one.officernd.items()) for one in ALL if len(one.capsule) + len(one.officernd) == 1]
    met = set(itertools.chain.from_iterable(alone))
    wanted = {(switch.name, position) for switch in (*CAPSULE, *OFFICERND) for position in other_positions(switch)}
    assert wanted <= met
