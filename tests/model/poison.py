# ruff: noqa: C901 - the steps of both records are told in one place
"""The poison guard: who is blamed when a worker process dies.

A process P with two threads, a process S with one (the lane solo), a record K that kills the process it runs in, and a
healthy record H whose runs may be slow: their lease runs out while their process lives. After its first death a record
runs alone; the third death is a letter. What a slow run does after its lease is over is `world.py`'s matter: here it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.model.search import Key, Step

MOST_DEATHS = 3


class Rec(NamedTuple):
    """`place`: ready, (process, does it live), closed, letter. `known`: taken since the clock started."""

    place: str | tuple[str, bool] = "ready"
    deaths: int = 0
    known: bool = True


class State(NamedTuple):
    """Both records, and what is left of events for H, kills of all workers, restarts of everything, slow runs of H."""

    recs: tuple[Rec, Rec]
    events: int
    kills: int
    restarts: int
    slow: int


class Poison:
    """The machine; see the module."""

    def __init__(self, name: str = "poison", *, events: int = 2, kills: int = 1, restarts: int = 3, slow: int = 3) -> None:
        self.name = name
        self._first = State((Rec(), Rec()), events, kills, restarts, slow)

    def start(self) -> Key:
        return self._first

    def judge(self, key: Key) -> str | None:
        healthy, killer = State(*key).recs
        if healthy.place == "letter":
            return "a healthy record was buried for the deaths of others"
        if healthy.place != "closed" or killer.place != "letter":
            return f"the killer was not buried, or the healthy one not done: {healthy.place}, {killer.place}"
        return None

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        s = State(*key)
        out: list[Step] = []
        alone = any(rec.place == ("S", True) for rec in s.recs)
        for j, rec in enumerate(s.recs):
            who, place = "HK"[j], rec.place

            def become(label: str, new: Rec, after: State = s, *, fair: bool = True, j: int = j) -> None:
                recs = (new, s.recs[1]) if j == 0 else (s.recs[0], new)
                out.append((label, fair, after._replace(recs=recs)))

            if place == "ready":
                if rec.deaths == 0 or "solo" in off:
                    become(f"P takes {who}", Rec(("P", True), rec.deaths))
                elif not alone:
                    become(f"S takes {who}", Rec(("S", True), rec.deaths))
            elif isinstance(place, tuple) and place[1] and who == "H":
                become("H done", Rec("closed"))
                if s.slow:
                    fewer = s._replace(slow=s.slow - 1)
                    become("sweep: the lease of a slow H ran out", _expired(rec, off, beats=True), fewer, fair=False)
            elif isinstance(place, tuple) and place[1]:
                out.append((f"K kills {place[0]}", True, s._replace(recs=_die(s, place[0]))))
            elif isinstance(place, tuple):
                # Without `proc`, the process that was started in place of the dead one beats under the same name.
                new = _expired(rec, off, beats="proc" in off)
                become(f"sweep: the lease of a dead {who} ran out, deaths {new.deaths}, {new.place}", new)
            elif who == "H" and place == "closed" and s.events:
                become("event for H", Rec(), s._replace(events=s.events - 1), fair=False)
        if s.kills:
            out.append(("kill -9 of all workers", False, s._replace(recs=_die(s, "PS"), kills=s.kills - 1)))
        if s.restarts:
            recs = _die(s, "PS", clock_too=True)
            out.append(("everything restarts, the clock too", False, s._replace(recs=recs, restarts=s.restarts - 1)))
        return out


def _die(s: State, processes: str, *, clock_too: bool = False) -> tuple[Rec, Rec]:
    def after(rec: Rec) -> Rec:
        place = rec.place
        if isinstance(place, tuple) and place[0] in processes:
            place = (place[0], False)
        return Rec(place, rec.deaths, rec.known and not clock_too)

    return after(s.recs[0]), after(s.recs[1])


def _expired(rec: Rec, off: frozenset[str], *, beats: bool) -> Rec:
    """What the sweep makes of a record whose lease ran out; `beats`: its process is seen to live."""
    counts = (rec.known or "boot" in off) and (not beats or "heartbeat" in off)
    deaths = rec.deaths + counts
    return Rec("letter" if deaths >= MOST_DEATHS else "ready", 0 if deaths >= MOST_DEATHS else deaths)
