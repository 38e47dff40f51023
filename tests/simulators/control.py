"""What both simulators share: faults, the request log, switches, limits, a movable clock, and their routes under `/_control/`.

A simulator is made of three things from here:

    control = Control(switches=SWITCHES, limits={"reads_per_minute": 400})
    routes = [*own_routes, *control_routes(control, reset=..., state=..., seed=...)]
    app = SimulatorApp(control=control, base="/api/v2/organizations/{slug}", routes=routes)

`SimulatorApp` (stage.py) passes every request that is not under `/_control/` through the log and the faults. `base` is cut
from the front of a route's path to name it: `PUT /members/{id}`; a path outside the base keeps its whole name:
`POST /oauth/token`. Convertors are left out of names: `{id:int}` is `{id}`.

Faults, one JSON object or a list of them to `POST /_control/faults`:

    {"route": "PUT /members/{id}", "kind": "status", "count": 3, "skip": 0, "status": 503, "body": ..., "headers": {},
     "seconds": 0, "path": null, "chance": 1.0}

    route    as in the counts; "*" for the method or the template (or the whole) means any
    count    how often it strikes, null for ever; skip: how many matching requests pass first
    path     strikes only requests whose raw path ends with this text
    chance   strikes with this probability (a seeded generator)
    kind     status         answers `status` with `body` (JSON, or text when a string) and `headers`; nothing is applied
             html           the same with an HTML page (status 502 unless told otherwise)
             slow           waits `seconds`, then works as ever: the effect comes late, even when the caller has gone
             stall          works at once, and the answer waits `seconds`
             drip           works at once, and the answer's body comes a byte at a time, each `seconds` after the one before
             cut            the connection ends before anything is applied
             lost           applied, then the connection ends before the answer
             token_expired  the bearer token of this request ends here, and the request meets what that means
    seconds  for every other kind: a wait before it strikes
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import orjson
from starlette.routing import Route

from tests.simulators.orders import (
    HEADERS_OF_INTEREST,
    LOG_LENGTH,
    ControlRefused,
    Document,
    Fault,
    Json,
    Kind,
    Number,
    Seen,
    Switch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "HEADERS_OF_INTEREST",
    "Control",
    "ControlRefused",
    "Document",
    "Fault",
    "Json",
    "Number",
    "Seen",
    "Switch",
    "control_routes",
    "guarded",
    "read_json",
    "route_name",
]


class Control:
    """Everything about a simulator that is not the vendor's: what was asked of it, and how it is told to behave.

    `expire` is set by the simulator: it ends the bearer token that it is given (fault `token_expired`).
    """

    def __init__(self, *, switches: Sequence[Switch] = (), limits: Mapping[str, Number] | None = None) -> None:
        self.table = {switch.name: switch for switch in switches}
        self.default_limits = dict(limits or {})
        self.expire: Callable[[str], None] = lambda _token: None
        self.log: deque[Seen] = deque(maxlen=LOG_LENGTH)
        self.faults: list[Fault] = []
        self.switches: dict[str, str] = {}
        self.limits: dict[str, Number] = {}
        self.counts: Counter[str] = Counter()
        self._requests = 0
        self._clock_offset = 0.0
        self._random = random.Random(1)
        self.restore()

    def restore(self) -> None:
        """Everything as it was at the start: empty log, no faults, default switches and limits, the true clock."""
        self.forget()
        self.faults.clear()
        self.switches = {name: switch.positions[0] for name, switch in self.table.items()}
        self.limits = dict(self.default_limits)
        self._clock_offset = 0.0
        self._random = random.Random(1)

    def forget(self) -> None:
        """Empty the log and the counts. The numbers of requests go on."""
        self.log.clear()
        self.counts.clear()

    def now(self) -> float:
        """Seconds since the epoch by the simulator's clock, which `POST /_control/clock` moves forward."""
        return time.time() + self._clock_offset

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock, so that windows, tokens and dates pass without waiting."""
        self._clock_offset += seconds

    def is_on(self, switch: str) -> bool:
        """Whether a yes/no switch stands at yes."""
        return self.switches[switch] == "yes"

    def set_switches(self, wanted: Mapping[str, object]) -> None:
        """Set switches. Raises ControlRefused for a switch or a position that does not exist, and then sets none."""
        values = {name: _position(value) for name, value in wanted.items()}
        for name, value in values.items():
            if name not in self.table or not self.table[name].accepts(value):
                positions = self.table[name].positions if name in self.table else tuple(self.table)
                raise ControlRefused(f"no such switch or position: {name} = {value}; there are {', '.join(positions)}")
        self.switches.update(values)

    def set_limits(self, wanted: Mapping[str, object]) -> None:
        """Set limits. Raises ControlRefused for one that does not exist or is not a number, and then sets none."""
        for name, value in wanted.items():
            if name not in self.default_limits or isinstance(value, bool) or not isinstance(value, int | float):
                raise ControlRefused(f"no such limit, or no number: {name} = {value}; there are {', '.join(self.default_limits)}")
        self.limits.update({name: value for name, value in wanted.items() if isinstance(value, int | float)})

    def add_faults(self, documents: object) -> None:
        """Add one fault or a list of them. Raises ControlRefused for an unknown kind or key."""
        for document in documents if isinstance(documents, list) else [documents]:
            if not isinstance(document, dict) or document.get("kind") not in get_args(Kind):
                raise ControlRefused(f"a fault needs a kind of {', '.join(get_args(Kind))}")
            try:
                self.faults.append(Fault(**{"route": "*", **document}))
            except TypeError as problem:
                raise ControlRefused(f"not a fault: {problem}") from problem

    def strike(self, name: str, path: str) -> Fault | None:
        """The first fault that strikes this request; its count and skip are spent."""
        for fault in self.faults:
            if (fault.count is not None and fault.count <= 0) or not fault.concerns(name, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.chance < 1.0 and self._random.random() >= fault.chance:
                continue
            if fault.count is not None:
                fault.count -= 1
            fault.struck += 1
            return fault
        return None

    def note(self, *, method: str, route: str, path: str, query: str, headers: Mapping[str, str], body: Any) -> Seen:
        """Write a request into the log and count it."""
        self._requests += 1
        seen = Seen(self._requests, self.now(), method, route, path, query, dict(headers), body)
        self.log.append(seen)
        self.counts[f"{method} {route}"] += 1
        return seen


def _position(value: object) -> str:
    """A switch's position from JSON: booleans are yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def route_name(path: str, base: str) -> str:
    """The name of a route: without the base and without convertors."""
    shortened = path[len(base) :] if base and path.startswith(base) else path
    return re.sub(r":\w+\}", "}", shortened) or "/"


async def read_json(request: Request) -> Any:
    """The body of a control request; an empty one is an empty object. Raises ControlRefused for anything but JSON."""
    content = await request.body()
    if not content.strip():
        return {}
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise ControlRefused(f"not JSON: {problem}") from problem


def guarded(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A control endpoint whose ControlRefused is answered 400. The endpoint is a coroutine function that returns a document."""

    async def answer(request: Request) -> Response:
        try:
            return Json(await endpoint(request))
        except ControlRefused as refusal:
            return Json({"message": str(refusal)}, status_code=400)

    return answer


def control_routes(
    control: Control,
    *,
    reset: Callable[[Document], object],
    state: Callable[[], object],
    seed: Callable[[Document], object],
) -> list[Route]:
    """The routes under `/_control/` that both simulators have. Each answers JSON; a mistake is a 400 with a message.

    `reset` empties the simulator with the options given (Control is restored before it is called); `state` returns every
    record; `seed` adds invented records and returns what it added. All three may raise ControlRefused.
    """
    doors = _Doors(control=control, reset=reset, state=state, seed=seed)
    return [
        Route("/_control/reset", guarded(doors.do_reset), methods=["POST"]),
        Route("/_control/state", guarded(doors.do_state), methods=["GET"]),
        Route("/_control/seed", guarded(doors.do_seed), methods=["POST"]),
        Route("/_control/requests", guarded(doors.requests), methods=["GET", "DELETE"]),
        Route("/_control/counts", guarded(doors.counts), methods=["GET"]),
        Route("/_control/faults", guarded(doors.faults), methods=["GET", "POST", "DELETE"]),
        Route("/_control/switches", guarded(doors.switches), methods=["GET", "POST"]),
        Route("/_control/limits", guarded(doors.limits), methods=["GET", "POST"]),
        Route("/_control/clock", guarded(doors.clock), methods=["GET", "POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Doors:
    """The endpoints of `control_routes`."""

    control: Control
    reset: Callable[[Document], object]
    state: Callable[[], object]
    seed: Callable[[Document], object]

    async def do_reset(self, request: Request) -> object:
        options = await read_json(request)
        self.control.restore()
        return {"reset": self.reset(options)}

    async def do_state(self, _request: Request) -> object:
        return self.state()

    async def do_seed(self, request: Request) -> object:
        return self.seed(await read_json(request))

    async def requests(self, request: Request) -> object:
        if request.method == "DELETE":
            self.control.forget()
            return {"requests": []}
        since = int(request.query_params.get("since", "0"))
        return {"requests": [seen.document() for seen in self.control.log if seen.n > since]}

    async def counts(self, _request: Request) -> object:
        return dict(self.control.counts)

    async def faults(self, request: Request) -> object:
        if request.method == "DELETE":
            self.control.faults.clear()
        elif request.method == "POST":
            self.control.add_faults(await read_json(request))
        return {"faults": [fault.document() for fault in self.control.faults]}

    async def switches(self, request: Request) -> object:
        if request.method == "POST":
            self.control.set_switches(await read_json(request))
        table = self.control.table.values()
        rows = {s.name: {"positions": s.positions, "section": s.section, "meaning": s.meaning} for s in table}
        return {"switches": self.control.switches, "table": rows}

    async def limits(self, request: Request) -> object:
        if request.method == "POST":
            self.control.set_limits(await read_json(request))
        return {"limits": self.control.limits}

    async def clock(self, request: Request) -> object:
        if request.method == "POST":
            self.control.advance(float((await read_json(request)).get("advance", 0)))
        return {"now": self.control.now()}
