"""One state of the agenda's model, thawed for change, and the scripts of the protocol as steps upon it.

A record is a list. CAP and DOWN are the two outside systems, as a version (an index into the scenario's content) and a
value. SEQ to LETTER are Redis. ADM (seq of the newest event), COUNT (events admitted) and TOP (newest version written
by a holder of the lease) are ghosts: only checks look at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.model.search import Key, Violation

if TYPE_CHECKING:
    from tests.model.moves import Scenario

(CAP, DOWN, SEQ, PLACE, LEASE, BODY, INTENT, LED, SEEN, LETTER, ADM, COUNT, TOP) = range(13)
REDIS_FIELDS = (SEQ, PLACE, LEASE, BODY, INTENT, LED, SEEN, LETTER)
OPENWIN, ELAPSED = "open", "elapsed"  # of an intent: a stray write may still land / can no longer land
BORN = "born"  # no intent, but Redis restarted less than a stray window ago
LANES = ("live", "bulk")
TOKEN, AT, FOREIGN, OWN = range(4)  # of a lease: token, seq at take, another's intent, has this run noted its own?
MOST_BELLS = 4  # more bells than this are like this many

Record = list[Any]


class World:
    """One state, thawed for change. `freeze` gives the hashable form."""

    __slots__ = ("bells", "bud", "mark", "net", "off", "paused", "rc", "recs", "saved", "sc", "tick", "wire", "ws")

    def __init__(self, key: Key, sc: Scenario, off: frozenset[str]) -> None:
        bells, recs, ws, net, wire, bud = key[1], key[3], key[4], key[5], key[6], key[8]
        self.tick: int = key[0]
        self.bells: list[int] = list(bells)
        self.paused: bool = key[2]
        self.recs: list[Record] = [list(x) for x in recs]
        self.ws: list[Key] = list(ws)
        self.net: list[Key] = list(net)  # writes under way: record, verb, version, worker (or -1: nobody waits for it)
        self.wire: list[Key] = list(wire)  # deliveries under way
        self.rc: Key | None = key[7]
        self.bud: list[int] = list(bud)
        self.saved: Key | None = key[9]
        self.mark: bool = key[10]  # the data says that it was stopped cleanly
        self.sc, self.off = sc, off

    def freeze(self) -> Key:
        return (
            self.tick,
            tuple(self.bells),
            self.paused,
            tuple(map(tuple, self.recs)),
            tuple(self.ws),
            tuple(sorted(self.net)),
            tuple(sorted(self.wire)),
            self.rc,
            tuple(self.bud),
            self.saved,
            self.mark,
        )

    def on(self, guard: str) -> bool:
        return guard not in self.off

    def spend(self, what: str) -> None:
        self.bud[self.sc.budget_names.index(what)] -= 1

    # ------------------------------------------------------------ scripts (each is one atomic step in Redis)
    def next_tick(self, rec: Record | None = None) -> int:
        if rec is not None and not self.on("aba"):
            return int(rec[SEQ]) + 1  # a counter per record, forgotten when the record closes
        self.tick += 1
        return self.tick

    def ready(self, rec: Record, lane: str) -> None:
        if self.paused:
            rec[PLACE] = "parked"
        else:
            rec[PLACE] = lane
            k = LANES.index(lane)
            self.bells[k] = min(self.bells[k] + 1, MOST_BELLS)

    def open(  # noqa: C901 - one script, told at once
        self, r: int, lane: str, *, event: bool, body: Key | None = None, mark: int = 0, doubt: bool = False
    ) -> None:
        """`body` is a snapshot read by the reconcile after `mark`; `doubt`: the ledger is not to be trusted."""
        rec = self.recs[r]
        place = rec[PLACE]
        use = body is not None
        if self.on("snap_lease") and place == "lease":
            use = False
        if self.on("snap_mark") and not rec[SEQ] < mark:
            use = False
        if self.on("snap_seen") and not rec[SEEN] < mark:
            use = False
        rec[SEQ] = self.next_tick(rec)
        if use:
            rec[BODY] = body
        elif self.on("snap_drop") or not event:
            rec[BODY] = None
        if doubt:
            rec[INTENT] = self.stay(rec[INTENT])
            if rec[LEASE] is not None:
                self.doubt(rec)
        if event:
            rec[ADM] = rec[SEQ]
            rec[COUNT] += 1
        if place is None:
            self.ready(rec, lane)
        elif lane == "live" and place in ("due", "look", "bulk"):
            self.ready(rec, "live")

    def take(self, i: int, bell: str) -> Key | None:
        """On a bell of either lane `live` comes first; then the bell's own lane."""
        for lane in ("live", "bulk") if bell == "bulk" and self.on("live_first") else (bell,):
            waiting = sorted((x[SEQ], r) for r, x in enumerate(self.recs) if x[PLACE] == lane)
            for _, r in waiting:
                if not self.paused:
                    return self._start(i, r, lane)
                if not self.on("pause"):
                    raise Violation("started while its connection is paused")
                self.recs[r][PLACE] = "parked"
        return None

    def _start(self, i: int, r: int, lane: str) -> Key:
        rec = self.recs[r]
        if lane == "bulk" and any(x[PLACE] == "live" for x in self.recs):
            raise Violation("a bulk record was started while a live one waited")
        if self.sc.restore:
            self.tick += 1
        body, rec[BODY] = rec[BODY], None
        if body is not None and rec[COUNT] != body[1]:
            raise Violation("a snapshot was used although a newer event was admitted")
        rec[PLACE] = "lease"
        token = (i, self.tick if self.sc.restore else 0)
        foreign = OPENWIN if rec[INTENT] == BORN else rec[INTENT]
        rec[LEASE] = (token, rec[SEQ], foreign, False)
        return r, token, foreign, body

    def owns(self, rec: Record, token: Key) -> bool:
        return rec[LEASE] is not None and rec[LEASE][TOKEN] == token

    def hold(self, r: int, token: Key) -> bool:
        """Before a write: is the lease still mine? If so, note the intent."""
        rec = self.recs[r]
        mine = self.owns(rec, token)
        if not mine and self.on("fence") and self.on("token"):
            return False
        if self.on("intent"):
            rec[INTENT] = OPENWIN
            if mine:
                rec[LEASE] = (*rec[LEASE][:OWN], True)
        return True

    def end_run(self, rec: Record) -> None:
        rec[LEASE] = None
        rec[SEEN] = self.tick

    def close(self, rec: Record) -> None:
        rec[SEQ], rec[PLACE], rec[BODY] = 0, None, None

    def stay(self, intent: str | None) -> str | None:
        return {BORN: OPENWIN, None: ELAPSED}.get(intent, intent)

    def doubt(self, rec: Record) -> None:
        """Open the stray window. A run under way may have read back before: it must not close the window."""
        rec[INTENT] = OPENWIN
        if rec[LEASE] is not None and self.on("own_intent"):
            rec[LEASE] = (*rec[LEASE][:FOREIGN], OPENWIN, rec[LEASE][OWN])

    def refused(self, r: int, *, unsure: bool) -> None:
        """A worker that has written returns without its lease: look again, and trust nothing."""
        if not self.on("refused"):
            return
        rec = self.recs[r]
        if unsure or rec[LEASE] is not None:
            self.doubt(rec)
        self.open(r, "live", event=False, doubt=True)

    def done(self, r: int, token: Key, ver: int, *, wrote: bool, seq: int) -> None:
        rec = self.recs[r]
        if not self.owns(rec, token):
            if not (self.on("token") and (self.on("aba") or rec[SEQ] != seq)):
                raise Violation("a worker without the lease committed")
            if wrote:
                self.refused(r, unsure=False)
            return
        lease = rec[LEASE]
        self.end_run(rec)
        rec[LED], rec[LETTER] = self.sc.content[ver], 0
        changed = rec[SEQ] != lease[AT] and self.on("seq")
        if lease[FOREIGN] == OPENWIN and self.on("lookback"):
            rec[PLACE], rec[INTENT] = "look", self.stay(rec[INTENT])
        else:
            rec[INTENT] = None
            if not changed:
                self.close(rec)
        if changed:
            self.ready(rec, "live")

    def untouched(self, rec: Record, lease: Key) -> None:
        """The run sent nothing, or nothing that had an effect: only another's intent stays."""
        if lease[OWN]:
            rec[INTENT] = lease[FOREIGN] if self.on("keep_foreign") else None

    def later(
        self, r: int, token: Key, *, touched: bool, place: str = "due", spend: bool = True, keep: int | None = None
    ) -> None:
        """Without `spend` (a limit, a wait) a newer event waits too: a time was named before which no run can succeed.

        `keep`: the version in a snapshot that the run was given and has not used; it is put back unless an event came.
        """
        rec = self.recs[r]
        if not self.owns(rec, token):
            if touched:
                self.refused(r, unsure=True)
            return
        lease = rec[LEASE]
        self.end_run(rec)
        if not touched:
            self.untouched(rec, lease)
        elif self.on("intent") and self.on("rewindow"):
            rec[INTENT] = OPENWIN  # counted from now: the sending may have been late
        if rec[SEQ] != lease[AT] and spend:
            if not self.on("later_seq"):
                raise Violation("an event waits behind an older retry")
            self.ready(rec, "live")
        else:
            rec[PLACE] = place
            if place == "look":
                rec[INTENT] = self.stay(rec[INTENT])
        newer = rec[SEQ] != lease[AT]
        if keep is not None and not (newer and self.on("keep_seq")):
            rec[BODY] = (keep, rec[COUNT] - newer)  # as many events as were admitted when it was taken

    def bury(self, r: int, token: Key) -> None:
        rec = self.recs[r]
        if not self.owns(rec, token):
            return
        lease = rec[LEASE]
        self.end_run(rec)
        self.untouched(rec, lease)
        if rec[SEQ] != lease[AT] and self.on("bury_seq"):
            self.ready(rec, "live")
        else:
            rec[LETTER] = lease[AT]
            self.close(rec)
