"""Somebody who works in Capsule all day: random edits through Capsule's simulated API, as a person's browser would make them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import httpx

from tests.demo.compare import TAGS, expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.demo.compare import Place
    from tests.simulators.run import Simulator

TOKEN = "demo-person"
FIRST = ("Asha", "Bram", "Carys", "Dina", "Emre", "Freya", "Goran", "Hetty", "Ines", "Jonas", "Keira", "Leif")
LAST = ("Aldgate", "Borough", "Clapton", "Dalston", "Euston", "Fulham", "Granary", "Highgate", "Islington", "Kentish")
WORKS = ("Atelier", "Collective", "Foundry", "Guild", "Press", "Works")


class Person:
    """Edits the account at random, reproducibly for a seed.

    `ever` are the places of OfficeRnD that the rules let in at some time. `calls` counts the requests made here, so that they
    can be told from the relay's own.
    """

    def __init__(self, capsule: Simulator, *, seed: int) -> None:
        user = capsule.control("POST", "users", {"name": "Demo Person", "username": "demo.person", "admin": True})
        # A user of its own, since Capsule counts requests by user: these must not use up the relay's.
        capsule.control("POST", "tokens", {"token": TOKEN, "user": user["id"]})
        self._capsule = capsule
        self._client = httpx.Client(
            base_url=f"{capsule.url}/api/v2", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10, trust_env=False
        )
        self._chance = random.Random(seed)
        state = capsule.control("GET", "state")
        self._people = [party["id"] for party in state["parties"] if party["type"] == "person"]
        self._organisations = [party["id"] for party in state["parties"] if party["type"] == "organisation"]
        self._deals = [deal["id"] for deal in state["opportunities"]]
        self._milestones = [milestone["id"] for milestone in state["milestones"]]
        self._number = 0
        self.calls = 0
        self.edits = 0
        self.ever: set[Place] = set(expected(state))

    def edit(self) -> str:
        """Makes one edit and says what it was."""
        self._number += 1
        edits: tuple[tuple[Callable[[], str], int], ...] = (
            (self._new_person, 4),
            (self._new_email, 6),
            (self._tag, 3),
            (self._untag, 2),
            (self._milestone, 4),
            (self._rename, 3),
            (self._delete, 1),
        )
        (chosen,) = self._chance.choices([edit for edit, _ in edits], weights=[weight for _, weight in edits])
        said = chosen()
        self.edits += 1
        return said

    def close(self) -> None:
        """Goes home."""
        self._client.close()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, path, json=body)
        self.calls += 1
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _party(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", f"/parties/{number}?embed=tags")["party"]
        return found

    def _change(self, number: int, **changes: object) -> None:
        # Capsule is not known to announce a change of tags alone (reference/capsule.md §1.4), so every edit leaves a note too.
        self._call("PUT", f"/parties/{number}", {"party": {"about": f"Edit {self._number} of the demonstration", **changes}})

    def _remember(self) -> None:
        """Before an edit that may put records out of the rules: they were in until now, and what is there stays there."""
        self.ever |= set(expected(self._capsule.control("GET", "state")))

    def _email(self) -> str:
        return f"demo.{self._number}@example.com"

    def _new_person(self) -> str:
        party = {
            "type": "person",
            "firstName": self._chance.choice(FIRST),
            "lastName": self._chance.choice(LAST),
            "emailAddresses": [{"type": "Work", "address": self._email()}],
            "organisation": {"id": self._chance.choice(self._organisations)},
            "tags": [{"name": "Member"}] if self._chance.random() < 0.5 else [],
        }
        self._people.append(self._call("POST", "/parties", {"party": party})["party"]["id"])
        return "a new person"

    def _new_email(self) -> str:
        number = self._chance.choice(self._people)
        held = self._party(number)["emailAddresses"]
        known = {"id": held[0]["id"]} if held else {"type": "Work"}
        self._change(number, emailAddresses=[{**known, "address": self._email()}])
        return "a changed e-mail"

    def _tag(self) -> str:
        number = self._chance.choice([*self._people, *self._organisations])
        self._change(number, tags=[{"name": self._chance.choice(sorted(TAGS))}])
        return "a tag added"

    def _untag(self) -> str:
        number = self._chance.choice([*self._people, *self._organisations])
        tags = self._party(number)["tags"]
        if not tags:
            return self._tag()
        self._remember()
        self._change(number, tags=[{"id": self._chance.choice(tags)["id"], "_delete": True}])
        return "a tag removed"

    def _milestone(self) -> str:
        number = self._chance.choice(self._deals)
        milestone = {"id": self._chance.choice(self._milestones)}
        self._call("PUT", f"/opportunities/{number}", {"opportunity": {"milestone": milestone}})
        return "an opportunity moved"

    def _rename(self) -> str:
        name = f"{self._chance.choice(LAST)} {self._chance.choice(WORKS)} {self._number}"
        self._change(self._chance.choice(self._organisations), name=name)
        return "an organisation renamed"

    def _delete(self) -> str:
        self._remember()
        number = self._people.pop(self._chance.randrange(len(self._people)))
        self._call("DELETE", f"/parties/{number}")
        state = self._capsule.control("GET", "state")
        self._deals = [deal["id"] for deal in state["opportunities"]]
        return "a person deleted"
