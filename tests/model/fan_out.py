# ruff: noqa: C901 - the steps of each run are told in one place
"""Fan-out: a person whose eligibility is judged from its organisation.

The organisation is in (`i`) or out (`o`) by its own tags in Capsule; its person is in when it is. Capsule sends events of
the organisation alone. Rules borne out:

- The organisation's run compares what it read with the ledger entry as it was before the run, and opens the person before
  `done`; so a kill between the two, a hand-back, or a lost lease makes the next run do it again.
- A person is judged from Capsule's organisation. If that differs from the organisation's ledger entry (or the organisation
  is in, and has none: its company is missing), the person's run opens the organisation and hands itself back, spending
  nothing. Else in, out, in again between two runs of the organisation would leave a person that was judged in between:
  the organisation's run finds nothing changed, and nobody looks at the person again.
- A person never waits for an organisation that is closed with a letter: it is held (done without a write). The
  organisation's run that closes a letter opens its people, whether or not anything changed. While the organisation is open
  the person waits, letter or not: that run may already have opened it, and nobody would a second time.

Writes are atomic here (`world.py` has the ones that are not), bells are left out, and a hand-back of the person falls due
when the organisation is closed, or sooner at a cost: the wait is long against a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.search import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.search import Key, Step

DEAD = -1


class Slot(NamedTuple):
    """A record's place in the agenda: None, ready, due, lease. `newer`: opened since `take`."""

    place: str | None = None
    holder: int | None = None
    newer: bool = False


class Run(NamedTuple):
    """`who`: O or P. `ver`: what was read of the organisation. `ledger`: its ledger entry, and whether it has a letter."""

    who: str
    phase: str = "taken"
    ver: str | None = None
    ledger: tuple[str | None, bool] | None = None
    doubt: bool = False
    wrote: bool = False


class State(NamedTuple):
    """`cap`: index of Capsule's version. `down`, `led`, `intent`, `letter`: the organisation's. `member`: its person."""

    cap: int
    wire: int
    down: str | None
    led: str | None
    intent: bool
    letter: bool
    member: str | None
    held: bool
    o: Slot
    p: Slot
    ws: tuple[Run | None, ...]
    edits: int
    visits: int
    crash: int
    slow: int
    fail: int
    bury: int
    early: int


class FanOut:
    """The machine; see the module. `fresh`: the organisation was never seen, so its company is missing."""

    def __init__(self, name: str, *, content: str, fresh: bool = False, **budget: int) -> None:
        self.name, self.content = name, content
        known = None if fresh else content[0]
        nothing = dict.fromkeys(("crash", "slow", "fail", "bury", "early"), 0)
        self._first = State(
            cap=0, wire=0, down=known, led=known, intent=False, letter=False, member=known, held=False, o=Slot(), p=Slot(),
            ws=(None, None), edits=len(content) - 1, visits=1, **nothing | budget,
        )  # fmt: skip

    def start(self) -> Key:
        return self._first

    def judge(self, key: Key) -> str | None:
        s = State(*key)
        if s.o.place or s.p.place:
            return f"still open: organisation {s.o.place}, person {s.p.place}"
        if s.letter:
            return None
        want = self.content[s.cap]
        if (s.down or "o") != want or (s.led or "o") != want:
            return f"the organisation is {want} in Capsule, {s.led} in the ledger and {s.down} downstream"
        if s.held:
            return "the person is held for a letter that is closed"
        if (s.member or "o") != want:
            return f"the organisation is {want}, its person stays {s.member}, and nothing will repair it"
        return None

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        s = State(*key)
        out: list[Step] = []

        def step(label: str, after: State, *, costs: str | None = None) -> None:
            if costs is None:
                out.append((label, True, _alike(after)))
            elif getattr(s, costs):
                out.append((label, False, _alike(after._replace(**{costs: getattr(s, costs) - 1}))))

        step("the organisation changes", s._replace(cap=s.cap + 1, wire=s.wire + 1), costs="edits")
        step("event of the person", _open(s, "p"), costs="visits")
        if s.wire:
            step("event of the organisation", _open(s, "o")._replace(wire=s.wire - 1))
        for x, slot in (("o", s.o), ("p", s.p)):
            if slot.place == "lease":
                expired = _put(s, x, Slot("ready"))
                step(f"sweep: lease of {x} ran out", expired, costs=None if slot.holder == DEAD else "slow")
            elif slot.place == "due":
                wait = x == "p" and s.o.place is not None
                step(f"sweep: {x} is due", _put(s, x, Slot("ready")), costs="early" if wait else None)
            elif slot.place == "ready" and None in s.ws:
                i = s.ws.index(None)
                begun = Run("o", ledger=(s.led, s.letter), doubt=s.intent) if x == "o" else Run("p")
                step(f"worker {i} takes {x}", _run(_put(s, x, Slot("lease", i)), i, begun))
        for i, run in enumerate(s.ws):
            if run is None:
                continue

            def step_of(label: str, after: State, *, costs: str | None = None, i: int = i, run: Run = run) -> None:
                step(f"worker {i}, {run.who}: {label}", after, costs=costs)

            if run.who == "o":
                self._organisation(s, i, run, off, step_of)
            else:
                self._person(s, i, run, off, step_of)
            slot = _slot(s, run.who)
            dead = _put(s, run.who, slot._replace(holder=DEAD)) if slot.holder == i else s
            step_of("killed", _run(dead, i, None), costs="crash")
            if run.phase != "late":
                back = _later(s, run.who, i)
                if run.wrote:
                    back = back._replace(intent=True) if slot.holder == i else _refused(s)
                step_of("fails: later", _run(back, i, None), costs="fail")
        return out

    def _organisation(self, s: State, i: int, run: Run, off: frozenset[str], step: Callable[..., None]) -> None:
        """Taken -> read -> written -> fanned -> end."""
        mine = s.o.holder == i
        before, had_letter = run.ledger or (None, False)
        if run.phase == "taken":
            step("reads Capsule", _run(s, i, run._replace(phase="read", ver=self.content[s.cap])))
        elif run.phase == "read":
            have = s.down if run.doubt or before is None else before
            if (have or "o") == run.ver:
                step("finds nothing to write", _run(s, i, run._replace(phase="written")))
            elif mine:
                after = s._replace(down=run.ver, intent=True)
                step("holds and writes", _run(after, i, run._replace(phase="written", wrote=True)))
            else:
                step("is refused by hold", _run(s, i, None))
            if s.bury:
                buried = _later(s, "o", i)
                if mine and buried.o.place == "due":
                    buried = _put(buried, "o", Slot())._replace(letter=True)
                step("bury", _run(buried, i, None), costs="bury")
        elif run.phase == "written" and "fanout_before_done" in off:
            step("done", self._done(s, i, run, Run("o", "late", run.ver, run.ledger, wrote=run.wrote)))
        elif run.phase in ("written", "late"):
            needed = run.wrote if "fanout_repeats" in off else run.ver != (before or "o")
            needed = needed or (had_letter and "fanout_letter" not in off)
            after = _run(s, i, run._replace(phase="fanned") if run.phase == "written" else None)
            step("opens its person" if needed else "need open nobody", _open(after, "p") if needed else after)
        else:
            step("done", self._done(s, i, run, None))

    def _done(self, s: State, i: int, run: Run, then: Run | None) -> State:
        s = _run(s, i, then)
        if s.o.holder != i:
            return _refused(s) if run.wrote else s
        return _put(s, "o", Slot("ready") if s.o.newer else Slot())._replace(led=run.ver, intent=False, letter=False)

    def _person(self, s: State, i: int, run: Run, off: frozenset[str], step: Callable[..., None]) -> None:
        """Taken -> both read, in either order -> commit, or: open the organisation -> later."""
        mine = s.p.holder == i
        if run.phase == "opened":
            # Nothing is spent, so an event that came meanwhile waits too; it falls due all the same.
            step("later", _run(_put(s, "p", Slot("due")) if mine else s, i, None))
            return
        if run.ver is None:
            step("reads Capsule's organisation", _run(s, i, run._replace(ver=self.content[s.cap])))
        if run.ledger is None:
            dead = s.letter and (s.o.place is None or "held_closed" in off)  # in one call, or the place first
            step("reads the organisation's ledger entry", _run(s, i, run._replace(ledger=(s.led, dead))))
        if run.ver is None or run.ledger is None:
            return
        led, letter = run.ledger
        ver = (led or "o") if "fanout_judge" in off else run.ver
        missing, differs = led is None and ver == "i", led is not None and ver != led
        wait = (missing and "company_first" not in off) or (differs and "fanout_agree" not in off)
        if wait and not letter:
            step("opens its organisation", _run(_open(s, "o"), i, run._replace(phase="opened")))
        elif not mine:
            step("is refused", _run(s, i, None))
        else:
            if not wait and ver == "i" and s.down is None:
                raise Violation("a person was created before its company", f"worker {i} writes the person")
            after = _put(s, "p", Slot("ready") if s.p.newer else Slot())
            after = after._replace(held=True) if wait else after._replace(held=False, member=ver)
            step("holds it, done" if wait else "writes, done", _run(after, i, None))


def _slot(s: State, x: str) -> Slot:
    return s.o if x == "o" else s.p


def _put(s: State, x: str, slot: Slot) -> State:
    return s._replace(o=slot) if x == "o" else s._replace(p=slot)


def _run(s: State, i: int, run: Run | None) -> State:
    return s._replace(ws=(*s.ws[:i], run, *s.ws[i + 1 :]))


def _alike(s: State) -> State:
    """Workers are alike: of two states that differ in their order alone, one stands for both."""
    a, b = s.ws
    if b is None or (a is not None and str(a) <= str(b)):
        return s
    renamed = {0: 1, 1: 0}
    o, p = (x._replace(holder=renamed.get(x.holder, x.holder)) if x.holder is not None else x for x in (s.o, s.p))
    return s._replace(ws=(b, a), o=o, p=p)


def _open(s: State, x: str) -> State:
    slot = _slot(s, x)
    return _put(s, x, slot._replace(newer=True) if slot.place == "lease" else Slot("ready"))


def _later(s: State, x: str, i: int) -> State:
    slot = _slot(s, x)
    if slot.holder != i:
        return s
    return _put(s, x, Slot("ready" if slot.newer else "due"))


def _refused(s: State) -> State:
    return _open(s._replace(intent=True), "o")
