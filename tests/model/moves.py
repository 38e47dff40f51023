# ruff: noqa: C901, PLR0912, B023 - a model is a list of small steps; each closure runs before its loop goes on
"""What may happen next in the agenda's model, and how an end is judged.

Receiver, reconcile, people, queue, clock, network, workers and Redis itself have a method each.
A worker goes idle -> taken -> read -> held -> sent -> fin -> idle; a run is
(state, record, token, foreign, version, seq, verb, frozen past the window).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.search import Key, Step, Violation
from tests.model.world import (
    ADM,
    BODY,
    BORN,
    CAP,
    COUNT,
    DOWN,
    ELAPSED,
    INTENT,
    LANES,
    LEASE,
    LED,
    LETTER,
    OPENWIN,
    PLACE,
    REDIS_FIELDS,
    SEQ,
    TOKEN,
    TOP,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Callable

GONE = "gone"


class Scenario:
    """The agenda with some records, workers and versions, and a budget for each fault and outside act."""

    budget_names = (
        *("edit", "redeliver", "crash", "slow", "loss", "double", "fail", "limit", "cut", "bury", "replay", "pause"),
        *("reconcile", "save", "restore", "flush", "stop"),
    )

    def __init__(
        self, name: str, *, records: int = 1, workers: int = 2, content: str = "aba", fresh: bool = False, **budget: int
    ) -> None:
        self.name, self.records, self.workers, self.fresh = name, records, workers, fresh
        self.content = [GONE if c == "-" else c for c in content]
        self.budget = tuple(budget.pop(n, 0) for n in self.budget_names)
        self.restore = any(self.budget[self.budget_names.index(n)] for n in ("restore", "flush"))
        if budget:
            raise ValueError(f"no such fault or act: {', '.join(budget)}")

    def start(self) -> Key:
        first = None if self.fresh else self.content[0]  # fresh: not in Capsule yet
        # CAP DOWN SEQ PLACE LEASE BODY INTENT LED SEEN LETTER ADM COUNT TOP
        record = (0, first, 0, None, None, None, None, first, 0, 0, 0, 0, 0)
        return (0, (0, 0), False, (record,) * self.records, (("idle",),) * self.workers, (), (), None, self.budget, None, False)

    def blank(self) -> Key:
        """Redis with nothing in it: tick, bells, records, ADM, mark of a clean stop."""
        return (0, (0, 0), ((0, None, None, None, None, None, 0, 0),) * self.records, (0,) * self.records, False)

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        moves = Moves(key, self, off)
        moves.outside()
        moves.reconcile()
        moves.people()
        moves.queue()
        moves.clock()
        moves.network()
        for i, run in enumerate(moves.ws):
            moves.worker(i, run)
        if self.restore:
            moves.redis()
        return moves.out

    def judge(self, key: Key) -> str | None:
        for r, rec in enumerate(key[3]):
            if rec[PLACE] is not None:
                return f"record {r} is open ({rec[PLACE]}) and nothing will bring it back"
            if rec[LETTER]:
                if rec[ADM] > rec[LETTER]:
                    return f"an event of record {r} was buried unread"
                continue
            want, have, known = self.content[rec[CAP]], rec[DOWN], rec[LED]
            if have != want and not (want == GONE and have is None):
                return f"record {r}: Capsule has {want!r} (v{rec[CAP]}), downstream has {have!r}, and nothing will repair it"
            if known is not None and known != have and want != GONE:
                return f"record {r}: the ledger says {known!r}, downstream has {have!r}"
        return None


class Moves:
    """Collects the steps from one state."""

    def __init__(self, key: Key, sc: Scenario, off: frozenset[str]) -> None:
        self.key, self.sc, self.off = key, sc, off
        _, self.bells, self.paused, self.recs, self.ws, self.net, self.wire, self.rc, bud, self.saved, _ = key
        self.left = dict(zip(sc.budget_names, bud, strict=True))
        self.out: list[Step] = []

    def step(self, label: str, act: Callable[[World], object], *, costs: str | None = None, fair: bool | None = None) -> None:
        """One step. It is fair unless it costs some of a budget, or `fair` says otherwise."""
        w = World(self.key, self.sc, self.off)
        if costs:
            w.spend(costs)
        try:
            act(w)
        except Violation as violation:
            raise Violation(violation.text, label) from None
        self.out.append((label, costs is None if fair is None else fair, w.freeze()))

    def outside(self) -> None:
        """Edits in Capsule; deliveries in any order, and twice."""
        for r, rec in enumerate(self.recs):
            if self.left["edit"] and rec[CAP] + 1 < len(self.sc.content):

                def edit(w: World) -> None:
                    w.recs[r][CAP] += 1
                    w.wire.append((r, w.recs[r][CAP]))

                self.step(f"edit {r}", edit, costs="edit")
        for e in sorted(set(self.wire)):

            def deliver(w: World) -> None:
                w.open(e[0], "live", event=True)

            def deliver_last(w: World) -> None:
                w.wire.remove(e)
                deliver(w)

            self.step(f"deliver {e}", deliver_last)
            if self.left["redeliver"]:
                self.step(f"deliver {e} (kept for a second delivery)", deliver, costs="redeliver")

    def reconcile(self) -> None:
        """Mark, read, open with what was read."""
        rc = self.rc
        if rc is None:
            for r in range(len(self.recs)) if self.left["reconcile"] else ():

                def mark(w: World) -> None:
                    w.rc = ("marked", r, w.next_tick())

                self.step(f"reconcile marks {r}", mark, costs="reconcile")
        elif rc[0] == "marked":

            def read(w: World) -> None:
                rec = w.recs[rc[1]]
                w.rc = ("read", rc[1], rc[2], rec[CAP], rec[COUNT], False)

            self.step("reconcile reads", read)
        elif rc[0] == "read":

            def admit(w: World) -> None:
                _, r, mark, ver, adm, restarted = rc
                w.rc = ("restart",) if restarted else None
                if w.recs[r][LED] != self.sc.content[ver] or w.recs[r][INTENT] not in (None, BORN):
                    w.open(r, "bulk", event=False, body=(ver, adm), mark=mark)

            self.step("reconcile opens", admit)
        else:

            def restarted(w: World) -> None:
                w.rc = None
                for r, rec in enumerate(w.recs):
                    if w.on("restart_doubt"):
                        w.open(r, "bulk", event=True, doubt=True)
                    elif rec[LED] != self.sc.content[rec[CAP]]:
                        w.open(r, "bulk", event=True)

            self.step("reconcile after a restart of Redis", restarted)

    def people(self) -> None:
        if self.left["pause"] and not self.paused:
            self.step("pause", lambda w: setattr(w, "paused", True), costs="pause")
        if self.paused:
            self.step("resume", lambda w: setattr(w, "paused", False))
        for r, rec in enumerate(self.recs):
            if rec[LETTER] and rec[PLACE] is None and self.left["replay"]:
                self.step(f"replay {r}", lambda w: w.open(r, "live", event=True, doubt=True), costs="replay")
        if self.left["stop"] and self.rc is None and all(run[0] == "idle" for run in self.ws):
            # Everything stops cleanly and starts again; Redis has kept all. The mark of it is taken away before work begins.
            self.step("clean stop, start", lambda w: setattr(w, "mark", not w.on("clean_stop")), costs="stop")

    def queue(self) -> None:
        """The queue loses or doubles a message."""
        for k, lane in enumerate(LANES):
            for costs, text, by in ("loss", "lost", -1), ("double", "doubled", 1):
                if self.bells[k] and self.left[costs]:

                    def change(w: World) -> None:
                        w.bells[k] += by

                    self.step(f"a {lane} message is {text}", change, costs=costs)

    def clock(self) -> None:
        """The sweep; and time, which ends stray windows."""
        for k, lane in enumerate(LANES):
            n = sum(rec[PLACE] == lane for rec in self.recs)
            if n > self.bells[k] and "topup" not in self.off:

                def topup(w: World) -> None:
                    w.bells[k] = n

                self.step(f"sweep: bells {lane}", topup)
        for r, rec in enumerate(self.recs):

            def again(w: World) -> None:
                w.ready(w.recs[r], "live")

            if rec[PLACE] == "lease" and rec[LEASE]:
                dead = rec[LEASE][TOKEN][0] < 0

                def expire(w: World) -> None:
                    w.end_run(w.recs[r])
                    again(w)

                if dead and "expiry" not in self.off:
                    self.step(f"sweep: lease of {r} ran out (dead worker)", expire)
                elif not dead and self.left["slow"]:
                    self.step(f"sweep: lease of {r} ran out (slow worker)", expire, costs="slow")
            if "due" not in self.off and (rec[PLACE] == "due" or (rec[PLACE] == "look" and rec[INTENT] == ELAPSED)):
                self.step(f"sweep: {r} is due", again)
            if rec[PLACE] == "parked" and not self.paused and "unpark" not in self.off:
                self.step(f"sweep: unpark {r}", again)
            if rec[INTENT] in (OPENWIN, BORN) and not any(x[0] == r for x in self.net):
                self._elapse(r, rec)

    def _elapse(self, r: int, rec: Key) -> None:
        frozen = [run for run in self.ws if run[0] == "held" and run[1] == r and not run[7]]  # between hold and sending
        free = all(rec[LEASE] is None or rec[LEASE][TOKEN] != run[2] for run in frozen)  # slow already: paid for

        def elapse(w: World) -> None:
            w.recs[r][INTENT] = ELAPSED if w.recs[r][INTENT] == OPENWIN else None
            w.ws = [(*run[:7], True) if run[0] == "held" and run[1] == r else run for run in w.ws]

        if free or self.left["slow"]:
            text = f"stray window of {r} passes{', a worker frozen before its write' if frozen else ''}"
            self.step(text, elapse, costs=None if free else "slow", fair=not frozen)

    def network(self) -> None:
        """Writes under way land, vanish, or outlast the patience of their worker."""
        for x in sorted(set(self.net)):
            r, verb, ver, owner = x

            def apply(w: World) -> None:
                w.net.remove(x)
                rec = w.recs[r]
                if verb == "POST" and rec[DOWN] is not None:
                    raise Violation("a duplicate was created downstream")
                rec[DOWN] = self.sc.content[ver]

            def become(w: World, state: str) -> None:
                if owner >= 0:
                    w.ws[owner] = (state, *w.ws[owner][1:])

            def land(w: World) -> None:
                apply(w)
                become(w, "fin")

            def lose_answer(w: World) -> None:
                apply(w)
                become(w, "amb")

            def give_up(w: World) -> None:  # the worker's deadline passes; the request may still be on its way
                w.net.remove(x)
                w.net.append((*x[:3], -1))
                become(w, "amb")

            self.step(f"{verb} v{ver} of {r} lands", land)
            if owner < 0:
                self.step(f"{verb} v{ver} of {r} vanishes", lambda w: w.net.remove(x))
            elif self.left["cut"]:
                self.step(f"worker {owner} gives up waiting", give_up, costs="cut")
                self.step(f"{verb} v{ver} of {r} lands, answer lost", lose_answer, costs="cut")

    def worker(self, i: int, run: Key) -> None:
        if run[0] in ("idle", "early"):
            if run[0] != "idle" or not any(before[0] == "idle" for before in self.ws[:i]):  # idle workers are alike
                self._bell(i, run)
            return
        state, r, token, _, ver, seq, verb, late = run
        if state == "taken":
            self.step(f"worker {i} reads {r}{' from its snapshot' if ver >= 0 else ''}", lambda w: self._read(w, i, run))
        elif state == "read":
            self.step(f"worker {i} plans {r}, asks hold", lambda w: self._plan(w, i, run))
        elif state == "held":
            if late and "deadline" not in self.off:  # its own clock says that the lease is over: it does not send
                self._end(i, f"worker {i} is too late to send", lambda w: w.later(r, token, touched=False))
            if not (late and verb == "POST" and "deadline" not in self.off):
                # Left out, a residual stated in the protocol: frozen between that look and the POST.
                self.step(f"worker {i} sends {verb} v{ver} of {r}", lambda w: self._send(w, i, run))
        elif state in ("fin", "nothing"):
            self._end(i, f"worker {i} done {r}", lambda w: w.done(r, token, ver, wrote=state == "fin", seq=seq))
        elif state == "amb":
            text = f"worker {i} does not know whether its write arrived: later"
            self._end(i, text, lambda w: w.later(r, token, touched=True))
        if state in ("taken", "read", "held"):
            for costs, text, spend in ("fail", "fails on", True), ("limit", "is told to wait with", False):
                if self.left[costs]:  # before the write, or it was answered that it had no effect

                    def back(w: World) -> None:
                        unused = ver if state == "taken" and ver >= 0 and not spend else None
                        w.later(r, token, touched=False, spend=spend, keep=unused)

                    self._end(i, f"worker {i} {text} {r} ({state}): later", back, costs)
            if self.left["bury"]:
                self._end(i, f"worker {i} buries {r} ({state})", lambda w: w.bury(r, token), "bury")
        if self.left["crash"] and not late:
            # Left out, a residual stated in the protocol: frozen past the stray window before sending, and then killed.
            def crash(w: World) -> None:
                for rec in w.recs:
                    if rec[LEASE] and rec[LEASE][TOKEN][0] == i:
                        rec[LEASE] = ((-1, rec[LEASE][TOKEN][1]), *rec[LEASE][1:])
                w.net = [x if x[3] != i else (*x[:3], -1) for x in w.net]

            self._end(i, f"worker {i} is killed", crash, "crash")

    def _end(self, i: int, label: str, act: Callable[[World], object], costs: str | None = None) -> None:
        """A step after which the worker is idle."""

        def end(w: World) -> None:
            w.ws[i] = ("idle",)
            act(w)

        self.step(label, end, costs=costs)

    def _bell(self, i: int, run: Key) -> None:
        if run[0] == "idle" and "read_after_take" in self.off:
            if any(self.bells):  # joins a read that is under way, before it knows its record

                def early(w: World) -> None:
                    w.ws[i] = ("early", tuple(rec[CAP] for rec in w.recs), None)

                self.step(f"worker {i} joins a read under way", early)
            return
        for k, lane in enumerate(LANES):

            def take(w: World) -> None:
                w.bells[k] -= 1
                got = w.take(i, lane)
                caps, w.ws[i] = w.ws[i][1:2], ("idle",)
                if got:
                    r, token, foreign, body = got
                    ver = body[0] if body else caps[0][r] if caps else -1
                    w.ws[i] = ("taken", r, token, foreign, ver, w.recs[r][SEQ], "", False)

            if self.bells[k]:
                self.step(f"worker {i} takes on a {lane} bell", take)

    def _read(self, w: World, i: int, run: Key) -> None:
        _, r, token, foreign, ver, seq, verb, late = run
        w.ws[i] = ("read", r, token, foreign, ver if ver >= 0 else w.recs[r][CAP], seq, verb, late)

    def _plan(self, w: World, i: int, run: Key) -> None:
        _, r, token, foreign, ver, seq, verb, late = run
        rec, want = w.recs[r], self.sc.content[ver]
        have = rec[LED] if rec[LED] is not None and not foreign else rec[DOWN]  # else: read back or search
        if have == want or (have is None and want == GONE):
            w.ws[i] = ("nothing", r, token, foreign, ver, seq, verb, late)
            return
        verb = "PUT" if rec[DOWN] is not None else "POST"
        w.ws[i] = ("idle",)
        if verb == "POST" and foreign == OPENWIN and w.on("create_wait"):
            w.later(r, token, touched=False, place="look", spend=False)
        elif w.hold(r, token):
            w.ws[i] = ("held", r, token, foreign, ver, seq, verb, late)

    def _send(self, w: World, i: int, run: Key) -> None:
        _, r, token, _, ver, _, verb, _ = run
        rec = w.recs[r]
        if w.owns(rec, token):
            if ver < rec[TOP]:
                raise Violation("an older version was written over a newer one by the holder of the lease")
            rec[TOP] = ver
        w.net.append((r, verb, ver, i))
        w.ws[i] = ("sent", *run[1:])

    def redis(self) -> None:
        """Redis comes back with older data, or empty."""
        if self.left["save"]:

            def save(w: World) -> None:
                data = tuple(tuple(rec[f] for f in REDIS_FIELDS) for rec in w.recs)
                w.saved = (w.tick, tuple(w.bells), data, tuple(rec[ADM] for rec in w.recs), w.mark)

            self.step("(last moment that reached the disk)", save, costs="save")
        for name, state in (("restore", self.saved), ("flush", self.sc.blank())):
            if self.left[name] and state is not None:
                self.step(f"Redis: {name}", lambda w: self._restore(w, state), costs=name)

    def _restore(self, w: World, state: Key) -> None:
        old, bells, data, adms, w.mark = state
        w.tick = w.tick + 1 if w.on("tick") else old
        w.bells = list(bells)
        running = [run[2] for run in w.ws if run[0] != "idle"]
        for rec, values, adm in zip(w.recs, data, adms, strict=True):
            for f, v in zip(REDIS_FIELDS, values, strict=True):
                rec[f] = v
            if rec[LEASE] and rec[LEASE][TOKEN] not in running:
                rec[LEASE] = ((-1, rec[LEASE][TOKEN][1]), *rec[LEASE][1:])
            rec[TOP], rec[ADM] = 0, adm
            if w.on("born") and not w.mark:  # notes of writes may be lost: for one window every run counts as begun in one
                was = rec[INTENT]
                w.doubt(rec)
                rec[INTENT] = OPENWIN if was else BORN
            if rec[BODY]:
                rec[BODY] = (rec[BODY][0], rec[COUNT])
        # The promise to the lost events is void; the reconcile that follows a restart finds their records.
        rc, w.rc = w.rc, ("restart",)
        if rc and rc[0] == "read":
            w.rc = (*rc[:4], w.recs[rc[1]][COUNT], True)
