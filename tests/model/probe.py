# ruff: noqa: C901, PLR0912 - the steps of a worker are told in one place
"""The breaker: while the other side is away, one run per interval looks whether it is back.

Redis holds, for a paused connection, who paused it (`breaker` or `person`) and the record of the probe. The sweep moves
one parked record of a connection that the breaker paused to its lane and notes it as the probe; `take` lets that record
through and no other; the end of its run, or the expiry of its lease, clears the note, and only then may the sweep choose
the next. A run that was let through and succeeds resumes the connection; a failure pauses it again and, if it found the
connection paused, spends no attempt. Both change only what the breaker itself has paused: a person's pause stays.

`done` and the resume are two steps here, and so are the pause and `later`: a worker may be killed between them. One
failure opens this breaker; the third attempt spent would be a letter, which no outage may cause. While the other side is
away probes cost a budget, so that a state is final only when it is back.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.model.search import Key, Step, Violation

MOST_ATTEMPTS = 3


class Rec(NamedTuple):
    """`place`: ready, due, parked, lease or None. `holder`: the worker, -1 if it died. `newer`: an event came during the run."""

    place: str | None = None
    holder: int = -1
    attempts: int = 0
    newer: bool = False


class Run(NamedTuple):
    """`phase`: run, done (not yet reported), failed (paused, not yet handed back). `probe`: let through while paused."""

    r: int
    phase: str = "run"
    probe: bool = False
    spends: bool = False


class State(NamedTuple):
    """`mode`: None, breaker or person. `note`: the record of the probe. `granted`: ghost, may a probe start?"""

    mode: str | None
    note: int | None
    granted: bool
    away: bool
    recs: tuple[Rec, ...]
    ws: tuple[Run | None, ...]
    outages: int
    probes: int
    events: int
    kills: int
    pauses: int


class Probe:
    """The machine; see the module."""

    def __init__(self, name: str = "probe", *, records: int = 2, workers: int = 2, probes: int = 2, events: int = 1) -> None:
        self.name = name
        recs, ws = (Rec("ready"),) * records, (None,) * workers
        self._first = State(
            None, None, granted=False, away=False, recs=recs, ws=ws, outages=1, probes=probes, events=events, kills=1, pauses=1
        )

    def start(self) -> Key:
        return self._first

    def judge(self, key: Key) -> str | None:
        s = State(*key)
        for r, rec in enumerate(s.recs):
            if rec.place is not None:
                return f"the other side is back, and record {r} is still {rec.place}"
        return None

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        s = State(*key)
        out: list[Step] = []

        def step(label: str, after: State, *, fair: bool = True) -> None:
            out.append((label, fair, after))

        for r, rec in enumerate(s.recs):
            if s.events:
                step(f"event for {r}", _event(s, r)._replace(events=s.events - 1), fair=False)
            if rec.place == "due":
                step(f"sweep: {r} is due", _ready(s, r))
            if rec.place == "parked" and s.mode is None:
                step(f"sweep: unpark {r}", _ready(s, r))
            if rec.place == "lease" and rec.holder < 0:
                step(f"sweep: lease of {r} ran out", _ready(_end_run(s, r), r))
            if rec.place == "parked" and s.mode == "breaker" and s.note is None and "probe" not in off:
                probed = _put(s._replace(note=r, granted=True), r, rec._replace(place="ready"))
                if not s.away:
                    step(f"sweep: {r} is the probe", probed)
                elif s.probes:
                    step(f"sweep: {r} is the probe, in vain", probed._replace(probes=s.probes - 1), fair=False)
        if s.outages:
            step("the other side goes away", s._replace(away=True, outages=s.outages - 1), fair=False)
        if s.away:
            step("the other side is back", s._replace(away=False))
        if s.pauses and s.mode != "person":
            step("a person pauses", s._replace(mode="person", note=None, granted=False, pauses=s.pauses - 1), fair=False)
        if s.mode == "person":
            step("the person resumes", s._replace(mode=None))
        for i, run in enumerate(s.ws):
            if run is None:
                if i == 0 or s.ws[i - 1] is not None:  # idle workers are alike
                    for r, rec in enumerate(s.recs):
                        if rec.place == "ready":
                            step(f"worker {i} takes {r}", _take(s, i, r, off))
                continue
            label = f"worker {i} {run.phase} {run.r}"
            try:
                step(label, _work(s, i, run, off))
            except Violation as violation:
                raise Violation(violation.text, label) from None
            if s.kills:
                rec = s.recs[run.r]
                killed = _put(s, run.r, rec._replace(holder=-1)) if rec.place == "lease" and rec.holder == i else s
                step(f"worker {i} is killed", _idle(killed, i)._replace(kills=s.kills - 1), fair=False)
        return out


def _put(s: State, r: int, rec: Rec) -> State:
    return s._replace(recs=(*s.recs[:r], rec, *s.recs[r + 1 :]))


def _run(s: State, i: int, run: Run | None) -> State:
    return s._replace(ws=(*s.ws[:i], run, *s.ws[i + 1 :]))


def _idle(s: State, i: int) -> State:
    return _run(s, i, None)


def _ready(s: State, r: int) -> State:
    return _put(s, r, s.recs[r]._replace(place="parked" if s.mode else "ready"))


def _event(s: State, r: int) -> State:
    rec = s.recs[r]._replace(attempts=0, newer=s.recs[r].place == "lease")
    s = _put(s, r, rec)
    return _ready(s, r) if rec.place in (None, "due") else s


def _end_run(s: State, r: int) -> State:
    s = _put(s, r, s.recs[r]._replace(holder=-1, newer=False))
    return s._replace(note=None) if s.note == r else s


def _take(s: State, i: int, r: int, off: frozenset[str]) -> State:
    rec = s.recs[r]
    if s.mode is not None:
        through = s.mode == "breaker" and (s.note == r or (s.note is not None and "probe_one" in off))
        if not through:
            return _put(s, r, rec._replace(place="parked"))
        if not s.granted:
            raise Violation("two runs of a paused connection were started on one probe", f"worker {i} takes {r}")
    probe = s.mode is not None
    s = _put(s, r, rec._replace(place="lease", holder=i))
    return _run(s._replace(granted=False), i, Run(r, "run", probe=probe))


def _work(s: State, i: int, run: Run, off: frozenset[str]) -> State:
    """The next step of a run. The call downstream succeeds if the other side is there."""
    r = run.r
    if run.phase == "run" and not s.away:  # done
        newer = s.recs[r].newer
        s = _put(_end_run(s, r), r, Rec())
        s = _ready(s, r) if newer else s
        return _run(s, i, run._replace(phase="done") if run.probe else None)
    if run.phase == "done":  # the success is reported: resume
        if s.mode == "person":
            _overrules(off)
        return _idle(s._replace(mode=None, note=None, granted=False) if s.mode == "breaker" else s, i)
    if run.phase == "run":  # the failure is reported: pause
        spends = s.mode is None or "probe_spend" in off
        if s.mode == "person":
            _overrules(off)
        return _run(s._replace(mode=s.mode or "breaker"), i, run._replace(phase="failed", spends=spends))
    rec = s.recs[r]  # failed: later
    s = _end_run(s, r)
    if rec.newer:
        return _idle(_ready(_put(s, r, Rec()), r), i)
    if rec.attempts + run.spends >= MOST_ATTEMPTS:
        raise Violation("an outage buried a record")
    return _idle(_put(s, r, Rec("due", -1, rec.attempts + run.spends)), i)


def _overrules(off: frozenset[str]) -> None:
    if "probe_own" in off:
        raise Violation("the breaker changed what a person had paused")
