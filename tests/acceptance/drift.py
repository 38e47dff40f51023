"""Drift on both sides at once, made by hand and told to nobody, and what must be found and put right of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.acceptance.harness import System

LINK = "capsule_link_id"


@dataclass(frozen=True, slots=True)
class Drift:
    """What was changed: parties in Capsule (id -> last name) and members in OfficeRnD (their Capsule id -> the name before)."""

    parties: Mapping[int, str]
    members: Mapping[int, str]

    def document(self) -> dict[str, int]:
        """How much it was."""
        return {"in_capsule": len(self.parties), "in_officernd": len(self.members)}

    def counted(self, sync: Mapping[str, Any]) -> dict[str, int]:
        """The same as a sync counted it."""
        return {"in_capsule": sync["findings"].get("changed", 0), "in_officernd": sync["findings"].get("drift", 0)}

    def left(self, system: System) -> list[int]:
        """The Capsule ids of members that do not hold what they should."""
        names = {int(link): str(one["name"]) for one in system.records("members") if (link := one["properties"].get(LINK))}
        wrong = [number for number, name in self.members.items() if names[number] != name]
        return wrong + [number for number, last in self.parties.items() if number in names and not names[number].endswith(last)]


def inject(system: System, *, share: float = 0.01) -> Drift:
    """Changes a share of all persons in Capsule, where no hook is subscribed, and the same share of OfficeRnD's members by hand.

    At least one of each, and no member of a party that was changed. Capsule prints a person's name with its opportunities, which
    would change too: persons that have some are left alone, so that the count is known.
    """
    chance = random.Random(7)
    state = system.capsule.control("GET", "state")
    dealing = {one["party"]["id"] for one in state["opportunities"]}
    people = [one["id"] for one in state["parties"] if one["type"] == "person" and one["id"] not in dealing]
    edited = {number: f"Changed{number}" for number in chance.sample(people, max(round(len(people) * share), 1))}
    for number, last in edited.items():
        system.edit(number, lastName=last)
    members = [one for one in system.records("members") if one["properties"].get(LINK)]
    others = [one for one in members if int(one["properties"][LINK]) not in edited]
    chosen = chance.sample(others, max(round(len(members) * share), 1))
    for one in chosen:
        system.officernd.control("POST", "edit", {"resource": "members", "id": one["_id"], "fields": {"name": "Changed By Hand"}})
    return Drift(edited, {int(one["properties"][LINK]): str(one["name"]) for one in chosen})
