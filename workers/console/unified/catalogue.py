"""What an account has once: custom fields, pipelines, stages, users, activity types. Read live and kept for a short time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mapping.unified import deals, definitions, entries, people
from mapping.unified.shapes import SHAPES
from workers.capsule.caller import Call
from workers.console.unified import capsule_calls as calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from mapping.unified.parts import Definitions
    from workers.answers import Body
    from workers.capsule.caller import Caller

Kept = TypeVar("Kept")
KEEP_S: Final = 30.0
FIELDS_OF: Final = {"party": "parties", "opportunity": "opportunities", "kase": "kases"}
BUILT_IN: Final = {"contact": "contacts", "account": "accounts", "opportunity": "opportunities", "project": "projects"}
# Built-in attributes that are lists or objects are told by their own shape in the OpenAPI document.
_TYPES: Final = {"number": "number", "integer": "number", "boolean": "boolean", "string": "string"}


class Catalogue:
    """The reference data of all connections of this process. Threads may ask at once; then it may be read twice."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], tuple[float, Any]] = {}

    def definitions(self, caller: Caller, connection: str, kind: str) -> Definitions:
        """The custom fields of parties, opportunities or kases. Raises as `capsule_calls.page`, like the rest."""
        return definitions.definitions(self.definition_bodies(caller, connection, kind))

    def definition_bodies(self, caller: Caller, connection: str, kind: str) -> list[Body]:
        """The same as Capsule gives them."""
        path = f"/{FIELDS_OF[kind]}/fields/definitions"
        return self._kept(connection, path, lambda: calls.everything(caller, path, "definitions"))

    def users(self, caller: Caller, connection: str) -> list[Body]:
        """The users with their parties, on which their e-mail addresses are."""
        query = (("embed", calls.EMBED["user"]),)
        return self._kept(connection, "users", lambda: calls.everything(caller, "/users", "users", query=query))

    def timezone(self, caller: Caller, connection: str, user: int | None) -> str | None:
        """The time zone of a user, None when it is not known."""
        for one in self.users(caller, connection) if user is not None else ():
            if one["id"] == user:
                zone = one.get("timezone")
                return zone if isinstance(zone, str) else None
        return None

    def current_user(self, caller: Caller, connection: str) -> int | None:
        """The user whom our token acts for: the owner of what is created without one (reference/capsule.md §5.3)."""
        call = Call("GET", "/users/current", "GET /users/current", reads=True)
        found = self._kept(connection, "current", lambda: calls.document(caller.ask(call)))
        number = ((found or {}).get("user") or {}).get("id")
        return number if isinstance(number, int) else None

    def activity_types(self, caller: Caller, connection: str) -> list[Body]:
        """The activity types."""
        return self._kept(connection, "activity", lambda: calls.everything(caller, "/activitytypes", "activityTypes"))

    def pipelines(self, caller: Caller, connection: str) -> list[tuple[Body, list[Body]]]:
        """The pipelines, each with its milestones: `GET /milestones` would show those of one alone (§6, trap 4)."""

        def read() -> list[tuple[Body, list[Body]]]:
            route = "/pipelines/{id}/milestones"
            return [
                (one, calls.everything(caller, f"/pipelines/{one['id']:d}/milestones", "milestones", route=route))
                for one in calls.everything(caller, "/pipelines", "pipelines")
            ]

        return self._kept(connection, "pipelines", read)

    def boards(self, caller: Caller, connection: str) -> list[tuple[Body, list[Body]]]:
        """The boards, archived ones too, each with its stages."""

        def read() -> list[tuple[Body, list[Body]]]:
            every = (("status", "all"), ("includeOnDeletedBoard", "true"))
            stages = calls.everything(caller, "/stages", "stages", query=every)
            return [
                (board, [one for one in stages if (one.get("board") or {}).get("id") == board["id"]])
                for board in calls.everything(caller, "/boards", "boards", query=every[:1])
            ]

        return self._kept(connection, "boards", read)

    def stage(self, caller: Caller, connection: str, number: object) -> Body | None:
        """A stage of a board with its board, None when it is not known."""
        for board, stages in self.boards(caller, connection) if number is not None else ():
            for one in stages:
                if one["id"] == number:
                    return {**one, "board": {"id": board["id"], "name": board.get("name")}}
        return None

    def rows(self, caller: Caller, connection: str, model: str) -> list[tuple[dict[str, Any], Body]]:
        """All records of a model of this module, each with Capsule's body."""
        return {
            "engagement_types": self._engagement_types,
            "fields": self._fields,
            "pipelines": self._pipelines,
            "stages": self._stages,
            "users": lambda *of: [(people.user(one), one) for one in self.users(*of)],
            "directory_users": lambda *of: [(people.directory_user(one), one) for one in self.users(*of)],
        }[model](caller, connection)

    def _engagement_types(self, caller: Caller, connection: str) -> list[tuple[dict[str, Any], Body]]:
        return [(entries.engagement_type(one), one) for one in self.activity_types(caller, connection)]

    def _fields(self, caller: Caller, connection: str) -> list[tuple[dict[str, Any], Body]]:
        found: list[tuple[dict[str, Any], Body]] = []
        for kind, entity in FIELDS_OF.items():
            bodies = self.definition_bodies(caller, connection, kind)
            known = definitions.definitions(bodies)
            for body in bodies:
                models = definitions.applies(body, entity)
                found += [(definitions.field(body, known, entity=entity, model=model), body) for model in models]
        for entity_type, model in BUILT_IN.items():
            for name, attribute in SHAPES[model].model_json_schema()["properties"].items():
                words = [_TYPES.get(one.get("type", "")) for one in attribute.get("anyOf", [attribute])]
                plain = next((word for word in words if word), None)
                if plain is not None and name != "remote_data":
                    found.append((definitions.built_in(name, plain, entity_type), {}))
        return found

    def _pipelines(self, caller: Caller, connection: str) -> list[tuple[dict[str, Any], Body]]:
        found = [
            (deals.pipeline(body, inside, entity=deals.OPPORTUNITY), body) for body, inside in self.pipelines(caller, connection)
        ]
        return [
            *found,
            *((deals.pipeline(body, inside, entity=deals.PROJECT), body) for body, inside in self.boards(caller, connection)),
        ]

    def _stages(self, caller: Caller, connection: str) -> list[tuple[dict[str, Any], Body]]:
        return [
            (deals.stage(one, entity=entity, position=place, pipeline_of=body), one)
            for entity, groups in (
                (deals.OPPORTUNITY, self.pipelines(caller, connection)),
                (deals.PROJECT, self.boards(caller, connection)),
            )
            for body, inside in groups
            for place, one in enumerate(inside)
        ]

    def _kept(self, connection: str, what: str, read: Callable[[], Kept]) -> Kept:
        with self._lock:
            held = self._held.get((connection, what))
        if held is not None and self._clock() < held[0]:
            return cast("Kept", held[1])
        found = read()
        with self._lock:
            self._held[connection, what] = (self._clock() + KEEP_S, found)
        return found
